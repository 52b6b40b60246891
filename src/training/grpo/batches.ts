/**
 * What GRPO learns from: the model's own answers. Which prompts a step has is a function of (seed, step), their answers of the weights
 * besides, so a resumed run goes on as the uninterrupted one does (with several iterations, where it resumes at the first of them).
 */
import { SettingError } from '../../errors.ts';
import { IGNORED } from '../data/index.ts';
import type { PromptExample } from '../examples/index.ts';
import { type AnswerRows, answerRows } from '../preference/answers.ts';
import { ExampleOrder } from '../preference/batches.ts';
import type { AnswerScorer } from '../preference/reference.ts';
import { groupAdvantages, type RewardScale } from './advantages.ts';
import { checkRewards, type Reward, rewardsOf } from './rewards.ts';
import type { PolicyBatch } from './task.ts';

/** An answer that the model gave. */
export interface Completion {
  /** With the token that ended it. */
  readonly ids: Int32Array;
  readonly text: string;
  /** Whether it ended by itself and not by its length. */
  readonly finished: boolean;
}

/**
 * Answers to prompts, `num_generations` to each, by the model as it is.
 * @param round counts the times that answers are asked for: chance is a function of it, and of the seed.
 */
export type Sampler = (prompts: readonly PromptExample[], round: number) => Promise<readonly (readonly Completion[])[]>;

/**
 * What each answer's tokens count for. `grpo`: each answer the same, so that its tokens count less the more there are (Shao et al. 2024);
 * `dapo`: each token of the step the same (Yu et al. 2025); `dr_grpo`: each token 1 / max_completion_length (Liu et al. 2025).
 */
export const grpoLosses = ['grpo', 'dapo', 'dr_grpo'] as const;
export type GrpoLoss = (typeof grpoLosses)[number];

export interface GrpoSettings {
  /** Answers in a batch. */
  readonly batch_size: number;
  readonly gradient_accumulation_steps: number;
  /** Answers to each prompt; has to divide the answers of a step. 8 unless given. */
  readonly num_generations?: number;
  /** Tokens of an answer at most, as the sampler makes them. */
  readonly max_completion_length: number;
  /** Tokens of prompt and answer at most. */
  readonly block_size: number;
  /** Steps with the same answers; 1 unless given. */
  readonly num_iterations?: number;
  readonly loss_type?: GrpoLoss;
  readonly scale_rewards?: RewardScale;
  /** Whether nothing is learned from answers that did not end by themselves; false unless given. */
  readonly mask_truncated_completions?: boolean;
  readonly seed: number;
}

export interface GrpoSources {
  readonly prompts: readonly PromptExample[];
  /** The prompt's text, for rewards. */
  readonly promptText: (prompt: PromptExample) => string;
  readonly sampler: Sampler;
  readonly rewards: readonly Reward[];
  /** Of the model as it is; needed where `num_iterations` is above 1. Of `batch_size` rows. */
  readonly scorer?: AnswerScorer;
  /** Of the reference; needed where `beta` is above 0. */
  readonly reference?: AnswerScorer;
  /** Told of each round, for those who want to read answers. */
  readonly onRound?: (round: GrpoRound) => void;
}

/** Answers of a step, with what they were worth. */
export interface GrpoRound {
  readonly round: number;
  readonly prompts: readonly PromptExample[];
  /** Group after group. */
  readonly completions: readonly Completion[];
  readonly rewards: Float64Array;
  readonly advantages: Float32Array;
}

/** What a batch tells of its answers: the `told` of `grpoTask`. */
export function toldNames(rewards: readonly Reward[]): string[] {
  const each = rewards.map(({ name }) => `reward_${name}`);
  return ['reward', 'reward_std', ...each, 'completion_length', 'truncated', 'no_signal'];
}

/** The stream of permutations of prompts. */
const PROMPTS = 0x7e000003;

export class GrpoBatches {
  readonly isLive = true;
  readonly tokensPerStep: number;
  private readonly order: ExampleOrder;
  private readonly settings: Required<GrpoSettings>;
  private made: { readonly round: number; readonly batches: Promise<readonly PolicyBatch[]> } | null = null;

