/** The order of warpers: the first step's processed scores of transformers' `generate`, from the model's logits on. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Engine } from '../src/generation/engine.ts';
import { buildProcessors } from '../src/generation/processors.ts';
import { logSoftmax } from '../src/generation/rows.ts';
import { resolveSettings } from '../src/generation/settings.ts';
import { loadModel } from '../src/models/index.ts';
import { MemorySource, readSafetensors } from '../src/weights/index.ts';
import { compiled, reference } from './backends.ts';

interface Recorded {
  readonly prompt: readonly number[];
  readonly cases: readonly {
    readonly kwargs: Readonly<Record<string, unknown>>;
    /** Of each beam the tokens that are left, with their scores. */
    readonly rows: readonly (readonly (readonly [id: number, score: number])[])[];
  }[];
}

const read = (path: string) => readFileSync(new URL(`./golden/${path}`, import.meta.url));
const recorded = JSON.parse(read('processors/first_step.json').toString()) as Record<string, Recorded>;
const backend = (compiled[0].missing ? reference : compiled[0]).make(2);

describe.each(Object.entries(recorded))('%s', (kind, { prompt, cases }) => {
  const weights = readSafetensors(new MemorySource(kind, read(`decoding/${kind}/model.safetensors`)));
  const model = loadModel(weights, JSON.parse(read(`decoding/${kind}/config.json`).toString()), backend);
  const engine = new Engine(model, { precision: 'exact' });
  const file = JSON.parse(read(`decoding/${kind}/generation_config.json`).toString());

  it.each(cases.map((each) => [each.kwargs, each] as const))('%o', async (kwargs, { rows }) => {
    const shape = { n_positions: engine.context, vocab_size: model.config.vocab_size };
    const { settings } = resolveSettings(kwargs, file, shape, prompt.length);
    const logits = await engine.logits(prompt, { last: true });
    const hasBeams = settings.num_beams > 1;
    const scores = hasBeams ? logSoftmax(logits) : logits;
    const options = hasBeams ? { minTokensToKeep: settings.eos_token_id.length + 1 } : {};
    for (const process of buildProcessors(settings, options)) {
      process(scores, { tokens: prompt, promptLength: prompt.length });
    }
    const left = Array.from(scores.keys()).filter((id) => scores[id] !== Number.NEGATIVE_INFINITY);
    for (const row of rows) {
      expect(left).toEqual(row.map(([id]) => id));
      for (const [id, score] of row) {
        expect(Math.abs(scores[id] - score), `token ${id}`).toBeLessThanOrEqual(5e-4 + 1e-4 * Math.abs(score));
      }
    }
  });
});
