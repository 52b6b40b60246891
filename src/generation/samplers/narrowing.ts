/** llama.cpp's samplers that narrow the candidates of one step: top-n-sigma, XTC, temperature by entropy, and its top-k. */
import type { Candidates, Warper } from '../candidates.ts';
import { uniform } from '../random.ts';

/** The number of the draw that XTC takes from those of a step; the others count up from 0. */
const XTC_DRAW = 2 ** 24 - 1;

/** Scores at most n standard deviations below the greatest (Tang et al. 2024). */
export function topNSigma(n: number): Warper {
  return (candidates) => {
    candidates.list();
    const { count, values } = candidates;
    if (count <= 1) return;
    let greatest = Number.NEGATIVE_INFINITY;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      sum += values[i];
      if (values[i] > greatest) greatest = values[i];
    }
    const mean = sum / count;
    let squares = 0;
    for (let i = 0; i < count; i++) squares += (values[i] - mean) ** 2;
    const least = greatest - n * Math.sqrt(squares / count);
    // Rounding must not take the best, nor infinite scores everything.
    candidates.filter((i) => values[i] >= least || values[i] === greatest);
  };
}

/** The k greatest scores; among equals the smaller ids. */
export function exactTopK(k: number, keep = 1): Warper {
  const count = Math.max(k, keep);
  return (candidates) => {
    candidates.keepTop(count);
    if (candidates.count <= count) return;
    candidates.rankByValue();
    candidates.keepWithin(candidates.cutAt(count, null));
  };
}

/**
 * "Exclude top choices" (p-e-w 2024): with this probability, of the tokens at least as probable as the threshold all go but the
 * least probable. The number drawn depends on seed, answer and step alone.
 */
export function xtc(probability: number, threshold: number, seed: number): Warper {
  return (candidates, { tokens, promptLength, stream = 0 }) => {
    if (threshold > 0.5 || uniform(seed, stream, tokens.length - promptLength, XTC_DRAW) >= probability) return;
    candidates.softmax();
    const { count, values, weights, total } = candidates;
    const least = threshold * total;
    let kept = -1;
    for (let i = 0; i < count; i++) {
      if (weights[i] >= least && (kept < 0 || values[i] <= values[kept])) kept = i;
    }
    if (kept < 0) return;
    candidates.filter((i) => i === kept || weights[i] < least);
  };
}

/**
 * Temperature from `temperature - range` to `temperature + range` by the entropy, as a share of the greatest possible, to a power.
 * A temperature of 0 leaves the most probable token alone.
 */
export function dynamicTemperature(temperature: number, range: number, exponent: number): Warper {
  const [low, high] = [Math.max(0, temperature - range), temperature + range];
  return (candidates) => {
    candidates.softmax();
    const { count } = candidates;
    if (count <= 1) return;
    const share = Math.min(1, Math.max(0, candidates.entropy() / Math.log(count)));
    const chosen = low + (high - low) * share ** exponent;
    if (chosen > 1e-30) candidates.divide(chosen);
    else keepBest(candidates);
  };
}

/** The most probable token alone, after `softmax`; the smallest id among equals. */
export function keepBest(candidates: Candidates): void {
  const { values, greatest } = candidates;
  let isFound = false;
  candidates.filter((i) => {
    if (isFound || values[i] !== greatest) return false;
    isFound = true;
    return true;
  });
}
