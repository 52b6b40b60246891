/**
 * Scores of a real model against transformers: golden/evaluation/smollm2.json holds, for the first 500 documents of LAMBADA and the first ten
 * of each set of BLiMP, the sums that bench/eval_reference.py computed. INKSTONE_EVAL_ALL=1 compares all of them (minutes).
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { blimpSets } from '../src/evaluation/builtin.ts';
import { engineModel } from '../src/evaluation/engine_model.ts';
import { evaluate } from '../src/evaluation/evaluate.ts';
import type { LanguageModel, TaskResult } from '../src/evaluation/types.ts';
import { openTask } from '../src/node/eval_data.ts';
import { openModel } from '../src/node/open_model.ts';
import { compiled } from './backends.ts';

const shared = (path: string) => fileURLToPath(new URL(`../../shared/data/${path}`, import.meta.url));
const file = shared('models/SmolLM2-135M-Instruct.Q4_1.gguf');
const data = shared('eval');
const there = existsSync(file) && existsSync(`${data}/blimp`) && !compiled[0].missing;
const golden = JSON.parse(readFileSync(new URL('./golden/evaluation/smollm2.json', import.meta.url), 'utf8'));
const isWhole = process.env.INKSTONE_EVAL_ALL === '1';

/** Sums of 10 to 20 terms in float32, whose logits may be 5e-3 apart. */
const near = (ours: number, theirs: number) => expect(Math.abs(ours - theirs)).toBeLessThan(5e-3 + 1e-4 * -theirs);

describe.skipIf(!there)(
  'SmolLM2 scored (needs ../shared/data/models, ../shared/data/eval and the native library)',
  () => {
    let opened: Promise<LanguageModel> | undefined;
    const model = () => {
      opened ??= openModel(file, { precision: 'exact' }).then((one) => engineModel(one, { name: 'smollm2' }));
      return opened;
    };
    const run = async (name: string, limit: number): Promise<readonly TaskResult[]> => {
      const tasks = [openTask(name, { data })];
      return (await evaluate({ model: await model(), tasks, limit, resamples: 10 })).tasks;
    };

    it('has the recorded sums on LAMBADA, and is greedy where transformers is', { timeout: 600_000 }, async () => {
      const limit = isWhole ? golden.lambada.length : 8;
      const [{ samples, metrics }] = await run('lambada', limit);
      const expected: [number, number][] = golden.lambada.slice(0, limit);
      for (const [i, [sum, isGreedy]] of expected.entries()) {
        near(samples[i].logprobs![0], sum);
        expect(samples[i].metrics.acc).toBe(isGreedy);
      }
      const mean = (column: 0 | 1) => expected.reduce((total, row) => total + row[column], 0) / limit;
      expect(metrics.acc.value).toBe(mean(1));
      expect(metrics.perplexity.value / Math.exp(-mean(0))).toBeCloseTo(1, 3);
      if (isWhole) process.stderr.write(`LAMBADA: acc ${metrics.acc.value}, perplexity ${metrics.perplexity.value}\n`);
    });

    it('prefers the same sentences of BLiMP by the recorded sums', { timeout: 600_000 }, async () => {
      const limit = isWhole ? 10 : 1;
      const names = isWhole ? ['blimp'] : blimpSets.filter((_, i) => i % 7 === 0).map((set) => `blimp_${set}`);
      const results: TaskResult[] = [];
      for (const name of names) results.push(...(await run(name, limit)));
      expect(results.length).toBe(isWhole ? 67 : 10);
      for (const { task, samples } of results) {
        const expected: [number, number][] = golden.blimp[task.replace('blimp_', '')].slice(0, limit);
        for (const [i, [good, bad]] of expected.entries()) {
          near(samples[i].logprobs![0], good);
          near(samples[i].logprobs![1], bad);
          if (Math.abs(good - bad) > 0.02) expect(samples[i].metrics.acc).toBe(good > bad ? 1 : 0);
        }
      }
    });
  },
);
