/** A real model: SmolLM2-135M-Instruct in Q4_1 against transformers in float32, and what 8-bit activations change. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Engine } from '../src/generation/engine.ts';
import { loadModel } from '../src/models/index.ts';
import type { Precision } from '../src/tensor/index.ts';
import { tokenizerFromGguf } from '../src/tokenizers/index.ts';
import { ggufToConfig, MemorySource, readGguf } from '../src/weights/index.ts';
import { compiled } from './backends.ts';

const file = fileURLToPath(new URL('../../shared/data/models/SmolLM2-135M-Instruct.Q4_1.gguf', import.meta.url));
const golden = fileURLToPath(new URL('../../shared/golden/smollm2/smollm2.json', import.meta.url));
const there = existsSync(file) && existsSync(golden) && !compiled[0].missing;

describe.skipIf(!there)('SmolLM2 (needs ../shared/data/models, ../shared/golden and the native library)', () => {
  const weights = there ? readGguf(new MemorySource(file, new Uint8Array(readFileSync(file)))) : null;
  const expected = there ? JSON.parse(readFileSync(golden, 'utf8')) : null;
  const open = (precision: Precision) =>
    new Engine(loadModel(weights!, ggufToConfig(weights!), compiled[0].make(2)), { precision });

  it('continues prompts as recorded, token for token', async () => {
    const engine = open('exact');
    const tokenizer = tokenizerFromGguf(weights!);
    for (const { text, ids, greedy_40, first_step_top20 } of expected.prompts) {
      expect([...tokenizer.encodeIds(text, { add_special_tokens: false, parse_special: true })]).toEqual(ids);
      const sequence = engine.sequence(ids);
      const written: number[] = [];
      for (let step = 0; step < 40; step++) {
        const [{ logits }] = await engine.step([{ sequence, logits: 'last' }]);
        if (step === 0) {
          (first_step_top20.ids as number[]).forEach((id, i) => {
            expect(Math.abs(logits[id] - first_step_top20.logits[i])).toBeLessThan(5e-3);
          });
        }
        const token = logits.indexOf(logits.reduce((a, b) => Math.max(a, b)));
        written.push(token);
        sequence.append([token]);
      }
      expect(written).toEqual(greedy_40);
    }
  });

  it('has the recorded likelihood of a text, which 8-bit activations change by less than 0.002', async () => {
    const { ids, mean_log_likelihood } = expected.likelihood;
    const likelihood = async (precision: Precision) => {
      const engine = open(precision);
      const V = engine.model.config.vocab_size;
      const logits = await engine.logits(ids);
      let sum = 0;
      for (let i = 0; i + 1 < ids.length; i++) {
        const row = logits.subarray(i * V, (i + 1) * V);
        const top = row.reduce((a, b) => Math.max(a, b));
        sum += row[ids[i + 1]] - top - Math.log(row.reduce((total, x) => total + Math.exp(x - top), 0));
      }
      return sum / (ids.length - 1);
    };
    const exact = await likelihood('exact');
    const fast = await likelihood('fast');
    process.stderr.write(`mean log-likelihood: exact ${exact.toFixed(6)}, fast ${fast.toFixed(6)}\n`);
    expect(Math.abs(exact - mean_log_likelihood)).toBeLessThan(1e-4);
    expect(Math.abs(fast - exact)).toBeLessThan(0.002);
  });
});
