/** llama.cpp's samplers: against programs straight from their definitions, the preset's order, and that sampling follows what they leave. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SettingError } from '../src/errors.ts';
import { type Warper, warp } from '../src/generation/candidates.ts';
import { buildChain, buildProcessors } from '../src/generation/processors.ts';
import { uniform } from '../src/generation/random.ts';
import { type DrySettings, dry } from '../src/generation/samplers/dry.ts';
import { mirostat } from '../src/generation/samplers/mirostat.ts';
import { dynamicTemperature, exactTopK, topNSigma, xtc } from '../src/generation/samplers/narrowing.ts';
import { windowPenalties } from '../src/generation/samplers/window.ts';
import { buildChooser, sampleToken } from '../src/generation/sampling.ts';
import { resolveSettings } from '../src/generation/settings.ts';
import type { GenerationSettings, ProcessorContext } from '../src/generation/types.ts';

const V = 24;
const REMOVED = Number.NEGATIVE_INFINITY;
const model = { n_positions: 400, vocab_size: V, eos_token_id: 0 };
const settingsOf = (given: Record<string, unknown>): GenerationSettings =>
  resolveSettings({ seed: 1, ...given }, {}, model, 2).settings;

/** Rows with ties and removed tokens. */
const rows = fc
  .array(fc.oneof(fc.double({ min: -8, max: 8, noNaN: true }), fc.integer({ min: -4, max: 4 }), fc.constant(REMOVED)), {
    minLength: V,
    maxLength: V,
  })
  .map((list) => Float32Array.from(list))
  .filter((row) => row.some((x) => x > REMOVED));
const texts = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 40 });
const here: ProcessorContext = { tokens: [1, 2], promptLength: 2 };

function run(scores: Float32Array, warper: Warper, context = here): Float32Array {
  const out = scores.slice();
  warp([warper])(out, context);
  return out;
}

/** What is there, most probable first, the smaller ids first among equals. */
function sorted(scores: ArrayLike<number>): { id: number; score: number; p: number }[] {
  const list = Array.from(scores, (score, id) => ({ id, score, p: Math.exp(score) })).filter((x) => x.score > REMOVED);
  const total = list.reduce((sum, x) => sum + x.p, 0);
  return list.map((x) => ({ ...x, p: x.p / total })).sort((a, b) => b.score - a.score || a.id - b.id);
}

function only(scores: Float32Array, ids: readonly number[]): Float32Array {
  return scores.map((score, id) => (ids.includes(id) ? score : REMOVED));
}

function expectClose(got: ArrayLike<number>, want: ArrayLike<number>): void {
  for (let i = 0; i < want.length; i++) {
    const isRight = got[i] === want[i] || Math.abs(got[i] - want[i]) <= 1e-4 + 1e-5 * Math.abs(want[i]);
    if (!isRight) expect.fail(`token ${i}: ${got[i]}, not ${want[i]}`);
  }
}

describe('penalties over a window', () => {
  it('are those counted one by one', () => {
    const amounts = fc.record({
      lastN: fc.integer({ min: -1, max: 50 }),
      repeat: fc.double({ min: 0.5, max: 3, noNaN: true }),
      presence: fc.double({ min: -2, max: 2, noNaN: true }),
      frequency: fc.double({ min: -2, max: 2, noNaN: true }),
    });
    fc.assert(
      fc.property(rows, texts, amounts, (scores, tokens, given) => {
        const got = scores.slice();
        windowPenalties(given)(got, { tokens, promptLength: 1 });
        const window = given.lastN === 0 ? [] : given.lastN < 0 ? tokens : tokens.slice(-given.lastN);
        const want = scores.map((score, id) => {
          const count = window.filter((token) => token === id).length;
          if (count === 0) return score;
          const penalised = score <= 0 ? score * given.repeat : score / given.repeat;
          return penalised - count * given.frequency - given.presence;
        });
        expectClose(got, want);
      }),
    );
  });
});

