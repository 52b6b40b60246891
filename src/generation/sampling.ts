/** From processed scores to a token. */
import { SettingError } from '../errors.ts';

export interface Choice {
  readonly token: number;
  /** Natural logarithm of its probability under the processed scores. */
  readonly logprob: number;
}

/** The token of the greatest score; the smallest id among equals. */
export function argmax(scores: Float32Array): Choice {
  let token = 0;
  let greatest = scores[0];
  for (let i = 1; i < scores.length; i++) {
    if (scores[i] > greatest) {
      greatest = scores[i];
      token = i;
    }
  }
  return { token, logprob: -logTotal(scores, greatest) };
}

/**
 * The token at `random` of the cumulative distribution in the order of token ids.
 * @param random in [0, 1).
 * @throws SettingError when the processors left no token at all.
 */
export function sampleToken(scores: Float32Array, random: number): Choice {
  let greatest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < scores.length; i++) if (scores[i] > greatest) greatest = scores[i];
  if (!Number.isFinite(greatest)) throw new SettingError('settings', greatest, 'leave no token to choose from');
  let total = 0;
  for (let i = 0; i < scores.length; i++)
    if (scores[i] !== Number.NEGATIVE_INFINITY) total += Math.exp(scores[i] - greatest);
  const target = random * total;
  let sum = 0;
  let last = 0;
  for (let i = 0; i < scores.length; i++) {
    if (scores[i] === Number.NEGATIVE_INFINITY) continue;
    last = i;
    sum += Math.exp(scores[i] - greatest);
    if (sum > target) break;
  }
  return { token: last, logprob: scores[last] - greatest - Math.log(total) };
}

/** log Σ exp(score) - greatest. Terms under e^-20 of the greatest do not show in the seven digits that are reported. */
function logTotal(scores: Float32Array, greatest: number): number {
  let total = 0;
  for (let i = 0; i < scores.length; i++) {
    const x = scores[i] - greatest;
    if (x > -20) total += Math.exp(x);
  }
  return Math.log(total);
}
