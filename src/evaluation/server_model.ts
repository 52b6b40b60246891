/**
 * A model behind an OpenAI-compatible address. Likelihoods come from /completions with `echo` and `logprobs`, which vLLM, SGLang's and similar
 * servers have and many others have not: those are refused by name at the first request.
 */
import { EnvironmentError, InterruptedError, SettingError } from '../errors.ts';
import { trimEnd } from '../prompts/jinja/lexer.ts';
import type {
  Generation,
  GenerationRequest,
  LanguageModel,
  Likelihood,
  LikelihoodRequest,
  ModelDescription,
  WorkOptions,
} from './types.ts';

export interface ServerModelOptions {
  /** With the version: http://localhost:8000/v1. */
  readonly url: string;
  readonly model: string;
  readonly key?: string;
  /** Answers go through /chat/completions. */
  readonly chat?: boolean;
  /** Text of the token before a text that has nothing before it, where the server adds none of its own. */
  readonly prefix?: string;
  /** Requests at once; 4 unless given. */
  readonly concurrency?: number;
  /** Tries of a request before it counts as failed; 6 unless given. */
  readonly attempts?: number;
  /** Milliseconds before the second try, doubled at each later one, where the server names no time. */
  readonly backoff?: number;
}

/** Milliseconds. */
const TIMEOUT = 600_000;
const LONGEST_PAUSE = 60_000;
/** The most stop strings that OpenAI's interface takes; what is beyond them is cut here. */
const MOST_STOPS = 4;

/** @throws SettingError for an address that is none. */
export function serverModel(options: ServerModelOptions): LanguageModel {
  return new ServerModel(options);
}

interface EchoedLogprobs {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly (number | null)[];
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
}

class ServerModel implements LanguageModel {
  readonly description: ModelDescription;
  private readonly base: string;

  constructor(private readonly options: ServerModelOptions) {
    const { url, model: name, chat = false } = options;
    const parsed = URL.canParse(url) ? new URL(url) : null;
    if (!parsed || !/^https?:$/.test(parsed.protocol)) throw new SettingError('base-url', url, 'is no http address');
    if (parsed.username !== '' || parsed.password !== '') {
      throw new SettingError('base-url', `${parsed.protocol}//…@${parsed.host}`, 'must not hold a password');
    }
    this.base = `${parsed.origin}${parsed.pathname.replace(/\/+$/, '')}`;
    this.description = { name, kind: 'server', url: this.base, chat };
  }

  loglikelihood(requests: readonly LikelihoodRequest[], options: WorkOptions<Likelihood> = {}): Promise<Likelihood[]> {
    return this.each(requests, options, (one) => this.likelihood(one.context, one.continuation, options.signal));
  }

  /** Each text is one request, so it has to fit into the server's context. */
  loglikelihoodRolling(texts: readonly string[], options: WorkOptions<Likelihood> = {}): Promise<Likelihood[]> {
    return this.each(texts, options, (text) => this.likelihood('', text, options.signal));
  }

  generateUntil(requests: readonly GenerationRequest[], options: WorkOptions<Generation> = {}): Promise<Generation[]> {
    return this.each(requests, options, (one) => this.generation(one, options.signal));
  }

  private async likelihood(context: string, continuation: string, signal?: AbortSignal): Promise<Likelihood> {
    const head = trimEnd(context) || (this.options.prefix ?? '');
    const tail =
      trimEnd(context) === '' ? context + continuation : context.slice(trimEnd(context).length) + continuation;
    const prompt = head + tail;
    // One new token: some servers refuse none. It is left out below.
    const body = { model: this.options.model, prompt, max_tokens: 1, temperature: 0, echo: true, logprobs: 1 };
    const { tokens, token_logprobs, top_logprobs } = echoed(await this.post('/completions', body, signal), this.base);
    // A token of the beginning may stand before the prompt.
    const lead = Math.max(0, tokens.join('').indexOf(prompt));
    const [from, to] = [lead + head.length, lead + prompt.length];
    let [at, logprob, count, isGreedy] = [0, 0, 0, true];
    for (let i = 0; i < tokens.length; at += tokens[i].length, i++) {
      if (at < from || at >= to) continue;
      const value = token_logprobs[i];
      if (value === null || value === undefined) {
        const problem =
          'puts no token before a text, so the first token has no probability: give --api-prefix, as "<|endoftext|>"';
        throw new SettingError('base-url', this.base, problem);
      }
      logprob += value;
      count++;
      isGreedy &&= Math.max(...Object.values(top_logprobs[i] ?? {})) <= value;
    }
    if (count > 0) return { logprob, is_greedy: isGreedy, tokens: count, truncated: 0 };
    throw new SettingError('continuation', tail, 'has no tokens of its own after its context: nothing to score');
  }

