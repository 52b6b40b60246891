/** Random numbers for data: pure functions of where they are used, so that nothing but the step number is ever saved. */
import { philox } from '../../tensor/ops/lookup.ts';

/**
 * Sets these numbers apart from those that graphs draw (0 in this word of the counter) and from those of sampling
 * (0x5a000000 and the 2^24 after it).
 */
const DATA = 0x5d000000;

/** What a number decides. Each purpose has a stream of its own. */
export const Purpose = { source: 0, position: 1, split: 2, order: 3, mixture: 4, weights: 5 } as const;
export type Purpose = (typeof Purpose)[keyof typeof Purpose];

/**
 * Four random words of 32 bits (Philox4x32-10).
 * @param seed a whole number from 0 to 2^53 - 1.
 * @param a which number: 0 to 2^32 - 1 (a sample of a step, a source).
 * @param b which number: 0 to 2^53 - 1 (a step, a document, an epoch).
 */
export function words(seed: number, purpose: Purpose, a: number, b: number): [number, number, number, number] {
  return philox([a >>> 0, DATA + purpose, b >>> 0, high(b)], [seed >>> 0, high(seed)]);
}

/** A number in [0, 1) with 53 random bits; parameters as for `words`. */
export function uniform(seed: number, purpose: Purpose, a: number, b: number): number {
  const [x, y] = words(seed, purpose, a, b);
  return ((x >>> 5) * 2 ** 26 + (y >>> 6)) / 2 ** 53;
}

/** The bits above the lowest 32. */
function high(x: number): number {
  return Math.floor(x / 2 ** 32);
}