describe('DRY', () => {
  /** Every run that the text's end repeats, compared token by token. */
  function plain(scores: Float32Array, tokens: readonly number[], s: DrySettings, words: readonly string[]) {
    const out = scores.slice();
    const window = s.lastN < 0 ? [...tokens] : s.lastN === 0 ? [] : tokens.slice(-s.lastN);
    const n = window.length;
    // How many tokens stand after the last breaker: breakers begin at the end of a token and end with one.
    let free = n;
    for (let i = n - 1; i >= 0 && free === n; i--) {
      const after: number[] = [];
      for (const breaker of s.breakers) {
        if (words[window[i]].includes(breaker)) after.push(n - 1 - i);
        for (let end = i + 1; end < n; end++) {
          const rest = window
            .slice(i + 1, end + 1)
            .map((token) => words[token])
            .join('');
          const head = breaker.slice(0, breaker.length - rest.length);
          if (head !== '' && head + rest === breaker && words[window[i]].endsWith(head)) after.push(n - 1 - end);
        }
      }
      if (after.length > 0) free = Math.min(...after);
    }
    if (n <= s.allowedLength || free < s.allowedLength) return out;
    const longest = new Map<number, number>();
    for (let next = 1; next < n; next++) {
      let run = 0;
      while (run < next && run < free && window[next - 1 - run] === window[n - 1 - run]) run++;
      if (run >= s.allowedLength) longest.set(window[next], Math.max(run, longest.get(window[next]) ?? 0));
    }
    for (const [token, run] of longest) {
      if (s.breakers.some((breaker) => words[token].includes(breaker))) continue;
      out[token] -= s.multiplier * s.base ** (run - s.allowedLength);
    }
    return out;
  }

  const words = ['a', 'b', 'x\ny', 'ab', 'ca', ...Array.from({ length: V - 5 }, (_, i) => `w${i}`)];
  const given = fc.record({
    multiplier: fc.double({ min: 0.1, max: 2, noNaN: true }),
    base: fc.double({ min: 1, max: 2, noNaN: true }),
    allowedLength: fc.integer({ min: 0, max: 4 }),
    lastN: fc.integer({ min: -1, max: 45 }),
    breakers: fc.subarray(['\n', 'ab', 'cab', 'bb']),
  });

  it('is what comparing every run gives', () => {
    const short = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 40 });
    const periodic = fc.tuple(fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 5 }), fc.nat(30));
    const repeated = periodic.map(([unit, n]) => Array.from({ length: n + 1 }, (_, i) => unit[i % unit.length]));
    fc.assert(
      fc.property(rows, fc.oneof(short, repeated), given, (scores, tokens, settings) => {
        const got = scores.slice();
        dry(settings, (token) => words[token])(got, { tokens, promptLength: 1 });
        expectClose(got, plain(scores, tokens, settings, words));
      }),
      { numRuns: 600 },
    );
  });

  it('penalises the next token of a run of n by multiplier · base^(n - allowed)', () => {
    const scores = new Float32Array(V);
    const settings = { multiplier: 0.8, base: 1.75, allowedLength: 2, lastN: -1, breakers: [] };
    dry(settings)(scores, { tokens: [5, 6, 7, 8, 9, 5, 6, 7], promptLength: 1 });
    expect(scores[8]).toBeCloseTo(-0.8 * 1.75, 5);
    expect(scores.filter((x) => x !== 0)).toHaveLength(1);
  });

  it('stays a number for runs of any length, and takes no more time than there are tokens', () => {
    const scores = new Float32Array(V);
    const settings = { multiplier: 1, base: 1.75, allowedLength: 2, lastN: -1, breakers: [] };
    dry(settings)(scores, { tokens: new Array<number>(100_000).fill(3), promptLength: 1 });
    expect(Number.isFinite(scores[3])).toBe(true);
    expect(scores[3]).toBeLessThan(-1e30);
  });

  it('needs the texts of tokens for breakers', () => {
    expect(() => buildChain(settingsOf({ dry_multiplier: 0.8 }))).toThrow(SettingError);
    expect(() => buildChain(settingsOf({ dry_multiplier: 0.8 }))).toThrow(/dry_sequence_breakers/);
    const chain = buildChain(settingsOf({ dry_multiplier: 0.8 }), { textOf: () => 'x' });
    expect(chain.map(({ name }) => name)).toEqual(['dry_multiplier']);
    expect(buildChain(settingsOf({ dry_multiplier: 0.8, dry_sequence_breakers: [] }))).toHaveLength(1);
  });
});

