/** Logits processors and warpers: against transformers' own, recorded; the fast ways against plain ones; the order of the whole chain. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Warper, warp } from '../src/generation/candidates.ts';
import * as p from '../src/generation/processors.ts';
import { resolveSettings } from '../src/generation/settings.ts';
import type { LogitsProcessor } from '../src/generation/types.ts';
import * as w from '../src/generation/warpers.ts';

type Recorded = number | 'NaN' | 'Infinity' | null;
type Args = Record<string, number> & Record<string, never>;

interface Case {
  readonly processor: string;
  readonly args: Args;
  readonly scores_kind: string;
  readonly input_ids: number[][];
  readonly scores: Recorded[][];
  readonly out?: Recorded[][];
  readonly error?: string;
}

const { cases } = JSON.parse(readFileSync(new URL('./golden/processors/processors.json', import.meta.url), 'utf8')) as {
  cases: Case[];
};

interface Made {
  readonly process: LogitsProcessor;
  /** Of the tokens in the recorded input, how many were the prompt; all of them where it does not matter. */
  readonly promptLength?: number;
  /** Tokens in place of the recorded ones. */
  readonly tokens?: number[];
}

const eos = (a: Args): number[] => [a.eos_token_id].flat();
const keep = (a: Args): number => a.min_tokens_to_keep ?? 1;
const warper = (one: Warper): Made => ({ process: warp([one]) });

const make: Record<string, (a: Args, row: number, tokens: number[]) => Made> = {
  TemperatureLogitsWarper: (a) => warper(w.temperature(a.temperature)),
  TopKLogitsWarper: (a) => warper(w.topK(a.top_k, keep(a))),
  TopPLogitsWarper: (a) => warper(w.topP(a.top_p, keep(a))),
  MinPLogitsWarper: (a) => warper(w.minP(a.min_p, keep(a))),
  TopHLogitsWarper: (a) => warper(w.topH(a.top_h)),
  TypicalLogitsWarper: (a) => warper(w.typical(a.mass, keep(a))),
  EpsilonLogitsWarper: (a) => warper(w.epsilonCutoff(a.epsilon, keep(a))),
  EtaLogitsWarper: (a) => warper(w.etaCutoff(a.epsilon, keep(a))),
  LogitNormalization: () => warper(w.renormalize),
  RepetitionPenaltyLogitsProcessor: (a, row) => ({
    process: p.repetitionPenalty(
      a.penalty,
      (a.prompt_ignore_length_per_row as number[] | undefined)?.[row] ?? a.prompt_ignore_length,
    ),
  }),
  // Where there is an encoder its input takes the place of the prompt.
  EncoderRepetitionPenaltyLogitsProcessor: (a, row, tokens) => {
    const prompt = (a.encoder_input_ids as number[][])[row];
    return {
      process: p.encoderRepetitionPenalty(a.penalty),
      tokens: [...prompt, ...tokens],
      promptLength: prompt.length,
    };
  },
  EncoderNoRepeatNGramLogitsProcessor: (a, row, tokens) => {
    const prompt = (a.encoder_input_ids as number[][])[row];
    return {
      process: p.encoderNoRepeatNgram(a.encoder_ngram_size),
      tokens: [...prompt, ...tokens],
      promptLength: prompt.length,
    };
  },
  NoRepeatNGramLogitsProcessor: (a) => ({ process: p.noRepeatNgram(a.ngram_size) }),
  SequenceBiasLogitsProcessor: (a) => ({ process: p.sequenceBias(a.sequence_bias) }),
  NoBadWordsLogitsProcessor: (a) => ({ process: p.badWords(a.bad_words_ids, eos(a)) }),
  ExponentialDecayLengthPenalty: (a) => ({
    process: p.exponentialDecay(
      a.exponential_decay_length_penalty[0],
      a.exponential_decay_length_penalty[1],
      a.eos_token_id,
    ),
    promptLength: a.input_ids_seq_length,
  }),
  MinLengthLogitsProcessor: (a) => ({ process: p.minLength(a.min_length, eos(a)) }),
  MinNewTokensLengthLogitsProcessor: (a) => ({
    process: p.minNewTokens(a.min_new_tokens, eos(a)),
    promptLength: a.prompt_length_to_skip,
  }),
  ForcedBOSTokenLogitsProcessor: (a) => ({ process: p.forcedBos(a.bos_token_id) }),
  ForcedEOSTokenLogitsProcessor: (a) => ({ process: p.forcedEos(a.max_length - 4, eos(a)), promptLength: 4 }),
  SuppressTokensLogitsProcessor: (a) => ({ process: p.suppress(a.suppress_tokens) }),
  SuppressTokensAtBeginLogitsProcessor: (a) => ({
    process: p.beginSuppress(a.begin_suppress_tokens),
    promptLength: a.begin_index,
  }),
  InfNanRemoveLogitsProcessor: () => ({ process: p.removeInvalid }),
  PrefixConstrainedLogitsProcessor: (a, row) => ({
    process: p.prefixConstrained(() => (a.allowed_by_batch_row as Record<string, number[]>)[row]),
  }),
};

