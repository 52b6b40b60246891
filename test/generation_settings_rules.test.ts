/** Settings together: which exclude each other, which wait for others, what presets and files change; and any junk at all. */
import { describe, expect, it } from 'vitest';
import { CapacityError, SettingError } from '../src/errors.ts';
import { buildChain } from '../src/generation/processors.ts';
import { parseSetting, resolveSettings, settingTable } from '../src/generation/settings.ts';

const model = { n_positions: 64, vocab_size: 100, eos_token_id: 2 };
type Values = Record<string, unknown>;
const resolve = (given: Values = {}, file: Values = {}) => resolveSettings(given, file, model, 10).settings;
const refuse = (given: Values, file: Values = {}) => expect(() => resolve(given, file), JSON.stringify(given));
const namesOf = (given: Values) => buildChain(resolve(given), { textOf: String }).map(({ name }) => name);

describe('two settings that exclude each other, or one that needs another, are both named', () => {
  it.each<[Values, ...string[]]>([
    [{ num_beams: 4, penalty_alpha: 0.6, top_k: 4 }, 'penalty_alpha', 'num_beams'],
    [{ num_beams: 2, num_return_sequences: 3 }, 'num_return_sequences', 'num_beams'],
    [{ num_return_sequences: 2 }, 'num_return_sequences', 'num_beams'],
    [{ num_beams: 4, num_beam_groups: 3 }, 'num_beam_groups', 'num_beams'],
    [{ num_beam_groups: 2 }, 'num_beam_groups', 'num_beams'],
    [{ num_beams: 4, diversity_penalty: 1 }, 'diversity_penalty', 'num_beam_groups'],
    [{ num_beams: 4, num_beam_groups: 2, do_sample: true }, 'num_beam_groups', 'do_sample'],
    [{ force_words_ids: [[1]] }, 'force_words_ids', 'num_beams'],
    [{ constraints: [{ phrase: [1] }] }, 'constraints', 'num_beams'],
    [{ penalty_alpha: 0.6, top_k: 1 }, 'top_k', 'penalty_alpha'],
    [{ penalty_alpha: 0.6, do_sample: true }, 'penalty_alpha', 'do_sample'],
    [{ length_penalty: 2 }, 'length_penalty', 'num_beams'],
    [{ early_stopping: true }, 'early_stopping', 'num_beams'],
    [{ early_stopping: 'never' }, 'early_stopping', 'num_beams'],
    [{ num_beams: 4, prompt_lookup_num_tokens: 3 }, 'prompt_lookup_num_tokens', 'num_beams'],
    [{ num_beams: 4, assistant_early_exit: 3 }, 'assistant_early_exit', 'num_beams'],
    [{ prompt_lookup_num_tokens: 2, assistant_early_exit: 3 }, 'prompt_lookup_num_tokens', 'assistant_early_exit'],
    [{ token_healing: true, structured_output: { json: true } }, 'token_healing', 'structured_output'],
    [{ negative_prompt_ids: [1] }, 'negative_prompt_ids', 'guidance_scale'],
    [{ do_sample: true, mirostat: 2, top_k: 50 }, 'top_k', 'mirostat'],
    [{ do_sample: true, mirostat: 1, top_p: 0.9 }, 'top_p', 'mirostat'],
    [{ do_sample: true, mirostat: 1, xtc_probability: 0.5 }, 'xtc_probability', 'mirostat'],
    [{ do_sample: true, mirostat: 1, dynatemp_range: 0.5 }, 'dynatemp_range', 'mirostat'],
    [{ do_sample: true, mirostat: 1, num_beams: 2 }, 'mirostat', 'num_beams'],
    [{ do_sample: true, mirostat_tau: 3 }, 'mirostat_tau', 'mirostat'],
    [{ do_sample: true, xtc_threshold: 0.2 }, 'xtc_threshold', 'xtc_probability'],
    [{ do_sample: true, dynatemp_exponent: 2 }, 'dynatemp_exponent', 'dynatemp_range'],
    [{ dry_base: 2 }, 'dry_base', 'dry_multiplier'],
    [{ dry_sequence_breakers: ['x'] }, 'dry_sequence_breakers', 'dry_multiplier'],
    [{ repeat_last_n: 5 }, 'repeat_last_n', 'repeat_penalty'],
    [{ xtc_probability: 0.5 }, 'xtc_probability', 'do_sample'],
    [{ mirostat: 2 }, 'mirostat', 'do_sample'],
  ])('%o', (given, first, other) => {
    refuse(given).toThrow(SettingError);
    refuse(given).toThrow(new RegExp(`^${first} = .*\\b${other}\\b`));
  });

  it('what makes sense together passes', () => {
    for (const given of [
      {
        num_beams: 4,
        num_return_sequences: 4,
        length_penalty: 2,
        early_stopping: 'never',
        structured_output: { json: {} },
      },
      { num_beams: 4, num_beam_groups: 2, diversity_penalty: 0.5 },
      { num_beams: 4, do_sample: true, top_k: 5 },
      {
        num_beams: 3,
        force_words_ids: [
          [1, 2],
          [[3], [4, 5]],
        ],
      },
      { num_beams: 3, constraints: [{ phrase: [1, 2] }, { any: [[3], [4]] }] },
      { penalty_alpha: 0.6, top_k: 4 },
      { dola_layers: 'high' },
      { guidance_scale: 1.5, negative_prompt_ids: [4, 5] },
      { do_sample: true, mirostat: 2, mirostat_tau: 3, temperature: 0.7, repetition_penalty: 1.1 },
      { prompt_lookup_num_tokens: 5, max_matching_ngram_size: 3 },
      { dry_multiplier: 0.8, dry_base: 2, dry_sequence_breakers: [], repeat_penalty: 1.1, repeat_last_n: -1 },
      { watermarking_config: { bias: 3, seeding_scheme: 'selfhash' }, renormalize_logits: true },
      { structured_output: { regex: 'a+', after: '</think>' } },
    ]) {
      refuse(given).not.toThrow();
    }
  });
});

