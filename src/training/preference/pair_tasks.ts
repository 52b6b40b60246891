/** DPO, IPO and ORPO: what learns from pairs of a better and a worse answer. */
import { SettingError } from '../../errors.ts';
import { f, type Tensor } from '../../tensor/index.ts';
import type { Learner } from '../learner.ts';
import type { TrainingTask } from '../task.ts';
import { answerData, answerInputs, answerLogProbs, answerSums } from './answers.ts';
import type { AnswerSizes, PairBatch } from './batches.ts';
import { dpoLoss, ipoLoss, logRatioMargin, oddsRatioLoss, type PairLogProbs } from './losses.ts';

interface PairSettings extends AnswerSizes {
  /** Pairs in a batch: P. */
  readonly batch_size: number;
}

export const dpoLosses = ['sigmoid', 'ipo'] as const;

export interface DpoSettings extends PairSettings {
  /** How dear it is to leave the reference; 0.1 unless given. With `ipo`, of means per token. */
  readonly beta?: number;
  readonly loss_type?: (typeof dpoLosses)[number];
  /** Share of pairs taken to be the wrong way round, below 0.5; 0 unless given. With `sigmoid` alone. */
  readonly label_smoothing?: number;
}

/** Sums of log-probabilities of all pairs' answers under the reference, in the order of the examples. */
export interface PairReference {
  readonly chosen: Float32Array;
  readonly rejected: Float32Array;
}

/**
 * Direct preference optimisation: log-probabilities of answers are sums over their tokens (IPO: means). Measured is the loss; metrics are
 * `accuracy`, the share of pairs whose margin is above 0, `margin`, and `reward_chosen` and `reward_rejected`, beta times the log-ratio.
 * @param reference whose numbers are read with each batch, so that they may be filled in once the step is there to compute them.
 * @throws SettingError for a setting out of range.
 */
export function dpoTask(learner: Learner, settings: DpoSettings, reference: PairReference): TrainingTask<PairBatch> {
  const { beta = 0.1, loss_type = 'sigmoid', label_smoothing = 0 } = settings;
  checkPositive('beta', beta);
  if (!dpoLosses.includes(loss_type))
    throw new SettingError('loss_type', loss_type, `must be one of ${dpoLosses.join(', ')}`);
  if (!(label_smoothing >= 0 && label_smoothing < 0.5))
    throw new SettingError('label_smoothing', label_smoothing, 'must be from 0 to below 0.5');
  if (label_smoothing > 0 && loss_type !== 'sigmoid')
    throw new SettingError('label_smoothing', label_smoothing, `is of the loss sigmoid, not of ${loss_type}`);
  const isMean = loss_type === 'ipo';
  return pairTask(learner, settings, {
    hasReference: true,
    isMean,
    graph(policy, pairReference) {
      const rewards = pairOf((side) => f.affine(f.sub(policy[side], pairReference![side]), beta, 0));
      const margin = logRatioMargin(policy, pairReference!);
      const loss = isMean ? ipoLoss(margin, beta) : dpoLoss(margin, beta, label_smoothing);
      return {
        loss,
        metrics: {
          accuracy: f.greater(rewards.chosen, rewards.rejected),
          margin: f.affine(margin, beta, 0),
          reward_chosen: rewards.chosen,
          reward_rejected: rewards.rejected,
        },
      };
    },
    data({ indices }, lengths) {
      const values = new Float32Array(2 * indices.length);
      for (const [i, index] of indices.entries()) {
        if (index < 0) continue;
        for (const [row, all] of [
          [i, reference.chosen],
          [indices.length + i, reference.rejected],
        ] as const)
          values[row] = all[index] * (isMean ? lengths[row] : 1);
      }
      return { reference: values };
    },
  });
}

export interface OrpoSettings extends PairSettings {
  /** Weight of the odds ratio beside the likelihood of the chosen answer; 0.1 unless given. */
  readonly lambda?: number;
}

/**
 * Odds ratio preference optimisation, without a reference: the mean -log P of the chosen answer's tokens plus lambda times the odds-ratio
 * loss. Measured is that sum; metrics are `nll`, `odds_ratio_loss`, `log_odds`, its argument, `accuracy`,
 * and the mean log-probabilities of tokens, `logp_chosen` and `logp_rejected`.
 * @throws SettingError for a setting out of range.
 */
