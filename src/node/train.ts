/**
 * `train`: from a folder of text to a model, in one call. It opens the data, makes or reads the tokenizer, compiles the step,
 * and runs the loop over a run folder that holds everything needed to repeat or resume it.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Backend } from '../backends/backend.ts';
import { EnvironmentError, FileFormatError, SettingError } from '../errors.ts';
import { Engine } from '../generation/engine.ts';
import { generateAll } from '../generation/generate.ts';
import type { Tokenizer } from '../tokenizers/index.ts';
import { BatchStream, EvaluationBatches, type WindowOrder } from '../training/data/index.ts';
import { estimateFlops } from '../training/estimate.ts';
import { assertFits } from '../training/estimate_fit.ts';
import type { TrainingEvent } from '../training/events.ts';
import { initialize } from '../training/initialize.ts';
import { wholeModel } from '../training/learner.ts';
import { EVALUATION_BATCHES, loopSettings } from '../training/loop.ts';
import { fittingVocabulary, modelFiles } from '../training/model_files.ts';
import { findPreset, type PresetOverrides, resolvePreset, type TrainingDefaults } from '../training/presets.ts';
import { type TrainingPrecision, TrainingStep } from '../training/step.ts';
import { nextTokenTask } from '../training/task.ts';
import { openBackend } from './backends.ts';
import { type CorpusProgress, type CorpusSource, type DiskCorpus, openCorpus } from './corpus.ts';
import { machineMemory } from './memory.ts';
import { type RunInfo, readRunInfo } from './run_folder.ts';
import { checkEmpty, checkSameRequest, given } from './run_request.ts';
import { trainingRun, writeWhole } from './training_run.ts';
import { type TokenizerProgress, trainingTokenizer } from './training_tokenizer.ts';

/** How a run learns, besides the fields of its preset. All of it is kept in run.json. */
export interface RunSettings {
  /** Default 0. */
  readonly seed?: number;
  /** `characters`, `bpe`, `unigram` (learned from the data), a tokenizer.json, or a model's directory or name. */
  readonly tokenizer?: string;
  /** Share of the data that is set apart for validation; default 0.1. */
  readonly validation_fraction?: number;
  /** Validation data of its own, instead of a part of the data. */
  readonly validation?: readonly string[];
  /** Set apart the last part of the tokens, or whole documents. Default `tokens`. */
  readonly validation_by?: 'tokens' | 'documents';
  /** Windows of an evaluation; default those of 50 batches. */
  readonly eval_windows?: number;
  readonly eval_every?: number;
  readonly save_every?: number;
  readonly sample_every?: number;
  /** What samples continue; default the beginning of a document. */
  readonly sample_prompt?: string;
  readonly patience?: number;
  readonly explosion_factor?: number;
  readonly order?: WindowOrder;
  /** Whether a token sees the documents before its own in a window, as in GPT. False: positions count from the start of each. Default true. */
  readonly cross_document_attention?: boolean;
  readonly precision?: TrainingPrecision;
  readonly recompute?: boolean;
  readonly label_smoothing?: number;
  readonly z_loss?: number;
  /** Checkpoints kept besides the best. Default 2. */
  readonly keep?: number;
}

export interface TrainOptions extends RunSettings {
  /** A preset (see `presetNames`), by default `nano`. */
  readonly model?: string;
  /** Files, folders or globs of text. */
  readonly data?: string | readonly (string | CorpusSource)[];
  /** The run's folder, which becomes a Hugging Face directory of the model. */
  readonly out?: string;
  /** Go on with the run of this folder. Its settings stand; `max_steps` may be raised. */
  readonly resume?: string;
  /** Fields over the preset, by their names. */
  readonly fields?: PresetOverrides;
  /** Stop after so many seconds of training, counted from this start. */
  readonly max_time?: number;
  /** The command line, for run.json. */
  readonly command?: readonly string[];
  readonly backend?: string;
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onTokenizer?: (progress: TokenizerProgress) => void;
  readonly onCorpus?: (progress: CorpusProgress) => void;
  /** Something to know that does not stop the run. */
  readonly onNotice?: (text: string) => void;
}

/** What run.json keeps of what was asked for. */
interface Request extends RunSettings {
  readonly model: string;
  readonly data: readonly (string | CorpusSource)[];
  readonly fields: PresetOverrides;
}

/**
 * Train. The events end with one of type `end`; everything is on disk by then.
 * @throws SettingError, NotFoundError, FileFormatError, CapacityError or EnvironmentError before the first step when something is wrong with
 *   the settings, the data, the machine or the folder.
 */
