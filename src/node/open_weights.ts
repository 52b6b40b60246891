/** Weights by path: one file, the index of a sharded model, or a model's directory. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { NotFoundError } from '../errors.ts';
import { nearestNames } from '../nearest.ts';
import { type ByteSource, MemorySource, openWeights, readSharded, type WeightFile } from '../weights/index.ts';
import { FileSource } from './file_source.ts';
import { nativeStatus } from './native_addon.ts';

/** A file's bytes: mapped where the native library can, read on demand elsewhere. */
export function openSource(path: string): ByteSource {
  const { addon } = nativeStatus();
  return addon ? new MemorySource(path, new Uint8Array(addon.map(path))) : new FileSource(path);
}

/** What a directory's weights may be called, in the order transformers prefers. */
const NAMES = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
] as const;

/** @throws NotFoundError, FileFormatError. */
export function openWeightsAt(path: string): WeightFile {
  requireFile(path);
  if (statSync(path).isDirectory()) {
    const found = NAMES.map((name) => join(path, name)).find(existsSync);
    if (found) return openWeightsAt(found);
    throw new NotFoundError('file', join(path, NAMES[0]), [
      `${path} has neither model.safetensors nor pytorch_model.bin, nor an index of shards`,
    ]);
  }
  if (!path.endsWith('.index.json')) return openWeights(openSource(path));
  return readSharded(openSource(path), (shard) => openSource(join(dirname(path), shard)), openWeights);
}

/** @throws NotFoundError with the names nearest to it when there is no file or directory of that path. */
export function requireFile(path: string): void {
  if (existsSync(path)) return;
  const folder = dirname(path);
  const beside = existsSync(folder) && statSync(folder).isDirectory() ? readdirSync(folder) : [];
  const nearest = nearestNames(basename(path), beside).map((name) => join(folder, name));
  throw new NotFoundError('file', path, [], nearest);
}
