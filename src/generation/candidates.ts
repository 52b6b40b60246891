/**
 * The tokens of one row that a chain of warpers has not removed yet. The chain narrows hundreds of thousands of tokens to a few: once
 * it has, later warpers touch the few alone, and only the end writes the whole row again.
 */
import { exponential, tokensAbove } from './rows.ts';
import type { LogitsProcessor, ProcessorContext, Scores } from './types.ts';

const REMOVED = Number.NEGATIVE_INFINITY;

/** A warper removes candidates or changes their scores. */
export type Warper = (candidates: Candidates, context: ProcessorContext) => void;

/** Where a ranking ends: every key below `key` is inside, and `ties` of those equal to it, smallest ids first. */
export interface Cut {
  readonly key: number;
  readonly ties: number;
}

/** Up to this many, `keepTop` finds the greatest with a heap in one pass. */
const HEAP = 4096;

export class Candidates {
  /** How many there are, once they are listed. */
  count = 0;
  /** Their ids, ascending, and their scores: the first `count` count. */
  ids = new Int32Array(0);
  values = new Float32Array(0);
  /** e^(value - greatest), after `softmax`; their sum; the greatest value. */
  weights: Float64Array = new Float64Array(0);
  total = 0;
  greatest = REMOVED;
  /** Room for a warper's own numbers, one for each candidate. */
  keys: Float64Array = new Float64Array(0);

  private scores: Scores = new Float32Array(0);
  /** False while every token of the row is a candidate and none is listed. */
  private isListed = false;
  /** By what the scores of the row are still to be divided. */
  private divisor = 1;
  private readonly heap = new Float32Array(HEAP);
  private readonly ranking = new Ranking();

  /** Tokens of the row, removed ones included. */
  get size(): number {
    return this.scores.length;
  }

  begin(scores: Scores): void {
    this.scores = scores;
    this.isListed = false;
    this.divisor = 1;
    if (this.ids.length !== scores.length) {
      this.ids = new Int32Array(scores.length);
      this.values = new Float32Array(scores.length);
    }
  }

  /** Write what is left back: candidates with their scores, -Infinity everywhere else. */
  end(): void {
    const { scores, divisor } = this;
    if (this.isListed) {
      scores.fill(REMOVED);
      for (let i = 0; i < this.count; i++) scores[this.ids[i]] = this.values[i];
    } else if (divisor !== 1) {
      for (let i = 0; i < scores.length; i++) scores[i] /= divisor;
    }
  }

  /** Divide every score. While nothing is listed this waits: most tokens will be removed before it matters. */
  divide(divisor: number): void {
    if (!this.isListed && this.divisor === 1) this.divisor = Math.fround(divisor);
    else {
      this.list();
      for (let i = 0; i < this.count; i++) this.values[i] /= Math.fround(divisor);
    }
  }

  /** List the tokens that are there. Scores that are not numbers are not. */
  list(): void {
    if (this.isListed) return;
    this.count = tokensAbove(this.scores, REMOVED, this.ids);
    this.take();
  }

  private take(): void {
    for (let i = 0; i < this.count; i++) this.values[i] = this.scores[this.ids[i]] / this.divisor;
    this.isListed = true;
  }

  /** Make `weights`, `total` and `greatest` those of the candidates. */
  softmax(): void {
    this.list();
    const { count, values } = this;
    this.weights = withRoom(this.weights, count);
    const { weights } = this;
    let greatest = REMOVED;
    for (let i = 0; i < count; i++) if (values[i] > greatest) greatest = values[i];
    let total = 0;
    for (let i = 0; i < count; i++) {
      const weight = values[i] === greatest ? 1 : exponential(values[i] - greatest);
      weights[i] = weight;
      total += weight;
    }
    this.greatest = greatest;
    this.total = total;
  }

  /** -Σ p log p, after `softmax`. */
  entropy(): number {
    const { count, values, weights, greatest } = this;
    let sum = 0;
    for (let i = 0; i < count; i++) if (weights[i] > 0 && weights[i] < 1) sum += weights[i] * (values[i] - greatest);
    return Math.log(this.total) - sum / this.total;
  }

  /** Fill `keys` with what ranks candidates from the most probable down. */
  rankByValue(): void {
    this.list();
    const { count, values } = this;
    this.keys = withRoom(this.keys, count);
    const { keys } = this;
    for (let i = 0; i < count; i++) keys[i] = -values[i];
  }

