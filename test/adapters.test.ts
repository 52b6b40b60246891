/** Adapters in a graph: layouts, and logits against peft's. */
import { describe, expect, it } from 'vitest';
import { createReferenceBackend } from '../src/backends/reference/backend.ts';
import { SettingError } from '../src/errors.ts';
import {
  adapterLayout,
  adapterParameterSpecs,
  completeAdapterConfig,
  readAdapterConfig,
  readConfig,
  writeAdapterConfig,
} from '../src/models/index.ts';
import {
  goldenAdapter,
  goldenConfig,
  goldenJson,
  goldenModel,
  graphLogits,
  greatestDifference,
  kinds,
  lastRows,
} from './adapters_setup.ts';

describe.each(kinds)('an adapter of peft on %s', (kind) => {
  const expected = goldenJson(`adapters/${kind}/lora.json`);
  const ids: number[][] = expected.probe_input_ids;

  it('gives the logits that peft gives', async () => {
    const model = goldenModel(kind, createReferenceBackend());
    const V = model.config.vocab_size;
    const base = lastRows(await graphLogits(model, ids), ids.length, V);
    const adapted = lastRows(await graphLogits(model, ids, goldenAdapter(kind)), ids.length, V);
    ids.forEach((_, b) => {
      expect(greatestDifference(base[b], expected.base_logits_last[b])).toBeLessThan(1e-4);
      expect(greatestDifference(adapted[b], expected.adapter_logits_last[b])).toBeLessThan(1e-4);
    });
  });

  it('changes nothing while B is 0', async () => {
    const model = goldenModel(kind, createReferenceBackend());
    const base = await graphLogits(model, ids);
    expect(greatestDifference(await graphLogits(model, ids, goldenAdapter(kind, 'lora_before')), base)).toBeLessThan(
      1e-6,
    );
  });
});