const number = (x: Recorded): number =>
  x === null ? Number.NEGATIVE_INFINITY : x === 'NaN' ? Number.NaN : x === 'Infinity' ? Number.POSITIVE_INFINITY : x;
const isGone = (x: number): boolean => x === Number.NEGATIVE_INFINITY;

function expectClose(got: ArrayLike<number>, want: readonly number[], label: string): void {
  want.forEach((x, i) => {
    const where = `${label} token ${i}: ${got[i]}, not ${x}`;
    if (!Number.isFinite(x)) expect.soft(Object.is(got[i], x), where).toBe(true);
    else expect.soft(Math.abs(got[i] - x), where).toBeLessThanOrEqual(1e-5 + 1e-5 * Math.abs(x));
  });
}

/** As `expectClose`, when it is left open which of several equal scores stay: the same scores, as often. */
function expectCloseButForTies(got: Float32Array, want: readonly number[], given: Float32Array, label: string): void {
  const pattern = (row: ArrayLike<number>): string => Array.from(row, (x) => (isGone(x) ? '.' : 'x')).join('');
  if (pattern(got) === pattern(want)) {
    expectClose(got, want, label);
    return;
  }
  const kept = (row: ArrayLike<number>): number[] =>
    Array.from(row)
      .filter((x) => !isGone(x))
      .map((x) => x + 0)
      .sort((a, b) => a - b);
  expect.soft(kept(got), label).toEqual(kept(want));
  // Of equal scores the smallest ids are ours.
  got.forEach((score, i) => {
    if (isGone(score))
      for (let j = i + 1; j < got.length; j++) expect.soft(!isGone(got[j]) && given[j] === given[i]).toBe(false);
  });
}

describe.each(Object.keys(make))('%s', (name) => {
  const mine = cases.filter(({ processor, error }) => processor === name && !error);
  it(`agrees in ${mine.length} recorded cases`, () => {
    expect(mine.length).toBeGreaterThan(0);
    for (const { args, scores, out, input_ids, scores_kind } of mine) {
      scores.forEach((row, i) => {
        const { process, tokens = input_ids[i], promptLength = tokens.length } = make[name](args, i, input_ids[i]);
        const given = Float32Array.from(row, number);
        const got = given.slice();
        process(got, { tokens, promptLength });
        const want = out![i].map(number);
        const label = `${name} ${JSON.stringify(args)} ${scores_kind} row ${i}`;
        // With all of the entropy allowed, what the reference removes is its own rounding in 32 bits.
        if (name === 'TopHLogitsWarper' && args.top_h === 1) expectClose(got, Array.from(given), label);
        else if (['TopPLogitsWarper', 'MinPLogitsWarper', 'TopHLogitsWarper', 'TypicalLogitsWarper'].includes(name))
          expectCloseButForTies(got, want, given, label);
        else expectClose(got, want, label);
      });
    }
  });
});

it('guidance agrees with the recorded cases', () => {
  const mine = cases.filter(({ processor }) => processor === 'ClassifierFreeGuidanceLogitsProcessor');
  expect(mine.length).toBe(2);
  for (const { args, scores, out } of mine) {
    out!.forEach((want, i) => {
      const got = Float32Array.from(scores[i], number);
      p.guide(got, Float32Array.from(scores[i + out!.length], number), args.guidance_scale);
      // The recorded class leaves out the normalisation that `generate` does before: one number for the whole row.
      const shift = number(want[0]) - got[0];
      expectClose(
        got.map((x) => x + shift),
        want.map(number),
        `guidance ${args.guidance_scale} row ${i}`,
      );
    });
  }
});

it('what the recorded processors refuse, the settings refuse', () => {
  const model = { n_positions: 100, vocab_size: 26 };
  const refused = cases.filter(({ error, processor }) => error && !/Watermark/.test(processor));
  const kinds = new Set<string>();
  for (const { processor, args, error } of refused) {
    // A whole-numbered temperature is a matter of Python; top_k 0 is how `generate` spells "off".
    if (/=1\)|top_k/.test(error!)) continue;
    kinds.add(processor);
    const given = processor === 'TemperatureLogitsWarper' ? { do_sample: true, ...args } : args;
    expect(() => resolveSettings(given, {}, model, 4), error).toThrow(/^(temperature|sequence_bias) = /);
  }
  expect(kinds.size).toBe(2);
});

