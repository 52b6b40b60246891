/**
 * Where models lie on this machine. The hub's cache is shared with Python's huggingface_hub:
 * `models--org--name/{blobs/<etag>, refs/<revision>, snapshots/<commit>/<path> -> ../../blobs/<etag>}`.
 * https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 */
import {
  copyFileSync,
  type Dirent,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import type { WheelSource } from '../hub/catalogue.ts';
import { isSafePath } from '../hub/names.ts';
import { isComplete } from '../hub/selection.ts';
import { type Environment, hubSettings } from './hub_settings.ts';

export interface CachePlaces {
  /** models--org--name folders. */
  readonly hub: string;
  /** Files that came in Python wheels. */
  readonly own: string;
}

export function cachePlaces(env: Environment = process.env): CachePlaces {
  const { cache, own } = hubSettings(env);
  return { hub: cache, own };
}

export interface CachedModel {
  readonly id: string;
  readonly commit: string;
  /** Branches and tags that point to this commit. */
  readonly revisions: readonly string[];
  /** The snapshot's folder. */
  readonly path: string;
  /** What to load, when all of it is there: the folder, or the model's one GGUF file. */
  readonly model: string | null;
}

export class HubCache {
  constructor(readonly root: string) {}

  repository(id: string): string {
    return join(this.root, `models--${id.replaceAll('/', '--')}`);
  }

  blob(id: string, etag: string): string {
    return join(this.repository(id), 'blobs', etag);
  }

  snapshot(id: string, commit: string): string {
    return join(this.repository(id), 'snapshots', commit);
  }

  /** Beside Python's locks, under a name of our own: those are held by the operating system, which Node cannot ask. */
  lock(id: string, etag: string): string {
    return join(this.root, '.locks', `models--${id.replaceAll('/', '--')}`, `${etag}.inkstone.lock`);
  }

  /** Remembers which commit a revision points to. */
  setRevision(id: string, revision: string, commit: string): void {
    if (revision === commit) return;
    const path = join(this.repository(id), 'refs', ...revision.split('/'));
    mkdirSync(dirname(path), { recursive: true });
    const temporary = `${path}.${process.pid}.tmp`;
    writeFileSync(temporary, commit);
    renameSync(temporary, path);
  }

  /** Puts the blob `etag` under its path in the snapshot: a relative link, or a copy where links are not allowed. */
  link(id: string, commit: string, path: string, etag: string): void {
    const target = join(this.snapshot(id, commit), ...path.split('/'));
    const blob = this.blob(id, etag);
    mkdirSync(dirname(target), { recursive: true });
    const temporary = `${target}.${process.pid}.tmp`;
    rmSync(temporary, { force: true });
    try {
      symlinkSync(relative(dirname(target), blob), temporary);
    } catch {
      copyFileSync(blob, temporary);
    }
    renameSync(temporary, target);
  }

  /** The model at a revision, if any of it is here. */
  find(id: string, revision: string): CachedModel | undefined {
    const commit = this.commitOf(id, revision);
    return commit === undefined ? undefined : this.describe(id, commit, [revision]);
  }

  /** Every snapshot of every model in the cache. */
  list(): CachedModel[] {
    return entries(this.root)
      .filter((entry) => entry.name.startsWith('models--'))
      .flatMap((entry) => {
        const id = entry.name.slice('models--'.length).replaceAll('--', '/');
        const repository = join(this.root, entry.name);
        const revisions = filesBelow(join(repository, 'refs')).map((ref) => ({
          ref,
          commit: readCommit(join(repository, 'refs', ref)),
        }));
        return entries(join(repository, 'snapshots')).flatMap((snapshot) => {
          const refs = revisions.filter(({ commit }) => commit === snapshot.name).map(({ ref }) => ref);
          return this.describe(id, snapshot.name, refs) ?? [];
        });
      });
  }

  /** The commit that a revision pointed to when it was last fetched; a commit itself if it is here. */
  private commitOf(id: string, revision: string): string | undefined {
    const named = readCommit(join(this.repository(id), 'refs', ...revision.split('/')));
    if (named !== undefined) return named;
    if (!/^[0-9a-f]{7,64}$/.test(revision)) return undefined;
    return entries(join(this.repository(id), 'snapshots')).find(({ name }) => name.startsWith(revision))?.name;
  }

  private describe(id: string, commit: string, revisions: readonly string[]): CachedModel | undefined {
    const path = this.snapshot(id, commit);
    const files = filesBelow(path);
    if (files.length === 0) return undefined;
    const gguf = files.includes('config.json') ? undefined : files.find((file) => /\.gguf$/i.test(file));
    const isWhole = isComplete(files, shardsNamed(path, files));
    return { id, commit, revisions, path, model: isWhole ? (gguf ? join(path, ...gguf.split('/')) : path) : null };
  }
}

function readCommit(path: string): string | undefined {
  try {
    const commit = readFileSync(path, 'utf8').trim();
    return isSafePath(commit) && !commit.includes('/') ? commit : undefined;
  } catch {
    return undefined;
  }
}

/** The shards that the index of a snapshot names, or `null` without a readable index. */
function shardsNamed(path: string, files: readonly string[]): string[] | null {
  const index = files.find(
    (file) => file === 'model.safetensors.index.json' || file === 'pytorch_model.bin.index.json',
  );
  if (!index) return null;
  try {
    const parsed = JSON.parse(readFileSync(join(path, index), 'utf8')) as { weight_map?: Record<string, unknown> };
    return [...new Set(Object.values(parsed.weight_map ?? {}))].filter(
      (shard): shard is string => typeof shard === 'string',
    );
  } catch {
    return null;
  }
}

function entries(folder: string): Dirent[] {
  return existsSync(folder) ? readdirSync(folder, { withFileTypes: true }) : [];
}

/** Paths of the files under a folder, with forward slashes; links whose target is gone do not count. */
export function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile())
    .map((path) => relative(folder, path).split(sep).join('/'))
    .sort();
}

/** Bytes of a file or of all files below a folder. */
export function sizeOnDisk(path: string): number {
  const facts = statSync(path);
  if (!facts.isDirectory()) return facts.size;
  return filesBelow(path).reduce((sum, file) => sum + statSync(join(path, file)).size, 0);
}

/** The file that the wheels of a source make in a folder, if it is there already. */
export function installedFromWheel(source: WheelSource, folder: string): string | undefined {
  const path = join(folder, source.file);
  return statSync(path, { throwIfNoEntry: false })?.size === source.bytes ? path : undefined;
}
