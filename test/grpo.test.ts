/** GRPO: rewards, advantages by hand, the objective in plain doubles, and a model that learns what is rewarded. */
import { describe, expect, it } from 'vitest';
import { readConfig } from '../src/models/index.ts';
import { engineSampler, liveEngine } from '../src/node/grpo_sampler.ts';
import { tokenizerFromJson, trainCharacters } from '../src/tokenizers/index.ts';
import type { PromptExample } from '../src/training/examples/index.ts';
import {
  type Completion,
  exactMatchReward,
  formatReward,
  GrpoBatches,
  type GrpoLoss,
  groupAdvantages,
  grpoTask,
  lengthReward,
  measureRewards,
  type PolicyBatch,
  type Reward,
  type RewardContext,
  rewardOf,
  type Sampler,
  toldNames,
} from '../src/training/grpo/index.ts';
import { initialize } from '../src/training/initialize.ts';
import { wholeModel } from '../src/training/learner.ts';
import { AnswerScorer, learningModel } from '../src/training/preference/index.ts';
import { TrainingStep } from '../src/training/step.ts';
import { compiled, reference } from './backends.ts';
import { uniformAt } from './op_data.ts';

const context = (completion: string, record: Record<string, unknown> = {}, length = 5): RewardContext => ({
  prompt: '1+1=',
  completion,
  record,
  ids: new Int32Array(length),
  finished: true,
});

describe('rewards', () => {
  it('format: an expression', () => {
    const reward = formatReward('^<think>.*</think>.+$');
    expect(reward(context('<think>a\nb</think>42'))).toBe(1);
    expect(reward(context('42'))).toBe(0);
    // A sticky or global expression would remember where it was.
    const again = formatReward(/a/g);
    expect([1, 2, 3].map(() => again(context('a')))).toEqual([1, 1, 1]);
    expect(() => formatReward('(')).toThrow(/pattern.*no expression/);
  });

  it('exact match: what counts of an answer against the field of the record', () => {
    expect(exactMatchReward()(context(' 579\n', { completion: '579' }))).toBe(1);
    expect(exactMatchReward()(context('579', { answer: 579 }))).toBe(1);
    const last = exactMatchReward({ field: 'truth', pattern: '-?[\\d,.]+', as_number: true });
    expect(last(context('first 3, then 1,000', { truth: 'It is #### 1000.0' }))).toBe(1);
    expect(last(context('first 1000, then 3', { truth: '1000' }))).toBe(0);
    expect(last(context('none', { truth: '1000' }))).toBe(0);
    expect(exactMatchReward({ pattern: 'is (\\w+)' })(context('it is red', { answer: 'red' }))).toBe(1);
    expect(() => exactMatchReward()(context('1', {}))).toThrow(/answer.*exact_match/);
  });

  it('length: 1 inside, falling outside', () => {
    const reward = lengthReward({ min: 4, max: 8, fall: 4 });
    expect([1, 3, 4, 8, 10, 12, 40].map((length) => reward(context('', {}, length)))).toEqual([
      0.25, 0.75, 1, 1, 0.5, 0, 0,
    ]);
    expect(() => lengthReward({ max: 0 })).toThrow(/max/);
  });

  it('as data, with refusals by name', () => {
    expect(rewardOf({ type: 'length', max: 5, weight: 0.5 })).toMatchObject({ name: 'length', weight: 0.5 });
    expect(() => rewardOf({ type: 'kindness' as 'format' })).toThrow(/type.*format, exact_match, length/);
    expect(() => rewardOf({ type: 'format' })).toThrow(/pattern.*given/);
    expect(() => rewardOf({ type: 'format', pattern: 'a', max: 3 })).toThrow(/max.*not a field of the reward format/);
  });
});