it('all recorded processors are covered, the watermark in generation_watermark.test.ts', () => {
  const known = new Set([...Object.keys(make), 'ClassifierFreeGuidanceLogitsProcessor', 'WatermarkLogitsProcessor']);
  expect(cases.filter(({ processor }) => !known.has(processor))).toEqual([]);
});

describe('fast ways equal plain ones', () => {
  /** Scores with ties, removed tokens and, rarely, infinite ones. */
  const rows = fc
    .array(
      fc.oneof(
        { weight: 20, arbitrary: fc.integer({ min: -40, max: 40 }).map((x) => x / 4) },
        { weight: 20, arbitrary: fc.float({ min: -50, max: 50, noNaN: true }) },
        { weight: 3, arbitrary: fc.constant(Number.NEGATIVE_INFINITY) },
        { weight: 1, arbitrary: fc.constantFrom(0, -0, 1e-42, -1e-42) },
      ),
      { minLength: 1, maxLength: 700 },
    )
    .map((list) => Float32Array.from(list));
  const run = (row: Float32Array, ...warpers: Warper[]): Float32Array => {
    const copy = row.slice();
    warp(warpers)(copy, { tokens: [], promptLength: 0 });
    return copy;
  };
  const order = (row: Float32Array): number[] =>
    Array.from(row.keys())
      .filter((i) => !isGone(row[i]))
      .sort((a, b) => row[b] - row[a] || a - b);
  const only = (row: Float32Array, kept: readonly number[]): Float32Array => {
    const result = new Float32Array(row.length).fill(Number.NEGATIVE_INFINITY);
    for (const i of kept) result[i] = row[i];
    return result;
  };

  it('top_k after any temperature, with a heap and with buckets', () => {
    const temperatures = fc.oneof(fc.constantFrom(1, 0.1, 100, 3), fc.double({ min: 1e-3, max: 1e3, noNaN: true }));
    fc.assert(
      fc.property(rows, temperatures, fc.integer({ min: 1, max: 600 }), (row, t, k) => {
        const divided = row.map((x) => x / Math.fround(t));
        const all = order(divided);
        const least = all.length > 0 ? divided[all[Math.min(k, all.length) - 1]] : 0;
        const want = only(
          divided,
          all.filter((i) => divided[i] >= least),
        );
        expect(run(row, w.temperature(t), w.topK(k))).toEqual(want);
      }),
      { numRuns: 500 },
    );
    // More than the heap holds.
    const large = Float32Array.from({ length: 9000 }, (_, i) => Math.fround(Math.sin(i * i)));
    const least = Float32Array.from(large).sort().at(-5000)!;
    const want = large.map((x) => (x >= least ? x : Number.NEGATIVE_INFINITY));
    expect(run(large, w.topK(5000))).toEqual(want);
  });

  it('top_k keeps neighbours that division makes equal', () => {
    // Both are 0.5 once divided, in 32 bits.
    const above = 1.5;
    const below = Math.fround(1.5 - 2 ** -23);
    const t = 3 * (1 + 2 ** -22);
    const row = Float32Array.of(below, above, -1);
    const want = row.map((x) => x / Math.fround(t));
    const equal = want[0] === want[1];
    expect(run(row, w.temperature(t), w.topK(1)).filter((x) => !isGone(x)).length).toBe(equal ? 2 : 1);
  });

  it('top_p by sorting', () => {
    const ps = fc.oneof(fc.constantFrom(0, 0.5, 0.9, 0.999), fc.double({ min: 0, max: 0.9999, noNaN: true }));
    fc.assert(
      fc.property(rows, ps, fc.integer({ min: 1, max: 4 }), (row, top, least) => {
        const all = order(row);
        if (all.length === 0) return;
        const weights = all.map((i) => Math.exp(row[i] - row[all[0]]));
        const total = weights.reduce((a, b) => a + b, 0);
        const kept: number[] = [];
        let above = 0;
        for (const [rank, i] of all.entries()) {
          // Too near to the limit for sums in another order to agree: nothing to test.
          if (Math.abs(above / total - top) < 1e-9 && rank >= least && top > 0) return;
          if (above >= top * total && rank >= least) break;
          kept.push(i);
          above += weights[rank];
        }
        expect(run(row, w.topP(top, least))).toEqual(only(row, kept));
      }),
      { numRuns: 500 },
    );
  });

  it('typical by sorting', () => {
    fc.assert(
      fc.property(rows, fc.double({ min: 0.01, max: 0.99, noNaN: true }), (row, mass) => {
        const all = order(row);
        if (all.length === 0) return;
        const raw = all.map((i) => Math.exp(row[i] - row[all[0]]));
        const total = raw.reduce((a, b) => a + b, 0);
        const logs = all.map((i) => row[i] - row[all[0]] - Math.log(total));
        const entropy = -logs.reduce((sum, log) => sum + Math.exp(log) * log, 0);
        const distance = logs.map((log) => Math.abs(-log - entropy));
        const ranks = Array.from(all.keys()).sort((a, b) => distance[a] - distance[b] || all[a] - all[b]);
        let sum = 0;
        let last = 0;
        let limit = 0;
        for (const rank of ranks) {
          sum += raw[rank] / total;
          last = distance[rank];
          limit = row[all[rank]];
          if (Math.abs(sum - mass) < 1e-9) return;
          if (sum >= mass) break;
        }
        // Different scores as far from the entropy as rounding can tell: nothing to test.
        if (distance.some((d, rank) => Math.abs(d - last) < 1e-9 && row[all[rank]] !== limit)) return;
        const kept = all.filter((_, rank) => distance[rank] <= last);
        const got = run(row, w.typical(mass));
        expect(order(got).sort((a, b) => a - b)).toEqual(kept.sort((a, b) => a - b));
      }),
      { numRuns: 500 },
    );
  });

  it('a row of one score, all equal, keeps the smallest ids in top_p and all in top_k', () => {
    const row = new Float32Array(1000).fill(2.5);
    expect(order(run(row, w.topP(0.25))).length).toBe(250);
    expect(Math.max(...order(run(row, w.topP(0.25))))).toBe(249);
    expect(order(run(row, w.topK(3))).length).toBe(1000);
  });

  it('infinite and missing scores survive every chain', () => {
    const chain = [w.temperature(0.7), w.topH(1), w.topK(4), w.topP(0.9), w.minP(0.1), w.typical(0.9)];
    const infinite = Float32Array.of(1, Number.POSITIVE_INFINITY, 2, Number.POSITIVE_INFINITY);
    expect(order(run(infinite, ...chain, w.epsilonCutoff(0.1), w.etaCutoff(0.1)))).toEqual([1, 3]);
    for (const bad of [Number.NaN, Number.NEGATIVE_INFINITY]) {
      expect(order(run(new Float32Array(20).fill(bad), ...chain, w.renormalize))).toEqual([]);
    }
  });
});

