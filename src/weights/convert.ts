/**
 * From any weight file to safetensors or GGUF, tensor by tensor: names, order of rows, element types, and the settings
 * and vocabulary that the other kind of file keeps elsewhere. Nothing larger than one tensor is held, and of tensors
 * that only change their type no more than a few megabytes.
 */

import { FileFormatError, SettingError } from '../errors.ts';
import { elementCount, isBlockType, type WeightType, weightTypeInfo } from './dtype.ts';
import { configToGguf, type GgufSettings, ggufToConfig } from './gguf_config.ts';
import {
  architectureOf,
  ggufTensorName,
  hfTensorName,
  isDispensable,
  qkRows,
  type TensorTransform,
} from './gguf_names.ts';
import { ggufToTokenizer, tokenizerToGguf } from './gguf_tokenizer.ts';
import { type GgufMetadata, writeGguf } from './gguf_writer.ts';
import type { JsonObject } from './json.ts';
import { llama2cToConfig } from './llama2c.ts';
import { type TensorEntry, tensorBytes, type WeightFile } from './model_file.ts';
import { fromFloat32, isEncodable, toFloat32 } from './quants/index.ts';
import { type TensorToWrite, tensorToWrite, writeSafetensors } from './safetensors_writer.ts';
import type { ByteSink } from './source.ts';

/** The types that `convert` writes matrices as. */
export const conversionTypes = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0'] as const;
export type ConversionType = (typeof conversionTypes)[number];

export interface ConvertOptions {
  readonly format: 'safetensors' | 'gguf';
  /** For matrices. Absent: every tensor keeps its type where the format has it, and else becomes f32. */
  readonly type?: ConversionType;
  /** `keep` writes every tensor under the name and in the row order that it has. */
  readonly names?: 'auto' | 'keep';
  /** The model's config.json: needed to write GGUF from anything but GGUF or llama2.c. */
  readonly config?: JsonObject;
  /** The model's tokenizer.json, for GGUF. */
  readonly tokenizer?: JsonObject;
  /** tokenizer_config.json, for GGUF. */
  readonly tokenizerConfig?: JsonObject;
  /** chat_template.jinja, for GGUF. */
  readonly chatTemplate?: string;
}

/** What was written, and what the caller still has to write beside it. */
export interface ConvertReport {
  readonly tensors: number;
  readonly parameters: number;
  /** Tensors that were not stored as the wanted type, and why. */
  readonly kept: readonly { readonly name: string; readonly type: WeightType; readonly reason: string }[];
  /** Tensors of the input that the output does not have, and why. */
  readonly dropped: readonly { readonly name: string; readonly reason: string }[];
  /** Things that the user should know. */
  readonly notes: readonly string[];
  /** config.json of the result, when the output is safetensors and the input carried the settings itself. */
  readonly config?: JsonObject;
  /** tokenizer.json of the result, likewise. */
  readonly tokenizer?: JsonObject;
  readonly chatTemplate?: string;
}

/** Called before each tensor is written. */
export type ConvertProgress = (done: number, total: number, name: string) => void;

/** One tensor of the output. */
interface Job {
  readonly entry: TensorEntry;
  readonly name: string;
  readonly transform?: TensorTransform;
  readonly to: 'gguf' | 'hf';
  readonly headSize: number;
}

/** What has to be done, decided before a byte is written. */
interface Naming {
  readonly jobs: Job[];
  readonly dropped: { name: string; reason: string }[];
  readonly notes: string[];
  readonly settings?: GgufSettings;
  readonly config?: JsonObject;
}

/**
 * Writes `input` to `sink` as `options` say.
 * @throws SettingError for options that cannot be met; FileFormatError for a tensor that the input promises and does
 *   not hold, that has no name in the other format, or whose values the wanted type cannot hold.
 */
