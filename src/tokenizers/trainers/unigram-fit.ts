/**
 * The probabilities of pieces: expectation and maximisation over all ways to cut every stretch (Kudo 2018, "Subword Regularization"), and
 * which pieces the text can best do without. The same steps as Hugging Face `tokenizers` (models/unigram/trainer.rs).
 */
import { PrefixTree } from '../prefix-tree.ts';
import type { Stretches } from './seed-pieces.ts';

/** Pieces by where they are written in the units of the stretches; a start of -1 is the unknown piece, always the first. */
export interface Pieces {
  readonly starts: Int32Array;
  readonly lengths: Int32Array;
  /** Logarithms of probabilities. */
  readonly scores: Float64Array;
}

/** What a character without a piece costs below the worst piece. */
const UNKNOWN_PENALTY = 10;
/** Pieces expected less often than this are dropped. */
const LEAST_EXPECTED = 0.5;

/** The derivative of the logarithm of the gamma function, for x > 0: moved up by its recurrence, then its asymptotic series. */
export function digamma(x: number): number {
  let value = 0;
  let at = x;
  for (; at < 7; at++) value -= 1 / at;
  const y = at - 0.5;
  const s = 1 / (y * y);
  return value + Math.log(y) + s / 24 - (7 / 960) * s ** 2 + (31 / 8064) * s ** 3 - (127 / 30_720) * s ** 4;
}

/** Turns weights into logarithms of shares. */
export function logShares(weights: Float64Array): Float64Array {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => Math.log(weight) - Math.log(sum));
}

/** A set of pieces with a score each, and the best way, and all ways, to cut stretches into them. */
export class Lattice {
  private readonly tree: PrefixTree;
  private readonly unknownScore: number;
  /** Edges of the stretch at hand, in the order of their starts. */
  private froms = new Int32Array(1024);
  private tos = new Int32Array(1024);
  private ids = new Int32Array(1024);
  private shares = new Float64Array(1024);
  private edges = 0;
  private best = new Float64Array(64);
  private bestEdge = new Int32Array(64);
  private forward = new Float64Array(64);
  private backward = new Float64Array(64);

  constructor(
    private readonly units: Uint16Array,
    readonly pieces: Pieces,
  ) {
    const { starts, lengths, scores } = pieces;
    this.tree = new PrefixTree(scores.length * 3);
    let least = 0;
    for (let id = 1; id < scores.length; id++) {
      this.tree.add(lengths[id], (i) => units[starts[id] + i], id);
      if (scores[id] < least) least = scores[id];
    }
    this.unknownScore = least - UNKNOWN_PENALTY;
  }

  /** Adds to `expected` how often each piece is used over all ways to cut units[start, end), times `count`. Returns its log-likelihood. */
  expect(start: number, end: number, count: number, expected: Float64Array): number {
    const length = end - start;
    this.search(start, end, -1);
    const { froms, tos, ids, shares, edges, best, forward, backward } = this;
    forward.fill(0, 0, length + 1);
    backward.fill(0, 0, length + 1);
    forward[0] = 1;
    backward[length] = 1;
    // All probabilities are taken relative to the best way to the same place, so that none is too small for a number.
    for (let e = 0; e < edges; e++) {
      const share = Math.exp(best[froms[e]] + this.score(ids[e]) - best[tos[e]]);
      shares[e] = share;
      forward[tos[e]] += forward[froms[e]] * share;
    }
    const all = forward[length];
    for (let e = edges - 1; e >= 0; e--) {
      const after = shares[e] * backward[tos[e]];
      backward[froms[e]] += after;
      expected[ids[e]] += (count * forward[froms[e]] * after) / all;
    }
    return best[length] + Math.log(all);
  }

  /** Calls back with the pieces of the best way to cut units[start, end), the last first. Returns its score. */
  bestPath(start: number, end: number, each: (id: number) => void, without = -1): number {
    this.search(start, end, without);
    const { froms, ids, bestEdge } = this;
    for (let at = end - start; at > 0; at = froms[bestEdge[at]]) each(ids[bestEdge[at]]);
    return this.best[end - start];
  }

  /** Whether a surrogate pair begins at a place. */
  isPair(at: number): boolean {
    return this.units[at] >= 0xd800 && this.units[at] < 0xdc00;
  }

  private score(id: number): number {
    return id === 0 ? this.unknownScore : this.pieces.scores[id];
  }