describe('advantages', () => {
  it('by hand: (r - mean) / (deviation + 1e-4)', () => {
    const { advantages, means, deviations } = groupAdvantages([1, 0, 0, 1, 3, 3, 3, 3, 0, 0, 0, 4], 4);
    expect([...means]).toEqual([0.5, 3, 1]);
    expect(deviations[0]).toBeCloseTo(Math.sqrt(1 / 3), 12);
    expect([...deviations].slice(1)).toEqual([0, 2]);
    const wanted = [0.5, -0.5, -0.5, 0.5].map((x) => x / (Math.sqrt(1 / 3) + 1e-4));
    wanted.push(0, 0, 0, 0, ...[-1, -1, -1, 3].map((x) => x / 2.0001));
    advantages.forEach((value, i) => {
      expect(value).toBeCloseTo(wanted[i], 6);
    });
  });

  it('by the deviation of all, or not divided', () => {
    const rewards = [1, 2, 4, 4];
    expect([...groupAdvantages(rewards, 2, 'none').advantages]).toEqual([-0.5, 0.5, 0, 0]);
    const deviation = Math.sqrt((1.75 ** 2 + 0.75 ** 2 + 2 * 1.25 ** 2) / 3);
    expect(groupAdvantages(rewards, 2, 'batch').advantages[1]).toBeCloseTo(0.5 / (deviation + 1e-4), 6);
  });

  it('refuses groups that do not divide', () => {
    expect(() => groupAdvantages([1, 2, 3], 2)).toThrow(/num_generations/);
    expect(() => groupAdvantages([1], 1)).toThrow(/num_generations/);
  });
});

