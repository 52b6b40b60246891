/** The best, or the drawn, of all tokens after all beams. */
import { Candidates } from '../candidates.ts';
import { uniform } from '../random.ts';
import type { Scores } from '../types.ts';

/** A token after a beam. */
export interface Extension {
  readonly beam: number;
  readonly token: number;
  readonly logprob: number;
  /** Of the beam's logprobs and this one. */
  readonly sum: number;
}

const REMOVED = Number.NEGATIVE_INFINITY;

/**
 * The `count` extensions of the greatest sums, best first; among equals those of earlier beams and smaller ids. Removed tokens are none.
 * @param logprobs (V) of each beam. @param sums of each beam.
 */
export function topExtensions(logprobs: readonly Scores[], sums: readonly number[], count: number): Extension[] {
  const best: Extension[] = [];
  logprobs.forEach((row, beam) => {
    for (let token = 0; token < row.length; token++) {
      const logprob = row[token];
      if (logprob === REMOVED) continue;
      const sum = sums[beam] + logprob;
      if (best.length === count && !(sum > best[count - 1].sum)) continue;
      if (Number.isNaN(sum)) continue;
      let at = best.length;
      while (at > 0 && best[at - 1].sum < sum) at--;
      best.splice(at, 0, { beam, token, logprob, sum });
      if (best.length > count) best.pop();
    }
  });
  return best;
}

/**
 * `count` different extensions, one after another, each drawn with a probability proportional to e^sum among those that are left; in the
 * order drawn.
 */
export function drawWithoutReplacement(
  logprobs: readonly Scores[],
  sums: readonly number[],
  count: number,
  seed: number,
  group: number,
  step: number,
): Extension[] {
  const size = logprobs[0].length;
  const all = new Float32Array(size * logprobs.length);
  logprobs.forEach((row, beam) => {
    for (let i = 0; i < size; i++) all[beam * size + i] = sums[beam] + row[i];
  });
  const candidates = new Candidates();
  candidates.begin(all);
  candidates.softmax();
  const { ids, weights } = candidates;
  let { total } = candidates;
  const drawn: Extension[] = [];
  while (drawn.length < Math.min(count, candidates.count)) {
    const target = uniform(seed, group, step, drawn.length + 1) * total;
    let sum = 0;
    let chosen = -1;
    for (let i = 0; i < candidates.count; i++) {
      if (weights[i] === 0) continue;
      chosen = i;
      sum += weights[i];
      if (sum > target) break;
    }
    if (chosen < 0) break;
    total -= weights[chosen];
    weights[chosen] = 0;
    const beam = Math.floor(ids[chosen] / size);
    const token = ids[chosen] % size;
    drawn.push({ beam, token, logprob: logprobs[beam][token], sum: sums[beam] + logprobs[beam][token] });
  }
  return drawn;
}
