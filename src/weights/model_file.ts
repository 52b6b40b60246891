/** What every reader answers: a file's metadata and where each of its tensors lies. No tensor is read until asked for. */

import type { WeightType } from './dtype.ts';
import type { NumberList, TextList } from './lists.ts';
import { toFloat32 } from './quants/index.ts';
import type { ByteSource } from './source.ts';

/** A typed number of a GGUF file keeps its width here, so that a file can be written again as it was. */
export type GgufScalarType =
  | 'uint8'
  | 'int8'
  | 'uint16'
  | 'int16'
  | 'uint32'
  | 'int32'
  | 'float32'
  | 'bool'
  | 'string'
  | 'uint64'
  | 'int64'
  | 'float64';

/** A value of a file's metadata. Integers beyond 2^53 are `bigint`; arrays are plain. */
export type MetadataValue = string | number | bigint | boolean | MetadataValue[];

/** Where one tensor lies and how it is stored. */
export interface TensorEntry {
  readonly name: string;
  readonly type: WeightType;
  /** Row-major, outermost first (GGUF's order is already turned round). Empty for a scalar. */
  readonly shape: readonly number[];
  readonly source: ByteSource;
  /** Of the first byte, from the start of `source`. */
  readonly offset: number;
  readonly byteLength: number;
}

/** An opened weight file. For a sharded model, the union of its parts. */
export interface WeightFile {
  readonly format: 'safetensors' | 'gguf' | 'torch' | 'llama2c';
  /** The file as the user knows it. */
  readonly name: string;
  readonly metadata: ReadonlyMap<string, MetadataValue>;
  /** The types that a GGUF file gave its metadata; absent for other formats. An array's is its elements'. */
  readonly metadataTypes?: ReadonlyMap<string, GgufScalarType>;
  /** The long lists of a GGUF file's metadata as they lie in it; `metadata` has them too, as arrays that are made when asked for. */
  readonly lists?: ReadonlyMap<string, TextList | NumberList>;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

/** The stored bytes of a tensor, as they lie in the file. A view where the source allows; do not write into it. */
export function tensorBytes(entry: TensorEntry): Uint8Array {
  return entry.source.bytes(entry.offset, entry.byteLength);
}

/**
 * The values of a tensor as float32, dequantised where needed: a fresh array.
 * @throws FileFormatError when the file no longer holds them.
 */
export function tensorFloat32(entry: TensorEntry): Float32Array {
  const count = entry.shape.reduce((product, dimension) => product * dimension, 1);
  return toFloat32(entry.type, tensorBytes(entry), count);
}
