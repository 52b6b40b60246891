/**
 * Reads safetensors: eight bytes of header length, a JSON header that gives every tensor's type, shape and place, then
 * the tensors. As in the format's own reader, tensors must fill the rest of the file without gap or overlap.
 * Source: the format's description at github.com/huggingface/safetensors.
 */

import { FileFormatError } from '../errors.ts';
import { byteLengthOf, type WeightType, weightTypeOfSafetensors } from './dtype.ts';
import { isJsonObject, type JsonObject, parseJson } from './json.ts';
import type { MetadataValue, TensorEntry, WeightFile } from './model_file.ts';
import type { ByteSource } from './source.ts';

/** The format's own limit on the header's length, in bytes. */
export const maxSafetensorsHeader = 100_000_000;

/** True when `source` begins as a safetensors file does. */
export function looksLikeSafetensors(source: ByteSource): boolean {
  if (source.size < 10) return false;
  const start = source.bytes(0, 9);
  return start[8] === 0x7b && headerLength(start) <= source.size - 8;
}

function headerLength(start: Uint8Array): number {
  const view = new DataView(start.buffer, start.byteOffset, 8);
  return view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
}

/**
 * Opens a safetensors file; only its header is read.
 * @throws FileFormatError for a damaged file or an element type that is not read.
 */
export function readSafetensors(source: ByteSource): WeightFile {
  const file = source.name;
  if (source.size < 8)
    throw new FileFormatError(file, 'header length', `a safetensors file has at least 8 bytes, not ${source.size}`);
  const length = headerLength(source.bytes(0, 8));
  if (length > maxSafetensorsHeader) {
    throw new FileFormatError(file, 'header length', `${length} bytes; the format allows ${maxSafetensorsHeader}`);
  }
  if (length > source.size - 8) {
    throw new FileFormatError(
      file,
      'header length',
      `${length} bytes, but only ${source.size - 8} follow`,
      'The file is truncated or is not safetensors',
    );
  }
  const header = parseJson(source.bytes(8, length), file, 'header');
  if (!isJsonObject(header)) throw new FileFormatError(file, 'header', 'it is not a JSON object');

  const metadata = readMetadata(header, file);
  const entries: TensorEntry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name !== '__metadata__') entries.push(readEntry(name, value, source, 8 + length));
  }
  checkLayout(entries, source, 8 + length);
  return { format: 'safetensors', name: file, metadata, tensors: new Map(entries.map((entry) => [entry.name, entry])) };
}

function readMetadata(header: JsonObject, file: string): Map<string, MetadataValue> {
  const metadata = new Map<string, MetadataValue>();
  if (!Object.hasOwn(header, '__metadata__')) return metadata;
  const members = header.__metadata__;
  if (!isJsonObject(members)) throw new FileFormatError(file, '__metadata__', 'it is not a JSON object');
  for (const [key, value] of Object.entries(members)) {
    if (typeof value !== 'string') throw new FileFormatError(file, `__metadata__.${clip(key)}`, 'it is not a string');
    metadata.set(key, value);
  }
  return metadata;
}

function readEntry(name: string, value: unknown, source: ByteSource, dataStart: number): TensorEntry {
  const file = source.name;
  const where = `tensor "${clip(name)}"`;
  if (!isJsonObject(value)) throw new FileFormatError(file, where, 'its header entry is not a JSON object');
  const type = readType(value.dtype, file, where);
  const shape = readCounts(value.shape, file, `${where}.shape`, 64);
  const range = readCounts(value.data_offsets, file, `${where}.data_offsets`, 2);
  const [begin, end] = range;
  if (range.length !== 2 || begin > end || end > source.size - dataStart) {
    throw new FileFormatError(
      file,
      `${where}.data_offsets`,
      `[${range.join(', ')}] is not a range within the ${source.size - dataStart} bytes of data`,
      'The file is truncated or damaged; fetch it again',
    );
  }
  const byteLength = byteLengthOf(type, shape, file, where);
  if (byteLength !== end - begin) {
    throw new FileFormatError(
      file,
      where,
      `${type.toUpperCase()} [${shape.join(', ')}] takes ${byteLength} bytes, but its data_offsets span ${end - begin}`,
    );
  }
  return { name, type, shape, source, offset: dataStart + begin, byteLength };
}

