/** Training against Hugging Face and PyTorch: first gradients, 12 steps of AdamW with both kinds of accumulation, final weights. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { createReferenceBackend } from '../src/backends/reference/backend.ts';
import { loadModel, type Model, parameterBuffers, parameterSpecs, readConfig } from '../src/models/index.ts';
import { compile, f, gradients } from '../src/tensor/index.ts';
import type { Batch } from '../src/training/data/index.ts';
import { wholeModel } from '../src/training/learner.ts';
import { batchInputs, nextTokenObjective } from '../src/training/objective.ts';
import { type StepSettings, TrainingStep } from '../src/training/step.ts';
import { type NextTokenSettings, nextTokenTask } from '../src/training/task.ts';
import { MemorySource, openWeights } from '../src/weights/index.ts';
import { compiled, reference } from './backends.ts';

interface Run {
  readonly hyperparameters: {
    lr: number;
    betas: [number, number];
    eps: number;
    weight_decay: number;
    clip: number;
    steps: number;
  };
  readonly input_ids: number[][][];
  readonly labels: number[][][];
  readonly runs: Record<Variant, { lr: number; loss: number; micro_losses: number[]; grad_norm: number }[]>;
}
const variants = ['plain', 'accum2_mean_of_means', 'accum2_token_mean'] as const;
type Variant = (typeof variants)[number];

const folder = (kind: string) => fileURLToPath(new URL(`./golden/training/${kind}/`, import.meta.url));
const json = (path: string) => JSON.parse(readFileSync(path, 'utf8'));

/** A file of weights (or of anything that has their names) under our names, as float32. */
function numbersOf(kind: string, file: string): { model: Model; read(name: string): Promise<Float32Array> } {
  const path = folder(kind);
  const weights = openWeights(new MemorySource(file, readFileSync(path + file)));
  const model = loadModel(weights, json(`${path}init/config.json`), createReferenceBackend());
  return {
    model,
    async read(name) {
      const { buffer } = model.parameters.get(name)!;
      const bytes = await model.backend.read(buffer, 0, buffer.byteLength);
      return new Float32Array(bytes.buffer);
    },
  };
}

/** Labels shifted: the target of a position is the label of the next. */
function batchOf(ids: readonly number[][], labels: readonly number[][]): Batch {
  return {
    batch_size: ids.length,
    block_size: ids[0].length - 1,
    tokens: Int32Array.from(ids.flatMap((row) => row.slice(0, -1))),
    targets: Int32Array.from(labels.flatMap((row) => row.slice(1))),
  };
}

const decoderOf = (kind: string) => readConfig(json(`${folder(kind)}init/config.json`));

describe.each(['gpt2', 'llama'])('%s', (kind) => {
  const run: Run = json(`${folder(kind)}run.json`);
  const { lr, betas, eps, weight_decay, clip } = run.hyperparameters;
  const settings: StepSettings & NextTokenSettings = {
    optimizer: 'adamw',
    beta1: betas[0],
    beta2: betas[1],
    eps,
    weight_decay,
    momentum: 0,
    grad_clip: clip,
    batch_size: 4,
    block_size: run.input_ids[0][0].length - 1,
    gradient_accumulation_steps: 1,
    seed: 0,
  };
  const backends = [reference, ...compiled];

  it.each(backends)('first gradients on $name', async ({ make }) => {
    const config = decoderOf(kind);
    const specs = parameterSpecs(config);
    const parameters = specs.map(({ name, shape }) => f.parameter(name, 'f32', shape));
    const byName = new Map(specs.map(({ name }, i) => [name, parameters[i]]));
    const batch = batchOf(run.input_ids[0], run.labels[0]);
    const inputs = batchInputs(batch);
    const { loss } = nextTokenObjective(config, (name) => byName.get(name), inputs);
    const grads = gradients(loss, parameters);
    const plan = compile({ loss, ...Object.fromEntries(specs.map(({ name }, i) => [`d ${name}`, grads[i]])) });
    const { model } = numbersOf(kind, 'init/model.safetensors');
    const backend = make();
    const buffers: Record<string, ReturnType<typeof backend.adopt>> = {};
    for (const [name, buffer] of Object.entries(parameterBuffers(model))) {
      buffers[name] = backend.adopt(await model.backend.read(buffer, 0, buffer.byteLength));
    }
    const counted = batch.targets.filter((target) => target !== -100).length;
    const result = await backend.load(plan, buffers).run({
      inputs: {
        tokens: batch.tokens,
        targets: batch.targets,
        weights: Float32Array.from(batch.targets, (target) => (target === -100 ? 0 : 1 / counted)),
        positions: Int32Array.from(batch.tokens, (_, i) => i % batch.block_size),
      },
    });
    expect(Math.abs(result.loss[0] / run.runs.plain[0].loss - 1)).toBeLessThan(1e-4);
    const wanted = numbersOf(kind, 'step1_grads.safetensors');
    for (const { name } of specs) {
      const truth = await wanted.read(name);
      result[`d ${name}`].forEach((value, i) => {
        const limit = 1e-5 + 1e-3 * Math.abs(truth[i]);
        if (!(Math.abs(value - truth[i]) <= limit)) expect.fail(`${name}[${i}]: ${value}, expected ${truth[i]}`);
      });
    }
    await backend.close();
  });

  describe.each(variants)('%s', (variant) => {
    it.each(backends)('12 steps of AdamW on $name', async ({ make }) => {
      const backend = make();
      const micros = variant === 'plain' ? 1 : 2;
      const all = { ...settings, batch_size: 4 / micros, gradient_accumulation_steps: micros };
      const step = new TrainingStep(backend, nextTokenTask(wholeModel(decoderOf(kind)), all), all);
      const init = numbersOf(kind, 'init/model.safetensors');
      for (const { name } of step.specs) step.write(name, await init.read(name));
      for (const [s, wanted] of run.runs[variant].entries()) {
        const [ids, labels] = [run.input_ids[s], run.labels[s]];
        const rows = (from: number, to: number) => batchOf(ids.slice(from, to), labels.slice(from, to));
        const result = await step.run(
          s,
          micros === 1 ? [rows(0, 4)] : [rows(0, 2), rows(2, 4)],
          { learning_rate: wanted.lr },
          variant === 'accum2_mean_of_means' ? 'batch' : 'target',
        );
        expect(Math.abs(result.loss / wanted.loss - 1), `loss of step ${s}`).toBeLessThan(1e-4);
        expect(Math.abs(result.grad_norm / wanted.grad_norm - 1), `norm of step ${s}`).toBeLessThan(1e-3);
      }
      const final = numbersOf(kind, `final_${variant}/model.safetensors`);
      let [total, count] = [0, 0];
      for (const { name } of step.specs) {
        const truth = await final.read(name);
        const values = await step.read(name);
        values.forEach((value, i) => {
          const difference = Math.abs(value - truth[i]);
          total += difference;
          count++;
          if (!(difference <= 2e-3)) expect.fail(`${name}[${i}]: ${value}, expected ${truth[i]}`);
        });
      }
      expect(total / count).toBeLessThan(1e-4);
      expect(lr).toBeGreaterThan(0);
      await backend.close();
    });
  });
});