  private async generation(request: GenerationRequest, signal?: AbortSignal): Promise<Generation> {
    const { prompt, until, max_new_tokens, count, settings } = request;
    const { do_sample = false, ...sampling } = settings;
    const { chat, model } = this.options;
    const body = {
      ...(do_sample ? sampling : { temperature: 0 }),
      ...(until.length > 0 ? { stop: until.slice(0, MOST_STOPS) } : {}),
      ...(chat ? { messages: [{ role: 'user', content: prompt }] } : { prompt }),
      ...(count > 1 ? { n: count } : {}),
      ...{ model, max_tokens: max_new_tokens },
    };
    const answer = await this.post(chat ? '/chat/completions' : '/completions', body, signal);
    const texts = list(answer.choices).map((choice) => {
      const { text, message } = choice as { text?: unknown; message?: { content?: unknown } };
      const full = typeof text === 'string' ? text : message?.content;
      if (typeof full !== 'string') throw new ServerError(`${this.base}: an answer without a text`);
      const ends = until.map((stop) => full.indexOf(stop)).filter((end) => end >= 0);
      return full.slice(0, Math.min(full.length, ...ends));
    });
    if (texts.length === 0) throw new ServerError(`${this.base}: an answer without choices`);
    const { completion_tokens } = (answer.usage ?? {}) as { completion_tokens?: unknown };
    return { texts, tokens: typeof completion_tokens === 'number' ? completion_tokens : 0, truncated: 0 };
  }

  /** Some at a time, in their order. The first failure ends the work. */
  private async each<I, O>(
    inputs: readonly I[],
    options: WorkOptions<O>,
    work: (input: I) => Promise<O>,
  ): Promise<O[]> {
    const results = new Array<O>(inputs.length);
    let next = 0;
    let failed = false;
    const worker = async (): Promise<void> => {
      while (next < inputs.length && !failed) {
        const at = next++;
        if (options.signal?.aborted) throw new InterruptedError();
        try {
          results[at] = await work(inputs[at]);
        } catch (error) {
          failed = true;
          throw error;
        }
        options.onResult?.(at, results[at]);
      }
    };
    await Promise.all(Array.from({ length: this.options.concurrency ?? 4 }, worker));
    return results;
  }

  private async post(path: string, body: object, signal?: AbortSignal): Promise<Record<string, unknown>> {
    const { attempts = 6, backoff = 500, key } = this.options;
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    if (key) headers.authorization = `Bearer ${key}`;
    for (let attempt = 1; ; attempt++) {
      const limit = AbortSignal.timeout(TIMEOUT);
      let problem: string;
      let pause = Math.min(LONGEST_PAUSE, backoff * 2 ** (attempt - 1));
      try {
        const response = await fetch(this.base + path, {
          ...{ method: 'POST', headers, body: JSON.stringify(body), redirect: 'error' },
          signal: signal ? AbortSignal.any([signal, limit]) : limit,
        });
        const text = await response.text();
        if (response.ok) return parsed(text, this.base);
        problem = `${response.status} ${response.statusText}: ${text.slice(0, 200).trim()}`;
        if (![408, 409, 425, 429].includes(response.status) && response.status < 500) {
          throw new ServerError(`${this.base}${path}: ${problem}`);
        }
        pause = retryAfter(response.headers.get('retry-after')) ?? pause;
      } catch (error) {
        if (signal?.aborted) throw new InterruptedError();
        if (error instanceof ServerError) throw error;
        const { message, cause } = error as Error;
        problem = cause instanceof Error ? `${message} (${cause.message})` : message;
      }
      if (attempt >= attempts) throw new ServerError(`${this.base}${path}: ${problem} (tried ${attempt} times)`);
      await sleep(pause, signal);
    }
  }
}

/** The server failed, or answered what cannot be understood. */
class ServerError extends EnvironmentError {}

function parsed(text: string, base: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new ServerError(`${base}: the answer is no JSON object: ${text.slice(0, 100)}`);
}

/** @throws SettingError where the server does not give the prompt's log-probabilities. */
function echoed(answer: Record<string, unknown>, base: string): EchoedLogprobs {
  const [choice] = list(answer.choices) as { logprobs?: Partial<EchoedLogprobs> | null }[];
  const { tokens, token_logprobs, top_logprobs } = choice?.logprobs ?? {};
  const isThere =
    Array.isArray(tokens) && Array.isArray(token_logprobs) && tokens.every((one) => typeof one === 'string');
  if (isThere && tokens.length > 1 && token_logprobs.some((one) => typeof one === 'number')) {
    return { tokens, token_logprobs, top_logprobs: Array.isArray(top_logprobs) ? top_logprobs : [] };
  }
  const problem =
    'gives no log-probabilities of a prompt (/completions with echo and logprobs), so likelihoods cannot be had from it';
  throw new SettingError('base-url', base, `${problem}; tasks of the kind generate_until can`);
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Milliseconds from "120" or a date (RFC 9110, 10.2.3). */
function retryAfter(value: string | null): number | undefined {
  if (value === null) return undefined;
  const time = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(time) ? Math.min(Math.max(0, time), LONGEST_PAUSE) : undefined;
}

function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const interrupted = (): void => {
      clearTimeout(timer);
      reject(new InterruptedError());
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', interrupted);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', interrupted, { once: true });
  });
}
