/** GPT-1's fine-tuning against PyTorch: class logits, both likelihoods and the norm of four steps of AdamW, and the weights after them. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { createReferenceBackend } from '../src/backends/reference/backend.ts';
import { loadModel } from '../src/models/index.ts';
import { fillHeadBatch, HeadScorer, headTask } from '../src/training/heads/index.ts';
import { type StepSettings, TrainingStep, wholeModel } from '../src/training/index.ts';
import { MemorySource, openWeights, tensorFloat32 } from '../src/weights/index.ts';
import { compiled, reference } from './backends.ts';

interface Run {
  readonly optimizer: { lr: number; betas: [number, number]; eps: number; weight_decay: number; clip: number };
  readonly num_labels: number;
  readonly steps: {
    input_ids: number[][];
    attention_mask: number[][];
    class_labels: number[];
    class_logits: number[][];
    clf_loss: number;
    lm_loss: number;
    loss: number;
    grad_norm: number;
  }[];
}

const folder = fileURLToPath(new URL('./golden/heads/gpt1_classifier/', import.meta.url));
const json = (path: string) => JSON.parse(readFileSync(folder + path, 'utf8'));
const run: Run = json('run.json');
const { lr, betas, eps, weight_decay, clip } = run.optimizer;
const head = { kind: 'classification', classes: run.num_labels } as const;
const settings: StepSettings = {
  optimizer: 'adamw',
  beta1: betas[0],
  beta2: betas[1],
  eps,
  weight_decay,
  decay: 'all',
  momentum: 0,
  grad_clip: clip,
  gradient_accumulation_steps: 1,
  seed: 0,
};

/** The parameters of a file, by our names. */
function numbersOf(name: 'init' | 'final') {
  const weights = openWeights(
    new MemorySource('model.safetensors', readFileSync(`${folder}${name}/model.safetensors`)),
  );
  const model = loadModel(weights, json(`${name}/config.json`), createReferenceBackend());
  const score = weights.tensors.get('score.weight')!;
  const read = async (parameter: string): Promise<Float32Array> => {
    if (parameter === 'score.weight') return tensorFloat32(score);
    const { buffer } = model.parameters.get(parameter)!;
    return new Float32Array((await model.backend.read(buffer, 0, buffer.byteLength)).buffer);
  };
  return { config: model.config, read };
}

function examplesOf({ input_ids, attention_mask, class_labels }: Run['steps'][number]) {
  return input_ids.map((ids, i) => ({
    sequences: [
      Int32Array.from(
        ids.slice(
          0,
          attention_mask[i].reduce((a, b) => a + b),
        ),
      ),
    ],
    label: class_labels[i],
  }));
}

// One sequence a row, as PyTorch had them; then all of them in two rows, which changes nothing.
const layouts = [
  { batch_size: 4, block_size: 11, packing: false },
  { batch_size: 2, block_size: 24, packing: true },
];

it.each([reference, ...compiled].flatMap((backend) => layouts.map((sizes) => ({ ...backend, ...sizes }))))(
  'four steps on $name, packing $packing',
  async ({ make, batch_size, block_size, packing }) => {
    const backend = make();
    const sizes = { head, batch_size, block_size, packing };
    const { config, read } = numbersOf('init');
    const learner = wholeModel(config);
    const step = new TrainingStep(backend, headTask(learner, { ...sizes, lm_coef: 0.5 }), settings);
    for (const { name } of step.specs) step.write(name, await read(name));
    const scorer = new HeadScorer(backend, learner, step.parameters, sizes);
    for (const [s, wanted] of run.steps.entries()) {
      const examples = examplesOf(wanted);
      const scores = await scorer.scores(examples);
      wanted.class_logits.forEach((row, i) => {
        row.forEach((logit, c) => {
          expect(Math.abs(scores[i][c] - logit), `step ${s}, logit ${i} ${c}`).toBeLessThan(
            5e-4 + 1e-4 * Math.abs(logit),
          );
        });
      });
      const result = await step.run(s, [fillHeadBatch(head, sizes, examples)], { learning_rate: lr });
      const near = (value: number, truth: number) => Math.abs(value / truth - 1);
      expect(near(result.loss, wanted.clf_loss), `loss of step ${s}`).toBeLessThan(1e-4);
      expect(near(result.metrics.lm_loss, wanted.lm_loss), `lm loss of step ${s}`).toBeLessThan(1e-4);
      expect(near(result.objective, wanted.loss), `objective of step ${s}`).toBeLessThan(1e-4);
      expect(near(result.grad_norm, wanted.grad_norm), `norm of step ${s}`).toBeLessThan(1e-3);
      const right = wanted.class_logits.filter((row, i) => row.indexOf(Math.max(...row)) === wanted.class_labels[i]);
      expect(result.metrics.accuracy).toBeCloseTo(right.length / 4, 6);
    }
    const final = numbersOf('final');
    let [total, count] = [0, 0];
    for (const { name } of step.specs) {
      const truth = await final.read(name);
      (await step.read(name)).forEach((value, i) => {
        const difference = Math.abs(value - truth[i]);
        total += difference;
        count++;
        if (!(difference <= 2e-3)) expect.fail(`${name}[${i}]: ${value}, expected ${truth[i]}`);
      });
    }
    expect(total / count).toBeLessThan(1e-4);
    await backend.close();
  },
);
