/** Generation: prompts in, a stream of tokens and texts out. Many answers advance together, one engine step at a time. */
import { InterruptedError, SettingError } from '../errors.ts';
import type { RenderOptions } from '../prompts/index.ts';
import type { DecodeStream } from '../tokenizers/index.ts';
import type { Engine } from './engine.ts';
import { encodePrompt, type Prompt, type PromptModel } from './prompt.ts';
import { uniform } from './random.ts';
import { buildChooser, type Chooser } from './sampling.ts';
import type { Sequence } from './sequence.ts';
import { resolveSettings } from './settings.ts';
import { StopMatcher } from './stopping.ts';
import type { FinishReason, GenerationSettings } from './types.ts';

export interface GenerationModel extends PromptModel {
  readonly engine: Engine;
  /** The content of generation_config.json: defaults under the request's settings. */
  readonly generationConfig: Readonly<Record<string, unknown>>;
}

export interface GenerateOptions {
  readonly signal?: AbortSignal;
  /** New tokens when neither the request nor the model says: 20, as the field's `generate`; pipelines use 256. */
  readonly fallbackNewTokens?: number;
  /** Variables of the chat template, for prompts that are conversations. */
  readonly chat?: RenderOptions;
}

/** Milliseconds and rates of one answer. */
export interface GenerationTimings {
  /** From the call to the first token of this answer. */
  readonly first_token_ms: number;
  readonly total_ms: number;
  readonly prompt_tokens: number;
  readonly new_tokens: number;
}

export interface GenerationResult {
  /** Which prompt, and which of its answers. */
  readonly prompt: number;
  readonly index: number;
  /** The new text, without special tokens and up to a stop string. */
  readonly text: string;
  readonly ids: readonly number[];
  readonly prompt_ids: readonly number[];
  readonly finish_reason: FinishReason;
  readonly seed: number;
  readonly timings: GenerationTimings;
}

export type GenerationEvent =
  | {
      readonly type: 'token';
      readonly prompt: number;
      readonly index: number;
      readonly id: number;
      /** Text that is settled by this token; may be empty. All texts of an answer joined are its result's text. */
      readonly text: string;
      /** Natural logarithm of the token's probability after processing. */
      readonly logprob: number;
    }
  | { readonly type: 'text'; readonly prompt: number; readonly index: number; readonly text: string }
  | ({ readonly type: 'done' } & GenerationResult);

/**
 * Generate for one prompt or several, with the same settings. Answers end in whatever order they do; events of one answer are in
 * order. Answer j of prompt i depends on (weights, prompt, settings, seed, j) alone: not on the other prompts, nor on threads.
 * @throws SettingError for a setting that is unknown, impossible or not supported; CapacityError when prompt and answer exceed the
 *   context. Both before anything runs.
 */
export async function* generate(
  model: GenerationModel,
  prompts: Prompt | readonly Prompt[],
  given: Readonly<Record<string, unknown>> = {},
  options: GenerateOptions = {},
): AsyncGenerator<GenerationEvent, void, void> {
  const list = isSinglePrompt(prompts) ? [prompts] : prompts;
  const jobs = list.map((prompt, i) => prepare(model, prompt, i, given, options));
  const queue = jobs.flatMap((job) =>
    Array.from({ length: job.settings.num_return_sequences }, (_, index) => ({ job, index })),
  );
  const active: Answer[] = [];
  try {
    let breath = performance.now();
    while (queue.length > 0 || active.length > 0) {
      // A backend that computes on this thread keeps signals and timers waiting: let them in now and then.
      if (performance.now() - breath > 50) {
        await new Promise((resolve) => setTimeout(resolve, 0));
        breath = performance.now();
      }
      if (options.signal?.aborted) {
        for (const answer of active) yield* answer.finish('aborted');
        throw new InterruptedError();
      }
      while (
        queue.length > 0 &&
        active.length < model.engine.maxSequences &&
        fits(model.engine, queue[0].job, active)
      ) {
        const { job, index } = queue.shift()!;
        active.push(new Answer(model, job, index));
      }
      await begin(model.engine, active);
      const logits = await model.engine.step(active.map(({ sequence }) => ({ sequence, logits: 'last' })));
      for (let i = 0; i < active.length; i++) yield* active[i].advance(logits[i]);
      for (let i = active.length - 1; i >= 0; i--) if (active[i].isFinished) active.splice(i, 1)[0].sequence.free();
    }
  } finally {
    for (const { sequence } of active) sequence.free();
    for (const { root } of jobs) root?.free();
  }
}

/** One prompt with its settings, and its sequence once it is computed: all its answers fork from it. */
interface Job {
  readonly prompt: number;
  readonly ids: readonly number[];
  readonly settings: GenerationSettings;
  readonly started: number;
  root: Sequence | null;
}

function isSinglePrompt(prompts: Prompt | readonly Prompt[]): prompts is Prompt {
  if (typeof prompts === 'string') return true;
  const [first] = prompts;
  return typeof first === 'number' || (typeof first === 'object' && first !== null && 'role' in first);
}

