import { IntList } from '../int-list.ts';

/**
 * Pairs waiting to be merged, largest count first, ties by the ids of the pair (left, then right, smaller first).
 *
 * Nearly all pairs are too rare ever to be merged, so the heap holds only those at or above a bound; the others wait
 * unsorted, and when the heap runs dry the bound is lowered and those that reach it move in.
 */
export class MergeQueue {
  /** Entry -> the count it had when it was last filed; -1 once it is taken. */
  private counts = new Float64Array(1 << 12);
  private readonly lefts = new IntList(1 << 12);
  private readonly rights = new IntList(1 << 12);
  private readonly offsets = new IntList(1 << 12);
  private readonly lengths = new IntList(1 << 12);
  private readonly lists: Int32Array[] = [];
  private readonly heap = new IntList(1 << 12);
  private bound = Number.POSITIVE_INFINITY;
  /** The largest count below the bound. */
  private below = -1;

  /** @param compare the order of tokens in which the greater of equally frequent pairs comes first, if not the ids decide. */
  constructor(private readonly compare?: (a: number, b: number) => number) {}

  left(entry: number): number {
    return this.lefts.data[entry];
  }

  right(entry: number): number {
    return this.rights.data[entry];
  }

  count(entry: number): number {
    return this.counts[entry];
  }

  /** Where the pair was when the entry was made. */
  positions(entry: number): Int32Array {
    const offset = this.offsets.data[entry];
    return this.lists[entry].subarray(offset, offset + this.lengths.data[entry]);
  }

  push(left: number, right: number, count: number, list: Int32Array, offset: number, length: number): void {
    const entry = this.lists.length;
    if (entry === this.counts.length) {
      const grown = new Float64Array(entry * 2);
      grown.set(this.counts);
      this.counts = grown;
    }
    this.lefts.push(left);
    this.rights.push(right);
    this.offsets.push(offset);
    this.lengths.push(length);
    this.lists.push(list);
    this.file(entry, count);
  }

  /** Files an entry that was taken under another count. */
  file(entry: number, count: number): void {
    this.counts[entry] = count;
    if (count >= this.bound) this.rise(entry);
    else if (count > this.below) this.below = count;
  }

  /** Takes the first entry out, or gives -1 when there is none. */
  take(): number {
    if (this.heap.length === 0) this.refill();
    const { heap } = this;
    if (heap.length === 0) return -1;
    const first = heap.data[0];
    const last = heap.data[--heap.length];
    if (heap.length > 0) this.sink(last);
    return first;
  }

  /** Forgets the places of an entry that is done with. */
  drop(entry: number): void {
    this.counts[entry] = -1;
    this.lists[entry] = NOTHING;
    this.lengths.data[entry] = 0;
  }

  private refill(): void {
    if (this.below < 0) return;
    const old = this.bound;
    this.bound = this.below < 4 ? this.below : Math.floor(this.below / 2);
    this.below = -1;
    const { counts, bound } = this;
    for (let entry = 0; entry < this.lists.length; entry++) {
      const count = counts[entry];
      if (count >= old || count < 0) continue;
      if (count >= bound) this.rise(entry);
      else if (count > this.below) this.below = count;
    }
  }

  private before(a: number, b: number): boolean {
    const difference = this.counts[a] - this.counts[b];
    if (difference !== 0) return difference > 0;
    const { lefts, rights, compare } = this;
    if (compare !== undefined) {
      return (compare(lefts.data[a], lefts.data[b]) || compare(rights.data[a], rights.data[b])) > 0;
    }
    const left = lefts.data[a] - lefts.data[b];
    return left !== 0 ? left < 0 : rights.data[a] < rights.data[b];
  }

  private rise(entry: number): void {
    const { heap } = this;
    heap.push(entry);
    const { data } = heap;
    let at = heap.length - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.before(entry, data[parent])) break;
      data[at] = data[parent];
      at = parent;
    }
    data[at] = entry;
  }

  private sink(entry: number): void {
    const { data, length } = this.heap;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && this.before(data[child + 1], data[child])) child++;
      if (!this.before(data[child], entry)) break;
      data[at] = data[child];
      at = child;
    }
    data[at] = entry;
  }
}

const NOTHING = new Int32Array(0);
