/**
 * The directory of a zip archive whose records are stored as they are, zip64 included: what torch.save writes.
 * Source: APPNOTE.TXT 6.3.10 (PKWARE).
 */

import { FileFormatError } from '../errors.ts';
import { Cursor } from './cursor.ts';
import { clip } from './safetensors.ts';
import type { ByteSource } from './source.ts';

/** Where a record's bytes lie. */
export interface ZipRecord {
  readonly name: string;
  /** Of the first byte of content, from the start of the archive. */
  readonly offset: number;
  readonly size: number;
}

const endSize = 22;
const maxRecords = 1 << 20;

interface DirectoryPlace {
  readonly count: number;
  readonly size: number;
  readonly offset: number;
}

/**
 * The records of `source`, by name; folders are left out.
 * @throws FileFormatError for a damaged archive, a compressed or encrypted record, an archive in several parts, or a
 *   name that occurs twice.
 */
export function readZipDirectory(source: ByteSource): Map<string, ZipRecord> {
  const place = findDirectory(source);
  const damaged = (problem: string): FileFormatError =>
    new FileFormatError(source.name, 'zip directory', problem, 'The file is truncated or damaged; fetch it again');
  if (place.count > maxRecords) throw damaged(`${place.count} records; at most ${maxRecords} are believed`);
  if (place.offset > source.size || place.size > source.size - place.offset || place.count * 46 > place.size) {
    throw damaged(
      `${place.count} records in ${place.size} bytes at ${place.offset} do not fit the file's ${source.size} bytes`,
    );
  }
  const cursor = new Cursor(source, place.offset);
  const records = new Map<string, ZipRecord>();
  for (let i = 0; i < place.count; i++) {
    const record = readRecord(cursor, i, source);
    if (record.name.endsWith('/')) continue;
    if (records.has(record.name)) throw damaged(`the record "${clip(record.name)}" occurs twice`);
    records.set(record.name, record);
  }
  return records;
}

function u16(view: DataView, at: number): number {
  return view.getUint16(at, true);
}

function u64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The end record stands at the end of the file, before a comment of up to 65,535 bytes. */
function findDirectory(source: ByteSource): DirectoryPlace {
  const tailStart = Math.max(0, source.size - endSize - 0xffff);
  const tail = viewOf(source.bytes(tailStart, source.size - tailStart));
  for (let at = tail.byteLength - endSize; at >= 0; at--) {
    if (tail.getUint32(at, true) !== 0x06054b50 || u16(tail, at + 20) !== tail.byteLength - at - endSize) continue;
    if (u16(tail, at + 4) !== 0 && u16(tail, at + 4) !== 0xffff) {
      throw new FileFormatError(source.name, 'zip end record', 'the archive is one of several parts');
    }
    const count = u16(tail, at + 10);
    const size = tail.getUint32(at + 12, true);
    const offset = tail.getUint32(at + 16, true);
    const wide = count === 0xffff || size === 0xffffffff || offset === 0xffffffff;
    return (wide ? findWideDirectory(source, tailStart + at) : undefined) ?? { count, size, offset };
  }
  throw new FileFormatError(
    source.name,
    'zip end record',
    'there is none, so the archive is truncated or is no zip archive',
    'Fetch the file again',
  );
}

/** The zip64 end record, which a locator before the end record points to. */
function findWideDirectory(source: ByteSource, endAt: number): DirectoryPlace | undefined {
  if (endAt < 20) return undefined;
  const locator = viewOf(source.bytes(endAt - 20, 20));
  if (locator.getUint32(0, true) !== 0x07064b50) return undefined;
  const record = viewOf(source.bytes(u64(locator, 8), 56));
  if (record.getUint32(0, true) !== 0x06064b50) {
    throw new FileFormatError(
      source.name,
      'zip64 end record',
      `it is not at ${u64(locator, 8)}, where its locator says`,
    );
  }
  return { count: u64(record, 32), size: u64(record, 40), offset: u64(record, 48) };
}

function readRecord(cursor: Cursor, index: number, source: ByteSource): ZipRecord {
  const where = `zip record ${index}`;
  const header = viewOf(cursor.bytes(46, where));
  if (header.getUint32(0, true) !== 0x02014b50) throw cursor.error(where, 'its directory entry has no signature');
  const name = cursor.text(u16(header, 28), where);
  const named = `zip record "${clip(name)}"`;
  const extra = viewOf(cursor.bytes(u16(header, 30), named));
  cursor.bytes(u16(header, 32), named);

  let packed = header.getUint32(20, true);
  let size = header.getUint32(24, true);
  let local = header.getUint32(42, true);
  for (let at = 0; at + 4 <= extra.byteLength; at += 4 + u16(extra, at + 2)) {
    if (u16(extra, at) !== 1) continue;
    let next = at + 4;
    const end = Math.min(extra.byteLength, next + u16(extra, at + 2));
    const wide = (): number => {
      if (next + 8 > end) throw cursor.error(named, 'its zip64 field is too short');
      next += 8;
      return u64(extra, next - 8);
    };
    if (size === 0xffffffff) size = wide();
    if (packed === 0xffffffff) packed = wide();
    if (local === 0xffffffff) local = wide();
    break;
  }
  if (u16(header, 8) & 1) throw cursor.error(named, 'it is encrypted');
  const method = u16(header, 10);
  if (method !== 0 || packed !== size) {
    throw cursor.error(
      named,
      `it is compressed (method ${method})`,
      'torch.save stores records as they are; save the model again',
    );
  }
  if (local > source.size - 30) throw cursor.error(named, `its local header would be at ${local}, outside the file`);
  const start = viewOf(source.bytes(local, 30));
  if (start.getUint32(0, true) !== 0x04034b50) throw cursor.error(named, `there is no local header at ${local}`);
  const offset = local + 30 + u16(start, 26) + u16(start, 28);
  if (offset > source.size || size > source.size - offset) {
    throw cursor.error(named, `its ${size} bytes at ${offset} end after the file, which has ${source.size}`);
  }
  return { name, offset, size };
}
