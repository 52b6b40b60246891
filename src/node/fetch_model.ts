/** Fetching a model from the hub into the cache. */
import { existsSync, mkdirSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { CapacityError, NotFoundError } from '../errors.ts';
import type { HubClient, RemoteFile } from '../hub/client.ts';
import type { HubTarget } from '../hub/names.ts';
import type { ProgressListener } from '../hub/progress.ts';
import { HubError } from '../hub/retry.ts';
import { selectFiles } from '../hub/selection.ts';
import { nearestNames } from '../nearest.ts';
import { HubCache } from './cache.ts';
import { downloadBlob } from './download.ts';
import type { HubSettings } from './hub_settings.ts';
import { located, type ModelLocation } from './model_location.ts';

export interface FetchOptions {
  readonly signal?: AbortSignal;
  readonly progress?: ProgressListener;
}

/**
 * Bring what a model needs into the cache; what is there already stays.
 * @throws HubError; NotFoundError with what the repository has instead; CapacityError when the disk is too full.
 */
export async function fetchFromHub(
  name: string,
  target: HubTarget,
  client: HubClient,
  settings: HubSettings,
  { signal, progress }: FetchOptions,
): Promise<ModelLocation> {
  const { id } = target;
  const { retry } = settings;
  const cache = new HubCache(settings.cache);
  const revision = target.revision ?? 'main';
  const { commit, paths } = await client.list(id, revision, signal);
  const wanted = wantedFiles(name, target, paths);
  const files: RemoteFile[] = [];
  for (const path of wanted) files.push(await client.describe(id, commit, path, signal));
  const missing = files.filter((file) => !existsSync(cache.blob(id, file.etag)));
  await checkSpace(
    settings.cache,
    missing.reduce((sum, file) => sum + file.size, 0),
  );
  // Small files first: what cannot be had should show before gigabytes have come.
  for (const file of files.toSorted((a, b) => a.size - b.size)) {
    await downloadBlob(client, file, cache.blob(id, file.etag), {
      retry,
      lock: cache.lock(id, file.etag),
      signal,
      progress,
    });
    cache.link(id, commit, file.path, file.etag);
  }
  cache.setRevision(id, revision, commit);
  const folder = cache.snapshot(id, commit);
  const isOneFile = target.file !== undefined || (wanted.length === 1 && /\.gguf$/i.test(wanted[0]));
  return located(name, isOneFile ? join(folder, ...wanted[0].split('/')) : folder, 'hub');
}

function wantedFiles(name: string, { id, file }: HubTarget, paths: readonly string[]): readonly string[] {
  if (file !== undefined) {
    if (paths.includes(file)) return [file];
    const nearest = [...nearestNames(file, paths), ...paths.filter((path) => /\.gguf$/i.test(path))];
    throw new NotFoundError('file', name, [`${id} on the hub: no such file`], [...new Set(nearest)].slice(0, 5));
  }
  const selection = selectFiles(paths);
  if (selection.kind === 'files') return selection.files;
  if (selection.kind === 'none') {
    throw new HubError('missing', `${id} has no weights that can be read (safetensors, torch or GGUF)`);
  }
  throw new NotFoundError(
    'model',
    name,
    [`${id} on the hub: it has several files; name one as ${id}:FILE`],
    selection.among.slice(0, 20).map((path) => `${id}:${path}`),
  );
}

/** @throws CapacityError when the disk that holds `folder` has less than `bytes` left. */
export async function checkSpace(folder: string, bytes: number): Promise<void> {
  if (bytes === 0) return;
  mkdirSync(folder, { recursive: true });
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free < bytes) {
    throw new CapacityError(
      `the disk of ${folder}`,
      bytes,
      free,
      'bytes',
      'Make room, or set HF_HOME to a folder elsewhere',
    );
  }
}