export function convert(
  input: WeightFile,
  options: ConvertOptions,
  sink: ByteSink,
  progress: ConvertProgress = () => {},
): ConvertReport {
  checkOptions(options);
  const naming = nameTensors(input, options);
  const kept: { name: string; type: WeightType; reason: string }[] = [];
  const tensors = naming.jobs.map((job) => plan(job, options, input.name, kept));
  let done = 0;
  const onTensor = (name: string): void => progress(done++, tensors.length, name);
  const notes = [...naming.notes];

  if (options.format === 'gguf') {
    const metadata = ggufMetadata(input, options, naming, notes);
    const { ropeFactors } = naming.settings ?? {};
    if (ropeFactors)
      tensors.push(tensorToWrite('rope_freqs.weight', 'f32', [ropeFactors.length], fromFloat32('f32', ropeFactors)));
    writeGguf(sink, metadata, tensors, onTensor);
  } else {
    writeSafetensors(sink, tensors, { format: 'pt' }, onTensor);
  }
  const parameters = tensors.reduce((sum, tensor) => sum + elementCount(tensor.shape, input.name, tensor.name), 0);
  return {
    tensors: tensors.length,
    parameters,
    kept,
    dropped: naming.dropped,
    notes,
    ...carried(input, options, naming, notes),
  };
}

function checkOptions({ format, type, names }: ConvertOptions): void {
  if (format !== 'safetensors' && format !== 'gguf')
    throw new SettingError('format', format, 'it must be safetensors or gguf');
  if (names !== undefined && names !== 'auto' && names !== 'keep')
    throw new SettingError('names', names, 'it must be auto or keep');
  if (type !== undefined && !conversionTypes.includes(type)) {
    throw new SettingError('type', type, `it must be one of ${conversionTypes.join(', ')}`);
  }
  if (format === 'safetensors' && type !== undefined && isBlockType(type)) {
    throw new SettingError(
      'type',
      type,
      'safetensors has no such element type; choose f32, f16 or bf16, or the format gguf',
    );
  }
}

function nameTensors(input: WeightFile, options: ConvertOptions): Naming {
  const entries = [...input.tensors.values()];
  const same = (headSize = 0): Job[] => entries.map((entry) => ({ entry, name: entry.name, to: 'hf', headSize }));
  const toGguf = options.format === 'gguf';
  if (options.names === 'keep' || (toGguf && input.format === 'gguf')) return { jobs: same(), dropped: [], notes: [] };
  if (toGguf) return namesForGguf(input, entries, options);
  if (input.format === 'gguf') return namesFromGguf(input, entries);
  if (input.format === 'llama2c') {
    const config = llama2cToConfig(input);
    const jobs = same(Number(config.head_dim)).map((job) =>
      /\.[qk]_proj\.weight$/.test(job.name) ? { ...job, transform: 'permute_qk' as const } : job,
    );
    return { jobs, dropped: [], notes: [], config };
  }
  return { jobs: same(), dropped: [], notes: [] };
}

function namesFromGguf(input: WeightFile, entries: readonly TensorEntry[]): Naming {
  const config = ggufToConfig(input);
  const architecture = architectureOf(String(input.metadata.get('general.architecture')))!;
  const headSize = Number(config.head_dim ?? 0);
  const jobs: Job[] = [];
  const dropped: { name: string; reason: string }[] = [];
  for (const entry of entries) {
    if (entry.name === 'rope_freqs.weight') {
      dropped.push({ name: entry.name, reason: 'config.json says it as rope_scaling' });
      continue;
    }
    const hf = ggufTensorName(architecture, entry.name);
    if (!hf) throw unnamed(input, entry, `Hugging Face's ${architecture.className}`);
    jobs.push({ entry, ...hf, to: 'hf', headSize });
  }
  return { jobs, dropped, notes: [], config };
}

/** Architectures whose embedding is also the output when config.json does not say. */
const tiedByDefault = ['gpt2', 'gemma3'];

function namesForGguf(input: WeightFile, entries: readonly TensorEntry[], options: ConvertOptions): Naming {
  const config = options.config ?? (input.format === 'llama2c' ? llama2cToConfig(input) : undefined);
  if (!config) {
    throw new SettingError(
      'config',
      undefined,
      `GGUF keeps the model's settings: give the config.json of ${input.name}, or keep the names as they are`,
    );
  }
  const settings = configToGguf(config);
  const tied =
    config.tie_word_embeddings !== false &&
    (config.tie_word_embeddings === true || tiedByDefault.includes(settings.architecture.name));
  const jobs: Job[] = [];
  const dropped: { name: string; reason: string }[] = [];
  for (const entry of entries) {
    if (isDispensable(entry.name)) {
      dropped.push({ name: entry.name, reason: 'a buffer that no model needs' });
      continue;
    }
    const gguf = hfTensorName(settings.architecture, entry.name);
    if (!gguf) throw unnamed(input, entry, `GGUF's ${settings.architecture.name}`);
    if (gguf.name === 'output.weight' && tied) {
      dropped.push({ name: entry.name, reason: 'tied to the embedding' });
      continue;
    }
    // llama2.c keeps q and k in the order that GGUF wants.
    const { name, transform } = gguf;
    const job: Job = { entry, name, to: 'gguf', headSize: settings.headSize };
    jobs.push(transform && !(input.format === 'llama2c' && transform === 'permute_qk') ? { ...job, transform } : job);
  }
  return { jobs, dropped, notes: [...settings.notes], settings };
}