  /** Fill `keys`: the key of candidate i. Those of the smallest keys are to stay. */
  rankBy(key: (i: number) => number): void {
    this.keys = withRoom(this.keys, this.count);
    for (let i = 0; i < this.count; i++) this.keys[i] = key(i);
  }

  /** Remove candidates whose weight is less than `least`, after `softmax`; the weights of the others, and their total, stay. */
  dropBelow(least: number): void {
    const { count, ids, values, weights } = this;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      if (weights[i] < least) continue;
      ids[kept] = ids[i];
      values[kept] = values[i];
      weights[kept++] = weights[i];
    }
    this.count = kept;
  }

  /** Remove the candidates that `isKept` is false for; then `weights` are stale. */
  filter(isKept: (i: number) => boolean): void {
    let kept = 0;
    for (let i = 0; i < this.count; i++) {
      if (!isKept(i)) continue;
      this.ids[kept] = this.ids[i];
      this.values[kept++] = this.values[i];
    }
    this.count = kept;
  }

  /** Where the ranking by `keys`, ascending, first has `mass` of weight; the weight of each is 1 without `weights`. */
  cutAt(mass: number, weights: Float64Array | null): Cut {
    return this.ranking.cut(this.keys, weights, this.count, mass);
  }

  /** Remove what lies outside the wider of the cuts of the ranking by `keys`. */
  keepWithin(a: Cut, b: Cut = a): void {
    const { key, ties } = a.key === b.key ? { key: a.key, ties: Math.max(a.ties, b.ties) } : a.key > b.key ? a : b;
    const { keys } = this;
    let room = ties;
    this.filter((i) => keys[i] < key || (keys[i] === key && room-- > 0));
  }

  /** Keep the k greatest scores and all that equal the least of them. */
  keepTop(k: number): void {
    if (!this.isListed && k <= HEAP) {
      this.keepTopOfRow(k);
      return;
    }
    this.list();
    if (k >= this.count) return;
    this.rankByValue();
    this.keepWithin({ key: this.cutAt(k, null).key, ties: Number.POSITIVE_INFINITY });
  }

  /**
   * `keepTop` on the row itself in one pass: a heap whose root is the least of the k greatest so far says what may still matter. Division
   * can make neighbouring scores equal, so what lies a few units of rounding below the root is carried along and judged at the end.
   */
  private keepTopOfRow(k: number): void {
    const { scores, ids, divisor } = this;
    const heap = this.heap.fill(REMOVED, 0, k);
    const blocks = scores.length & ~7;
    let least = REMOVED;
    let count = 0;
    for (let i = 0; i < scores.length; i += 8) {
      if (
        i < blocks &&
        !(
          scores[i] > least ||
          scores[i + 1] > least ||
          scores[i + 2] > least ||
          scores[i + 3] > least ||
          scores[i + 4] > least ||
          scores[i + 5] > least ||
          scores[i + 6] > least ||
          scores[i + 7] > least
        )
      ) {
        continue;
      }
      for (let j = i; j < i + 8 && j < scores.length; j++) {
        if (!(scores[j] > least)) continue;
        ids[count++] = j;
        if (scores[j] > heap[0]) least = justBelow(replaceRoot(heap, k, scores[j]));
      }
    }
    const limit = Math.fround(heap[0] / divisor);
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const value = Math.fround(scores[ids[i]] / divisor);
      if (value >= limit) ids[kept++] = ids[i];
    }
    this.count = kept;
    this.take();
  }
}

/** The same array when it has room for `count` numbers, else a larger one. */
function withRoom(array: Float64Array, count: number): Float64Array {
  return array.length >= count ? array : new Float64Array(Math.max(256, count + (count >> 2)));
}

