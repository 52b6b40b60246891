/** Generation: prompts in, a stream of tokens and texts out. Many answers advance together, one engine step at a time. */
import { InterruptedError, SettingError } from '../errors.ts';
import type { RenderOptions } from '../prompts/index.ts';
import type { Engine, StepResult } from './engine.ts';
import type { GenerationEvent, GenerationResult } from './events.ts';
import type { StepObserver } from './explain.ts';
import { fingerprintOf } from './fingerprint.ts';
import { inspectText } from './inspect.ts';
import type { Prompt, PromptModel } from './prompt.ts';
import type { BeamStep } from './strategies/beams.ts';
import type { Job } from './strategies/job.ts';
import type { Ask, Task } from './strategies/strategy.ts';
import { prepareJob, tasksOf, type WaitingTask } from './tasks.ts';
import type { LogitsProcessor } from './types.ts';

export interface GenerationModel extends PromptModel {
  readonly engine: Engine;
  /** The content of generation_config.json: defaults under the request's settings. */
  readonly generationConfig: Readonly<Record<string, unknown>>;
  /** The engine's adapter that answers where a request names none. */
  readonly adapter?: string;
}

/** The user's own reason to stop: prompt and answer so far, and the answer's text. */
export type StoppingCriterion = (tokens: readonly number[], text: string) => boolean;

export interface GenerateOptions {
  readonly signal?: AbortSignal;
  /** New tokens when neither the request nor the model says: 20, as the field's `generate`; pipelines use 256. */
  readonly fallbackNewTokens?: number;
  /** Variables of the chat template, for prompts that are conversations. */
  readonly chat?: RenderOptions;
  /** Processors of the user's own: after those of the settings, before the warpers. */
  readonly processors?: readonly LogitsProcessor[];
  /** The tokens that may follow others (`prefix_allowed_tokens_fn`). */
  readonly allowedTokens?: (tokens: readonly number[]) => Iterable<number>;
  readonly stopping?: readonly StoppingCriterion[];
  /** The engine's adapter that answers, or that of each prompt; null for the model alone. The model's own unless given. */
  readonly adapter?: string | null | readonly (string | null)[];
  /** A smaller model that drafts, with the same tokenizer or another. */
  readonly assistant?: GenerationModel;
  /** Told each step of each answer: raw and processed scores and the choice. */
  readonly onStep?: StepObserver;
  /** Told each step of each beam search. */
  readonly onBeams?: (step: BeamStep) => void;
}

type Settings = Readonly<Record<string, unknown>>;

/**
 * Generate for one prompt or several. Answers end in whatever order they do; events of one answer are in order. Answer j of prompt i depends
 * on (weights, prompt, settings, seed, j) alone: not on the other prompts, nor on threads.
 * @param given settings for all prompts, or a list with those of each.
 * @throws SettingError for a setting that is unknown, impossible or not supported; CapacityError when prompt and answer exceed the
 *   context. Both before anything runs.
 */
export async function* generate(
  model: GenerationModel,
  prompts: Prompt | readonly Prompt[],
  given: Settings | readonly Settings[] = {},
  options: GenerateOptions = {},
): AsyncGenerator<GenerationEvent, void, void> {
  const list = isSinglePrompt(prompts) ? [prompts] : prompts;
  const settings = Array.isArray(given) ? (given as readonly Settings[]) : list.map(() => given as Settings);
  if (settings.length !== list.length) {
    throw new SettingError('settings', settings.length, `has to be as many as there are prompts, ${list.length}`);
  }
  const adapters = adaptersOf(model, options, list.length);
  const fingerprint = await fingerprintOf(model.engine);
  const jobs = list.map((prompt, i) => prepareJob(model, prompt, i, settings[i], options, fingerprint, adapters[i]));
  const queue = jobs.flatMap((job) => tasksOf(job));
  const active: Running[] = [];
  try {
    let breath = performance.now();
    while (queue.length > 0 || active.length > 0) {
      // A backend that computes on this thread keeps signals and timers waiting: let them in now and then.
      if (performance.now() - breath > 50) {
        await new Promise((resolve) => setTimeout(resolve, 0));
        breath = performance.now();
      }
      if (options.signal?.aborted) {
        for (const { task } of active) yield* task.abort();
        throw new InterruptedError();
      }
      while (queue.length > 0 && fits(model.engine, queue[0], active)) {
        const { job, make } = queue.shift()!;
        await computeShared(job);
        active.push({ job, task: make(), asks: [] });
      }
      for (const running of active) if (running.asks.length === 0) yield* advance(running, []);
      const results = await step(active);
      for (let i = 0; i < active.length; i++) yield* advance(active[i], results[i]);
      for (let i = active.length - 1; i >= 0; i--) if (active[i].asks.length === 0) active.splice(i, 1);
    }
  } finally {
    for (const { task } of active) task.free();
    for (const job of jobs) job.release();
  }
}

