/** The chain by names: its order, and that step by step, in one pass and in the chooser it comes to the same. */
import { describe, expect, it } from 'vitest';
import { buildChain, buildProcessors, type ProcessorOptions } from '../src/generation/processors.ts';
import { uniform } from '../src/generation/random.ts';
import { buildChooser, sampleToken } from '../src/generation/sampling.ts';
import { resolveSettings } from '../src/generation/settings.ts';
import type { GenerationSettings } from '../src/generation/types.ts';

const V = 60;
const model = { n_positions: 100, vocab_size: V, eos_token_id: 0 };
const settingsOf = (given: Record<string, unknown>, promptLength = 2): GenerationSettings =>
  resolveSettings({ seed: 1, ...given }, {}, model, promptLength).settings;
const row = (): Float32Array => Float32Array.from({ length: V }, (_, i) => Math.sin(i * 2.7) * 3);

const everything = {
  sequence_bias: [[[3], -4]],
  encoder_repetition_penalty: 1.1,
  repetition_penalty: 1.2,
  no_repeat_ngram_size: 3,
  encoder_no_repeat_ngram_size: 3,
  bad_words_ids: [[7]],
  min_length: 4,
  min_new_tokens: 1,
  forced_bos_token_id: 5,
  forced_eos_token_id: 0,
  remove_invalid_values: true,
  exponential_decay_length_penalty: [1, 1.1],
  suppress_tokens: [9],
  begin_suppress_tokens: [11],
  temperature: 1.3,
  top_h: 0.9,
  top_k: 30,
  top_p: 0.9,
  min_p: 0.01,
  typical_p: 0.9,
  epsilon_cutoff: 0.001,
  eta_cutoff: 0.001,
  renormalize_logits: true,
};
const context = { tokens: [1, 2, 1, 4], promptLength: 2 };

function expectSame(settings: GenerationSettings, options: ProcessorOptions = {}): void {
  const [stepwise, whole] = [row(), row()];
  for (const { apply } of buildChain(settings, options)) apply(stepwise, context);
  for (const process of buildProcessors(settings, options)) process(whole, context);
  expect(stepwise).toEqual(whole);
  const choose = buildChooser(settings, options);
  for (let step = 0; step < 50; step++) {
    const random = () => uniform(3, 0, step);
    expect(choose(row(), context, random).token).toBe(sampleToken(whole, random()).token);
  }
}

describe('the named chain', () => {
  it('has a step for each setting, in the documented order', () => {
    const options = { allowed: () => Array.from({ length: V }, (_, i) => i), own: [() => {}, () => {}] };
    const names = buildChain(settingsOf({ do_sample: true, ...everything }), options).map(({ name }) => name);
    const asked = Object.keys(everything);
    const [allowedAt, ownAt] = [asked.indexOf('forced_bos_token_id'), asked.indexOf('temperature')];
    const rules = [...asked.slice(0, allowedAt), 'allowed', ...asked.slice(allowedAt, ownAt)];
    expect(names).toEqual([...rules, 'processors', 'processors', ...asked.slice(ownAt)]);
  });

  it('has no step for what is off, and no warper without sampling', () => {
    expect(buildChain(settingsOf({}))).toEqual([]);
    expect(buildChain(settingsOf({ do_sample: true })).map(({ name }) => name)).toEqual(['top_k']);
  });

  it('comes to the same step by step, in one pass and in the chooser', () => {
    expectSame(settingsOf({ do_sample: true, ...everything }));
    expectSame(settingsOf({ do_sample: true, top_k: 7, temperature: 0.7 }));
    expectSame(settingsOf({ do_sample: true, top_k: 0, top_p: 0.7 }), { allowed: (tokens) => [tokens.length, 8, 30] });
  });

  it('lets none follow but the allowed ones, and the end where it is forced', () => {
    const settings = settingsOf({ forced_eos_token_id: 0, max_new_tokens: 3 });
    const options = { allowed: (tokens: readonly number[]) => [tokens.length + 10, 20] };
    const run = (tokens: number[]) => {
      const scores = row();
      for (const { apply } of buildChain(settings, options)) apply(scores, { tokens, promptLength: 2 });
      return Array.from(scores.keys()).filter((i) => scores[i] > Number.NEGATIVE_INFINITY);
    };
    expect(run([1, 2])).toEqual([12, 20]);
    expect(run([1, 2, 3, 4])).toEqual([0]);
  });
});
