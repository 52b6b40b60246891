/** A model of this process under evaluation. */
import { SettingError } from '../errors.ts';
import { type GenerationModel, generate } from '../generation/generate.ts';
import { encodePrompt } from '../generation/prompt.ts';
import type { Tokenizer } from '../tokenizers/index.ts';
import { encodePair, fitPair, needPrefix, prefixToken, rollingWindows, type ScoredIds } from './encode.ts';
import { type IdsScore, scoreIds } from './score.ts';
import type {
  Generation,
  GenerationRequest,
  LanguageModel,
  Likelihood,
  LikelihoodRequest,
  ModelDescription,
  WorkOptions,
} from './types.ts';

export interface EngineModelOptions {
  readonly name: string;
  /** Put each prompt of `generateUntil` through the chat template, as a user's turn. */
  readonly chat?: boolean;
}

/** Prompts that are encoded and waiting at once. */
const PROMPTS = 256;

/** @throws SettingError for a model without a tokenizer, or without the chat template that is wanted. */
export function engineModel(model: GenerationModel, options: EngineModelOptions): LanguageModel {
  return new EngineModel(model, options);
}

class EngineModel implements LanguageModel {
  readonly description: ModelDescription;
  private readonly tokenizer: Tokenizer;
  private readonly prefix: number | undefined;

  constructor(
    private readonly model: GenerationModel,
    private readonly options: EngineModelOptions,
  ) {
    const { name, chat = false } = options;
    if (!model.tokenizer) throw new SettingError('model', name, 'has no tokenizer, so texts cannot be scored');
    if (chat && !model.chatTemplate) throw new SettingError('chat', true, `${name} has no chat template`);
    this.tokenizer = model.tokenizer;
    this.prefix = prefixToken(model.tokenizer, model.generationConfig);
    const { info } = model.engine.backend;
    this.description = {
      name,
      kind: 'engine',
      backend: info.name,
      variant: info.variant,
      precision: model.engine.precision,
      context: model.engine.context,
      chat,
      ...(model.adapter === undefined ? {} : { adapter: model.engine.adapterPrint(model.adapter) }),
    };
  }

  async loglikelihood(
    requests: readonly LikelihoodRequest[],
    options: WorkOptions<Likelihood> = {},
  ): Promise<Likelihood[]> {
    const { engine, adapter } = this.model;
    const pairs = requests.map(({ context, continuation }) =>
      fitPair(encodePair(this.tokenizer, context, continuation, this.prefix), engine.context),
    );
    const scores = await scoreIds(engine, pairs, {
      ...{ adapter, signal: options.signal },
      onResult: (i, score) => options.onResult?.(i, likelihood([pairs[i]], [score])),
    });
    return scores.map((score, i) => likelihood([pairs[i]], [score]));
  }

  async loglikelihoodRolling(texts: readonly string[], options: WorkOptions<Likelihood> = {}): Promise<Likelihood[]> {
    const { engine, adapter } = this.model;
    const prefix = needPrefix(this.prefix);
    const windows = texts.map((text) => {
      const ids = Array.from(this.tokenizer.encodeIds(text, { add_special_tokens: false }));
      return rollingWindows(ids, prefix, engine.context);
    });
    const owners = windows.flatMap((list, text) => list.map((_, window) => ({ text, window })));
    const scores = windows.map((list) => new Array<IdsScore>(list.length));
    const missing = windows.map(({ length }) => length);
    const results = new Array<Likelihood>(texts.length);
    const finish = (text: number): void => {
      results[text] = likelihood(windows[text], scores[text]);
      options.onResult?.(text, results[text]);
    };
    for (let text = 0; text < texts.length; text++) if (missing[text] === 0) finish(text);
    await scoreIds(engine, windows.flat(), {
      ...{ adapter, signal: options.signal },
      onResult: (i, score) => {
        const { text, window } = owners[i];
        scores[text][window] = score;
        if (--missing[text] === 0) finish(text);
      },
    });
    return results;
  }

  async generateUntil(
    requests: readonly GenerationRequest[],
    options: WorkOptions<Generation> = {},
  ): Promise<Generation[]> {
    const results = new Array<Generation>(requests.length);
    for (let from = 0; from < requests.length; from += PROMPTS) {
      const part = requests.slice(from, from + PROMPTS);
      const prompts = part.map((request) => this.encodePrompt(request));
      const texts = part.map(({ count }) => new Array<string>(count));
      const tokens = part.map(() => 0);
      const missing = part.map(({ count }) => count);
      const events = generate(
        this.bare,
        prompts.map(({ ids }) => ids),
        part.map(settingsOf),
        { signal: options.signal },
      );
      for await (const event of events) {
        if (event.type !== 'done') continue;
        const { prompt, index, text, ids } = event;
        texts[prompt][index] = text;
        tokens[prompt] += ids.length;
        if (--missing[prompt] > 0) continue;
        const result = { texts: texts[prompt], tokens: tokens[prompt], truncated: prompts[prompt].truncated };
        results[from + prompt] = result;
        options.onResult?.(from + prompt, result);
      }
    }
    return results;
  }

  /** The model without its own defaults of sampling: of those, only what ends an answer counts here. */
  private get bare(): GenerationModel {
    const { eos_token_id } = this.model.generationConfig ?? {};
    return { ...this.model, generationConfig: eos_token_id === undefined ? {} : { eos_token_id } };
  }

  private encodePrompt({ prompt, max_new_tokens }: GenerationRequest): { ids: number[]; truncated: number } {
    const { context } = this.model.engine;
    const room = context - max_new_tokens;
    if (room < 1) {
      throw new SettingError(
        'max_new_tokens',
        max_new_tokens,
        `leaves no room for a prompt in a context of ${context}`,
      );
    }
    const ids = this.promptIds(prompt);
    return { ids: ids.slice(Math.max(0, ids.length - room)), truncated: Math.max(0, ids.length - room) };
  }

  private promptIds(prompt: string): number[] {
    if (this.options.chat) return encodePrompt(this.model, [{ role: 'user', content: prompt }]);
    const ids = Array.from(this.tokenizer.encodeIds(prompt));
    return ids.length > 0 ? ids : [needPrefix(this.prefix)];
  }
}

function settingsOf({ max_new_tokens, until, count, settings }: GenerationRequest): Record<string, unknown> {
  return {
    do_sample: false,
    ...settings,
    max_new_tokens,
    stop_strings: until,
    num_return_sequences: count,
  };
}

/** A sum over the windows of a text, in their order. */
function likelihood(windows: readonly ScoredIds[], scores: readonly IdsScore[]): Likelihood {
  let [logprob, tokens, truncated] = [0, 0, 0];
  for (const score of scores) for (const one of score.logprobs) logprob += one;
  for (const window of windows) {
    tokens += window.continuation.length;
    truncated += window.truncated;
  }
  return { logprob, is_greedy: scores.every(({ is_greedy }) => is_greedy), tokens, truncated };
}
