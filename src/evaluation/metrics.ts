/** Metrics: what a document adds to each, what they are over all documents, and how sure that is. */
import { quantile } from '../experiments/statistics.ts';
import { below, stream } from './random.ts';
import type { Measure, MetricResult, OutputType } from './types.ts';

export interface MetricInfo {
  readonly name: string;
  /** Tasks that have it. */
  readonly types: readonly OutputType[];
  /** Whether more is better. */
  readonly isHigher: boolean;
  /** Whether a document adds 0 or 1. */
  readonly isShare: boolean;
  /** From the weighted mean of what documents add to the metric. */
  readonly transform: (mean: number) => number;
  readonly en: string;
}

const same = (x: number): number => x;
const share = { isHigher: true, isShare: true, transform: same };

/** Every metric. Definitions are those of lm-evaluation-harness. */
export const metricTable: readonly MetricInfo[] = [
  {
    ...share,
    name: 'acc',
    types: ['multiple_choice', 'loglikelihood'],
    en: 'share of documents whose best choice is right; of loglikelihood: whose target is what greedy decoding writes',
  },
  {
    ...share,
    name: 'acc_norm',
    types: ['multiple_choice'],
    en: "the same, the choices' sums divided by their characters",
  },
  {
    ...share,
    name: 'acc_bytes',
    types: ['multiple_choice'],
    en: "the same, the choices' sums divided by their UTF-8 bytes",
  },
  { ...share, name: 'exact_match', types: ['generate_until'], en: 'share of answers that equal the target' },
  {
    name: 'perplexity',
    types: ['loglikelihood'],
    isHigher: false,
    isShare: false,
    transform: Math.exp,
    en: 'exp of the mean of -log p of the targets',
  },
  {
    name: 'word_perplexity',
    types: ['loglikelihood_rolling'],
    isHigher: false,
    isShare: false,
    transform: Math.exp,
    en: 'exp(-sum of log p / words)',
  },
  {
    name: 'byte_perplexity',
    types: ['loglikelihood_rolling'],
    isHigher: false,
    isShare: false,
    transform: Math.exp,
    en: 'exp(-sum of log p / bytes)',
  },
  {
    name: 'bits_per_byte',
    types: ['loglikelihood_rolling'],
    isHigher: false,
    isShare: false,
    transform: same,
    en: '-sum of log2 p / bytes',
  },
];

/** `exact_match,strict-match` is the metric exact_match of the filters strict-match. */
export function metricInfo(name: string): MetricInfo | undefined {
  const [metric] = name.split(',');
  return metricTable.find((one) => one.name === metric);
}

export interface BestChoice {
  readonly acc: number;
  readonly acc_norm: number;
  readonly acc_bytes: number;
}

/** @param logprobs of the choices. @param gold place of the right one. Of equal sums the first counts as the best. */
export function choiceMeasures(logprobs: readonly number[], choices: readonly string[], gold: number): BestChoice {
  const best = (lengths: readonly number[]): number => {
    const values = logprobs.map((value, i) => value / Math.max(1, lengths[i]));
    return values.indexOf(Math.max(...values)) === gold ? 1 : 0;
  };
  return {
    acc: best(choices.map(() => 1)),
    acc_norm: best(choices.map((text) => [...text].length)),
    acc_bytes: best(choices.map(byteLength)),
  };
}

export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** Pieces between white space, as `re.split(r"\s+", text)` counts them. */
export function wordCount(text: string): number {
  return text.split(/\s+/).length;
}

export function rollingMeasures(logprob: number, text: string): Record<string, Measure> {
  const bytes = byteLength(text);
  return {
    word_perplexity: [-logprob, wordCount(text)],
    byte_perplexity: [-logprob, bytes],
    bits_per_byte: [-logprob / Math.LN2, bytes],
  };
}

export interface EstimateOptions {
  readonly resamples: number;
  readonly level: number;
  readonly seed: number;
  /** Sets the draws of tasks apart. */
  readonly name: string;
}

/** A metric with the values it has over the resamples, unordered. */
export interface Estimate {
  readonly result: MetricResult;
  readonly draws: Float64Array;
}

/** A percentile interval by the bootstrap over documents (Efron 1979). */
export function estimate(measures: readonly Measure[], info: MetricInfo, options: EstimateOptions): Estimate {
  const count = measures.length;
  const values = Float64Array.from(measures, (one) => (typeof one === 'number' ? one : one[0]));
  const weights = Float64Array.from(measures, (one) => (typeof one === 'number' ? 1 : one[1]));
  const ratio = (sum: number, weight: number): number => info.transform(weight > 0 ? sum / weight : Number.NaN);
  const total = (list: Float64Array): number => list.reduce((sum, value) => sum + value, 0);
  const value = ratio(total(values), total(weights));
  const draws = new Float64Array(options.resamples);
  if (count < 2) return { result: summary(value, draws.fill(value), options.level, count), draws };
  const random = stream(options.seed, `bootstrap ${options.name}`);
  for (let i = 0; i < draws.length; i++) {
    let [sum, weight] = [0, 0];
    for (let j = 0; j < count; j++) {
      const place = below(random, count);
      sum += values[place];
      weight += weights[place];
    }
    draws[i] = ratio(sum, weight);
  }
  return { result: summary(value, draws, options.level, count), draws };
}

/** The mean of a metric over tasks; resamples of each are drawn apart. */
export function meanEstimate(parts: readonly Estimate[], level: number): MetricResult {
  const value = parts.reduce((sum, { result }) => sum + result.value, 0) / parts.length;
  const draws = new Float64Array(parts[0].draws.length);
  for (const part of parts) for (let i = 0; i < draws.length; i++) draws[i] += part.draws[i] / parts.length;
  const count = parts.reduce((sum, { result }) => sum + result.count, 0);
  return summary(value, draws, level, count);
}

function summary(value: number, draws: Float64Array, level: number, count: number): MetricResult {
  const sorted = Float64Array.from(draws).sort();
  const mean = sorted.reduce((sum, x) => sum + x, 0) / sorted.length;
  const variance = sorted.reduce((sum, x) => sum + (x - mean) ** 2, 0) / Math.max(1, sorted.length - 1);
  const list = [...sorted];
  const [low, high] = [quantile(list, (1 - level) / 2), quantile(list, (1 + level) / 2)];
  return { value, low, high, count, stderr: Math.sqrt(variance) };
}
