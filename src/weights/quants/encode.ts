/**
 * Encoders of block types: the same blocks, bit for bit, as the reference quantisers of GGML's own Python package
 * (no importance weights, no search). Every intermediate is rounded to float32 where that reference does.
 */

import { f32ToF16 } from './float16.ts';
import { e8m0Half, fp4Levels } from './small_blocks.ts';
import { tq1Runs } from './ternary_blocks.ts';

/** Encodes `blocks` whole blocks of finite `values` into `out`. */
export type BlockEncoder = (values: Float32Array, out: Uint8Array, blocks: number) => void;

const fround = Math.fround;

function putHalf(out: Uint8Array, at: number, value: number): void {
  const half = f32ToF16(value);
  out[at] = half & 255;
  out[at + 1] = half >> 8;
}

/** Half away from zero, unlike `Math.round`. */
function roundAway(value: number): number {
  const size = Math.abs(value);
  const floor = Math.floor(size);
  const rounded = floor + Math.floor(2 * (size - floor));
  return value < 0 ? -rounded : rounded;
}

/** The largest size among `count` values from `from`. */
function largest(values: Float32Array, from: number, count: number): number {
  let most = 0;
  for (let i = from; i < from + count; i++) {
    const size = Math.abs(values[i]);
    if (size > most) most = size;
  }
  return most;
}

/** The first value of the largest size, with its sign: the one that symmetric 4 and 5 bit blocks represent exactly. */
function extreme(values: Float32Array, from: number): number {
  let most = 0;
  let found = 0;
  for (let i = from; i < from + 32; i++) {
    const size = Math.abs(values[i]);
    if (size > most) {
      most = size;
      found = values[i];
    }
  }
  return found;
}

const inverse = (d: number): number => (d === 0 ? 0 : fround(1 / d));

export const encodeQ8_0: BlockEncoder = (values, out, blocks) => {
  for (let block = 0, at = 0, from = 0; block < blocks; block++, at += 34, from += 32) {
    const d = fround(largest(values, from, 32) / 127);
    const id = inverse(d);
    putHalf(out, at, d);
    for (let i = 0; i < 32; i++) out[at + 2 + i] = roundAway(fround(values[from + i] * id));
  }
};

const quants = new Uint8Array(32);

/** Writes 32 nibbles of `quants` as 16 bytes. */
function putNibbles(out: Uint8Array, at: number): void {
  for (let i = 0; i < 16; i++) out[at + i] = (quants[i] & 15) | ((quants[i + 16] & 15) << 4);
}

/** Writes the fifth bits of `quants` as 4 bytes. */
function putFifthBits(out: Uint8Array, at: number): void {
  for (let byte = 0; byte < 4; byte++) {
    let bits = 0;
    for (let i = 0; i < 8; i++) bits |= (quants[byte * 8 + i] >> 4) << i;
    out[at + byte] = bits;
  }
}

/** Fills `quants` by a symmetric scale around `middle` levels, and answers the scale. */
function symmetric(values: Float32Array, from: number, middle: number): number {
  const d = fround(extreme(values, from) / -middle);
  const id = inverse(d);
  const top = middle * 2 - 1;
  for (let i = 0; i < 32; i++) {
    quants[i] = Math.min(top, Math.trunc(fround(fround(values[from + i] * id) + middle + 0.5)));
  }
  return d;
}

/** Fills `quants` by a scale from the least value up to `top` levels; answers [scale, least]. */
function fromLeast(values: Float32Array, from: number, top: number): readonly [number, number] {
  let least = values[from];
  let most = values[from];
  for (let i = from + 1; i < from + 32; i++) {
    if (values[i] < least) least = values[i];
    if (values[i] > most) most = values[i];
  }
  const d = fround(fround(most - least) / top);
  const id = inverse(d);
  for (let i = 0; i < 32; i++) {
    const scaled = fround(fround(values[from + i] - least) * id);
    quants[i] = Math.min(top, Math.trunc(fround(scaled + 0.5)));
  }
  return [d, least];
}

