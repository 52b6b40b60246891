/** Scoring: against log-softmax of every position's logits, and windows against a program that looks at each token alone. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodePair, fitPair, rollingWindows, type ScoredIds } from '../src/evaluation/encode.ts';
import { scoreIds } from '../src/evaluation/score.ts';
import { InterruptedError } from '../src/index.ts';
import { goldenModel, logProbabilities } from './decoding_model.ts';

const { engine, tokenizer } = goldenModel('llama');
const V = engine.model.config.vocab_size;

/** Log-probabilities of ids after the first, and the most probable ids, from the logits of all positions. */
async function plain(ids: readonly number[]): Promise<{ logprobs: number[]; best: number[] }> {
  const logits = await engine.logits(ids);
  const rows = ids.map((_, i) => logProbabilities(logits.subarray(i * V, (i + 1) * V)));
  return {
    logprobs: ids.slice(1).map((id, i) => rows[i][id]),
    best: rows.map((row) => row.indexOf(Math.max(...row))),
  };
}

const id = fc.nat(V - 1);
/** Few different ids, so that requests begin alike. */
const request = fc.record({
  context: fc.array(fc.oneof({ weight: 9, arbitrary: fc.nat(1) }, id), { minLength: 1, maxLength: 40 }),
  continuation: fc.array(fc.oneof({ weight: 9, arbitrary: fc.nat(1) }, id), { minLength: 1, maxLength: 12 }),
  truncated: fc.constant(0),
});

describe('scores of ids', () => {
  it('are those of every position alone, however many requests share what they begin with', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 30 }), async (requests) => {
        const told = new Map<number, unknown>();
        const free = engine.freeTokens;
        const scores = await scoreIds(engine, requests, { onResult: (i, score) => told.set(i, score) });
        expect(engine.freeTokens).toBe(free);
        expect(told.size).toBe(requests.length);
        for (const [i, { context, continuation }] of requests.entries()) {
          const { logprobs, best } = await plain([...context, ...continuation]);
          const expected = logprobs.slice(context.length - 1);
          expect(told.get(i)).toBe(scores[i]);
          expect(scores[i].logprobs.length).toBe(expected.length);
          expected.forEach((value, at) => {
            expect(scores[i].logprobs[at]).toBeCloseTo(value, 4);
          });
          expect(scores[i].is_greedy).toBe(continuation.every((token, at) => best[context.length - 1 + at] === token));
        }
      }),
      { numRuns: 25 },
    );
  });

  it('are the same bits alone and in company', async () => {
    const requests = fc.sample(request, { numRuns: 60, seed: 7 });
    const together = await scoreIds(engine, requests);
    for (const [i, one] of requests.entries()) expect((await scoreIds(engine, [one]))[0]).toEqual(together[i]);
  });

  it('fit into a small cache, with long beginnings that are shared', async () => {
    const small = goldenModel('llama', { cacheTokens: 256 }).engine;
    const long = fc
      .array(fc.record({ cut: fc.nat(60), tail: fc.array(fc.nat(2), { minLength: 2, maxLength: 30 }) }), {
        minLength: 1,
        maxLength: 40,
      })
      .map((list) =>
        list.map(({ cut, tail }): ScoredIds => {
          const stem = Array.from({ length: cut + 1 }, (_, i) => (i * 7) % 50);
          return { context: [...stem, tail[0]], continuation: tail.slice(1), truncated: 0 };
        }),
      );
    await fc.assert(
      fc.asyncProperty(long, async (requests) => {
        const free = small.freeTokens;
        const scores = await scoreIds(small, requests);
        expect(scores.length).toBe(requests.length);
        expect(small.freeTokens).toBe(free);
      }),
      { numRuns: 60 },
    );
  });

  it('a signal ends them between steps', async () => {
    const one: ScoredIds = { context: [1], continuation: [2], truncated: 0 };
    await expect(scoreIds(engine, [one], { signal: AbortSignal.abort() })).rejects.toThrow(InterruptedError);
  });

  it('targets have to fit a step', async () => {
    const sequence = engine.sequence([1, 2, 3]);
    const step = (targets: number[], logits: 'none' | 'last' = 'none') => engine.step([{ sequence, logits, targets }]);
    await expect(step([1, 2, 3, 4])).rejects.toThrow('more than the 3 pending');
    await expect(step([V])).rejects.toThrow('not a token id');
    await expect(step([1], 'last')).rejects.toThrow("logits 'none'");
    sequence.free();
  });
});

describe('windows over a text', () => {
  it('score each token once, with all the context that fits', () => {
    fc.assert(
      fc.property(fc.array(id, { maxLength: 60 }), fc.integer({ min: 1, max: 20 }), (ids, limit) => {
        const prefix = -1;
        const stream = [prefix, ...ids];
        const windows = rollingWindows(ids, prefix, limit);
        expect(windows.flatMap(({ continuation }) => continuation)).toEqual(ids);
        let at = 1;
        for (const [i, { context, continuation }] of windows.entries()) {
          const all = [...context, ...continuation];
          at += continuation.length;
          // What is read is what stands before in the stream; the window is full unless the text is shorter.
          expect(all).toEqual(stream.slice(at - all.length, at));
          const isOnly = i === 0 && at === stream.length;
          expect(all.length - 1).toBe(isOnly ? ids.length : limit);
          expect(continuation.length).toBe(i < windows.length - 1 ? limit : ids.length - i * limit);
        }
      }),
    );
  });
});

describe('encoding', () => {
  const text = (ids: readonly number[]) => tokenizer!.decode(ids);

  it('moves white space from the end of the context to the continuation', () => {
    const { context, continuation } = encodePair(tokenizer!, 'the cat \n', 'sat', undefined);
    expect(text(context).trim()).toBe('the cat');
    expect(text([...context, ...continuation])).toContain('the cat \nsat');
    expect([...context, ...continuation]).toEqual([...tokenizer!.encodeIds('the cat \nsat')]);
  });

  it('puts the prefix token before what has no context', () => {
    const { context, continuation } = encodePair(tokenizer!, ' ', 'the cat', 5);
    expect(context).toEqual([5]);
    expect(continuation).toEqual([...tokenizer!.encodeIds(' the cat', { add_special_tokens: false })]);
    expect(() => encodePair(tokenizer!, '', 'the cat', undefined)).toThrow('names no token');
    expect(() => encodePair(tokenizer!, 'the cat', '', undefined)).toThrow('nothing to score');
  });

  it('leaves out the beginning of a context that is too long, and says how much', () => {
    const pair = { context: [1, 2, 3, 4, 5], continuation: [6, 7], truncated: 0 };
    expect(fitPair(pair, 6)).toBe(pair);
    expect(fitPair(pair, 4)).toEqual({ context: [3, 4, 5], continuation: [6, 7], truncated: 2 });
    expect(fitPair(pair, 2)).toEqual({ context: [5], continuation: [6, 7], truncated: 4 });
    expect(() => fitPair(pair, 1)).toThrow('A continuation has to fit');
  });
});
