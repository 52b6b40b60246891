/** Choosing tokens: the greatest, at random after every warper, and the random numbers themselves. */
import { describe, expect, it } from 'vitest';
import { EnvironmentError, SettingError } from '../src/errors.ts';
import { buildProcessors } from '../src/generation/processors.ts';
import { drawSeed, uniform } from '../src/generation/random.ts';
import { exponential } from '../src/generation/rows.ts';
import { argmax, buildChooser, sampleToken } from '../src/generation/sampling.ts';
import { resolveSettings } from '../src/generation/settings.ts';
import { philox } from '../src/tensor/ops/lookup.ts';

const V = 60;
const model = { n_positions: 100, vocab_size: V, eos_token_id: 0 };
const settingsOf = (given: Record<string, unknown>) => resolveSettings({ seed: 1, ...given }, {}, model, 2).settings;
const row = () => Float32Array.from({ length: V }, (_, i) => Math.sin(i * 2.7) * 3);
const context = { tokens: [1, 2], promptLength: 2 };

/** Greatest chi-square of `df` degrees that chance exceeds once in 10^5 (Wilson & Hilferty 1931). */
function limit(df: number): number {
  const z = 4.265;
  return df * (1 - 2 / (9 * df) + z * Math.sqrt(2 / (9 * df))) ** 3;
}

function chiSquare(counts: readonly number[], expected: readonly number[]): { sum: number; df: number } {
  let [sum, bins, restCount, restExpected] = [0, 0, 0, 0];
  const add = (count: number, want: number) => {
    sum += (count - want) ** 2 / want;
    bins++;
  };
  counts.forEach((count, i) => {
    if (expected[i] >= 8) add(count, expected[i]);
    else {
      restCount += count;
      restExpected += expected[i];
    }
  });
  if (restExpected > 0) add(restCount, restExpected);
  return { sum, df: Math.max(1, bins - 1) };
}

describe('a token drawn at random', () => {
  const warped: Record<string, unknown>[] = [
    { top_k: 0 },
    { top_k: 0, temperature: 0.6 },
    { top_k: 0, temperature: 2 },
    { top_k: 9 },
    { top_k: 0, top_p: 0.8 },
    { top_k: 0, min_p: 0.1 },
    { top_k: 0, typical_p: 0.6 },
    { top_k: 0, top_h: 0.7 },
    { top_k: 0, epsilon_cutoff: 0.02 },
    { top_k: 0, eta_cutoff: 0.3 },
    { top_k: 0, renormalize_logits: true },
    { temperature: 1.4, top_k: 30, top_p: 0.9, min_p: 0.02, typical_p: 0.95, repetition_penalty: 1.3 },
  ];
  it.each(warped)('follows the processed distribution: %o', (given) => {
    const settings = settingsOf({ do_sample: true, ...given });
    const processed = row();
    for (const process of buildProcessors(settings)) process(processed, context);
    const weights = Array.from(processed, (x) => Math.exp(x));
    const total = weights.reduce((a, b) => a + b, 0);
    const choose = buildChooser(settings);
    const draws = 8000;
    let worst = 0;
    const counts = new Array<number>(V).fill(0);
    for (let step = 0; step < draws; step++) {
      const random = () => uniform(11, 0, step);
      const { token, logprob } = choose(row(), context, random);
      const plain = sampleToken(processed, random());
      if (token !== plain.token) expect.fail(`${token}, and ${plain.token} by way of the whole row`);
      const wanted = Math.log(weights[token] / total);
      worst = Math.max(worst, Math.abs(logprob - wanted), Math.abs(plain.logprob - wanted));
      counts[token]++;
    }
    expect(worst).toBeLessThan(1e-5);
    weights.forEach((weight, i) => {
      if (weight === 0) expect(counts[i]).toBe(0);
    });
    const { sum, df } = chiSquare(
      counts,
      weights.map((weight) => (draws * weight) / total),
    );
    expect(sum).toBeLessThan(limit(df));
  });

  it('is the inverse of the cumulative distribution in the order of ids', () => {
    const scores = Float32Array.of(Math.log(1), Number.NEGATIVE_INFINITY, Math.log(2), Math.log(1));
    const at = (random: number) => sampleToken(scores, random).token;
    expect([0, 0.2499, 0.2501, 0.7499, 0.7501, 1 - 2 ** -53].map(at)).toEqual([0, 0, 2, 2, 3, 3]);
  });

  it('is shared by infinite scores, and none is left when none is possible', () => {
    const infinite = Float32Array.of(0, Number.POSITIVE_INFINITY, 5, Number.POSITIVE_INFINITY);
    expect(sampleToken(infinite, 0.4)).toEqual({ token: 1, logprob: -Math.LN2 });
    expect(sampleToken(infinite, 0.6).token).toBe(3);
    const removed = new Float32Array(3).fill(Number.NEGATIVE_INFINITY);
    const broken = new Float32Array(3).fill(Number.NaN);
    for (const choose of [argmax, (scores: Float32Array) => sampleToken(scores, 0.5)]) {
      expect(() => choose(removed)).toThrow(SettingError);
      expect(() => choose(broken)).toThrow(EnvironmentError);
    }
  });
});

