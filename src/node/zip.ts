/**
 * Reads single members out of zip archives (Python wheels) without unpacking the rest: stored or deflated, with the
 * 64-bit extensions. https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { createInflateRaw } from 'node:zlib';
import { FileFormatError } from '../errors.ts';

export interface ZipMember {
  readonly name: string;
  readonly method: number;
  readonly compressed: number;
  readonly bytes: number;
  /** Offset of the local header. */
  readonly offset: number;
}

const END = 0x06054b50;
const END64_LOCATOR = 0x07064b50;
const END64 = 0x06064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const MAX_DIRECTORY = 64 << 20;

/** The members of an archive by name. @throws FileFormatError */
export async function readZipDirectory(path: string): Promise<Map<string, ZipMember>> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const { offset, length, count } = await findDirectory(file, size, path);
    if (length > MAX_DIRECTORY || offset + length > size)
      throw bad(path, 'the directory', 'lies outside the file or is too large');
    return members(await read(file, offset, length, path), count, size, path);
  } finally {
    await file.close();
  }
}

async function findDirectory(
  file: FileHandle,
  size: number,
  path: string,
): Promise<{ offset: number; length: number; count: number }> {
  const tailStart = Math.max(0, size - 65_557);
  const tail = await read(file, tailStart, size - tailStart, path);
  for (let at = tail.length - 22; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== END || at + 22 + tail.readUInt16LE(at + 20) !== tail.length) continue;
    const found = {
      count: tail.readUInt16LE(at + 10),
      length: tail.readUInt32LE(at + 12),
      offset: tail.readUInt32LE(at + 16),
    };
    const is64 = found.count === 0xffff || found.length === 0xffffffff || found.offset === 0xffffffff;
    if (!is64 || at < 20 || tail.readUInt32LE(at - 20) !== END64_LOCATOR) return found;
    const end64 = await read(file, int64(tail, at - 12, path), 56, path);
    if (end64.readUInt32LE(0) !== END64) throw bad(path, 'the 64-bit end record', 'is not there');
    return { count: int64(end64, 32, path), length: int64(end64, 40, path), offset: int64(end64, 48, path) };
  }
  throw bad(path, '', 'is not a zip archive: no end record');
}

function members(directory: Buffer, count: number, fileSize: number, path: string): Map<string, ZipMember> {
  const found = new Map<string, ZipMember>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > directory.length || directory.readUInt32LE(at) !== CENTRAL)
      throw bad(path, `directory entry ${i}`, 'is damaged');
    const nameLength = directory.readUInt16LE(at + 28);
    const extraLength = directory.readUInt16LE(at + 30);
    const next = at + 46 + nameLength + extraLength + directory.readUInt16LE(at + 32);
    if (next > directory.length) throw bad(path, `directory entry ${i}`, 'is cut off');
    const name = directory.toString('utf8', at + 46, at + 46 + nameLength);
    const numbers = [directory.readUInt32LE(at + 24), directory.readUInt32LE(at + 20), directory.readUInt32LE(at + 42)];
    widen(numbers, directory.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength), path);
    const [bytes, compressed, offset] = numbers;
    if (directory.readUInt16LE(at + 8) & 1) throw bad(path, name, 'is encrypted');
    if (offset + 30 + compressed > fileSize) throw bad(path, name, 'lies outside the file');
    found.set(name, { name, method: directory.readUInt16LE(at + 10), compressed, bytes, offset });
    at = next;
  }
  return found;
}

/** Replaces the numbers that did not fit 32 bits by those of the 64-bit extra field. */
function widen(numbers: number[], extra: Buffer, path: string): void {
  for (let at = 0; at + 4 <= extra.length; ) {
    const length = extra.readUInt16LE(at + 2);
    if (extra.readUInt16LE(at) === 1) {
      const end = Math.min(extra.length, at + 4 + length);
      let from = at + 4;
      for (let i = 0; i < numbers.length; i++) {
        if (numbers[i] !== 0xffffffff || from + 8 > end) continue;
        numbers[i] = int64(extra, from, path);
        from += 8;
      }
    }
    at += 4 + length;
  }
}

/** The unpacked bytes of a member; never more than its directory entry says. @throws FileFormatError */
export async function* readZipMember(path: string, member: ZipMember, signal?: AbortSignal): AsyncIterable<Buffer> {
  if (member.method !== 0 && member.method !== 8)
    throw bad(path, member.name, `is packed by method ${member.method}; stored and deflated are read`);
  const file = await open(path, 'r');
  let start: number;
  try {
    const header = await read(file, member.offset, 30, path);
    if (header.readUInt32LE(0) !== LOCAL) throw bad(path, member.name, 'has no local header');
    start = member.offset + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
  } finally {
    await file.close();
  }
  if (member.compressed === 0) return;
  const packed = createReadStream(path, { start, end: start + member.compressed - 1, highWaterMark: 1 << 20, signal });
  const inflate = member.method === 8 ? createInflateRaw({ chunkSize: 1 << 18 }) : null;
  if (inflate) packed.on('error', (error) => inflate.destroy(error)).pipe(inflate);
  let done = 0;
  try {
    for await (const chunk of inflate ?? packed) {
      done += (chunk as Buffer).length;
      if (done > member.bytes)
        throw bad(path, member.name, `unpacks to more than the ${member.bytes} bytes it announces`);
      yield chunk as Buffer;
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_'))
      throw bad(path, member.name, `cannot be unpacked: ${error.message}`);
    throw error;
  } finally {
    packed.destroy();
    inflate?.destroy();
  }
  if (done !== member.bytes) throw bad(path, member.name, `unpacks to ${done} bytes, not ${member.bytes}`);
}

async function read(file: FileHandle, position: number, length: number, path: string): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, position);
  if (bytesRead !== length) throw bad(path, `offset ${position}`, `${length} bytes expected, ${bytesRead} there`);
  return buffer;
}

function int64(buffer: Buffer, offset: number, path: string): number {
  const value = Number(buffer.readBigUInt64LE(offset));
  if (!Number.isSafeInteger(value)) throw bad(path, 'a 64-bit size', `${value} is not possible`);
  return value;
}

const bad = (path: string, where: string, problem: string): FileFormatError =>
  new FileFormatError(path, where, problem);
