/** Every family that can be loaded, by the `model_type` of its config.json. */
import { FileFormatError } from '../../errors.ts';
import type { Family } from './family.ts';
import { gpt1, gpt2, gptJ, gptNeo, gptNeoX } from './gpt.ts';
import { gemma3, gptOss, llama, mixtral, phi3, qwen, qwenMoe } from './llama.ts';

export const families: readonly Family[] = [
  gpt1,
  gpt2,
  gptNeo,
  gptJ,
  gptNeoX,
  llama,
  qwen,
  phi3,
  gemma3,
  mixtral,
  qwenMoe,
  gptOss,
];

/** @throws FileFormatError for a model_type that no family reads. */
export function familyOf(model_type: string, file: string): Family {
  const family = families.find(({ modelTypes }) => modelTypes.includes(model_type));
  if (family) return family;
  const known = families.flatMap(({ modelTypes }) => modelTypes).join(', ');
  throw new FileFormatError(file, 'model_type', `"${model_type}" is not supported; known are ${known}`);
}