describe('the greatest', () => {
  it('is the smallest id among equals, wherever it stands', () => {
    for (const at of [0, 3, 7, 8, 15, 16, 18]) {
      const scores = new Float32Array(20).fill(-5);
      scores[at] = 2;
      scores[19] = 2;
      expect(argmax(scores).token).toBe(at);
    }
  });

  it('comes with its log-probability, and greedy choice asks for no random number', () => {
    const want = Math.max(...row()) - Math.log(row().reduce((sum, x) => sum + Math.exp(x), 0));
    expect(argmax(row()).logprob).toBeCloseTo(want, 6);
    const choose = buildChooser(settingsOf({ suppress_tokens: [argmax(row()).token] }));
    const choice = choose(row(), context, () => {
      throw new Error('asked');
    });
    expect(choice.token).not.toBe(argmax(row()).token);
  });
});

describe('random numbers', () => {
  it('come from Philox4x32-10: its published vectors', () => {
    expect(philox([0, 0, 0, 0], [0, 0])).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    const ones = 0xffffffff;
    expect(philox([ones, ones, ones, ones], [ones, ones])).toEqual([0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
  });

  it('are the same for the same place and different for any other', () => {
    const places: [number, number, number, number][] = [
      [5, 0, 0, 0],
      [6, 0, 0, 0],
      [5 + 2 ** 32, 0, 0, 0],
      [5, 1, 0, 0],
      [5, 2 ** 32, 0, 0],
      [5, 0, 1, 0],
      [5, 0, 0, 1],
      [0, 5, 0, 0],
      [0, 0, 5, 0],
    ];
    const numbers = places.map((place) => uniform(...place));
    expect(new Set(numbers).size).toBe(places.length);
    expect(places.map((place) => uniform(...place))).toEqual(numbers);
    for (const x of numbers) expect(x >= 0 && x < 1 && Number.isInteger(x * 2 ** 53)).toBe(true);
  });

  it('of two streams and of two steps are evenly and independently spread', () => {
    const n = 16_000;
    const pairs: [number, number][][] = [
      Array.from({ length: n }, (_, i) => [uniform(3, 0, i), uniform(3, 1, i)]),
      Array.from({ length: n }, (_, i) => [uniform(3, 0, i), uniform(3, 0, i + 1)]),
      Array.from({ length: n }, (_, i) => [uniform(i, 0, 0), uniform(i + 1, 0, 0)]),
    ];
    for (const list of pairs) {
      const cells = new Array<number>(64).fill(0);
      for (const [x, y] of list) cells[Math.floor(x * 8) * 8 + Math.floor(y * 8)]++;
      const { sum, df } = chiSquare(cells, new Array<number>(64).fill(n / 64));
      expect(sum).toBeLessThan(limit(df));
    }
  });

  it('a seed that is drawn is one that can be given', () => {
    for (let i = 0; i < 20; i++) expect(settingsOf({ seed: drawSeed() }).seed).toBeGreaterThanOrEqual(0);
  });
});

it('the exponential is within 2e-13 of the true one', () => {
  for (let x = 0; x > -690; x -= 0.0937) expect(Math.abs(exponential(x) / Math.exp(x) - 1)).toBeLessThan(2e-13);
  expect([exponential(0), exponential(-800), exponential(Number.NEGATIVE_INFINITY)]).toEqual([1, 0, 0]);
});
