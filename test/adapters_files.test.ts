/** Adapters and the files of models: GGUF bases and adapters, merging into files, and files that do not fit. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { createReferenceBackend } from '../src/backends/reference/backend.ts';
import { FileFormatError, InkstoneError } from '../src/errors.ts';
import {
  type Adapter,
  loadModel,
  mergeAdapter,
  mergeIntoWeights,
  readAdapterConfig,
  readConfig,
  readGgufAdapter,
  readPeftTensors,
  writeGgufAdapter,
} from '../src/models/index.ts';
import { openAdapter, saveAdapter } from '../src/node/adapters.ts';
import {
  type ConvertOptions,
  convert,
  ggufToConfig,
  MemorySink,
  MemorySource,
  openWeights,
  tensorFloat32,
  tensorToWrite,
  type WeightFile,
  writeGguf,
  writeSafetensors,
} from '../src/weights/index.ts';
import {
  goldenAdapter,
  goldenBytes,
  goldenConfig,
  goldenJson,
  goldenModel,
  goldenWeights,
  graphLogits,
  greatestDifference,
  kinds,
  randomAdapter,
} from './adapters_setup.ts';

const ids: number[][] = goldenJson('adapters/llama/lora.json').probe_input_ids;
const all: Readonly<Record<string, readonly string[]>> = {
  gpt2: ['wte', 'c_attn', 'c_fc', 'c_proj'],
  llama: ['embed_tokens', 'lm_head', 'q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
};

function converted(input: WeightFile, options: ConvertOptions): WeightFile {
  const sink = new MemorySink();
  convert(input, options, sink);
  return openWeights(new MemorySource('converted', sink.toBytes()));
}

const ggufOf = (kind: string) => converted(goldenWeights(kind), { format: 'gguf', config: goldenConfig(kind) });

const loaded = (file: WeightFile, config: Readonly<Record<string, unknown>>) =>
  loadModel(file, config, createReferenceBackend());

function ggufAdapterFile(adapter: Adapter, kind: string): WeightFile {
  const sink = new MemorySink();
  writeGgufAdapter(sink, adapter, readConfig(goldenConfig(kind)));
  return openWeights(new MemorySource('adapter.gguf', sink.toBytes()));
}

describe.each(kinds)('on %s', (kind) => {
  it.each([false, true])('the same adapter gives the same logits over a GGUF base (DoRA: %s)', async (use_dora) => {
    const model = goldenModel(kind, createReferenceBackend());
    const gguf = ggufOf(kind);
    const other = loaded(gguf, ggufToConfig(gguf));
    const adapter = randomAdapter(model.config, { r: 3, target_modules: all[kind], use_dora }, 5);
    const expected = await graphLogits(model, ids, adapter);
    expect(greatestDifference(await graphLogits(model, ids), expected)).toBeGreaterThan(0.05);
    expect(greatestDifference(await graphLogits(other, ids, adapter), expected)).toBeLessThan(2e-5);
    // and the reverse: numbers in the order of the GGUF base make the same files
    const back = randomAdapter(other.config, { r: 3, target_modules: all[kind], use_dora }, 6);
    const here = await graphLogits(other, ids, back);
    expect(greatestDifference(await graphLogits(model, ids, back), here)).toBeLessThan(2e-5);
    expect(greatestDifference(await graphLogits(await mergeAdapter(other, adapter), ids), expected)).toBeLessThan(2e-5);
  });

  it('is written to GGUF and read again', async () => {
    const model = goldenModel(kind, createReferenceBackend());
    for (const fields of [
      { r: 3, lora_alpha: 5, target_modules: all[kind] },
      { r: 4, lora_alpha: 5, target_modules: all[kind], use_rslora: true, rank_pattern: { [all[kind][1]]: 2 } },
    ]) {
      const adapter = randomAdapter(model.config, fields, 7);
      const again = readGgufAdapter(ggufAdapterFile(adapter, kind), model.config);
      const expected = await graphLogits(model, ids, adapter);
      expect(greatestDifference(await graphLogits(model, ids, again), expected)).toBeLessThan(2e-5);
    }
  });

  it.each([
    ['safetensors', false],
    ['safetensors', true],
    ['gguf', false],
    ['gguf', true],
  ] as const)('merged into %s it gives the logits that it gave apart (DoRA: %s)', async (format, use_dora) => {
    const model = goldenModel(kind, createReferenceBackend());
    const adapter = randomAdapter(model.config, { r: 3, target_modules: all[kind], use_dora }, 8);
    const expected = await graphLogits(model, ids, adapter);
    for (const input of [goldenWeights(kind), ggufOf(kind)]) {
      const before = input.format === 'gguf' ? ggufToConfig(input) : goldenConfig(kind);
      const { weights, config } = mergeIntoWeights(input, readConfig(before), adapter, true);
      const file = converted(weights, { format, type: 'f32', config: { ...before, ...config } });
      const after = format === 'gguf' ? ggufToConfig(file) : { ...before, ...config };
      expect(greatestDifference(await graphLogits(loaded(file, after), ids), expected)).toBeLessThan(2e-5);
    }
  });
});

it('merging keeps the type of a quantised weight, and can be asked for another', () => {
  const config = readConfig(goldenConfig('gpt2'));
  const quantised = converted(goldenWeights('gpt2'), { format: 'gguf', type: 'q8_0', config: goldenConfig('gpt2') });
  const name = 'blk.0.attn_qkv.weight';
  expect(quantised.tensors.get(name)?.type).toBe('q8_0');
  const adapter = goldenAdapter('gpt2');
  const kept = mergeIntoWeights(quantised, config, adapter, false).weights.tensors.get(name)!;
  const exact = mergeIntoWeights(quantised, config, adapter, true).weights.tensors.get(name)!;
  expect([kept.type, exact.type]).toEqual(['q8_0', 'f32']);
  const [a, b] = [tensorFloat32(kept), tensorFloat32(exact)];
  expect(greatestDifference(a, b)).toBeLessThan(b.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / 200);
  expect(greatestDifference(b, tensorFloat32(quantised.tensors.get(name)!))).toBeGreaterThan(0.001);
});

it("GGUF adapters are as llama.cpp's converter writes them", () => {
  const model = readConfig(goldenConfig('llama'));
  const adapter = goldenAdapter('llama');
  const file = ggufAdapterFile(adapter, 'llama');
  const text = (key: string) => file.metadata.get(key);
  expect(['general.type', 'general.architecture', 'adapter.type', 'adapter.lora.alpha'].map(text)).toEqual([
    'adapter',
    'llama',
    'lora',
    8,
  ]);
  const { head_dim: D, n_head: H } = model.attention;
  const b = file.tensors.get('blk.0.attn_q.weight.lora_b')!;
  expect([b.shape, file.tensors.get('blk.0.attn_q.weight.lora_a')!.shape]).toEqual([
    [H * D, 4],
    [4, model.n_embd],
  ]);
  // reshape(H, 2, D/2, r), axes 1 and 2 exchanged
  const { B } = adapter.modules.get('model.layers.0.self_attn.q_proj')!;
  const expected: number[] = [];
  for (let h = 0; h < H; h++)
    for (let i = 0; i < D / 2; i++)
      for (let half = 0; half < 2; half++)
        for (let r = 0; r < 4; r++) expected.push(B[(h * D + half * (D / 2) + i) * 4 + r]);
  expect([...tensorFloat32(b)]).toEqual(expected);
  const embedding = randomAdapter(model, { r: 2, target_modules: ['embed_tokens'] }, 1);
  const written = ggufAdapterFile(embedding, 'llama');
  expect(written.tensors.get('token_embd.weight.lora_a')!.shape).toEqual([model.vocab_size, 2]);
});

describe('files that do not fit', () => {
  const folder = mkdtempSync(join(tmpdir(), 'inkstone-adapters-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const llama = readConfig(goldenConfig('llama'));
  const gpt2 = readConfig(goldenConfig('gpt2'));
  const path = (name: string) => join(folder, name);

  it('an adapter for another family or another size is refused, with both named', () => {
    saveAdapter(path('gpt2'), { ...goldenAdapter('gpt2') }, gpt2);
    expect(() => openAdapter(path('gpt2'), llama)).toThrow(
      /transformer.h.0.attn.c_attn: is not in this llama model. The adapter was made for \.\.\/init; this model has embed_tokens, q_proj/,
    );
    const wide = readConfig({ ...goldenConfig('llama'), hidden_size: 80 });
    saveAdapter(path('llama'), goldenAdapter('llama'), llama);
    expect(() => openAdapter(path('llama'), wide)).toThrow(
      /A is \(4, 40\) and B .* where this llama model needs \(4, 80\)/,
    );
    const short = readConfig({ ...goldenConfig('llama'), num_hidden_layers: 1 });
    expect(() => openAdapter(path('llama'), short)).toThrow(/model.layers.1.self_attn.* is not in this llama model/);
  });

  it('what is no adapter is said to be none', () => {
    expect(() => openAdapter(path('nothing'), llama)).toThrow(/was not found/);
    expect(() => openAdapter(folder, llama)).toThrow(/has no adapter_config.json: it is not an adapter's directory/);
    const sink = new MemorySink();
    convert(goldenWeights('llama'), { format: 'gguf', config: goldenConfig('llama') }, sink);
    writeFileSync(path('model.gguf'), sink.toBytes());
    expect(() => openAdapter(path('model.gguf'), llama)).toThrow(/general.type: is not "adapter"/);
  });

  it('the other architecture of a GGUF adapter is named', () => {
    expect(() => readGgufAdapter(ggufAdapterFile(goldenAdapter('gpt2'), 'gpt2'), llama)).toThrow(
      /general.architecture: is gpt2 where this model is llama/,
    );
  });

  it('tensors that are missing, foreign or of impossible shapes are refused by name', () => {
    const config = goldenAdapter('llama').config;
    const read = (...tensors: [string, number[]][]) => {
      const sink = new MemorySink();
      const size = (shape: number[]) => 4 * shape.reduce((a, b) => a * b, 1);
      writeSafetensors(
        sink,
        tensors.map(([name, shape]) => tensorToWrite(name, 'f32', shape, new Uint8Array(size(shape)))),
      );
      return () => readPeftTensors(config, openWeights(new MemorySource('adapter_model.safetensors', sink.toBytes())));
    };
    const at = 'base_model.model.model.layers.0.self_attn.q_proj';
    expect(read([`${at}.lora_A.weight`, [4, 40]])).toThrow(/q_proj: has no lora_B/);
    expect(read([`${at}.lora_A.weight`, [4, 40]], [`${at}.lora_B.weight`, [40, 3]])).toThrow(/do not make a product/);
    expect(read([`${at}.lora_A.weight`, [4]], [`${at}.lora_B.weight`, [40, 4]])).toThrow(/do not make a product/);
    expect(read([`${at}.weight`, [4, 40]])).toThrow(/q_proj.weight: is no part of a LoRA adapter/);
    expect(read()).toThrow(/has no tensors of an adapter/);
  });

  it('DoRA cannot go to GGUF', () => {
    const adapter = randomAdapter(llama, { r: 2, use_dora: true }, 1);
    expect(() => ggufAdapterFile(adapter, 'llama')).toThrow(/use_dora = true: cannot be written to GGUF/);
  });

  it('damaged configurations and files end in one of our errors', () => {
    const written = goldenJson('adapters/llama/lora_after/adapter_config.json');
    const bytes = goldenBytes('adapters/llama/lora_after/adapter_model.safetensors');
    const outcome = (run: () => unknown) => {
      try {
        run();
      } catch (error) {
        expect(error).toBeInstanceOf(InkstoneError);
      }
    };
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(written)), fc.jsonValue(), (key, value) =>
        outcome(() => {
          const config = readAdapterConfig({ ...written, [key]: value });
          randomAdapter(llama, config, 1);
        }),
      ),
      { numRuns: 100 },
    );
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), fc.nat(bytes.length), (at, byte, length) =>
        outcome(() => {
          const damaged = new Uint8Array(bytes.subarray(0, length));
          if (at < length) damaged[at] = byte;
          readPeftTensors(readAdapterConfig(written), openWeights(new MemorySource('adapter', damaged)));
        }),
      ),
      { numRuns: 100 },
    );
    const gguf = new MemorySink();
    writeGguf(gguf, new Map([['general.type', { type: 'string', value: 'adapter' }]]), []);
    expect(() => readGgufAdapter(openWeights(new MemorySource('a.gguf', gguf.toBytes())), llama)).toThrow(
      FileFormatError,
    );
  });
});
