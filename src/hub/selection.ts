/** Which files of a model's repository are needed to run it. */

/** Small files: configuration, tokenizer, templates. Taken when they are there. */
const SMALL = new Set([
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'vocab.txt',
  'tokenizer.model',
  'spiece.model',
  'chat_template.jinja',
  'chat_template.json',
  'preprocessor_config.json',
  'processor_config.json',
]);
const isSmall = (path: string): boolean => SMALL.has(path) || /^additional_chat_templates\/[^/]+\.jinja$/.test(path);

export type Selection =
  | { readonly kind: 'files'; readonly files: readonly string[] }
  /** Several files of which any would do: the user must say which. */
  | { readonly kind: 'choose'; readonly among: readonly string[] }
  | { readonly kind: 'none' };

/**
 * Weights in the order transformers prefers: one safetensors file, its shards, one torch archive, its shards; else the
 * one GGUF file that is there. Copies in other formats (TensorFlow, ONNX, `original/`, `consolidated*`) are left.
 */
export function selectFiles(paths: readonly string[]): Selection {
  const there = new Set(paths);
  const small = paths.filter(isSmall);
  const withSmall = (...weights: string[]): Selection => ({ kind: 'files', files: [...small, ...weights] });
  for (const [single, index, shard] of [
    ['model.safetensors', 'model.safetensors.index.json', /^model-\d{5}-of-\d{5}\.safetensors$/],
    ['pytorch_model.bin', 'pytorch_model.bin.index.json', /^pytorch_model-\d{5}-of-\d{5}\.bin$/],
  ] as const) {
    if (there.has(single)) return withSmall(single);
    const shards = paths.filter((path) => shard.test(path)).sort();
    if (there.has(index) && shards.length > 0) return withSmall(index, ...shards);
  }
  const gguf = paths.filter((path) => /\.gguf$/i.test(path) && !/mmproj/i.test(path)).sort();
  if (gguf.length === 1) return { kind: 'files', files: gguf };
  return gguf.length > 1 ? { kind: 'choose', among: gguf } : { kind: 'none' };
}

/**
 * Whether a directory with these files can be loaded: configuration and all weights.
 * @param indexShards the files that the index names, when the weights come in shards and the index could be read.
 */
export function isComplete(paths: readonly string[], indexShards: readonly string[] | null): boolean {
  const selection = selectFiles(paths);
  if (selection.kind !== 'files') return false;
  if (selection.files.some((path) => /\.gguf$/i.test(path))) return true;
  if (!paths.includes('config.json')) return false;
  const isSharded = selection.files.some((path) => path.endsWith('.index.json'));
  return (
    !isSharded ||
    (indexShards !== null && indexShards.length > 0 && indexShards.every((shard) => paths.includes(shard)))
  );
}