function unnamed(input: WeightFile, entry: TensorEntry, where: string): FileFormatError {
  return new FileFormatError(
    input.name,
    `tensor "${entry.name}"`,
    `it has no name in ${where}`,
    'Keep the names as they are to write it anyway',
  );
}

/** How many elements are decoded and encoded at once. */
const chunkElements = 1 << 20;

function plan(
  job: Job,
  options: ConvertOptions,
  file: string,
  kept: { name: string; type: WeightType; reason: string }[],
): TensorToWrite {
  const { entry, name, transform } = job;
  const shape = transform === 'transpose' ? [...entry.shape].reverse() : entry.shape;
  if (transform === 'transpose' && shape.length !== 2)
    throw new FileFormatError(file, `tensor "${entry.name}"`, 'it is no matrix');
  const { type, reason } = typeFor(entry, name, shape, options);
  if (reason) kept.push({ name, type, reason });
  return { name, type, shape, data: () => pieces(job, type, file) };
}

const floats = new Set<WeightType>(['f64', 'f32', 'f16', 'bf16', 'f8_e4m3', 'f8_e5m2']);

function typeFor(
  entry: TensorEntry,
  name: string,
  shape: readonly number[],
  options: ConvertOptions,
): { type: WeightType; reason?: string } {
  const { format, type: wanted } = options;
  const storable = (type: WeightType): boolean =>
    weightTypeInfo(type)[format === 'gguf' ? 'ggml' : 'safetensors'] !== undefined;
  if (!floats.has(entry.type) && !isBlockType(entry.type)) {
    if (!storable(entry.type))
      throw new SettingError(
        'format',
        format,
        `it has no element type for tensor "${entry.name}", which is ${entry.type}`,
      );
    return { type: entry.type, ...(wanted ? { reason: 'not floating point' } : {}) };
  }
  if (format === 'gguf' && shape.length < 2) {
    return wanted && wanted !== 'f32' ? { type: 'f32', reason: 'fewer than two dimensions' } : { type: 'f32' };
  }
  if (wanted === undefined) {
    const row = shape[shape.length - 1] ?? 1;
    const keeps = storable(entry.type) && row % weightTypeInfo(entry.type).blockSize === 0;
    return { type: keeps ? entry.type : 'f32' };
  }
  if (!isBlockType(wanted)) return { type: wanted };
  if (name === 'position_embd.weight') return { type: 'f32', reason: 'positions are added, not multiplied' };
  const row = shape[shape.length - 1];
  if (row % weightTypeInfo(wanted).blockSize !== 0) {
    return {
      type: 'f32',
      reason: `rows of ${row} elements do not divide into blocks of ${weightTypeInfo(wanted).blockSize}`,
    };
  }
  return { type: wanted };
}

/** The stored bytes of one output tensor, piece by piece. */
function* pieces(job: Job, type: WeightType, file: string): Generator<Uint8Array> {
  const { entry, transform } = job;
  if (transform === 'permute_qk') {
    yield* permuted(job, type, file);
    return;
  }
  if (transform === 'transpose') {
    const [rows, columns] = entry.shape;
    yield encode(type, transposed(decode(entry, tensorBytes(entry)), rows, columns), file, entry);
    return;
  }
  const { blockSize, blockBytes } = weightTypeInfo(entry.type);
  const step = (chunkElements / blockSize) * blockBytes;
  for (let at = 0; at < entry.byteLength; at += step) {
    const bytes = entry.source.bytes(entry.offset + at, Math.min(step, entry.byteLength - at));
    if (transform === 'minus_one') {
      const values = decode(entry, bytes);
      const add = job.to === 'gguf' ? 1 : -1;
      for (let i = 0; i < values.length; i++) values[i] += add;
      yield encode(type, values, file, entry);
    } else {
      yield type === entry.type ? bytes : encode(type, decode(entry, bytes), file, entry);
    }
  }
}

