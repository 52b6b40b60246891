/** What checkpoints ask of a disk. Tests put a failing disk in its place. */
import { createHash, type Hash } from 'node:crypto';
import { copyFile, type FileHandle, link, mkdir, open, rename, rm } from 'node:fs/promises';
import { EnvironmentError } from '../errors.ts';
import type { AsyncByteSink } from '../weights/index.ts';

export interface WritableFile extends AsyncByteSink {
  /** Everything written lies on the disk when this is fulfilled. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Operations that change a disk. Reading is not among them. */
export interface CheckpointFiles {
  /** With the folders above it; one that exists is fine. */
  makeFolder(path: string): Promise<void>;
  /** A new, empty file; one of that name is emptied. */
  create(path: string): Promise<WritableFile>;
  rename(from: string, to: string): Promise<void>;
  /** A second name for the same file. */
  link(from: string, to: string): Promise<void>;
  copy(from: string, to: string): Promise<void>;
  /** A file or a whole folder; one that is not there is fine. */
  remove(path: string): Promise<void>;
  /** The names in a folder lie on the disk when this is fulfilled. */
  syncFolder(path: string): Promise<void>;
}

class DiskFile implements WritableFile {
  constructor(private readonly handle: FileHandle) {}

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.handle.write(bytes, done, bytes.length - done);
      done += bytesWritten;
    }
  }

  sync(): Promise<void> {
    return this.handle.sync();
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

/** Windows, and some network disks, cannot flush a folder: they say so with one of these. */
const NO_FOLDER_SYNC = new Set(['EISDIR', 'EPERM', 'EACCES', 'EINVAL', 'ENOTSUP', 'EBADF']);

export const diskFiles: CheckpointFiles = {
  makeFolder: async (path) => {
    await mkdir(path, { recursive: true });
  },
  create: async (path) => new DiskFile(await open(path, 'w')),
  rename,
  link,
  copy: async (from, to) => {
    await copyFile(from, to);
    await withHandle(to, 'r+', (handle) => handle.sync());
  },
  remove: (path) => rm(path, { recursive: true, force: true }),
  syncFolder: async (path) => {
    try {
      await withHandle(path, 'r', (handle) => handle.sync());
    } catch (error) {
      if (!NO_FOLDER_SYNC.has(codeOf(error))) throw error;
    }
  },
};

async function withHandle(path: string, flags: string, work: (handle: FileHandle) => Promise<void>): Promise<void> {
  const handle = await open(path, flags);
  try {
    await work(handle);
  } finally {
    await handle.close();
  }
}

/** What a manifest says of a file. */
export interface FileFacts {
  readonly size: number;
  readonly sha256: string;
}

/** Pieces of this size go to the disk while they are hashed. */
const PIECE = 1 << 22;

/** Writes a file by `fill`, flushes it, and tells what was written. */
export async function writeHashed(
  files: CheckpointFiles,
  path: string,
  fill: (sink: AsyncByteSink) => Promise<void>,
): Promise<FileFacts> {
  const file = await files.create(path);
  try {
    const sink = new HashingSink(file);
    await fill(sink);
    const facts = await sink.finish();
    await file.sync();
    return facts;
  } finally {
    await file.close();
  }
}

/** Gathers small writes, and hashes each piece while it is written. */
class HashingSink implements AsyncByteSink {
  private readonly hash: Hash = createHash('sha256');
  private readonly gathered = new Uint8Array(1 << 16);
  private filled = 0;
  private size = 0;

  constructor(private readonly file: WritableFile) {}

  async write(bytes: Uint8Array): Promise<void> {
    if (this.filled + bytes.length > this.gathered.length) await this.flush();
    if (bytes.length <= this.gathered.length) {
      this.gathered.set(bytes, this.filled);
      this.filled += bytes.length;
    } else for (let at = 0; at < bytes.length; at += PIECE) await this.put(bytes.subarray(at, at + PIECE));
  }

  async finish(): Promise<FileFacts> {
    await this.flush();
    return { size: this.size, sha256: this.hash.digest('hex') };
  }

  private async flush(): Promise<void> {
    if (this.filled > 0) await this.put(this.gathered.subarray(0, this.filled));
    this.filled = 0;
  }

  private async put(bytes: Uint8Array): Promise<void> {
    const written = this.file.write(bytes);
    this.hash.update(bytes);
    this.size += bytes.length;
    await written;
  }
}

/** Writes a file beside, flushes it, and puts it in the place of `path`. */
export async function replaceFile(
  files: CheckpointFiles,
  path: string,
  beside: string,
  content: Uint8Array,
): Promise<void> {
  await writeHashed(files, beside, (sink) => sink.write(content));
  await files.rename(beside, path);
}

/** The code of a system error, or ''. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

const MEANINGS: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left on the disk',
  EDQUOT: 'the quota of the disk is used up',
  EIO: 'the disk reports an error',
  EROFS: 'the disk is read-only',
  EACCES: 'the folder is not writable',
  EPERM: 'the folder is not writable',
  EMFILE: 'too many files are open',
};

/** One clear error for a write that failed; errors that are not the system's pass unchanged. */
export function writeError(error: unknown, what: string, consequence: string): unknown {
  const code = codeOf(error);
  if (!/^E[A-Z0-9]+$/.test(code)) return error;
  const meaning = MEANINGS[code] ?? 'a file operation failed';
  return new EnvironmentError(`${what}: ${meaning} (${(error as Error).message}). ${consequence}`, { cause: error });
}
