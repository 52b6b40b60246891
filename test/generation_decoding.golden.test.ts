/** Decoding against Hugging Face's `generate`: greedy, processors, beams, drafts. */
import { describe, expect, it } from 'vitest';
import { generateAll } from '../src/generation/generate.ts';
import { goldenJson, goldenModel } from './decoding_model.ts';

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

describe.each(['gpt2', 'llama'])('%s', (kind) => {
  const model = goldenModel(kind);
  const draft = goldenModel(`${kind}-draft`, {}, kind);
  const { cases } = goldenJson(kind, 'expected.json') as { cases: Case[] };
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
