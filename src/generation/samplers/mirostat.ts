/**
 * Mirostat (Basu et al. 2021), versions 1 and 2, with llama.cpp's meaning: tokens are cut so that the surprise of the text stays near tau
 * bits. What it learns depends on the tokens chosen: one of these for one answer, its steps in order.
 */
import type { Candidates, Warper } from '../candidates.ts';
import { keepBest } from './narrowing.ts';

export interface MirostatSettings {
  readonly version: 1 | 2;
  /** Bits of surprise that the text aims at. */
  readonly tau: number;
  /** Share of the error by which the limit moves with each token. */
  readonly eta: number;
}

/** Tokens from which version 1 estimates how fast probabilities fall. */
const OBSERVED = 100;

export function mirostat({ version, tau, eta }: MirostatSettings): Warper {
  /** The limit before each step: a draft may go back, not ahead. */
  const limits = [2 * tau];
  /** What step `limits.length - 1` left. */
  let left: Remembered = { ids: new Int32Array(0), weights: new Float64Array(0), total: 1 };
  return (candidates, { tokens, promptLength }) => {
    const step = tokens.length - promptLength;
    if (step < limits.length) limits.length = step + 1;
    else {
      const surprise = surpriseOf(left, tokens[tokens.length - 1]);
      const last = limits[limits.length - 1];
      // A token from elsewhere teaches nothing, nor do steps that were left out.
      const next = step === limits.length && surprise !== null ? last - eta * (surprise - tau) : last;
      while (limits.length <= step) limits.push(next);
    }
    const mu = limits[step];
    candidates.softmax();
    if (version === 1) cutByZipf(candidates, mu, candidates.ids.length);
    else cutBySurprise(candidates, mu);
    candidates.softmax();
    const { ids, count, weights, total } = candidates;
    left = { ids: ids.slice(0, count), weights: weights.slice(0, count), total };
  };
}

interface Remembered {
  /** Ascending. */
  readonly ids: Int32Array;
  readonly weights: Float64Array;
  readonly total: number;
}

/** Bits, or null for a token that was not there. */
function surpriseOf({ ids, weights, total }: Remembered, token: number): number | null {
  let [low, high] = [0, ids.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ids[middle] < token) low = middle + 1;
    else high = middle;
  }
  return ids[low] === token ? -Math.log2(weights[low] / total) : null;
}

/** Version 2: tokens of at most mu bits of surprise; the best always. */
function cutBySurprise(candidates: Candidates, mu: number): void {
  const least = 2 ** -mu * candidates.total;
  if (least > 1) keepBest(candidates);
  else candidates.dropBelow(least);
}

/** Version 1: the k best, k by Zipf's law with the exponent of the most probable tokens. */
function cutByZipf(candidates: Candidates, mu: number, vocabulary: number): void {
  if (candidates.count <= 1) return;
  const best = mostProbable(candidates, Math.min(OBSERVED, candidates.count));
  let products = 0;
  let squares = 0;
  for (let i = 0; i + 1 < best.length; i++) {
    const t = Math.log((i + 2) / (i + 1));
    products += t * (best[i] - best[i + 1]);
    squares += t * t;
  }
  const s = products / squares;
  const epsilon = s - 1;
  const scale = epsilon === 0 ? 1 / Math.log(vocabulary) : epsilon / (1 - vocabulary ** -epsilon);
  const k = (scale * 2 ** mu) ** (1 / s);
  // Where the law says nothing there is nothing to cut.
  const count = Number.isNaN(k) ? candidates.count : Math.max(1, Math.floor(Math.min(k, candidates.count)));
  if (count >= candidates.count) return;
  candidates.rankByValue();
  candidates.keepWithin(candidates.cutAt(count, null));
}

/** The greatest scores, best first. */
function mostProbable(candidates: Candidates, count: number): number[] {
  candidates.rankByValue();
  const { key } = candidates.cutAt(count, null);
  const { keys } = candidates;
  const found: number[] = [];
  for (let i = 0; i < candidates.count; i++) if (keys[i] <= key) found.push(-keys[i]);
  return found.sort((a, b) => b - a).slice(0, count);
}
