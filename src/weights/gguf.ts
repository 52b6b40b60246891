/**
 * Reads GGUF, versions 2 and 3: typed metadata, then a directory of tensors, then the tensors, each aligned.
 * Source: docs/gguf.md of the GGML project.
 */

import { FileFormatError } from '../errors.ts';
import { Cursor } from './cursor.ts';
import { byteLengthOf, ggmlTypeName, weightTypeOfGgml } from './dtype.ts';
import { LazyMap, type NumberList, TextList } from './lists.ts';
import type { GgufScalarType, MetadataValue, TensorEntry, WeightFile } from './model_file.ts';
import { clip } from './safetensors.ts';
import type { ByteSource } from './source.ts';

/** "GGUF" read as a little-endian number. */
export const ggufMagic = 0x46554747;

/** Metadata types by their number in the file; 9 is the array. */
export const ggufValueTypes: readonly (GgufScalarType | 'array')[] = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
];

/** Bytes that a value of each type takes at least. */
const leastBytes: Readonly<Record<GgufScalarType | 'array', number>> = {
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
  string: 8,
  array: 12,
};

/** More than any vocabulary known; arrays become JavaScript values, which take many times their bytes in the file. */
const maxElements = 1 << 24;
const maxTensors = 1 << 20;
const maxKeys = 1 << 16;
const maxDepth = 4;
/** From so many elements on a list stays as it lies in the file until it is asked for. */
const longList = 512;

/** True when `source` begins as a GGUF file does, of whatever version or byte order. */
export function looksLikeGguf(source: ByteSource): boolean {
  if (source.size < 8) return false;
  const start = source.bytes(0, 4);
  return start[0] === 0x47 && start[1] === 0x47 && start[2] === 0x55 && start[3] === 0x46;
}

/**
 * Opens a GGUF file; only metadata and directory are read. Shapes come outermost first, the reverse of the file's order.
 * @throws FileFormatError for a damaged file, a big-endian file, a version other than 2 and 3, or an element type that
 *   is not read.
 */
export function readGguf(source: ByteSource): WeightFile {
  if (!looksLikeGguf(source))
    throw new FileFormatError(source.name, 'offset 0', 'a GGUF file begins with the letters GGUF');
  const cursor = new Cursor(source, 4);
  const version = cursor.u32('version');
  if ((version & 0xffff) === 0) {
    throw cursor.error(
      'version',
      'the file is big-endian',
      'Only little-endian GGUF is read; convert it where it was made',
    );
  }
  if (version !== 2 && version !== 3) {
    throw cursor.error(
      'version',
      `GGUF version ${version} is not read`,
      'Versions 2 and 3 are; convert the model again',
    );
  }
  const tensorCount = cursor.count64('tensor count');
  const keyCount = cursor.count64('metadata count');
  if (tensorCount > maxTensors)
    throw cursor.error('tensor count', `${tensorCount} tensors; at most ${maxTensors} are believed`);
  if (keyCount > maxKeys) throw cursor.error('metadata count', `${keyCount} keys; at most ${maxKeys} are believed`);
  cursor.checkCount(keyCount, 8 + 4 + 1, 'metadata count');

  const metadata = new LazyMap<string, MetadataValue>();
  const lists = new Map<string, TextList | NumberList>();
  const metadataTypes = new Map<string, GgufScalarType>();
  const reader = new ValueReader(cursor);
  for (let i = 0; i < keyCount; i++) {
    const key = cursor.text(cursor.count64(`metadata key ${i}`), `metadata key ${i}`);
    const where = `metadata "${clip(key)}"`;
    if (metadata.has(key)) throw cursor.error(where, 'the key occurs twice');
    const type = readType(cursor, where);
    const list = type === 'array' ? reader.readList(where) : undefined;
    if (list === undefined) metadata.set(key, reader.read(type, where, 0));
    else {
      lists.set(key, list);
      metadata.defer(key, () => (list instanceof TextList ? list.toArray() : Array.from(list)));
    }
    metadataTypes.set(key, type === 'array' ? reader.elementType : type);
  }
  const alignment = readAlignment(cursor, metadata);
  const tensors = readDirectory(cursor, tensorCount, alignment);
  return { format: 'gguf', name: source.name, metadata, metadataTypes, lists, tensors };
}

