/** Files on disk, for the readers and writers of weights: read by range, and written so that half a file never appears. */

import { closeSync, fstatSync, fsyncSync, mkdirSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { FileFormatError } from '../errors.ts';
import { type ByteSink, type ByteSource, checkRange } from '../weights/source.ts';

/** A file read on demand; every `bytes` call copies what it answers. Close it when no entry of it is needed any more. */
export class FileSource implements ByteSource {
  readonly size: number;
  private descriptor: number;

  /**
   * @param path of the file.
   * @param name in messages.
   * @throws what `node:fs` throws when the file cannot be opened; FileFormatError when it is no regular file.
   */
  constructor(
    path: string,
    readonly name: string = path,
  ) {
    this.descriptor = openSync(path, 'r');
    const facts = fstatSync(this.descriptor);
    if (!facts.isFile()) {
      this.close();
      throw new FileFormatError(name, '', 'it is not a regular file');
    }
    this.size = facts.size;
  }

  bytes(offset: number, length: number): Uint8Array {
    checkRange(this, offset, length);
    if (this.descriptor < 0) throw new FileFormatError(this.name, '', 'it is closed');
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const read = readSync(this.descriptor, bytes, done, Math.min(length - done, 1 << 30), offset + done);
      if (read === 0)
        throw new FileFormatError(this.name, `offset ${offset + done}`, 'the file became shorter while it was read');
      done += read;
    }
    return bytes;
  }

  close(): void {
    if (this.descriptor >= 0) closeSync(this.descriptor);
    this.descriptor = -1;
  }
}

/**
 * A file that appears under its name only when it is complete: written beside it, flushed to disk, then renamed.
 * Small writes are gathered.
 */
export class AtomicFileSink implements ByteSink {
  private readonly temporary: string;
  private descriptor: number;
  private readonly buffer = new Uint8Array(1 << 20);
  private filled = 0;

  constructor(private readonly path: string) {
    this.temporary = `${path}.tmp-${process.pid}`;
    mkdirSync(dirname(path), { recursive: true });
    this.descriptor = openSync(this.temporary, 'w');
  }

  write(bytes: Uint8Array): void {
    if (this.filled + bytes.length > this.buffer.length) this.flush();
    if (bytes.length > this.buffer.length) {
      this.put(bytes);
      return;
    }
    this.buffer.set(bytes, this.filled);
    this.filled += bytes.length;
  }

  /** Makes the file appear. Nothing can be written after this. */
  commit(): void {
    this.flush();
    fsyncSync(this.descriptor);
    closeSync(this.descriptor);
    this.descriptor = -1;
    renameSync(this.temporary, this.path);
  }

  /** Leaves nothing behind; harmless after `commit`. */
  abandon(): void {
    if (this.descriptor < 0) return;
    closeSync(this.descriptor);
    this.descriptor = -1;
    rmSync(this.temporary, { force: true });
  }

  private flush(): void {
    this.put(this.buffer.subarray(0, this.filled));
    this.filled = 0;
  }

  private put(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) done += writeSync(this.descriptor, bytes, done);
  }
}

/** Writes a whole file by `fill`; when it throws, the file stays as it was. */
export function writeFileAtomically(path: string, fill: (sink: ByteSink) => void): void {
  const sink = new AtomicFileSink(path);
  try {
    fill(sink);
    sink.commit();
  } finally {
    sink.abandon();
  }
}
