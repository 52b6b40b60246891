/** The training step beyond the golden runs: recomputation, threads, precision, dropout, optimisers, and refusals of unsound gradients. */
import { describe, expect, it } from 'vitest';
import type { Backend } from '../src/backends/backend.ts';
import { readConfig } from '../src/models/index.ts';
import { type Batch, BatchStream } from '../src/training/data/index.ts';
import { MemoryTokens } from '../src/training/data/token_source.ts';
import { initialize } from '../src/training/initialize.ts';
import { wholeModel } from '../src/training/learner.ts';
import { type StepSettings, TrainingStep, trainingPlans } from '../src/training/step.ts';
import { type NextTokenSettings, nextTokenTask } from '../src/training/task.ts';
import { compiled, reference } from './backends.ts';

const config = readConfig({
  model_type: 'gpt2',
  vocab_size: 50,
  n_embd: 32,
  n_head: 4,
  n_layer: 3,
  n_positions: 16,
});
type Settings = StepSettings & NextTokenSettings & { readonly dropout: number };
const settings: Settings = {
  optimizer: 'adamw',
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-8,
  momentum: 0.9,
  weight_decay: 0.1,
  grad_clip: 1,
  batch_size: 3,
  block_size: 16,
  gradient_accumulation_steps: 1,
  dropout: 0,
  seed: 7,
};
const tokens = Int32Array.from({ length: 400 }, (_, i) => (i * i * 31 + i * 7) % 50);
const source = new MemoryTokens(tokens, Float64Array.of(0));

interface Trained {
  readonly losses: number[];
  readonly weights: Map<string, Float32Array>;
}

async function learn(backend: Backend, own: Partial<Settings> = {}, steps = 5): Promise<Trained> {
  const all = { ...settings, ...own };
  const step = new TrainingStep(backend, nextTokenTask(wholeModel(config, all.dropout), all), all);
  initialize(step, { seed: 1, initializer_range: 0.02 });
  const micros = all.gradient_accumulation_steps;
  const batches = new BatchStream([{ source, weight: 1 }], {
    batch_size: all.batch_size,
    block_size: all.block_size,
    seed: all.seed,
    gradient_accumulation_steps: micros,
  });
  const losses: number[] = [];
  for (let s = 0; s < steps; s++) {
    const data = Array.from({ length: micros }, (_, micro) => batches.batch(s, micro));
    losses.push((await step.run(s, data, { learning_rate: 1e-2, matrix_learning_rate: 2e-2 })).loss);
  }
  const weights = new Map<string, Float32Array>();
  for (const { name } of step.specs) weights.set(name, await step.read(name));
  await backend.close();
  return { losses, weights };
}

const [fastest] = compiled;

describe('without attention across documents', () => {
  // Documents of 3 to 13 tokens: windows of 16 hold pieces of several.
  const lengths = Array.from({ length: 48 }, (_, i) => 3 + ((i * 5) % 11));
  const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((a, b) => a + b, 0));
  const documents = new MemoryTokens(tokens, Float64Array.from(starts));
  const own = { ...settings, cross_document_attention: false };

  /** The pieces of a batch's documents, each in a row of its own, as batches of the same shape. */
  function apart(batch: Batch): Batch[] {
    const T = batch.block_size;
    const starts: number[] = [];
    for (let i = 0; i < batch.tokens.length; i++) if (batch.positions![i] === 0) starts.push(i);
    return Array.from({ length: Math.ceil(starts.length / batch.batch_size) }, (_, at) => {
      const rows = {
        tokens: new Int32Array(batch.tokens.length),
        targets: new Int32Array(batch.tokens.length).fill(-100),
        documents: new Int32Array(batch.tokens.length),
      };
      for (let row = 0; row < batch.batch_size; row++) {
        const from = starts[at * batch.batch_size + row];
        if (from === undefined) continue;
        const next = starts.find((start) => start > from) ?? batch.tokens.length;
        const to = Math.min(next, (Math.floor(from / T) + 1) * T);
        rows.tokens.set(batch.tokens.subarray(from, to), row * T);
        rows.targets.set(batch.targets.subarray(from, to), row * T);
      }
      return { ...batch, ...rows, positions: undefined };
    });
  }

  it.each([reference, fastest])(
    'packed documents have the loss and the gradients of each alone ($name)',
    async (choice) => {
      if (choice.missing) return;
      const stream = new BatchStream([{ source: documents, weight: 1 }], { ...own, batch_size: 3, block_size: 16 });
      const packed = stream.batch(0);
      expect(new Set(packed.documents!).size).toBeGreaterThan(2);
      const parts = apart(packed);
      const plain = { optimizer: 'sgd', momentum: 0, weight_decay: 0, grad_clip: 0 } as const;
      const learnFrom = async (batches: readonly Batch[], crosses: boolean) => {
        const all = { ...own, ...plain, cross_document_attention: crosses };
        const step = new TrainingStep(choice.make(1), nextTokenTask(wholeModel(config, all.dropout), all), {
          ...all,
          gradient_accumulation_steps: batches.length,
        });
        initialize(step, { seed: 1, initializer_range: 0.2 });
        let nats = 0;
        for (const batch of batches) {
          const { loss, count } = await step.evaluate(batch);
          nats += loss * count;
        }
        const { loss, count } = await step.run(0, batches, { learning_rate: 1 });
        return { nats, loss, count, weights: await step.read('layers.0.attention.k.weight') };
      };
      const [together, alone, mixed] = [
        await learnFrom([packed], false),
        await learnFrom(parts, true),
        await learnFrom([packed], true),
      ];
      expect(together.count).toBe(alone.count);
      expect(together.nats / alone.nats).toBeCloseTo(1, 6);
      expect(together.loss / alone.loss).toBeCloseTo(1, 6);
      expect(Math.abs(mixed.loss - together.loss)).toBeGreaterThan(1e-3);
      together.weights.forEach((x, i) => {
        expect(Math.abs(x - alone.weights[i])).toBeLessThan(1e-5);
      });
    },
  );
});

