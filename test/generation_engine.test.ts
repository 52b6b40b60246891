/** The engine: what a sequence's logits are must not depend on chunks, neighbours, forks or what was computed before. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Engine, type EngineOptions } from '../src/generation/engine.ts';
import { generateAll } from '../src/generation/generate.ts';
import { loadModel } from '../src/models/index.ts';
import { MemorySource, readSafetensors } from '../src/weights/index.ts';
import { compiled, reference } from './backends.ts';

const folder = new URL('./golden/models/llama/', import.meta.url);
const weights = readSafetensors(new MemorySource('llama', readFileSync(new URL('model.safetensors', folder))));
const config = JSON.parse(readFileSync(new URL('config.json', folder), 'utf8'));
const choice = compiled[0].missing ? reference : compiled[0];

function engine(options: EngineOptions = {}, threads = 2): Engine {
  return new Engine(loadModel(weights, config, choice.make(threads)), { precision: 'exact', ...options });
}
const V = config.vocab_size;
const prompt = (n: number, seed = 1) => Array.from({ length: n }, (_, i) => (i * i * 7 + seed * 31 + i) % V);
const same = (a: Float32Array, b: Float32Array) =>
  Buffer.compare(
    Buffer.from(a.buffer, a.byteOffset, a.byteLength),
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  ) === 0;

describe('engine', () => {
  it('gives the same bits in chunks of any size, with the prefix cache and without, for any threads', async () => {
    const ids = prompt(100);
    const whole = await engine({ prefixCache: false }).logits(ids);
    for (const options of [{ maxRows: 1 }, { maxRows: 7 }, { maxRows: 33 }, { prefixCache: true }]) {
      expect(same(await engine(options).logits(ids), whole), JSON.stringify(options)).toBe(true);
    }
    for (const threads of [1, 3]) expect(same(await engine({}, threads).logits(ids), whole)).toBe(true);
  });

  it('gives the same bits alone and among 63 others', async () => {
    const e = engine({ cacheTokens: 4096 });
    const alone = await e.logits(prompt(20), { last: true });
    const sequences = Array.from({ length: 64 }, (_, i) =>
      e.sequence(i === 17 ? prompt(20) : prompt(3 + (i % 9), i + 2)),
    );
    const all = await e.step(sequences.map((sequence) => ({ sequence, logits: 'last' })));
    expect(same(all[17].logits, alone)).toBe(true);
  });

  it('finds a shared beginning again, with the same result', async () => {
    const e = engine();
    const first = e.sequence(prompt(90));
    await e.step([{ sequence: first, logits: 'last' }]);
    const second = e.sequence([...prompt(80), 5, 6, 7]);
    const [{ logits }] = await e.step([{ sequence: second, logits: 'last' }]);
    expect(second.pages.slice(0, 2)).toEqual(first.pages.slice(0, 2));
    expect(same(logits, await engine({ prefixCache: false }).logits([...prompt(80), 5, 6, 7], { last: true }))).toBe(
      true,
    );
  });

  it('keeps forks apart whatever is appended, truncated and freed', async () => {
    const action = fc.record({
      kind: fc.constantFrom('append', 'fork', 'truncate', 'free', 'step'),
      which: fc.nat(5),
      amount: fc.integer({ min: 1, max: 40 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 4, maxLength: 14 }), async (actions) => {
        const e = engine({ cacheTokens: 2048 });
        const fresh = engine({ prefixCache: false });
        const total = e.freeTokens;
        let alive = [e.sequence(prompt(40))];
        for (const { kind, which, amount } of actions) {
          const sequence = alive[which % alive.length];
          if (kind === 'append' && sequence.length + amount < 120) sequence.append(prompt(amount, which + amount));
          else if (kind === 'fork' && alive.length < 6) alive.push(sequence.fork());
          else if (kind === 'truncate') sequence.truncate(Math.max(1, sequence.length - amount));
          else if (kind === 'free' && alive.length > 1) {
            sequence.free();
            alive = alive.filter((other) => other !== sequence);
          } else await e.step(alive.map((each) => ({ sequence: each, logits: 'none' })));
        }
        for (const sequence of alive) {
          sequence.append([3]);
          const [{ logits }] = await e.step([{ sequence, logits: 'last' }]);
          expect(same(logits, await fresh.logits(sequence.tokens, { last: true }))).toBe(true);
        }
        for (const sequence of alive) sequence.free();
        expect(e.freeTokens).toBe(total);
      }),
      { numRuns: 15 },
    );
  });

  it('refuses what does not fit before anything runs, with both numbers', async () => {
    const e = engine();
    await expect(e.logits(prompt(129))).rejects.toThrow(/context: 129 tokens needed, 128 available/);
    await expect(e.logits([1, V])).rejects.toThrow(/is not a token id/);
    const small = engine({ cacheTokens: 64 });
    await expect(small.logits(prompt(100))).rejects.toThrow(/KV cache: 4 pages/);
    expect((await small.logits(prompt(60))).length).toBe(60 * V);
  });
});

describe('generate', () => {
  const model = (options: EngineOptions = {}, threads = 2) => ({
    engine: engine(options, threads),
    tokenizer: null,
    chatTemplate: null,
    generationConfig: {},
  });
  const sampled = { do_sample: true, temperature: 1.3, top_k: 0, max_new_tokens: 12, seed: 5 };

  it('draws the same tokens alone, in a batch, without the prefix cache, and for any threads', async () => {
    const [alone] = await generateAll(model(), prompt(40), sampled);
    const batch = await generateAll(model(), [prompt(9), prompt(40), prompt(70, 3)], sampled);
    expect(batch[1].ids).toEqual(alone.ids);
    expect((await generateAll(model({ prefixCache: false, maxRows: 5 }, 1), prompt(40), sampled))[0].ids).toEqual(
      alone.ids,
    );
  });

  it('gives each of n answers a stream of its own, the first of which is that of n = 1', async () => {
    const [alone] = await generateAll(model(), prompt(40), sampled);
    const many = await generateAll(model(), prompt(40), { ...sampled, num_return_sequences: 5 });
    expect(many.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4]);
    expect(many[0].ids).toEqual(alone.ids);
    expect(new Set(many.map(({ ids }) => ids.join())).size).toBe(5);
  });

  it('ends at an end token, at the length, and frees every page', async () => {
    const m = model();
    const total = m.engine.freeTokens;
    const [long] = await generateAll(m, prompt(10), { max_new_tokens: 9 });
    expect(long.finish_reason).toBe('length');
    expect(long.ids.length).toBe(9);
    const eos = long.ids[4];
    const first = long.ids.indexOf(eos);
    const [ended] = await generateAll(m, prompt(10), { max_new_tokens: 9, eos_token_id: [eos] });
    expect(ended.finish_reason).toBe('eos');
    expect(ended.ids).toEqual(long.ids.slice(0, first + 1));
    const [kept] = await generateAll(m, prompt(10), { max_new_tokens: 9, eos_token_id: [eos], min_new_tokens: 9 });
    expect(kept.ids).not.toContain(eos);
    expect(m.engine.freeTokens).toBe(total);
  });

  it('names the setting that is wrong', async () => {
    const m = model();
    const refuse = (settings: Record<string, unknown>) => expect(generateAll(m, prompt(5), settings)).rejects;
    await refuse({ temprature: 1 }).toThrow(/temprature.*not a setting.*temperature/s);
    await refuse({ temperature: 0, do_sample: true }).toThrow(/temperature = 0/);
    await refuse({ temperature: 0.5 }).toThrow(/acts only when sampling/);
    await refuse({ low_memory: true }).toThrow(/low_memory = true: is not supported/);
    await refuse({ length_penalty: 2 }).toThrow(/length_penalty = 2: acts only together with num_beams/);
    await refuse({ penalty_alpha: 0.6, num_beams: 2 }).toThrow(/penalty_alpha.*cannot go with num_beams/);
    await refuse({ max_new_tokens: 500 }).toThrow(/5 tokens of prompt and 500 new ones, 128 in all/);
    await refuse({ top_p: Number.NaN, do_sample: true }).toThrow(/top_p/);
    await refuse({ num_return_sequences: 2 }).toThrow(/needs do_sample/);
    await refuse({ min_new_tokens: 30, max_new_tokens: 20 }).toThrow(/min_new_tokens/);
    expect((await generateAll(m, prompt(5), { num_beams: 1, use_cache: true, max_new_tokens: 1 })).length).toBe(1);
  });
});