  /** @throws SettingError for settings out of range, no rewards, and prompts that leave no room for an answer. */
  constructor(
    private readonly sources: GrpoSources,
    settings: GrpoSettings,
  ) {
    this.settings = {
      num_generations: 8,
      num_iterations: 1,
      loss_type: 'grpo',
      scale_rewards: 'group',
      mask_truncated_completions: false,
      ...Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)),
    } as Required<GrpoSettings>;
    const { batch_size, gradient_accumulation_steps: micros, num_generations: G, block_size, seed } = this.settings;
    const { num_iterations, loss_type, max_completion_length } = this.settings;
    for (const [name, value] of Object.entries({ num_iterations, max_completion_length }))
      if (!Number.isSafeInteger(value) || value < 1)
        throw new SettingError(name, value, 'must be a whole number from 1');
    if (!grpoLosses.includes(loss_type))
      throw new SettingError('loss_type', loss_type, `must be one of ${grpoLosses.join(', ')}`);
    checkRewards(sources.rewards);
    if (!Number.isSafeInteger(G) || G < 2 || (batch_size * micros) % G !== 0) {
      const problem = `must be a whole number from 2 that divides the ${batch_size * micros} answers of a step`;
      throw new SettingError('num_generations', G, problem);
    }
    for (const { ids, origin } of sources.prompts) {
      if (ids.length > 0 && ids.length + max_completion_length - 1 <= block_size) continue;
      const where = origin ? ` (${origin.file}:${origin.line})` : '';
      const problem = `a prompt${where} of ${ids.length} tokens with an answer of ${max_completion_length} does not fit`;
      throw new SettingError('block_size', block_size, ids.length === 0 ? `a prompt${where} is empty` : problem);
    }
    this.order = new ExampleOrder(sources.prompts.length, { batch_size: (batch_size * micros) / G, seed }, PROMPTS);
    this.tokensPerStep = batch_size * micros * block_size;
  }

  async batch(step: number, micro = 0): Promise<PolicyBatch> {
    const round = Math.floor(step / this.settings.num_iterations);
    if (this.made?.round !== round) this.made = { round, batches: this.make(round) };
    return (await this.made.batches)[micro];
  }

  private async make(round: number): Promise<readonly PolicyBatch[]> {
    const { sources } = this;
    const { num_generations: G, scale_rewards, batch_size, gradient_accumulation_steps } = this.settings;
    const prompts = Array.from(this.order.indices(round, 0), (index) => sources.prompts[index]);
    const groups = await sources.sampler(prompts, round);
    if (groups.length !== prompts.length || groups.some(({ length }) => length !== G))
      throw new SettingError('sampler', groups.length, `has to give ${G} answers to each of ${prompts.length} prompts`);
    const completions = groups.flat();
    const parts = await judge(sources, prompts, groups);
    const rewards = Float64Array.from(parts, (each) =>
      each.reduce((sum, value, i) => sum + value * sources.rewards[i].weight, 0),
    );
    const { advantages, deviations } = groupAdvantages(rewards, G, scale_rewards);
    sources.onRound?.({ round, prompts, completions, rewards, advantages });
    const shareOf = this.shares(completions);
    const values = completions.map(({ ids, finished }, i) => {
      const deviation = deviations[Math.floor(i / G)];
      return [rewards[i], deviation, ...parts[i], ids.length, finished ? 0 : 1, deviation < 1e-8 ? 1 : 0];
    });
    const batches: PolicyBatch[] = [];
    for (let micro = 0; micro < gradient_accumulation_steps; micro++) {
      const from = micro * batch_size;
      const members = Array.from({ length: batch_size }, (_, i) => from + i);
      const rows = this.rows(
        members.map((i) => ({ prompt: prompts[Math.floor(i / G)].ids, answer: completions[i].ids })),
      );
      const A = rows.answer_size;
      const shares = Float32Array.from(rows.targets, (target, at) =>
        target === IGNORED ? 0 : shareOf(completions[from + Math.floor(at / A)]),
      );
      batches.push({
        rows,
        advantages: advantages.slice(from, from + batch_size),
        shares,
        old: this.settings.num_iterations > 1 ? await scores(sources.scorer, 'num_iterations', rows) : null,
        reference: sources.reference ? await scores(sources.reference, 'beta', rows) : null,
        told: Float32Array.from(values[0].flatMap((_, name) => members.map((i) => values[i][name]))),
      });
    }
    return batches;
  }

  /** What a token of an answer counts for, beside the answer's own weight, 1 over the answers of the step. */
  private shares(completions: readonly Completion[]): (completion: Completion) => number {
    const { loss_type, max_completion_length, mask_truncated_completions: masks } = this.settings;
    const counts = ({ finished }: Completion) => finished || !masks;
    const tokens = completions.reduce((sum, one) => sum + (counts(one) ? one.ids.length : 0), 0);
    return (one) => {
      if (!counts(one) || one.ids.length === 0) return 0;
      if (loss_type === 'grpo') return 1 / one.ids.length;
      return loss_type === 'dapo' ? completions.length / tokens : 1 / max_completion_length;
    };
  }

  private rows(answers: readonly { readonly prompt: Int32Array; readonly answer: Int32Array }[]): AnswerRows {
    const { block_size, max_completion_length } = this.settings;
    const given = answers.map((one) => (one.answer.length > 0 ? one : null));
    return answerRows(given, { block_size, answer_size: max_completion_length });
  }
}

async function scores(scorer: AnswerScorer | undefined, setting: string, rows: AnswerRows): Promise<Float32Array> {
  if (!scorer) throw new SettingError(setting, 'given', 'needs log-probabilities of answers: give a scorer');
  return (await scorer.score(rows)).logProbs;
}

/** Each reward of each answer, group after group. */
async function judge(
  { rewards, promptText }: GrpoSources,
  prompts: readonly PromptExample[],
  groups: readonly (readonly Completion[])[],
): Promise<number[][]> {
  const asked = groups.flatMap((group, i) => {
    const prompt = promptText(prompts[i]);
    const { record } = prompts[i];
    return group.map(({ ids, text, finished }) =>
      rewardsOf(rewards, { prompt, completion: text, record, ids, finished }),
    );
  });
  return Promise.all(asked);
}

/** The mean of each reward, and of their weighted sum, over one answer or more to each of some prompts: a measure of what was learned. */
export async function measureRewards(
  sources: Pick<GrpoSources, 'prompts' | 'promptText' | 'rewards' | 'sampler'>,
  round = 0,
): Promise<Readonly<Record<string, number>>> {
  const groups = await sources.sampler(sources.prompts, round);
  const parts = await judge(sources as GrpoSources, sources.prompts, groups);
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const { rewards } = sources;
  return {
    reward: mean(parts.map((each) => each.reduce((sum, value, i) => sum + value * rewards[i].weight, 0))),
    ...Object.fromEntries(rewards.map(({ name }, i) => [`reward_${name}`, mean(parts.map((each) => each[i]))])),
    completion_length: mean(groups.flat().map(({ ids }) => ids.length)),
  };
}
