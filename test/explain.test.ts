/** One step explained: against sums done the long way, and the chain one by one against the whole. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { explainStep, type ObservedStep, summarizeSteps } from '../src/generation/explain.ts';
import { buildChain, buildProcessors } from '../src/generation/processors.ts';
import { resolveSettings } from '../src/generation/settings.ts';
import type { GenerationSettings } from '../src/generation/types.ts';

const V = 40;
const settingsOf = (given: Record<string, unknown>): GenerationSettings =>
  resolveSettings({ max_new_tokens: 10, seed: 1, ...given }, {}, { n_positions: 64, vocab_size: V, eos_token_id: 3 }, 4)
    .settings;

function observed(logits: Float32Array, settings: GenerationSettings, token = 0): ObservedStep {
  const context = { tokens: [5, 6, 5, 6, 5], promptLength: 4 };
  const processed = logits.slice();
  for (const process of buildProcessors(settings)) process(processed, context);
  return { prompt: 0, index: 0, step: 1, settings, logits, processed, context, token };
}

const rows = fc
  .array(fc.integer({ min: -80, max: 80 }), { minLength: V, maxLength: V })
  .map((values) => Float32Array.from(values, (x) => x / 10));

const given = fc.record(
  {
    temperature: fc.constantFrom(0.3, 0.7, 1, 2),
    top_k: fc.constantFrom(0, 1, 5, 20),
    top_p: fc.constantFrom(0.2, 0.9, 1),
    min_p: fc.constantFrom(0.05, 0.5),
    typical_p: fc.constantFrom(0.5, 1),
    epsilon_cutoff: fc.constantFrom(0, 0.02),
    repetition_penalty: fc.constantFrom(1, 1.5),
    no_repeat_ngram_size: fc.constantFrom(0, 2),
    suppress_tokens: fc.constantFrom([], [1, 2]),
    min_new_tokens: fc.constantFrom(0, 5),
    renormalize_logits: fc.boolean(),
  },
  { requiredKeys: [] },
);

it('the chain one by one is the chain as a whole, whatever the settings', () => {
  fc.assert(
    fc.property(rows, given, (logits, more) => {
      const settings = settingsOf({ do_sample: true, ...more });
      const step = observed(logits, settings);
      const one = logits.slice();
      for (const { apply } of buildChain(settings)) apply(one, step.context);
      for (let i = 0; i < V; i++) {
        if (step.processed[i] === -Infinity) expect(one[i]).toBe(-Infinity);
        else expect(one[i]).toBeCloseTo(step.processed[i], 4);
      }
      const { effects } = explainStep(step);
      expect(effects.map(({ name }) => name)).not.toContain('other');
    }),
    { numRuns: 200 },
  );
});

it('entropies, probabilities and ranks are those of sums done the long way', () => {
  fc.assert(
    fc.property(rows, given, fc.nat(V - 1), (logits, more, token) => {
      const step = observed(logits, settingsOf({ do_sample: true, ...more }), token);
      const { raw, processed, chosen, effects } = explainStep(step, { top: 5 });
      for (const [scores, shown, here] of [
        [logits, raw, chosen.before],
        [step.processed, processed, chosen.after],
      ] as const) {
        const total = scores.reduce((sum, x) => sum + Math.exp(x), 0);
        const p = Array.from(scores, (x) => Math.exp(x) / total);
        const entropy = p.reduce((sum, x) => sum - (x > 0 ? x * Math.log(x) : 0), 0);
        expect(shown.entropy).toBeCloseTo(entropy, 5);
        expect(shown.count).toBe(p.filter((x) => x > 0).length);
        const order = [...p.keys()].filter((i) => p[i] > 0).sort((a, b) => scores[b] - scores[a] || a - b);
        expect(shown.top.map(({ id }) => id)).toEqual(order.slice(0, 5));
        for (const one of shown.top) expect(one.probability).toBeCloseTo(p[one.id], 6);
        expect(here.rank).toBe(p[token] > 0 ? order.indexOf(token) + 1 : null);
        expect(here.probability).toBeCloseTo(p[token], 6);
      }
      // What one removes plus what is left is what was there before it.
      let left = raw.count;
      for (const { removed, left: after } of effects) {
        expect(after).toBe(left - removed.count);
        left = after;
      }
      expect(left).toBe(processed.count);
    }),
    { numRuns: 100 },
  );
});

it('names what cut which token', () => {
  const logits = Float32Array.from({ length: V }, (_, i) => -i / 4);
  const settings = settingsOf({ do_sample: true, top_k: 10, top_p: 0.5, suppress_tokens: [0], repetition_penalty: 2 });
  const step = explainStep(observed(logits, settings, 1), { top: 3, tokens: [0, 39] });
  expect(step.effects.map(({ name }) => name)).toEqual(['repetition_penalty', 'suppress_tokens', 'top_k', 'top_p']);
  const [penalty, suppress, topK, topP] = step.effects;
  expect(penalty.removed.count).toBe(0);
  expect(penalty.changed.top.map(({ id }) => id).sort()).toEqual(expect.arrayContaining([5, 6]));
  expect(suppress.removed.top.map(({ id }) => id)).toEqual([0]);
  expect(topK.left).toBe(10);
  expect(topP.left).toBeLessThan(10);
  expect(step.named[0]).toMatchObject({ id: 0, before: { rank: 1 }, after: { rank: null, logprob: null } });
  expect(JSON.parse(JSON.stringify(step))).toEqual(step);
});

it('what none of the settings explains is called by that name, and a constraint by its own', () => {
  const logits = Float32Array.from({ length: V }, (_, i) => i / 10);
  const settings = settingsOf({});
  const processed = logits.slice();
  processed[39] = -Infinity;
  const base = { ...observed(logits, settings), processed };
  expect(explainStep(base).effects.map(({ name }) => name)).toEqual(['other']);
  expect(explainStep({ ...base, constrained: processed }).effects.map(({ name }) => name)).toEqual(['constraint']);
});

it('sums up an answer', () => {
  const logits = Float32Array.from({ length: V }, () => 0);
  const steps = [1, 2].map((token) => explainStep(observed(logits, settingsOf({ do_sample: true, top_k: 0 }), token)));
  const summary = summarizeSteps(steps);
  expect(summary.mean_entropy_raw).toBeCloseTo(Math.log(V), 6);
  expect(summary.perplexity).toBeCloseTo(V, 4);
  expect(summary.settings).toEqual([]);
  expect(summarizeSteps([]).steps).toBe(0);
});

it('refuses what it cannot show', () => {
  const step = observed(new Float32Array(V), settingsOf({}));
  expect(() => explainStep(step, { tokens: [V] })).toThrow(/tokens = 40/);
  expect(() => explainStep(step, { top: -1 })).toThrow(/top = -1/);
  expect(() => explainStep(step, { top: Number.NaN })).toThrow(/top = NaN/);
});