/** Rows are moved as bytes, so that blocks which keep their type stay exactly as they are. */
function* permuted(job: Job, type: WeightType, file: string): Generator<Uint8Array> {
  const { entry, headSize } = job;
  const [rows] = entry.shape;
  if (!(headSize > 0) || headSize % 2 !== 0 || rows % headSize !== 0) {
    throw new FileFormatError(
      file,
      `tensor "${entry.name}"`,
      `its ${rows} rows are no multiple of heads of ${headSize}`,
    );
  }
  const rowBytes = entry.byteLength / rows;
  const from = tensorBytes(entry);
  const order = qkRows(rows, headSize, job.to);
  const to = new Uint8Array(headSize * rowBytes);
  for (let head = 0; head < rows; head += headSize) {
    for (let i = 0; i < headSize; i++) {
      const start = order[head + i] * rowBytes;
      to.set(from.subarray(start, start + rowBytes), i * rowBytes);
    }
    yield type === entry.type ? to : encode(type, decode(entry, to), file, entry);
  }
}

function decode(entry: TensorEntry, bytes: Uint8Array): Float32Array {
  const { blockSize, blockBytes } = weightTypeInfo(entry.type);
  return toFloat32(entry.type, bytes, (bytes.byteLength / blockBytes) * blockSize);
}

function encode(type: WeightType, values: Float32Array, file: string, entry: TensorEntry): Uint8Array {
  if (!isEncodable(type)) {
    throw new SettingError(
      'type',
      type,
      `tensor "${entry.name}" cannot be stored as it was after its rows were changed; choose a type`,
    );
  }
  return fromFloat32(type, values, file, `tensor "${entry.name}"`);
}

function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = values[r * columns + c];
  return out;
}

/** The numbers of llama.cpp's `llama_ftype`: what most of a file is. */
const fileTypes: Readonly<Record<ConversionType, number>> = { f32: 0, f16: 1, bf16: 32, q8_0: 7, q4_0: 2 };

function ggufMetadata(
  input: WeightFile,
  options: ConvertOptions,
  naming: Naming,
  notes: string[],
): Map<string, GgufMetadata> {
  const metadata = new Map<string, GgufMetadata>();
  if (input.format === 'gguf') {
    for (const [key, value] of input.metadata)
      metadata.set(key, { type: input.metadataTypes?.get(key) ?? 'string', value });
  }
  for (const [key, value] of naming.settings?.metadata ?? []) metadata.set(key, value);
  if (options.type) metadata.set('general.file_type', { type: 'uint32', value: fileTypes[options.type] });
  if (naming.settings) metadata.set('general.quantization_version', { type: 'uint32', value: 2 });
  if (options.tokenizer) {
    for (const [key, value] of tokenizerToGguf(options.tokenizer, options)) metadata.set(key, value);
  } else if (naming.settings) {
    notes.push('no tokenizer.json was given: the file has no vocabulary');
  }
  return metadata;
}

/** What a GGUF or llama2.c file says itself, and a safetensors file needs beside it. */
function carried(
  input: WeightFile,
  options: ConvertOptions,
  naming: Naming,
  notes: string[],
): { config?: JsonObject; tokenizer?: JsonObject; chatTemplate?: string } {
  if (options.format !== 'safetensors' || !naming.config) return {};
  const dtype = { f32: 'float32', f16: 'float16', bf16: 'bfloat16' }[
    options.type === 'f16' || options.type === 'bf16' ? options.type : 'f32'
  ];
  const result: { config: JsonObject; tokenizer?: JsonObject; chatTemplate?: string } = {
    config: { ...naming.config, torch_dtype: dtype },
  };
  const template = input.metadata.get('tokenizer.chat_template');
  if (typeof template === 'string') result.chatTemplate = template;
  if (input.metadata.has('tokenizer.ggml.model')) {
    try {
      result.tokenizer = ggufToTokenizer(input);
    } catch (error) {
      if (!(error instanceof FileFormatError)) throw error;
      notes.push(`no tokenizer.json: ${error.message}`);
    }
  }
  return result;
}
