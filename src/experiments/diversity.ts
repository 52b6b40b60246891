/** How varied a text is, and how much it repeats itself. */
import { countRuns } from './units.ts';

type Units = readonly (string | number)[];

/** Different runs of `n` units as a share of all (distinct-n, Li et al. 2016); null for a text of fewer than n units. */
export function distinct(units: Units, n: number): number | null {
  return pooledDistinct([units], n);
}

/** The same over several texts together; runs do not cross from one to the next. */
export function pooledDistinct(texts: readonly Units[], n: number): number | null {
  const all = new Set<string>();
  let total = 0;
  for (const units of texts) {
    for (const run of countRuns(units, n).keys()) all.add(run);
    total += Math.max(0, units.length - n + 1);
  }
  return total === 0 ? null : all.size / total;
}

/** The share of runs of `n` units that came before: 1 - distinct-n (seq-rep-n, Welleck et al. 2020). */
export function repetition(units: Units, n: number): number | null {
  const share = distinct(units, n);
  return share === null ? null : 1 - share;
}

/** The length of the longest run that stands at two places, which may overlap, as a share of the text's; null for an empty text. */
export function longestRepeat(units: Units): number | null {
  return units.length === 0 ? null : longestRepeatedRun(units) / units.length;
}

/**
 * The most units of a run that occurs twice, by the suffix automaton (Blumer et al. 1985): a state that is the suffix link of another stands
 * for a run with at least two ends. Linear in the text.
 */
function longestRepeatedRun(units: Units): number {
  const lengths = [0];
  const links = [-1];
  const nexts: Map<string | number, number>[] = [new Map()];
  let last = 0;
  for (const unit of units) {
    const state = lengths.length;
    lengths.push(lengths[last] + 1);
    nexts.push(new Map());
    links.push(0);
    let at = last;
    for (; at >= 0 && !nexts[at].has(unit); at = links[at]) nexts[at].set(unit, state);
    if (at >= 0) {
      const next = nexts[at].get(unit)!;
      if (lengths[next] === lengths[at] + 1) links[state] = next;
      else {
        const copy = lengths.length;
        lengths.push(lengths[at] + 1);
        nexts.push(new Map(nexts[next]));
        links.push(links[next]);
        for (let back = at; back >= 0 && nexts[back].get(unit) === next; back = links[back])
          nexts[back].set(unit, copy);
        links[next] = copy;
        links[state] = copy;
      }
    }
    last = state;
  }
  let longest = 0;
  for (const link of links) if (link > 0) longest = Math.max(longest, lengths[link]);
  return longest;
}
