/** From weight files to a model: find each parameter, bring it to the decoder's layout, hand it to the backend. */
import type { Backend } from '../backends/backend.ts';
import { FileFormatError } from '../errors.ts';
import { byteLength, type DType, dtypes, isBlockType } from '../tensor/dtype.ts';
import { sizeOf } from '../tensor/shape.ts';
import {
  architectureOf,
  ggufTensorName,
  type TensorEntry,
  tensorBytes,
  toFloat32,
  type WeightFile,
} from '../weights/index.ts';
import type { DecoderConfig } from './config.ts';
import { ConfigReader } from './config_reader.ts';
import { type Family, type Location, locate } from './families/family.ts';
import { familyOf } from './families/index.ts';
import type { Model, ModelParameter } from './model.ts';
import { packMxfp4 } from './mxfp4.ts';
import { type ParameterSpec, parameterSpecs } from './parameters.ts';
import { transposeLast } from './transpose.ts';

/** Tensor data on its way to a backend: rows of whole blocks. */
interface Matrix {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export interface LoadOptions {
  /** The name under which config.json is known in errors. */
  readonly configFile?: string;
  readonly progress?: (done: number, total: number) => void;
}

/**
 * The decoder configuration that a Hugging Face style config describes.
 * @throws FileFormatError for a model_type that is not supported and for any value that cannot be.
 */
export function readConfig(config: Readonly<Record<string, unknown>>, file = 'config.json'): DecoderConfig {
  const reader = new ConfigReader(config, file);
  const model_type = reader.optional('model_type', 'string');
  if (model_type === undefined)
    throw reader.refuse('model_type', undefined, 'is missing: it names the family of the model');
  return familyOf(model_type, file).config(reader, model_type);
}

/**
 * Load a model. Weights that lie in the file as the decoder needs them are used in place.
 * @param config the content of config.json, or what `ggufToConfig` made of a GGUF file.
 * @throws FileFormatError when a parameter is missing or of another shape than the configuration says.
 */
export function loadModel(
  weights: WeightFile,
  config: Readonly<Record<string, unknown>>,
  backend: Backend,
  { configFile = 'config.json', progress }: LoadOptions = {},
): Model {
  const source = openSource(weights, config, configFile);
  const specs = parameterSpecs(source.config);
  const parameters = new Map<string, ModelParameter>();
  specs.forEach((spec, i) => {
    const { dtype, bytes } = readParameter(source, spec);
    parameters.set(spec.name, { dtype, shape: spec.shape, buffer: backend.adopt(bytes) });
    progress?.(i + 1, specs.length);
  });
  return { config: source.config, backend, parameters };
}

/** A model's parameters as float32, one at a time: what training starts from. */
export interface ParameterValues {
  readonly config: DecoderConfig;
  readonly specs: readonly ParameterSpec[];
  /** @throws FileFormatError when it is missing or of another shape than the configuration says. */
  read(spec: ParameterSpec): Float32Array;
}

/** The parameters of a file, for those who keep them elsewhere than in a `Model`. Arguments as for `loadModel`. */
export function parameterValues(
  weights: WeightFile,
  config: Readonly<Record<string, unknown>>,
  configFile = 'config.json',
): ParameterValues {
  const source = openSource(weights, config, configFile);
  const read = (spec: ParameterSpec) => {
    const { dtype, bytes } = readParameter(source, spec);
    return toFloat32(dtype as Exclude<DType, 'q8a'>, bytes, sizeOf(spec.shape));
  };
  return { config: source.config, specs: parameterSpecs(source.config), read };
}

/** A weight file seen through Hugging Face names, with the configuration that fits how its numbers lie. */
interface Source {
  readonly file: WeightFile;
  readonly family: Family;
  readonly config: DecoderConfig;
  find(name: string): TensorEntry | undefined;
  /** The matrices that Hugging Face stores as (inputs, outputs) are (outputs, inputs) here. */
  readonly rowsAreOutputs: boolean;
}

function openSource(file: WeightFile, raw: Readonly<Record<string, unknown>>, configFile: string): Source {
  const config = readConfig(raw, configFile);
  const family = familyOf(config.model_type, configFile);
  if (file.format !== 'gguf') {
    const find = (name: string) => {
      const { prefix } = family;
      return (
        file.tensors.get(name) ?? (name.startsWith(prefix) ? file.tensors.get(name.slice(prefix.length)) : undefined)
      );
    };
    // llama2.c keeps Meta's order of q and k, whose rotating pairs are neighbours.
    const fitted = file.format === 'llama2c' ? withNeighbours(config) : config;
    return { file, family, config: fitted, find, rowsAreOutputs: false };
  }
  const architecture = architectureOf(String(file.metadata.get('general.architecture')));
  const byName = new Map<string, TensorEntry>();
  let fitted = config;
  for (const entry of file.tensors.values()) {
    const hf = architecture && ggufTensorName(architecture, entry.name);
    if (!hf) continue;
    byName.set(hf.name, entry);
    // Rows of q and k stay where they are: the pairs that rotate together are neighbours then.
    if (hf.transform === 'permute_qk') fitted = withNeighbours(fitted);
    if (hf.transform === 'minus_one') fitted = { ...fitted, norm: { ...fitted.norm, weightOffset: 0 } };
  }
  return { file, family, config: fitted, find: (name) => byName.get(name), rowsAreOutputs: true };
}

/** The configuration with rotary pairs (2i, 2i + 1). */
function withNeighbours(config: DecoderConfig): DecoderConfig {
  return { ...config, ropes: config.ropes.map((rope) => ({ ...rope, interleaved: true })) };
}

function readParameter(source: Source, { name, shape }: ParameterSpec): Matrix {
  const location = locate(source.family, name, source.config);
  const names = typeof location.from === 'string' ? [location.from] : location.from;
  const parts = names.map((from) => cut(source, location, from, name));
  const matrix = typeof location.from === 'string' ? parts[0] : stack(source, name, parts);
  if (matrix.shape.length !== shape.length || matrix.shape.some((dim, i) => dim !== shape[i])) {
    const problem = `has shape (${matrix.shape}) for "${name}" where the configuration says (${shape})`;
    throw new FileFormatError(source.file.name, names[0], problem);
  }
  // Vectors are added and multiplied as they are, so they are float32; matrices keep their type.
  return shape.length === 1 ? widen(matrix) : matrix;
}

/** One tensor of the file, or the rows of it that a location names. */
function cut(source: Source, location: Location, from: string, name: string): Matrix {
  const entry = source.find(from);
  let matrix: Matrix;
  let transposed = (location.transposed ?? false) && !source.rowsAreOutputs;
  if (entry) matrix = matrixOf(entry);
  else {
    const [blocks, scales] = [source.find(`${from}_blocks`), source.find(`${from}_scales`)];
    if (!blocks || !scales) {
      throw new FileFormatError(
        source.file.name,
        from,
        `the tensor of "${name}" is missing`,
        'The file is incomplete or of another model',
      );
    }
    matrix = packMxfp4(blocks, scales);
    transposed = false;
  }
  if (transposed) matrix = transpose(matrix);
  if (!location.rows) return matrix;
  return pickRows(source, from, matrix, location.rows);
}

function matrixOf(entry: TensorEntry): Matrix {
  const { type, shape } = entry;
  const bytes = tensorBytes(entry);
  if (type in dtypes && type !== 'i32') return { dtype: type as DType, shape, bytes };
  return { dtype: 'f32', shape, bytes: bytesOf(toFloat32(type, bytes, sizeOf(shape))) };
}

function widen({ dtype, shape, bytes }: Matrix): Matrix {
  if (dtype === 'f32') return { dtype, shape, bytes };
  return { dtype: 'f32', shape, bytes: bytesOf(toFloat32(dtype as Exclude<DType, 'q8a'>, bytes, sizeOf(shape))) };
}

/** Swap the last two dimensions. Block types are widened first: their blocks run along rows. */
function transpose(given: Matrix): Matrix {
  const matrix = isBlockType(given.dtype) ? widen(given) : given;
  const { dtype, shape, bytes } = matrix;
  const [rows, columns] = shape.slice(-2);
  const Elements = dtypes[dtype].bytes === 2 ? Uint16Array : Uint32Array;
  const from = new Elements(aligned(bytes, Elements.BYTES_PER_ELEMENT).buffer, 0, sizeOf(shape));
  const to = transposeLast(from, shape);
  return { dtype, shape: [...shape.slice(0, -2), columns, rows], bytes: bytesOf(to) };
}

/** The bytes at the start of a buffer of their own, unless they are there already. */
function aligned(bytes: Uint8Array, to: number): Uint8Array<ArrayBuffer> {
  const whole = bytes.byteOffset === 0 && bytes.buffer.byteLength === bytes.byteLength && bytes.byteLength % to === 0;
  return whole && bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);
}

