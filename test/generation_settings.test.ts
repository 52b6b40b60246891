/** How requests, generation_config.json and defaults become settings, and what is refused. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CapacityError, InkstoneError, SettingError } from '../src/errors.ts';
import { parseSetting, resolveSettings, settingTable } from '../src/generation/settings.ts';

const model = { n_positions: 64, vocab_size: 100, eos_token_id: 2 };
const resolve = (
  given: Record<string, unknown> = {},
  file: Record<string, unknown> = {},
  prompt = 10,
  fallback?: number,
) => resolveSettings(given, file, model, prompt, fallback);
const refuse = (given: Record<string, unknown>, file: Record<string, unknown> = {}, prompt = 10) =>
  expect(() => resolve(given, file, prompt));

describe('the table', () => {
  it('has a name once, and a meaning in two languages', () => {
    expect(new Set(settingTable.map(({ name }) => name)).size).toBe(settingTable.length);
    for (const { en, zh } of settingTable) {
      expect(en).toMatch(/^[\x20-\x7e…]{3,90}$/);
      expect(zh).toMatch(/\p{Script=Han}/u);
    }
  });

  it('makes every default possible and neutral', () => {
    for (const { name, default: initial } of settingTable)
      expect(() => resolve({ [name]: initial }), name).not.toThrow();
  });
});

describe('order', () => {
  it('is defaults, then the file, then the request', () => {
    expect(resolve().settings).toMatchObject({ do_sample: false, top_k: 50, temperature: 1, eos_token_id: [2] });
    const file = { do_sample: true, temperature: 0.6, top_p: 0.9, eos_token_id: [3, 4] };
    expect(resolve({}, file).settings).toMatchObject({
      do_sample: true,
      temperature: 0.6,
      top_p: 0.9,
      eos_token_id: [3, 4],
    });
    expect(resolve({ temperature: 0.8, eos_token_id: [] }, file).settings).toMatchObject({
      temperature: 0.8,
      top_p: 0.9,
      eos_token_id: [],
    });
  });

  it('null and undefined mean "not given"', () => {
    const file = { do_sample: true, top_k: 7, min_p: null };
    expect(resolve({ top_k: null, min_p: undefined }, file).settings).toMatchObject({ top_k: 7, min_p: null });
  });

  it("a file's sampling settings wait for do_sample", () => {
    expect(resolve({}, { temperature: 0 }).settings.temperature).toBe(1);
    expect(resolve({ do_sample: false }, { do_sample: true, top_p: 0.9 }).settings.top_p).toBe(1);
    refuse({ do_sample: true }, { temperature: 0 }).toThrow(/temperature = 0: .*generation_config.json/);
  });

  it('draws a seed unless one is given', () => {
    expect(resolve({ seed: 9 }).settings.seed).toBe(9);
    expect(new Set(Array.from({ length: 8 }, () => resolve().settings.seed)).size).toBeGreaterThan(6);
  });
});

describe('new tokens', () => {
  const count = (given: Record<string, unknown>, file: Record<string, unknown> = {}, prompt = 10, fallback?: number) =>
    resolve(given, file, prompt, fallback).settings.max_new_tokens;

  it('follow the nearest word on them', () => {
    expect(count({})).toBe(20);
    expect(count({}, {}, 10, 256)).toBe(54);
    expect(count({}, {}, 60)).toBe(4);
    expect(count({ max_new_tokens: 5 })).toBe(5);
    expect(count({ max_length: 15 })).toBe(5);
    expect(count({ max_length: 12, max_new_tokens: 7 })).toBe(7);
    expect(count({}, { max_length: 15 })).toBe(5);
    expect(count({}, { max_new_tokens: 9, max_length: 15 })).toBe(9);
    expect(count({ max_length: 15 }, { max_new_tokens: 9 })).toBe(5);
    expect(count({ max_new_tokens: 3 }, { max_length: 15 })).toBe(3);
  });

  it("a file's word is cut to what fits, or left aside and said so", () => {
    expect(count({}, { max_length: 4096 })).toBe(54);
    expect(count({}, { max_new_tokens: 4096 })).toBe(54);
    const { settings, ignored } = resolve({}, { max_length: 8 });
    expect(settings.max_new_tokens).toBe(20);
    expect(ignored).toEqual(['max_length: 8 is not more than the 10 tokens of the prompt']);
  });

  it('beyond the context are refused with both numbers', () => {
    refuse({ max_new_tokens: 55 }).toThrow(
      /max_new_tokens = 55: exceeds the context: 10 tokens of prompt and 55 new ones, 64 in all. At most 54/,
    );
    refuse({ max_length: 65 }).toThrow(
      /max_length = 65: exceeds the context: 10 tokens of prompt and 55 new ones, 64 in all. At most 64/,
    );
    refuse({}, {}, 64).toThrow(/64 available.*The prompt has 64 tokens/);
    refuse({}, {}, 64).toThrow(CapacityError);
    refuse({ max_length: 10 }).toThrow(/max_length = 10: has to be more than the 10 tokens of the prompt/);
  });
});

describe('what cannot be is refused by name', () => {
  it.each([
    ['temperature', Number.NaN],
    ['temperature', -1],
    ['temperature', '0.7'],
    ['temperature', Number.POSITIVE_INFINITY],
    ['top_k', 1.5],
    ['top_k', -1],
    ['top_p', 1.01],
    ['min_p', -0.1],
    ['typical_p', 0],
    ['epsilon_cutoff', 1],
    ['top_h', 0],
    ['repetition_penalty', 0],
    ['no_repeat_ngram_size', -2],
    ['max_new_tokens', 0],
    ['max_time', 0],
    ['num_return_sequences', 1e9],
    ['seed', -1],
    ['seed', 2 ** 53],
    ['stop_strings', ['a', '']],
    ['stop_strings', 7],
    ['eos_token_id', 100],
    ['eos_token_id', [1, -1]],
    ['pad_token_id', 'x'],
    ['bad_words_ids', [[]]],
    ['bad_words_ids', [3]],
    ['bad_words_ids', [[100]]],
    ['suppress_tokens', [0.5]],
    ['sequence_bias', [[[1], Number.NaN]]],
    ['sequence_bias', [[[1]]]],
    ['sequence_bias', { 1: 2 }],
    ['exponential_decay_length_penalty', [1]],
    ['exponential_decay_length_penalty', [1, -2]],
    ['do_sample', 1],
    ['forced_eos_token_id', 100],
  ])('%s = %o', (name, value) => {
    refuse({ do_sample: true, [name]: value }).toThrow(SettingError);
    refuse({ do_sample: true, [name]: value }).toThrow(new RegExp(`^${name} = `));
  });

  it('greedy spelt as temperature 0 is told its right name', () => {
    refuse({ do_sample: true, temperature: 0 }).toThrow(/use do_sample false/);
    refuse({ temperature: 0 }).toThrow(/use do_sample false/);
  });

  it('an unknown name, with the nearest', () => {
    refuse({ temprature: 1 }).toThrow(/temprature = 1: is not a setting of generation. Did you mean temperature/);
    refuse({ max_tokens: 1 }).toThrow(/max_new_tokens/);
    refuse({ constructor: 1 }).toThrow(/is not a setting/);
    expect(() => resolve(JSON.parse('{"__proto__": {"top_k": 1}}'))).toThrow(/is not a setting/);
  });

  it('contradictions, with both sides', () => {
    refuse({ min_new_tokens: 6, max_new_tokens: 5 }).toThrow(/min_new_tokens = 6: is more than max_new_tokens, 5/);
    refuse({ min_length: 40, max_new_tokens: 5 }).toThrow(/min_length = 40: .*10 \+ 5/);
    refuse({ num_return_sequences: 2 }).toThrow(/num_return_sequences = 2: needs do_sample true/);
    refuse({ max_new_tokens: 5 }, { min_new_tokens: 6 }).toThrow(/generation_config.json/);
  });

  it('sampling settings without sampling, but for those at their defaults', () => {
    refuse({ temperature: 0.7 }).toThrow(/temperature = 0.7: acts only when sampling: give do_sample true as well/);
    refuse({ top_p: 0.7, do_sample: false }).toThrow(
      /top_p = 0.7: acts only when sampling: give do_sample true instead/,
    );
    refuse({ top_k: 5 }, { do_sample: true }).not.toThrow();
    refuse({ temperature: 1, top_k: 0, top_p: 1, min_p: 0, seed: 4, do_sample: false }).not.toThrow();
  });

  it('what this version cannot do, unless it is off', () => {
    for (const given of [{ low_memory: true }]) {
      refuse(given).toThrow(/^\w+ = .*: is not supported in this version$/);
    }
    refuse({ num_beams: 1, guidance_scale: 1, penalty_alpha: 0, use_cache: true, force_words_ids: [] }).not.toThrow();
  });
});

describe('settings that need or exclude each other', () => {
  it.each([
    [{ length_penalty: 2 }, /length_penalty = 2: acts only together with num_beams above 1/],
    [{ early_stopping: true }, /early_stopping = true: acts only together with num_beams/],
    [{ num_beams: 4, num_beam_groups: 3, diversity_penalty: 1 }, /num_beam_groups = 3: has to divide num_beams, 4/],
    [{ num_beams: 4, diversity_penalty: 1 }, /diversity_penalty = 1: acts only together with num_beam_groups/],
    [{ num_beams: 2, num_return_sequences: 3 }, /num_return_sequences = 3: is more than num_beams, 2/],
    [{ num_beams: 4, num_beam_groups: 2, do_sample: true }, /num_beam_groups = 2: cannot go with do_sample/],
    [{ force_words_ids: [[1]] }, /force_words_ids = .*: acts only together with num_beams/],
    [{ penalty_alpha: 0.6, top_k: 1 }, /top_k = 1: has to be 2 or more with penalty_alpha/],
    [{ penalty_alpha: 0.6, num_beams: 2 }, /penalty_alpha = 0.6: cannot go with num_beams/],
    [{ prompt_lookup_num_tokens: 3, num_beams: 2 }, /prompt_lookup_num_tokens = 3: cannot go with num_beams/],
    [{ negative_prompt_ids: [1] }, /negative_prompt_ids = .*: acts only together with guidance_scale/],
    [{ structured_output: { json: true, regex: 'a' } }, /structured_output = .*: has to be an object with one of/],
    [{ structured_output: { jsn: true } }, /"jsn" is none of them/],
    [{ early_stopping: 'sometimes' }, /early_stopping = "sometimes": has to be false or true or "never"/],
  ])('%j is refused by name', (given, message) => {
    refuse(given).toThrow(message);
  });
});

describe('generation_config.json', () => {
  it('of real models is taken', () => {
    const llama = {
      bos_token_id: 1,
      do_sample: true,
      eos_token_id: 2,
      max_length: 4096,
      temperature: 0.6,
      top_p: 0.9,
      transformers_version: '4.31.0',
    };
    expect(resolve({}, llama).ignored).toEqual(['transformers_version: is not a setting of generation']);
    const gemma = {
      bos_token_id: 2,
      cache_implementation: 'hybrid',
      do_sample: true,
      eos_token_id: [1, 106],
      pad_token_id: 0,
      top_k: 64,
      top_p: 0.95,
    };
    const { settings, ignored } = resolve({}, gemma);
    expect(settings).toMatchObject({ top_k: 64, top_p: 0.95, eos_token_id: [1], pad_token_id: 0 });
    expect(ignored).toEqual([
      'cache_implementation: changes no token',
      'eos_token_id: has token ids outside the vocabulary of 100',
    ]);
  });

  it('with token ids of another vocabulary falls back', () => {
    const { settings } = resolve(
      {},
      { eos_token_id: 50256, pad_token_id: -1, suppress_tokens: [-1, 4], bad_words_ids: [[200], [1, 2]] },
    );
    expect(settings).toMatchObject({
      eos_token_id: [2],
      pad_token_id: null,
      suppress_tokens: [4],
      bad_words_ids: [[1, 2]],
    });
  });

  it('that asks for what cannot be done is refused, with the way out, and a request overrides it', () => {
    refuse({}, { assistant_model: 'x' }).toThrow(/assistant_model = "x": .*generation_config.json/);
    refuse({}, { num_beams: 3, num_beam_groups: 2 }).toThrow(
      /num_beam_groups = 2: has to divide.*generation_config.json/,
    );
    refuse({ num_beam_groups: 1 }, { num_beams: 3, num_beam_groups: 2 }).not.toThrow();
    refuse({}, { repetition_penalty: 'x' }).toThrow(/repetition_penalty = "x".*generation_config.json/);
    refuse({ repetition_penalty: 1 }, { repetition_penalty: 'x' }).not.toThrow();
  });

  it('of the golden models is taken as it is', () => {
    const url = new URL('./golden/models/gpt2/generation_config.json', import.meta.url);
    const file = JSON.parse(readFileSync(url, 'utf8')) as Record<string, unknown>;
    expect(resolve({}, file).settings.eos_token_id).toEqual([file.eos_token_id].flat());
  });
});

describe('the command line', () => {
  it.each([
    ['temperature', '0.7', 0.7],
    ['temperature', '1e-3', 1e-3],
    ['top_k', '40', 40],
    ['min_p', 'none', null],
    ['do_sample', 'TRUE', true],
    ['do_sample', '0', false],
    ['eos_token_id', '2', [2]],
    ['eos_token_id', '1, 2', [1, 2]],
    ['eos_token_id', '[]', []],
    ['bad_words_ids', '[[1,2],[3]]', [[1, 2], [3]]],
    ['stop_strings', '[INST]', '[INST]'],
    ['stop_strings', '["\\n", "x"]', ['\n', 'x']],
    ['stop_strings', ' end', ' end'],
    ['early_stopping', 'never', 'never'],
    ['num_beams', '4', 4],
  ])('--%s %s', (name, text, value) => {
    expect(parseSetting(name, text)).toEqual(value);
  });

  it.each([
    ['temperature', 'hot'],
    ['top_k', '0x10'],
    ['do_sample', 'yes'],
    ['bad_words_ids', '[[1'],
    ['eos_token_id', 'end'],
    ['topk', '4'],
  ])('--%s %s is refused', (name, text) => {
    expect(() => parseSetting(name, text)).toThrow(SettingError);
  });
});

it('any object at all is taken or refused, never more than that', () => {
  const names = fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom(...settingTable.map(({ name }) => name)) },
    { weight: 1, arbitrary: fc.string() },
  );
  const values = fc.oneof(
    fc.double(),
    fc.integer({ min: -3, max: 70 }),
    fc.boolean(),
    fc.constantFrom(null, undefined, '', 'never', 1e308, -0),
    fc.array(fc.integer({ min: -1, max: 110 }), { maxLength: 3 }),
    fc.array(fc.array(fc.integer({ min: 0, max: 99 }), { maxLength: 3 }), { maxLength: 3 }),
    fc.anything(),
  );
  const objects = fc.dictionary(names, values, { maxKeys: 4 });
  fc.assert(
    fc.property(objects, objects, fc.integer({ min: 1, max: 70 }), (given, file, prompt) => {
      try {
        const { settings } = resolve(given, file, prompt);
        expect(settings.max_new_tokens).toBeGreaterThan(0);
        expect(prompt + settings.max_new_tokens).toBeLessThanOrEqual(64);
        expect(Number.isSafeInteger(settings.seed)).toBe(true);
      } catch (error) {
        if (!(error instanceof InkstoneError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
});
