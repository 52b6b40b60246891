/** Opening a model with a task head: texts to classes. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { FileFormatError, NotFoundError } from '../errors.ts';
import { HEAD_WEIGHT, headSpec } from '../models/heads.ts';
import {
  adapterParameterSpecs,
  adapterParameters,
  type DecoderConfig,
  layoutOfAdapter,
  loadModel,
  type ModelParameter,
  readAdapterConfig,
  readPeftTensors,
  weightSquares,
} from '../models/index.ts';
import { type DataRecord, DataRecord as Row, taskExamples } from '../training/examples/index.ts';
import { frozenLearner } from '../training/heads/index.ts';
import { type HeadRecord, headShape, readHeadRecord } from '../training/heads/record.ts';
import { HeadScorer, probabilities } from '../training/heads/scorer.ts';
import { adapterLearner, type Learner } from '../training/learner.ts';
import { tensorFloat32, type WeightFile } from '../weights/index.ts';
import { openBackend } from './backends.ts';
import { HEAD_FILE, HEAD_TENSORS, PEFT_HEAD } from './classifier_files.ts';
import { resolveModel } from './models.ts';
import { type OpenModelOptions, readModelFiles } from './open_model.ts';
import { readJson } from './open_tokenizer.ts';
import { openWeightsAt } from './open_weights.ts';

/** A text, or the texts that a record of the task has. */
export type ClassifierInput = string | Readonly<Record<string, unknown>> | DataRecord;

export interface Classification {
  /** The likeliest class; of multiple choice, the number of the choice. */
  readonly label: string;
  readonly score: number;
  /** All classes with their probabilities, in their order. */
  readonly scores: readonly { readonly label: string; readonly score: number }[];
}

export interface Classifier {
  readonly record: HeadRecord;
  /** @throws FileFormatError for an input that is none of this task. */
  classify(
    inputs: readonly ClassifierInput[],
    progress?: (done: number, total: number) => void,
  ): Promise<Classification[]>;
  close(): Promise<void>;
}

/** Whether a folder holds a model with a head. */
export function isClassifierFolder(folder: string): boolean {
  return existsSync(join(folder, HEAD_FILE));
}

/** @throws NotFoundError, FileFormatError or SettingError with what is wrong and where. */
export async function openClassifier(folder: string, options: OpenModelOptions = {}): Promise<Classifier> {
  if (!isClassifierFolder(folder)) {
    throw new NotFoundError('file', join(folder, HEAD_FILE), [
      `${folder} is no classifier's folder: make one by inkstone tune --method classify`,
    ]);
  }
  const record = readHeadRecord(readJson(join(folder, HEAD_FILE)), join(folder, HEAD_FILE));
  const files = readModelFiles(await resolveModel(record.base ?? folder, options));
  const { tokenizer } = files;
  if (!tokenizer) throw new FileFormatError(record.base ?? folder, '', 'has no tokenizer', 'Put its files there');
  const backend = openBackend(options);
  try {
    const adopt = (values: Float32Array) =>
      backend.adopt(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    const model = loadModel(files.weights, files.config, backend, { configFile: files.configFile });
    checkRecord(join(folder, HEAD_FILE), record, model.config);
    const parameters = new Map<string, ModelParameter>(model.parameters);
    const add = (name: string, shape: readonly number[], values: Float32Array) =>
      parameters.set(name, { dtype: 'f32', shape, buffer: adopt(values) });
    const head = headShape(record);
    const { shape } = headSpec(model.config, head);
    let learner: Pick<Learner, 'config' | 'pass'> = frozenLearner(model.config, model.parameters);
    let weights: readonly [file: WeightFile, name: string] = [files.weights, HEAD_WEIGHT];
    if (record.learned === 'head') weights = [openWeightsAt(join(folder, HEAD_TENSORS)), HEAD_WEIGHT];
    if (record.learned === 'adapter') {
      const { file, layout, values } = openHeadAdapter(folder, model.config);
      weights = [file, PEFT_HEAD];
      for (const spec of adapterParameterSpecs(layout)) add(spec.name, spec.shape, values.get(spec.name)!);
      for (const [name, squares] of await weightSquares(model, layout)) add(name, [squares.length], squares);
      learner = adapterLearner(layout, model.parameters);
    }
    add(HEAD_WEIGHT, shape, headValues(...weights, shape));
    const { block_size, tokens, labels, kind } = record;
    const scorer = new HeadScorer(backend, learner, parameters, {
      head,
      batch_size: 8,
      block_size,
      precision: options.precision,
    });
    return {
      record,
      async classify(inputs, progress) {
        const isChoice = kind === 'multiple_choice';
        const records = inputs.map((input, i) => rowOf(input, i, isChoice ? 0 : labels[0]));
        // What is too long is cut by the scorer, as in training: it loses what follows its first token.
        const { examples } = taskExamples(records, tokenizer, { tokens, labels: isChoice ? undefined : labels });
        const all = await scorer.scores(examples, progress);
        return all.map((each) => {
          const scores = probabilities(each).map((score, c) => ({ label: labels[c] ?? String(c), score }));
          return { ...scores.reduce((a, b) => (b.score > a.score ? b : a)), scores };
        });
      },
      close: () => backend.close(),
    };
  } catch (error) {
    await backend.close();
    throw error;
  }
}

/** @throws FileFormatError where the record was made for another model. */
function checkRecord(file: string, { tokens, block_size }: HeadRecord, config: DecoderConfig): void {
  for (const [name, id] of Object.entries(tokens)) {
    if (id < config.vocab_size) continue;
    throw new FileFormatError(file, `tokens.${name}`, `is ${id}, but the model has ${config.vocab_size} tokens`);
  }
  if (block_size > config.n_positions)
    throw new FileFormatError(file, 'block_size', `is more than the model's ${config.n_positions} positions`);
}

/** peft's adapter of the task SEQ_CLS: its head lies among its tensors. */
function openHeadAdapter(folder: string, config: DecoderConfig) {
  const path = join(folder, 'adapter_config.json');
  const raw = readJson(path) as Record<string, unknown>;
  const adapterConfig = readAdapterConfig({ ...raw, modules_to_save: null }, path);
  const file = openWeightsAt(join(folder, 'adapter_model.safetensors'));
  const tensors = new Map([...file.tensors].filter(([name]) => name !== PEFT_HEAD));
  const adapter = readPeftTensors(adapterConfig, { ...file, tensors });
  const layout = layoutOfAdapter(config, adapter);
  return { file, layout, values: adapterParameters(layout, adapter) };
}

function headValues(file: WeightFile, name: string, shape: readonly number[]): Float32Array {
  const entry = file.tensors.get(name);
  if (entry && String(entry.shape) === String(shape)) return tensorFloat32(entry);
  const problem = entry ? `has shape (${entry.shape}) where the head is (${shape})` : 'is missing';
  throw new FileFormatError(file.name, name, problem, 'It is written by inkstone tune --method classify');
}

/** An input as a record; the class of one that has none is of no account. */
function rowOf(input: ClassifierInput, i: number, label: string | number): DataRecord {
  const { origin, values } =
    input instanceof Row
      ? input
      : { origin: { file: 'input', line: i + 1 }, values: typeof input === 'string' ? { text: input } : input };
  const key = 'choices' in values || 'endings' in values ? 'answer' : 'label';
  return new Row(origin, { ...values, [key]: label });
}
