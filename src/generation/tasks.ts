/** From a request to the tasks that write its answers: settings settled, combinations that make no sense refused, a strategy chosen. */
import { CapacityError, SettingError } from '../errors.ts';
import { constraintVocabulary } from './constraints/vocabulary.ts';
import type { GenerateOptions, GenerationModel } from './generate.ts';
import { beginsWith } from './healing.ts';
import { encodePrompt, type Prompt } from './prompt.ts';
import { resolveSettings } from './settings.ts';
import { assistedTask } from './strategies/assisted.ts';
import { beamTask } from './strategies/beams.ts';
import { contrastiveTask } from './strategies/contrastive.ts';
import { type Drafter, earlyExitEngine, lookupDrafter, modelDrafter, textDrafter } from './strategies/drafts.ts';
import { ForcedWords } from './strategies/forced_words.ts';
import { Job } from './strategies/job.ts';
import { sampleTask } from './strategies/sample.ts';
import type { Task } from './strategies/strategy.ts';
import { compileStructure } from './structure.ts';
import type { GenerationSettings } from './types.ts';

/** A task that has not begun. */
export interface WaitingTask {
  readonly job: Job;
  readonly make: () => Task;
  /** Tokens of cache that it needs besides the prompt. */
  readonly tokens: number;
}

/** Settle the settings of a prompt and everything that its answers share. @throws as `generate`. */
export function prepareJob(
  model: GenerationModel,
  prompt: Prompt,
  i: number,
  given: Readonly<Record<string, unknown>>,
  options: GenerateOptions,
  fingerprint: string,
  adapter: string | null = null,
): Job {
  let ids: readonly number[] = encodePrompt(model, prompt, options.chat);
  const { engine, tokenizer } = model;
  const shape = {
    n_positions: engine.context,
    vocab_size: engine.model.config.vocab_size,
    eos_token_id: tokenizer?.special.eos,
  };
  const fallback = options.fallbackNewTokens ?? 20;
  const { settings } = resolveSettings(given, model.generationConfig, shape, ids.length, fallback);
  const needTokenizer = (name: keyof GenerationSettings, isUsed: boolean) => {
    if (isUsed && !tokenizer) {
      throw new SettingError(name, settings[name], 'needs a tokenizer, and this model has none');
    }
  };
  needTokenizer('stop_strings', settings.stop_strings.length > 0);
  needTokenizer('structured_output', settings.structured_output !== null);
  needTokenizer('token_healing', settings.token_healing);
  refuseForModel(model, settings, options);
  for (const name of ['output_attentions', 'output_hidden_states'] as const) {
    if (adapter !== null && settings[name])
      throw new SettingError(
        name,
        true,
        `cannot be told of an answer by the adapter "${adapter}": merge it into the model`,
      );
  }
  let constraint = settings.structured_output && compileStructure(settings.structured_output, tokenizer!);
  let healed = '';
  if (settings.token_healing && ids.length > 1) {
    const vocabulary = constraintVocabulary(tokenizer!);
    const bytes = vocabulary.bytesOf(ids[ids.length - 1]);
    const text = bytes ? new TextDecoder().decode(bytes) : '';
    // Half a character cannot be taken back from a text that has been shown.
    if (bytes && !text.includes('\ufffd')) {
      constraint = beginsWith(bytes, vocabulary);
      healed = text;
      ids = ids.slice(0, -1);
    }
  }
  const isShared = settings.num_beams > 1 || settings.num_return_sequences > 1;
  return new Job({
    prompt: i,
    ids,
    settings,
    model,
    options,
    constraint,
    healed,
    isShared,
    fingerprint: adapter === null ? fingerprint : `${fingerprint}-${model.engine.adapterPrint(adapter)}`,
    adapter,
  });
}

