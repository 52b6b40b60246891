/** How often each pair of neighbouring tokens occurs: an open-addressing table of 16 bytes an entry, one cache line a probe. */
export class PairTable {
  /** Kept so that looking ahead is not optimised away. */
  looked = 0;
  private used = 0;
  private mask: number;
  /** For each slot: left + 1 (0 where free), right, and the count as a 64-bit float. */
  private keys: Int32Array;
  private counts: Float64Array;

  constructor(capacity = 1 << 16) {
    this.mask = capacity - 1;
    const memory = new ArrayBuffer(capacity * 16);
    this.keys = new Int32Array(memory);
    this.counts = new Float64Array(memory);
  }

  get size(): number {
    return this.used;
  }

  /** Adds to the count of a pair and returns what it is now. */
  add(left: number, right: number, change: number): number {
    const { keys, counts, mask } = this;
    for (let slot = slotOf(left, right) & mask; ; slot = (slot + 1) & mask) {
      const found = keys[4 * slot];
      if (found === left + 1 && keys[4 * slot + 1] === right) {
        const count = counts[2 * slot + 1] + change;
        counts[2 * slot + 1] = count;
        return count;
      }
      if (found !== 0) continue;
      keys[4 * slot] = left + 1;
      keys[4 * slot + 1] = right;
      counts[2 * slot + 1] = change;
      if (++this.used * 3 > mask * 2) this.grow();
      return change;
    }
  }

  /** Takes from the count of a pair, if it is there at all. */
  subtract(left: number, right: number, change: number): void {
    const { keys, counts, mask } = this;
    for (let slot = slotOf(left, right) & mask; ; slot = (slot + 1) & mask) {
      const found = keys[4 * slot];
      if (found === left + 1 && keys[4 * slot + 1] === right) {
        counts[2 * slot + 1] -= change;
        return;
      }
      if (found === 0) return;
    }
  }

  each(visit: (left: number, right: number, count: number) => void): void {
    const { keys, counts } = this;
    for (let slot = 0; slot * 4 < keys.length; slot++) {
      if (keys[4 * slot] !== 0) visit(keys[4 * slot] - 1, keys[4 * slot + 1], counts[2 * slot + 1]);
    }
  }

  /**
   * Looks at where the pairs of one token with others are, and forgets it: the loads of a short loop overlap, and the
   * changes that follow find their entries near.
   */
  lookAhead(others: Int32Array, count: number, token: number, tokenIsLeft: boolean): void {
    const { keys, mask } = this;
    let seen = 0;
    if (tokenIsLeft) for (let i = 0; i < count; i++) seen ^= keys[4 * (slotOf(token, others[i]) & mask)];
    else for (let i = 0; i < count; i++) seen ^= keys[4 * (slotOf(others[i], token) & mask)];
    this.looked = seen;
  }

  /** The count of a pair, 0 for one that never was. */
  get(left: number, right: number): number {
    const { keys, mask } = this;
    for (let slot = slotOf(left, right) & mask; ; slot = (slot + 1) & mask) {
      const found = keys[4 * slot];
      if (found === left + 1 && keys[4 * slot + 1] === right) return this.counts[2 * slot + 1];
      if (found === 0) return 0;
    }
  }

  private grow(): void {
    const { keys: oldKeys, counts: oldCounts } = this;
    const capacity = (this.mask + 1) * 2;
    this.mask = capacity - 1;
    const memory = new ArrayBuffer(capacity * 16);
    const keys = new Int32Array(memory);
    const counts = new Float64Array(memory);
    for (let i = 0; i * 4 < oldKeys.length; i++) {
      const left = oldKeys[4 * i];
      if (left === 0) continue;
      const right = oldKeys[4 * i + 1];
      let slot = slotOf(left - 1, right) & this.mask;
      while (keys[4 * slot] !== 0) slot = (slot + 1) & this.mask;
      keys[4 * slot] = left;
      keys[4 * slot + 1] = right;
      counts[2 * slot + 1] = oldCounts[2 * i + 1];
    }
    this.keys = keys;
    this.counts = counts;
  }
}

function slotOf(left: number, right: number): number {
  const hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
  return hash ^ (hash >>> 15);
}
