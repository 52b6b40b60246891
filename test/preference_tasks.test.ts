/** IPO, ORPO and KTO as tasks of a step: against log-probabilities of the engine and the papers' formulas in plain doubles. */
import { describe, expect, it } from 'vitest';
import type { Backend } from '../src/backends/backend.ts';
import { Engine } from '../src/generation/index.ts';
import { adapterLayout, completeAdapterConfig, readConfig } from '../src/models/index.ts';
import { adapterLearner, type Learner, wholeModel } from '../src/training/learner.ts';
import {
  answerSizes,
  dpoTask,
  emptyLabelledReference,
  emptyPairReference,
  fillLabelledReference,
  fillPairReference,
  ktoTask,
  LabelledBatches,
  labelledAnswers,
  learningModel,
  mismatchedAnswers,
  orpoTask,
  PairBatches,
  type PromptAnswer,
  pairAnswers,
  referenceModel,
  scoreAnswers,
} from '../src/training/preference/index.ts';
import { TrainingStep } from '../src/training/step.ts';
import type { TrainingTask } from '../src/training/task.ts';
import { compiled, reference } from './backends.ts';
import { uniformAt } from './op_data.ts';

const config = readConfig({ model_type: 'gpt2', vocab_size: 23, n_embd: 16, n_head: 2, n_layer: 2, n_positions: 24 });
const ids = (seed: number, count: number) =>
  Int32Array.from({ length: count }, (_, i) => Math.floor(uniformAt(seed, i) * 23));
const count = 6;
const pairs = Array.from({ length: count }, (_, i) => ({
  prompt: ids(3 * i, 2 + (i % 4)),
  chosen: ids(3 * i + 1, 1 + (i % 5)),
  rejected: ids(3 * i + 2, 2 + ((i * 3) % 4)),
}));
const labelled = pairs.map(({ prompt, chosen }, i) => ({ prompt, completion: chosen, label: i % 3 !== 0 }));
const mismatched = mismatchedAnswers(labelled);
const { chosen, rejected } = pairAnswers(pairs);
const sizes = answerSizes([...chosen, ...rejected, ...mismatched]);
const settings = {
  optimizer: 'sgd',
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-8,
  momentum: 0,
  weight_decay: 0,
  grad_clip: 0,
  gradient_accumulation_steps: 1,
  seed: 3,
} as const;

/** Weights as functions of (seed, place). */
function write<B>(step: TrainingStep<B>, seed: number): void {
  step.specs.forEach(({ name, shape }, at) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const around = name.endsWith('.weight') && shape.length === 1 ? 1 : 0;
    step.write(
      name,
      Float32Array.from({ length: size }, (_, i) => around + 0.6 * (uniformAt(1000 * seed + at, i) - 0.5)),
    );
  });
}

function makeStep<B>(backend: Backend, task: TrainingTask<B>, seed: number, micros = 1): TrainingStep<B> {
  const step = new TrainingStep<B>(backend, task, { ...settings, gradient_accumulation_steps: micros });
  write(step, seed);
  return step;
}

/** Sums of log P by the generation engine's logits, in doubles. */
async function engineSums(step: TrainingStep<never>, answers: readonly PromptAnswer[]): Promise<number[]> {
  const engine = new Engine(step.model, { precision: 'exact', prefixCache: false });
  const sums: number[] = [];
  for (const { prompt, answer } of answers) {
    const all = [...prompt, ...answer];
    const logits = await engine.logits(all);
    let sum = 0;
    for (let t = prompt.length; t < all.length; t++) {
      const row = Array.from(logits.subarray((t - 1) * config.vocab_size, t * config.vocab_size));
      sum += row[all[t]] - Math.log(row.reduce((total, x) => total + Math.exp(x), 0));
    }
    sums.push(sum);
  }
  return sums;
}

const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const odds = (logP: number) => logP - Math.log(-Math.expm1(logP));
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const perToken = (sums: readonly number[], answers: readonly PromptAnswer[]) =>
  sums.map((sum, i) => sum / answers[i].answer.length);

/** One kind of preference: its task, and its loss from log-probabilities of policy and reference. */
interface Kind<B> {
  readonly name: string;
  /** All answers whose log-probabilities matter. */
  readonly answers: readonly PromptAnswer[];
  make(learner: Learner, batch_size: number): { task: TrainingTask<B>; fill(step: TrainingStep<B>): Promise<void> };
  batches(batch_size: number): { batch(index: number): B };
  /** @param fixed log-probabilities at which what no gradient goes through is computed. */
  loss(policy: readonly number[], reference: readonly number[], fixed: readonly number[]): number;
}

