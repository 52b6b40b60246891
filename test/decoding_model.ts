/** The small models of ../shared/golden/decoding for tests of strategies. */
import { readFileSync } from 'node:fs';
import { Engine, type EngineOptions } from '../src/generation/engine.ts';
import type { GenerationModel } from '../src/generation/generate.ts';
import { loadModel } from '../src/models/index.ts';
import { tokenizerFromJsonText } from '../src/tokenizers/index.ts';
import { MemorySource, readSafetensors } from '../src/weights/index.ts';
import { compiled, reference } from './backends.ts';

const backend = (compiled[0].missing ? reference : compiled[0]).make(2);
const folder = (name: string) => new URL(`./golden/decoding/${name}/`, import.meta.url);

/** The content of a JSON file beside a model. */
export const goldenJson = (name: string, file: string) => JSON.parse(readFileSync(new URL(file, folder(name)), 'utf8'));

export function goldenModel(kind: string, options: EngineOptions = {}, tokenizerOf = kind): GenerationModel {
  const weights = readSafetensors(new MemorySource(kind, readFileSync(new URL('model.safetensors', folder(kind)))));
  const engine = new Engine(loadModel(weights, goldenJson(kind, 'config.json'), backend), {
    precision: 'exact',
    ...options,
  });
  const tokenizer = tokenizerFromJsonText(readFileSync(new URL('tokenizer.json', folder(tokenizerOf)), 'utf8'));
  return { engine, tokenizer, chatTemplate: null, generationConfig: goldenJson(kind, 'generation_config.json') };
}

/** log softmax in double precision. */
export function logProbabilities(logits: ArrayLike<number>): number[] {
  const row = Array.from(logits);
  const greatest = row.reduce((a, b) => Math.max(a, b));
  const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x - greatest), 0)) + greatest;
  return row.map((x) => x - total);
}