/** The adapter of each prompt. @throws SettingError for one that is not there, or a list of another length. */
function adaptersOf(
  { engine, adapter: usual }: GenerationModel,
  { adapter = usual ?? null }: GenerateOptions,
  count: number,
): readonly (string | null)[] {
  const list =
    typeof adapter === 'string' || adapter === null ? new Array<string | null>(count).fill(adapter) : adapter;
  if (list.length !== count)
    throw new SettingError('adapter', list.length, `has to be as many as there are prompts, ${count}`);
  for (const name of list) engine.adapterKey(name);
  return list;
}

/** A task and what it waits for; nothing once it has ended. */
interface Running {
  readonly job: Job;
  readonly task: Task;
  asks: readonly Ask[];
}

/** Let a strategy run until it wants rows or ends. */
async function* advance(running: Running, results: readonly StepResult[]): AsyncGenerator<GenerationEvent, void, void> {
  const { task, job } = running;
  let turn = task.strategy.next(results);
  while (!turn.done && 'events' in turn.value) {
    for (const event of turn.value.events) yield event.type === 'done' ? await withInspection(job, event) : event;
    turn = task.strategy.next([]);
  }
  running.asks = turn.done ? [] : (turn.value as { readonly asks: readonly Ask[] }).asks;
}

/** One step of every engine that anybody asks something of. */
async function step(active: readonly Running[]): Promise<(readonly StepResult[])[]> {
  const engines = new Set(active.flatMap(({ asks }) => asks.map(({ engine }) => engine)));
  const results = active.map(({ asks }) => new Array<StepResult>(asks.length));
  for (const engine of engines) {
    const places = active.flatMap(({ asks }, i) =>
      asks.flatMap((ask, j) => (ask.engine === engine ? [{ ask, i, j }] : [])),
    );
    const found = await engine.step(places.map(({ ask }) => ask));
    places.forEach(({ i, j }, at) => {
      results[i][j] = found[at];
    });
  }
  return results;
}

async function withInspection(
  job: Job,
  event: Extract<GenerationEvent, { type: 'done' }>,
): Promise<Extract<GenerationEvent, { type: 'done' }>> {
  const { output_attentions, output_hidden_states } = job.settings;
  if (!output_attentions && !output_hidden_states) return event;
  // The last token was chosen and not read.
  const ids = [...event.prompt_ids, ...event.ids].slice(0, -1);
  const { hidden_states, attentions } = await inspectText(job.engine.model, ids);
  return { ...event, ...(output_hidden_states && { hidden_states }), ...(output_attentions && { attentions }) };
}

function isSinglePrompt(prompts: Prompt | readonly Prompt[]): prompts is Prompt {
  if (typeof prompts === 'string') return true;
  const [first] = prompts;
  return typeof first === 'number' || (typeof first === 'object' && first !== null && 'role' in first);
}

/** Whether one more task can run to its end beside those that are running. */
function fits(engine: Engine, { job, tokens }: WaitingTask, active: readonly Running[]): boolean {
  if (active.length === 0) return true;
  if (active.length >= engine.maxSequences) return false;
  const reserved = active.reduce((sum, { job, task }) => sum + job.width * (task.tokensToCome() + engine.pageSize), 0);
  return job.width * job.ids.length + tokens + reserved <= engine.freeTokens;
}

/** Compute what several branches of a prompt share; they fork from it. */
async function computeShared(job: Job): Promise<void> {
  const { main, free } = job.shared();
  const pending = [main, ...(free ? [free] : [])].filter((sequence) => sequence.pending > 0);
  const chunk = job.settings.prefill_chunk_size ?? Number.POSITIVE_INFINITY;
  for (const sequence of pending) {
    const tokens = sequence.tokens.slice(sequence.computed);
    sequence.truncate(sequence.computed);
    for (let at = 0; at < tokens.length; at += chunk) {
      sequence.append(tokens.slice(at, at + chunk));
      await job.engine.step([{ sequence, logits: 'none' }]);
    }
  }
}

/** Run a generation to its end: the results of all answers, in the order of prompts and of their answers. */
export async function generateAll(
  model: GenerationModel,
  prompts: Prompt | readonly Prompt[],
  given: Settings | readonly Settings[] = {},
  options: GenerateOptions = {},
): Promise<GenerationResult[]> {
  const results: GenerationResult[] = [];
  for await (const event of generate(model, prompts, given, options)) {
    if (event.type === 'done') results.push(event);
  }
  return results.sort((a, b) => a.prompt - b.prompt || a.index - b.index);
}