describe.skipIf(fastest.missing)('a run', () => {
  it.each(['adamw', 'muon', 'sgd'] as const)(
    'is the same to the bit with 1, 2 and 3 threads (%s)',
    async (optimizer) => {
      const one = await learn(fastest.make(1), { optimizer, dropout: 0.1 });
      for (const threads of [2, 3])
        expect(await learn(fastest.make(threads), { optimizer, dropout: 0.1 })).toEqual(one);
    },
  );

  it('is the same to the bit with activations kept and computed again, in less memory', async () => {
    const kept = await learn(fastest.make(2), { dropout: 0.1 });
    expect(await learn(fastest.make(2), { dropout: 0.1, recompute: true })).toEqual(kept);
    const arena = (recompute: boolean) => {
      const all = { ...settings, dropout: 0.1, recompute };
      return trainingPlans(nextTokenTask(wholeModel(config, all.dropout), all), all).learn.arenaBytes;
    };
    expect(arena(true)).toBeLessThan(0.75 * arena(false));
  });

  it('learns in bfloat16 what it learns in float32, nearly', async () => {
    const [exact, rounded] = [await learn(fastest.make(2)), await learn(fastest.make(2), { precision: 'bfloat16' })];
    expect(rounded.losses).not.toEqual(exact.losses);
    rounded.losses.forEach((loss, i) => {
      expect(Math.abs(loss - exact.losses[i])).toBeLessThan(0.02);
    });
  });

  it('drops other activations with another seed, and none without dropout', async () => {
    const run = (dropout: number, seed: number) => learn(fastest.make(2), { dropout, seed }, 1);
    const first = await run(0.3, 7);
    expect((await run(0.3, 7)).losses).toEqual(first.losses);
    expect((await run(0.3, 8)).losses).not.toEqual(first.losses);
    expect((await run(0, 7)).losses).not.toEqual(first.losses);
  });

  it.each(['adamw', 'muon', 'sgd'] as const)('agrees with the reference backend (%s)', async (optimizer) => {
    const [fast, truth] = [await learn(fastest.make(2), { optimizer }), await learn(reference.make(), { optimizer })];
    fast.losses.forEach((loss, i) => {
      expect(Math.abs(loss / truth.losses[i] - 1)).toBeLessThan(1e-4);
    });
  });
});

it('a step whose gradients are unsound changes nothing', async () => {
  const step = new TrainingStep(reference.make(), nextTokenTask(wholeModel(config), settings), settings);
  initialize(step, { seed: 1, initializer_range: 0.02 });
  const batches = new BatchStream([{ source, weight: 1 }], { batch_size: 3, block_size: 16, seed: 1 });
  await step.run(0, [batches.batch(0)], { learning_rate: 1e-2 });
  const state = async () => {
    const numbers: Float32Array[] = [];
    for (const name of step.state.keys()) numbers.push(await step.read(name));
    return numbers;
  };
  const before = await state();
  const exploded = await step.run(1, [batches.batch(1)], { learning_rate: 1e-2, norm_limit: 1e-3 });
  expect(exploded.applied).toBe(false);
  expect(await state()).toEqual(before);
  // A weight that is NaN makes every gradient NaN.
  const name = 'layers.1.mlp.up.weight';
  const weights = await step.read(name);
  step.write(name, weights.with(5, Number.NaN));
  const poisoned = await step.run(1, [batches.batch(1)], { learning_rate: 1e-2 });
  expect([poisoned.applied, poisoned.loss]).toEqual([false, Number.NaN]);
  step.write(name, weights);
  expect(await state()).toEqual(before);
});