function refuseForModel(model: GenerationModel, settings: GenerationSettings, { assistant }: GenerateOptions): void {
  const layers = model.engine.model.config.layers.length;
  const { assistant_early_exit, dola_layers, num_beams, penalty_alpha, prompt_lookup_num_tokens } = settings;
  if (assistant_early_exit !== null && assistant_early_exit >= layers) {
    throw new SettingError(
      'assistant_early_exit',
      assistant_early_exit,
      `has to be less than the model's ${layers} layers`,
    );
  }
  if (Array.isArray(dola_layers) && dola_layers.some((layer) => layer >= layers)) {
    throw new SettingError('dola_layers', dola_layers, `has to be layers before the model's last, 0 to ${layers - 1}`);
  }
  if (assistant) {
    const other = num_beams > 1 ? 'num_beams' : penalty_alpha !== null ? 'penalty_alpha' : null;
    const drafts =
      prompt_lookup_num_tokens !== null
        ? 'prompt_lookup_num_tokens'
        : assistant_early_exit !== null && 'assistant_early_exit';
    if (other)
      throw new SettingError(
        'assistant',
        'a model',
        `cannot go with ${other}: drafts follow one text, and this compares several`,
      );
    if (drafts) throw new SettingError('assistant', 'a model', `cannot go with ${drafts}: only one can draft`);
  }
  const words = new ForcedWords(settings);
  if (words.needed > settings.max_new_tokens) {
    const name = settings.force_words_ids.length > 0 ? 'force_words_ids' : 'constraints';
    throw new SettingError(
      name,
      settings[name],
      `needs ${words.needed} tokens, and max_new_tokens is ${settings.max_new_tokens}`,
    );
  }
}

/** The tasks of a prompt: one for each answer, or one for all where they come from one search. */
export function tasksOf(job: Job): WaitingTask[] {
  const { settings, engine } = job;
  const one = settings.max_new_tokens + engine.pageSize;
  if (settings.num_beams > 1) return [waiting(job, settings.num_beams * one, () => beamTask(job))];
  if (settings.penalty_alpha !== null) {
    return [waiting(job, one + settings.top_k * engine.pageSize, () => contrastiveTask(job))];
  }
  return Array.from({ length: settings.num_return_sequences }, (_, index) => {
    return waiting(job, one, () => {
      const drafter = drafterFor(job, index);
      return drafter ? assistedTask(job, index, drafter) : sampleTask(job, index);
    });
  });
}

function waiting(job: Job, tokens: number, make: () => Task): WaitingTask {
  const { width } = job;
  const needed = width * (tokens + job.ids.length);
  const { cacheTokens } = job.engine;
  if (
    needed > cacheTokens + job.engine.pageSize &&
    width * tokens > job.settings.max_new_tokens + job.engine.pageSize
  ) {
    const hint = 'Use fewer beams or candidates, or fewer new tokens';
    throw new CapacityError('KV cache', needed, cacheTokens, 'tokens', hint);
  }
  return { job, make, tokens: width * tokens };
}

function drafterFor(job: Job, index: number): Drafter | null {
  const { settings, options, model, engine } = job;
  const { prompt_lookup_num_tokens, max_matching_ngram_size, assistant_early_exit } = settings;
  if (prompt_lookup_num_tokens !== null) return lookupDrafter(prompt_lookup_num_tokens, max_matching_ngram_size);
  if (assistant_early_exit !== null) return modelDrafter(job, index, earlyExitEngine(engine, assistant_early_exit));
  const { assistant } = options;
  if (!assistant) return null;
  const [own, theirs] = [model.tokenizer, assistant.tokenizer];
  const sameWords = own === theirs || (own !== null && theirs !== null && haveSameTokens(own, theirs));
  if (sameWords) return modelDrafter(job, index, assistant.engine);
  if (own && theirs) return textDrafter(job, own, assistant.engine, theirs);
  throw new SettingError('assistant', 'a model', 'has a tokenizer where the other has none: they cannot meet in text');
}

type Tokenizers = NonNullable<GenerationModel['tokenizer']>;
const compared = new WeakMap<Tokenizers, WeakMap<Tokenizers, boolean>>();

/** Whether two tokenizers give the same ids the same texts. */
function haveSameTokens(a: Tokenizers, b: Tokenizers): boolean {
  const known = compared.get(a) ?? new WeakMap<Tokenizers, boolean>();
  compared.set(a, known);
  let same = known.get(b);
  if (same === undefined) {
    same = true;
    for (let id = 0; same; id++) {
      const [x, y] = [a.idToToken(id), b.idToToken(id)];
      same = x === y;
      if (x === undefined && y === undefined) break;
    }
    known.set(b, same);
  }
  return same;
}
