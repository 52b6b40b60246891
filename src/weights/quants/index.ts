/** Between stored elements and float32, for every element type of a weight file. */

import { FileFormatError } from '../../errors.ts';
import { type WeightType, weightTypeInfo } from '../dtype.ts';
import {
  type BlockEncoder,
  encodeMxfp4,
  encodeQ4_0,
  encodeQ4_1,
  encodeQ5_0,
  encodeQ5_1,
  encodeQ8_0,
  encodeTq1_0,
  encodeTq2_0,
} from './encode.ts';
import { f8E4m3Values, f8E5m2Values, f16Values, f32ToBf16, f32ToF16 } from './float16.ts';
import { decodeIq4Xs, decodeQ2K, decodeQ3K, decodeQ4K, decodeQ5K, decodeQ6K, decodeQ8K } from './k_blocks.ts';
import {
  type BlockDecoder,
  decodeIq4Nl,
  decodeMxfp4,
  decodeNvfp4,
  decodeQ4_0,
  decodeQ4_1,
  decodeQ5_0,
  decodeQ5_1,
  decodeQ8_0,
} from './small_blocks.ts';
import { decodeTq1_0, decodeTq2_0 } from './ternary_blocks.ts';

export { f16ToF32, f16Values, f32ToBf16, f32ToF16 } from './float16.ts';

/** Little-endian, as every weight file is; `bytes` may lie at any alignment. */
function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The bytes as 16-bit words: in place where they are aligned. */
function words(bytes: Uint8Array, count: number): Uint16Array {
  if (bytes.byteOffset % 2 === 0) return new Uint16Array(bytes.buffer, bytes.byteOffset, count);
  return new Uint16Array(bytes.slice(0, count * 2).buffer);
}

function decodeTable(table: Float32Array): BlockDecoder {
  return (bytes, out, count) => {
    for (let i = 0; i < count; i++) out[i] = table[bytes[i]];
  };
}

/** Rows of integers: what numbers they are, exact where float32 can hold them and else the nearest. */
function decodeNumbers(size: number, read: (from: DataView, at: number) => number): BlockDecoder {
  return (bytes, out, count) => {
    const from = view(bytes);
    for (let i = 0; i < count; i++) out[i] = read(from, i * size);
  };
}

const decoders: { readonly [T in WeightType]: BlockDecoder } = {
  f64: decodeNumbers(8, (from, at) => from.getFloat64(at, true)),
  f32: (bytes, out, count) => {
    new Uint8Array(out.buffer, out.byteOffset, count * 4).set(bytes.subarray(0, count * 4));
  },
  f16: (bytes, out, count) => {
    const from = words(bytes, count);
    const half = f16Values();
    for (let i = 0; i < count; i++) out[i] = half[from[i]];
  },
  bf16: (bytes, out, count) => {
    const from = words(bytes, count);
    const bits = new Uint32Array(out.buffer, out.byteOffset, count);
    for (let i = 0; i < count; i++) bits[i] = from[i] << 16;
  },
  f8_e4m3: (bytes, out, count) => decodeTable(f8E4m3Values())(bytes, out, count),
  f8_e5m2: (bytes, out, count) => decodeTable(f8E5m2Values())(bytes, out, count),
  i8: decodeNumbers(1, (from, at) => from.getInt8(at)),
  i16: decodeNumbers(2, (from, at) => from.getInt16(at, true)),
  i32: decodeNumbers(4, (from, at) => from.getInt32(at, true)),
  i64: decodeNumbers(8, (from, at) => Number(from.getBigInt64(at, true))),
  u8: decodeNumbers(1, (from, at) => from.getUint8(at)),
  u16: decodeNumbers(2, (from, at) => from.getUint16(at, true)),
  u32: decodeNumbers(4, (from, at) => from.getUint32(at, true)),
  u64: decodeNumbers(8, (from, at) => Number(from.getBigUint64(at, true))),
  bool: decodeNumbers(1, (from, at) => (from.getUint8(at) === 0 ? 0 : 1)),
  q4_0: decodeQ4_0,
  q4_1: decodeQ4_1,
  q5_0: decodeQ5_0,
  q5_1: decodeQ5_1,
  q8_0: decodeQ8_0,
  q2_k: decodeQ2K,
  q3_k: decodeQ3K,
  q4_k: decodeQ4K,
  q5_k: decodeQ5K,
  q6_k: decodeQ6K,
  q8_k: decodeQ8K,
  iq4_nl: decodeIq4Nl,
  iq4_xs: decodeIq4Xs,
  tq1_0: decodeTq1_0,
  tq2_0: decodeTq2_0,
  mxfp4: decodeMxfp4,
  nvfp4: decodeNvfp4,
};

