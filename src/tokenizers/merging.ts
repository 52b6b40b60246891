/**
 * Byte-pair merging: the best-ranked pair of neighbours becomes one symbol, leftmost first, until no pair has a rank.
 *
 * Three ways to the same result, chosen by the number of symbols:
 * - a few: look for the best pair again after every merge (quadratic, but with the smallest constant);
 * - some: a binary heap of (rank, place) with stale entries skipped when they come up;
 * - many: one bucket of places a rank and a heap of ranks only. Places of a bucket are visited from left to right, so
 *   that memory is walked in order and a text of megabytes costs time in proportion to its length.
 */
import { IntList } from './int-list.ts';

/** How a model ranks a pair of neighbouring symbols. */
export interface PairRanker {
  /** The rank of the pair (smaller merges first), or -1; sets {@link foundId} to what the pair becomes. */
  rank(symbols: Symbols, left: number, right: number): number;
  foundId: number;
}

/** Symbols of one piece: ids and the units they cover. Index = place; merged places vanish from the front `count`. */
export class Symbols {
  count = 0;
  ids = new Int32Array(64);
  starts = new Int32Array(64);
  ends = new Int32Array(64);
  /** The units of the piece, for rankers that look at text. */
  units = new Uint16Array(64);

  /** Makes room for a piece. What the last piece needed is let go when it was much larger. */
  reset(capacity: number): void {
    this.count = 0;
    const have = this.ids.length;
    if (have >= capacity && (have <= 4096 || capacity * 4 >= have)) return;
    const size = Math.max(64, capacity);
    this.ids = new Int32Array(size);
    this.starts = new Int32Array(size);
    this.ends = new Int32Array(size);
    this.units = new Uint16Array(size);
  }
}

const FEW = 40;
const SOME = 4096;

/** Merges the symbols in place; afterwards `symbols.count` symbols are left. The limits are arguments for tests. */
export function mergeSymbols(symbols: Symbols, ranker: PairRanker, few = FEW, some = SOME): void {
  if (symbols.count < 2) return;
  if (symbols.count <= few) mergeByScan(symbols, ranker);
  else new LinkedMerge(symbols, ranker).run(symbols.count > some);
}

const scanRanks = new Int32Array(256);
const scanIds = new Int32Array(256);

function mergeByScan(symbols: Symbols, ranker: PairRanker): void {
  const { ids, starts, ends } = symbols;
  const ranks = symbols.count <= 256 ? scanRanks : new Int32Array(symbols.count);
  const into = symbols.count <= 256 ? scanIds : new Int32Array(symbols.count);
  let count = symbols.count;
  for (let i = 0; i + 1 < count; i++) {
    ranks[i] = ranker.rank(symbols, i, i + 1);
    into[i] = ranker.foundId;
  }
  for (;;) {
    let best = -1;
    let bestRank = 0x7fffffff;
    for (let i = 0; i + 1 < count; i++) {
      const rank = ranks[i];
      if (rank >= 0 && rank < bestRank) {
        bestRank = rank;
        best = i;
      }
    }
    if (best < 0) break;
    ids[best] = into[best];
    ends[best] = ends[best + 1];
    count--;
    for (let i = best + 1; i < count; i++) {
      ids[i] = ids[i + 1];
      starts[i] = starts[i + 1];
      ends[i] = ends[i + 1];
      ranks[i] = ranks[i + 1];
      into[i] = into[i + 1];
    }
    if (best + 1 < count) {
      ranks[best] = ranker.rank(symbols, best, best + 1);
      into[best] = ranker.foundId;
    }
    if (best > 0) {
      ranks[best - 1] = ranker.rank(symbols, best - 1, best);
      into[best - 1] = ranker.foundId;
    }
  }
  symbols.count = count;
}

class LinkedMerge {
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  /** Rank of the pair that begins at a place, -1 where none does (or the place is gone). */
  private readonly ranks: Int32Array;
  private readonly into: Int32Array;

