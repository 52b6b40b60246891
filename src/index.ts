/** Inkstone as a library for Node: models by name, text generation, and the parts they are made of. */

import { SettingError } from './errors.ts';
import type { GenerationEvent, GenerationResult } from './generation/events.ts';
import { type GenerateOptions, generate, generateAll } from './generation/generate.ts';
import type { Prompt } from './generation/prompt.ts';
import { type OpenModel, type OpenModelOptions, openModel } from './node/open_model.ts';
import type { TrainOptions } from './node/train.ts';
import type { ChatMessage } from './prompts/index.ts';
import type { TrainingEvent } from './training/events.ts';

export * from './errors.ts';
export { Engine, type EngineOptions } from './generation/engine.ts';
export type * from './generation/events.ts';
export { type GenerateOptions, generate, generateAll, type StoppingCriterion } from './generation/generate.ts';
export { generateObject } from './generation/object.ts';
export type { Prompt } from './generation/prompt.ts';
export type { Sequence } from './generation/sequence.ts';
export { type SettingSpec, settingTable } from './generation/settings.ts';
export type { FinishReason, GenerationSettings } from './generation/types.ts';
export { openAdapter, saveAdapter } from './node/adapters.ts';
export { listModels, resolveModel } from './node/models.ts';
export { type OpenModel, type OpenModelOptions, openModel } from './node/open_model.ts';
export type { RunSettings, TrainOptions } from './node/train.ts';
export type { TrainingEvent } from './training/events.ts';
export { presetNames, resolvePreset } from './training/presets.ts';

/** What a text-generation pipeline answers for text: the prompt and its continuation. */
export interface GeneratedText {
  readonly generated_text: string;
}

/** What it answers for a conversation: the messages with the assistant's added. */
export interface GeneratedChat {
  readonly generated_text: readonly ChatMessage[];
}

export interface PipelineSettings {
  /** False leaves the prompt out of `generated_text`; true unless given. */
  readonly return_full_text?: boolean;
  readonly signal?: AbortSignal;
  /** What is no setting but a function or a model: see `GenerateOptions`. */
  readonly processors?: GenerateOptions['processors'];
  readonly stopping?: GenerateOptions['stopping'];
  readonly allowedTokens?: GenerateOptions['allowedTokens'];
  readonly assistant?: GenerateOptions['assistant'];
  readonly onStep?: GenerateOptions['onStep'];
  /** Any setting of generation by its name: see `settingTable`. */
  readonly [setting: string]: unknown;
}

export interface TextGenerationPipeline {
  (prompt: string, settings?: PipelineSettings): Promise<GeneratedText[]>;
  (messages: readonly ChatMessage[], settings?: PipelineSettings): Promise<GeneratedChat[]>;
  (prompts: readonly string[], settings?: PipelineSettings): Promise<GeneratedText[][]>;
  /** The same as a stream of tokens and results. */
  stream(prompt: Prompt | readonly Prompt[], settings?: PipelineSettings): AsyncGenerator<GenerationEvent, void, void>;
  readonly model: OpenModel;
  /** Free the model. */
  close(): Promise<void>;
}

/**
 * Train a model on text: a stream of events that ends with one of type `end`, by when the run's folder is a model that `pipeline` opens.
 * @throws SettingError, NotFoundError, FileFormatError, CapacityError or EnvironmentError before the first step for what cannot be.
 */
export async function* train(options: TrainOptions): AsyncGenerator<TrainingEvent, void, void> {
  // Loaded when it is used: whoever only generates starts sooner.
  const { train: begin } = await import('./node/train.ts');
  yield* begin(options);
}

/** New tokens of a pipeline when nobody says how many. */
const PIPELINE_TOKENS = 256;

/**
 * A function that generates text with a model.
 * @param task "text-generation".
 * @param name a name of the catalogue, an id of the hub, a directory or a file.
 */
export async function pipeline(
  task: 'text-generation',
  name?: string,
  options: OpenModelOptions = {},
): Promise<TextGenerationPipeline> {
  if (task !== 'text-generation') throw new SettingError('task', task, 'is not supported: "text-generation" is');
  const model = await openModel(name, options);
  const run = async (input: string | readonly string[] | readonly ChatMessage[], given: PipelineSettings = {}) => {
    const { settings, full, generateOptions } = split(given);
    const results = await generateAll(model, input as Prompt | readonly Prompt[], settings, generateOptions);
    const answers = results.map((result) => ({ prompt: result.prompt, generated_text: fullText(input, result, full) }));
    const isBatch = Array.isArray(input) && typeof input[0] === 'string';
    if (!isBatch) return answers.map(({ generated_text }) => ({ generated_text }));
    return input.map((_, i) =>
      answers.filter(({ prompt }) => prompt === i).map(({ generated_text }) => ({ generated_text })),
    );
  };
  return Object.assign(run, {
    model,
    stream: (prompt: Prompt | readonly Prompt[], given: PipelineSettings = {}) => {
      const { settings, generateOptions } = split(given);
      return generate(model, prompt, settings, generateOptions);
    },
    close: () => model.close(),
  }) as unknown as TextGenerationPipeline;
}

function split(given: PipelineSettings): {
  settings: Record<string, unknown>;
  full: boolean;
  generateOptions: GenerateOptions;
} {
  const {
    return_full_text = true,
    signal,
    processors,
    stopping,
    allowedTokens,
    assistant,
    onStep,
    ...settings
  } = given;
  const own = { signal, processors, stopping, allowedTokens, assistant, onStep };
  return { settings, full: return_full_text, generateOptions: { ...own, fallbackNewTokens: PIPELINE_TOKENS } };
}

function fullText(
  input: string | readonly string[] | readonly ChatMessage[],
  { prompt, text }: GenerationResult,
  full: boolean,
): string | readonly ChatMessage[] {
  if (typeof input === 'string') return full ? input + text : text;
  if (typeof input[0] === 'string') return full ? (input[prompt] as string) + text : text;
  const answer: ChatMessage = { role: 'assistant', content: text };
  return full ? [...(input as readonly ChatMessage[]), answer] : [answer];
}
