/**
 * The element types of weight files: plain numbers, and the block types of GGML in which a group of numbers shares
 * scales. A block type has no size per element, only per block; a row must be a whole number of blocks.
 */

import { FileFormatError } from '../errors.ts';

/** How many elements one block holds and how many bytes it takes; a plain number is a block of one. */
export interface WeightTypeInfo {
  readonly blockSize: number;
  readonly blockBytes: number;
  /** The number that GGUF files use for the type (ggml.h, `enum ggml_type`), where they have one. */
  readonly ggml?: number;
  /** The name that safetensors headers use, where they have one. */
  readonly safetensors?: string;
}

const info = (blockSize: number, blockBytes: number, ggml?: number, safetensors?: string): WeightTypeInfo => ({
  blockSize,
  blockBytes,
  ...(ggml === undefined ? {} : { ggml }),
  ...(safetensors === undefined ? {} : { safetensors }),
});

/** Every type that Inkstone reads. Layouts: ggml-common.h of the GGML project; the safetensors format description. */
export const weightTypes = {
  f64: info(1, 8, 28, 'F64'),
  f32: info(1, 4, 0, 'F32'),
  f16: info(1, 2, 1, 'F16'),
  bf16: info(1, 2, 30, 'BF16'),
  f8_e4m3: info(1, 1, undefined, 'F8_E4M3'),
  f8_e5m2: info(1, 1, undefined, 'F8_E5M2'),
  i8: info(1, 1, 24, 'I8'),
  i16: info(1, 2, 25, 'I16'),
  i32: info(1, 4, 26, 'I32'),
  i64: info(1, 8, 27, 'I64'),
  u8: info(1, 1, undefined, 'U8'),
  u16: info(1, 2, undefined, 'U16'),
  u32: info(1, 4, undefined, 'U32'),
  u64: info(1, 8, undefined, 'U64'),
  bool: info(1, 1, undefined, 'BOOL'),
  q4_0: info(32, 18, 2),
  q4_1: info(32, 20, 3),
  q5_0: info(32, 22, 6),
  q5_1: info(32, 24, 7),
  q8_0: info(32, 34, 8),
  q2_k: info(256, 84, 10),
  q3_k: info(256, 110, 11),
  q4_k: info(256, 144, 12),
  q5_k: info(256, 176, 13),
  q6_k: info(256, 210, 14),
  q8_k: info(256, 292, 15),
  iq4_nl: info(32, 18, 20),
  iq4_xs: info(256, 136, 23),
  tq1_0: info(256, 54, 34),
  tq2_0: info(256, 66, 35),
  mxfp4: info(32, 17, 39),
  nvfp4: info(64, 36, 40),
} as const satisfies Record<string, WeightTypeInfo>;

/** The name of an element type, in lower case. */
export type WeightType = keyof typeof weightTypes;

/** The facts about `type`. */
export function weightTypeInfo(type: WeightType): WeightTypeInfo {
  return weightTypes[type];
}

/** True for a type whose elements share scales in blocks. */
export function isBlockType(type: WeightType): boolean {
  return weightTypes[type].blockSize > 1;
}

const byGgml = new Map<number, WeightType>();
const bySafetensors = new Map<string, WeightType>();
for (const type of Object.keys(weightTypes) as WeightType[]) {
  const { ggml, safetensors }: WeightTypeInfo = weightTypes[type];
  if (ggml !== undefined) byGgml.set(ggml, type);
  if (safetensors !== undefined) bySafetensors.set(safetensors, type);
}

/** The type that a GGUF file calls `id`, or `undefined` for one that Inkstone does not read. */
export function weightTypeOfGgml(id: number): WeightType | undefined {
  return byGgml.get(id);
}

/** The type that a safetensors header calls `name`, or `undefined`. */
export function weightTypeOfSafetensors(name: string): WeightType | undefined {
  return bySafetensors.get(name);
}

/** Names of the GGML types that exist but are not read here, so that a refusal can name them. */
const unreadGgml: Readonly<Record<number, string>> = {
  4: 'Q4_2',
  5: 'Q4_3',
  9: 'Q8_1',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  21: 'IQ3_S',
  22: 'IQ2_S',
  29: 'IQ1_M',
  31: 'Q4_0_4_4',
  32: 'Q4_0_4_8',
  33: 'Q4_0_8_8',
  36: 'IQ4_NL_4_4',
  37: 'IQ4_NL_4_8',
  38: 'IQ4_NL_8_8',
};

/** How a message calls the GGML type `id`. */
export function ggmlTypeName(id: number): string {
  return byGgml.get(id)?.toUpperCase() ?? unreadGgml[id] ?? `number ${id}`;
}

/**
 * The product of `shape`, checked: every dimension a non-negative integer, the product within
 * `Number.MAX_SAFE_INTEGER` even where a zero would hide an overflow.
 * @throws FileFormatError naming `file` and `where`.
 */
export function elementCount(shape: readonly number[], file: string, where: string): number {
  let count = 1;
  let zero = false;
  for (const dimension of shape) {
    if (!Number.isSafeInteger(dimension) || dimension < 0) {
      throw new FileFormatError(file, where, `dimension ${dimension} in shape [${shape.join(', ')}] is not a count`);
    }
    if (dimension === 0) zero = true;
    else count *= dimension;
    if (count > Number.MAX_SAFE_INTEGER) {
      throw new FileFormatError(file, where, `shape [${shape.join(', ')}] has more elements than can be counted`);
    }
  }
  return zero ? 0 : count;
}

/**
 * Bytes that a tensor of `shape` takes as `type`: rows are the innermost dimension and hold whole blocks.
 * @throws FileFormatError when a row does not divide into blocks or the size cannot be counted.
 */
export function byteLengthOf(type: WeightType, shape: readonly number[], file: string, where: string): number {
  const { blockSize, blockBytes } = weightTypes[type];
  const count = elementCount(shape, file, where);
  const row = shape.length > 0 ? shape[shape.length - 1] : 1;
  if (row % blockSize !== 0) {
    throw new FileFormatError(
      file,
      where,
      `rows of ${row} elements do not divide into blocks of ${blockSize}, as ${type.toUpperCase()} demands`,
    );
  }
  const bytes = (count / blockSize) * blockBytes;
  if (bytes > Number.MAX_SAFE_INTEGER) {
    throw new FileFormatError(file, where, `shape [${shape.join(', ')}] takes more bytes than can be counted`);
  }
  return bytes;
}