describe('cuts', () => {
  it('top-n-sigma keeps what lies within n deviations of the best', () => {
    fc.assert(
      fc.property(rows, fc.double({ min: 0.1, max: 3, noNaN: true }), (scores, n) => {
        const list = sorted(scores);
        const mean = list.reduce((sum, { score }) => sum + score, 0) / list.length;
        const deviation = Math.sqrt(list.reduce((sum, { score }) => sum + (score - mean) ** 2, 0) / list.length);
        const least = list[0].score - n * deviation;
        const kept = list.filter(({ score }) => score >= least);
        // On the very limit rounding decides.
        fc.pre(list.every(({ score }) => Math.abs(score - least) > 1e-9 || deviation === 0));
        const want = only(
          scores,
          kept.map(({ id }) => id),
        );
        expect(run(scores, topNSigma(n))).toEqual(want);
      }),
    );
  });

  it('top-k of the preset keeps k, the smaller ids among equals', () => {
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: V }), (scores, k) => {
        const kept = sorted(scores).slice(0, k);
        const want = only(
          scores,
          kept.map(({ id }) => id),
        );
        expect(run(scores, exactTopK(k))).toEqual(want);
      }),
    );
  });

  it('XTC removes all above the threshold but the last, as often as its probability says', () => {
    const seeds = fc.integer({ min: 0, max: 2 ** 40 });
    fc.assert(
      fc.property(rows, fc.double({ min: 0.01, max: 0.5, noNaN: true }), seeds, (scores, threshold, seed) => {
        const list = sorted(scores);
        fc.pre(list.every(({ p }) => Math.abs(p - threshold) > 1e-9));
        const above = list.filter(({ p }) => p >= threshold).length;
        const kept = list.slice(Math.max(0, above - 1));
        const want = only(
          scores,
          kept.map(({ id }) => id),
        );
        expect(run(scores, xtc(1, threshold, seed))).toEqual(want);
        expect(run(scores, xtc(0, threshold, seed))).toEqual(scores);
      }),
    );
    const scores = new Float32Array(V).fill(-9).fill(1, 0, 3);
    let times = 0;
    for (let step = 0; step < 4000; step++) {
      const context = { tokens: new Array<number>(2 + step).fill(1), promptLength: 2, stream: 3 };
      if (run(scores, xtc(0.3, 0.1, 7), context)[0] === REMOVED) times++;
    }
    expect(Math.abs(times / 4000 - 0.3)).toBeLessThan(4 * Math.sqrt((0.3 * 0.7) / 4000));
    expect(run(scores, xtc(1, 0.51, 7))).toEqual(scores);
  });

  it('the draws of XTC are those of an answer and its step alone', () => {
    const scores = new Float32Array(V).fill(-9).fill(1, 0, 3);
    const pattern = (stream: number, seed = 7): string =>
      Array.from({ length: 200 }, (_, step) => {
        const context = { tokens: new Array<number>(2 + step).fill(1), promptLength: 2, stream };
        return run(scores, xtc(0.5, 0.1, seed), context)[0] === REMOVED ? 'x' : '.';
      }).join('');
    expect(pattern(0)).toBe(pattern(0));
    expect(new Set([pattern(0), pattern(1), pattern(0, 8)]).size).toBe(3);
  });

  it('dynamic temperature follows the entropy', () => {
    const range = fc.double({ min: 0.01, max: 2, noNaN: true });
    const exponent = fc.double({ min: 0, max: 3, noNaN: true });
    fc.assert(
      fc.property(rows, range, range, exponent, (scores, middle, width, power) => {
        const list = sorted(scores);
        const got = run(scores, dynamicTemperature(middle, width, power));
        if (list.length === 1) {
          expect(got).toEqual(scores);
          return;
        }
        const entropy = -list.reduce((sum, { p }) => sum + (p > 0 ? p * Math.log(p) : 0), 0);
        const low = Math.max(0, middle - width);
        const heat = low + (middle + width - low) * Math.min(1, entropy / Math.log(list.length)) ** power;
        fc.pre(heat > 1e-3);
        expectClose(
          got,
          scores.map((score) => score / heat),
        );
      }),
    );
    // All the same: the highest temperature. One certain, and a range down to 0: that one alone.
    expect(run(new Float32Array(V).fill(3), dynamicTemperature(1, 0.5, 1))[5]).toBeCloseTo(2, 6);
    const certain = new Float32Array(V).fill(-300).fill(700, 4, 5);
    expect(sorted(run(certain, dynamicTemperature(1, 1, 1))).map(({ id }) => id)).toEqual([4]);
  });
});

