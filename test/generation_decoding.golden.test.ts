/** Decoding against Hugging Face's `generate`: greedy, processors, beams, drafts. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Engine } from '../src/generation/engine.ts';
import { type GenerationModel, generateAll } from '../src/generation/generate.ts';
import { loadModel } from '../src/models/index.ts';
import { tokenizerFromJsonText } from '../src/tokenizers/index.ts';
import { MemorySource, readSafetensors } from '../src/weights/index.ts';
import { compiled, reference } from './backends.ts';

interface Case {
  readonly name: string;
  readonly kwargs: Readonly<Record<string, unknown>>;
  readonly input_ids: readonly (readonly number[])[];
  readonly attention_mask: readonly (readonly number[])[];
  readonly sequences: readonly (readonly number[])[];
  readonly sequences_scores?: readonly number[];
  readonly beam_indices?: readonly (readonly number[])[];
  readonly stable: boolean;
}

const backend = (compiled[0].missing ? reference : compiled[0]).make(2);
const folder = (name: string) => new URL(`./golden/decoding/${name}/`, import.meta.url);
const json = (url: URL) => JSON.parse(readFileSync(url, 'utf8'));

function open(kind: string, tokenizerOf = kind): GenerationModel {
  const weights = readSafetensors(new MemorySource(kind, readFileSync(new URL('model.safetensors', folder(kind)))));
  const engine = new Engine(loadModel(weights, json(new URL('config.json', folder(kind))), backend), {
    precision: 'exact',
  });
  const tokenizer = tokenizerFromJsonText(readFileSync(new URL('tokenizer.json', folder(tokenizerOf)), 'utf8'));
  const generationConfig = json(new URL('generation_config.json', folder(kind)));
  return { engine, tokenizer, chatTemplate: null, generationConfig };
}

describe.each(['gpt2', 'llama'])('%s', (kind) => {
  const model = open(kind);
  const draft = open(`${kind}-draft`, kind);
  const { cases } = json(new URL('expected.json', folder(kind))) as { cases: Case[] };
  // Under beams the reference's guidance keeps the unconditional cache of each slot when beams change places, so its second scores belong
  // to another text; ours follow the beam, and generation_beams.test.ts holds them against all texts there are.
  const ours = cases.filter(({ name }) => name !== 'beam_guidance');
  it.each(ours.map((each) => [each.name, each] as const))('%s', async (_, each) => {
    expect(each.stable).toBe(true);
    const { assistant_model, negative_prompt_ids, ...kwargs } = each.kwargs as Record<string, unknown>;
    const settings = {
      ...kwargs,
      ...(negative_prompt_ids ? { negative_prompt_ids: (negative_prompt_ids as number[][])[0] } : {}),
    };
    const prompts = each.input_ids.map((row, i) => row.filter((__, j) => each.attention_mask[i][j] === 1));
    const results = await generateAll(model, prompts, settings, assistant_model ? { assistant: draft } : {});
    const perPrompt = results.length / prompts.length;
    expect(results.length).toBe(each.sequences.length);
    results.forEach((result, i) => {
      const row = Math.floor(i / perPrompt);
      const width = each.input_ids[row].length;
      const expected = each.sequences[i].slice(width);
      // What comes after an end is padding.
      expect(result.ids, `answer ${i}`).toEqual(expected.slice(0, result.ids.length));
      if (result.finish_reason === 'length') expect(result.ids.length).toBe(expected.length);
      if (each.sequences_scores) expect(Math.abs(result.score! - each.sequences_scores[i])).toBeLessThan(1e-4);
      if (each.beam_indices) {
        const offset = row * (kwargs.num_beams as number);
        expect(result.beam_indices).toEqual(
          each.beam_indices[i].slice(0, result.ids.length).map((beam) => beam - offset),
        );
      }
    });
  });
});