const config = readConfig({ model_type: 'gpt2', vocab_size: 11, n_embd: 16, n_head: 2, n_layer: 1, n_positions: 16 });
const sgd = {
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
const ids = (seed: number, count: number) =>
  Int32Array.from({ length: count }, (_, i) => Math.floor(uniformAt(seed, i) * 11));
const prompts: PromptExample[] = [1, 2, 3].map((seed) => ({ ids: ids(seed, 2 + seed), record: {} }));
const promptText = ({ ids }: PromptExample) => ids.join(' ');
/** Rewarded is the share of even tokens. */
const even: Reward = {
  name: 'even',
  weight: 1,
  of: ({ ids }) => ids.filter((id) => id % 2 === 0).length / ids.length,
};
const lengths = [2, 5, 3, 1];
const fixedSampler: Sampler = async (asked, round) =>
  asked.map((_, p) =>
    Array.from({ length: 4 }, (_, j): Completion => {
      const answer = ids(100 + 10 * p + j + round, lengths[j]);
      return { ids: answer, text: answer.join(' '), finished: j !== 1 };
    }),
  );

describe('objective', () => {
  const A = 5;
  const [R, block_size] = [8, 12];
  const shape = { rows: R, block_size, answer_size: A };
  const settings = { ...shape, temperature: 0.7, epsilon: 0.2, epsilon_high: 0.3, beta: 0.04, num_iterations: 2 };

  const write = (step: TrainingStep<PolicyBatch>, seed: number) =>
    step.specs.forEach(({ name, shape: size }, at) => {
      const around = name.endsWith('.weight') && size.length === 1 ? 1 : 0;
      const count = size.reduce((a, b) => a * b, 1);
      step.write(
        name,
        Float32Array.from({ length: count }, (_, i) => around + uniformAt(100 * seed + at, i) - 0.5),
      );
    });

  /** The loss by the papers, from log-probabilities (R, A). */
  function plain(batch: PolicyBatch, logP: ArrayLike<number>, loss: GrpoLoss, masks: boolean) {
    const tokens = Array.from({ length: R }, (_, row) => lengths[row % 4]);
    const counts = (row: number) => !masks || row % 4 !== 1;
    const all = tokens.reduce((sum, n, row) => sum + (counts(row) ? n : 0), 0);
    let [sum, clipped, divergence] = [0, 0, 0];
    for (let row = 0; row < R; row++) {
      for (let t = 0; t < tokens[row]; t++) {
        const at = row * A + t;
        const ratio = Math.exp(logP[at] - batch.old![at]);
        const advantage = batch.advantages[row];
        const bounded = Math.min(1.3, Math.max(0.8, ratio));
        const far = batch.reference![at] - logP[at];
        const kl = Math.exp(far) - far - 1;
        const part = -Math.min(ratio * advantage, bounded * advantage) + 0.04 * kl;
        const weight = { grpo: 1 / tokens[row] / R, dapo: 1 / all, dr_grpo: 1 / A / R }[loss];
        if (counts(row)) sum += part * weight;
        divergence += kl / tokens[row] / R;
        if ((advantage > 0 && ratio > 1.3) || (advantage < 0 && ratio < 0.8)) clipped += 1 / tokens[row] / R;
      }
    }
    return { sum, clipped, divergence };
  }

  it.each([
    [reference, 'grpo', false],
    [compiled[0], 'grpo', true],
    [compiled[0], 'dapo', true],
    [compiled[0], 'dr_grpo', false],
  ] as const)('value and gradient on $0.name: %s, masked %s', async ({ make }, loss_type, masks) => {
    const backend = make();
    const learner = wholeModel(config);
    const told = toldNames([even]);
    const step = new TrainingStep(backend, grpoTask(learner, { ...settings, told }), sgd);
    const scorer = () => new AnswerScorer(learningModel(step, learner), shape, settings.temperature);
    write(step, 1);
    const policy = scorer();
    const batches = new GrpoBatches(
      { prompts, promptText, sampler: fixedSampler, rewards: [even], scorer: policy, reference: policy },
      {
        batch_size: R,
        gradient_accumulation_steps: 1,
        num_generations: 4,
        max_completion_length: A,
        block_size,
        num_iterations: 2,
        loss_type,
        mask_truncated_completions: masks,
        seed: 1,
      },
    );
    const batch = await batches.batch(0);
    expect(await batches.batch(1)).toBe(batch); // the second step with these answers
    expect(await batches.batch(2)).not.toBe(batch);
    // The reference is one model, the old policy another, and the weights have moved on from both.
    const moved: PolicyBatch = {
      ...batch,
      reference: batch.reference!.map((x, i) => x + 0.3 * (uniformAt(9, i) - 0.5)),
    };
    write(step, 1);
    const some = 'layers.0.mlp.up.weight';
    const start = (await step.read(some)).map((x, i) => x + 0.8 * (uniformAt(5, i) - 0.5));
    step.write(some, start);
    const { logProbs } = await policy.score(batch.rows);
    const wanted = plain(moved, logProbs, loss_type, masks);
    const { loss, metrics, count } = await step.evaluate(moved);
    expect(count).toBe(R);
    expect(loss).toBeCloseTo(wanted.sum, 5);
    expect(metrics.kl).toBeCloseTo(wanted.divergence, 5);
    expect(metrics.clip_share).toBeCloseTo(wanted.clipped, 5);
    expect(wanted.clipped).toBeGreaterThan(0);
    expect(metrics.completion_length).toBeCloseTo(11 / 4, 5);
    expect(metrics.truncated).toBeCloseTo(1 / 4, 5);
    expect(metrics.reward).toBeCloseTo(metrics.reward_even, 6);

    const at = 11;
    const lossAt = async (by: number) => {
      const there = start.slice();
      there[at] += by;
      step.write(some, there);
      return plain(moved, (await policy.score(batch.rows)).logProbs, loss_type, masks).sum;
    };
    const difference = ((await lossAt(0.005)) - (await lossAt(-0.005))) / 0.01;
    step.write(some, start);
    await step.run(0, [moved], { learning_rate: 1 });
    const gradient = start[at] - (await step.read(some))[at];
    expect(Math.abs(gradient - difference)).toBeLessThan(2e-4 + 0.02 * Math.abs(difference));
    await backend.close();
  });

  it('the first step with answers has the ratio 1, whether old log-probabilities are given or not', async () => {
    const backend = compiled[0].make();
    const learner = wholeModel(config);
    const told = toldNames([even]);
    const changed: Float32Array[] = [];
    for (const num_iterations of [1, 2]) {
      const step = new TrainingStep(backend, grpoTask(learner, { ...shape, num_iterations, told }), sgd);
      write(step, 4);
      const batches = new GrpoBatches(
        {
          prompts,
          promptText,
          sampler: fixedSampler,
          rewards: [even],
          scorer: new AnswerScorer(learningModel(step, learner), shape),
        },
        {
          batch_size: R,
          gradient_accumulation_steps: 1,
          num_generations: 4,
          max_completion_length: A,
          block_size,
          num_iterations,
          seed: 1,
        },
      );
      const { metrics } = await step.run(0, [await batches.batch(0)], { learning_rate: 1 });
      expect(metrics.clip_share).toBe(0);
      changed.push(await step.read('embed.weight'));
    }
    expect(changed[1]).toEqual(changed[0]);
    await backend.close();
  });

  it('refuses settings by name', () => {
    const sources = { prompts, promptText, sampler: fixedSampler, rewards: [even] };
    const all = {
      batch_size: 8,
      gradient_accumulation_steps: 1,
      num_generations: 4,
      max_completion_length: A,
      block_size,
      seed: 1,
    };
    const make =
      (own: object, other: object = {}) =>
      () =>
        new GrpoBatches({ ...sources, ...other }, { ...all, ...own });
    expect(make({ num_generations: 3 })).toThrow(/num_generations.*divides the 8/);
    expect(make({ block_size: 8 })).toThrow(/block_size.*prompt of 5 tokens/);
    expect(make({ loss_type: 'ppo' })).toThrow(/loss_type.*grpo, dapo, dr_grpo/);
    expect(make({}, { rewards: [] })).toThrow(/rewards/);
    expect(make({}, { rewards: [even, even] })).toThrow(/two rewards/);
    const task = (own: object) => () => grpoTask(wholeModel(config), { ...shape, told: [], ...own });
    expect(task({ epsilon: 1 })).toThrow(/epsilon/);
    expect(task({ temperature: 0 })).toThrow(/temperature/);
    expect(task({ beta: -1 })).toThrow(/beta/);
  });

  it('a reward that is no number, and a sampler that gives too few, are named', async () => {
    const all = {
      batch_size: 8,
      gradient_accumulation_steps: 1,
      num_generations: 4,
      max_completion_length: A,
      block_size,
      seed: 1,
    };
    const broken: Reward = { name: 'broken', weight: 1, of: () => Number.NaN };
    const sources = { prompts, promptText, sampler: fixedSampler, rewards: [broken] };
    await expect(new GrpoBatches(sources, all).batch(0)).rejects.toThrow(/broken/);
    const few: Sampler = async (asked) => asked.map(() => []);
    await expect(new GrpoBatches({ ...sources, sampler: few }, all).batch(0)).rejects.toThrow(/4 answers to each of 2/);
  });
});

describe('with the engine in the loop', () => {
  const letters = 'abcdefgh';

  async function run(steps: number, stopAt = steps) {
    const { json } = await trainCharacters([letters], {
      special_tokens: ['<eos>'],
      unk_token: null,
      roles: { eos_token: '<eos>' },
    });
    const tokenizer = tokenizerFromJson(json as never);
    const own = readConfig({ model_type: 'gpt2', vocab_size: 9, n_embd: 16, n_head: 2, n_layer: 1, n_positions: 16 });
    const backend = compiled[0].make();
    const learner = wholeModel(own);
    const rewards: Reward[] = [
      { name: 'a', weight: 1, of: ({ completion }) => [...completion].filter((one) => one === 'a').length / 6 },
    ];
    const shape = { rows: 32, block_size: 8, answer_size: 6 };
    const task = grpoTask(learner, { ...shape, told: toldNames(rewards) });
    const settings = { ...sgd, optimizer: 'adamw', grad_clip: 1 } as const;
    const make = () => {
      const step = new TrainingStep(backend, task, settings);
      const sampler = engineSampler(liveEngine(step.model, 32, 8), tokenizer, {
        num_generations: 8,
        max_completion_length: 6,
        seed: 5,
        eos_token_id: [tokenizer.addedTokens[0].id],
      });
      const asked = [...letters].map((letter) => ({ ids: tokenizer.encodeIds(letter), record: {} }));
      const text = ({ ids: all }: PromptExample) => tokenizer.decode(all);
      const sources = { prompts: asked, promptText: text, sampler, rewards };
      const batches = new GrpoBatches(sources, {
        batch_size: 32,
        gradient_accumulation_steps: 1,
        num_generations: 8,
        max_completion_length: 6,
        block_size: 8,
        seed: 5,
      });
      return { step, batches, sources };
    };
    let { step, batches, sources } = make();
    initialize(step, { seed: 1, initializer_range: 0.02 });
    const before = await measureRewards(sources);
    const told: Readonly<Record<string, number>>[] = [];
    for (let s = 0; s < steps; s++) {
      if (s === stopAt) {
        // As a run that is resumed: another step and another engine, with the same buffers' contents.
        const next = make();
        for (const name of step.state.keys()) next.step.write(name, await step.read(name));
        ({ step, batches, sources } = next);
      }
      told.push((await step.run(s, [await batches.batch(s)], { learning_rate: 5e-3 })).metrics);
    }
    const after = await measureRewards(sources);
    const weights = await step.read('embed.weight');
    await backend.close();
    return { before, after, told, weights };
  }

  it('a model learns to answer with more of a letter, and goes on equally when it is resumed', async () => {
    const whole = await run(30);
    expect(whole.before.reward).toBeLessThan(0.2);
    expect(whole.after.reward).toBeGreaterThan(0.8);
    expect(whole.told[29].reward).toBeGreaterThan(whole.told[0].reward + 0.5);
    const resumed = await run(30, 11);
    expect(resumed.told).toEqual(whole.told);
    expect(resumed.weights).toEqual(whole.weights);
  });
});