describe('mirostat', () => {
  /** An answer by the definition: everything sorted, nothing kept but mu. */
  function plain(version: 1 | 2, tau: number, eta: number, row: (step: number) => Float32Array, choose: Choose) {
    let mu = 2 * tau;
    const kept: number[][] = [];
    const mus: number[] = [];
    for (let step = 0; step < 30; step++) {
      let list = sorted(row(step));
      if (version === 1) {
        const [t, b] = [[] as number[], [] as number[]];
        for (let i = 0; i < 99 && i + 1 < list.length; i++) {
          t.push(Math.log((i + 2) / (i + 1)));
          b.push(Math.log(list[i].p / list[i + 1].p));
        }
        const s = t.reduce((sum, x, i) => sum + x * b[i], 0) / t.reduce((sum, x) => sum + x * x, 0);
        const k = (((s - 1) * 2 ** mu) / (1 - V ** (1 - s))) ** (1 / s);
        list = list.slice(0, Math.max(1, Math.floor(Math.min(k, list.length))));
      } else {
        const cut = list.findIndex(({ p }) => -Math.log2(p) > mu);
        list = cut < 0 ? list : list.slice(0, Math.max(1, cut));
      }
      kept.push(list.map(({ id }) => id).sort((x, y) => x - y));
      mus.push(mu);
      const total = list.reduce((sum, { p }) => sum + p, 0);
      const token = choose(step, kept[step]);
      mu -= eta * (-Math.log2(list.find(({ id }) => id === token)!.p / total) - tau);
    }
    return { kept, mus };
  }
  type Choose = (step: number, ids: readonly number[]) => number;

  const row = (seed: number) => (step: number) =>
    Float32Array.from(
      { length: V },
      (_, i) => 4 * uniform(seed, i, step) - 0.15 * i + (i === 3 && step % 5 === 4 ? 6 : 0),
    );

  it.each([1, 2] as const)('version %i is that of the definition, also after going back', (version) => {
    for (let seed = 0; seed < 30; seed++) {
      const [tau, eta] = [1 + 3 * uniform(1, seed, 0), uniform(2, seed, 0)];
      const choose: Choose = (step, ids) => ids[Math.floor(uniform(3, seed, step) * ids.length)];
      const want = plain(version, tau, eta, row(seed), choose);
      const warper = mirostat({ version, tau, eta });
      const tokens = [1, 2];
      for (let step = 0; step < want.kept.length; step++) {
        const left = () => sorted(run(row(seed)(step), warper, { tokens, promptLength: 2 })).map(({ id }) => id);
        const ids = left().sort((x, y) => x - y);
        expect(ids).toEqual(want.kept[step]);
        // A step that is asked for again learns nothing twice.
        if (step % 3 === 1) expect(left().sort((x, y) => x - y)).toEqual(ids);
        tokens.push(choose(step, ids));
      }
      expect(new Set(want.kept.map((ids) => ids.length)).size).toBeGreaterThan(1);
    }
  });

  it.each([1, 2] as const)('version %i brings the surprise near its aim', (version) => {
    const settings = settingsOf({ do_sample: true, mirostat: version, mirostat_tau: 2.5, mirostat_eta: 0.2 });
    const choose = buildChooser(settings);
    const tokens = [1, 2];
    let surprise = 0;
    for (let step = 0; step < 300; step++) {
      const scores = Float32Array.from({ length: V }, (_, i) => 2 * uniform(5, i, step));
      const { token, logprob } = choose(scores, { tokens, promptLength: 2 }, () => uniform(6, 0, step));
      tokens.push(token);
      surprise -= logprob / Math.LN2;
    }
    expect(Math.abs(surprise / 300 - 2.5)).toBeLessThan(0.25);
  });
});