describe('the layout of an adapter', () => {
  const llama = readConfig(goldenConfig('llama'));
  const gpt2 = readConfig(goldenConfig('gpt2'));
  const layoutOf = (model: typeof llama, fields: Parameters<typeof completeAdapterConfig>[0]) =>
    adapterLayout(model, completeAdapterConfig(fields));
  const layers = llama.layers.length;

  it('has the usual targets of the family', () => {
    expect([...layoutOf(llama, {}).sites.keys()].slice(0, 2)).toEqual(['layers.0.attention.q', 'layers.0.attention.v']);
    const { modules } = layoutOf(gpt2, { r: 4 });
    expect(modules[0].name).toBe('transformer.h.0.attn.c_attn');
    expect(modules[0].sites.map(({ site, a }) => [site, a])).toEqual(
      ['q', 'k', 'v'].map((part) => [`layers.0.attention.${part}`, 'layers.0.attention.qkv']),
    );
    expect(adapterParameterSpecs(layoutOf(gpt2, { r: 4 })).slice(0, 2)).toEqual([
      { name: 'lora.A.layers.0.attention.qkv', shape: [4, gpt2.n_embd] },
      { name: 'lora.B.layers.0.attention.q', shape: [gpt2.n_embd, 4] },
    ]);
  });

  it('follows lists, expressions, exclusions and layers', () => {
    expect(layoutOf(llama, { target_modules: 'all-linear' }).sites.size).toBe(7 * layers);
    expect(layoutOf(llama, { target_modules: String.raw`.*\.(?P<which>q|k)_proj` }).sites.size).toBe(2 * layers);
    const some = layoutOf(llama, {
      target_modules: ['q_proj', 'down_proj'],
      exclude_modules: ['model.layers.0.mlp.down_proj'],
    });
    expect(some.sites.size).toBe(2 * layers - 1);
    const first = layoutOf(llama, { target_modules: ['q_proj', 'o_proj'], layers_to_transform: [1] });
    expect([...first.sites.keys()]).toEqual(['layers.1.attention.q', 'layers.1.attention.o']);
    const ends = layoutOf(llama, { target_modules: ['embed_tokens', 'lm_head'] });
    expect([...ends.sites.values()].map(({ site, kind, inputs }) => [site, kind, inputs])).toEqual([
      ['embed', 'embedding', llama.vocab_size],
      ['head', 'linear', llama.n_embd],
    ]);
  });

  it('takes ranks and factors by pattern', () => {
    const { sites } = layoutOf(llama, {
      r: 8,
      lora_alpha: 16,
      target_modules: ['q_proj', 'v_proj'],
      rank_pattern: { '1[.]self_attn.q_proj': 2 },
      alpha_pattern: { v_proj: 4 },
    });
    const of = (site: string) => [sites.get(site)!.rank, sites.get(site)!.scaling];
    expect(of('layers.0.attention.q')).toEqual([8, 2]);
    expect(of('layers.1.attention.q')).toEqual([2, 8]);
    expect(of('layers.1.attention.v')).toEqual([8, 0.5]);
    expect(layoutOf(llama, { r: 16, lora_alpha: 8, use_rslora: true }).modules[0].scaling).toBe(2);
  });

  it.each([
    [{ target_modules: ['q_proj', 'c_attn'] }, /c_attn matches no module; there are .*q_proj/],
    [{ target_modules: 'layers' }, /matches no module/],
    [{ target_modules: ['input_layernorm'] }, /a norm: adapters do not change it/],
    [{ target_modules: '(a+)+$(' }, /cannot be read as an expression/],
    [{ r: 0 }, /r = 0: has to be a whole number from 1/],
    [{ r: 2.5 }, /r = 2.5/],
    [{ lora_dropout: 1 }, /lora_dropout = 1/],
    [{ rank: 4 }, /rank = 4: is not a field of an adapter/],
  ])('refuses %o', (fields, message) => {
    expect(() => layoutOf(llama, fields as never)).toThrow(message);
    expect(() => layoutOf(llama, fields as never)).toThrow(SettingError);
  });

  it('does not hang on an expression that explodes', () => {
    const start = performance.now();
    expect(() => layoutOf(llama, { target_modules: '(([a-z._0-9])+)+!' })).toThrow(/takes too long|matches no module/);
    expect(performance.now() - start).toBeLessThan(2000);
  });

  it('refuses the weights of mixtures of experts by name', () => {
    const mixture = readConfig({
      ...goldenConfig('llama'),
      model_type: 'mixtral',
      num_local_experts: 2,
      num_experts_per_tok: 1,
    });
    expect(() => layoutOf(mixture, { target_modules: ['w1'] })).toThrow(/weights of a mixture of experts/);
    expect(layoutOf(mixture, { target_modules: 'all-linear' }).sites.size).toBe(4 * layers);
  });
});

describe('adapter_config.json', () => {
  const written = goldenJson('adapters/gpt2/lora_after/adapter_config.json');
  it.each([
    ['peft_type', 'IA3'],
    ['bias', 'all'],
    ['modules_to_save', ['lm_head']],
    ['lora_bias', true],
    ['use_qalora', true],
    ['use_something_new', true],
    ['something_config', { a: 1 }],
    ['target_parameters', ['mlp.experts']],
    ['layer_replication', [[0, 2]]],
    ['trainable_token_indices', [1]],
    ['init_lora_weights', 'pissa'],
    ['r', '8'],
    ['rank_pattern', { a: 'b' }],
    ['lora_alpha', null, 8],
  ])('%s = %o is refused by name, or as peft has it', (key, value, result?: unknown) => {
    const read = () => readAdapterConfig({ ...written, [key]: value }, 'adapter_config.json');
    if (result === undefined) expect(read).toThrow(new RegExp(`adapter_config.json: ${key}`));
    else expect(read()[key as 'lora_alpha']).toBe(result);
  });

  it('is written as it was read', () => {
    const config = readAdapterConfig(written);
    const model = readConfig(goldenConfig('gpt2'));
    expect(readAdapterConfig(writeAdapterConfig(config, model))).toEqual(config);
  });
});