function readType(value: unknown, file: string, where: string): WeightType {
  const type = typeof value === 'string' ? weightTypeOfSafetensors(value) : undefined;
  if (type === undefined) {
    const shown = typeof value === 'string' ? `"${clip(value)}"` : `a ${value === null ? 'null' : typeof value}`;
    throw new FileFormatError(file, `${where}.dtype`, `${shown} is not an element type that is read here`);
  }
  return type;
}

function readCounts(value: unknown, file: string, where: string, most: number): number[] {
  if (!Array.isArray(value) || value.length > most) {
    throw new FileFormatError(file, where, `it is not a list of at most ${most} counts`);
  }
  for (const item of value) {
    if (!Number.isSafeInteger(item) || item < 0) {
      throw new FileFormatError(
        file,
        where,
        `it holds ${typeof item === 'number' ? item : `a ${typeof item}`}, which is not a count`,
      );
    }
  }
  return value.map((item: number) => item + 0);
}

/** Tensors laid end to end from the first byte of data to the last. */
function checkLayout(entries: readonly TensorEntry[], source: ByteSource, dataStart: number): void {
  const sorted = [...entries].sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  let at = dataStart;
  for (const entry of sorted) {
    if (entry.offset !== at) {
      throw new FileFormatError(
        source.name,
        `tensor "${clip(entry.name)}"`,
        entry.offset < at
          ? `its data begin at byte ${entry.offset}, inside the tensor before it, which ends at ${at}`
          : `its data begin at byte ${entry.offset}, but the tensor before it ends at ${at}: the format allows no gaps`,
      );
    }
    at += entry.byteLength;
  }
  if (at !== source.size) {
    throw new FileFormatError(
      source.name,
      `offset ${at}`,
      `${source.size - at} bytes follow the last tensor and belong to none`,
    );
  }
}

/** Names come from the file: a message shows no more than 80 characters of one. */
export function clip(name: string): string {
  return name.length > 80 ? `${name.slice(0, 77)}…` : name;
}

/**
 * Opens a sharded model: an index that maps tensor names to files, and the files.
 * @param index `model.safetensors.index.json` or `pytorch_model.bin.index.json`.
 * @param open answers the source of a shard by its name, which is a plain file name beside the index.
 * @param read reads one shard: `readSafetensors`, or the torch reader.
 * @throws FileFormatError when the index is not sound, or a shard lacks a tensor that the index promises.
 */
export function readSharded(
  index: ByteSource,
  open: (shard: string) => ByteSource,
  read: (source: ByteSource) => WeightFile = readSafetensors,
): WeightFile {
  const file = index.name;
  if (index.size > maxSafetensorsHeader)
    throw new FileFormatError(file, '', `an index of ${index.size} bytes is not believed`);
  const json = parseJson(index.bytes(0, index.size), file, '');
  if (!isJsonObject(json) || !isJsonObject(json.weight_map)) {
    throw new FileFormatError(file, 'weight_map', 'there is no JSON object of this name');
  }
  const shards = new Map<string, WeightFile>();
  const tensors = new Map<string, TensorEntry>();
  const metadata = new Map<string, MetadataValue>();
  for (const [name, shard] of Object.entries(json.weight_map)) {
    if (typeof shard !== 'string' || !isPlainFileName(shard)) {
      throw new FileFormatError(file, `weight_map["${clip(name)}"]`, 'it is not the name of a file beside the index');
    }
    let part = shards.get(shard);
    if (!part) {
      part = read(open(shard));
      shards.set(shard, part);
      for (const [key, value] of part.metadata) metadata.set(key, value);
    }
    const entry = part.tensors.get(name);
    if (!entry) throw new FileFormatError(file, `weight_map["${clip(name)}"]`, `${shard} has no tensor of this name`);
    tensors.set(name, entry);
  }
  const [first] = shards.values();
  return { format: first?.format ?? 'safetensors', name: file, metadata, tensors };
}

/** No path: an index must not reach out of its folder. */
function isPlainFileName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\\\0:]/.test(name);
}