  private search(start: number, end: number, without: number): void {
    const length = end - start;
    if (this.best.length <= length) {
      this.best = new Float64Array(length * 2);
      this.bestEdge = new Int32Array(length * 2);
      this.forward = new Float64Array(length * 2);
      this.backward = new Float64Array(length * 2);
    }
    const { units, tree, best, bestEdge } = this;
    const { scores } = this.pieces;
    bestEdge.fill(-1, 0, length + 1);
    best[0] = 0;
    this.edges = 0;
    for (let from = 0; from < length; ) {
      const unit = units[start + from];
      const next = from + (unit >= 0xd800 && unit < 0xdc00 ? 2 : 1);
      let single = false;
      let node = tree.root;
      for (let to = from + 1; to <= length; to++) {
        node = tree.child(node, units[start + to - 1]);
        if (node < 0) break;
        const id = tree.valueAt(node);
        if (id < 0 || id === without) continue;
        this.edge(from, to, id, best[from] + scores[id]);
        if (to === next) single = true;
      }
      if (!single) this.edge(from, next, 0, best[from] + this.unknownScore);
      from = next;
    }
  }

  private edge(from: number, to: number, id: number, score: number): void {
    const e = this.edges++;
    if (e === this.froms.length) {
      this.froms = doubled(this.froms);
      this.tos = doubled(this.tos);
      this.ids = doubled(this.ids);
      this.shares = new Float64Array(e * 2);
    }
    this.froms[e] = from;
    this.tos[e] = to;
    this.ids[e] = id;
    if (this.bestEdge[to] >= 0 && score <= this.best[to]) return;
    this.best[to] = score;
    this.bestEdge[to] = e;
  }
}

function doubled(list: Int32Array): Int32Array<ArrayBuffer> {
  const grown = new Int32Array(list.length * 2);
  grown.set(list);
  return grown;
}

/** Scores from expected counts; pieces that are hardly expected go, the unknown piece stays. The digamma is a sparse prior (Liang & Klein 2007). */
export function maximise(pieces: Pieces, expected: Float64Array): Pieces {
  const kept: number[] = [0];
  let sum = 0;
  for (let id = 1; id < expected.length; id++) {
    if (expected[id] < LEAST_EXPECTED) continue;
    kept.push(id);
    sum += expected[id];
  }
  const logSum = digamma(sum);
  return pick(pieces, kept, (id) => (id === 0 ? 0 : digamma(expected[id]) - logSum));
}

export function pick(pieces: Pieces, ids: readonly number[], score?: (id: number) => number): Pieces {
  const { starts, lengths, scores } = pieces;
  return {
    starts: Int32Array.from(ids, (id) => starts[id]),
    lengths: Int32Array.from(ids, (id) => lengths[id]),
    scores: Float64Array.from(ids, score ?? ((id) => scores[id])),
  };
}

/**
 * The pieces whose loss would cost the likelihood most, `size` of them at least where there are as many.
 * @param used how often each piece is used in the best way to cut every stretch, and their number.
 */
export function prune(lattice: Lattice, used: Float64Array, sentences: number, size: number): Pieces {
  const { pieces } = lattice;
  const { starts, lengths, scores } = pieces;
  const sum = used.reduce((total, count) => total + count, 0);
  const kept: number[] = [0];
  const losses: { id: number; loss: number }[] = [];
  const others: number[] = [];
  for (let id = 1; id < scores.length; id++) {
    others.length = 0;
    const one = lengths[id] === 1 || (lengths[id] === 2 && lattice.isPair(starts[id]));
    const instead = one
      ? Number.NEGATIVE_INFINITY
      : lattice.bestPath(starts[id], starts[id] + lengths[id], (other) => others.push(other), id);
    const isBest = scores[id] >= instead;
    if (used[id] === 0 && !isBest) continue;
    if (one || !isBest) {
      kept.push(id);
      continue;
    }
    if (used[id] === 0) continue;
    const share = Math.log(used[id]) - Math.log(sum);
    const logSum = Math.log(sum + used[id] * (others.length - 1));
    let without = 0;
    for (const other of others) without += Math.log(used[other] + used[id]) - logSum;
    losses.push({ id, loss: (used[id] / sentences) * (share - without) });
  }
  losses.sort((a, b) => b.loss - a.loss);
  for (const { id } of losses) {
    if (kept.length >= size) break;
    kept.push(id);
  }
  return pick(pieces, kept);
}

/** The sum of how often stretches occur. */
export function occurrences(stretches: Stretches): number {
  return stretches.counts.reduce((total, count) => total + count, 0);
}