function readType(cursor: Cursor, where: string): GgufScalarType | 'array' {
  const number = cursor.u32(where);
  const type = ggufValueTypes[number];
  if (type === undefined) throw cursor.error(where, `value type ${number} does not exist`);
  return type;
}

/** Reads metadata values, and keeps account of how many there were. */
class ValueReader {
  /** The scalar type at the bottom of the array that was read last. */
  elementType: GgufScalarType = 'uint8';
  private elements = 0;

  constructor(private readonly cursor: Cursor) {}

  read(type: GgufScalarType | 'array', where: string, depth: number): MetadataValue {
    if (type === 'array') return this.readArray(where, depth);
    if (type === 'string') return this.cursor.text(this.cursor.count64(where), where);
    return this.readNumbers(type, 1, where)[0];
  }

  /** The array that begins here as it lies in the file, when it is long and of a kind that can stay so; else nothing is read. */
  readList(where: string): TextList | NumberList | undefined {
    const { cursor } = this;
    const start = cursor.offset;
    const type = readType(cursor, where);
    const count = cursor.count64(where);
    const Numbers = type === 'array' ? undefined : numberLists[type];
    if (count < longList || (type !== 'string' && Numbers === undefined)) {
      cursor.offset = start;
      return undefined;
    }
    this.count(count, type, where);
    this.elementType = type as GgufScalarType;
    if (Numbers === undefined) return cursor.texts(count, where);
    // Copied: elements need not be aligned in the file.
    return new Numbers(new Uint8Array(cursor.bytes(count * leastBytes[type], where)).buffer);
  }

  private count(count: number, type: GgufScalarType | 'array', where: string): void {
    const { cursor } = this;
    cursor.checkCount(count, leastBytes[type], where);
    this.elements += count;
    if (this.elements > maxElements)
      throw cursor.error(where, `metadata of more than ${maxElements} array elements is not believed`);
  }

  private readArray(where: string, depth: number): MetadataValue {
    const { cursor } = this;
    if (depth >= maxDepth) throw cursor.error(where, `arrays are nested more than ${maxDepth} deep`);
    const type = readType(cursor, where);
    const count = cursor.count64(where);
    this.count(count, type, where);
    if (type !== 'array' && type !== 'string') {
      this.elementType = type;
      return this.readNumbers(type, count, where);
    }
    if (type === 'string') this.elementType = type;
    const values: MetadataValue[] = [];
    for (let i = 0; i < count; i++) values.push(this.read(type, where, depth + 1));
    return values;
  }

  private readNumbers(type: Exclude<GgufScalarType, 'string'>, count: number, where: string): MetadataValue[] {
    const size = leastBytes[type];
    const start = this.cursor.offset;
    const bytes = this.cursor.bytes(count * size, where);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const values: MetadataValue[] = new Array(count);
    for (let i = 0, at = 0; i < count; i++, at += size) {
      const value = scalarReaders[type](view, at);
      if (value === undefined)
        throw this.cursor.error(where, `byte ${view.getUint8(at)} at offset ${start + at} is not a bool`);
      values[i] = value;
    }
    return values;
  }
}

/** Little-endian, as the weights are used. */
const numberLists: { readonly [T in GgufScalarType]?: new (buffer: ArrayBuffer) => NumberList } = {
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  int32: Int32Array,
  float32: Float32Array,
  float64: Float64Array,
};

