/** Metrics of texts and statistics of metrics: against other programs' numbers, brute force and closed forms. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { bleu, selfBleu } from '../src/experiments/bleu.ts';
import { frontierArea, piecesOf, Quantizer } from '../src/experiments/divergence.ts';
import { distinct, longestRepeat, pooledDistinct, repetition } from '../src/experiments/diversity.ts';
import { bootstrap, bootstrapMean, quantile } from '../src/experiments/statistics.ts';
import { unitsOf } from '../src/experiments/units.ts';
import { uniform } from '../src/generation/random.ts';

const golden = (name: string) =>
  JSON.parse(readFileSync(new URL(`golden/experiments/${name}.json`, import.meta.url), 'utf8'));

it('BLEU is that of nltk with smoothing method 1 (test/golden/experiments/bleu.json says how it was made)', () => {
  const { cases } = golden('bleu');
  expect(cases.length).toBeGreaterThan(40);
  for (const { text, references, bleu4, bleu2 } of cases) {
    const [words, others] = [text.split(' '), references.map((one: string) => one.split(' '))];
    expect(bleu(words, others)).toBeCloseTo(bleu4, 12);
    expect(bleu(words, others, { order: 2 })).toBeCloseTo(bleu2, 12);
  }
});

it("BLEU's clipped precision is that of the paper's example: 2 of 7 units (Papineni et al. 2002)", () => {
  const references = ['the cat is on the mat', 'there is a cat on the mat'].map((text) => text.split(' '));
  expect(bleu('the the the the the the the'.split(' '), references, { order: 1 })).toBeCloseTo(2 / 7, 12);
});

it('self-BLEU is BLEU of each against the others: 1 for copies, 0 for strangers, none for one alone', () => {
  const [a, b] = ['a b c d e'.split(' '), 'v w x y z'.split(' ')];
  expect(selfBleu([a, a])).toEqual([1, 1].map((x) => expect.closeTo(x, 12)));
  expect(selfBleu([a, b])).toEqual([0, 0]);
  expect(selfBleu([a])).toEqual([null]);
  expect(selfBleu([a, []])).toEqual([0, 0]);
});

const texts = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 30 });

it('distinct-n, repetition and the longest repeat are what counting them all gives', () => {
  fc.assert(
    fc.property(texts, fc.integer({ min: 1, max: 4 }), (units, n) => {
      const runs = units.map((_, i) => units.slice(i, i + n).join()).slice(0, Math.max(0, units.length - n + 1));
      const share = runs.length === 0 ? null : new Set(runs).size / runs.length;
      expect(distinct(units, n)).toBe(share);
      expect(repetition(units, n)).toBe(share === null ? null : 1 - share);
      let longest = 0;
      for (let i = 0; i < units.length; i++)
        for (let j = i + 1; j < units.length; j++) {
          let k = 0;
          while (j + k < units.length && units[i + k] === units[j + k]) k++;
          longest = Math.max(longest, k);
        }
      expect(longestRepeat(units)).toBe(units.length === 0 ? null : longest / units.length);
    }),
    { numRuns: 300 },
  );
  expect(pooledDistinct([[1, 2], [1, 2], [3]], 1)).toBe(3 / 5);
  expect(pooledDistinct([[1], [2]], 2)).toBe(null);
});

it('parts texts of several scripts into units', () => {
  expect(unitsOf("Don't stop, 春江潮水!  GPT-2 は naïve ok'")).toEqual([
    "Don't",
    'stop',
    ',',
    '春',
    '江',
    '潮',
    '水',
    '!',
    'GPT',
    '-',
    '2',
    'は',
    'naïve',
    'ok',
    "'",
  ]);
  expect(unitsOf('ไทย中a中')).toEqual(['ไ', 'ท', 'ย', '中', 'a', '中']);
  expect(unitsOf(' \n')).toEqual([]);
  const long = 'a'.repeat(200_000);
  expect(unitsOf(`${long}'${long}`)).toHaveLength(1);
});

it("the frontier's area is that of its authors' program (test/golden/experiments/mauve.json)", () => {
  for (const { p, q, mauve } of golden('mauve').cases) expect(frontierArea(p, q)).toBeCloseTo(mauve, 9);
});

it('the frontier has its closed forms: 1 for equal histograms, c B(c + 1, c) for strangers, and two sides', () => {
  expect(frontierArea([0.25, 0.75], [0.25, 0.75])).toBeCloseTo(1, 9);
  // KL(P|R) = -ln w and KL(Q|R) = -ln(1 - w): the area under y = w^c over x = (1 - w)^c.
  const c = 5;
  const beta = (24 * 120) / 3628800; // Γ(5) Γ(6) / Γ(11)
  expect(frontierArea([1, 0], [0, 1], c, 4001)).toBeCloseTo(c * beta, 5);
  const [p, q] = [
    [0.5, 0.3, 0.2],
    [0.1, 0.3, 0.6],
  ];
  expect(frontierArea(p, q)).toBeCloseTo(frontierArea(q, p), 9);
  // Two outcomes, one share moved: the exact integral by many steps.
  expect(frontierArea([0.6, 0.4], [0.4, 0.6], 5, 25)).toBeCloseTo(frontierArea([0.6, 0.4], [0.4, 0.6], 5, 20001), 2);
});

it('pieces of like texts fall into like clusters', () => {
  const make = (words: readonly string[], seed: number) =>
    Array.from({ length: 640 }, (_, i) => words[Math.floor(uniform(seed, 0, i) * words.length)]);
  const [a, b, other] = [make(['a', 'b', 'c'], 1), make(['a', 'b', 'c'], 2), make(['x', 'y', 'z'], 3)].map(piecesOf);
  expect(a).toHaveLength(20);
  expect(piecesOf('a b c'.split(' '))).toEqual([]);
  const area = (one: readonly Float64Array[], two: readonly Float64Array[]) => {
    const quantizer = new Quantizer([...one, ...two], one.length, 4);
    const shares = (pieces: readonly Float64Array[]) => quantizer.shares(quantizer.clustersOf(pieces))!;
    return frontierArea(shares(one), shares(two));
  };
  expect(area(a, a)).toBeCloseTo(1, 9);
  expect(area(a, b)).toBeGreaterThan(0.5);
  expect(area(a, other)).toBeLessThan(0.05);
});

it('quantiles lie between neighbours; intervals are a function of the seed and hold the value', () => {
  expect([0, 0.5, 1].map((share) => quantile([1, 2, 4], share))).toEqual([1, 2, 4]);
  expect(quantile([1, 2, 4], 0.75)).toBe(3);
  const one = bootstrapMean([1, 2, 3, 10], { seed: 5 })!;
  expect(bootstrapMean([1, 2, 3, 10], { seed: 5 })).toEqual(one);
  expect(one).toMatchObject({ value: 4, count: 4 });
  expect(one.low).toBeLessThan(4);
  expect(one.high).toBeGreaterThan(4);
  expect(bootstrapMean([7])).toEqual({ value: 7, low: 7, high: 7, count: 1 });
  expect(bootstrapMean([])).toBe(null);
  expect(bootstrap(3, () => null)).toBe(null);
});

it('an interval of 95 % holds the mean of a known distribution about so often', () => {
  // Uniform and exponential, 40 values each: nominal coverage less what the percentile bootstrap is known to lose.
  const laws = [
    { mean: 0.5, of: (u: number) => u, least: 0.9 },
    { mean: 1, of: (u: number) => -Math.log(1 - u), least: 0.86 },
  ];
  for (const law of laws) {
    let held = 0;
    for (let trial = 0; trial < 200; trial++) {
      const values = Array.from({ length: 40 }, (_, i) => law.of(uniform(trial, 7, i)));
      const { low, high } = bootstrapMean(values, { resamples: 200, seed: trial })!;
      if (low <= law.mean && law.mean <= high) held++;
    }
    expect(held / 200).toBeGreaterThan(law.least);
    expect(held / 200).toBeLessThan(0.99);
  }
});
