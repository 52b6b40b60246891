/** Random numbers for sampling: pure functions of where they are used, so that batches and threads change nothing. */
import { philox } from '../tensor/ops/lookup.ts';

/** Sets the numbers of sampling apart from those that graphs draw, whose counters have 0 here. */
const SAMPLING = 0x5a000000;

/**
 * A number in [0, 1) with 53 random bits (Philox4x32-10), for one choice.
 * @param seed the generation's seed, a whole number from 0 to 2^53 - 1.
 * @param stream which of the answers of a prompt, 0 to 2^53 - 1.
 * @param step which token of the answer, 0 to 2^32 - 1.
 * @param draw which number, where a step needs several: 0 to 2^24 - 1.
 */
export function uniform(seed: number, stream: number, step: number, draw = 0): number {
  const [a, b] = philox([step, SAMPLING + draw, stream >>> 0, high(stream)], [seed >>> 0, high(seed)]);
  return ((a >>> 5) * 2 ** 26 + (b >>> 6)) / 2 ** 53;
}

/**
 * A seed for whoever gave none: 32 bits, short enough to be read out and typed again. It keeps no secret, so it need not be unpredictable;
 * Node's cryptography would take a fiftieth of the time to the first token to load.
 */
export function drawSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}

/** The bits above the lowest 32. */
function high(x: number): number {
  return Math.floor(x / 2 ** 32);
}
