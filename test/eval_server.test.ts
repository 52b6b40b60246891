/** A model behind an address: likelihoods by echo, answers, retries, refusals, against a server of this process that scores with a tiny model. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { engineModel } from '../src/evaluation/engine_model.ts';
import { serverModel } from '../src/evaluation/server_model.ts';
import { goldenModel, logProbabilities } from './decoding_model.ts';

type Body = Record<string, unknown> & { readonly prompt: string };
type Answer = { readonly status?: number; readonly headers?: Record<string, string>; readonly json: unknown };

const servers: ReturnType<typeof createServer>[] = [];
afterEach(() => {
  for (const one of servers.splice(0)) one.close();
});

/** @param answer to the n-th request. */
async function listen(answer: (body: Body, request: IncomingMessage, n: number) => Answer | Promise<Answer>) {
  let n = 0;
  const server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const { status = 200, headers = {}, json } = await answer(JSON.parse(text), request, n++);
    response.writeHead(status, headers).end(typeof json === 'string' ? json : JSON.stringify(json));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

const golden = goldenModel('llama');
const tokenizer = golden.tokenizer!;
const V = golden.engine.model.config.vocab_size;

/** What /completions with echo and logprobs answers: the first token has no probability. */
async function echo(prompt: string): Promise<object> {
  const { ids, offsets } = tokenizer.encode(prompt, { add_special_tokens: false });
  const logits = await golden.engine.logits([...ids]);
  const texts = Array.from(ids, (_, i) => prompt.slice(offsets[2 * i], offsets[2 * i + 1]));
  const rows = Array.from(ids, (_, i) => logProbabilities(logits.subarray(i * V, (i + 1) * V)));
  return {
    text: prompt,
    logprobs: {
      tokens: texts,
      token_logprobs: texts.map((_, i) => (i === 0 ? null : rows[i - 1][ids[i]])),
      top_logprobs: texts.map((_, i) => (i === 0 ? null : { best: Math.max(...rows[i - 1]) })),
    },
  };
}

const fast = { model: 'tiny', backoff: 1 };

describe('a model behind an address', () => {
  it('has the likelihoods that it has in this process', async () => {
    const bodies: Body[] = [];
    const url = await listen(async (body) => {
      bodies.push(body);
      return { json: { choices: [await echo(body.prompt)] } };
    });
    const requests = [
      { context: 'the cat sat on', continuation: ' the mat' },
      { context: 'the dog ', continuation: 'looked at the cat' },
      { context: 'a', continuation: ' man went' },
    ];
    const inside = await engineModel(golden, { name: 'tiny' }).loglikelihood(requests);
    const told = new Map<number, unknown>();
    const outside = await serverModel({ ...fast, url }).loglikelihood(requests, {
      onResult: (i, one) => told.set(i, one),
    });
    outside.forEach((one, i) => {
      expect(told.get(i)).toBe(one);
      expect(one.logprob).toBeCloseTo(inside[i].logprob, 3);
      expect([one.tokens, one.is_greedy]).toEqual([inside[i].tokens, inside[i].is_greedy]);
    });
    expect(bodies[0]).toMatchObject({ model: 'tiny', echo: true, logprobs: 1 });
  });

  it('answers through completions and chat, cut at the strings that end an answer', async () => {
    const seen: Body[] = [];
    const url = await listen((body, request) => {
      seen.push({ ...body, path: request.url, key: request.headers.authorization });
      const text = 'four.\nQ: next';
      return {
        json: { choices: [body.messages ? { message: { content: text } } : { text }], usage: { completion_tokens: 5 } },
      };
    });
    const request = { prompt: 'Q: 2+2\nA:', until: ['\n'], max_new_tokens: 8, count: 1, settings: {} };
    for (const chat of [false, true]) {
      const [answer] = await serverModel({ ...fast, url, chat, key: 'k' }).generateUntil([request]);
      expect(answer).toEqual({ texts: ['four.'], tokens: 5, truncated: 0 });
    }
    expect(seen[0]).toMatchObject({ path: '/v1/completions', key: 'Bearer k', prompt: request.prompt, max_tokens: 8 });
    expect(seen[0]).toMatchObject({ stop: ['\n'], temperature: 0 });
    expect(seen[1]).toMatchObject({
      path: '/v1/chat/completions',
      messages: [{ role: 'user', content: request.prompt }],
    });
  });

  it('tries again after 429 and 5xx, and not after what is final', async () => {
    const request = { prompt: 'x', until: [], max_new_tokens: 1, count: 1, settings: {} };
    const ok = { json: { choices: [{ text: 'y' }] } };
    const busy = await listen((_body, _request, n) => {
      if (n === 0) return { status: 429, headers: { 'retry-after': '0' }, json: 'slow down' };
      return n === 1 ? { status: 503, json: '' } : ok;
    });
    expect((await serverModel({ ...fast, url: busy }).generateUntil([request]))[0].texts).toEqual(['y']);
    let asked = 0;
    const denied = await listen(() => {
      asked++;
      return { status: 401, json: 'no such key' };
    });
    const final = serverModel({ ...fast, url: denied, key: 'secret' }).generateUntil([request]);
    await expect(final).rejects.toThrow(/401 .*no such key/);
    await expect(final).rejects.not.toThrow('secret');
    expect(asked).toBe(1);
    const down = await listen(() => ({ status: 500, json: '' }));
    await expect(serverModel({ ...fast, url: down, attempts: 3 }).generateUntil([request])).rejects.toThrow(
      'tried 3 times',
    );
  });

  it('refuses by name what the server cannot do', async () => {
    const url = await listen(() => ({ json: { choices: [{ text: 'x', logprobs: null }] } }));
    const model = serverModel({ ...fast, url });
    await expect(model.loglikelihood([{ context: 'a', continuation: ' b' }])).rejects.toThrow(
      'gives no log-probabilities of a prompt',
    );
    const bare = await listen(async (body) => ({ json: { choices: [await echo(body.prompt)] } }));
    await expect(serverModel({ ...fast, url: bare }).loglikelihoodRolling(['the cat sat'])).rejects.toThrow(
      'give --api-prefix',
    );
    expect(() => serverModel({ ...fast, url: 'ftp://x' })).toThrow('is no http address');
    const junk = await listen(() => ({ json: '<html>' }));
    await expect(
      serverModel({ ...fast, url: junk }).loglikelihood([{ context: 'a', continuation: ' b' }]),
    ).rejects.toThrow('no JSON object');
  });

  it('stops when it is told to', async () => {
    const control = new AbortController();
    const url = await listen(() => {
      control.abort();
      return { status: 503, headers: { 'retry-after': '60' }, json: '' };
    });
    const work = serverModel({ ...fast, url }).loglikelihood([{ context: 'a', continuation: ' b' }], {
      signal: control.signal,
    });
    await expect(work).rejects.toThrow('interrupted');
  });
});
