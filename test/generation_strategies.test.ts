/** Strategies against programs that try everything, and against themselves in other company. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type GenerateOptions, generate, generateAll } from '../src/generation/generate.ts';
import { inspectText } from '../src/generation/inspect.ts';
import { generateObject } from '../src/generation/object.ts';
import { dolaExits } from '../src/generation/strategies/job.ts';
import { goldenJson, goldenModel, logProbabilities as logp } from './decoding_model.ts';

const model = goldenModel('gpt2', { cacheTokens: 8192 });
const llama = goldenModel('llama');
const { engine } = model;
const V = engine.model.config.vocab_size;
const prompt = goldenJson('gpt2', 'expected.json').cases[0].input_ids[0] as number[];
const EOS = 184;

/** Every text over an alphabet, up to a length or an end, with the sum of its log-probabilities. */
async function everyText(
  alphabet: readonly number[],
  length: number,
  scores: (ids: readonly number[]) => Promise<readonly number[]>,
): Promise<{ ids: number[]; sum: number }[]> {
  const done: { ids: number[]; sum: number }[] = [];
  let open = [{ ids: [] as number[], sum: 0 }];
  for (let step = 0; step < length; step++) {
    const next: typeof open = [];
    for (const { ids, sum } of open) {
      const row = await scores(ids);
      for (const token of alphabet) {
        const longer = { ids: [...ids, token], sum: sum + row[token] };
        if (token === EOS || step === length - 1) done.push(longer);
        else next.push(longer);
      }
    }
    open = next;
  }
  return done;
}

const plain = async (ids: readonly number[]) => logp(await engine.logits([...prompt, ...ids], { last: true }));
const abc = [15, 340, EOS];
const only: GenerateOptions = { allowedTokens: () => abc };
const best = (texts: readonly { ids: number[]; sum: number }[], penalty = 1) =>
  [...texts].sort((a, b) => b.sum / b.ids.length ** penalty - a.sum / a.ids.length ** penalty);

