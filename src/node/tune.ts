/**
 * `tune`: a model made to do a task, in one call. It opens the model and the data, prepares what the method learns, and runs the loop over
 * a run folder, as pre-training does; the folder becomes an adapter, or a model.
 */
import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Backend } from '../backends/backend.ts';
import { CapacityError, FileFormatError, SettingError } from '../errors.ts';
import {
  adapterLayout,
  completeAdapterConfig,
  loadModel,
  type Model,
  type ModelParameter,
  type ParameterValues,
  parameterValues,
  weightSquares,
} from '../models/index.ts';
import { initialAdapter } from '../training/adapter_initialize.ts';
import { estimateFlops } from '../training/estimate.ts';
import type { TrainingEvent } from '../training/events.ts';
import { adapterLearner, type Learner, wholeModel } from '../training/learner.ts';
import { loopSettings } from '../training/loop.ts';
import { type TrainingPrecision, TrainingStep } from '../training/step.ts';
import {
  type ResolvedTuning,
  resolveTuning,
  type TuneFields,
  type TuneMethod,
  tuneMethods,
} from '../training/tuning_fields.ts';
import { openBackend } from './backends.ts';
import { machineMemory } from './memory.ts';
import { resolveModel } from './models.ts';
import { type ModelFiles, readModelFiles } from './open_model.ts';
import { type RunInfo, readRunInfo } from './run_folder.ts';
import { checkEmpty, checkSameRequest, given } from './run_request.ts';
import { type TrainingRun, trainingRun } from './training_run.ts';
import { adapterFiles, type LearningAdapter } from './tune_adapter.ts';
import { copyTokenizerFiles } from './tune_files.ts';
import { prepareMethod } from './tune_methods.ts';

/** How a run is tuned, besides its fields. All of it is kept in run.json. */
export interface TuneSettings {
  /** Default 0. */
  readonly seed?: number;
  /** Share of the records that is set apart for validation; default 0.1. */
  readonly validation_fraction?: number;
  /** Validation data of its own, instead of a part of the data. */
  readonly validation?: readonly string[];
  /** What the records are; told by their fields unless given. */
  readonly format?: string;
  /** What stands between the texts of a plain-text file. */
  readonly separator?: string;
  readonly eval_every?: number;
  readonly save_every?: number;
  readonly sample_every?: number;
  readonly patience?: number;
  readonly explosion_factor?: number;
  readonly precision?: TrainingPrecision;
  readonly recompute?: boolean;
  /** Newest checkpoints that are kept besides the best. Default 1. */
  readonly keep?: number;
  /** Rewards of GRPO: `format:EXPRESSION`, `exact`, `exact:FIELD`, `length:N`, each with `*WEIGHT` behind it where it is not 1. */
  readonly rewards?: readonly string[];
}

export interface TuneOptions extends TuneSettings {
  /** Default `sft`. */
  readonly method?: TuneMethod;
  /** What is tuned: a name, a hub id, a directory or a file. */
  readonly model?: string;
  /** Files of records. */
  readonly data?: readonly string[];
  readonly out?: string;
  /** Go on with the run of this folder. */
  readonly resume?: string;
  /** Fields by their names: see `tuneFields`, and those of training. */
  readonly fields?: TuneFields;
  readonly max_time?: number;
  readonly command?: readonly string[];
  readonly backend?: string;
  readonly threads?: number;
  readonly offline?: boolean;
  readonly signal?: AbortSignal;
  readonly onNotice?: (text: string) => void;
  readonly onProgress?: (progress: { readonly label: string; readonly done: number; readonly total?: number }) => void;
}

/** What run.json keeps of what was asked for. */
export interface TuneRequest extends TuneSettings {
  readonly method: TuneMethod;
  readonly model: string;
  readonly data: readonly string[];
  readonly fields: TuneFields;
}

