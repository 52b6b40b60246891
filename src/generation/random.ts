/** Random numbers for sampling: pure functions of where they are used, so that batches and threads change nothing. */
import { philox } from '../tensor/ops/lookup.ts';

/**
 * A number in [0, 1) with 53 random bits, for one choice.
 * @param seed the generation's seed, a whole number from 0 to 2^53 - 1.
 * @param stream which of the answers of a prompt.
 * @param step which token of the answer.
 */
export function uniform(seed: number, stream: number, step: number): number {
  const [a, b] = philox([step, stream, 0, 0], [seed >>> 0, Math.floor(seed / 2 ** 32)]);
  return ((a >>> 5) * 2 ** 26 + (b >>> 6)) / 2 ** 53;
}