export async function* train(options: TrainOptions): AsyncGenerator<TrainingEvent, void, void> {
  const { signal, onNotice } = options;
  const out = options.resume ?? options.out;
  if (out === undefined) throw new SettingError('out', undefined, 'names the folder of the run: give one');
  const previous = options.resume === undefined ? null : readRunInfo(options.resume);
  const request = previous ? resumedRequest(previous, options) : freshRequest(options);
  if (!previous) checkEmpty(out);

  const made = await trainingTokenizer({
    kind: request.tokenizer,
    saved: previous && existsSync(join(out, 'tokenizer.json')) ? join(out, 'tokenizer.json') : null,
    preset: findPreset(request.model),
    fields: request.fields,
    sources: request.data,
    signal,
    onProgress: options.onTokenizer,
  });
  const { tokenizer } = made;
  const resolved = resolvePreset(request.model, {
    ...request.fields,
    vocab_size: fittingVocabulary(request.fields.vocab_size, tokenizer),
  });
  const { fields, config, decoder, training } = resolved;
  const { block_size, initializer_range } = fields;
  const { precision = 'float32', recompute = false, seed = 0, cross_document_attention = true } = request;
  assertFits(decoder, { ...training, block_size, precision, recompute, cross_document_attention }, machineMemory());

  const corpus = await openCorpus({
    sources: request.data,
    tokenizer,
    ...(request.validation
      ? { validation: request.validation }
      : { split: { by: request.validation_by ?? 'tokens', fraction: request.validation_fraction ?? 0.1, seed } }),
    signal,
    onProgress: options.onCorpus,
  });
  let backend: Backend | null = null;
  try {
    for (const file of corpus.skipped) onNotice?.(`left out: ${file} (no text by its name, or empty)`);
    if (previous) checkSameData(previous, corpus, out);
    const { batches, evaluation } = openBatches(request, training, corpus, block_size, seed);
    const settings = loopSettings(training, { ...given(request, LOOP_SETTINGS), max_time: options.max_time });
    backend = openBackend(options);
    const { label_smoothing, z_loss } = request;
    const task = nextTokenTask(wholeModel(decoder, training.dropout), {
      ...training,
      block_size,
      cross_document_attention,
      label_smoothing,
      z_loss,
    });
    const step = new TrainingStep(backend, task, { ...training, seed, precision, recompute });
    const files = modelFiles(config, tokenizer, made.json);
    const { counts } = corpus;
    yield* trainingRun({
      out,
      isResumed: previous !== null,
      command: options.command ?? [],
      description: {
        preset: request.model,
        settings: {
          ...fields,
          ...settings,
          block_size,
          cross_document_attention,
          precision,
          recompute,
          ...runSettingsOf(request),
        },
        request: request as unknown as Record<string, unknown>,
        data: [
          { name: 'tokens', hash: `sha256:${corpus.hashes.data}`, tokens: corpus.tokens },
          { name: 'tokenizer', hash: `sha256:${corpus.hashes.tokenizer}` },
          ...corpus.files.map(({ path, bytes, sha256 }) => ({ name: path, hash: `sha256:${sha256}`, bytes })),
        ],
        seed,
      },
      step,
      initialize: () => initialize(step, { seed, initializer_range }),
      begin() {
        // A run that is stopped before its first checkpoint goes on with this tokenizer.
        writeWhole(join(out, 'tokenizer.json'), JSON.stringify(made.json));
        writeWhole(join(out, 'tokenizer_config.json'), JSON.stringify(files.tokenizerConfig));
      },
      batches,
      evaluation,
      counts: counts.validation,
      settings,
      flops_per_token: estimateFlops(decoder, { block_size, recompute }).per_token,
      data: { train: counts.train.tokens, validation: counts.validation.tokens },
      snapshot: async () => files,
      keep: request.keep ?? 2,
      sample: sampler(step, tokenizer, request, seed),
      signal,
      onNotice,
    });
  } finally {
    corpus.close();
    await backend?.close();
  }
}

