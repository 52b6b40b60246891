/**
 * Numbers for op cases. Every number is a pure function of (seed, index): cases are the same on every machine and in every run, and a
 * batch of one row holds the same numbers as that row of a batch of sixty-four.
 */
import { byteLength, type DType, dtypes } from '../src/tensor/dtype.ts';
import { sizeOf } from '../src/tensor/shape.ts';
import { f32ToF16, fromFloat32, isEncodable, toFloat32 } from '../src/weights/quants/index.ts';

/** 32 random bits of element `i` of stream `seed`: two rounds of a 32-bit integer hash with good avalanche. */
export function hash(seed: number, i: number): number {
  let x = (Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(i + 0x7f4a7c15, 0x85ebca77)) >>> 0;
  for (let round = 0; round < 2; round++) {
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    x ^= x >>> 16;
  }
  return x >>> 0;
}

/** A uniform number in (0, 1). */
export function uniformAt(seed: number, i: number): number {
  return (hash(seed, i) + 0.5) / 2 ** 32;
}

/** Element `i` of a tensor of `shape`, from a source of uniform numbers of its own. */
export type Fill = (i: number, uniform: (stream: number) => number, shape: readonly number[]) => number;

export const normal: Fill = (_i, u) => Math.sqrt(-2 * Math.log(u(0))) * Math.cos(2 * Math.PI * u(1));

export const scaled =
  (scale: number, shift = 0): Fill =>
  (i, u, shape) =>
    normal(i, u, shape) * scale + shift;

export const between =
  (low: number, high: number): Fill =>
  (_i, u) =>
    low + (high - low) * u(0);

/** Normal numbers, none nearer than `gap` to one of `points`: for functions with kinks. */
export const avoiding =
  (points: readonly number[], gap = 0.05): Fill =>
  (i, u, shape) => {
    for (let attempt = 0; ; attempt += 2) {
      const x = normal(i, (stream) => u(stream + attempt), shape);
      if (points.every((point) => Math.abs(x - point) > gap)) return x;
    }
  };

/** Of either sign and a size between `low` and `high`. */
export const signed =
  (low: number, high: number): Fill =>
  (_i, u) =>
    (u(1) < 0.5 ? -1 : 1) * (low + (high - low) * u(0));

/** Integers 0 … n-1. */
export const below =
  (n: number): Fill =>
  (_i, u) =>
    Math.floor(u(0) * n);

/** These numbers, again and again. */
export const list =
  (...values: readonly number[]): Fill =>
  (i) =>
    values[i % values.length];

export const bit: Fill = (_i, u) => (u(0) < 0.5 ? 0 : 1);

/** Rows of `shape` hold different integers out of 0 … n-1. */
export const distinct =
  (n: number): Fill =>
  (i, _u, shape) => {
    const width = shape[shape.length - 1];
    return shuffled(n, 977 + Math.floor(i / width))[i % width];
  };

/** The integers 0 … n-1 in a random order. */
export function shuffled(n: number, seed: number): number[] {
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = hash(seed, i) % (i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

export type Numbers = Float32Array | Int32Array;

/** The numbers of a tensor, as its dtype holds them, and the bytes that say so (absent for `q8a`, which no caller makes). */
export interface Data {
  readonly numbers: Numbers;
  readonly bytes: Uint8Array;
}

export function dataOf(dtype: DType, shape: readonly number[], fill: Fill, seed: number): Data {
  const size = sizeOf(shape);
  const values = Float64Array.from({ length: size }, (_, i) =>
    fill(i, (stream) => uniformAt(seed * 31 + stream, i), shape),
  );
  if (dtype === 'i32') {
    const numbers = Int32Array.from(values);
    return { numbers, bytes: bytesOf(numbers) };
  }
  if (dtype === 'f32') {
    const numbers = Float32Array.from(values);
    return { numbers, bytes: bytesOf(numbers) };
  }
  if (dtype === 'q8a') throw new RangeError('q8a is made by quantize8, not given');
  const bytes = isEncodable(dtype) ? fromFloat32(dtype, Float32Array.from(values)) : randomBlocks(dtype, size, seed);
  return { numbers: toFloat32(dtype, bytes, size), bytes };
}

export function bytesOf(numbers: Numbers): Uint8Array {
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}

/** Where a block keeps its binary16 scales (all other bytes may be anything), and the largest multiple of them that an element can be. */
const scales: Partial<Record<DType, { readonly at: readonly number[]; readonly reach: number }>> = {
  q2_k: { at: [80, 82], reach: 45 },
  q3_k: { at: [108], reach: 128 },
  q4_k: { at: [0, 2], reach: 945 },
  q5_k: { at: [0, 2], reach: 1953 },
  q6_k: { at: [208], reach: 4096 },
  iq4_nl: { at: [0], reach: 127 },
  iq4_xs: { at: [0], reach: 4064 },
};

/** Blocks of random bits under scales that bring the numbers near 1. */
function randomBlocks(dtype: DType, size: number, seed: number): Uint8Array {
  const { block, bytes } = dtypes[dtype];
  const { at, reach } = scales[dtype]!;
  const blocks = Uint8Array.from({ length: byteLength(dtype, size) }, (_, i) => hash(seed, i));
  for (let start = 0; start < (size / block) * bytes; start += bytes) {
    for (const scale of at) {
      const half = f32ToF16(signed(0.5, 2)(0, (stream) => uniformAt(seed * 31 + stream, start + scale), []) / reach);
      blocks[start + scale] = half & 255;
      blocks[start + scale + 1] = half >> 8;
    }
  }
  return blocks;
}
