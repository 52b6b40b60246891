/** Conversion both ways over the golden models, and against definitions from outside where there are any. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FileSource } from '../src/node/file_source.ts';
import { type ConvertOptions, type ConvertReport, convert } from '../src/weights/convert.ts';
import { ggufToConfig } from '../src/weights/gguf_config.ts';
import { architectures, ggufTensorName, hfTensorName, qkRows } from '../src/weights/gguf_names.ts';
import { ggufToTokenizer, tokenizerToGguf } from '../src/weights/gguf_tokenizer.ts';
import { inspectJson, inspectWeights, renderInspection, renderJsonInspection } from '../src/weights/inspect.ts';
import { llama2cToConfig, readLlama2c, readLlama2cTokenizer } from '../src/weights/llama2c.ts';
import { type MetadataValue, tensorBytes, tensorFloat32, type WeightFile } from '../src/weights/model_file.ts';
import { openWeights } from '../src/weights/open.ts';
import { readSharded } from '../src/weights/safetensors.ts';
import { type ByteSource, MemorySink, MemorySource } from '../src/weights/source.ts';

const shared = fileURLToPath(new URL('../../shared/', import.meta.url));
const models = `${shared}golden/models/`;
const json = (path: string): Record<string, unknown> => JSON.parse(readFileSync(path, 'utf8'));

function openModel(folder: string): WeightFile {
  const at = (file: string): ByteSource => new FileSource(`${folder}/${file}`);
  const files = readdirSync(folder);
  if (files.includes('model.safetensors.index.json')) return readSharded(at('model.safetensors.index.json'), at);
  return openWeights(at(files.includes('pytorch_model.bin') ? 'pytorch_model.bin' : 'model.safetensors'));
}

function converted(
  input: WeightFile,
  options: ConvertOptions,
): { file: WeightFile; report: ConvertReport; bytes: Uint8Array } {
  const sink = new MemorySink();
  const report = convert(input, options, sink);
  const bytes = sink.toBytes();
  return { file: openWeights(new MemorySource('converted', bytes)), report, bytes };
}

it('q and k rows: rotating neighbours in GGUF order is rotating halves in Hugging Face order', () => {
  const size = 8;
  const hfRows = Float64Array.from({ length: 2 * size }, (_, i) => Math.sin(i + 1));
  const order = qkRows(2 * size, size, 'gguf');
  const ggufRows = Float64Array.from(order, (row) => hfRows[row]);
  const angle = (i: number): number => 3 * 10000 ** ((-2 * i) / size);
  const halves = hfRows.slice();
  const neighbours = ggufRows.slice();
  for (let head = 0; head < 2 * size; head += size) {
    for (let i = 0; i < size / 2; i++) {
      const [cos, sin] = [Math.cos(angle(i)), Math.sin(angle(i))];
      const [a, b] = [hfRows[head + i], hfRows[head + size / 2 + i]];
      halves[head + i] = a * cos - b * sin;
      halves[head + size / 2 + i] = b * cos + a * sin;
      const [c, d] = [ggufRows[head + 2 * i], ggufRows[head + 2 * i + 1]];
      neighbours[head + 2 * i] = c * cos - d * sin;
      neighbours[head + 2 * i + 1] = d * cos + c * sin;
    }
  }
  expect([...order].map((row) => halves[row])).toEqual([...neighbours]);
  const back = qkRows(2 * size, size, 'hf');
  expect([...back].map((row) => ggufRows[row])).toEqual([...hfRows]);
});

it('names map both ways in every table, and nothing else does', () => {
  for (const table of architectures) {
    for (const [gguf] of [...table.globals, ...table.block.map(([stem, hf]) => [`blk.17.${stem}`, hf])]) {
      for (const kind of ['weight', 'bias']) {
        const hf = ggufTensorName(table.name, `${gguf}.${kind}`)!;
        expect(hfTensorName(table, hf.name)).toEqual({ ...hf, name: `${gguf}.${kind}` });
      }
    }
    expect(ggufTensorName(table, 'blk.x.attn_q.weight')).toBeUndefined();
    expect(ggufTensorName(table, 'blk.0.constructor.weight')).toBeUndefined();
    expect(hfTensorName(table, 'model.layers.0.self_attn.rotary.weight')).toBeUndefined();
  }
  const gpt2 = architectures.find(({ name }) => name === 'gpt2')!;
  expect(hfTensorName(gpt2, 'h.3.mlp.c_fc.weight')).toEqual({ name: 'blk.3.ffn_up.weight', transform: 'transpose' });
  expect(hfTensorName(gpt2, 'wte.weight')).toEqual({ name: 'token_embd.weight' });
});

describe.skipIf(!existsSync(models))('golden models (needs ../shared/golden/models)', () => {
  for (const name of [
    'llama',
    'llama3rope',
    'llama-bf16',
    'mistral',
    'qwen2',
    'qwen3',
    'gemma3_text',
    'gpt2',
    'gpt2-f16',
    'gpt2-torchbin',
  ]) {
    it(`${name}: to GGUF and back, every value and setting`, () => {
      const input = openModel(models + name);
      const config = json(`${models}${name}/config.json`);
      const there = converted(input, { format: 'gguf', config });
      const back = converted(there.file, { format: 'safetensors' });
      const dropped = new Set(there.report.dropped.map((tensor) => tensor.name));
      for (const [key, entry] of input.tensors) {
        if (dropped.has(key)) continue;
        const again = back.file.tensors.get(key) ?? back.file.tensors.get(`transformer.${key}`);
        expect([key, again?.shape]).toEqual([key, entry.shape]);
        const [before, after] = [tensorFloat32(entry), tensorFloat32(again!)];
        // 1 + w rounds where w has more digits than a number near one can hold.
        const tolerance = name === 'gemma3_text' && key.endsWith('norm.weight') ? 2 ** -23 : 0;
        expect([key, before.every((value, i) => Math.abs(value - after[i]) <= tolerance)]).toEqual([key, true]);
      }
      expect(back.report.tensors + dropped.size).toBe(input.tensors.size);
      const given = back.report.config!;
      const rope = (config.rope_parameters ?? {}) as Record<string, Record<string, unknown>>;
      for (const [key, value] of Object.entries(given)) {
        // null is the default, which GGUF spells out
        if (key === 'n_inner' && config.n_inner === null) continue;
        if (key in config && !['torch_dtype', 'sliding_window', 'architectures'].includes(key))
          expect([key, value]).toEqual([key, config[key]]);
      }
      if (name === 'llama3rope' || name === 'qwen2') {
        const { rope_theta, ...scaling } = rope;
        expect([given.rope_theta, given.rope_scaling]).toEqual([rope_theta, scaling]);
      }
      if (name === 'gemma3_text') {
        expect(given.layer_types).toEqual(config.layer_types);
        expect(given.sliding_window).toBe(config.sliding_window);
        expect(given.rope_scaling).toEqual({ rope_type: 'linear', factor: 8 });
      }
      if (name === 'mistral') expect([given.model_type, given.sliding_window]).toEqual(['mistral', 7]);
    });
  }

  it('quantises matrices and says what it kept', () => {
    const input = openModel(`${models}qwen2`);
    const { file, report } = converted(input, {
      format: 'gguf',
      type: 'q8_0',
      config: json(`${models}qwen2/config.json`),
    });
    for (const entry of file.tensors.values()) {
      const fits = entry.shape.length > 1 && entry.shape[entry.shape.length - 1] % 32 === 0;
      expect([entry.name, entry.type]).toEqual([entry.name, fits ? 'q8_0' : 'f32']);
      expect(report.kept.some(({ name }) => name === entry.name)).toBe(!fits);
    }
  });

  it('refuses what it cannot do', () => {
    const input = openModel(`${models}llama`);
    const config = json(`${models}llama/config.json`);
    const attempt = (options: ConvertOptions) => () => convert(input, options, new MemorySink());
    expect(attempt({ format: 'safetensors', type: 'q8_0' })).toThrow(/safetensors has no such element type/);
    expect(attempt({ format: 'gguf' })).toThrow(/give the config\.json/);
    expect(attempt({ format: 'gguf', config: { ...config, model_type: 'gptj' } })).toThrow(/model_type = "gptj"/);
    expect(attempt({ format: 'gguf', config: { ...config, hidden_act: 'relu' } })).toThrow(/hidden_act = "relu"/);
    expect(attempt({ format: 'gguf', config: { ...config, model_type: 'gpt2' } })).toThrow(
      /readers of gpt2 take gelu_new for granted/,
    );
    expect(attempt({ format: 'gguf', type: 'q2_k' as never, config })).toThrow(/must be one of f32/);
  });

  it('keeps names when asked, from any format to any', () => {
    const input = openModel(`${models}qwen2`);
    const gguf = converted(input, { format: 'gguf', names: 'keep', type: 'f32' });
    expect([...gguf.file.tensors.keys()].sort()).toEqual([...input.tensors.keys()].sort());
  });
});

describe('vocabularies', () => {
  const folder = `${shared}golden/tokenizers/`;
  const asMetadata = (tokenizer: Record<string, unknown>): Map<string, MetadataValue> =>
    new Map([...tokenizerToGguf(tokenizer)].map(([key, { value }]) => [key, value]));
  it.skipIf(!existsSync(folder))('byte-level BPE goes both ways (needs ../shared/golden/tokenizers)', () => {
    for (const name of ['bpe_bytelevel_gpt2', 'bpe_bytelevel_split_llama3']) {
      const tokenizer = json(`${folder}${name}/tokenizer.json`);
      const metadata = asMetadata(tokenizer);
      const back = ggufToTokenizer({ name, metadata });
      const model = tokenizer.model as Record<string, unknown>;
      const given = back.model as Record<string, unknown>;
      const added = tokenizer.added_tokens as { id: number; content: string }[];
      const vocab = {
        ...(model.vocab as object),
        ...Object.fromEntries(added.map(({ id, content }) => [content, id])),
      };
      expect(given.vocab).toEqual(vocab);
      expect(given.merges).toEqual(
        (model.merges as (string | string[])[]).map((merge) => (typeof merge === 'string' ? merge.split(' ') : merge)),
      );
      expect((back.added_tokens as { id: number }[]).map(({ id }) => id).sort()).toEqual(
        added.map(({ id }) => id).sort(),
      );
    }
  });
  it.skipIf(!existsSync(folder))('SentencePiece BPE goes both ways (needs ../shared/golden/tokenizers)', () => {
    const tokenizer = json(`${folder}bpe_bytefallback_llama2/tokenizer.json`);
    const back = ggufToTokenizer({ name: 'llama2', metadata: asMetadata(tokenizer) });
    const model = tokenizer.model as { vocab: object; merges: (string | string[])[] };
    const given = back.model as { vocab: object; merges: string[][] };
    expect(given.vocab).toMatchObject(model.vocab);
    // Every merge of the original is there, and the results come in the same order.
    const results = model.merges.map((merge) => (typeof merge === 'string' ? merge.split(' ') : merge).join(''));
    expect([...new Set(given.merges.map((pair) => pair.join('')))].filter((text) => results.includes(text))).toEqual([
      ...new Set(results),
    ]);
  });
  it.skipIf(!existsSync(folder))('what GGUF cannot name is refused (needs ../shared/golden/tokenizers)', () => {
    expect(() => tokenizerToGguf(json(`${folder}unigram/tokenizer.json`))).toThrow(/only BPE vocabularies/);
    const odd = { ...json(`${folder}bpe_bytelevel_gpt2/tokenizer.json`), pre_tokenizer: { type: 'Whitespace' } };
    expect(() => tokenizerToGguf(odd)).toThrow(/GGUF has names only for some ways/);
  });
});

const smol = `${shared}data/models/SmolLM2-135M-Instruct.Q4_1.gguf`;
describe.skipIf(!existsSync(smol))('SmolLM2 (needs ../shared/data/models)', () => {
  it('has the settings that its makers published', () => {
    expect(ggufToConfig(openWeights(new FileSource(smol)))).toMatchObject({
      model_type: 'llama',
      hidden_size: 576,
      intermediate_size: 1536,
      num_hidden_layers: 30,
      num_attention_heads: 9,
      num_key_value_heads: 3,
      head_dim: 64,
      max_position_embeddings: 8192,
      rms_norm_eps: 1e-5,
      rope_theta: 100000,
      vocab_size: 49152,
      tie_word_embeddings: true,
      bos_token_id: 1,
      eos_token_id: 2,
    });
  });
  it('becomes a GGUF of another type with every setting and token kept', () => {
    const input = openWeights(new FileSource(smol));
    const { file, report } = converted(input, { format: 'gguf', type: 'q8_0' });
    expect(report.parameters).toBe(134515008);
    const { metadata } = input;
    for (const [key, value] of metadata) if (key !== 'general.file_type') expect(file.metadata.get(key)).toEqual(value);
    const same = file.tensors.get('token_embd.weight')!;
    expect(Buffer.compare(tensorBytes(same), tensorBytes(input.tensors.get('token_embd.weight')!))).toBe(0);
  });
});

const stories = `${shared}data/weights/stories260k/`;
describe.skipIf(!existsSync(stories))('stories260k (needs ../shared/data/weights)', () => {
  it('opens as a LLaMA', () => {
    const file = openWeights(new FileSource(`${stories}checkpoint_legacy.bin`));
    expect(file.format).toBe('llama2c');
    expect(llama2cToConfig(file)).toMatchObject({
      hidden_size: 64,
      num_hidden_layers: 5,
      num_attention_heads: 8,
      num_key_value_heads: 4,
      vocab_size: 512,
      max_position_embeddings: 512,
    });
    const count = [...file.tensors.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    expect(count).toBe(260032);
    const norm = tensorFloat32(file.tensors.get('model.norm.weight')!);
    expect(norm.every((value) => value > 0 && value < 20)).toBe(true);
  });
  it('refuses a file of another length', () => {
    const bytes = new Uint8Array(readFileSync(`${stories}checkpoint_legacy.bin`));
    expect(() => readLlama2c(new MemorySource('s', bytes.subarray(0, bytes.length - 4)))).toThrow(
      /takes 1056540 bytes, the file has 1056536/,
    );
  });
  it('converts to the same GGUF directly and by way of safetensors', () => {
    const input = readLlama2c(new FileSource(`${stories}checkpoint_legacy.bin`));
    const direct = converted(input, { format: 'gguf' });
    const first = converted(input, { format: 'safetensors' });
    const second = converted(first.file, { format: 'gguf', config: first.report.config });
    expect(second.file.tensors.size).toBe(direct.file.tensors.size);
    for (const [name, entry] of direct.file.tensors)
      expect([name, tensorBytes(second.file.tensors.get(name)!)]).toEqual([name, tensorBytes(entry)]);
  });
});

it('the vocabulary of stories260k: three special pieces, 256 bytes, 253 learned ones', () => {
  const path = new URL('./golden/weights/stories260k.tokenizer', import.meta.url);
  const { pieces, scores } = readLlama2cTokenizer(new MemorySource('t', new Uint8Array(readFileSync(path))), 512);
  expect(new Set(pieces).size).toBe(512);
  expect(pieces.slice(0, 4)).toEqual(['<unk>', '\n<s>\n', '\n</s>\n', '<0x00>']);
  expect([pieces[13], pieces[258], pieces[259], pieces.indexOf(' Lily')]).toEqual(['<0x0A>', '<0xFF>', ' t', 317]);
  expect(scores.slice(259)).toEqual(Array.from({ length: 253 }, (_, i) => -i));
  const short = new MemorySource('t', new Uint8Array(readFileSync(path)).subarray(0, 100));
  expect(() => readLlama2cTokenizer(short, 512)).toThrow(/^t: vocabulary: 512 of at least 8 bytes/);
});

describe('inspection', () => {
  const open = (name: string): WeightFile =>
    openWeights(
      new MemorySource(name, new Uint8Array(readFileSync(new URL(`./golden/weights/${name}`, import.meta.url)))),
    );
  const widthOf = (line: string): number => [...line].reduce((sum, char) => sum + (char > '⺀' ? 2 : 1), 0);
  it('fits 80 columns for every format, whatever the names', () => {
    for (const name of ['every.safetensors', 'every.gguf', 'every.pt', 'nested.pt', 'legacy.bin']) {
      const text = renderInspection(inspectWeights(open(name)));
      for (const line of text.split('\n')) expect(widthOf(line)).toBeLessThanOrEqual(80);
      expect(text).toContain(name);
    }
  });
  it('counts', () => {
    const inspection = inspectWeights(open('every.gguf'));
    expect(inspection).toMatchObject({ format: 'gguf', parameters: 5 * 192 + 5 });
    expect(inspection.tensors).toHaveLength(6);
    expect(inspection.types.map(({ type }) => type)).toContain('q8_0');
  });
  it('never lets a file steer the terminal', () => {
    const file = open('every.gguf');
    const entry = [...file.tensors.values()][0];
    const name = '\u001b[31mred\u0007\n墨'.repeat(20);
    const text = renderInspection(
      inspectWeights({ ...file, tensors: new Map([[name, { ...entry, name }]]), metadata: new Map([[name, name]]) }),
    );
    expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
    for (const line of text.split('\n')) expect(widthOf(line)).toBeLessThanOrEqual(80);
  });
  it('recognises the JSON files of a model', () => {
    expect(inspectJson('t', { model: { type: 'BPE', vocab: { a: 0 }, merges: [] }, added_tokens: [] })).toMatchObject({
      format: 'tokenizer',
      summary: { vocabulary: 1 },
    });
    expect(inspectJson('i', { weight_map: { a: 'x', b: 'x' } })).toMatchObject({
      format: 'index',
      summary: { tensors: 2, shards: 1 },
    });
    expect(inspectJson('c', { model_type: 'gpt2', n_layer: 2 })).toMatchObject({ format: 'config' });
    expect(renderJsonInspection(inspectJson('c', { model_type: 'gpt2', n_layer: 2 }))).toBe(
      'c\nconfig\n\nContent\n  model_type  gpt2\n  n_layer     2\n',
    );
  });
});