describe('the order', () => {
  const names = (given: Record<string, unknown>): string[] =>
    buildChain(settingsOf(given), { textOf: () => 'x', own: [() => {}] }).map(({ name }) => name);
  const all = {
    repetition_penalty: 1.1,
    no_repeat_ngram_size: 3,
    repeat_penalty: 1.2,
    dry_multiplier: 0.8,
    temperature: 0.7,
    top_n_sigma: 2,
    top_k: 9,
    top_p: 0.9,
    min_p: 0.1,
    typical_p: 0.9,
    xtc_probability: 0.5,
    renormalize_logits: true,
  };

  it("of the preset is llama.cpp's, temperature last, with its defaults", () => {
    expect(names({ preset: 'llama.cpp' })).toEqual(['processors', 'top_k', 'top_p', 'min_p', 'temperature']);
    const { settings } = resolveSettings({ preset: 'llama.cpp', seed: 1 }, {}, model, 2);
    expect(settings).toMatchObject({ do_sample: true, temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05 });
    expect(settings).toMatchObject({ repeat_last_n: 64, repeat_penalty: 1 });
    expect(names({ preset: 'llama.cpp', ...all, watermarking_config: {} })).toEqual([
      'repetition_penalty',
      'no_repeat_ngram_size',
      'processors',
      'repeat_penalty',
      'dry_multiplier',
      'top_n_sigma',
      'top_k',
      'typical_p',
      'top_p',
      'min_p',
      'xtc_probability',
      'temperature',
      'watermarking_config',
      'renormalize_logits',
    ]);
  });

  it('of transformers has places for them', () => {
    expect(names({ do_sample: true, ...all })).toEqual([
      'repetition_penalty',
      'repeat_penalty',
      'dry_multiplier',
      'no_repeat_ngram_size',
      'processors',
      'temperature',
      'top_n_sigma',
      'top_k',
      'top_p',
      'min_p',
      'typical_p',
      'xtc_probability',
      'renormalize_logits',
    ]);
    expect(names({ do_sample: true, dynatemp_range: 0.3, top_k: 0 })).toEqual(['processors', 'dynatemp_range']);
    expect(names({ do_sample: true, mirostat: 2, temperature: 0.8 })).toEqual([
      'processors',
      'temperature',
      'mirostat',
    ]);
    expect(names({ preset: 'llama.cpp', mirostat: 1 })).toEqual(['processors', 'temperature', 'mirostat']);
  });

  it('counts the penalties without sampling too', () => {
    expect(names({ presence_penalty: 1 })).toEqual(['presence_penalty', 'processors']);
    expect(names({ preset: 'llama.cpp', do_sample: false, frequency_penalty: 1 })).toEqual([
      'processors',
      'frequency_penalty',
    ]);
  });

  it.each([
    [{ do_sample: true, mirostat: 2, top_k: 10 }, /top_k.*mirostat/],
    [{ do_sample: true, mirostat: 1, min_p: 0.1 }, /min_p.*mirostat/],
    [{ do_sample: true, mirostat: 1, xtc_probability: 0.1 }, /xtc_probability.*mirostat/],
    [{ do_sample: true, mirostat: 1, dynatemp_range: 0.1 }, /dynatemp_range.*mirostat/],
    [{ do_sample: true, mirostat: 2, num_beams: 2 }, /mirostat.*num_beams/],
    [{ mirostat: 2 }, /mirostat.*do_sample/],
    [{ dry_base: 2 }, /dry_base.*dry_multiplier/],
    [{ do_sample: true, xtc_threshold: 0.2 }, /xtc_threshold.*xtc_probability/],
    [{ repeat_last_n: 10 }, /repeat_last_n.*repeat_penalty/],
    [{ do_sample: true, mirostat_tau: 3 }, /mirostat_tau.*mirostat/],
    [{ do_sample: true, dynatemp_exponent: 2 }, /dynatemp_exponent.*dynatemp_range/],
    [{ preset: 'llama' }, /preset/],
  ])('refuses %o with both settings named', (given, message) => {
    expect(() => settingsOf(given)).toThrow(SettingError);
    expect(() => settingsOf(given)).toThrow(message);
  });
});

