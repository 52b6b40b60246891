/** Watermarks: what transformers 5.23 made with the same keys, recorded, and that what is written is found again. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { SettingError } from '../src/errors.ts';
import { Candidates, warp } from '../src/generation/candidates.ts';
import { buildChain } from '../src/generation/processors.ts';
import { uniform } from '../src/generation/random.ts';
import { buildChooser } from '../src/generation/sampling.ts';
import { resolveSettings } from '../src/generation/settings.ts';
import { completeWatermark, type GreenListConfig, type SynthIdConfig } from '../src/generation/watermark/config.ts';
import { detectWatermark } from '../src/generation/watermark/detect.ts';
import { GreenLists, greenListWatermark } from '../src/generation/watermark/green.ts';
import { bitFinder, synthIdWatermark } from '../src/generation/watermark/synthid.ts';
import { firstOfOrder, isAmongFirst, Twister } from '../src/generation/watermark/twister.ts';

const golden = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`./golden/processors/${name}.json`, import.meta.url), 'utf8'));

interface GreenCase {
  readonly processor: string;
  readonly args: Partial<GreenListConfig> & { readonly vocab_size: number };
  readonly input_ids: number[][];
  readonly scores: number[][];
  readonly out: number[][];
  readonly fixed_table_first_16: number[];
  readonly greenlists?: number[][];
}

const greenCases = (golden('processors') as { cases: GreenCase[] }).cases.filter(
  ({ processor }) => processor === 'WatermarkLogitsProcessor',
);

function green(config: Partial<GreenListConfig>): GreenListConfig {
  return completeWatermark(config) as GreenListConfig;
}

function expectClose(got: ArrayLike<number>, want: readonly number[]): void {
  expect(got.length).toBe(want.length);
  want.forEach((x, i) => {
    expect.soft(Math.abs(got[i] - x), `token ${i}: ${got[i]}, not ${x}`).toBeLessThanOrEqual(1e-5 + 1e-5 * Math.abs(x));
  });
}

describe('random numbers of torch', () => {
  it('are those of the Mersenne Twister', () => {
    // The standard's own check: number 10,000 after seed 5489 (ISO/IEC 14882, [rand.predef]).
    const twister = new Twister(5489);
    for (let i = 1; i < 10_000; i++) twister.next();
    expect(twister.next()).toBe(4123659995);
  });

  it('say of one item what the order says of all', () => {
    for (const [size, count] of [
      [1, 1],
      [1, 0],
      [2, 1],
      [31, 10],
      [40, 40],
    ]) {
      const list = [...firstOfOrder(new Twister(size), size, count, new Int32Array(size))];
      for (let item = 0; item < size; item++) {
        expect(isAmongFirst(new Twister(size), size, count, item)).toBe(list.includes(item));
      }
    }
  });
});

describe('green lists', () => {
  it('has recorded cases', () => {
    expect(greenCases.length).toBe(5);
  });

  it.each(greenCases.map((one, i) => [i, one.args, one] as const))('are the recorded ones: %i %o', (_, args, one) => {
    const { vocab_size, ...given } = args;
    const config = green(given);
    const table = firstOfOrder(new Twister(config.hashing_key), 1_000_003, 16, new Int32Array(1_000_003));
    expect([...table]).toEqual(one.fixed_table_first_16);
    one.input_ids.forEach((tokens, row) => {
      const scores = Float32Array.from(one.scores[row]);
      greenListWatermark(config)(scores, { tokens, promptLength: tokens.length });
      expectClose(scores, one.out[row]);
      const wanted = one.greenlists?.[row];
      if (wanted) expect([...new GreenLists(config, vocab_size).after(tokens)]).toEqual(wanted);
    });
  });

  it.each(['lefthash', 'selfhash'] as const)('are found again in what was written with %s', (seeding_scheme) => {
    const V = 300;
    const config = { greenlist_ratio: 0.3, bias: 4, seeding_scheme, hashing_key: 77, context_width: 2 };
    const settings = (marked: boolean) => {
      const given = { do_sample: true, top_k: 0, seed: 5, ...(marked && { watermarking_config: config }) };
      return resolveSettings(given, {}, { n_positions: 400, vocab_size: V }, 2).settings;
    };
    const write = (marked: boolean) => {
      const choose = buildChooser(settings(marked));
      const tokens = [1, 2];
      for (let step = 0; step < 150; step++) {
        const scores = Float32Array.from({ length: V }, (_, i) => 3 * uniform(9, i, step));
        tokens.push(choose(scores, { tokens, promptLength: 2 }, () => uniform(5, 0, step)).token);
      }
      return tokens.slice(2);
    };
    const found = detectWatermark(write(true), config, V);
    expect(found.prediction).toBe(true);
    expect(found.p_value).toBeLessThan(1e-6);
    expect(found.confidence).toBeCloseTo(1 - found.p_value, 12);
    expect(detectWatermark(write(false), config, V).prediction).toBe(false);
    expect(detectWatermark(write(true), { ...config, hashing_key: 78 }, V).prediction).toBe(false);
  });
});

interface Detector {
  readonly config: Partial<GreenListConfig> & { readonly vocab_size: number };
  readonly ignore_repeated_ngrams: boolean;
  readonly z_threshold: number;
  readonly input_ids: number[][];
  readonly num_tokens_scored: number[];
  readonly num_green_tokens: number[];
  readonly green_fraction: number[];
  readonly z_score: number[];
  readonly p_value: number[];
  readonly prediction: boolean[];
}

describe('the detector', () => {
  it('says what transformers said', () => {
    const list = [golden('watermark_detector')].flat() as Detector[];
    expect(list.length).toBeGreaterThan(0);
    for (const one of list) {
      const { vocab_size, ...config } = one.config;
      const { ignore_repeated_ngrams, z_threshold } = one;
      one.input_ids.forEach((ids, row) => {
        const found = detectWatermark(ids, config, vocab_size, { ignore_repeated_ngrams, z_threshold });
        expect(found.num_tokens_scored).toBe(one.num_tokens_scored[row]);
        expect(found.num_green_tokens).toBe(one.num_green_tokens[row]);
        expect(found.green_fraction).toBeCloseTo(one.green_fraction[row], 12);
        expect(found.z_score).toBeCloseTo(one.z_score[row], 12);
        expect(found.p_value).toBeCloseTo(one.p_value[row], 12);
        expect(found.prediction).toBe(one.prediction[row]);
      });
    }
  });

  it('counts a run once when asked, and leaves out a first token that begins texts', () => {
    const ids = [0, 5, 6, 5, 6, 5, 6];
    const config = { hashing_key: 3 };
    expect(detectWatermark(ids, config, 20).num_tokens_scored).toBe(6);
    expect(detectWatermark(ids, config, 20, { bos_token_id: 0 }).num_tokens_scored).toBe(5);
    expect(detectWatermark(ids, config, 20, { ignore_repeated_ngrams: true }).num_tokens_scored).toBe(3);
  });

  it('refuses what it cannot judge', () => {
    const synthId = { ngram_len: 5, keys: [1] } as never;
    expect(() => detectWatermark([1], {}, 20)).toThrow(/at least 2 tokens/);
    expect(() => detectWatermark([1, 20], {}, 20)).toThrow(/token ids from 0 to 19/);
    expect(() => detectWatermark([1, 2, 3], { greenlist_ratio: 1 }, 20)).toThrow(/greenlist_ratio/);
    expect(() => detectWatermark([1, 2, 3], synthId, 20)).toThrow(SettingError);
  });
});

interface SynthIdCase {
  readonly args: Partial<SynthIdConfig>;
  readonly sampling_table_bits: string;
  readonly steps: { readonly input_ids: number[][]; readonly scores: number[][]; readonly out: number[][] }[];
  readonly g_values: { readonly input_ids: number[][]; readonly g: number[][][] };
}
const synthIdCases = golden('synthid') as SynthIdCase[];

describe('SynthID', () => {
  it.each(synthIdCases.map((one) => [one.args, one] as const))('changes scores as recorded: %o', (args, one) => {
    const config = completeWatermark(args) as SynthIdConfig;
    const promptLength = one.steps[0].input_ids[0].length;
    for (let row = 0; row < one.steps[0].input_ids.length; row++) {
      const process = warp([synthIdWatermark(config)]);
      for (const { input_ids, scores, out } of one.steps) {
        const changed = Float32Array.from(scores[row]);
        process(changed, { tokens: input_ids[row], promptLength });
        expectClose(changed, out[row]);
      }
      // Any step can be asked for again, or alone: only the tokens count.
      for (const { input_ids, scores, out } of [...one.steps].reverse()) {
        for (const again of [process, warp([synthIdWatermark(config)])]) {
          const changed = Float32Array.from(scores[row]);
          again(changed, { tokens: input_ids[row], promptLength });
          expectClose(changed, out[row]);
        }
      }
    }
  });

  it('draws the recorded bits, and in a table of any size', () => {
    for (const { args, sampling_table_bits } of synthIdCases) {
      const twister = new Twister(args.sampling_table_seed!);
      const bits = Array.from({ length: args.sampling_table_size! }, () => twister.next() & 1);
      expect(bits.join('')).toBe(sampling_table_bits);
    }
    // A power of two twice over through the general way: the low half of the table decides.
    const half = Uint8Array.from({ length: 64 }, (_, i) => ((i * 7 + 3) % 5) & 1);
    const ids = Int32Array.from({ length: 100 }, (_, i) => i * 31);
    const [fast, plain] = [new Uint8Array(100), new Uint8Array(100)];
    bitFinder(123456789012345678n, half)(ids, 100, 654, fast);
    const hash = (h: bigint, x: bigint) => BigInt.asIntN(64, (h + x) * 6364136223846793005n + 1n);
    ids.forEach((id, i) => {
      const place = hash(hash(123456789012345678n, BigInt(id)), 654n) % 64n;
      plain[i] = half[Number(place < 0n ? place + 64n : place)];
    });
    expect(fast).toEqual(plain);
    const odd = Uint8Array.from({ length: 97 }, (_, i) => i & 1);
    bitFinder(-5n, odd)(ids, 100, 11, fast);
    ids.forEach((id, i) => {
      const place = hash(hash(-5n, BigInt(id)), 11n) % 97n;
      plain[i] = odd[Number(place < 0n ? place + 97n : place)];
    });
    expect(fast).toEqual(plain);
  });

  it('keeps the sum of probabilities and removes nothing', () => {
    const candidates = new Candidates();
    const scores = Float32Array.from({ length: 50 }, (_, i) =>
      i % 7 === 0 ? Number.NEGATIVE_INFINITY : Math.sin(i) * 4,
    );
    candidates.begin(scores);
    synthIdWatermark(completeWatermark({ ngram_len: 5, keys: [1, 2, 3, 4, 5, 6] }) as SynthIdConfig)(candidates, {
      tokens: [1, 2, 3],
      promptLength: 1,
    });
    candidates.end();
    expect(scores.reduce((sum, x) => sum + Math.exp(x), 0)).toBeCloseTo(1, 5);
    expect(scores[7]).toBe(Number.NEGATIVE_INFINITY);
  });
});

describe('watermarking_config', () => {
  const model = { n_positions: 100, vocab_size: 60 };
  const names = (given: Record<string, unknown>) =>
    buildChain(resolveSettings(given, {}, model, 2).settings).map(({ name }) => name);

  it('acts after the warpers and before the normalisation, also without sampling', () => {
    const both = { watermarking_config: { bias: 1 }, renormalize_logits: true };
    expect(names({ do_sample: true, ...both })).toEqual(['top_k', 'watermarking_config', 'renormalize_logits']);
    expect(names({ watermarking_config: { keys: [3], ngram_len: 4 } })).toEqual(['watermarking_config']);
    expect(names({ watermarking_config: false })).toEqual([]);
  });

  it('changes the greedy choice where its bias says so', () => {
    const run = (watermarking_config: unknown) => {
      const { settings } = resolveSettings({ watermarking_config }, {}, model, 2);
      const scores = Float32Array.from({ length: 60 }, (_, i) => -i * 1e-3);
      return buildChooser(settings)(scores, { tokens: [1, 2], promptLength: 2 }, () => 0).token;
    };
    expect(run(null)).toBe(0);
    const first = Math.min(...new GreenLists(green({}), 60).after([1, 2]));
    expect(run({})).toBe(first);
    expect(run({ keys: [5, 6, 7], ngram_len: 3 })).toBeGreaterThanOrEqual(0);
  });

  it.each([
    [[], /object/],
    [true, /object/],
    [{ greenlist_ratio: 0 }, /greenlist_ratio/],
    [{ greenlist_ratio: Number.NaN }, /greenlist_ratio/],
    [{ seeding_scheme: 'x' }, /seeding_scheme/],
    [{ context_width: 0 }, /context_width/],
    [{ nothing: 1 }, /nothing/],
    [{ keys: [1] }, /ngram_len/],
    [{ keys: [0.5], ngram_len: 3 }, /keys/],
    [{ keys: [1], ngram_len: 3, sampling_table_size: 1e9 }, /sampling_table_size/],
  ])('refuses %o by name', (watermarking_config, message) => {
    const resolve = () => resolveSettings({ watermarking_config }, {}, model, 2);
    expect(resolve).toThrow(SettingError);
    expect(resolve).toThrow(message);
  });
});
