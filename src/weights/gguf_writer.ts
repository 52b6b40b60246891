/** Writes GGUF version 3: metadata, directory, then tensor after tensor, so that no more than one piece is held. */

import { SettingError } from '../errors.ts';
import { byteLengthOf, weightTypeInfo } from './dtype.ts';
import { ggufMagic, ggufValueTypes } from './gguf.ts';
import type { GgufScalarType, MetadataValue } from './model_file.ts';
import { type TensorToWrite, writeData } from './safetensors_writer.ts';
import type { ByteSink } from './source.ts';

/** A metadata value with the width it is stored at; for an array (also a nested one), that of its elements. */
export interface GgufMetadata {
  readonly type: GgufScalarType;
  readonly value: MetadataValue;
}

/** Collects little-endian values. */
class Builder {
  private bytes = new Uint8Array(1 << 16);
  private view = new DataView(this.bytes.buffer);
  length = 0;

  /** Makes room for `count` bytes and answers where they begin. */
  private grow(count: number): number {
    const at = this.length;
    this.length += count;
    if (this.length > this.bytes.length) {
      const larger = new Uint8Array(Math.max(this.length, this.bytes.length * 2));
      larger.set(this.bytes);
      this.bytes = larger;
      this.view = new DataView(larger.buffer);
    }
    return at;
  }

  u32(value: number): void {
    const at = this.grow(4);
    this.view.setUint32(at, value, true);
  }

  u64(value: number): void {
    const at = this.grow(8);
    this.view.setBigUint64(at, BigInt(value), true);
  }

  text(value: string): void {
    const encoded = new TextEncoder().encode(value);
    this.u64(encoded.length);
    const at = this.grow(encoded.length);
    this.bytes.set(encoded, at);
  }

  scalar(type: Exclude<GgufScalarType, 'string'>, value: number | bigint | boolean): void {
    const at = this.grow(
      {
        uint8: 1,
        int8: 1,
        bool: 1,
        uint16: 2,
        int16: 2,
        uint32: 4,
        int32: 4,
        float32: 4,
        uint64: 8,
        int64: 8,
        float64: 8,
      }[type],
    );
    const number = Number(value);
    const { view } = this;
    if (type === 'uint8' || type === 'bool') view.setUint8(at, number);
    else if (type === 'int8') view.setInt8(at, number);
    else if (type === 'uint16') view.setUint16(at, number, true);
    else if (type === 'int16') view.setInt16(at, number, true);
    else if (type === 'uint32') view.setUint32(at, number, true);
    else if (type === 'int32') view.setInt32(at, number, true);
    else if (type === 'float32') view.setFloat32(at, number, true);
    else if (type === 'float64') view.setFloat64(at, number, true);
    else if (type === 'uint64') view.setBigUint64(at, BigInt(value), true);
    else view.setBigInt64(at, BigInt(value), true);
  }

  /** Zeros up to a multiple of `alignment`. */
  pad(alignment: number): void {
    this.grow(padding(this.length, alignment));
  }

  finished(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}

function padding(length: number, alignment: number): number {
  return (alignment - (length % alignment)) % alignment;
}

const ranges: Partial<Record<GgufScalarType, readonly [number, number]>> = {
  uint8: [0, 0xff],
  int8: [-0x80, 0x7f],
  uint16: [0, 0xffff],
  int16: [-0x8000, 0x7fff],
  uint32: [0, 0xffffffff],
  int32: [-0x80000000, 0x7fffffff],
  uint64: [0, 2 ** 64],
  int64: [-(2 ** 63), 2 ** 63],
};

function putValue(out: Builder, key: string, type: GgufScalarType, value: MetadataValue): void {
  if (Array.isArray(value)) {
    const nested = Array.isArray(value[0]);
    out.u32(nested ? 9 : ggufValueTypes.indexOf(type));
    out.u64(value.length);
    for (const item of value) {
      if (Array.isArray(item) !== nested)
        throw new SettingError(`metadata ${key}`, value, 'an array holds arrays or scalars, not both');
      putValue(out, key, type, item);
    }
    return;
  }
  const kind = type === 'string' ? 'string' : type === 'bool' ? 'boolean' : 'number';
  const given = typeof value === 'bigint' ? 'number' : typeof value;
  const range = ranges[type];
  if (given !== kind) throw new SettingError(`metadata ${key}`, value, `it is not a ${type}`);
  if (range && (!Number.isInteger(Number(value)) || Number(value) < range[0] || Number(value) > range[1])) {
    throw new SettingError(`metadata ${key}`, value, `it does not fit a ${type}`);
  }
  if (typeof value === 'string') out.text(value);
  else out.scalar(type as Exclude<GgufScalarType, 'string'>, value);
}

/**
 * Writes a GGUF file of `tensors`, in their order.
 * @param metadata as typed values; `general.alignment` is honoured (32 when absent).
 * @throws SettingError for a value that its type cannot hold, a name that occurs twice or is longer than GGUF's 64
 *   bytes, more than 4 dimensions, or an element type that GGUF does not have.
 * @throws FileFormatError when a tensor's data are not as long as its shape says.
 */
export function writeGguf(
  sink: ByteSink,
  metadata: ReadonlyMap<string, GgufMetadata>,
  tensors: readonly TensorToWrite[],
  onTensor: (name: string) => void = () => {},
): void {
  const alignment = Number(metadata.get('general.alignment')?.value ?? 32);
  if (!(alignment > 0) || !Number.isInteger(Math.log2(alignment))) {
    throw new SettingError('general.alignment', alignment, 'it must be a power of two');
  }
  const out = new Builder();
  out.u32(ggufMagic);
  out.u32(3);
  out.u64(tensors.length);
  out.u64(metadata.size);
  for (const [key, { type, value }] of metadata) {
    out.text(key);
    out.u32(Array.isArray(value) ? 9 : ggufValueTypes.indexOf(type));
    putValue(out, key, type, value);
  }
  const names = new Set<string>();
  const lengths: number[] = [];
  let offset = 0;
  for (const { name, type, shape } of tensors) {
    checkTensor(name, shape, names);
    const ggml = weightTypeInfo(type).ggml;
    if (ggml === undefined) throw new SettingError('type', type, `GGUF has no such element type (tensor "${name}")`);
    const byteLength = byteLengthOf(type, shape, 'gguf', `tensor "${name}"`);
    out.text(name);
    out.u32(shape.length);
    for (const dimension of [...shape].reverse()) out.u64(dimension);
    out.u32(ggml);
    out.u64(offset);
    lengths.push(byteLength);
    offset += byteLength + padding(byteLength, alignment);
  }
  out.pad(alignment);
  sink.write(out.finished());
  for (const [i, tensor] of tensors.entries()) {
    onTensor(tensor.name);
    writeData(sink, tensor, lengths[i]);
    sink.write(new Uint8Array(padding(lengths[i], alignment)));
  }
}

function checkTensor(name: string, shape: readonly number[], names: Set<string>): void {
  if (names.has(name)) throw new SettingError('tensors', name, 'this name cannot be written twice');
  names.add(name);
  const length = new TextEncoder().encode(name).length;
  if (length > 63) throw new SettingError('tensors', name, `its name takes ${length} bytes; readers of GGUF allow 63`);
  if (shape.length > 4) throw new SettingError('tensors', name, `it has ${shape.length} dimensions; GGUF allows 4`);
}