/** What a run will be, before it begins. */
export interface TunePlan {
  readonly method: TuneMethod;
  readonly model: string;
  readonly learning: number;
  readonly frozen: number;
  readonly steps: number;
  readonly tokens_per_step: number;
  /** Bytes: frozen weights, what learns with its optimiser, and activations. */
  readonly memory: {
    readonly frozen: number;
    readonly learning: number;
    readonly activations: number;
    readonly total: number;
  };
  readonly flops_per_token: number;
  /** Lines about the data. */
  readonly data: readonly string[];
}

/** A run that is ready to begin. Close it, begun or not. */
export interface Tuning {
  readonly plan: TunePlan;
  events(): AsyncGenerator<TrainingEvent, void, void>;
  close(): Promise<void>;
}

const SETTINGS = [
  'seed',
  'validation_fraction',
  'validation',
  'format',
  'separator',
  'eval_every',
  'save_every',
  'sample_every',
  'patience',
  'explosion_factor',
  'precision',
  'recompute',
  'keep',
  'rewards',
] as const satisfies readonly (keyof TuneSettings)[];
const LOOP_SETTINGS = ['eval_every', 'sample_every', 'save_every', 'patience', 'explosion_factor'] as const;

/**
 * Tune. The events end with one of type `end`; everything is on disk by then. @throws as `openTuning`.
 */
export async function* tune(options: TuneOptions): AsyncGenerator<TrainingEvent, void, void> {
  const tuning = await openTuning(options);
  try {
    yield* tuning.events();
  } finally {
    await tuning.close();
  }
}

/**
 * Everything up to the first step.
 * @throws SettingError, NotFoundError, FileFormatError (a record that cannot be learned from, with its file, line and field), CapacityError or
 *   EnvironmentError when something is wrong with the settings, the model, the data, the machine or the folder.
 */
