/** DPO against PyTorch: 4 steps of the reference run, on every backend. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { createReferenceBackend } from '../src/backends/reference/backend.ts';
import { loadModel, type Model, readConfig } from '../src/models/index.ts';
import { wholeModel } from '../src/training/learner.ts';
import { answerRows } from '../src/training/preference/answers.ts';
import {
  answerSizes,
  dpoTask,
  emptyPairReference,
  fillPairReference,
  type PairBatch,
  PairBatches,
  pairAnswers,
  referenceModel,
} from '../src/training/preference/index.ts';
import { TrainingStep } from '../src/training/step.ts';
import { MemorySource, openWeights } from '../src/weights/index.ts';
import { compiled, reference } from './backends.ts';

interface Golden {
  readonly beta: number;
  readonly pairs: { prompt: number[]; chosen: number[]; rejected: number[] }[];
  readonly reference_chosen_logps: number[];
  readonly reference_rejected_logps: number[];
  readonly optimizer: { lr: number; betas: [number, number]; eps: number; weight_decay: number };
  readonly steps: {
    rewards_chosen: number[];
    rewards_rejected: number[];
    margins: number[];
    loss: number;
    accuracy: number;
  }[];
}

const folder = fileURLToPath(new URL('./golden/preference/dpo/', import.meta.url));
const json = (path: string) => JSON.parse(readFileSync(folder + path, 'utf8'));
const golden: Golden = json('dpo.json');
const config = readConfig(json('init/config.json'));
const examples = golden.pairs.map(({ prompt, chosen, rejected }) => ({
  prompt: Int32Array.from(prompt),
  chosen: Int32Array.from(chosen),
  rejected: Int32Array.from(rejected),
}));
const { chosen, rejected } = pairAnswers(examples);
const sizes = answerSizes([...chosen, ...rejected]);
const { lr, betas, eps, weight_decay } = golden.optimizer;
const settings = {
  optimizer: 'adamw',
  beta1: betas[0],
  beta2: betas[1],
  eps,
  weight_decay,
  momentum: 0,
  grad_clip: 0,
  seed: 0,
} as const;

/** A file of weights under our names. */
function weightsOf(file: string): { read(name: string): Promise<Float32Array> } {
  const weights = openWeights(new MemorySource(file, readFileSync(`${folder}${file}/model.safetensors`)));
  const model: Model = loadModel(weights, json(`${file}/config.json`), createReferenceBackend());
  return {
    async read(name) {
      const { buffer } = model.parameters.get(name)!;
      return new Float32Array((await model.backend.read(buffer, 0, buffer.byteLength)).buffer);
    },
  };
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const near = (value: number, wanted: number, what: string) =>
  expect(Math.abs(value - wanted), `${what}: ${value}, expected ${wanted}`).toBeLessThan(
    1e-5 + 1e-4 * Math.abs(wanted),
  );

it.each([reference, ...compiled])('4 steps on $name, of whole batches and of two halves', async ({ make }) => {
  for (const micros of [1, 2]) {
    const backend = make();
    const learner = wholeModel(config);
    const batch_size = 4 / micros;
    const init = weightsOf('init');
    const all = { ...settings, gradient_accumulation_steps: micros };
    const known = emptyPairReference(4);
    const task = dpoTask(learner, { batch_size, beta: golden.beta, ...sizes }, known);
    const step = new TrainingStep<PairBatch>(backend, task, all);
    for (const { name } of step.specs) step.write(name, await init.read(name));
    await fillPairReference(known, referenceModel(step, learner), examples, { rows: 3, ...sizes });
    for (const [i, wanted] of golden.reference_chosen_logps.entries()) near(known.chosen[i], wanted, `chosen ${i}`);
    for (const [i, wanted] of golden.reference_rejected_logps.entries())
      near(known.rejected[i], wanted, `rejected ${i}`);

    const order = new PairBatches(examples, sizes, { batch_size, seed: 0, gradient_accumulation_steps: micros });
    const whole = Array.from({ length: micros }, (_, i) => order.whole.batch(i));
    for (const [s, wanted] of golden.steps.entries()) {
      const measured = s < 4 ? await step.run(s, whole, { learning_rate: lr }) : await evaluateAll(step, whole);
      near(measured.loss, wanted.loss, `loss of step ${s}`);
      near(measured.metrics.margin, mean(wanted.margins), `margin of step ${s}`);
      near(measured.metrics.reward_chosen, mean(wanted.rewards_chosen), `chosen reward of step ${s}`);
      near(measured.metrics.reward_rejected, mean(wanted.rewards_rejected), `rejected reward of step ${s}`);
      expect(measured.metrics.accuracy, `accuracy of step ${s}`).toBe(wanted.accuracy);
      // The reference is the model itself, to the bit.
      if (s === 0) expect(measured.metrics.margin).toBe(0);
    }
    const final = weightsOf('final');
    let [total, count] = [0, 0];
    for (const { name } of step.specs) {
      const truth = await final.read(name);
      (await step.read(name)).forEach((value, i) => {
        const difference = Math.abs(value - truth[i]);
        if (!(difference < 2e-3)) expect.fail(`${name}[${i}]: ${value}, expected ${truth[i]}`);
        total += difference;
        count++;
      });
    }
    expect(total / count).toBeLessThan(1e-4);
    await backend.close();
  }
});

async function evaluateAll(step: TrainingStep<PairBatch>, batches: readonly PairBatch[]) {
  const parts = await Promise.all(batches.map((batch) => step.evaluate(batch)));
  const names = Object.keys(parts[0].metrics);
  return {
    loss: mean(parts.map(({ loss }) => loss)),
    metrics: Object.fromEntries(names.map((name) => [name, mean(parts.map(({ metrics }) => metrics[name]))])),
  };
}

it('refuses settings out of range and answers that do not fit', () => {
  const learner = wholeModel(config);
  const known = emptyPairReference(4);
  const make = (own: object) => () => dpoTask(learner, { batch_size: 4, ...sizes, ...own }, known);
  expect(make({ beta: 0 })).toThrow(/beta/);
  expect(make({ label_smoothing: 0.5 })).toThrow(/label_smoothing/);
  expect(make({ label_smoothing: 0.1, loss_type: 'ipo' })).toThrow(/label_smoothing.*ipo/);
  expect(make({ loss_type: 'hinge' })).toThrow(/loss_type.*sigmoid, ipo/);
  expect(() => answerRows(chosen, { ...sizes, block_size: 2 })).toThrow(/block_size/);
  expect(() => answerRows(chosen, { ...sizes, answer_size: 2 })).toThrow(/answer_size/);
  expect(() => new PairBatches([], sizes, { batch_size: 1, seed: 0 })).toThrow(/none to learn from/);
});