const orpo: Kind<never> = {
  name: 'ORPO',
  answers: [...chosen, ...rejected],
  make: (learner, batch_size) =>
    ({ task: orpoTask(learner, { batch_size, lambda: 0.3, ...sizes }), fill: async () => {} }) as never,
  batches: (batch_size) => new PairBatches(pairs, sizes, { batch_size, seed: 0 }).whole as never,
  loss(policy) {
    const c = perToken(policy.slice(0, count), chosen);
    const r = perToken(policy.slice(count), rejected);
    return mean(c.map((x, i) => -x + 0.3 * softplus(odds(r[i]) - odds(x))));
  },
};

const pairKind = (
  name: string,
  own: object,
  pairLoss: (margin: number, beta: number) => number,
  isMean: boolean,
): Kind<never> => ({
  name,
  answers: [...chosen, ...rejected],
  make(learner, batch_size) {
    const known = emptyPairReference(count);
    return {
      task: dpoTask(learner, { batch_size, beta: 0.2, ...own, ...sizes }, known),
      fill: (step: TrainingStep<never>) =>
        fillPairReference(known, referenceModel(step, learner), pairs, { rows: 5, ...sizes }),
    } as never;
  },
  batches: (batch_size) => new PairBatches(pairs, sizes, { batch_size, seed: 0 }).whole as never,
  loss(policy, ref) {
    const ratios = policy.map((x, i) => x - ref[i]);
    const each = isMean ? perToken(ratios, [...chosen, ...rejected]) : ratios;
    return mean(each.slice(0, count).map((c, i) => pairLoss(c - each[count + i], 0.2)));
  },
});

const kto: Kind<never> = {
  name: 'KTO',
  answers: [...labelledAnswers(labelled), ...mismatched],
  make(learner, batch_size) {
    const known = emptyLabelledReference(count);
    const own = { beta: 0.2, desirable_weight: 1.3, undesirable_weight: 0.8 };
    return {
      task: ktoTask(learner, { batch_size, ...own, ...sizes }, known),
      fill: (step: TrainingStep<never>) =>
        fillLabelledReference(known, referenceModel(step, learner), labelled, { rows: 4, ...sizes }),
    } as never;
  },
  batches: (batch_size) => new LabelledBatches(labelled, sizes, { batch_size, seed: 0 }).whole as never,
  loss(policy, ref, fixed) {
    const z = Math.max(0, mean(fixed.slice(count).map((x, i) => x - ref[count + i])));
    return mean(
      labelled.map(({ label }, i) => {
        const r = policy[i] - ref[i];
        return label ? 1.3 * (1 - sigmoid(0.2 * (r - z))) : 0.8 * (1 - sigmoid(0.2 * (z - r)));
      }),
    );
  },
};

const kinds = [
  orpo,
  pairKind('IPO', { loss_type: 'ipo' }, (margin, beta) => (margin - 1 / (2 * beta)) ** 2, true),
  pairKind(
    'DPO, smoothed',
    { label_smoothing: 0.1 },
    (m, beta) => 0.9 * softplus(-beta * m) + 0.1 * softplus(beta * m),
    false,
  ),
  kto,
];

describe.each(kinds)('$name', (kind) => {
  it.each([reference, compiled[0]])('value and gradient on $name', async ({ make }) => {
    const backend = make();
    const learner = wholeModel(config);
    const { task, fill } = kind.make(learner, 4);
    const step = makeStep(backend, task, 1);
    await fill(step);
    const before = await engineSums(step, kind.answers);
    write(step, 2);
    const policy = await engineSums(step, kind.answers);
    // Six of a batch of four: two batches, of which the second is half empty.
    const batches = kind.batches(4);
    const parts = [await step.evaluate(batches.batch(0)), await step.evaluate(batches.batch(1))];
    expect(parts.map((part) => part.count)).toEqual([4, 2]);
    if (kind !== kto) {
      const measured = (4 * parts[0].loss + 2 * parts[1].loss) / 6;
      expect(measured).toBeCloseTo(kind.loss(policy, before, policy), 4);
    }

    // A step of plain descent with rate 1 moves each weight by its gradient.
    const all = kind.make(learner, count);
    const whole = makeStep(backend, all.task, 1);
    await all.fill(whole);
    write(whole, 2);
    const batch = kind.batches(count).batch(0);
    expect((await whole.evaluate(batch)).loss).toBeCloseTo(kind.loss(policy, before, policy), 4);
    const [name, at] = ['layers.1.mlp.up.weight', 7];
    const start = await whole.read(name);
    const lossAt = async (by: number) => {
      const moved = start.slice();
      moved[at] += by;
      whole.write(name, moved);
      const sums = [...(await scoreAnswers(learningModel(whole, learner), kind.answers, { rows: 4, ...sizes }))];
      return kind.loss(sums, before, policy);
    };
    const difference = ((await lossAt(0.02)) - (await lossAt(-0.02))) / 0.04;
    whole.write(name, start);
    await whole.run(0, [batch], { learning_rate: 1 });
    const gradient = start[at] - (await whole.read(name))[at];
    expect(Math.abs(gradient - difference)).toBeLessThan(2e-4 + 0.02 * Math.abs(difference));
    await backend.close();
  });
});