describe('values inside', () => {
  it.each<[Values, RegExp]>([
    [{ early_stopping: 'sometimes' }, /^early_stopping = "sometimes": has to be false or true or "never"/],
    [{ dola_layers: 'middle' }, /^dola_layers = /],
    [{ dola_layers: [1.5] }, /^dola_layers = /],
    [{ force_words_ids: [[[[1]]]] }, /^force_words_ids = /],
    [{ constraints: [{ phrase: [] }] }, /^constraints = /],
    [{ constraints: [{ words: [1] }] }, /^constraints = /],
    [{ num_beams: 0 }, /^num_beams = 0: has to be a whole number, 1 or more/],
    [{ num_assistant_tokens_schedule: 'fast' }, /^num_assistant_tokens_schedule = /],
    [{ cache_implementation: 'static' }, /^cache_implementation = "static": has to be "dynamic"/],
    [{ assistant_model: 'gpt2' }, /^assistant_model = "gpt2": is no setting but an option of generate/],
    [{ structured_output: {} }, /^structured_output = .*one of json, regex, grammar and choice/],
    [{ structured_output: { json: {}, regex: 'x' } }, /^structured_output = /],
    [{ structured_output: { choice: [] } }, /^structured_output = .*choice/],
    [{ structured_output: { regex: 'x', schema: 1 } }, /"schema" is none of them/],
    [{ watermarking_config: { greenlist_ratio: 1 } }, /^watermarking_config = .*greenlist_ratio/],
    [{ watermarking_config: { bias: 'much' } }, /^watermarking_config = .*bias/],
    [{ watermarking_config: { color: 'red' } }, /^watermarking_config = .*"color"/],
    [{ watermarking_config: { ngram_len: 5 } }, /^watermarking_config = .*keys/],
    [{ preset: 'ollama' }, /^preset = "ollama": has to be "transformers" or "llama.cpp"/],
    [{ logprobs: -1 }, /^logprobs = -1/],
    [{ guidance_scale: Number.NaN }, /^guidance_scale = NaN/],
    [{ do_sample: true, mirostat: 3 }, /^mirostat = 3: has to be 0 or 1 or 2/],
    [{ do_sample: true, xtc_probability: 1.5 }, /^xtc_probability = 1.5/],
    [{ repeat_penalty: 0 }, /^repeat_penalty = 0/],
    [{ dry_base: 0.5, dry_multiplier: 1 }, /^dry_base = 0.5/],
  ])('%o', (given, message) => {
    refuse(given).toThrow(message);
  });

  it('neutral ones become one value', () => {
    const off = { penalty_alpha: 0, guidance_scale: 1, prompt_lookup_num_tokens: 0, dola_layers: [], top_n_sigma: -1 };
    expect(resolve({ ...off, watermarking_config: false, do_sample: true })).toMatchObject({
      penalty_alpha: null,
      guidance_scale: null,
      prompt_lookup_num_tokens: null,
      dola_layers: null,
      top_n_sigma: null,
      watermarking_config: null,
    });
  });

  it('a watermark is completed with its defaults', () => {
    expect(resolve({ watermarking_config: {} }).watermarking_config).toEqual({
      greenlist_ratio: 0.25,
      bias: 2,
      hashing_key: 15485863,
      seeding_scheme: 'lefthash',
      context_width: 1,
    });
    expect(resolve({ watermarking_config: { ngram_len: 5, keys: [1, 2] } }).watermarking_config).toMatchObject({
      context_history_size: 1024,
      sampling_table_size: 65536,
    });
  });

  it('every setting is there, whatever the request', () => {
    const settings = resolve() as unknown as Values;
    for (const { name, supported } of settingTable) {
      if (supported !== false && name !== 'max_length') expect(settings, name).toHaveProperty([name]);
    }
    expect(Object.values(settings)).not.toContain(undefined);
  });
});

