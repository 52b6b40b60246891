/** What prebuilt/kernels.wasm is made of, and the hash by which a test sees that it is stale. */
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hashFiles } from '../../scripts/hash.mjs';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const wasmFile = join(root, 'prebuilt', 'kernels.wasm');

/** Files of kernels/ that belong to other hosts. */
const OTHERS = new Set(['addon.c', 'dispatch.c', 'dispatch.h', 'memory.c', 'memory.h', 'threads.c', 'threads.h']);

/** Sources and headers, as paths from the root. */
export function wasmSources() {
  const list = (folder, keep) =>
    readdirSync(join(root, folder))
      .filter((name) => /\.[ch]$/.test(name) && keep(name))
      .sort()
      .map((name) => `${folder}/${name}`);
  return [
    ...list('kernels', (name) => !OTHERS.has(name)),
    ...list('kernels/wasm', () => true),
    ...list('kernels/wasm/include', () => true),
  ];
}

export function wasmHash() {
  return hashFiles(
    root,
    wasmSources().map((file) => join(root, file)),
  );
}