/** Put a number in the place of the root of a heap of `size`. @returns the new root, the least of all. */
function replaceRoot(heap: Float32Array, size: number, value: number): number {
  let at = 0;
  for (let child = 1; child < size; child = 2 * at + 1) {
    if (child + 1 < size && heap[child + 1] < heap[child]) child++;
    if (heap[child] >= value) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = value;
  return heap[0];
}

/** A number a few units of rounding below a 32-bit one: nothing that division can make equal to it is smaller. */
function justBelow(value: number): number {
  if (value === Number.POSITIVE_INFINITY) return Number.MAX_VALUE;
  return value === REMOVED ? REMOVED : value - Math.abs(value) * 2 ** -20 - 2 ** -120;
}

const BUCKETS = 1024;

/** Finds where a ranking reaches a mass without sorting: masses by bucket, then the one bucket that matters, again in buckets. */
class Ranking {
  private readonly masses = new Float64Array(BUCKETS);
  private buckets = new Uint16Array(0);
  private keys: Float64Array = new Float64Array(0);
  private weights: Float64Array = new Float64Array(0);

  /**
   * @param keys ascending keys come first; equal ones in the order given.
   * @param weights of each, or null where each counts 1.
   * @returns the first place where the weights up to it reach `mass`; the last place when they never do.
   */
  cut(keys: Float64Array, weights: Float64Array | null, count: number, mass: number): Cut {
    this.keys = withRoom(this.keys, count);
    this.weights = withRoom(this.weights, count);
    if (this.buckets.length < this.keys.length) this.buckets = new Uint16Array(this.keys.length);
    let from = keys;
    let fromWeights = weights;
    let n = count;
    let before = 0;
    for (;;) {
      let least = Number.POSITIVE_INFINITY;
      let most = Number.NEGATIVE_INFINITY;
      for (let i = 0; i < n; i++) {
        if (from[i] < least) least = from[i];
        if (from[i] > most) most = from[i];
      }
      if (least === most || n <= 1) return { key: least, ties: tiesToReach(fromWeights, n, mass - before) };
      // Infinite keys stand apart: the first bucket is for -Infinity, the last for Infinity. Finite ones are 32-bit scores or their
      // distances, whose differences are finite too.
      const low = Math.max(least, -Number.MAX_VALUE / 4);
      const scale = (BUCKETS - 3) / (Math.min(most, Number.MAX_VALUE / 4) - low);
      const { masses, buckets } = this;
      masses.fill(0);
      for (let i = 0; i < n; i++) {
        const x = (from[i] - low) * scale;
        const bucket = x < 0 ? 0 : x < BUCKETS - 2 ? (x | 0) + 1 : BUCKETS - 1;
        buckets[i] = bucket;
        masses[bucket] += fromWeights ? fromWeights[i] : 1;
      }
      let bucket = 0;
      let last = BUCKETS - 1;
      while (last > 0 && masses[last] === 0) last--;
      while (bucket < last && (masses[bucket] === 0 || before + masses[bucket] < mass)) before += masses[bucket++];
      let gathered = 0;
      for (let i = 0; i < n; i++) {
        if (buckets[i] !== bucket) continue;
        this.weights[gathered] = fromWeights ? fromWeights[i] : 1;
        this.keys[gathered++] = from[i];
      }
      from = this.keys;
      fromWeights = this.weights;
      if (gathered === n) return sortedCut(from.subarray(0, n), fromWeights, mass - before);
      n = gathered;
    }
  }
}

/** The same by sorting, for keys that lie too close together for buckets. */
function sortedCut(keys: Float64Array, weights: Float64Array, mass: number): Cut {
  const order = Array.from(keys.keys()).sort((a, b) => keys[a] - keys[b] || a - b);
  let sum = 0;
  let at = 0;
  while (at < order.length - 1 && sum + weights[order[at]] < mass) sum += weights[order[at++]];
  const key = keys[order[at]];
  let ties = 1;
  while (at >= ties && keys[order[at - ties]] === key) ties++;
  return { key, ties };
}

/** How many of the first weights reach a mass: at least one, at most all. */
function tiesToReach(weights: Float64Array | null, count: number, mass: number): number {
  let sum = 0;
  for (let i = 0; i < count - 1; i++) {
    sum += weights ? weights[i] : 1;
    if (sum >= mass) return i + 1;
  }
  return count;
}

/** One warper, or several in turn, as a processor of whole rows. @param candidates scratch space that steps in turn may share. */
export function warp(warpers: readonly Warper[], candidates = new Candidates()): LogitsProcessor {
  return (scores, context) => {
    candidates.begin(scores);
    for (const warper of warpers) warper(candidates, context);
    candidates.end();
  };
}
