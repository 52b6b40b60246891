/**
 * Training in a page: from texts to a model, in memory. The same steps, batches and loop as `train` of Node, so the same losses; what
 * that keeps in a run folder is given back as files.
 */
import type { Backend } from '../backends/backend.ts';
import { Engine } from '../generation/engine.ts';
import type { GenerationModel } from '../generation/generate.ts';
import { type Tokenizer, type TrainedTokenizer, trainCharacters } from '../tokenizers/index.ts';
import {
  assertFits,
  BatchStream,
  corpusFromTexts,
  EVALUATION_BATCHES,
  EvaluationBatches,
  estimateFlops,
  initialize,
  loopSettings,
  modelTensors,
  nextTokenTask,
  type PresetOverrides,
  type ResolvedPreset,
  resolvePreset,
  type TrainingEvent,
  TrainingStep,
  trainingLoop,
  wholeModel,
} from '../training/index.ts';
import { END_OF_TEXT, fittingVocabulary, modelFiles, type SavedFiles } from '../training/model_files.ts';
import { writeSafetensorsAsync } from '../weights/index.ts';

export interface BrowserTraining {
  /** Documents. */
  readonly texts: readonly string[];
  /** Stays the caller's: close it when the run and its model are done with. */
  readonly backend: Backend;
  /** A preset (see `presetNames`), by default `nano`. */
  readonly model?: string;
  /** Fields over the preset, by their names. */
  readonly fields?: PresetOverrides;
  /** As the trainers of tokenizers give it; unless given, the characters of the texts. */
  readonly tokenizer?: TrainedTokenizer;
  /** Whether activations are computed again in the backward pass: less memory, more time. */
  readonly recompute?: boolean;
  /** Default 0. */
  readonly seed?: number;
  /** Share of the tokens that is set apart for validation, at the end; default 0.1. */
  readonly validation_fraction?: number;
  /** Steps from one evaluation to the next; a tenth of the run, at most 250, unless given. 0: at the end alone. */
  readonly eval_every?: number;
  /** Stop after so many evaluations without a better one; 0, the default, for never. */
  readonly patience?: number;
  /** Stop after so many seconds of training. */
  readonly max_time?: number;
  readonly signal?: AbortSignal;
}

export interface BrowserRun {
  /** The model with the weights that it has at the moment, for `generate`: while it is trained too. */
  readonly model: GenerationModel;
  readonly step: TrainingStep;
  readonly resolved: ResolvedPreset;
  /** Train to the end: the events of the loop, the last of type `end`. Once. */
  events(): AsyncGenerator<TrainingEvent, void, void>;
  /** The model as a Hugging Face directory: the content of its files by name. */
  files(): Promise<ReadonlyMap<string, Uint8Array<ArrayBuffer>>>;
}

/** What a WebAssembly memory can be. */
const WASM_BYTES = 2 ** 32;
/** A backend of one thread keeps the page waiting: it is let in so often. */
const BREATH_MS = 50;

/**
 * Prepare a run: tokenizer, batches, the compiled step, first weights.
 * @throws SettingError for fields that cannot be or texts that are too few; NotFoundError for a preset that is not there; CapacityError where
 *   the model does not fit the 4 GiB of a WebAssembly memory.
 */
export async function startTraining(options: BrowserTraining): Promise<BrowserRun> {
  const {
    texts,
    backend,
    model = 'nano',
    fields = {},
    seed = 0,
    recompute = false,
    validation_fraction = 0.1,
    signal,
  } = options;
  const special = { special_tokens: [END_OF_TEXT], roles: { eos_token: END_OF_TEXT, bos_token: END_OF_TEXT } };
  const { tokenizer, json } = options.tokenizer ?? (await trainCharacters(texts, { ...special, signal }));
  const resolved = resolvePreset(model, { ...fields, vocab_size: fittingVocabulary(fields.vocab_size, tokenizer) });
  const { decoder, training } = resolved;
  const { block_size, initializer_range } = resolved.fields;
  assertFits(decoder, { ...training, block_size, recompute }, WASM_BYTES);
  const { batch_size, gradient_accumulation_steps } = training;
  const corpus = await corpusFromTexts(texts, { tokenizer, split: { fraction: validation_fraction } });
  const shape = { batch_size, block_size };
  const batches = new BatchStream(corpus.train, { ...shape, seed, gradient_accumulation_steps });
  const windows = EVALUATION_BATCHES * batch_size;
  const evaluation = corpus.validation && new EvaluationBatches(corpus.validation, { ...shape, windows });

  const task = nextTokenTask(wholeModel(decoder, training.dropout), { ...training, block_size });
  const step = new TrainingStep(backend, task, { ...training, seed, recompute });
  initialize(step, { seed, initializer_range });
  const { eval_every, patience, max_time } = options;
  const settings = loopSettings(training, { eval_every, patience, max_time, sample_every: 0, save_every: 0 });
  const loop = trainingLoop({
    step,
    batches,
    settings,
    evaluation,
    counts: corpus.counts.validation,
    flops_per_token: estimateFlops(decoder, { block_size, recompute }).per_token,
    peak_flops: null,
    signal,
    host: { now: () => performance.now() / 1000 },
  });
  const saved = modelFiles(resolved.config, tokenizer, json);
  return {
    model: liveModel(step, tokenizer, saved),
    step,
    resolved,
    events: () => withBreath(loop),
    files: () => allFiles(step, saved),
  };
}

/** The model that is being trained, with an engine that is made when it is first asked for. */
function liveModel(step: TrainingStep, tokenizer: Tokenizer, { generation }: SavedFiles): GenerationModel {
  let engine: Engine | null = null;
  return {
    tokenizer,
    chatTemplate: null,
    generationConfig: generation,
    get engine(): Engine {
      // Weights change, so what was computed of a beginning is not kept.
      engine ??= new Engine(step.model, { precision: 'exact', prefixCache: false });
      return engine;
    },
  };
}

async function* withBreath(events: AsyncGenerator<TrainingEvent, void, void>) {
  let breath = performance.now();
  for await (const event of events) {
    yield event;
    if (performance.now() - breath < BREATH_MS) continue;
    await new Promise((resolve) => setTimeout(resolve, 0));
    breath = performance.now();
  }
}

async function allFiles(step: TrainingStep, saved: SavedFiles): Promise<ReadonlyMap<string, Uint8Array<ArrayBuffer>>> {
  const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  const sink = { write: async (bytes: Uint8Array) => void pieces.push(bytes.slice()) };
  await writeSafetensorsAsync(
    sink,
    modelTensors(step.config, (name) => step.read(name)),
  );
  return new Map([
    ['config.json', json(saved.config)],
    ['generation_config.json', json(saved.generation)],
    ['tokenizer.json', json(saved.tokenizer)],
    ['tokenizer_config.json', json(saved.tokenizerConfig)],
    ['model.safetensors', new Uint8Array(await new Blob(pieces).arrayBuffer())],
  ]);
}
