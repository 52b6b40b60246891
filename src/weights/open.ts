/** Which reader a file needs, by its first bytes and never by its name. */

import { FileFormatError } from '../errors.ts';
import { looksLikeGguf, readGguf } from './gguf.ts';
import { looksLikeLlama2c, readLlama2c } from './llama2c.ts';
import type { WeightFile } from './model_file.ts';
import { looksLikeSafetensors, readSafetensors } from './safetensors.ts';
import type { ByteSource } from './source.ts';
import { looksLikeTorch, readTorch } from './torch.ts';

/**
 * Opens a weight file of any format that is read.
 * @throws FileFormatError when it is damaged, or of no format that is known.
 */
export function openWeights(source: ByteSource): WeightFile {
  if (looksLikeGguf(source)) return readGguf(source);
  if (looksLikeTorch(source)) return readTorch(source);
  if (looksLikeSafetensors(source)) return readSafetensors(source);
  if (looksLikeLlama2c(source)) return readLlama2c(source);
  // A damaged file is told by its name which format it fails: that says more than "unknown".
  if (/\.safetensors$/i.test(source.name)) return readSafetensors(source);
  throw new FileFormatError(
    source.name,
    '',
    source.size === 0
      ? 'the file is empty'
      : 'it is none of safetensors, GGUF, a PyTorch checkpoint or a llama2.c checkpoint',
  );
}
