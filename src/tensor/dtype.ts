/**
 * The element types that a tensor may have. Block types (`q4_1` …) hold `block` elements in `bytes` bytes and occur only as
 * weights: the right operand of a matrix product, or a table to gather from. `q8a` is how activations meet them:
 * blocks of 32 signed bytes with their scale and scaled sum, made by `quantize8` and used by `matmul` alone.
 */

/** What one type takes: `block` elements share `bytes` bytes. */
export interface DTypeInfo {
  readonly block: number;
  readonly bytes: number;
  /** The number that stands for the type in an encoded program (kernels/ink.h has the same list). */
  readonly code: number;
}

export const dtypes = {
  f32: { block: 1, bytes: 4, code: 0 },
  f16: { block: 1, bytes: 2, code: 1 },
  bf16: { block: 1, bytes: 2, code: 2 },
  i32: { block: 1, bytes: 4, code: 3 },
  q8a: { block: 32, bytes: 40, code: 4 },
  q4_0: { block: 32, bytes: 18, code: 5 },
  q4_1: { block: 32, bytes: 20, code: 6 },
  q5_0: { block: 32, bytes: 22, code: 7 },
  q5_1: { block: 32, bytes: 24, code: 8 },
  q8_0: { block: 32, bytes: 34, code: 9 },
  q2_k: { block: 256, bytes: 84, code: 10 },
  q3_k: { block: 256, bytes: 110, code: 11 },
  q4_k: { block: 256, bytes: 144, code: 12 },
  q5_k: { block: 256, bytes: 176, code: 13 },
  q6_k: { block: 256, bytes: 210, code: 14 },
  iq4_nl: { block: 32, bytes: 18, code: 15 },
  iq4_xs: { block: 256, bytes: 136, code: 16 },
  mxfp4: { block: 32, bytes: 17, code: 17 },
} as const satisfies Record<string, DTypeInfo>;

export type DType = keyof typeof dtypes;

/** True for types whose elements share a scale, so that single elements have no address. */
export function isBlockType(dtype: DType): boolean {
  return dtypes[dtype].block > 1;
}

/** True for the types that values are computed in or read from: everything but `i32`. */
export function isFloating(dtype: DType): boolean {
  return dtype !== 'i32';
}

/** Bytes of `count` elements. `count` must be whole blocks. */
export function byteLength(dtype: DType, count: number): number {
  const { block, bytes } = dtypes[dtype];
  return (count / block) * bytes;
}