/**
 * The float32 values of `count` elements stored as `type` in `bytes`. Exact for every float and block type; 64-bit
 * integers and floats round to the nearest float32.
 * @param out where to put them; a new array when absent.
 * @throws FileFormatError when `count` is not whole blocks or `bytes` holds fewer.
 */
export function toFloat32(
  type: WeightType,
  bytes: Uint8Array,
  count: number,
  out = new Float32Array(count),
): Float32Array {
  const { blockSize, blockBytes } = weightTypeInfo(type);
  const blocks = count / blockSize;
  if (!Number.isInteger(blocks) || bytes.byteLength < blocks * blockBytes || out.length < count) {
    throw new FileFormatError(
      'weights',
      type,
      `${count} elements do not fit: blocks of ${blockSize} take ${blockBytes} bytes and ${bytes.byteLength} are there`,
    );
  }
  decoders[type](bytes, out, blocks);
  return out;
}

const blockEncoders = {
  q8_0: encodeQ8_0,
  q4_0: encodeQ4_0,
  q4_1: encodeQ4_1,
  q5_0: encodeQ5_0,
  q5_1: encodeQ5_1,
  mxfp4: encodeMxfp4,
  tq1_0: encodeTq1_0,
  tq2_0: encodeTq2_0,
} as const satisfies Partial<Record<WeightType, BlockEncoder>>;

/** The types that float32 values can be stored as. */
export type EncodableType = 'f32' | 'f16' | 'bf16' | keyof typeof blockEncoders;

/** True when `fromFloat32` can write `type`. */
export function isEncodable(type: WeightType): type is EncodableType {
  return type === 'f32' || type === 'f16' || type === 'bf16' || type in blockEncoders;
}

/**
 * `values` stored as `type`: rounded to nearest even for f16 and bf16, by GGML's reference quantisers for blocks.
 * @param values whole blocks of them.
 * @param file named in errors, with `where`: the tensor.
 * @throws FileFormatError when a value is not a finite number and `type` has blocks, or when a finite value is beyond
 *   the range of f16 (also as a block's scale): it would silently become infinite.
 */
export function fromFloat32(
  type: EncodableType,
  values: Float32Array,
  file = 'weights',
  where = type as string,
): Uint8Array {
  const { blockSize, blockBytes } = weightTypeInfo(type);
  const blocks = values.length / blockSize;
  if (!Number.isInteger(blocks)) {
    throw new FileFormatError(file, where, `${values.length} elements do not divide into blocks of ${blockSize}`);
  }
  if (type === 'f32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
  if (type === 'f16' || type === 'bf16') {
    const out = new Uint16Array(values.length);
    const convert = type === 'f16' ? f32ToF16 : f32ToBf16;
    const infinite = type === 'f16' ? 0x7c00 : 0x7f80;
    for (let i = 0; i < out.length; i++) {
      const pattern = convert(values[i]);
      if ((pattern & 0x7fff) === infinite && Number.isFinite(values[i])) throw tooLarge(type, values[i], file, where);
      out[i] = pattern;
    }
    return new Uint8Array(out.buffer);
  }
  checkScalable(type, values, file, where);
  const out = new Uint8Array(blocks * blockBytes);
  blockEncoders[type](values, out, blocks);
  return out;
}

/** The largest magnitude of which the binary16 scale of a block stays finite, as a multiple of the scale. */
const reach = { q8_0: 127, q4_0: 8, q4_1: 1, q5_0: 16, q5_1: 1, mxfp4: Number.POSITIVE_INFINITY, tq1_0: 1, tq2_0: 1 };

function checkScalable(type: keyof typeof blockEncoders, values: Float32Array, file: string, where: string): void {
  const most = 65504 * reach[type];
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (!(Math.abs(value) <= most) || Math.abs(value) === Number.POSITIVE_INFINITY) {
      if (Number.isFinite(value)) throw tooLarge(type, value, file, where);
      throw new FileFormatError(
        file,
        where,
        `element ${i} is ${value}, which ${type.toUpperCase()} blocks cannot hold`,
        'Keep this tensor as f32',
      );
    }
  }
}

function tooLarge(type: string, value: number, file: string, where: string): FileFormatError {
  return new FileFormatError(
    file,
    where,
    `the value ${value} is beyond the range of ${type.toUpperCase()}`,
    'Choose bf16 or f32',
  );
}
