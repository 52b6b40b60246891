/**
 * A shuffle that is a function: where the i-th of n things goes, without a table. A balanced Feistel network on the
 * smallest even number of bits that holds n (Luby and Rackoff 1988), walked along its cycle until it comes back below
 * n (Black and Rogaway 2002), which makes it a bijection of 0 … n-1 for any n.
 */
import { Purpose, words } from './random.ts';

/** Enough for a shuffle that no statistics of training can tell from a random one. */
const ROUNDS = 8;

/** A bijection of 0 … size-1, chosen by `seed`, `stream` (0 to 2^32 - 2) and `epoch`. `size` is at most 2^52. */
export class Permutation {
  private readonly half: number;
  private readonly keys: number[] = [];

  constructor(
    readonly size: number,
    seed: number,
    stream: number,
    readonly epoch: number,
  ) {
    let half = 1;
    while (4 ** half < size) half++;
    this.half = half;
    const [a, b, c, d] = words(seed, Purpose.order, stream, epoch);
    for (let round = 0; round < ROUNDS; round++) this.keys.push(mix([a, b, c, d][round % 4] + round * 0x9e3779b9));
  }

  /** The place of `index`. */
  at(index: number): number {
    const { half, keys } = this;
    const span = 2 ** half;
    let x = index;
    do {
      let left = Math.floor(x / span);
      let right = x % span;
      for (const key of keys) [left, right] = [right, (left ^ (mix(right ^ key) >>> (32 - half))) >>> 0];
      x = left * span + right;
    } while (x >= this.size);
    return x;
  }
}

/** Spreads 32 bits over 32 bits (the finaliser of MurmurHash3, Appleby 2011, with a multiplication before it). */
function mix(x: number): number {
  let h = Math.imul(x ^ 0x2545f491, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
