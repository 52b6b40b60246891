/**
 * Adapters as GGUF files of llama.cpp: `general.type` is `adapter`, `adapter.type` is `lora`, and tensors are `<name>.lora_a` (rank, inputs) and
 * `<name>.lora_b` (outputs, rank) by the GGUF names of the weights, with rows in GGUF's order; `token_embd.weight.lora_a` is (vocabulary, rank). The
 * factor is `adapter.lora.alpha` / rank. Source: convert_lora_to_gguf.py and llama-adapter.cpp of llama.cpp.
 */
import { FileFormatError, SettingError } from '../../errors.ts';
import {
  type Architecture,
  architectureOfModelType,
  type ByteSink,
  type GgufMetadata,
  ggufTensorName,
  hfTensorName,
  qkRows,
  type TensorEntry,
  tensorFloat32,
  tensorToWrite,
  type WeightFile,
  writeGguf,
} from '../../weights/index.ts';
import type { DecoderConfig } from '../config.ts';
import { transposeLast } from '../transpose.ts';
import { type Adapter, layoutOfAdapter, type ModuleTensors, pickRows, tensorsOf } from './adapter.ts';
import { type AdapterConfig, completeAdapterConfig } from './config.ts';

const LARGEST = 2 ** 31;

/**
 * The adapter in a GGUF file. There is no configuration beside it: what it adapts are its tensors.
 * @param config of the model it is for.
 * @throws FileFormatError for a file that is no such adapter, or one for another architecture.
 */
export function readGgufAdapter(file: WeightFile, config: DecoderConfig): Adapter {
  const text = (key: string) => String(file.metadata.get(key) ?? '');
  const refuse = (where: string, problem: string, hint = '') => new FileFormatError(file.name, where, problem, hint);
  if (file.format !== 'gguf' || text('general.type') !== 'adapter') {
    throw refuse('general.type', 'is not "adapter"', 'This is no adapter; a model is opened as a model');
  }
  if (text('adapter.type') !== 'lora') throw refuse('adapter.type', `"${text('adapter.type')}" is not lora`);
  const tokens = file.metadata.get('adapter.alora.invocation_tokens');
  if (Array.isArray(tokens) && tokens.length > 0) throw refuse('adapter.alora.invocation_tokens', 'are not supported');
  const architecture = architectureFor(config, file.name);
  if (text('general.architecture') !== architecture.name) {
    const made = text('general.architecture');
    throw refuse(
      'general.architecture',
      `is ${made} where this model is ${architecture.name}: the adapter is for another model`,
    );
  }
  const given = Number(file.metadata.get('adapter.lora.alpha') ?? 0);
  if (!Number.isFinite(given)) throw refuse('adapter.lora.alpha', `${given} is no factor`);

  const parts = new Map<string, { a?: TensorEntry; b?: TensorEntry }>();
  for (const entry of file.tensors.values()) {
    const match = /^(.*)\.lora_([ab])$/.exec(entry.name);
    if (!match) throw refuse(entry.name, 'is no part of a LoRA adapter that Inkstone reads');
    const known = parts.get(match[1]) ?? {};
    known[match[2] as 'a' | 'b'] = entry;
    parts.set(match[1], known);
  }
  if (parts.size === 0) throw refuse('', 'has no tensors of an adapter');
  const modules = new Map<string, ModuleTensors>();
  for (const [name, { a, b }] of parts) {
    const hf = ggufTensorName(architecture, name);
    if (!hf?.name.endsWith('.weight')) throw refuse(name, `is no weight of GGUF's ${architecture.name}`);
    if (!a || !b) throw refuse(name, `has no lora_${a ? 'b' : 'a'}`);
    modules.set(
      hf.name.slice(0, -'.weight'.length),
      readModule(file.name, a, b, hf.transform === 'permute_qk', config),
    );
  }
  return { file: file.name, config: configOf(modules, given), modules };
}

