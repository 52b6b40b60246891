/** Export is the inverse of loading: same bits, and the tensors that Hugging Face's own files have. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ParameterValues, parameterSpecs, parameterValues, readConfig } from '../src/models/index.ts';
import { exportTensors, modelTensors } from '../src/training/export.ts';
import { presetNames, resolvePreset } from '../src/training/presets.ts';
import {
  MemorySink,
  MemorySource,
  openWeights,
  readSafetensors,
  readSharded,
  toFloat32,
  type WeightFile,
  writeSafetensorsAsync,
} from '../src/weights/index.ts';

const shared = fileURLToPath(new URL('../../shared/golden/models/', import.meta.url));
const own = fileURLToPath(new URL('./golden/models/', import.meta.url));
const folders = [own, ...(existsSync(shared) ? [shared] : [])].flatMap((root) =>
  readdirSync(root)
    .map((name) => ({ name, folder: join(root, name) }))
    .filter(({ name, folder }) => existsSync(join(folder, 'config.json')) && name !== 'llava' && name !== 'smolvlm'),
);
if (!existsSync(shared))
  process.stderr.write('export: only the models of test/golden (others need ../shared/golden)\n');

type Config = Record<string, unknown>;

/** Random bit patterns, not-a-numbers among them: what is only moved must not change. */
function randomBits(count: number, seed: number): Float32Array {
  const bits = new Uint32Array(count);
  let state = seed | 1;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    bits[i] = state ^ (state >>> 13);
  }
  return new Float32Array(bits.buffer);
}

function bytesOf(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}

async function written(
  config: Config,
  read: (name: string) => Float32Array,
  dtype: 'f32' | 'bf16' = 'f32',
): Promise<WeightFile> {
  const sink = new MemorySink();
  const asynchronous = { write: async (bytes: Uint8Array) => sink.write(bytes) };
  await writeSafetensorsAsync(asynchronous, modelTensors(readConfig(config), read, dtype));
  return readSafetensors(new MemorySource('model.safetensors', sink.toBytes()));
}

/** Export parameters of random bits and load them. */
async function roundTrip(config: Config, seed: number): Promise<void> {
  const parameters = new Map(
    parameterSpecs(readConfig(config)).map(({ name, shape }, i) => [
      name,
      randomBits(
        shape.reduce((a, b) => a * b, 1),
        seed + i,
      ),
    ]),
  );
  const loaded = parameterValues(await written(config, (name) => parameters.get(name)!), config);
  for (const spec of loaded.specs) {
    if (!bytesOf(loaded.read(spec)).equals(bytesOf(parameters.get(spec.name)!))) expect.fail(`${spec.name} changed`);
  }
}

function openFolder(folder: string): { weights: WeightFile; config: Config; values: ParameterValues } {
  const source = (file: string) => new MemorySource(file, readFileSync(join(folder, file)));
  const file = ['model.safetensors', 'pytorch_model.bin'].find((name) => existsSync(join(folder, name)));
  const weights = file
    ? openWeights(source(file))
    : readSharded(source('model.safetensors.index.json'), source, openWeights);
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Config;
  return { weights, config, values: parameterValues(weights, config) };
}

describe.each(folders)('$name', ({ folder }) => {
  it('is written as Hugging Face wrote it', async () => {
    const { weights, config, values } = openFolder(folder);
    const specs = new Map(values.specs.map((spec) => [spec.name, spec]));
    const exported = await written(config, (name) => values.read(specs.get(name)!));
    const tied = config.tie_word_embeddings !== false && !exported.tensors.has('lm_head.weight');
    // Buffers that old files carry are no parameters.
    const modern = (name: string) => (/^(h\.|ln_f|wpe|wte)/.test(name) ? `transformer.${name}` : name); // as today's are
    const theirs = [...weights.tensors.keys()]
      .map(modern)
      .filter((name) => !/\.(attn\.(attention\.)?(masked_)?bias)$/.test(name) && !(tied && name === 'lm_head.weight'));
    expect([...exported.tensors.keys()].sort()).toEqual(theirs.sort());
    for (const name of weights.tensors.keys()) {
      if (!theirs.includes(modern(name))) continue;
      const [ours, original] = [exported.tensors.get(modern(name))!, weights.tensors.get(name)!];
      expect(ours.shape, name).toEqual([...original.shape]);
      const wanted = toFloat32(
        original.type,
        original.source.bytes(original.offset, original.byteLength),
        ours.byteLength / 4,
      );
      if (!bytesOf(wanted).equals(Buffer.from(ours.source.bytes(ours.offset, ours.byteLength)))) {
        expect.fail(`${name} changed`);
      }
    }
  });

  it('loads again with the same bits', async () => {
    const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Config;
    await fc.assert(
      fc.asyncProperty(fc.integer(), (seed) => roundTrip(config, seed)),
      { numRuns: 3 },
    );
  });
});

