/** KTO (Ethayarajh et al. 2024): what learns from single answers that were liked or were not. */
import { f, type Tensor } from '../../tensor/index.ts';
import type { Learner } from '../learner.ts';
import type { TrainingTask } from '../task.ts';
import { answerData, answerInputs, answerLogProbs, answerSums } from './answers.ts';
import type { AnswerSizes, LabelledBatch } from './batches.ts';
import { ktoLoss } from './losses.ts';
import { checkPositive, countPlaces } from './pair_tasks.ts';

export interface KtoSettings extends AnswerSizes {
  /** Answers in a batch: R. The KL divergence is estimated from as many others. */
  readonly batch_size: number;
  /** How dear it is to leave the reference; 0.1 unless given. */
  readonly beta?: number;
  /** Of the losses of what is desirable and what is not; 1 unless given. The paper has (weight x count) of the two within 1 to 4/3. */
  readonly desirable_weight?: number;
  readonly undesirable_weight?: number;
}

/** Sums of log-probabilities under the reference, in the order of the examples. */
export interface LabelledReference {
  readonly answers: Float32Array;
  /** Of the answers of `mismatchedAnswers`. */
  readonly mismatched: Float32Array;
}

/**
 * Kahneman-Tversky optimisation. The reference point z is the mean log-ratio of the batch's mismatched answers, at least 0, and no
 * gradient goes through it (as in trl). With accumulation each batch has its own. Measured is the loss; metrics are `accuracy`, the share
 * of answers on the right side of z, `margin`, the mean of beta times the log-ratio, of what is undesirable with the other sign, and `kl`.
 * @param reference as of `dpoTask`.
 * @throws SettingError for a setting out of range.
 */
export function ktoTask(
  { pass, ...learner }: Learner,
  settings: KtoSettings,
  reference: LabelledReference,
): TrainingTask<LabelledBatch> {
  const { batch_size: R, block_size, answer_size } = settings;
  const { beta = 0.1, desirable_weight = 1, undesirable_weight = 1 } = settings;
  for (const [name, value] of Object.entries({ beta, desirable_weight, undesirable_weight }))
    checkPositive(name, value);
  const shape = { rows: R, block_size, answer_size };
  return {
    ...learner,
    isLikelihood: false,
    objective(parameter, keys) {
      const row = (name: string) => f.input(name, 'f32', [R]);
      const total = (x: Tensor, weights: Tensor) => f.reshape(f.sum(f.mul(x, weights), 0), [1]);
      const ratioOf = (prefix: string, of: Tensor | null) =>
        answerLogProbs(learner.config, parameter, answerInputs(shape, prefix), pass(parameter, of));
      const { logProbs, boundaries } = ratioOf('', keys);
      const ratio = f.sub(answerSums(logProbs), row('reference'));
      const others = f.sub(answerSums(ratioOf('other.', null).logProbs), row('other.reference'));
      const kl = f.detach(f.clamp(total(others, row('other.weights')), 0, Number.POSITIVE_INFINITY)); // (1)
      const [sign, weights] = [row('signs'), row('weights')];
      const measured = total(ktoLoss(ratio, kl, sign, beta), f.mul(row('balance'), weights));
      const reward = f.affine(f.mul(ratio, sign), beta, 0);
      const right = f.greater(f.mul(f.sub(ratio, kl), sign), f.constant([0], [1]));
      const metrics = {
        accuracy: total(right, weights),
        margin: total(reward, weights),
        kl: total(f.broadcastTo(kl, [R]), weights),
      };
      return { measured, loss: measured, metrics, boundaries };
    },
    count: ({ indices }) => countPlaces(indices),
    inputs(batch, weight) {
      const { indices, signs, rows, mismatched } = batch;
      const here = countPlaces(indices);
      const each = (value: (index: number, i: number) => number) =>
        Float32Array.from(indices, (index, i) => (index < 0 ? 0 : value(index, i)));
      return {
        ...answerData(rows),
        ...answerData(mismatched, 'other.'),
        signs,
        reference: each((index) => reference.answers[index]),
        weights: each(() => weight),
        balance: each((_, i) => (signs[i] > 0 ? desirable_weight : undesirable_weight)),
        'other.reference': each((index) => reference.mismatched[index]),
        'other.weights': each(() => 1 / here),
      };
    },
  };
}