export const encodeQ4_0: BlockEncoder = (values, out, blocks) => {
  for (let block = 0, at = 0, from = 0; block < blocks; block++, at += 18, from += 32) {
    putHalf(out, at, symmetric(values, from, 8));
    putNibbles(out, at + 2);
  }
};

export const encodeQ4_1: BlockEncoder = (values, out, blocks) => {
  for (let block = 0, at = 0, from = 0; block < blocks; block++, at += 20, from += 32) {
    const [d, least] = fromLeast(values, from, 15);
    putHalf(out, at, d);
    putHalf(out, at + 2, least);
    putNibbles(out, at + 4);
  }
};

export const encodeQ5_0: BlockEncoder = (values, out, blocks) => {
  for (let block = 0, at = 0, from = 0; block < blocks; block++, at += 22, from += 32) {
    putHalf(out, at, symmetric(values, from, 16));
    putFifthBits(out, at + 2);
    putNibbles(out, at + 6);
  }
};

export const encodeQ5_1: BlockEncoder = (values, out, blocks) => {
  for (let block = 0, at = 0, from = 0; block < blocks; block++, at += 24, from += 32) {
    const [d, least] = fromLeast(values, from, 31);
    putHalf(out, at, d);
    putHalf(out, at + 2, least);
    putFifthBits(out, at + 4);
    putNibbles(out, at + 8);
  }
};

export const encodeMxfp4: BlockEncoder = (values, out, blocks) => {
  for (let block = 0, at = 0, from = 0; block < blocks; block++, at += 17, from += 32) {
    const most = largest(values, from, 32);
    const pattern = most > 0 ? Math.max(0, Math.floor(fround(Math.log2(most))) + 125) : 0;
    const d = e8m0Half(pattern);
    out[at] = pattern;
    for (let i = 0; i < 32; i++) {
      let best = 0;
      let least = Number.POSITIVE_INFINITY;
      for (let level = 0; level < 16; level++) {
        const error = Math.abs(fround(d * fp4Levels[level] - values[from + i]));
        if (error < least) {
          least = error;
          best = level;
        }
      }
      quants[i] = best;
    }
    putNibbles(out, at + 1);
  }
};

/** Digits 0, 1, 2 of a block of 256 into `digits`; answers the scale. */
function ternary(values: Float32Array, from: number, digits: Uint8Array): number {
  const d = largest(values, from, 256);
  const id = inverse(d);
  for (let i = 0; i < 256; i++) digits[i] = roundAway(fround(values[from + i] * id)) + 1;
  return d;
}

const digits = new Uint8Array(256);

export const encodeTq1_0: BlockEncoder = (values, out, blocks) => {
  for (let block = 0, at = 0, from = 0; block < blocks; block++, at += 54, from += 256) {
    putHalf(out, at + 52, ternary(values, from, digits));
    let digit = 0;
    for (const run of tq1Runs) {
      for (let i = 0; i < run.width; i++) {
        let sum = 0;
        for (let n = 0, power = 81; n < run.digits; n++, power /= 3) sum += digits[digit + n * run.width + i] * power;
        // Rounding the fraction up makes every later digit come out of the carry exactly.
        out[at + run.from + i] = Math.floor((sum * 256 + 242) / 243);
      }
      digit += run.width * run.digits;
    }
  }
};

export const encodeTq2_0: BlockEncoder = (values, out, blocks) => {
  for (let block = 0, at = 0, from = 0; block < blocks; block++, at += 66, from += 256) {
    putHalf(out, at + 64, ternary(values, from, digits));
    for (let i = 0; i < 64; i++) {
      const first = (i >> 5) * 128 + (i & 31);
      out[at + i] = digits[first] | (digits[first + 32] << 2) | (digits[first + 64] << 4) | (digits[first + 96] << 6);
    }
  }
};
