/**
 * The hub's cache on disk, shared with Python's huggingface_hub:
 * `models--org--name/{blobs/<etag>, refs/<revision>, snapshots/<commit>/<path> -> ../../blobs/<etag>}`.
 * https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 */
import { copyFile, mkdir, readdir, readFile, rename, stat, symlink, unlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { isSafePath } from '../hub/names.ts';
import { isComplete, selectFiles } from '../hub/selection.ts';

export interface CachedModel {
  readonly id: string;
  readonly commit: string;
  /** Branches and tags that point to this commit. */
  readonly revisions: readonly string[];
  readonly path: string;
  readonly bytes: number;
  /** Whether all that is needed to load it is there. */
  readonly isComplete: boolean;
  /** The GGUF files in it. */
  readonly gguf: readonly string[];
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

  /** The commit that a revision pointed to when it was last fetched; a commit itself if it is here. */
  async commitOf(id: string, revision: string): Promise<string | undefined> {
    try {
      const commit = (await readFile(join(this.repository(id), 'refs', revision), 'utf8')).trim();
      if (isSafePath(commit) && !commit.includes('/')) return commit;
    } catch {}
    if (!/^[0-9a-f]{7,64}$/.test(revision)) return undefined;
    const commits = await readdir(join(this.repository(id), 'snapshots')).catch(() => []);
    return commits.find((commit) => commit.startsWith(revision));
  }

  /** Remembers which commit a revision points to. */
  async setRevision(id: string, revision: string, commit: string): Promise<void> {
    if (revision === commit) return;
    const path = join(this.repository(id), 'refs', revision);
    await mkdir(dirname(path), { recursive: true });
    const temporary = `${path}.${process.pid}.tmp`;
    await writeFile(temporary, commit);
    await rename(temporary, path);
  }

  /** Puts the blob `etag` under its path in the snapshot: a relative link, or a copy where links are not allowed. */
  async link(id: string, commit: string, path: string, etag: string): Promise<void> {
    const target = join(this.snapshot(id, commit), ...path.split('/'));
    const blob = this.blob(id, etag);
    await mkdir(dirname(target), { recursive: true });
    const temporary = `${target}.${process.pid}.tmp`;
    await unlink(temporary).catch(() => undefined);
    try {
      await symlink(relative(dirname(target), blob), temporary);
    } catch {
      await copyFile(blob, temporary);
    }
    await rename(temporary, target);
  }

  /** The model at a revision, if any of it is here. */
  async find(id: string, revision: string): Promise<CachedModel | undefined> {
    const commit = await this.commitOf(id, revision);
    if (commit === undefined) return undefined;
    const path = this.snapshot(id, commit);
    return (await this.describe(id, commit, path, [revision])) ?? undefined;
  }

  /** Every model in the cache that has weights, the newest commit of each revision. */
  async list(): Promise<CachedModel[]> {
    const found: CachedModel[] = [];
    const folders = await readdir(this.root).catch(() => []);
    for (const folder of folders.filter((name) => name.startsWith('models--')).sort()) {
      const id = folder.slice('models--'.length).replaceAll('--', '/');
      const refs = new Map<string, string[]>();
      for (const ref of await filesBelow(join(this.root, folder, 'refs'))) {
        const commit = (await readFile(join(this.root, folder, 'refs', ref), 'utf8').catch(() => '')).trim();
        refs.set(commit, [...(refs.get(commit) ?? []), ref]);
      }
      for (const commit of await readdir(join(this.root, folder, 'snapshots')).catch(() => [])) {
        const model = await this.describe(
          id,
          commit,
          join(this.root, folder, 'snapshots', commit),
          refs.get(commit) ?? [],
        );
        if (model && (model.isComplete || selectFiles(await filesBelow(model.path)).kind !== 'none')) found.push(model);
      }
    }
    return found;
  }

  private async describe(
    id: string,
    commit: string,
    path: string,
    revisions: readonly string[],
  ): Promise<CachedModel | null> {
    const files = await filesBelow(path);
    if (files.length === 0) return null;
    let bytes = 0;
    for (const file of files) bytes += (await stat(join(path, file)).catch(() => ({ size: 0 }))).size;
    const gguf = files.filter((file) => /\.gguf$/i.test(file)).sort();
    return { id, commit, revisions, path, bytes, gguf, isComplete: isComplete(files, await shardsNamed(path, files)) };
  }
}

/** The shards that the index of a snapshot names, or `null` without a readable index. */
async function shardsNamed(path: string, files: readonly string[]): Promise<string[] | null> {
  const index = files.find(
    (file) => file === 'model.safetensors.index.json' || file === 'pytorch_model.bin.index.json',
  );
  if (!index) return null;
  try {
    const parsed = JSON.parse(await readFile(join(path, index), 'utf8')) as { weight_map?: Record<string, unknown> };
    return [...new Set(Object.values(parsed.weight_map ?? {}))].filter(
      (shard): shard is string => typeof shard === 'string',
    );
  } catch {
    return null;
  }
}

/** Paths of the files under a folder, with forward slashes; links whose target is gone do not count. */
export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files: string[] = [];
  for (const entry of entries) {
    if (entry.isDirectory()) continue;
    const path = join(entry.parentPath, entry.name);
    const isFile = await stat(path).then(
      (found) => found.isFile(),
      () => false,
    );
    if (isFile) files.push(relative(folder, path).split(sep).join('/'));
  }
  return files.sort();
}
