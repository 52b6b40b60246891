/** Contrast of layers (DoLa; Chuang et al. 2024): what the whole model adds to the layer that differs from it most. */
import { exponential, logSoftmax } from '../rows.ts';
import type { Scores } from '../types.ts';

/** Tokens less probable than this share of the best are out. */
const RELATIVE_TOP = 0.1;

/**
 * log p - log q for the plausible tokens, -Infinity for all others: p is the distribution of the whole model, q that of the layer whose
 * Jensen-Shannon divergence from p is greatest. (The reference's divergence averages over the batch and takes its relative entropies the
 * other way round; this is the paper's.)
 * @param final logits (V) of the whole model. @param early logits (V) of each layer.
 */
export function contrastLayers(final: Scores, early: readonly Scores[]): Scores {
  const mature = logSoftmax(final);
  let base = logSoftmax(early[0]);
  let farthest = early.length > 1 ? divergence(mature, base) : 0;
  for (const logits of early.slice(1)) {
    const layer = logSoftmax(logits);
    const distance = divergence(mature, layer);
    if (distance > farthest) [base, farthest] = [layer, distance];
  }
  let greatest = Number.NEGATIVE_INFINITY;
  for (const score of mature) if (score > greatest) greatest = score;
  const least = greatest + Math.log(RELATIVE_TOP);
  return mature.map((score, i) => (score < least ? Number.NEGATIVE_INFINITY : score - base[i]));
}

/** Jensen-Shannon divergence of two distributions given by logarithms. */
export function divergence(a: Scores, b: Scores): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    const [p, q] = [exponential(Math.min(a[i], 0)), exponential(Math.min(b[i], 0))];
    const middle = Math.log((p + q) / 2);
    if (p > 0) sum += p * (a[i] - middle);
    if (q > 0) sum += q * (b[i] - middle);
  }
  return sum / 2;
}
