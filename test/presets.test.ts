/** Presets: published shapes and counts, fields over them, and the config.json they become. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InkstoneError, NotFoundError, SettingError } from '../src/errors.ts';
import { parameterCount, parameterSpecs } from '../src/models/parameters.ts';
import { gpt3Table } from '../src/training/preset_table.ts';
import {
  impliedBiases,
  type PresetOverrides,
  parseField,
  presetFields,
  presetNames,
  resolvePreset,
} from '../src/training/presets.ts';

const count = (name: string, overrides: PresetOverrides = {}) => parameterCount(resolvePreset(name, overrides).decoder);

describe('published counts', () => {
  it.each([
    ['gpt1', 116_534_784],
    ['gpt2-124m', 124_439_808],
    ['gpt2-355m', 354_823_168],
    ['gpt2-774m', 774_030_080],
    ['gpt2-1.5b', 1_557_611_200],
  ])('%s has %i parameters', (name, parameters) => {
    expect(count(name)).toBe(parameters);
  });

  // Brown et al. 2020, Table D.1, millions of parameters, in the digits it gives.
  it.each([
    ['gpt3-125m', 125, 3],
    ['gpt3-350m', 356, 3],
    ['gpt3-760m', 760, 3],
    ['gpt3-1.3b', 1320, 3],
    ['gpt3-2.7b', 2650, 3],
    ['gpt3-6.7b', 6660, 3],
    ['gpt3-13b', 12850, 4],
    ['gpt3-175b', 174600, 4],
  ])('%s has about %i million', (name, millions, digits) => {
    expect(Number((count(name) / 1e6).toPrecision(digits))).toBe(millions);
  });

  // What nanoGPT prints: all but the positions, in millions.
  it.each([
    ['shakespeare-cpu', '0.80'],
    ['shakespeare-baby', '10.65'],
    ['gpt2-124m', '123.65'],
  ])('%s prints %sM in nanoGPT', (name, millions) => {
    const { fields } = resolvePreset(name);
    expect(((count(name) - fields.block_size * fields.n_embd) / 1e6).toFixed(2)).toBe(millions);
  });
});

describe('shapes', () => {
  it('keeps to Table 2.1 of GPT-3 but for the two rows that contradict themselves', () => {
    const differences = gpt3Table.flatMap((row) => {
      const { fields, training } = resolvePreset(`gpt3-${row.params.toLowerCase()}`);
      const tokens = training.batch_size * training.gradient_accumulation_steps * fields.block_size;
      expect(Math.abs(tokens / row.batch - 1)).toBeLessThan(0.01);
      expect(training.learning_rate).toBe(row.learning_rate);
      expect(fields.head_dim).toBe(row.d_head);
      expect(fields.n_layer).toBe(row.n_layers);
      return fields.n_embd === row.d_model && fields.n_head === row.n_heads ? [] : [row.params];
    });
    expect(differences).toEqual(['1.3B', '13B']);
  });

  it('alternates dense and banded layers in GPT-3', () => {
    expect(resolvePreset('gpt3-125m', { n_layer: 5 }).decoder.layers.map(({ window }) => window)).toEqual([
      0, 256, 0, 256, 0,
    ]);
    expect(resolvePreset('gpt3-175b').decoder.layers).toHaveLength(96);
  });

  it('turns one dial into a modern decoder', () => {
    const { fields, decoder, config } = resolvePreset('modern', { depth: 20 });
    expect(fields).toMatchObject({ n_layer: 20, n_embd: 1280, n_head: 20, n_kv_head: 5, head_dim: 64, n_inner: 3456 });
    expect(decoder.attention.qkNorm).toBe(true);
    expect(config.model_type).toBe('qwen3');
    const sizes = [1, 2, 4, 8, 16, 32].map((depth) => count('modern', { depth }));
    expect(sizes).toEqual([...sizes].sort((a, b) => a - b));
  });

  it('makes experts of the feed-forward part', () => {
    const { decoder, config } = resolvePreset('modern', { depth: 4, n_experts: 8, experts_per_token: 2 });
    expect(config.model_type).toBe('qwen3_moe');
    expect(decoder.experts).toMatchObject({ count: 8, per_token: 2, normalize: true });
    expect(decoder.experts!.mlp.width).toBe(384);
  });

  it('leaves biases out, and says which zeros a file holds for them', () => {
    const { decoder } = resolvePreset('shakespeare-cpu');
    expect(parameterSpecs(decoder).filter(({ name }) => name.endsWith('.bias'))).toEqual([]);
    const whole = resolvePreset('shakespeare-cpu', { bias: true }).decoder;
    const all = [...parameterSpecs(decoder), ...impliedBiases(decoder)].map(({ name }) => name).sort();
    expect(all).toEqual(
      parameterSpecs(whole)
        .map(({ name }) => name)
        .sort(),
    );
    expect(impliedBiases(whole)).toEqual([]);
    expect(impliedBiases(resolvePreset('modern').decoder)).toEqual([]);
  });
});

describe('fields over a preset', () => {
  it('takes every shape that the training issue asks for', () => {
    const { decoder, training } = resolvePreset('gpt2-124m', {
      n_layer: 2,
      n_head: 2,
      n_embd: 64,
      block_size: 64,
      batch_size: 8,
      max_steps: 60,
      learning_rate: 1e-3,
    });
    expect(decoder).toMatchObject({ n_embd: 64, n_positions: 64 });
    expect(decoder.mlp.width).toBe(256);
    expect(training).toMatchObject({ batch_size: 8, gradient_accumulation_steps: 1, max_steps: 60, warmup_steps: 6 });
    expect(training.min_learning_rate).toBe(1e-4);
  });

  it.each<[string, PresetOverrides, string]>([
    ['gpt2-124m', { n_embd: 100 }, 'n_embd = 100: has to be divisible by n_head = 12'],
    ['gpt2-124m', { n_layer: 0 }, 'n_layer = 0: has to be a whole number from 1 to 4096'],
    ['gpt2-124m', { n_layer: '3' }, 'n_layer = "3": has to be a whole number from 1 to 4096'],
    ['gpt2-124m', { dropout: 1 }, 'dropout = 1: has to be a number from 0 and below 1'],
    ['gpt2-124m', { n_layers: 3 }, 'n_layers = 3: is not a field of a preset. Did you mean n_layer'],
    ['gpt2-124m', { rope_theta: 1e4 }, 'rope_theta = 10000: is not a field of gpt2-124m; presets that have it: modern'],
    ['gpt1', { activation_function: 'gelu' }, 'take gelu_new'],
    ['modern', { n_kv_head: 5 }, 'n_kv_head = 5: has to divide n_head = 12'],
    ['modern', { n_embd: 100 }, 'n_embd = 100: is not divisible by the width of a head, 64'],
    ['modern', { n_experts: 2, experts_per_token: 3 }, 'experts_per_token = 3: is more than n_experts = 2'],
    ['modern', { experts_per_token: 3 }, 'experts_per_token = 3: needs n_experts'],
    ['nano', { min_learning_rate: 1 }, 'min_learning_rate = 1: is more than learning_rate = 0.001'],
    ['nano', { matrix_learning_rate: 1 }, 'is of the optimizer muon alone'],
  ])('refuses %s with %j', (name, overrides, message) => {
    expect(() => resolvePreset(name, overrides)).toThrow(SettingError);
    expect(() => resolvePreset(name, overrides)).toThrow(message);
  });

  it('names the nearest preset', () => {
    expect(() => resolvePreset('gpt2-1.5')).toThrow(NotFoundError);
    expect(() => resolvePreset('gpt2-1.5')).toThrow('Did you mean gpt2-1.5b');
    expect(() => resolvePreset('gpt2-xl')).toThrow('gpt2-1.5b');
    expect(() => resolvePreset('qqqqqqqq')).toThrow('shakespeare-baby');
  });

  it('reads fields as they stand on a command line', () => {
    expect(parseField('n_layer', '3')).toBe(3);
    expect(parseField('learning_rate', '1e-3')).toBe(1e-3);
    expect(parseField('bias', 'false')).toBe(false);
    expect(parseField('schedule', 'wsd')).toBe('wsd');
    for (const [name, text] of [
      ['n_layer', '3.5'],
      ['n_layer', ''],
      ['bias', 'maybe'],
      ['schedule', 'steep'],
      ['learning_rate', 'NaN'],
    ]) {
      expect(() => parseField(name, text)).toThrow(SettingError);
    }
  });

  it('resolves whatever is given, or refuses it by name', () => {
    const values = fc.oneof(
      fc.integer({ min: 0, max: 12 }),
      fc.constantFrom(true, false, 'gelu', 'relu', 64, 96, 128, 1e-3, -1, Number.NaN, 'x', null),
    );
    const overrides = fc.dictionary(fc.constantFrom(...presetFields.map(({ name }) => name)), values, { maxKeys: 5 });
    fc.assert(
      fc.property(fc.constantFrom('gpt1', 'nano', 'gpt3-125m', 'modern'), overrides, (name, given) => {
        try {
          const { decoder, fields, training, config } = resolvePreset(name, given);
          expect(JSON.parse(JSON.stringify(config))).toEqual(config);
          expect(decoder).toMatchObject({
            n_embd: fields.n_embd,
            n_positions: fields.block_size,
            vocab_size: fields.vocab_size,
            tied: fields.tie_word_embeddings,
            attention: { n_head: fields.n_head, n_kv_head: fields.n_kv_head, head_dim: fields.head_dim },
          });
          expect(decoder.layers).toHaveLength(fields.n_layer);
          for (const [field, value] of Object.entries(given)) {
            if (value !== null) expect({ ...fields, ...training }).toHaveProperty(field, value);
          }
        } catch (error) {
          if (!(error instanceof InkstoneError)) throw error;
          expect(error).toBeInstanceOf(SettingError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

it('describes every preset and field in both languages', () => {
  expect(new Set(presetNames).size).toBe(presetNames.length);
  for (const name of presetNames) {
    const { preset } = resolvePreset(name);
    expect(preset.en.length, preset.en).toBeLessThan(47);
    expect(preset.zh).toMatch(/\p{Script=Han}/u);
    expect(preset.source).not.toBe('');
  }
  for (const { en, zh } of presetFields) {
    expect(en).not.toBe('');
    expect(zh).toMatch(/\p{Script=Han}/u);
  }
});