function readModule(
  file: string,
  a: TensorEntry,
  b: TensorEntry,
  permuted: boolean,
  config: DecoderConfig,
): ModuleTensors {
  const embedding = a.name === 'token_embd.weight.lora_a';
  const rank = b.shape[1];
  const fits = a.shape.length === 2 && b.shape.length === 2 && a.shape[embedding ? 1 : 0] === rank && rank > 0;
  if (!fits) throw new FileFormatError(file, a.name, `(${a.shape}) does not fit ${b.name} (${b.shape})`);
  for (const { name, shape, byteLength } of [a, b]) {
    if (byteLength > LARGEST) throw new FileFormatError(file, name, `(${shape}) is too large for an adapter`);
  }
  const { head_dim } = config.attention;
  if (permuted && b.shape[0] % head_dim !== 0) {
    throw new FileFormatError(file, b.name, `has ${b.shape[0]} rows, no multiple of this model's heads of ${head_dim}`);
  }
  const A = tensorFloat32(a);
  const B = tensorFloat32(b);
  return {
    rank,
    A: embedding ? swapped(A, a.shape) : A,
    B: permuted ? pickRows(B, Int32Array.from(qkRows(b.shape[0], head_dim, 'hf')), rank) : B,
    magnitude: null,
  };
}

/** An alpha of 0 stands for a factor of 1. */
function configOf(modules: ReadonlyMap<string, ModuleTensors>, alpha: number): AdapterConfig {
  const [{ rank: r }] = modules.values();
  const others = [...modules].filter(([, { rank }]) => rank !== r);
  const literal = (name: string) => name.replaceAll('.', String.raw`\.`);
  return completeAdapterConfig({
    r,
    lora_alpha: alpha === 0 ? r : alpha,
    target_modules: [...modules.keys()],
    rank_pattern: Object.fromEntries(others.map(([name, { rank }]) => [literal(name), rank])),
    alpha_pattern: alpha === 0 ? Object.fromEntries(others.map(([name, { rank }]) => [literal(name), rank])) : {},
  });
}

/**
 * Writes an adapter for llama.cpp. Where modules have different alphas, the file's one alpha is the first's and the rest goes into B.
 * @throws SettingError for DoRA, which the format does not have; FileFormatError for a module that has no name there.
 */
export function writeGgufAdapter(sink: ByteSink, adapter: Adapter, config: DecoderConfig): void {
  const layout = layoutOfAdapter(config, adapter);
  if (layout.use_dora)
    throw new SettingError('use_dora', true, 'cannot be written to GGUF: the format has no magnitudes');
  const architecture = architectureFor(config, adapter.file);
  const alpha = Math.fround(layout.modules[0].scaling * layout.modules[0].rank);
  const metadata = new Map<string, GgufMetadata>([
    ['general.architecture', { type: 'string', value: architecture.name }],
    ['general.type', { type: 'string', value: 'adapter' }],
    ['general.file_type', { type: 'uint32', value: 0 }],
    ['adapter.type', { type: 'string', value: 'lora' }],
    ['adapter.lora.alpha', { type: 'float32', value: alpha }],
  ]);
  const tensors = layout.modules.flatMap((module) => {
    const { rank, kind, inputs, outputs, scaling } = module;
    const name = hfTensorName(architecture, `${module.name}.weight`);
    if (!name) throw new FileFormatError(adapter.file, module.name, `has no name in GGUF's ${architecture.name}`);
    const { A, B: unscaled } = tensorsOf(adapter, module.name);
    const factor = (scaling * rank) / alpha;
    const B = Math.abs(factor - 1) < 1e-6 ? unscaled : unscaled.map((value) => value * factor);
    const rows = Int32Array.from(qkRows(outputs, config.attention.head_dim, 'gguf'));
    const write = (suffix: string, shape: readonly number[], values: Float32Array) =>
      tensorToWrite(
        `${name.name}.${suffix}`,
        'f32',
        shape,
        new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
      );
    return [
      kind === 'embedding'
        ? write('lora_a', [inputs, rank], swapped(A, [rank, inputs]))
        : write('lora_a', [rank, inputs], A),
      write('lora_b', [outputs, rank], name.transform === 'permute_qk' ? pickRows(B, rows, rank) : B),
    ];
  });
  writeGguf(sink, metadata, tensors);
}

function architectureFor({ model_type }: DecoderConfig, file: string): Architecture {
  const architecture = architectureOfModelType(model_type);
  if (architecture) return architecture;
  throw new FileFormatError(
    file,
    'general.architecture',
    `the family ${model_type} has no names in GGUF that Inkstone knows`,
  );
}

function swapped(values: Float32Array, shape: readonly number[]): Float32Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return new Float32Array(transposeLast(bits, shape).buffer);
}