describe('one step of an optimiser, by its definition in doubles', () => {
  /** One parameter's gradient as the sum over a batch is hard to know; what the step did to it is not: SGD at rate 1 shows it. */
  async function gradientOf(name: string): Promise<Float32Array> {
    const plain = { optimizer: 'sgd', momentum: 0, weight_decay: 0, grad_clip: 0 } as const;
    const { before, after } = await oneStep(name, plain, { learning_rate: 1 });
    return before.map((x, i) => x - after[i]);
  }

  async function oneStep(
    name: string,
    own: Partial<Settings>,
    rates: { learning_rate: number; matrix_learning_rate?: number },
  ) {
    const all = { ...settings, ...own };
    const step = new TrainingStep(reference.make(), nextTokenTask(wholeModel(config, all.dropout), all), all);
    initialize(step, { seed: 1, initializer_range: 0.2 });
    const batches = new BatchStream([{ source, weight: 1 }], { batch_size: 3, block_size: 16, seed: 1 });
    const before = await step.read(name);
    await step.run(0, [batches.batch(0)], rates);
    return { before, after: await step.read(name) };
  }

  it.each([
    ['layers.0.mlp.up.weight', 128, 32],
    ['layers.0.mlp.down.weight', 32, 128],
  ])("Muon's step of %s is orthogonal", async (name, rows, columns) => {
    const grad = await gradientOf(name);
    const { before, after } = await oneStep(
      name,
      { optimizer: 'muon', momentum: 0.9, weight_decay: 0, grad_clip: 0 },
      { learning_rate: 0, matrix_learning_rate: 1 },
    );
    // The first buffer is a multiple of the gradient, so the direction is the gradient made orthogonal.
    const factor = Math.sqrt(Math.max(1, rows / columns));
    const step = Float64Array.from(before, (x, i) => (x - after[i]) / factor);
    // Singular values near 1: the trace of S Sᵀ is their squares' sum, that of S Gᵀ the nuclear norm of G or nearly.
    const small = Math.min(rows, columns);
    const squares = step.reduce((sum, x) => sum + x * x, 0) / small;
    expect(squares).toBeGreaterThan(0.6);
    expect(squares).toBeLessThan(1.3);
    const aligned = step.reduce((sum, x, i) => sum + x * grad[i], 0);
    expect(aligned).toBeGreaterThan(0.6 * nuclearNorm(grad, rows, columns));
    // Gram matrix: diagonal near its mean, nothing large beside it.
    const wide = rows <= columns;
    const at = (i: number, k: number) => (wide ? step[i * columns + k] : step[k * columns + i]);
    for (let i = 0; i < small; i += 5) {
      for (let j = 0; j < small; j += 7) {
        let dot = 0;
        for (let k = 0; k < Math.max(rows, columns); k++) dot += at(i, k) * at(j, k);
        if (i === j) expect(Math.abs(dot - 0.85)).toBeLessThan(0.5);
        else expect(Math.abs(dot)).toBeLessThan(0.35);
      }
    }
  });

  it('SGD with momentum is that of PyTorch', async () => {
    const name = 'layers.1.attention.o.weight';
    const grad = await gradientOf(name);
    const { before, after } = await oneStep(
      name,
      { optimizer: 'sgd', momentum: 0.9, weight_decay: 0, grad_clip: 0 },
      { learning_rate: 0.5 },
    );
    after.forEach((x, i) => {
      expect(Math.abs(x - (before[i] - 0.5 * grad[i]))).toBeLessThan(1e-5);
    });
  });
});

/** The sum of singular values, by one-sided Jacobi rotations (Hestenes 1958). */
function nuclearNorm(data: Float32Array, rows: number, columns: number): number {
  const wide = rows < columns;
  const [m, n] = wide ? [columns, rows] : [rows, columns];
  const a = Array.from({ length: n }, (_, j) =>
    Float64Array.from({ length: m }, (_, i) => (wide ? data[j * columns + i] : data[i * columns + j])),
  );
  const dot = (x: Float64Array, y: Float64Array) => x.reduce((sum, v, i) => sum + v * y[i], 0);
  for (let sweep = 0; sweep < 12; sweep++) {
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const [alpha, beta, gamma] = [dot(a[p], a[p]), dot(a[q], a[q]), dot(a[p], a[q])];
        if (Math.abs(gamma) < 1e-14) continue;
        const zeta = (beta - alpha) / (2 * gamma);
        const t = Math.sign(zeta || 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const [c, s] = [1 / Math.sqrt(1 + t * t), t / Math.sqrt(1 + t * t)];
        for (let i = 0; i < m; i++) [a[p][i], a[q][i]] = [c * a[p][i] - s * a[q][i], s * a[p][i] + c * a[q][i]];
      }
    }
  }
  return a.reduce((sum, column) => sum + Math.sqrt(dot(column, column)), 0);
}