function prepare(
  model: GenerationModel,
  prompt: Prompt,
  i: number,
  given: Readonly<Record<string, unknown>>,
  options: GenerateOptions,
): Job {
  const ids = encodePrompt(model, prompt, options.chat);
  const { config } = model.engine.model;
  const shape = {
    n_positions: model.engine.context,
    vocab_size: config.vocab_size,
    eos_token_id: model.tokenizer?.special.eos,
  };
  const { settings } = resolveSettings(
    given,
    model.generationConfig,
    shape,
    ids.length,
    options.fallbackNewTokens ?? 20,
  );
  if (settings.stop_strings.length > 0 && !model.tokenizer) {
    throw new SettingError('stop_strings', settings.stop_strings, 'needs a tokenizer, and this model has none');
  }
  return { prompt: i, ids, settings, started: performance.now(), root: null };
}

/** Whether one more answer can run to its end beside those that are running. */
function fits(engine: Engine, job: Job, active: readonly Answer[]): boolean {
  const reserved = active.reduce((sum, answer) => sum + answer.tokensToCome + engine.pageSize, 0);
  return active.length === 0 || job.ids.length + job.settings.max_new_tokens + reserved <= engine.freeTokens;
}

/** Compute prompts that several answers share once, and let the others fork. */
async function begin(engine: Engine, active: readonly Answer[]): Promise<void> {
  const fresh = active.filter(({ isFresh }) => isFresh);
  for (const { job } of fresh) {
    // The last token stays pending: each answer computes it for itself and gets its logits.
    job.root ??= engine.sequence(job.ids.slice(0, job.settings.num_return_sequences > 1 ? -1 : 0));
  }
  const roots = [...new Set(fresh.map(({ job }) => job.root!))].filter(({ pending }) => pending > 0);
  if (roots.length > 0) await engine.step(roots.map((sequence) => ({ sequence, logits: 'none' })));
  for (const answer of fresh) answer.start();
}

/** One answer while it is being written. */
class Answer {
  sequence!: Sequence;
  isFinished = false;
  isFresh = true;
  private readonly ids: number[] = [];
  private readonly choose: Chooser;
  private readonly stream: DecodeStream | null;
  private readonly stop: StopMatcher | null;
  private text = '';
  private firstToken = 0;

  constructor(
    model: GenerationModel,
    readonly job: Job,
    private readonly index: number,
  ) {
    const { settings } = job;
    this.choose = buildChooser(settings);
    this.stream = model.tokenizer?.stream({ skip_special_tokens: true }) ?? null;
    this.stop = settings.stop_strings.length > 0 ? new StopMatcher(settings.stop_strings) : null;
    // The text of an answer continues the prompt's: a leading space that a decoder would strip at the start of a text stays.
    for (const id of job.ids) this.stream?.push(id);
  }

  get tokensToCome(): number {
    return this.job.settings.max_new_tokens - this.ids.length;
  }

  /** Fork from the prompt. */
  start(): void {
    const root = this.job.root!;
    this.sequence = root.fork();
    this.sequence.append(this.job.ids.slice(root.length));
    this.isFresh = false;
  }

  /** Choose the next token from its logits. */
  *advance(logits: Float32Array): Iterable<GenerationEvent> {
    const { settings, ids: promptIds, started } = this.job;
    const context = { tokens: this.sequence.tokens, promptLength: promptIds.length };
    const random = () => uniform(settings.seed, this.index, this.ids.length);
    const { token, logprob } = this.choose(logits, context, random);
    if (this.ids.length === 0) this.firstToken = performance.now() - started;
    this.ids.push(token);
    const isEnd = settings.eos_token_id.includes(token);
    const decoded = isEnd ? '' : (this.stream?.push(token) ?? '');
    const { text, stopped } = this.stop ? this.stop.push(decoded) : { text: decoded, stopped: false };
    this.text += text;
    yield { type: 'token', prompt: this.job.prompt, index: this.index, id: token, text, logprob };
    if (isEnd) yield* this.finish('eos');
    else if (stopped) yield* this.finish('stop_string');
    else if (this.ids.length >= settings.max_new_tokens) yield* this.finish('length');
    else if (settings.max_time !== null && performance.now() - started > settings.max_time * 1000)
      yield* this.finish('time');
    else this.sequence.append([token]);
  }

  *finish(reason: FinishReason): Iterable<GenerationEvent> {
    const { prompt, ids: prompt_ids, settings, started } = this.job;
    this.isFinished = true;
    let rest = reason === 'stop_string' ? '' : (this.stream?.end() ?? '');
    if (this.stop && reason !== 'stop_string') {
      const { text, stopped } = this.stop.push(rest);
      rest = stopped ? text : text + this.stop.end();
    }
    if (rest !== '') {
      this.text += rest;
      yield { type: 'text', prompt, index: this.index, text: rest };
    }
    yield {
      type: 'done',
      prompt,
      index: this.index,
      text: this.text,
      ids: this.ids,
      prompt_ids,
      finish_reason: reason,
      seed: settings.seed,
      timings: {
        first_token_ms: this.firstToken,
        total_ms: performance.now() - started,
        prompt_tokens: prompt_ids.length,
        new_tokens: this.ids.length,
      },
    };
  }
}

/** Run a generation to its end: the results of all answers, in the order of prompts and of their answers. */
export async function generateAll(
  model: GenerationModel,
  prompts: Prompt | readonly Prompt[],
  given: Readonly<Record<string, unknown>> = {},
  options: GenerateOptions = {},
): Promise<GenerationResult[]> {
  const results: GenerationResult[] = [];
  for await (const event of generate(model, prompts, given, options)) {
    if (event.type === 'done') results.push(event);
  }
  return results.sort((a, b) => a.prompt - b.prompt || a.index - b.index);
}