export async function openTuning(options: TuneOptions): Promise<Tuning> {
  const out = options.resume ?? options.out;
  if (out === undefined) throw new SettingError('out', undefined, 'names the folder of the run: give one');
  const previous = options.resume === undefined ? null : readRunInfo(options.resume);
  const request = previous ? resumedRequest(previous, options) : freshRequest(options);
  if (!previous) checkEmpty(out);
  const { method, seed = 0, precision = 'float32', recompute = false } = request;
  const resolved = resolveTuning(method, request.fields);
  const files = readModelFiles(await resolveModel(request.model, options));
  const { tokenizer } = files;
  if (!tokenizer) throw new SettingError('model', request.model, 'has no tokenizer: texts cannot be learned');

  const backend = openBackend(options);
  try {
    const base = await openBase(files, request, resolved, backend, seed);
    const { model, learner } = base;
    const prepared = await prepareMethod({
      ...options,
      request,
      resolved,
      files,
      tokenizer,
      model,
      learner,
      seed,
      out,
    });
    const { task, batches, evaluation } = prepared;
    const training = trainingOf(resolved, prepared.steps(Number(resolved.own.epochs)));
    const step = new TrainingStep(backend, task, { ...training, seed, precision, recompute });
    const frozen = bytesOf(task.frozen.values());
    const learning = 4 * elements([...step.state.values()]);
    const memory = { frozen, learning, activations: step.arenaBytes, total: frozen + learning + step.arenaBytes };
    if (memory.total > machineMemory()) throw tooLarge(memory);
    const flops = estimateFlops(task.config, { block_size: prepared.block_size, recompute }).per_token;
    const flops_per_token = base.adapter ? (2 / 3) * flops + 6 * elements(task.specs) : flops;
    const settings = loopSettings(training, { ...given(request, LOOP_SETTINGS), max_time: options.max_time });
    const run: TrainingRun<unknown> = {
      out,
      isResumed: previous !== null,
      command: options.command ?? [],
      description: {
        preset: request.model,
        settings: { method, ...resolved.own, ...settings, block_size: prepared.block_size, precision, recompute },
        request: request as unknown as Record<string, unknown>,
        data: prepared.files.map(({ path, bytes, sha256 }) => ({ name: path, hash: `sha256:${sha256}`, bytes })),
        seed,
      },
      step,
      async initialize() {
        for (const [name, values] of await base.initial()) step.write(name, values);
        await prepared.initialize?.(step);
      },
      begin: () => (base.adapter ? undefined : copyTokenizerFiles(files, out)),
      prepare: () => prepared.begin?.(step, base.adapter),
      batches,
      evaluation,
      counts: prepared.counts,
      settings,
      flops_per_token,
      data: prepared.tokens,
      snapshot: async () => ({
        config: base.adapter ? null : (files.config as Record<string, unknown>),
        tokenizer: null,
        generation: base.adapter ? undefined : files.generationConfig,
        beside: base.adapter ? await adapterFiles(step, base.adapter) : [],
        ...prepared.snapshot?.(step, base.adapter),
      }),
      keep: request.keep ?? 1,
      sample: prepared.sample?.(step, base.adapter),
      signal: options.signal,
      onNotice: options.onNotice,
    };
    if (previous) checkSameData(previous, prepared.files, out);
    const plan: TunePlan = {
      method,
      model: request.model,
      learning: elements(task.specs),
      frozen: [...task.frozen.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
      steps: training.max_steps,
      tokens_per_step: batches.tokensPerStep,
      memory,
      flops_per_token,
      data: prepared.lines,
    };
    return { plan, events: () => trainingRun(run), close: () => backend.close() };
  } catch (error) {
    await backend.close();
    throw error;
  }
}

interface Base {
  /** The model as it was; with full tuning only its configuration is of use, as its weights are those of the step. */
  readonly model: Model;
  readonly learner: Learner;
  readonly adapter: LearningAdapter | null;
  /** First values of what learns. */
  initial(): Promise<Iterable<readonly [string, Float32Array]>>;
}

async function openBase(
  files: ModelFiles,
  request: TuneRequest,
  { own, training }: ResolvedTuning,
  backend: Backend,
  seed: number,
): Promise<Base> {
  const { weights, config, configFile } = files;
  if (own.full === true) {
    if (weights.format === 'gguf') {
      const problem = `needs a Hugging Face directory, and ${request.model} is a GGUF file: make one by \`inkstone convert\``;
      throw new SettingError('full', true, problem);
    }
    const values = parameterValues(weights, config, configFile);
    const learner = wholeModel(values.config, training.dropout);
    const model: Model = { config: values.config, backend, parameters: new Map() };
    return { model, learner, adapter: null, initial: async () => valuesByName(values) };
  }
  const model = loadModel(weights, config, backend, { configFile });
  const targets = String(own.target_modules);
  const isList = /^[\w.,\s-]+$/.test(targets) && targets !== 'all-linear';
  const adapter = completeAdapterConfig({
    r: Number(own.r),
    lora_alpha: Number(own.lora_alpha ?? 2 * Number(own.r)),
    lora_dropout: Number(own.lora_dropout),
    use_rslora: own.use_rslora === true,
    use_dora: own.use_dora === true,
    target_modules: isList ? targets.split(/[\s,]+/).filter(Boolean) : targets,
    base_model_name_or_path: existsSync(request.model) ? resolve(request.model) : request.model,
  });
  const layout = adapterLayout(model.config, adapter);
  const squares = await weightSquares(model, layout);
  const frozen = new Map<string, ModelParameter>(model.parameters);
  for (const [name, values] of squares) {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    frozen.set(name, { dtype: 'f32', shape: [values.length], buffer: backend.adopt(bytes) });
  }
  return {
    model,
    learner: adapterLearner(layout, frozen, adapter.lora_dropout),
    adapter: { layout, config: adapter },
    initial: async () => initialAdapter(layout, squares, seed),
  };
}

function* valuesByName(values: ParameterValues): Generator<readonly [string, Float32Array]> {
  for (const spec of values.specs) yield [spec.name, values.read(spec)];
}

/** Training with what follows from the length of the run: a warm-up of a thirtieth, where none was given. */
function trainingOf({ training }: ResolvedTuning, steps: number) {
  const max_steps = training.max_steps ?? steps;
  const warmup_steps = training.warmup_steps >= 0 ? training.warmup_steps : Math.round(max_steps / 30);
  return { ...training, max_steps, warmup_steps };
}

function elements(specs: readonly { readonly shape: readonly number[] }[]): number {
  return specs.reduce((total, { shape }) => total + shape.reduce((a, b) => a * b, 1), 0);
}

function bytesOf(parameters: Iterable<ModelParameter>): number {
  let total = 0;
  for (const { buffer } of parameters) total += buffer.byteLength;
  return total;
}

function tooLarge({ frozen, learning, activations, total }: TunePlan['memory']): CapacityError {
  const gb = (bytes: number) => Number((bytes / 1e9).toPrecision(3));
  const parts = `frozen weights ${gb(frozen)}, what learns with its optimiser ${gb(learning)}, activations ${gb(activations)} GB`;
  const hint = `Of it ${parts}. A smaller batch_size or block_size, recompute, or an adapter instead of full tuning needs less`;
  return new CapacityError('memory', gb(total), gb(machineMemory()), 'GB', hint);
}

function freshRequest(options: TuneOptions): TuneRequest {
  const { method = 'sft', model, data = [], fields = {} } = options;
  if (!tuneMethods.includes(method))
    throw new SettingError('method', method, `must be one of ${tuneMethods.join(', ')}`);
  if (model === undefined) throw new SettingError('model', model, 'names the model to tune: give one');
  if (data.length === 0) throw new SettingError('data', data, 'names the records to learn from: give files');
  const settings = given(options, SETTINGS);
  if (settings.validation !== undefined && settings.validation_fraction !== undefined) {
    const problem = 'cannot go together with validation data of its own';
    throw new SettingError('validation_fraction', settings.validation_fraction, problem);
  }
  resolveTuning(method, fields);
  // Whole paths: a run may be resumed from elsewhere.
  const whole = (paths: readonly string[]) => paths.map((path) => resolve(path));
  const isHere = existsSync(model) && (statSync(model).isDirectory() || statSync(model).isFile());
  return {
    ...settings,
    ...(settings.validation ? { validation: whole(settings.validation) } : {}),
    method,
    model: isHere ? resolve(model) : model,
    data: whole(data),
    fields,
  };
}

function resumedRequest(previous: RunInfo, options: TuneOptions): TuneRequest {
  const before = previous.request as unknown as TuneRequest;
  if (typeof before.method !== 'string' || !Array.isArray(before.data)) {
    const problem = 'does not say what the run was asked for: it is no run of tune';
    throw new FileFormatError(`${options.resume}/run.json`, 'request', problem);
  }
  const now = { ...given(options, SETTINGS), ...options.fields, model: options.model, method: options.method };
  checkSameRequest({ ...before, ...before.fields }, now, options.resume!);
  const steps = options.fields?.max_steps;
  return {
    ...before,
    ...given(options, ['eval_every', 'save_every', 'sample_every', 'patience', 'keep']),
    fields: steps === undefined ? before.fields : { ...before.fields, max_steps: steps },
  };
}

function checkSameData(
  { data }: RunInfo,
  files: readonly { readonly path: string; readonly sha256: string }[],
  out: string,
): void {
  const known = new Map(data.map(({ name, hash }) => [name, hash]));
  const changed = files.find(({ path, sha256 }) => known.get(path) !== `sha256:${sha256}`);
  if (!changed) return;
  const problem = `is not what the run in ${out} was started with. Put it back, or start a new run`;
  throw new SettingError('data', changed.path, problem);
}