describe('beam search', () => {
  it.each([1, 0, -1, 2])('with enough beams finds what trying everything finds, length_penalty %d', async (penalty) => {
    const all = best(await everyText(abc, 4, plain), penalty);
    const settings = { num_beams: 40, num_return_sequences: 5, max_new_tokens: 4, length_penalty: penalty };
    const found = await generateAll(model, prompt, settings, only);
    found.forEach(({ ids, score }, i) => {
      expect(ids).toEqual(all[i].ids);
      expect(score).toBeCloseTo(all[i].sum / ids.length ** penalty, 3);
    });
  });

  it('with guidance too: its second scores follow the beam', async () => {
    const negative = [133, 99];
    const guided = async (ids: readonly number[]) => {
      const c = await plain(ids);
      const u = logp(await engine.logits([...negative, ...ids], { last: true }));
      return logp(c.map((x, i) => u[i] + 1.7 * (x - u[i])));
    };
    const all = best(await everyText(abc, 4, guided));
    const settings = { num_beams: 40, num_return_sequences: 3, max_new_tokens: 4, guidance_scale: 1.7 };
    const found = await generateAll(model, prompt, { ...settings, negative_prompt_ids: negative }, only);
    expect(found.map(({ ids }) => ids)).toEqual(all.slice(0, 3).map(({ ids }) => ids));
  });

  it('writes required words, at the best place that there is', async () => {
    const word = [340, 15];
    const has = (ids: readonly number[], [a, b]: readonly number[]) =>
      ids.some((id, i) => id === a && ids[i + 1] === b);
    const all = best((await everyText(abc, 5, plain)).filter(({ ids }) => has(ids, word)));
    const settings = { num_beams: 60, num_return_sequences: 2, max_new_tokens: 5 };
    const forced = await generateAll(model, prompt, { ...settings, force_words_ids: [word] }, only);
    expect(forced[0].ids).toEqual(all[0].ids);
    const either = await generateAll(model, prompt, { ...settings, force_words_ids: [[[15, 15], word]] }, only);
    const any = best((await everyText(abc, 5, plain)).filter(({ ids }) => has(ids, word) || has(ids, [15, 15])));
    expect(either[0].ids).toEqual(any[0].ids);
    const data = await generateAll(model, prompt, { ...settings, constraints: [{ any: [[15, 15], word] }] }, only);
    expect(data.map(({ ids }) => ids)).toEqual(either.map(({ ids }) => ids));
  });

  it('writes required words with few beams too, in time', async () => {
    const words = [[7, 9, 11], [200], [31, 30]];
    const [{ ids }] = await generateAll(model, prompt, { num_beams: 3, max_new_tokens: 9, force_words_ids: words });
    for (const word of words) expect(ids.join()).toContain(word.join());
    const tight = generateAll(model, prompt, { num_beams: 3, max_new_tokens: 5, force_words_ids: words });
    await expect(tight).rejects.toThrow(/force_words_ids.*needs 6 tokens/s);
  });

  it('in groups: without a penalty each is a search of its own, with a great one they take different tokens', async () => {
    const settings = { num_beams: 4, num_beam_groups: 2, num_return_sequences: 4, max_new_tokens: 8 };
    const small = await generateAll(model, prompt, { num_beams: 2, num_return_sequences: 2, max_new_tokens: 8 });
    const same = await generateAll(model, prompt, settings);
    expect(same.map(({ ids }) => ids.join()).sort()).toEqual([...small, ...small].map(({ ids }) => ids.join()).sort());
    const apart = await generateAll(model, prompt, { ...settings, diversity_penalty: 1000 });
    expect(new Set(apart.map(({ ids }) => ids[0])).size).toBeGreaterThan(1);
  });

  it('streams what all beams agree on, and the texts joined are the result', async () => {
    let text = '';
    let early = 0;
    for await (const event of generate(model, prompt, { num_beams: 3, max_new_tokens: 14, no_repeat_ngram_size: 2 })) {
      if (event.type === 'done') expect(text).toBe(event.text);
      else {
        text += event.text;
        early++;
      }
    }
    expect(early).toBeGreaterThan(0);
  });

  it('samples reproducibly, and each answer of a seed differs from that of another', async () => {
    const settings = { num_beams: 3, do_sample: true, temperature: 1.5, max_new_tokens: 10, num_return_sequences: 2 };
    const run = (seed: number) => generateAll(model, prompt, { ...settings, seed });
    const [a, b, c] = [await run(1), await run(1), await run(2)];
    expect(a.map(({ ids }) => ids)).toEqual(b.map(({ ids }) => ids));
    expect(a.map(({ ids }) => ids)).not.toEqual(c.map(({ ids }) => ids));
  });
});

describe('contrastive search', () => {
  it('chooses as its formula does', async () => {
    const [alpha, k] = [0.6, 4];
    const [{ ids }] = await generateAll(model, prompt, { penalty_alpha: alpha, top_k: k, max_new_tokens: 6 });
    const C = engine.model.config.n_embd;
    const states = async (tokens: readonly number[]) => (await inspectText(engine.model, tokens)).hidden_states.at(-1)!;
    const cosine = (a: Float32Array, b: Float32Array) => {
      const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i], 0);
      return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
    };
    const text = [...prompt];
    for (const chosen of ids) {
      const row = logp(await engine.logits(text, { last: true }));
      const likely = row
        .map((_, id) => id)
        .sort((a, b) => row[b] - row[a])
        .slice(0, k);
      const ranks = await Promise.all(
        likely.map(async (id) => {
          const all = await states([...text, id]);
          const own = all.subarray(text.length * C);
          const before = text.map((_, t) => cosine(own, all.subarray(t * C, (t + 1) * C)));
          return (1 - alpha) * Math.exp(row[id]) - alpha * Math.max(...before);
        }),
      );
      expect(likely[ranks.indexOf(Math.max(...ranks))]).toBe(chosen);
      text.push(chosen);
    }
  });

  it('gives every page back', async () => {
    const free = engine.freeTokens;
    await generateAll(model, prompt, { penalty_alpha: 0.6, top_k: 4, max_new_tokens: 40 });
    expect(engine.freeTokens).toBe(free);
  });
});

