/** Adapters made part of the weights: W + scaling · B A, with DoRA each output brought to its magnitude. */
import type { Backend } from '../../backends/backend.ts';
import { FileFormatError } from '../../errors.ts';
import {
  architectureOf,
  type ByteSource,
  fromFloat32,
  hfTensorName,
  isEncodable,
  qkRows,
  type TensorEntry,
  tensorFloat32,
  type WeightFile,
  type WeightType,
  weightTypeInfo,
} from '../../weights/index.ts';
import type { DecoderConfig } from '../config.ts';
import { locate } from '../families/family.ts';
import { familyOf } from '../families/index.ts';
import type { Model, ModelParameter } from '../model.ts';
import { transposeLast } from '../transpose.ts';
import { type Adapter, layoutOfAdapter, type ModuleTensors, modelRows, tensorsOf } from './adapter.ts';
import { siteWeight } from './graph.ts';
import type { AdapterModule } from './layout.ts';

/**
 * A model with an adapter in its weights, which become float32 where it changes them; the others are shared with the given model. A head that
 * was tied to the embedding gets a matrix of its own when one of the two is changed.
 * @throws FileFormatError for an adapter for another model.
 */
export async function mergeAdapter(model: Model, adapter: Adapter): Promise<Model> {
  const layout = layoutOfAdapter(model.config, adapter);
  const parameters = new Map(model.parameters);
  const unties = unTies(model.config, layout.sites);
  if (unties) parameters.set('head.weight', model.parameters.get('embed.weight')!);
  for (const module of layout.modules) {
    const tensors = tensorsOf(adapter, module.name);
    for (const site of module.sites) {
      const values = await siteWeight(model, site.site);
      const rows = modelRows(model.config, site);
      if (module.kind === 'embedding') changeColumns(values, tensors, module);
      else changeRows(values, tensors, module, rows);
      const shape = module.kind === 'embedding' ? [site.inputs, site.outputs] : [site.outputs, site.inputs];
      parameters.set(`${site.site}.weight`, parameterOf(model.backend, values, shape));
    }
  }
  return { ...model, parameters, config: unties ? { ...model.config, tied: false } : model.config };
}

function unTies({ tied }: DecoderConfig, sites: ReadonlyMap<string, unknown>): boolean {
  return tied && (sites.has('embed') || sites.has('head'));
}