describe('the chain', () => {
  const model = { n_positions: 64, vocab_size: 40, eos_token_id: 7 };
  const build = (given: Record<string, unknown>): LogitsProcessor[] =>
    p.buildProcessors(resolveSettings(given, {}, model, 4).settings);

  it('is empty where nothing is asked for', () => {
    expect(build({})).toEqual([]);
  });

  it('runs in the documented order', () => {
    // Doubling the bias (penalty of a negative score) shows that it was there before; temperature sees the sum; top_k the quotient.
    const chain = build({
      do_sample: true,
      sequence_bias: [[[3], -4]],
      repetition_penalty: 2,
      suppress_tokens: [5],
      temperature: 0.5,
      top_k: 2,
      renormalize_logits: true,
    });
    const scores = new Float32Array(40).fill(-100);
    scores.set([-3, 1], 3);
    scores[5] = 50;
    scores[6] = 2;
    for (const process of chain) process(scores, { tokens: [1, 3], promptLength: 2 });
    const kept = Array.from(scores.entries()).filter(([, x]) => !isGone(x));
    expect(kept.map(([id]) => id)).toEqual([4, 6]);
    // 1 and 2, divided by 0.5, as log-probabilities.
    expect(kept[0][1]).toBeCloseTo(2 - Math.log(Math.exp(2) + Math.exp(4)), 5);
    const rules = p.buildRules(
      resolveSettings({ sequence_bias: [[[3], -4]], repetition_penalty: 2 }, {}, model, 4).settings,
    );
    const row = new Float32Array(40).fill(0).fill(-3, 3, 4);
    for (const process of rules) process(row, { tokens: [1, 3], promptLength: 2 });
    expect(row[3]).toBe(-14);
  });

  it("puts the user's own processors between the rules and the warpers", () => {
    const { settings } = resolveSettings({ do_sample: true, top_k: 1, suppress_tokens: [2] }, {}, model, 4);
    const seen: number[] = [];
    const own: LogitsProcessor = (scores) => {
      seen.push(scores[2]);
      scores[9] = 99;
    };
    const row = new Float32Array(40);
    for (const process of p.buildProcessors(settings, { own: [own] })) process(row, { tokens: [1], promptLength: 1 });
    expect(seen).toEqual([Number.NEGATIVE_INFINITY]);
    expect(Array.from(row.keys()).filter((i) => !isGone(row[i]))).toEqual([9]);
  });
});
