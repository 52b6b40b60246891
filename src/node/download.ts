/** Fetching a model from the hub into its cache: resumed where it broke off, checked by hash, renamed when complete. */
import { createHash, type Hash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { NotFoundError } from '../errors.ts';
import {
  DEFAULT_RETRY,
  HubClient,
  HubError,
  type HubTarget,
  type ProgressListener,
  type RemoteFile,
  selectFiles,
  withRetry,
} from '../hub/index.ts';
import { repositoryFolder } from './cache.ts';

export interface HubOptions {
  readonly cache: string;
  readonly endpoint: string;
  readonly token?: string;
  readonly progress?: ProgressListener;
  readonly signal?: AbortSignal;
  /** Tries of one request; the default has pauses that suit a real network. */
  readonly retry?: typeof DEFAULT_RETRY;
}

/**
 * Fetch a model. Answers the snapshot folder, or the file when one was named or the model is one GGUF file.
 * @throws HubError when the hub cannot give it; NotFoundError when it holds several files of which the user must choose one.
 */
export async function downloadModel(target: HubTarget, options: HubOptions): Promise<string> {
  const retry = options.retry ?? DEFAULT_RETRY;
  const client = new HubClient({
    endpoint: options.endpoint,
    token: options.token,
    fetch: (url, init) => fetch(url, init),
    retry,
  });
  const revision = target.revision ?? 'main';
  const { commit, paths } = await client.list(target.id, revision, options.signal);
  const folder = repositoryFolder(options.cache, target.id);
  const snapshot = join(folder, 'snapshots', commit);
  const wanted = filesOf(target, paths);
  for (const path of wanted) {
    const link = join(snapshot, path);
    if (existsSync(link)) continue;
    const file = await client.describe(target.id, commit, path, options.signal);
    const blob = join(folder, 'blobs', file.etag);
    if (!existsSync(blob)) await withRetry(retry, options.signal, () => fetchBlob(client, file, blob, options));
    placeLink(blob, link);
  }
  const ref = join(folder, 'refs', ...revision.split('/'));
  mkdirSync(dirname(ref), { recursive: true });
  writeFileSync(`${ref}.tmp`, commit);
  renameSync(`${ref}.tmp`, ref);
  const only = wanted.length === 1 && /\.gguf$/i.test(wanted[0]) ? wanted[0] : null;
  return only ? join(snapshot, only) : snapshot;
}

function filesOf({ id, file }: HubTarget, paths: readonly string[]): readonly string[] {
  if (file) {
    if (paths.includes(file)) return [file];
    throw new NotFoundError('file', `${id}:${file}`, [], paths.filter((path) => path.endsWith('.gguf')).slice(0, 5));
  }
  const selection = selectFiles(paths);
  if (selection.kind === 'files') return selection.files;
  if (selection.kind === 'choose') {
    throw new NotFoundError(
      'file',
      id,
      ['the model has several files; name one'],
      selection.among.map((path) => `${id}:${path}`),
    );
  }
  throw new HubError('missing', `${id}: there are no weights that can be read (safetensors, torch or GGUF)`);
}

/** Bring one file to `blob`, going on with what an earlier try left in `blob.incomplete`. */
async function fetchBlob(
  client: HubClient,
  file: RemoteFile,
  blob: string,
  { progress, signal }: HubOptions,
): Promise<void> {
  mkdirSync(dirname(blob), { recursive: true });
  const partial = `${blob}.incomplete`;
  const have = existsSync(partial) ? Math.min(statSync(partial).size, file.size) : 0;
  const body = have < file.size ? await client.open(file, have, signal) : { offset: have, chunks: [] };
  const descriptor = openSync(partial, body.offset > 0 ? 'r+' : 'w');
  const hash = contentHash(file);
  let at = body.offset;
  try {
    hashBeginning(partial, at, hash);
    for await (const chunk of body.chunks) {
      signal?.throwIfAborted();
      if (at + chunk.length > file.size)
        throw new HubError('protocol', `${file.path}: more than the ${file.size} bytes announced`);
      for (let done = 0; done < chunk.length; )
        done += writeSync(descriptor, chunk, done, chunk.length - done, at + done);
      hash.update(chunk);
      at += chunk.length;
      progress?.({ label: file.path, done: at, total: file.size });
    }
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  if (at < file.size)
    throw new HubError('unreachable', `${file.path}: the connection ended after ${at} of ${file.size} bytes`);
  const digest = hash.digest('hex');
  if (file.etag.length === digest.length && digest !== file.etag) {
    rmSync(partial, { force: true });
    throw new HubError(
      'unreachable',
      `${file.path}: damaged on the way (hash ${digest}, expected ${file.etag}); it is fetched again`,
    );
  }
  renameSync(partial, blob);
  progress?.({ label: file.path, done: at, total: file.size, finished: true });
}

/** SHA-256 for large files, git's blob hash for small ones: which, the length of the name tells. */
function contentHash({ etag, size }: RemoteFile): Hash {
  return etag.length === 40 ? createHash('sha1').update(`blob ${size}\0`) : createHash('sha256');
}

function hashBeginning(path: string, length: number, hash: Hash): void {
  if (length === 0) return;
  const descriptor = openSync(path, 'r');
  const buffer = new Uint8Array(1 << 20);
  try {
    for (let at = 0; at < length; ) {
      const read = readSync(descriptor, buffer, 0, Math.min(buffer.length, length - at), at);
      if (read === 0) break;
      hash.update(buffer.subarray(0, read));
      at += read;
    }
  } finally {
    closeSync(descriptor);
  }
}

/** The snapshot's name for a blob: a relative link, as Python's library makes it; the blob itself where links are not allowed. */
function placeLink(blob: string, link: string): void {
  mkdirSync(dirname(link), { recursive: true });
  try {
    symlinkSync(relative(dirname(link), blob), link);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
    renameSync(blob, link);
  }
}
