/** The Mersenne Twister (Matsumoto & Nishimura 1998), as torch's generators on the CPU: watermarks are made and found with the same numbers. */

const SIZE = 624;
const SHIFT = 397;

export class Twister {
  private readonly state = new Uint32Array(SIZE);
  private at = SIZE;

  /** @param seed its lowest 32 bits count. */
  constructor(seed: number) {
    this.seed(seed);
  }

  seed(seed: number): void {
    const { state } = this;
    state[0] = seed;
    for (let i = 1; i < SIZE; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
    this.at = SIZE;
  }

  /** 32 random bits as a number from 0. */
  next(): number {
    if (this.at === SIZE) this.twist();
    let y = this.state[this.at++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** `next()` modulo `n`: a division of doubles is exact for 32 bits, and several times as fast as their remainder. */
  below(n: number): number {
    const x = this.next();
    return x - Math.floor(x / n) * n;
  }

  private twist(): void {
    const { state } = this;
    // No branch and no closure: half the bits are 1, and half a million numbers go into a step of selfhash.
    let i = 0;
    for (; i < SIZE - SHIFT; i++) state[i] = state[i + SHIFT] ^ mixed(state[i], state[i + 1]);
    for (; i < SIZE - 1; i++) state[i] = state[i + SHIFT - SIZE] ^ mixed(state[i], state[i + 1]);
    state[i] = state[SHIFT - 1] ^ mixed(state[i], state[0]);
    this.at = 0;
  }
}

function mixed(high: number, low: number): number {
  const y = (high & 0x80000000) | (low & 0x7fffffff);
  return (y >>> 1) ^ (-(y & 1) & 0x9908b0df);
}

/** The first `count` of a random order of 0 … size - 1: torch's `randperm`. @param order room for `size` numbers. */
export function firstOfOrder(twister: Twister, size: number, count: number, order: Int32Array): Int32Array {
  for (let i = 0; i < size; i++) order[i] = i;
  for (let i = 0; i < Math.min(count, size - 1); i++) {
    const other = i + twister.below(size - i);
    const kept = order[i];
    order[i] = order[other];
    order[other] = kept;
  }
  return order.subarray(0, count);
}

/** Whether `item` is among the first `count` of that order, without making it. */
export function isAmongFirst(twister: Twister, size: number, count: number, item: number): boolean {
  let place = item;
  for (let i = 0; i < Math.min(count, size - 1); i++) {
    const other = i + twister.below(size - i);
    if (other === place) return true;
    if (place === i) place = other;
  }
  return place < count;
}