it('accumulated over batches is as in one batch, however they share the pairs', async () => {
  const backend = compiled[0].make();
  const changed: Float32Array[] = [];
  for (const [batch_size, micros] of [
    [6, 1],
    [4, 2],
  ]) {
    const { task } = orpo.make(wholeModel(config), batch_size);
    const step = makeStep(backend, task, 2, micros);
    const batches = orpo.batches(batch_size);
    const data = Array.from({ length: micros }, (_, i) => batches.batch(i));
    const { count: all, metrics } = await step.run(0, data, { learning_rate: 1 });
    expect(all).toBe(6);
    changed.push(Float32Array.of(...(await step.read('layers.0.attention.q.weight')), ...Object.values(metrics)));
  }
  changed[1].forEach((value, i) => {
    expect(value).toBeCloseTo(changed[0][i], 5);
  });
  await backend.close();
});

it('an adapter learns over a frozen base, which is the reference', async () => {
  const backend = compiled[0].make();
  const base = makeStep(backend, orpoTask(wholeModel(config), { batch_size: 1, ...sizes }), 1);
  const layout = adapterLayout(config, completeAdapterConfig({ r: 2, lora_alpha: 4 }));
  const learner = adapterLearner(layout, base.parameters);
  const known = emptyPairReference(count);
  await fillPairReference(known, { backend, config, parameters: learner.frozen }, pairs, { rows: 4, ...sizes });
  const step = new TrainingStep(backend, dpoTask(learner, { batch_size: count, ...sizes }, known), settings);
  for (const [at, { name, shape }] of step.specs.entries()) {
    const size = shape.reduce((a, b) => a * b, 1);
    // B is 0 at first: the policy is the reference.
    step.write(
      name,
      Float32Array.from({ length: size }, (_, i) => (name.startsWith('lora.A') ? uniformAt(at, i) - 0.5 : 0)),
    );
  }
  const frozen = await Promise.all(
    [...learner.frozen.values()].map(({ buffer }) => backend.read(buffer, 0, buffer.byteLength)),
  );
  const batch = new PairBatches(pairs, sizes, { batch_size: count, seed: 0 }).whole.batch(0);
  const losses: number[] = [];
  for (let s = 0; s < 30; s++) {
    const { loss, metrics } = await step.run(s, [batch], { learning_rate: 2 });
    if (s === 0) expect(metrics).toEqual({ accuracy: 0, margin: 0, reward_chosen: 0, reward_rejected: 0 });
    losses.push(loss);
  }
  expect(losses[0]).toBeCloseTo(Math.LN2, 6);
  expect(losses[29]).toBeLessThan(0.5);
  expect((await step.evaluate(batch)).metrics.accuracy).toBe(1);
  const after = await Promise.all(
    [...learner.frozen.values()].map(({ buffer }) => backend.read(buffer, 0, buffer.byteLength)),
  );
  expect(after).toEqual(frozen);
  await backend.close();
});

describe('batches', () => {
  it('have each example once in an epoch, as a function of the step', () => {
    const stream = new PairBatches(pairs, sizes, { batch_size: 2, seed: 5, gradient_accumulation_steps: 2 });
    const seen = (steps: readonly number[]) =>
      steps.flatMap((step) => [0, 1].flatMap((micro) => [...stream.batch(step, micro).indices]));
    const twelve = seen([0, 1, 2]);
    expect(twelve.slice(0, 6).sort()).toEqual([0, 1, 2, 3, 4, 5]);
    expect(twelve.slice(6).sort()).toEqual([0, 1, 2, 3, 4, 5]);
    expect(seen([2])).toEqual(twelve.slice(8));
  });

  it('give each prompt an answer to another', () => {
    const ofPrompts = (prompts: readonly number[]) =>
      mismatchedAnswers(
        prompts.map((p, i) => ({ prompt: Int32Array.of(p), completion: Int32Array.of(100 + i), label: true })),
      ).map(({ answer }) => answer[0] - 100);
    expect(ofPrompts([1, 1, 2, 2, 2, 3])).toEqual([2, 2, 5, 5, 5, 0]);
    expect(ofPrompts([1, 1, 1])).toEqual([1, 2, 0]);
    expect(ofPrompts([7])).toEqual([0]);
    expect(ofPrompts([3, 4])).toEqual([1, 0]);
  });
});
