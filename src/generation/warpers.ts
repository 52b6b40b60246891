/**
 * The warpers of sampling, with the meaning of Hugging Face's (transformers 5.23). Each narrows the candidates of a row or changes
 * their scores. `keep` is the fewest tokens that stay whatever the setting says: 1, and more where beams sample.
 * Among equal scores the smaller ids stay.
 */
import type { Warper } from './candidates.ts';

/** Divide scores (Ackley et al. 1985). */
export function temperature(value: number): Warper {
  return (candidates) => candidates.divide(value);
}

/** The k greatest scores, and all that equal the least of them (Fan et al. 2018). */
export function topK(k: number, keep = 1): Warper {
  return (candidates) => candidates.keepTop(Math.max(k, keep));
}

/** The fewest most probable tokens whose probabilities reach p together (Holtzman et al. 2020). */
export function topP(p: number, keep = 1): Warper {
  return (candidates) => {
    candidates.list();
    if (p >= 1 || candidates.count <= keep) return;
    candidates.softmax();
    // What is less than its share of the 1 - p that go surely goes: all such tokens together are less than 1 - p.
    if (keep === 1) candidates.dropBelow((0.999 * (1 - p) * candidates.total) / candidates.count);
    candidates.rankByValue();
    const nucleus = candidates.cutAt(p * candidates.total, candidates.weights);
    candidates.keepWithin(nucleus, keep > 1 ? candidates.cutAt(keep, null) : nucleus);
  };
}

/** Tokens at least `p` times as probable as the most probable one (Nguyen et al. 2024). */
export function minP(p: number, keep = 1): Warper {
  return (candidates) => {
    candidates.list();
    if (candidates.count <= keep) return;
    candidates.softmax();
    const { weights } = candidates;
    if (keep > 1) {
      candidates.rankByValue();
      let above = 0;
      for (let i = 0; i < candidates.count; i++) if (weights[i] >= p) above++;
      candidates.keepWithin(candidates.cutAt(Math.max(keep, above), null));
    } else candidates.dropBelow(p);
  };
}

/**
 * The most probable tokens, as long as the entropy they carry stays within `share` of the whole; the best always. Whole means the
 * hundred best, which is all that the method looks at (Potraghloo et al. 2025).
 */
export function topH(share: number): Warper {
  return (candidates) => {
    candidates.list();
    if (candidates.count > 100) {
      candidates.rankByValue();
      candidates.keepWithin(candidates.cutAt(100, null));
    }
    candidates.softmax();
    const { count, weights, total } = candidates;
    // Entropy as a sum over the terms in the very order in which they are compared: a share of 1 keeps all but for rounding.
    const order = Array.from({ length: count }, (_, i) => i).sort((a, b) => weights[b] - weights[a] || a - b);
    const terms = order.map((i) => {
      const probability = weights[i] / total;
      return probability > 0 ? -probability * Math.log(probability) : 0;
    });
    const budget = share * terms.reduce((sum, term) => sum + term, 0) * (1 + 1e-9);
    let used = 0;
    let kept = 0;
    while (kept < count && (used + terms[kept] <= budget || kept === 0)) used += terms[kept++];
    candidates.rankByValue();
    candidates.keepWithin(candidates.cutAt(kept, null));
  };
}

/** The tokens whose surprise is nearest to the entropy, until their probabilities reach `mass` (Meister et al. 2022). */
export function typical(mass: number, keep = 1): Warper {
  return (candidates) => {
    candidates.list();
    if (candidates.count <= keep) return;
    candidates.softmax();
    const { values, weights, greatest, total } = candidates;
    const entropy = candidates.entropy();
    const logTotal = Math.log(total);
    const distance = (i: number) => Math.abs(logTotal - (values[i] === greatest ? 0 : values[i] - greatest) - entropy);
    candidates.rankBy(distance);
    const { key } = candidates.cutAt(mass * total, weights);
    const cut = { key, ties: Number.POSITIVE_INFINITY };
    candidates.keepWithin(cut, keep > 1 ? candidates.cutAt(keep, null) : cut);
  };
}

/** Tokens of a probability of at least `epsilon`; the most probable always (Hewitt et al. 2022). */
export function epsilonCutoff(epsilon: number, keep = 1): Warper {
  return (candidates) => {
    candidates.softmax();
    keepProbable(candidates, epsilon, keep);
  };
}

/** As `epsilonCutoff`, with the threshold min(eta, sqrt(eta) e^-entropy) (Hewitt et al. 2022). */
export function etaCutoff(eta: number, keep = 1): Warper {
  return (candidates) => {
    candidates.softmax();
    keepProbable(candidates, Math.min(eta, Math.sqrt(eta) * Math.exp(-candidates.entropy())), keep);
  };
}

/** Remove tokens less probable than `least`, but none as good as the `keep`-th best. */
function keepProbable(candidates: Parameters<Warper>[0], least: number, keep: number): void {
  if (candidates.count <= keep) return;
  const { weights, total, values } = candidates;
  if (keep === 1) {
    candidates.dropBelow(Math.min(least * total, 1));
    return;
  }
  candidates.rankByValue();
  const safe = -candidates.cutAt(keep, null).key;
  candidates.filter((i) => weights[i] >= least * total || values[i] >= safe);
}

/** Scores become log-probabilities. */
export const renormalize: Warper = (candidates) => {
  candidates.softmax();
  const { values, greatest, total } = candidates;
  const shift = greatest + Math.log(total);
  for (let i = 0; i < candidates.count; i++) values[i] -= shift;
};