/** Every preset at a size for tests. */
function small(name: string): Config {
  const { preset } = resolvePreset(name);
  const modern = preset.architecture === 'modern';
  return resolvePreset(name, {
    n_layer: 3,
    n_head: 4,
    n_embd: 24,
    block_size: 16,
    vocab_size: 37,
    ...(modern ? { n_kv_head: 2, head_dim: 6, n_inner: 40 } : {}),
  }).config as Config;
}

describe('presets', () => {
  it.each(presetNames)('%s loads again with the same bits', (name) => roundTrip(small(name), 7));

  it.each([
    ['gpt2-124m', { bias: false }],
    ['gpt1', { bias: false }],
    ['gpt3-125m', { bias: false }],
    ['gpt2-124m', { tie_word_embeddings: false, n_inner: 30 }],
  ] as const)('%s with %o has what the family has', async (name, overrides) => {
    const sizes = { n_layer: 2, n_head: 2, n_embd: 16, block_size: 8, vocab_size: 19, ...overrides };
    const config = resolvePreset(name, sizes).config as Config;
    await roundTrip(config, 3);
    const whole = { ...config, bias: true };
    const names = (of: Config) => exportTensors(readConfig(of), () => new Float32Array(0)).map((tensor) => tensor.name);
    expect(names(config).sort()).toEqual(names(whole).sort());
    const zeros = exportTensors(readConfig(config), () => new Float32Array(0)).find((t) =>
      t.name.endsWith('ln_1.bias'),
    );
    if ('bias' in overrides) expect([...(await zeros!.data())]).toEqual(Array(16).fill(0));
  });

  it('experts are split', async () => {
    const config = resolvePreset('modern', {
      n_layer: 2,
      n_embd: 24,
      n_head: 4,
      n_kv_head: 2,
      head_dim: 6,
      n_inner: 8,
      vocab_size: 11,
      block_size: 8,
      n_experts: 3,
      experts_per_token: 2,
    }).config as Config;
    await roundTrip(config, 5);
    const weights = await written(config, (name) =>
      randomBits(
        parameterSpecs(readConfig(config))
          .find((s) => s.name === name)!
          .shape.reduce((a, b) => a * b, 1),
        1,
      ),
    );
    expect(weights.tensors.get('model.layers.1.mlp.experts.2.down_proj.weight')?.shape).toEqual([24, 8]);
  });

  it('reads each parameter once', async () => {
    const config = small(presetNames[0]);
    const asked: string[] = [];
    const decoder = readConfig(config);
    const sizes = new Map(parameterSpecs(decoder).map(({ name, shape }) => [name, shape.reduce((a, b) => a * b, 1)]));
    await written(config, (name) => {
      asked.push(name);
      return new Float32Array(sizes.get(name)!);
    });
    expect(asked.sort()).toEqual([...sizes.keys()].sort());
  });

  it('bfloat16 is the nearest', async () => {
    const config = small('gpt2-124m');
    const sizes = new Map(
      parameterSpecs(readConfig(config)).map(({ name, shape }) => [name, shape.reduce((a, b) => a * b, 1)]),
    );
    const weights = await written(
      config,
      (name) => new Float32Array(sizes.get(name)!).fill(1.00390625 + 2 ** -20),
      'bf16',
    );
    const loaded = parameterValues(weights, config);
    for (const spec of loaded.specs) expect(loaded.read(spec)[0]).toBe(1.0078125);
  });
});
