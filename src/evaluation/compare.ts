/** Two runs on the same documents: paired tests, and a verdict for each metric. */

import { metricInfo } from './metrics.ts';
import { hash32, stream } from './random.ts';
import type { EvaluationResult, Measure, SampleRecord } from './types.ts';

export type Verdict = 'first is better' | 'second is better' | 'cannot be told apart';

export interface Comparison {
  readonly task: string;
  readonly shots: number;
  readonly metric: string;
  /** Documents that both runs scored. */
  readonly count: number;
  readonly first: number;
  readonly second: number;
  /** Second less first, with its interval from the bootstrap over pairs. */
  readonly difference: number;
  readonly low: number;
  readonly high: number;
  /** Of McNemar's exact test for metrics of 0 and 1, else of the bootstrap (twice the share of resamples beyond 0). */
  readonly p: number;
  readonly test: 'McNemar' | 'paired bootstrap';
  /** Documents that the first alone got right, and the second alone; of metrics of 0 and 1. */
  readonly only?: readonly [first: number, second: number];
  /** p after Holm's correction for the number of comparisons. */
  readonly corrected: number;
  readonly verdict: Verdict;
}

export interface CompareOptions {
  readonly seed?: number;
  readonly resamples?: number;
  readonly level?: number;
}

interface Pair {
  readonly a: Measure;
  readonly b: Measure;
}

/** One row for each metric of each task that both runs have with the same number of exemplars, and for each metric of common groups. */
export function compareRuns(
  first: EvaluationResult,
  second: EvaluationResult,
  options: CompareOptions = {},
): readonly Comparison[] {
  const { level = first.level } = options;
  const rows: Omit<Comparison, 'corrected' | 'verdict'>[] = [];
  const byGroup = new Map<string, { name: string; shots: number; metric: string; sets: Pair[][] }>();
  for (const one of first.tasks) {
    const other = second.tasks.find(({ task, shots, version }) => {
      return task === one.task && shots === one.shots && version === one.version;
    });
    if (!other) continue;
    for (const metric of Object.keys(one.metrics)) {
      const pairs = pairsOf(one.samples, other.samples, metric);
      if (pairs.length === 0) continue;
      rows.push(row(one.task, one.shots, metric, [pairs], options, level));
      if (one.group === null || one.group !== other.group) continue;
      const key = `${one.group}\n${one.shots}\n${metric}`;
      const group = byGroup.get(key) ?? { name: one.group, shots: one.shots, metric, sets: [] };
      byGroup.set(key, { ...group, sets: [...group.sets, pairs] });
    }
  }
  for (const { name, shots, metric, sets } of byGroup.values()) {
    if (sets.length > 1) rows.push(row(name, shots, metric, sets, options, level));
  }
  const corrected = holm(rows.map(({ p }) => p));
  return rows.map(
    (one, i): Comparison => ({ ...one, corrected: corrected[i], verdict: verdictOf(one, corrected[i], level) }),
  );
}

function verdictOf({ metric, difference }: { metric: string; difference: number }, p: number, level: number): Verdict {
  if (!(p < 1 - level) || difference === 0) return 'cannot be told apart';
  return difference > 0 === metricInfo(metric)?.isHigher ? 'second is better' : 'first is better';
}

/** Documents are the same where place and content agree. */
function pairsOf(a: readonly SampleRecord[], b: readonly SampleRecord[], metric: string): Pair[] {
  const others = new Map(b.map((sample) => [`${sample.index} ${sample.hash}`, sample.metrics[metric]]));
  return a.flatMap((sample) => {
    const [mine, other] = [sample.metrics[metric], others.get(`${sample.index} ${sample.hash}`)];
    return mine === undefined || other === undefined ? [] : [{ a: mine, b: other }];
  });
}

const partOf = (measure: Measure): number => (typeof measure === 'number' ? measure : measure[0]);
const weightOf = (measure: Measure): number => (typeof measure === 'number' ? 1 : measure[1]);

/** @param sets pairs of each task; the metric is the mean over tasks. */
function row(
  task: string,
  shots: number,
  metric: string,
  sets: readonly (readonly Pair[])[],
  { seed = 1234, resamples = 1000 }: CompareOptions,
  level: number,
): Omit<Comparison, 'corrected' | 'verdict'> {
  const info = metricInfo(metric);
  const transform = info?.transform ?? ((x: number) => x);
  const values = (place: (set: number) => number): [number, number] => {
    const sums = sets.map((pairs, set): [number, number] => {
      let [a, b, weightA, weightB] = [0, 0, 0, 0];
      for (let i = 0; i < pairs.length; i++) {
        const at = place(set);
        const pair = pairs[at < 0 ? i : at];
        a += partOf(pair.a);
        b += partOf(pair.b);
        weightA += weightOf(pair.a);
        weightB += weightOf(pair.b);
      }
      return [transform(a / weightA), transform(b / weightB)];
    });
    const mean = (side: 0 | 1): number => sums.reduce((sum, one) => sum + one[side], 0) / sums.length;
    return [mean(0), mean(1)];
  };
  const [first, second] = values(() => -1);
  const random = stream(seed, `compare ${hash32(`${task} ${shots} ${metric}`)}`);
  const draws = Float64Array.from({ length: resamples }, () => {
    const [a, b] = values((set) => Math.floor(random() * sets[set].length));
    return b - a;
  }).sort();
  const count = sets.reduce((sum, pairs) => sum + pairs.length, 0);
  const at = (share: number): number =>
    draws[Math.min(draws.length - 1, Math.max(0, Math.round(share * (draws.length - 1))))];
  const shared = { task, shots, metric, count, first, second, difference: second - first };
  const interval = { low: at((1 - level) / 2), high: at((1 + level) / 2) };
  if (info?.isShare && sets.length === 1) {
    const only: [number, number] = [0, 0];
    for (const { a, b } of sets[0]) if (a !== b) only[partOf(a) > partOf(b) ? 0 : 1]++;
    return { ...shared, ...interval, p: mcnemar(...only), test: 'McNemar', only };
  }
  const below = draws.filter((x) => x <= 0).length;
  const above = draws.filter((x) => x >= 0).length;
  // A share of no resamples says no more than that there were so many.
  const p = Math.min(1, (2 * (Math.min(below, above) + 1)) / (resamples + 1));
  return { ...shared, ...interval, p, test: 'paired bootstrap' };
}

/** McNemar's exact test (1947): how likely discordant pairs part at least so unevenly by a fair coin, on both sides. */
export function mcnemar(first: number, second: number): number {
  const n = first + second;
  const least = Math.min(first, second);
  let [log, sum] = [-n * Math.LN2, 0];
  for (let k = 0; k <= least; k++) {
    sum += Math.exp(log);
    log += Math.log(n - k) - Math.log(k + 1);
  }
  return Math.min(1, 2 * sum);
}

/** Holm's step-down correction (1979), in the order given. */
export function holm(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  const result = new Array<number>(values.length);
  let most = 0;
  order.forEach((at, rank) => {
    most = Math.max(most, Math.min(1, values[at] * (values.length - rank)));
    result[at] = most;
  });
  return result;
}
