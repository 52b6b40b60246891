/** The merge rules of a BPE vocabulary: pairs of ids -> rank and the id that the pair becomes. */
export class MergeTable {
  readonly count: number;
  /** The id that the pair of each rank becomes. */
  readonly merged: Int32Array;
  private readonly lefts: Int32Array;
  private readonly rights: Int32Array;
  private readonly ranks: Int32Array;
  private readonly mask: number;

  /** @param pairs left, right, merged; left, right, merged; … in order of rank. The first of two equal pairs counts. */
  constructor(pairs: Int32Array) {
    this.count = pairs.length / 3;
    this.merged = new Int32Array(this.count);
    let capacity = 16;
    while (capacity < this.count * 2) capacity *= 2;
    this.mask = capacity - 1;
    this.lefts = new Int32Array(capacity);
    this.rights = new Int32Array(capacity);
    this.ranks = new Int32Array(capacity).fill(-1);
    for (let rank = 0; rank < this.count; rank++) {
      const left = pairs[rank * 3];
      const right = pairs[rank * 3 + 1];
      this.merged[rank] = pairs[rank * 3 + 2];
      let slot = this.slot(left, right);
      while (this.ranks[slot] >= 0 && (this.lefts[slot] !== left || this.rights[slot] !== right)) {
        slot = (slot + 1) & this.mask;
      }
      if (this.ranks[slot] >= 0) continue;
      this.lefts[slot] = left;
      this.rights[slot] = right;
      this.ranks[slot] = rank;
    }
  }

  /** The rank of a pair, or -1. */
  find(left: number, right: number): number {
    for (let slot = this.slot(left, right); ; slot = (slot + 1) & this.mask) {
      const rank = this.ranks[slot];
      if (rank < 0 || (this.lefts[slot] === left && this.rights[slot] === right)) return rank;
    }
  }

  private slot(left: number, right: number): number {
    const hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right + 0x7f4a7c15, 0x85ebca6b);
    return (hash ^ (hash >>> 15)) & this.mask;
  }
}
