/** BLEU, and how much the answers to one prompt are alike by it. */
import { countRuns } from './units.ts';

type Units = readonly (string | number)[];

export interface BleuOptions {
  /** The longest runs that count, each length with the same weight; 4 unless given. */
  readonly order?: number;
  /** What stands in the place of no match of a length, where shorter runs match: 0.1 (method 1 of Chen & Cherry 2014); 0 for none. */
  readonly epsilon?: number;
}

/**
 * BLEU of one text against references (Papineni et al. 2002): the geometric mean of clipped precisions, times the brevity penalty against
 * the reference of the nearest length, the shorter among equals. 0 to 1; 0 when no unit matches.
 */
export function bleu(text: Units, references: readonly Units[], options: BleuOptions = {}): number {
  const { order = 4, epsilon = 0.1 } = options;
  if (text.length === 0 || references.length === 0) return 0;
  let sum = 0;
  for (let n = 1; n <= order; n++) {
    const most = new Map<string, number>();
    const counts = countRuns(text, n);
    for (const reference of references) {
      for (const [run, count] of countRuns(reference, n)) {
        if (counts.has(run) && count > (most.get(run) ?? 0)) most.set(run, count);
      }
    }
    let matches = 0;
    for (const [run, count] of counts) matches += Math.min(count, most.get(run) ?? 0);
    if (n === 1 && matches === 0) return 0;
    const total = Math.max(1, text.length - n + 1);
    const precision = (matches === 0 ? epsilon : matches) / total;
    if (precision === 0) return 0;
    sum += Math.log(precision) / order;
  }
  const nearest = references
    .map(({ length }) => length)
    .reduce((best, length) => {
      const [a, b] = [Math.abs(length - text.length), Math.abs(best - text.length)];
      return a < b || (a === b && length < best) ? length : best;
    });
  const brevity = text.length > nearest ? 1 : Math.exp(1 - nearest / text.length);
  return brevity * Math.exp(sum);
}

/** BLEU of each text against all others (self-BLEU, Zhu et al. 2018); null for each when there is but one. */
export function selfBleu(texts: readonly Units[], options: BleuOptions = {}): (number | null)[] {
  if (texts.length < 2) return texts.map(() => null);
  return texts.map((text, i) =>
    bleu(
      text,
      texts.filter((_, j) => j !== i),
      options,
    ),
  );
}