/** The data as batches, and the windows of evaluation; null where nothing is set apart. */
function openBatches(
  { order = 'random', eval_windows, cross_document_attention }: RunSettings,
  { batch_size, gradient_accumulation_steps }: TrainingDefaults,
  corpus: DiskCorpus,
  block_size: number,
  seed: number,
): { readonly batches: BatchStream; readonly evaluation: EvaluationBatches | null } {
  const shape = { batch_size, block_size, cross_document_attention };
  const windows = eval_windows ?? EVALUATION_BATCHES * batch_size;
  return {
    batches: new BatchStream(corpus.train, { ...shape, seed, order, gradient_accumulation_steps }),
    evaluation: corpus.validation && new EvaluationBatches(corpus.validation, { ...shape, windows }),
  };
}

function freshRequest(options: TrainOptions): Request {
  const { model = 'nano', data, fields = {} } = options;
  const sources = typeof data === 'string' ? [data] : (data ?? []);
  if (sources.length === 0)
    throw new SettingError('data', data, 'names the text to learn from: give a file, folder or glob');
  // Whole paths: a run may be resumed from elsewhere.
  const whole = sources.map((source) =>
    typeof source === 'string' ? resolve(source) : { ...source, path: resolve(source.path) },
  );
  const settings = runSettingsOf(options);
  if (settings.validation === undefined) return { model, data: whole, fields, ...settings };
  for (const name of ['validation_fraction', 'validation_by'] as const) {
    if (settings[name] !== undefined)
      throw new SettingError(name, settings[name], 'cannot go together with validation data of its own');
  }
  return { model, data: whole, fields, ...settings, validation: settings.validation.map((path) => resolve(path)) };
}

const RUN_SETTINGS = [
  'seed',
  'tokenizer',
  'validation_fraction',
  'validation',
  'validation_by',
  'eval_windows',
  'eval_every',
  'save_every',
  'sample_every',
  'sample_prompt',
  'patience',
  'explosion_factor',
  'order',
  'cross_document_attention',
  'precision',
  'recompute',
  'label_smoothing',
  'z_loss',
  'keep',
] as const satisfies readonly (keyof RunSettings)[];

/** Those of them that are the loop's. */
const LOOP_SETTINGS = ['eval_every', 'sample_every', 'save_every', 'patience', 'explosion_factor'] as const;

function runSettingsOf(options: RunSettings): RunSettings {
  return given(options, RUN_SETTINGS);
}

function resumedRequest(previous: RunInfo, options: TrainOptions): Request {
  const before = previous.request as unknown as Request;
  if (typeof before.model !== 'string' || !Array.isArray(before.data)) {
    throw new FileFormatError(`${options.resume}/run.json`, 'request', 'does not say what the run was asked for');
  }
  const now = { ...runSettingsOf(options), ...options.fields, model: options.model };
  checkSameRequest({ ...before, ...before.fields }, now, options.resume!);
  const changed = given(options, ['eval_every', 'save_every', 'sample_every', 'sample_prompt', 'patience', 'keep']);
  const steps = options.fields?.max_steps;
  return {
    ...before,
    ...changed,
    fields: steps === undefined ? before.fields : { ...before.fields, max_steps: steps },
  };
}

function checkSameData({ data }: RunInfo, corpus: DiskCorpus, out: string): void {
  const known = data.find(({ name }) => name === 'tokens');
  if (known?.hash === `sha256:${corpus.hashes.data}`) return;
  throw new EnvironmentError(
    `The data is not what the run in ${out} was started with: its files or the tokenizer have changed. Put them back, or start a new run.`,
  );
}

/** Samples of the model as it is now. */
function sampler(step: TrainingStep, tokenizer: Tokenizer, { sample_prompt }: RunSettings, seed: number) {
  const begin = tokenizer.special.eos ?? tokenizer.special.bos;
  const prompt = sample_prompt ?? (begin === undefined ? '\n' : [begin]);
  const { n_positions } = step.config;
  const room = n_positions - (typeof prompt === 'string' ? tokenizer.encodeIds(prompt).length : prompt.length);
  let engine: Engine | null = null;
  return async (at: number) => {
    // Weights change, so what was computed of a beginning is not kept.
    engine ??= new Engine(step.model, {
      precision: 'exact',
      prefixCache: false,
      cacheTokens: n_positions,
      maxSequences: 1,
    });
    const model = { engine, tokenizer, chatTemplate: null, generationConfig: {} };
    const [answer] = await generateAll(model, prompt, {
      max_new_tokens: Math.max(1, Math.min(100, room)),
      do_sample: true,
      temperature: 0.8,
      top_k: 50,
      seed: (seed + at) % 2 ** 32,
      ...(begin === undefined ? {} : { eos_token_id: [begin] }),
    });
    return { prompt: sample_prompt ?? '', text: answer.text };
  };
}
