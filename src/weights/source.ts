/**
 * Where the bytes of a weight file come from. Readers ask for ranges and never for whole files, so a source may be a
 * mapped file, a file read on demand, or memory. The sources over files live in src/node/.
 */

import { FileFormatError } from '../errors.ts';

/** Synchronous random access to the bytes of one file. */
export interface ByteSource {
  /** The file as the user knows it: used in messages. */
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
  /**
   * The bytes `[offset, offset + length)`: a view without copying where the file is in memory or mapped.
   * The caller must not write into it.
   * @throws FileFormatError when the range does not lie inside the file.
   */
  bytes(offset: number, length: number): Uint8Array;
}

/** Where a writer puts its bytes, in order. */
export interface ByteSink {
  /** Appends `bytes`; they may be reused by the caller as soon as this returns. */
  write(bytes: Uint8Array): void;
}

/** A file that is already in memory. */
export class MemorySource implements ByteSource {
  constructor(
    readonly name: string,
    private readonly data: Uint8Array,
  ) {}

  get size(): number {
    return this.data.byteLength;
  }

  bytes(offset: number, length: number): Uint8Array {
    checkRange(this, offset, length);
    return this.data.subarray(offset, offset + length);
  }
}

/** Collects what a writer writes: for tests, and for small files in the browser. */
export class MemorySink implements ByteSink {
  private readonly parts: Uint8Array[] = [];
  private total = 0;

  write(bytes: Uint8Array): void {
    this.parts.push(bytes.slice());
    this.total += bytes.byteLength;
  }

  /** Everything written so far, in one array. */
  toBytes(): Uint8Array {
    const all = new Uint8Array(this.total);
    let at = 0;
    for (const part of this.parts) {
      all.set(part, at);
      at += part.byteLength;
    }
    return all;
  }
}

/** Refuses a range that does not lie inside `source`: every `ByteSource` calls this first. */
export function checkRange(
  source: { readonly name: string; readonly size: number },
  offset: number,
  length: number,
): void {
  const sound = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!sound || offset > source.size || length > source.size - offset) {
    throw new FileFormatError(
      source.name,
      `offset ${offset}`,
      `${length} bytes are wanted there, but the file has ${source.size}`,
      'The file is truncated or damaged; fetch it again',
    );
  }
}

/** A part of another source, as if it were a file of its own: a record of an archive. */
export class SliceSource implements ByteSource {
  constructor(
    private readonly whole: ByteSource,
    private readonly start: number,
    readonly size: number,
    readonly name: string,
  ) {
    checkRange(whole, start, size);
  }

  bytes(offset: number, length: number): Uint8Array {
    checkRange(this, offset, length);
    return this.whole.bytes(this.start + offset, length);
  }
}