const scalarReaders: {
  readonly [T in Exclude<GgufScalarType, 'string'>]: (view: DataView, at: number) => MetadataValue | undefined;
} = {
  uint8: (view, at) => view.getUint8(at),
  int8: (view, at) => view.getInt8(at),
  uint16: (view, at) => view.getUint16(at, true),
  int16: (view, at) => view.getInt16(at, true),
  uint32: (view, at) => view.getUint32(at, true),
  int32: (view, at) => view.getInt32(at, true),
  float32: (view, at) => view.getFloat32(at, true),
  bool: (view, at) => (view.getUint8(at) > 1 ? undefined : view.getUint8(at) === 1),
  uint64: (view, at) => plain(view.getBigUint64(at, true)),
  int64: (view, at) => plain(view.getBigInt64(at, true)),
  float64: (view, at) => view.getFloat64(at, true),
};

/** A number where it is exact, else the bigint. */
function plain(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function readAlignment(cursor: Cursor, metadata: ReadonlyMap<string, MetadataValue>): number {
  const alignment = metadata.get('general.alignment') ?? 32;
  const sound = typeof alignment === 'number' && Number.isInteger(alignment) && alignment > 0 && alignment <= 1 << 30;
  if (!sound || (alignment & (alignment - 1)) !== 0) {
    throw cursor.error(
      'general.alignment',
      `it must be a power of two, not ${typeof alignment === 'number' ? alignment : typeof alignment}`,
    );
  }
  return alignment;
}

interface Directory {
  readonly name: string;
  readonly shape: number[];
  readonly typeId: number;
  readonly offset: number;
}

function readDirectory(cursor: Cursor, count: number, alignment: number): Map<string, TensorEntry> {
  cursor.checkCount(count, 8 + 4 + 4 + 8, 'tensor count');
  const directory: Directory[] = [];
  for (let i = 0; i < count; i++) {
    const name = cursor.text(cursor.count64(`tensor ${i}`), `tensor ${i}`);
    const where = `tensor "${clip(name)}"`;
    const dimensions = cursor.u32(where);
    if (dimensions > 4) throw cursor.error(where, `${dimensions} dimensions; GGUF allows 4`);
    const shape: number[] = [];
    for (let d = 0; d < dimensions; d++) shape.unshift(cursor.count64(where));
    directory.push({ name, shape, typeId: cursor.u32(where), offset: cursor.count64(where) });
  }
  const { source } = cursor;
  const dataStart = Math.ceil(cursor.offset / alignment) * alignment;
  const tensors = new Map<string, TensorEntry>();
  for (const { name, shape, typeId, offset } of directory) {
    const where = `tensor "${clip(name)}"`;
    if (tensors.has(name)) throw cursor.error(where, 'the name occurs twice');
    const type = weightTypeOfGgml(typeId);
    if (type === undefined) throw cursor.error(where, `element type ${ggmlTypeName(typeId)} is not read here`);
    const byteLength = byteLengthOf(type, shape, source.name, where);
    if (offset % alignment !== 0)
      throw cursor.error(where, `its offset ${offset} is not a multiple of the alignment ${alignment}`);
    if (offset > source.size || byteLength > source.size - dataStart - offset) {
      throw cursor.error(
        where,
        `its ${byteLength} bytes at ${dataStart + offset} end after the file, which has ${source.size}`,
        'The file is truncated or damaged; fetch it again',
      );
    }
    tensors.set(name, { name, type, shape, source, offset: dataStart + offset, byteLength });
  }
  checkOverlap(tensors, cursor);
  return tensors;
}

function checkOverlap(tensors: ReadonlyMap<string, TensorEntry>, cursor: Cursor): void {
  const sorted = [...tensors.values()].sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  let end = 0;
  for (const entry of sorted) {
    if (entry.offset < end) {
      throw cursor.error(
        `tensor "${clip(entry.name)}"`,
        `its data begin at ${entry.offset}, inside the tensor before it, which ends at ${end}`,
      );
    }
    end = entry.offset + entry.byteLength;
  }
}
