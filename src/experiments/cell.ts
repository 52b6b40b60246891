/** One cell of a sweep: its settings, its answers, and what they measure. */
import { selfBleu } from './bleu.ts';
import { frontierArea, piecesOf, Quantizer } from './divergence.ts';
import { type Measured, type MeasureName, measureNames } from './measures.ts';
import type { CellSettings } from './space.ts';
import { type BootstrapOptions, bootstrap, type Interval } from './statistics.ts';
import { unitsOf } from './units.ts';

export interface SweepAnswer {
  readonly prompt: number;
  readonly seed: number;
  readonly text: string;
  /** New tokens, with the end token where there was one. */
  readonly ids: readonly number[];
  readonly finish_reason: string;
  /** Of this answer alone; what needs others is with the cell. */
  readonly measures: Partial<Measured>;
}

export interface SweepCell {
  readonly index: number;
  readonly settings: CellSettings;
  readonly answers: readonly SweepAnswer[];
  /** Means over answers, with intervals over seeds. Null where no answer has one; without a reference there is no mauve. */
  readonly measures: Readonly<Partial<Record<MeasureName, Interval | null>>>;
  /** Of successive halving: the round after which the cell went, from 1; null for those that stayed, and in other searches. */
  readonly eliminated: number | null;
}

/** A reference as the vectors of its pieces. */
export type Reference = readonly Float64Array[];

/** More pieces say little more, and clustering takes time. */
const MOST_PIECES = 1000;

export function referenceOf(text: string): Reference {
  const pieces = piecesOf(unitsOf(text));
  const every = Math.max(1, pieces.length / MOST_PIECES);
  return Array.from({ length: Math.floor(pieces.length / every) }, (_, i) => pieces[Math.floor(i * every)]);
}

export function measureCell(
  answers: readonly SweepAnswer[],
  reference: Reference | null,
  options: BootstrapOptions,
): SweepCell['measures'] {
  const units = answers.map(({ text }) => unitsOf(text));
  // Answers of one seed come and go together: they share their random numbers.
  const seeds = [...new Set(answers.map(({ seed }) => seed))];
  const bySeed = seeds.map((seed) => answers.flatMap((answer, i) => (answer.seed === seed ? [i] : [])));
  const bleus = new Array<number | null>(answers.length).fill(null);
  for (const prompt of new Set(answers.map((answer) => answer.prompt))) {
    const places = answers.flatMap((answer, i) => (answer.prompt === prompt ? [i] : []));
    const values = selfBleu(places.map((i) => units[i]));
    for (const [j, i] of places.entries()) bleus[i] = values[j];
  }
  const measures: Partial<Record<MeasureName, Interval | null>> = {};
  for (const name of measureNames) {
    if (name === 'mauve') continue;
    const value = (i: number): number | null => (name === 'self_bleu' ? bleus[i] : (answers[i].measures[name] ?? null));
    measures[name] = meanOf(
      bySeed.map((places) => places.map(value)),
      options,
    );
  }
  if (reference) measures.mauve = compareWith(reference, bySeed, units, options);
  return measures;
}

/** The mean over all values, resampled by group. */
function meanOf(groups: readonly (readonly (number | null)[])[], options: BootstrapOptions): Interval | null {
  const sums = groups
    .map((group) => group.filter((value) => value !== null))
    .filter((group) => group.length > 0)
    .map((group) => ({ sum: group.reduce((sum, value) => sum + value, 0), count: group.length }));
  const statistic = (places: readonly number[]): number => {
    let [sum, count] = [0, 0];
    for (const place of places) {
      sum += sums[place].sum;
      count += sums[place].count;
    }
    return sum / count;
  };
  return bootstrap(sums.length, statistic, options);
}

function compareWith(
  reference: Reference,
  bySeed: readonly (readonly number[])[],
  units: readonly (readonly string[])[],
  options: BootstrapOptions,
): Interval | null {
  const pieces = bySeed.map((places) => places.flatMap((i) => piecesOf(units[i])));
  const all = pieces.flat();
  if (all.length === 0) return null;
  const quantizer = new Quantizer([...reference, ...all], Math.min(reference.length, all.length), options.seed ?? 0);
  const whole = quantizer.shares(quantizer.clustersOf(reference))!;
  const clusters = pieces.map((each) => quantizer.clustersOf(each));
  const statistic = (places: readonly number[]): number | null => {
    const some = quantizer.shares(places.flatMap((place) => clusters[place]));
    return some && frontierArea(some, whole);
  };
  // The frontier takes longer than a mean: fewer draws.
  return bootstrap(clusters.length, statistic, { ...options, resamples: Math.min(options.resamples ?? 200, 200) });
}