describe('the preset of llama.cpp', () => {
  it('samples with its defaults in its order', () => {
    expect(resolve({ preset: 'llama.cpp' })).toMatchObject({
      do_sample: true,
      temperature: 0.8,
      top_k: 40,
      top_p: 0.95,
      min_p: 0.05,
      repeat_last_n: 64,
      repeat_penalty: 1,
    });
    const all = {
      preset: 'llama.cpp',
      repeat_penalty: 1.1,
      dry_multiplier: 0.8,
      top_n_sigma: 1,
      typical_p: 0.9,
      xtc_probability: 0.5,
    };
    expect(namesOf(all)).toEqual([
      'repeat_penalty',
      'dry_multiplier',
      'top_n_sigma',
      'top_k',
      'typical_p',
      'top_p',
      'min_p',
      'xtc_probability',
      'temperature',
    ]);
    expect(namesOf({ ...all, dynatemp_range: 0.3 }).at(-1)).toBe('dynatemp_range');
    expect(namesOf({ preset: 'llama.cpp', mirostat: 2 })).toEqual(['temperature', 'mirostat']);
  });

  it('stands over the file and under the request', () => {
    const file = { do_sample: false, temperature: 0.6, top_k: 10, typical_p: 0.5 };
    expect(resolve({ preset: 'llama.cpp', top_k: 7 }, file)).toMatchObject({
      temperature: 0.8,
      top_k: 7,
      typical_p: 0.5,
    });
    expect(resolve({}, { ...file, do_sample: true, preset: 'llama.cpp' })).toMatchObject({
      temperature: 0.6,
      min_p: 0.05,
    });
    const greedy = resolve({ preset: 'llama.cpp', do_sample: false, repeat_penalty: 1.2 });
    expect(greedy).toMatchObject({ do_sample: false, temperature: 1, repeat_penalty: 1.2 });
  });

  it("without it llama.cpp's samplers stand in transformers' order", () => {
    const given = { do_sample: true, temperature: 0.5, top_n_sigma: 1, xtc_probability: 0.5, repeat_penalty: 1.1 };
    const order = [
      'repetition_penalty',
      'repeat_penalty',
      'no_repeat_ngram_size',
      'temperature',
      'top_n_sigma',
      'top_k',
    ];
    expect(namesOf({ ...given, repetition_penalty: 1.1, no_repeat_ngram_size: 2 })).toEqual([
      ...order,
      'xtc_probability',
    ]);
  });
});

describe('generation_config.json', () => {
  it('of models that search with beams waits where the request does not', () => {
    const bart = {
      num_beams: 4,
      early_stopping: true,
      length_penalty: 2,
      no_repeat_ngram_size: 3,
      forced_bos_token_id: 0,
    };
    expect(resolve({}, bart)).toMatchObject({ num_beams: 4, early_stopping: true, length_penalty: 2 });
    refuse({ num_beams: 1 }, bart).not.toThrow();
    refuse({ num_beams: 1, length_penalty: 3 }, bart).toThrow(/^length_penalty = 3/);
  });

  it('is cut where mirostat cuts', () => {
    const file = { do_sample: true, top_k: 20, top_p: 0.9, temperature: 0.6 };
    expect(resolve({ mirostat: 2 }, file)).toMatchObject({ top_k: 0, top_p: 1, temperature: 0.6 });
  });

  it('says how to compute in words of others, and is left aside', () => {
    const file = { cache_implementation: 'hybrid', use_cache: true, return_dict_in_generate: true };
    refuse({}, file).not.toThrow();
  });

  it('is named where it stands against the request', () => {
    refuse({ penalty_alpha: 0.5 }, { do_sample: true }).toThrow(/penalty_alpha.*do_sample of generation_config.json/);
  });
});