export function orpoTask(learner: Learner, settings: OrpoSettings): TrainingTask<PairBatch> {
  const { lambda = 0.1 } = settings;
  checkPositive('lambda', lambda);
  return pairTask(learner, settings, {
    hasReference: false,
    isMean: true,
    graph(policy) {
      const odds = oddsRatioLoss(policy);
      const nll = f.neg(policy.chosen);
      return {
        loss: f.add(nll, f.affine(odds.loss, lambda, 0)),
        metrics: {
          accuracy: f.greater(policy.chosen, policy.rejected),
          nll,
          odds_ratio_loss: odds.loss,
          log_odds: odds.ratio,
          logp_chosen: policy.chosen,
          logp_rejected: policy.rejected,
        },
      };
    },
    data: () => ({}),
  });
}

/** What a loss over pairs is made of. All tensors (P). */
interface PairLoss {
  readonly hasReference: boolean;
  /** Whether log-probabilities are means over an answer's tokens and not sums. */
  readonly isMean: boolean;
  graph(
    policy: PairLogProbs,
    reference: PairLogProbs | null,
  ): { readonly loss: Tensor; readonly metrics: Readonly<Record<string, Tensor>> };
  /** @param lengths 1 over the tokens of each row's answer. */
  data(batch: PairBatch, lengths: Float32Array): Readonly<Record<string, Float32Array>>;
}

function pairTask(
  { pass, ...learner }: Learner,
  { batch_size: P, block_size, answer_size }: PairSettings,
  { hasReference, isMean, graph, data }: PairLoss,
): TrainingTask<PairBatch> {
  const shape = { rows: 2 * P, block_size, answer_size };
  const sides = (both: Tensor) => ({ chosen: f.slice(both, 0, 0, P), rejected: f.slice(both, 0, P, 2 * P) });
  return {
    ...learner,
    isLikelihood: false,
    objective(parameter, keys) {
      const options = pass(parameter, keys);
      const { logProbs, boundaries } = answerLogProbs(learner.config, parameter, answerInputs(shape), options);
      const sums = answerSums(logProbs); // (2P)
      const policy = sides(isMean ? f.mul(sums, f.input('lengths', 'f32', [2 * P])) : sums);
      const reference = hasReference ? sides(f.input('reference', 'f32', [2 * P])) : null;
      const weights = f.input('weights', 'f32', [P]);
      const total = (x: Tensor) => f.reshape(f.sum(f.mul(x, weights), 0), [1]);
      const { loss, metrics } = graph(policy, reference);
      const measured = total(loss);
      const told = Object.entries(metrics).map(([name, x]) => [name, total(x)] as const);
      return { measured, loss: measured, metrics: Object.fromEntries(told), boundaries };
    },
    count: ({ indices }) => countPlaces(indices),
    inputs(batch, weight) {
      const lengths = inverseLengths(batch.rows.targets, shape.rows, answer_size);
      return {
        ...answerData(batch.rows),
        ...data(batch, lengths),
        ...(isMean ? { lengths } : {}),
        weights: Float32Array.from(batch.indices, (index) => (index < 0 ? 0 : weight)),
      };
    },
  };
}

function pairOf(make: (side: keyof PairLogProbs) => Tensor): PairLogProbs {
  return { chosen: make('chosen'), rejected: make('rejected') };
}

/** Places of a batch that are not empty. */
export function countPlaces(indices: Int32Array): number {
  let count = 0;
  for (const index of indices) if (index >= 0) count++;
  return count;
}

/** (R): 1 over the number of answer tokens of each row, 0 where there are none. */
export function inverseLengths(targets: Int32Array, rows: number, answer_size: number): Float32Array {
  const lengths = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    let count = 0;
    for (let i = row * answer_size; i < (row + 1) * answer_size; i++) if (targets[i] >= 0) count++;
    lengths[row] = count > 0 ? 1 / count : 0;
  }
  return lengths;
}

export function checkPositive(name: string, value: number): void {
  if (!(value > 0 && value < Number.POSITIVE_INFINITY)) throw new SettingError(name, value, 'must be a number above 0');
}
