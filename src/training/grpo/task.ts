/** GRPO (Shao et al. 2024) as a task: a clipped policy gradient over answers that the model itself gave. */
import { SettingError } from '../../errors.ts';
import { f, type Tensor } from '../../tensor/index.ts';
import type { Learner } from '../learner.ts';
import { type AnswerRows, type AnswerShape, answerData, answerInputs, answerLogProbs } from '../preference/answers.ts';
import type { TrainingTask } from '../task.ts';

/** Answers with what they were worth: (R) rows, (R, A) tokens. */
export interface PolicyBatch {
  readonly rows: AnswerRows;
  /** (R) */
  readonly advantages: Float32Array;
  /** (R, A): the share of each token in its answer's part of the loss. */
  readonly shares: Float32Array;
  /** (R, A): log-probabilities under the model that gave the answers; null where that is the model as it is. */
  readonly old: Float32Array | null;
  /** (R, A): log-probabilities under the reference; null without one. */
  readonly reference: Float32Array | null;
  /** What is told of each answer, by the names of the task: (names, R). */
  readonly told: Float32Array;
}

export interface GrpoTaskSettings extends AnswerShape {
  /** What logits are divided by, when answers are sampled and here; 1 unless given. */
  readonly temperature?: number;
  /** The ratio of probabilities is clipped to 1 - epsilon … 1 + epsilon_high; 0.2 unless given, epsilon_high as epsilon. */
  readonly epsilon?: number;
  readonly epsilon_high?: number;
  /** Weight of the KL divergence from the reference; 0 unless given. */
  readonly beta?: number;
  /** Steps with the same answers; 1 unless given. */
  readonly num_iterations?: number;
  /** Metrics that are known when a batch is made: see `toldNames`. */
  readonly told: readonly string[];
}

/**
 * Each token adds share * (-min(ratio A, clip(ratio) A) + beta KL), ratio = π(token) / π_old(token), KL estimated as
 * π_ref / π - log(π_ref / π) - 1 (equation 4). Measured is that sum, which says little: look at the rewards. Metrics are those told by the
 * batch, `clip_share` (of an answer's tokens) and with `beta` `kl`; means over answers.
 * @throws SettingError for a setting out of range.
 */
export function grpoTask({ pass, ...learner }: Learner, settings: GrpoTaskSettings): TrainingTask<PolicyBatch> {
  const { rows: R, block_size, answer_size: A, told } = settings;
  const { temperature = 1, epsilon = 0.2, epsilon_high = epsilon, beta = 0, num_iterations = 1 } = settings;
  if (!(temperature > 0 && Number.isFinite(temperature)))
    throw new SettingError('temperature', temperature, 'must be a number above 0');
  if (!(epsilon > 0 && epsilon < 1)) throw new SettingError('epsilon', epsilon, 'must be between 0 and 1');
  if (!(epsilon_high > 0 && Number.isFinite(epsilon_high)))
    throw new SettingError('epsilon_high', epsilon_high, 'must be a number above 0');
  if (!(beta >= 0 && Number.isFinite(beta))) throw new SettingError('beta', beta, 'must be a number from 0');
  const shape = { rows: R, block_size, answer_size: A };
  const tokens = (name: string) => f.input(name, 'f32', [R, A]);
  return {
    ...learner,
    isLikelihood: false,
    objective(parameter, keys) {
      const options = { ...pass(parameter, keys), temperature };
      const { logProbs, boundaries } = answerLogProbs(learner.config, parameter, answerInputs(shape), options);
      const advantages = f.input('advantages', 'f32', [R, 1]);
      const weights = f.input('weights', 'f32', [R, 1]);
      const [shares, parts] = [tokens('shares'), tokens('parts')];
      const total = (x: Tensor) => f.reshape(f.sum(x, 0, 2), [1]);
      const mean = (x: Tensor) => total(f.mul(f.mul(x, parts), weights)); // over tokens, then over answers
      const old = num_iterations > 1 ? tokens('old') : f.detach(logProbs);
      const ratio = f.exp(f.sub(logProbs, old)); // (R, A)
      const clipped = f.clamp(ratio, 1 - epsilon, 1 + epsilon_high);
      const gain = f.minimum(f.mul(ratio, advantages), f.mul(clipped, advantages));
      const kl = beta > 0 ? klEstimate(f.sub(tokens('reference'), logProbs)) : null;
      const each = kl ? f.add(f.neg(gain), f.affine(kl, beta, 0)) : f.neg(gain);
      const measured = total(f.mul(f.mul(each, shares), weights));
      const isClipped = f.greater(f.mul(f.sub(ratio, clipped), advantages), f.constant([0], [1]));
      const sums = f.sum(f.mul(f.input('told', 'f32', [told.length, R]), f.reshape(weights, [R])), 1); // (names, 1)
      const known = told.map((name, i) => [name, f.reshape(f.slice(sums, 0, i, i + 1), [1])] as const);
      const metrics = { ...Object.fromEntries(known), ...(kl ? { kl: mean(kl) } : {}), clip_share: mean(isClipped) };
      return { measured, loss: measured, metrics, boundaries };
    },
    count: ({ rows }) => rows.rows,
    inputs({ rows, advantages, shares, old, reference, told: values }, weight) {
      return {
        ...answerData(rows),
        advantages,
        shares,
        parts: partsOf(rows),
        weights: new Float32Array(R).fill(weight),
        told: values,
        ...(num_iterations > 1 && old ? { old } : {}),
        ...(beta > 0 && reference ? { reference } : {}),
      };
    },
  };
}

/** e^x - x - 1: never below 0, and its mean under π is the KL divergence (Schulman 2020, "k3"). */
function klEstimate(x: Tensor): Tensor {
  return f.affine(f.sub(f.exp(x), x), 1, -1);
}

/** (R, A): 1 over the number of tokens of the answer, 0 where there is no token. */
function partsOf({ rows, answer_size, targets }: AnswerRows): Float32Array {
  const parts = new Float32Array(targets.length);
  for (let row = 0; row < rows; row++) {
    const at = row * answer_size;
    let count = 0;
    while (count < answer_size && targets[at + count] >= 0) count++;
    parts.fill(count > 0 ? 1 / count : 0, at, at + count);
  }
  return parts;
}