describe('the command line', () => {
  it.each<[string, string, unknown]>([
    ['early_stopping', 'never', 'never'],
    ['early_stopping', 'true', true],
    ['mirostat', '2', 2],
    ['preset', 'llama.cpp', 'llama.cpp'],
    ['num_assistant_tokens_schedule', 'heuristic', 'heuristic'],
    ['dola_layers', 'high', 'high'],
    ['dola_layers', '[0,2]', [0, 2]],
    ['force_words_ids', '[[1],[[2],[3]]]', [[1], [[2], [3]]]],
    ['constraints', '[{"phrase":[1]}]', [{ phrase: [1] }]],
    ['watermarking_config', '{"bias":1}', { bias: 1 }],
    ['structured_output', '{"regex":"a+"}', { regex: 'a+' }],
    ['negative_prompt_ids', '3,4', [3, 4]],
    ['dry_sequence_breakers', '["\\n"]', ['\n']],
    ['xtc_probability', '.5', 0.5],
  ])('--%s %s', (name, text, value) => {
    expect(parseSetting(name, text)).toEqual(value);
  });

  it.each([
    ['structured_output', '{'],
    ['constraints', 'x'],
    ['watermarking_config', 'yes'],
  ])('--%s %s is refused', (name, text) => {
    expect(() => parseSetting(name, text)).toThrow(SettingError);
  });
});

it('100,000 objects of junk are taken or refused by the name of a setting, and fast', () => {
  let state = 12345;
  const next = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const holes = new Array(1e5);
  const circular: unknown[] = [];
  circular.push(circular);
  let deep: unknown = [];
  for (let i = 0; i < 5000; i++) deep = [deep];
  const odd: (() => unknown)[] = [
    () => Number.NaN,
    () => Number.POSITIVE_INFINITY,
    () => Number.NEGATIVE_INFINITY,
    () => 1e308,
    () => -1e308,
    () => 2 ** 53,
    () => -0,
    () => 5e-324,
    () => next(200) - 50,
    () => next(1000) / 500 - 0.5,
    () => next(2) === 0,
    () => null,
    () => undefined,
    () => '',
    () => 'never',
    () => '\u0000\ud800'.repeat(next(50)),
    () => 10n ** 40n,
    () => Symbol('s'),
    () => () => 1,
    () => new Date(Number.NaN),
    () => new Map([[1, 2]]),
    () => Object.create(null),
    () => ({ json: { type: 'object' } }),
    () => ({ keys: [next(9)], ngram_len: next(9) }),
    () => ({ phrase: [next(99)] }),
    () => circular,
    () => deep,
    () => holes,
    () => [[next(110)], next(3) - 1],
    () => Array.from({ length: next(5) }, () => next(110) - 5),
    () => Array.from({ length: next(4) }, () => Array.from({ length: next(4) }, () => next(110) - 5)),
    () => Array.from({ length: next(3) }, () => odd[next(odd.length - 4)]()),
  ];
  const names = [...settingTable.map(({ name }) => name), 'temprature', '__proto__', 'constructor', ''];
  const junk = (): Values => {
    const entries = Array.from({ length: 1 + next(4) }, () => [names[next(names.length)], odd[next(odd.length)]()]);
    return Object.fromEntries(entries) as Values;
  };
  const start = performance.now();
  let taken = 0;
  const refused = new Set<string>();
  for (let i = 0; i < 100_000; i++) {
    const [given, file] = [junk(), next(4) === 0 ? junk() : {}];
    try {
      const settings = resolve(given, file);
      taken++;
      if (!Number.isSafeInteger(settings.seed) || !(settings.max_new_tokens > 0)) expect.fail(JSON.stringify(settings));
    } catch (error) {
      if (error instanceof CapacityError) continue;
      if (!(error instanceof SettingError)) throw error;
      if (!names.includes(error.setting) || !error.message.startsWith(error.setting)) expect.fail(error.message);
      refused.add(error.setting);
    }
  }
  expect(taken).toBeGreaterThan(1000);
  for (const { name } of settingTable) expect(refused, name).toContain(name);
  expect(performance.now() - start).toBeLessThan(60_000);
}, 120_000);