  constructor(
    private readonly symbols: Symbols,
    private readonly ranker: PairRanker,
  ) {
    const count = symbols.count;
    this.next = new Int32Array(count);
    this.previous = new Int32Array(count);
    this.ranks = new Int32Array(count);
    this.into = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      this.next[i] = i + 1 < count ? i + 1 : -1;
      this.previous[i] = i - 1;
    }
    for (let i = 0; i < count; i++) this.look(i);
  }

  run(buckets: boolean): void {
    if (!buckets || !this.mergeByBuckets()) this.mergeByHeap();
    this.compact();
  }

  /** Ranks the pair that begins at a place; returns the rank. */
  private look(place: number): number {
    const right = this.next[place];
    const rank = right < 0 ? -1 : this.ranker.rank(this.symbols, place, right);
    this.ranks[place] = rank;
    this.into[place] = this.ranker.foundId;
    return rank;
  }

  /** Merges the pair that begins at a place. */
  private join(place: number): void {
    const { ids, ends } = this.symbols;
    const right = this.next[place];
    ids[place] = this.into[place];
    ends[place] = ends[right];
    const after = this.next[right];
    this.next[place] = after;
    if (after >= 0) this.previous[after] = place;
    this.ranks[right] = -1;
    // An end before the start marks a place that is gone.
    ends[right] = -1;
  }

  private mergeByHeap(): void {
    const heap = new RankHeap(this.symbols.count);
    for (let i = 0; i < this.symbols.count; i++) if (this.ranks[i] >= 0) heap.push(this.ranks[i], i);
    while (heap.size > 0) {
      heap.pop();
      const place = heap.place;
      if (this.ranks[place] !== heap.rank) continue;
      this.join(place);
      const rank = this.look(place);
      if (rank >= 0) heap.push(rank, place);
      const left = this.previous[place];
      if (left < 0) continue;
      const leftRank = this.look(left);
      if (leftRank >= 0) heap.push(leftRank, left);
    }
  }

  /**
   * Returns false when a merge made a pair that ranks before or with the current bucket, which vocabularies from
   * training never do: then the state is whole and the heap takes over.
   */
  private mergeByBuckets(): boolean {
    const buckets = new Map<number, IntList>();
    const waiting = new RankHeap(64);
    const add = (rank: number, place: number) => {
      let bucket = buckets.get(rank);
      if (bucket === undefined) {
        bucket = new IntList(8);
        buckets.set(rank, bucket);
        waiting.push(rank, 0);
      }
      bucket.push(place);
    };
    for (let i = 0; i < this.symbols.count; i++) if (this.ranks[i] >= 0) add(this.ranks[i], i);
    while (waiting.size > 0) {
      waiting.pop();
      const current = waiting.rank;
      const bucket = buckets.get(current)!;
      buckets.delete(current);
      const places = bucket.data.subarray(0, bucket.length);
      for (let i = 1; i < places.length; i++) {
        if (places[i] < places[i - 1]) {
          places.sort();
          break;
        }
      }
      for (let i = 0; i < places.length; i++) {
        const place = places[i];
        if (this.ranks[place] !== current) continue;
        this.join(place);
        const rank = this.look(place);
        const left = this.previous[place];
        const leftRank = left < 0 ? -1 : this.look(left);
        if ((rank >= 0 && rank <= current) || (leftRank >= 0 && leftRank <= current)) return false;
        if (leftRank >= 0) add(leftRank, left);
        if (rank >= 0) add(rank, place);
      }
    }
    return true;
  }

  private compact(): void {
    const { ids, starts, ends } = this.symbols;
    let count = 0;
    for (let i = 0; i < this.symbols.count; i++) {
      if (ends[i] < 0) continue;
      ids[count] = ids[i];
      starts[count] = starts[i];
      ends[count] = ends[i];
      count++;
    }
    this.symbols.count = count;
  }
}

/** A binary heap of (rank, place), smallest rank first, then smallest place. */
class RankHeap {
  size = 0;
  /** What {@link pop} took out. */
  rank = 0;
  place = 0;
  private ranks: Int32Array;
  private places: Int32Array;

  constructor(capacity: number) {
    this.ranks = new Int32Array(capacity);
    this.places = new Int32Array(capacity);
  }

  push(rank: number, place: number): void {
    if (this.size === this.ranks.length) {
      const ranks = new Int32Array(this.size * 2);
      ranks.set(this.ranks);
      this.ranks = ranks;
      const places = new Int32Array(this.size * 2);
      places.set(this.places);
      this.places = places;
    }
    const { ranks, places } = this;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = ranks[parent];
      if (above < rank || (above === rank && places[parent] <= place)) break;
      ranks[at] = above;
      places[at] = places[parent];
      at = parent;
    }
    ranks[at] = rank;
    places[at] = place;
  }

  pop(): void {
    const { ranks, places } = this;
    this.rank = ranks[0];
    this.place = places[0];
    const size = --this.size;
    const rank = ranks[size];
    const place = places[size];
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= size) break;
      const right = child + 1;
      if (
        right < size &&
        (ranks[right] < ranks[child] || (ranks[right] === ranks[child] && places[right] < places[child]))
      ) {
        child = right;
      }
      if (ranks[child] > rank || (ranks[child] === rank && places[child] >= place)) break;
      ranks[at] = ranks[child];
      places[at] = places[child];
      at = child;
    }
    ranks[at] = rank;
    places[at] = place;
  }
}
