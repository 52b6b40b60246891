/** Samplers and watermarks at work in a model: the same text alone, in a batch and with drafts, whatever they draw or learn on the way. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Engine } from '../src/generation/engine.ts';
import { type GenerationModel, generateAll } from '../src/generation/generate.ts';
import { detectWatermark } from '../src/generation/watermark/detect.ts';
import { loadModel } from '../src/models/index.ts';
import { tokenizerFromJsonText } from '../src/tokenizers/index.ts';
import { MemorySource, readSafetensors } from '../src/weights/index.ts';
import { compiled, reference } from './backends.ts';

const backend = (compiled[0].missing ? reference : compiled[0]).make(2);

function open(kind: string): GenerationModel {
  const read = (name: string, from = kind) =>
    readFileSync(new URL(`./golden/decoding/${from}/${name}`, import.meta.url));
  const weights = readSafetensors(new MemorySource(kind, read('model.safetensors')));
  const config = JSON.parse(read('config.json').toString());
  const tokenizer = tokenizerFromJsonText(read('tokenizer.json', kind.replace('-draft', '')).toString());
  return {
    engine: new Engine(loadModel(weights, config, backend)),
    tokenizer,
    chatTemplate: null,
    generationConfig: {},
  };
}

const model = open('gpt2');
const draft = open('gpt2-draft');
const prompt = [130, 260, 273, 7, 287, 316, 95, 130, 260, 273, 7];
const common = { do_sample: true, seed: 3, max_new_tokens: 24, eos_token_id: [] };
const ids = async (given: Record<string, unknown>, prompts = [prompt], options = {}) =>
  (await generateAll(model, prompts, { ...common, ...given }, options)).map((result) => result.ids);

const cases: Record<string, unknown>[] = [
  { mirostat: 1, mirostat_tau: 4 },
  { mirostat: 2, mirostat_tau: 4, temperature: 0.9 },
  { xtc_probability: 0.5, xtc_threshold: 0.03 },
  { preset: 'llama.cpp', repeat_penalty: 1.2, dry_multiplier: 0.8, temperature: 1.5 },
  { dynatemp_range: 0.6, top_n_sigma: 1.5 },
  { watermarking_config: { bias: 3 } },
  { watermarking_config: { bias: 3, seeding_scheme: 'selfhash', context_width: 2 } },
  { watermarking_config: { keys: [1, 2, 3, 4], ngram_len: 3 } },
];

describe.each(cases)('%o', (given) => {
  it('gives the same text alone, in a batch, with drafts, and when it is explained', async () => {
    const [alone] = await ids(given);
    expect(alone).toHaveLength(24);
    const batch = await ids({ ...given, num_return_sequences: 3 }, [prompt, prompt.slice(3)]);
    expect(batch[0]).toEqual(alone);
    expect(batch[1]).not.toEqual(alone);
    expect(await ids({ ...given, prompt_lookup_num_tokens: 4 })).toEqual([alone]);
    expect(await ids(given, [prompt], { assistant: draft })).toEqual([alone]);
    expect(await ids({ ...given, output_scores: true, logprobs: 3 })).toEqual([alone]);
  });
});

it('a mark is found in what a model writes with it, and not without', async () => {
  const watermarking_config = { bias: 6, greenlist_ratio: 0.3 };
  const { vocab_size } = model.engine.model.config;
  const [marked] = await ids({ watermarking_config, max_new_tokens: 50 });
  const [plain] = await ids({ max_new_tokens: 50 });
  expect(detectWatermark(marked, watermarking_config, vocab_size).z_score).toBeGreaterThan(4);
  expect(detectWatermark(plain, watermarking_config, vocab_size).prediction).toBe(false);
});