function parameterOf(backend: Backend, values: Float32Array, shape: readonly number[]): ModelParameter {
  return {
    dtype: 'f32',
    shape,
    buffer: backend.adopt(new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
  };
}

/** @param rows for each row of the weight (O, K), the row of B that changes it. */
function changeRows(
  weight: Float32Array,
  { A, B, rank, magnitude }: ModuleTensors,
  { inputs, scaling }: AdapterModule,
  rows: Int32Array,
): void {
  const row = new Float64Array(inputs);
  for (let i = 0; i < rows.length; i++) {
    const values = weight.subarray(i * inputs, (i + 1) * inputs);
    row.set(values);
    for (let r = 0; r < rank; r++) {
      const factor = scaling * B[rows[i] * rank + r];
      if (factor === 0) continue;
      for (let k = 0, a = r * inputs; k < inputs; k++, a++) row[k] += factor * A[a];
    }
    if (magnitude) {
      const factor = magnitude[rows[i]] / norm(row);
      for (let k = 0; k < inputs; k++) row[k] *= factor;
    }
    values.set(row);
  }
}

/** The same of an embedding (V, C), whose columns are the outputs. */
function changeColumns(
  table: Float32Array,
  { A, B, rank, magnitude }: ModuleTensors,
  { inputs: V, outputs: C, scaling }: AdapterModule,
): void {
  const squares = new Float64Array(C);
  for (let v = 0; v < V; v++) {
    for (let c = 0; c < C; c++) {
      let sum = 0;
      for (let r = 0; r < rank; r++) sum += A[r * V + v] * B[c * rank + r];
      const value = table[v * C + c] + scaling * sum;
      table[v * C + c] = value;
      squares[c] += value * value;
    }
  }
  if (!magnitude) return;
  const factors = squares.map((square, c) => magnitude[c] / Math.sqrt(square));
  for (let v = 0; v < V; v++) for (let c = 0; c < C; c++) table[v * C + c] *= factors[c];
}

function norm(row: Float64Array): number {
  let sum = 0;
  for (const value of row) sum += value * value;
  return Math.sqrt(sum);
}

/** A weight file with an adapter in it, for `convert`. */
export interface MergedWeights {
  readonly weights: WeightFile;
  /** Fields of config.json that are other than before. */
  readonly config: Readonly<Record<string, unknown>>;
  /** How many of its tensors the adapter changes. */
  readonly changed: number;
}

/**
 * A weight file whose tensors are computed when they are read: one at a time is held.
 * @param config of the file's model.
 * @param exact whether changed tensors are float32; else they keep their type where it can be made.
 * @throws FileFormatError for an adapter for another model, or a tensor that is not there.
 */
export function mergeIntoWeights(
  file: WeightFile,
  config: DecoderConfig,
  adapter: Adapter,
  exact: boolean,
): MergedWeights {
  const layout = layoutOfAdapter(config, adapter);
  const tensors = new Map(file.tensors);
  const unties = unTies(config, layout.sites);
  const slot: Slot = { owner: null, bytes: new Uint8Array(0) };
  const embedding = unties ? entryOf(file, config, 'embed').entry : null;
  for (const module of layout.modules) {
    const [{ site }] = module.sites;
    const isHead = site === 'head' && unties;
    const { entry, transposed, permuted } = isHead
      ? { entry: embedding!, transposed: false, permuted: false }
      : entryOf(file, config, site);
    const { rank, inputs, outputs, kind } = module;
    if (entry.shape.reduce((a, b) => a * b, 1) !== inputs * outputs) {
      throw new FileFormatError(
        file.name,
        entry.name,
        `has shape (${entry.shape}) where (${outputs}, ${inputs}) is needed for rank ${rank}`,
      );
    }
    const parts = tensorsOf(adapter, module.name);
    const make = () => {
      let values = tensorFloat32(entry);
      if (transposed) values = turned(values, entry.shape);
      if (kind === 'embedding') changeColumns(values, parts, module);
      else changeRows(values, parts, module, rowsOf(outputs, permuted ? config.attention.head_dim : 0));
      return transposed ? turned(values, [...entry.shape].reverse()) : values;
    };
    const name = isHead ? headName(file) : entry.name;
    tensors.set(name, changedEntry({ ...entry, name }, exact ? 'f32' : entry.type, make, slot));
  }
  if (embedding && !layout.sites.has('head')) tensors.set(headName(file), { ...embedding, name: headName(file) });
  return {
    weights: { ...file, tensors },
    config: unties ? { tie_word_embeddings: false } : {},
    changed: layout.modules.length,
  };
}

const headName = ({ format }: WeightFile) => (format === 'gguf' ? 'output.weight' : 'lm_head.weight');

/** The tensor that holds a site, and how its numbers lie. */
function entryOf(
  file: WeightFile,
  config: DecoderConfig,
  site: string,
): { entry: TensorEntry; transposed: boolean; permuted: boolean } {
  const family = familyOf(config.model_type, file.name);
  const location = locate(family, `${site}.weight`, config);
  const hf = location.from as string;
  const architecture =
    file.format === 'gguf' ? architectureOf(String(file.metadata.get('general.architecture'))) : null;
  const gguf = architecture ? hfTensorName(architecture, hf) : null;
  const short = hf.startsWith(family.prefix) ? hf.slice(family.prefix.length) : hf;
  const entry = gguf ? file.tensors.get(gguf.name) : (file.tensors.get(hf) ?? file.tensors.get(short));
  if (!entry) throw new FileFormatError(file.name, gguf?.name ?? hf, 'the tensor that the adapter changes is missing');
  const isQk = /\.attention\.[qk]$/.test(site);
  return {
    entry,
    transposed: !gguf && (location.transposed ?? false),
    permuted: gguf ? gguf.transform === 'permute_qk' : file.format === 'llama2c' && isQk,
  };
}

function rowsOf(outputs: number, headSize: number): Int32Array {
  if (headSize > 0) return Int32Array.from(qkRows(outputs, headSize, 'gguf'));
  return Int32Array.from({ length: outputs }, (_, i) => i);
}

function turned(values: Float32Array, shape: readonly number[]): Float32Array {
  return new Float32Array(
    transposeLast(new Uint32Array(values.buffer, values.byteOffset, values.length), shape).buffer,
  );
}

/** Where the one tensor that is held lies. */
interface Slot {
  owner: unknown;
  bytes: Uint8Array;
}

function changedEntry(entry: TensorEntry, wanted: WeightType, make: () => Float32Array, slot: Slot): TensorEntry {
  const type = isEncodable(wanted) ? wanted : 'f32';
  const { blockSize, blockBytes } = weightTypeInfo(type);
  const size = (entry.shape.reduce((a, b) => a * b, 1) / blockSize) * blockBytes;
  const source: ByteSource = {
    name: entry.source.name,
    size,
    bytes(offset, length) {
      if (slot.owner !== source) {
        slot.owner = source;
        slot.bytes = fromFloat32(type, make(), entry.source.name, `tensor "${entry.name}"`);
      }
      return slot.bytes.subarray(offset, offset + length);
    },
  };
  return { ...entry, type, source, offset: 0, byteLength: size };
}
