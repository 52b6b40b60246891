/**
 * One file from the hub to the disk. What has arrived stays in `<blob>.incomplete`, whatever happens, and the next try
 * goes on from there; the blob itself appears by a rename, whole and checked.
 */
import type { Hash } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FileFormatError } from '../errors.ts';
import type { HubClient, RemoteFile } from '../hub/client.ts';
import type { ProgressListener } from '../hub/progress.ts';
import { HubError, isTransient, pauseBefore, type RetryPolicy, sleep } from '../hub/retry.ts';
import { hashFile, hashFor } from './checksum.ts';
import { withLock } from './lock.ts';

export interface DownloadOptions {
  readonly retry: RetryPolicy;
  /** The lock file that keeps two processes from writing the same blob. */
  readonly lock: string;
  readonly signal?: AbortSignal;
  readonly progress?: ProgressListener;
}

/**
 * Fetches `file` to `blob`.
 * @throws HubError when the hub does not give it, FileFormatError when its content is not what its name says twice.
 */
export async function downloadBlob(
  client: HubClient,
  file: RemoteFile,
  blob: string,
  options: DownloadOptions,
): Promise<void> {
  if (await exists(blob)) return;
  await mkdir(dirname(blob), { recursive: true });
  await mkdir(dirname(options.lock), { recursive: true });
  const waiting = (): void => options.progress?.({ label: `${file.path} (another process fetches it)`, done: 0 });
  await withLock(
    options.lock,
    async () => {
      if (await exists(blob)) return;
      await fetchIncomplete(client, file, blob, options);
    },
    { signal: options.signal, waiting },
  );
}

async function fetchIncomplete(
  client: HubClient,
  file: RemoteFile,
  blob: string,
  options: DownloadOptions,
): Promise<void> {
  const incomplete = `${blob}.incomplete`;
  let damaged = 0;
  let failures = 0;
  for (;;) {
    options.signal?.throwIfAborted();
    const before = await sizeOf(incomplete);
    try {
      const hash = await attempt(client, file, incomplete, options);
      if (hash !== null && hash !== file.etag) {
        await unlink(incomplete);
        if (++damaged > 1) throw damage(file, hash);
        continue;
      }
      await rename(incomplete, blob);
      options.progress?.({ label: file.path, done: file.size, total: file.size, finished: true });
      return;
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!isTransient(error)) throw error;
      failures = (await sizeOf(incomplete)) > before ? 1 : failures + 1;
      if (failures >= options.retry.attempts) throw error;
      await sleep(pauseBefore(failures, options.retry, error), options.signal);
    }
  }
}

/** Continues the incomplete file to its end; gives the checksum, or `null` where the hub names none. */
async function attempt(
  client: HubClient,
  file: RemoteFile,
  incomplete: string,
  options: DownloadOptions,
): Promise<string | null> {
  const have = await sizeOf(incomplete);
  let start = have <= file.size ? have : 0;
  const report = (done: number): void => options.progress?.({ label: file.path, done, total: file.size });
  let hash = hashFor(file.etag, file.size);
  const output = await open(incomplete, have === 0 ? 'w' : 'r+');
  try {
    if (start < file.size || file.size === 0) {
      const body = await client.open(file, start, options.signal);
      start = body.offset;
      await output.truncate(start);
      if (start > 0 && hash) hash = await hashFile(hash, incomplete, options.signal);
      report(start);
      await receive(body.chunks, output, start, file, hash, report);
    } else if (hash) {
      hash = await hashFile(hash, incomplete, options.signal);
    }
    await output.sync();
  } finally {
    await output.close();
  }
  return hash ? hash.digest('hex') : null;
}

async function receive(
  chunks: AsyncIterable<Uint8Array>,
  output: FileHandle,
  start: number,
  file: RemoteFile,
  hash: Hash | null,
  report: (done: number) => void,
): Promise<void> {
  let done = start;
  for await (const chunk of chunks) {
    if (done + chunk.length > file.size) {
      throw new HubError(
        'protocol',
        `${file.id}: ${file.path}: the server sends more than the ${file.size} bytes it announced`,
      );
    }
    await output.write(chunk, 0, chunk.length, done);
    hash?.update(chunk);
    done += chunk.length;
    report(done);
  }
  if (done < file.size) {
    throw new HubError(
      'unreachable',
      `${file.id}: ${file.path}: the connection ended after ${done} of ${file.size} bytes`,
    );
  }
}

function damage(file: RemoteFile, found: string): FileFormatError {
  return new FileFormatError(
    `${file.id}: ${file.path}`,
    '',
    `the checksum is ${found}, not ${file.etag}, after two downloads`,
    'Something between here and the hub changes the file',
  );
}

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    (found) => found.size,
    () => 0,
  );

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