/** Rows along the second last dimension of a matrix, or along the last of a vector or of a bias for each expert. */
function pickRows(source: Source, from: string, matrix: Matrix, rows: NonNullable<Location['rows']>): Matrix {
  const { dtype, shape, bytes } = matrix;
  const axis = from.endsWith('bias') ? shape.length - 1 : shape.length - 2;
  const count = shape[axis];
  const last = rows.start + (rows.blocks - 1) * rows.stride + rows.length;
  if (axis < 0 || last > count) {
    throw new FileFormatError(source.file.name, from, `has ${count} rows where row ${last - 1} is needed`);
  }
  const rowBytes = byteLength(dtype, sizeOf(shape.slice(axis + 1)));
  const outer = sizeOf(shape.slice(0, axis));
  const picked = shape.with(axis, rows.blocks * rows.length);
  const runBytes = rows.length * rowBytes;
  if (outer === 1 && rows.blocks === 1) {
    return { dtype, shape: picked, bytes: bytes.subarray(rows.start * rowBytes, rows.start * rowBytes + runBytes) };
  }
  const result = new Uint8Array(outer * rows.blocks * runBytes);
  for (let o = 0; o < outer; o++) {
    for (let b = 0; b < rows.blocks; b++) {
      const start = (o * count + rows.start + b * rows.stride) * rowBytes;
      result.set(bytes.subarray(start, start + runBytes), (o * rows.blocks + b) * runBytes);
    }
  }
  return { dtype, shape: picked, bytes: result };
}

function stack(source: Source, name: string, parts: readonly Matrix[]): Matrix {
  const { dtype, shape, bytes } = parts[0];
  if (parts.some((part) => part.dtype !== dtype || part.bytes.byteLength !== bytes.byteLength)) {
    throw new FileFormatError(source.file.name, name, 'the experts are of different types or shapes');
  }
  const result = new Uint8Array(parts.length * bytes.byteLength);
  parts.forEach((part, i) => {
    result.set(part.bytes, i * bytes.byteLength);
  });
  return { dtype, shape: [parts.length, ...shape], bytes: result };
}

function bytesOf(array: Float32Array | Uint16Array | Uint32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