describe('DoLa', () => {
  it('contrasts with the layer whose distribution is farthest', async () => {
    const layers = engine.model.config.layers.length;
    const early = Array.from({ length: layers }, (_, i) => i);
    const [{ ids }] = await generateAll(model, prompt, { dola_layers: early, max_new_tokens: 5 });
    const text = [...prompt];
    for (const chosen of ids) {
      const sequence = engine.sequence(text);
      const [{ logits, exits }] = await engine.step([{ sequence, logits: 'last', exits: early }]);
      sequence.free();
      const p = logp(logits);
      const divergence = (q: readonly number[]) =>
        p.reduce((sum, _, i) => {
          const middle = Math.log((Math.exp(p[i]) + Math.exp(q[i])) / 2);
          return sum + Math.exp(p[i]) * (p[i] - middle) + Math.exp(q[i]) * (q[i] - middle);
        }, 0);
      const bases = exits.map((exit) => logp(exit));
      const base = bases.reduce((far, q) => (divergence(q) > divergence(far) ? q : far));
      const least = Math.max(...p) + Math.log(0.1);
      const contrast = p.map((x, i) => (x < least ? Number.NEGATIVE_INFINITY : x - base[i]));
      expect(contrast.indexOf(Math.max(...contrast))).toBe(chosen);
      text.push(chosen);
    }
  });

  it('counts layers as the field does', () => {
    const of = (length: number, tied: boolean) => ({ layers: { length }, tied });
    expect(dolaExits('low', of(32, false))).toEqual([0, 2, 4, 6, 8, 10, 12, 14]);
    expect(dolaExits('high', of(32, false))).toEqual([16, 18, 20, 22, 24, 26, 28, 30]);
    expect(dolaExits('low', of(12, true))).toEqual([2, 4]);
    expect(dolaExits('high', of(48, true))).toEqual([28, 30, 32, 34, 36, 38, 40, 42, 44, 46]);
  });

  it('leaves early with the states that a look inside shows', async () => {
    const sequence = engine.sequence(prompt);
    const [{ logits, hidden, exits }] = await engine.step([{ sequence, logits: 'all', hidden: 'all', exits: [0, 1] }]);
    sequence.free();
    const { hidden_states, attentions } = await inspectText(engine.model, prompt);
    for (const [i, x] of hidden.entries()) expect(x).toBeCloseTo(hidden_states.at(-1)![i], 4);
    expect(exits.map(({ length }) => length)).toEqual([logits.length, logits.length]);
    expect(Buffer.from(logits.buffer).equals(Buffer.from((await engine.logits(prompt)).buffer))).toBe(true);
    const T = prompt.length;
    for (const layer of attentions) {
      for (let row = 0; row < layer.length; row += T) {
        expect(layer.subarray(row, row + T).reduce((sum, x) => sum + x, 0)).toBeCloseTo(1, 5);
      }
    }
  });
});

describe('assisted decoding', () => {
  const sampled = { do_sample: true, temperature: 0.9, top_k: 20, max_new_tokens: 30, seed: 5 };
  const draft = goldenModel('gpt2-draft', {}, 'gpt2');
  it.each([
    ['a look-up', { prompt_lookup_num_tokens: 4 }, {}],
    ['a draft model', { assistant_confidence_threshold: 0 }, { assistant: draft }],
    ['a model with another tokenizer', {}, { assistant: { ...draft, tokenizer: llama.tokenizer } }],
    ['the first layers', { assistant_early_exit: 1, num_assistant_tokens_schedule: 'heuristic' }, {}],
  ] as const)('writes with %s what it writes without', async (_, settings, options) => {
    const repeated = [...prompt, ...prompt, ...prompt.slice(0, 3)];
    for (const base of [
      sampled,
      { max_new_tokens: 30 },
      { ...sampled, repetition_penalty: 1.3, guidance_scale: 1.5 },
    ]) {
      const [alone] = await generateAll(model, repeated, base);
      const [assisted] = await generateAll(model, repeated, { ...base, ...settings }, options);
      expect(assisted.ids).toEqual(alone.ids);
      expect(assisted.accepted!).toBeLessThanOrEqual(assisted.drafted!);
    }
  });

  it('accepts what the model drafts for itself', async () => {
    const [{ drafted, accepted }] = await generateAll(
      model,
      prompt,
      { max_new_tokens: 20, assistant_confidence_threshold: 0 },
      { assistant: model },
    );
    expect(drafted).toBeGreaterThan(3);
    expect(accepted).toBe(drafted);
  });
});