describe('a token drawn at random', () => {
  it.each([
    { top_n_sigma: 1 },
    { xtc_probability: 0.5, xtc_threshold: 0.08 },
    { dynatemp_range: 0.5, temperature: 1.2 },
    { mirostat: 1 },
    { mirostat: 2, mirostat_tau: 3 },
    { repeat_penalty: 1.5, presence_penalty: 0.4, frequency_penalty: 0.2 },
    { dry_multiplier: 0.8, dry_allowed_length: 1 },
    { preset: 'llama.cpp', temperature: 1.5, typical_p: 0.9, xtc_probability: 0.5, dry_multiplier: 0.5, top_k: 12 },
    { watermarking_config: { bias: 1.5 }, renormalize_logits: true },
    { watermarking_config: { seeding_scheme: 'selfhash' }, top_k: 9 },
    { watermarking_config: { keys: [5, 6, 7], ngram_len: 3 } },
  ])('follows the processed distribution: %o', (given) => {
    const settings = settingsOf({ do_sample: true, ...given });
    const options = { textOf: () => 'x' };
    const context = { tokens: [1, 2, 9, 1, 2], promptLength: 2, stream: 4 };
    const row = () => Float32Array.from({ length: V }, (_, i) => Math.sin(i * 2.7) * 2);
    const processed = row();
    for (const process of buildProcessors(settings, options)) process(processed, context);
    const stepwise = row();
    for (const { apply } of buildChain(settings, options)) apply(stepwise, context);
    expect(stepwise).toEqual(processed);
    const expected = new Array<number>(V).fill(0);
    for (const { id, p } of sorted(processed)) expected[id] = p;
    const choose = buildChooser(settings, options);
    const counts = new Array<number>(V).fill(0);
    const draws = 3000;
    for (let i = 0; i < draws; i++) {
      const random = () => uniform(11, 0, i);
      const { token, logprob } = choose(row(), context, random);
      if (token !== sampleToken(processed, random()).token) expect.fail('another token by way of the whole row');
      if (Math.abs(logprob - Math.log(expected[token])) > 1e-5) expect.fail('another probability');
      counts[token]++;
    }
    // Chi-square, tokens of few expected draws together; the limit is exceeded by chance once in 10^5 (Wilson & Hilferty 1931).
    const bins: [count: number, want: number][] = [[0, 0]];
    counts.forEach((count, i) => {
      if (draws * expected[i] >= 8) bins.push([count, draws * expected[i]]);
      else {
        bins[0][0] += count;
        bins[0][1] += draws * expected[i];
      }
    });
    const used = bins.filter(([count, want]) => count > 0 || want > 1e-6);
    const df = Math.max(1, used.length - 1);
    const sum = used.reduce((total, [count, want]) => total + (count - want) ** 2 / want, 0);
    expect(sum).toBeLessThan(df * (1 - 2 / (9 * df) + 4.265 * Math.sqrt(2 / (9 * df))) ** 3);
  });
});
