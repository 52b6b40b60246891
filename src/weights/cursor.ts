/** A place in a file that moves forward as little-endian values are read: what header parsers stand on. */

import { FileFormatError } from '../errors.ts';
import { TextList } from './lists.ts';
import type { ByteSource } from './source.ts';

const windowBytes = 1 << 16;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads values one after another; every read is checked against the file's size first. */
export class Cursor {
  private window: Uint8Array = new Uint8Array(0);
  private view = new DataView(this.window.buffer);
  private windowStart = 0;

  constructor(
    readonly source: ByteSource,
    /** Of the next byte to be read. */
    public offset = 0,
  ) {}

  /** Bytes between here and the end of the file. */
  get remaining(): number {
    return this.source.size - this.offset;
  }

  /** An error about what is being read here. */
  error(where: string, problem: string, hint = ''): FileFormatError {
    return new FileFormatError(this.source.name, where, problem, hint);
  }

  /**
   * Refuses a count that the rest of the file cannot hold.
   * @param least bytes that each of the counted things takes at least.
   */
  checkCount(count: number, least: number, where: string): void {
    if (count * least > this.remaining) {
      throw this.error(
        where,
        `${count} of at least ${least} bytes each are promised at offset ${this.offset}, but ${this.remaining} bytes remain`,
        'The file is truncated or damaged; fetch it again',
      );
    }
  }

  u8(where: string): number {
    const at = this.take(1, where);
    return this.view.getUint8(at);
  }

  u32(where: string): number {
    const at = this.take(4, where);
    return this.view.getUint32(at, true);
  }

  /** A 64-bit count or offset: refused beyond 2^53 - 1, which no file reaches. */
  count64(where: string): number {
    const at = this.take(8, where);
    const value = this.view.getUint32(at, true) + this.view.getUint32(at + 4, true) * 2 ** 32;
    if (value > Number.MAX_SAFE_INTEGER)
      throw this.error(where, `the count ${value} at offset ${this.offset - 8} is impossible`);
    return value;
  }

  /** The next `length` bytes: a view. */
  bytes(length: number, where: string): Uint8Array {
    if (length <= windowBytes / 16) {
      const at = this.take(length, where);
      return this.window.subarray(at, at + length);
    }
    this.checkCount(length, 1, where);
    const bytes = this.source.bytes(this.offset, length);
    this.offset += length;
    return bytes;
  }

  /** `length` bytes of UTF-8. */
  text(length: number, where: string): string {
    if (length > windowBytes) return this.decode(this.bytes(length, where), where);
    const at = this.take(length, where);
    return this.decode(this.window.subarray(at, at + length), where);
  }

  /** A list of texts, each after its length in 64 bits: passed over without being decoded. */
  texts(count: number, where: string): TextList {
    this.checkCount(count, 8, where);
    const [starts, ends] = [new Uint32Array(count), new Uint32Array(count)];
    const origin = this.offset;
    const { size } = this.source;
    let { window, view, windowStart } = this;
    let at = origin;
    for (let i = 0; i < count; i++) {
      if (at < windowStart || at + 8 > windowStart + window.length) {
        this.offset = at;
        this.take(8, where);
        ({ window, view, windowStart } = this);
      }
      const length = view.getUint32(at - windowStart, true) + view.getUint32(at - windowStart + 4, true) * 2 ** 32;
      at += 8;
      if (length > size - at) {
        this.offset = at;
        this.checkCount(length, 1, where);
      }
      starts[i] = at - origin;
      at += length;
      ends[i] = at - origin;
    }
    if (at - origin > 0xffffffff) throw this.error(where, 'a list of more than 4 GiB is not believed');
    this.offset = at;
    return new TextList(this.source.name, where, this.source.bytes(origin, at - origin), starts, ends);
  }

  private decode(bytes: Uint8Array, where: string): string {
    // Vocabularies are many short strings, mostly ASCII: calling the decoder for each would take most of the time.
    if (bytes.length <= 24) {
      let i = 0;
      while (i < bytes.length && bytes[i] < 128) i++;
      if (i === bytes.length) return String.fromCharCode.apply(null, bytes as unknown as number[]);
    }
    try {
      return utf8.decode(bytes);
    } catch {
      throw this.error(where, `the ${bytes.length} bytes of text before offset ${this.offset} are not UTF-8`);
    }
  }

  /** Makes `length` bytes from here available in the window and answers where in it they begin. */
  private take(length: number, where: string): number {
    if (length > this.remaining) this.checkCount(length, 1, where);
    if (this.offset < this.windowStart || this.offset + length > this.windowStart + this.window.length) {
      this.window = this.source.bytes(this.offset, Math.min(windowBytes, this.remaining));
      this.view = new DataView(this.window.buffer, this.window.byteOffset, this.window.byteLength);
      this.windowStart = this.offset;
    }
    const at = this.offset - this.windowStart;
    this.offset += length;
    return at;
  }
}