describe('structure', () => {
  const schema = {
    type: 'object',
    properties: { a: { type: 'integer' }, b: { enum: ['x', 'y'] } },
    required: ['a', 'b'],
    additionalProperties: false,
  };
  const rows = [
    ['greedy', {}],
    ['sampled', { do_sample: true, temperature: 2, top_k: 0, seed: 4 }],
    ['beams', { num_beams: 3 }],
    ['contrastive', { penalty_alpha: 0.5, top_k: 4 }],
    ['look-up', { prompt_lookup_num_tokens: 3 }],
    ['DoLa', { dola_layers: [0, 1] }],
  ] as const;
  it.each(rows)('holds for %s', async (_, settings) => {
    const structured = { max_new_tokens: 50, structured_output: { json: schema, whitespace: 'none' }, ...settings };
    const [{ text, finish_reason }] = await generateAll(model, prompt, structured);
    if (finish_reason === 'length') return expect(text.length).toBeGreaterThan(5);
    const value = JSON.parse(text) as Record<string, unknown>;
    expect(Object.keys(value).sort()).toEqual(['a', 'b']);
  });

  it('holds for expressions, choices and grammars', async () => {
    const text = async (structured_output: object) =>
      (await generateAll(model, prompt, { structured_output, max_new_tokens: 30 }))[0].text;
    expect(await text({ regex: '[a-c]{3}-\\d+!' })).toMatch(/^[a-c]{3}-\d+!?$/);
    expect(['left', 'right']).toContain(await text({ choice: ['left', 'right'] }));
    expect(await text({ grammar: 'root ::= "yes" | "no"' })).toMatch(/^(yes|no)$/);
    expect(await text({ grammar: 'root = "yes" | "no" ;' })).toMatch(/^(yes|no)$/);
  });

  it('comes back as a typed value', async () => {
    const shape = z.object({ side: z.enum(['left', 'right']), far: z.boolean() });
    const value = await generateObject(model, prompt, shape, { max_new_tokens: 50, do_sample: true, seed: 3 });
    const side: 'left' | 'right' = value.side;
    expect(['left', 'right']).toContain(side);
    expect(typeof value.far).toBe('boolean');
    await expect(generateObject(model, prompt, shape, { max_new_tokens: 3 })).rejects.toThrow(/max_new_tokens/);
  });

  it('cannot be followed: says where', async () => {
    const refuse = (structured_output: object) => expect(generateAll(model, prompt, { structured_output })).rejects;
    await refuse({ json: { properties: { a: { $ref: 'http://elsewhere/x' } } } }).toThrow(/#\/properties\/a\/\$ref/);
    await refuse({ regex: '(' }).toThrow(/regex|expression|pattern/);
    await refuse({ grammar: 'root ::= nothing' }).toThrow(/nothing/);
  });
});

describe('company', () => {
  it('of other settings changes no answer', async () => {
    const settings = [
      { max_new_tokens: 12 },
      { max_new_tokens: 9, num_beams: 3 },
      { max_new_tokens: 15, do_sample: true, seed: 9, top_p: 0.8 },
      { max_new_tokens: 7, penalty_alpha: 0.4, top_k: 3 },
      { max_new_tokens: 11, guidance_scale: 2 },
      { max_new_tokens: 10, prompt_lookup_num_tokens: 4 },
      { max_new_tokens: 5, dola_layers: 'high' },
      { max_new_tokens: 8, structured_output: { regex: '[0-9]+' } },
      { max_new_tokens: 8, use_cache: false, prefill_chunk_size: 3 },
    ];
    const prompts = settings.map((_, i) => prompt.slice(0, 3 + (i % 4)));
    const together = await generateAll(model, prompts, settings);
    for (const [i, own] of settings.entries()) {
      const alone = await generateAll(model, prompts[i], own);
      expect(together.filter((result) => result.prompt === i).map(({ ids }) => ids)).toEqual(
        alone.map(({ ids }) => ids),
      );
    }
    expect(together.every(({ fingerprint }) => fingerprint === together[0].fingerprint)).toBe(true);
  });

  it('waits for its turn where the cache is small, guidance with its second sequences counted', async () => {
    const small = goldenModel('gpt2', { cacheTokens: 352, prefixCache: false });
    const prompts = Array.from({ length: 8 }, (_, i) => prompt.slice(0, 3 + (i % 4)));
    const settings = { max_new_tokens: 50, guidance_scale: 1.5, eos_token_id: [] };
    const found = await generateAll(small, prompts, settings);
    expect(found.map(({ ids }) => ids.length)).toEqual(prompts.map(() => 50));
  });

  it.each(['gpt2', 'llama'])('of every strategy suits %s', async (kind) => {
    const each = kind === 'gpt2' ? model : llama;
    const free = each.engine.freeTokens;
    const all = [
      { num_beams: 2 },
      { penalty_alpha: 0.6, top_k: 3 },
      { dola_layers: 'low' },
      { assistant_early_exit: 1 },
    ];
    for (const settings of all) {
      const [{ ids }] = await generateAll(each, prompt, { max_new_tokens: 6, ...settings });
      expect(ids.length).toBeGreaterThan(0);
    }
    expect(each.engine.freeTokens).toBe(free);
  });
});

describe('what is told', () => {
  it('when asked: scores, logits, alternatives, states and attention', async () => {
    const asked = { output_scores: true, output_logits: true, output_attentions: true, output_hidden_states: true };
    const settings = { max_new_tokens: 4, repetition_penalty: 1.3, logprobs: 3, ...asked };
    let top = 0;
    for await (const event of generate(model, prompt, settings)) {
      if (event.type === 'token') {
        expect(event.top!.map(({ id }) => id)).toContain(event.id);
        expect(event.top![0].logprob).toBeCloseTo(event.logprob, 5);
        top++;
      }
      if (event.type !== 'done') continue;
      expect(event.scores!.length).toBe(event.ids.length);
      expect(Array.from(event.logits![0])).toEqual(Array.from(await engine.logits(prompt, { last: true })));
      expect(event.scores![0]).not.toEqual(event.logits![0]);
      const T = prompt.length + event.ids.length - 1;
      expect(event.hidden_states!.map(({ length }) => length)).toEqual(
        Array(engine.model.config.layers.length + 1).fill(T * engine.model.config.n_embd),
      );
      expect(event.attentions![0].length).toBe(engine.model.config.attention.n_head * T * T);
    }
    expect(top).toBe(4);
  });

  it("to the user's own processors, criteria and observers", async () => {
    const seen: number[] = [];
    const [{ ids, finish_reason }] = await generateAll(
      model,
      prompt,
      { max_new_tokens: 20 },
      {
        processors: [(scores) => scores.fill(Number.NEGATIVE_INFINITY, 0, V - 3)],
        stopping: [(tokens) => tokens.length === prompt.length + 5],
        onStep: ({ token }) => seen.push(token),
      },
    );
    expect(ids.every((id) => id >= V - 3)).toBe(true);
    expect([ids.length, finish_reason]).toEqual([5, 'criterion']);
    expect(seen).toEqual(ids);
  });
});

describe('token healing', () => {
  it('takes the last token back and writes its text again', async () => {
    const ids = Array.from(model.tokenizer!.encodeIds('abc de'));
    const [healed] = await generateAll(model, ids, { max_new_tokens: 6, token_healing: true });
    expect(healed.prompt_ids).toEqual(ids.slice(0, -1));
    const whole = model.tokenizer!.decode([...healed.prompt_ids, ...healed.ids], { skip_special_tokens: true });
    expect(whole).toBe(`${model.tokenizer!.decode(ids)}${healed.text}`);
  });
});
