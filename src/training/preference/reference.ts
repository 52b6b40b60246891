/** Log-probabilities of answers under a model that stands still: what preferences are measured against, computed once. */
import type { Backend, LoadedPlan } from '../../backends/backend.ts';
import { InterruptedError } from '../../errors.ts';
import type { DecoderConfig, ModelParameter, ParameterLookup } from '../../models/index.ts';
import { compile, f } from '../../tensor/index.ts';
import type { LabelledExample, PreferenceExample } from '../examples/index.ts';
import type { Learner, Pass } from '../learner.ts';
import type { TrainingStep } from '../step.ts';
import {
  type AnswerRows,
  type AnswerShape,
  answerData,
  answerInputs,
  answerLogProbs,
  answerRows,
  type PromptAnswer,
} from './answers.ts';
import { type AnswerSizes, labelledAnswers, mismatchedAnswers, pairAnswers } from './batches.ts';
import type { LabelledReference } from './kto_task.ts';
import type { PairReference } from './pair_tasks.ts';

export interface ScoredModel {
  readonly backend: Backend;
  readonly config: DecoderConfig;
  readonly parameters: ReadonlyMap<string, ModelParameter>;
  /** With an adapter, its maps. */
  pass?(parameter: ParameterLookup): Pass;
  /** Parameters that are rounded to bfloat16 for products, as training rounds those it learns. */
  readonly rounded?: ReadonlySet<string>;
}

/** The model that a step learns, as its weights are at each moment. */
export function learningModel<B>(step: TrainingStep<B>, learner: Learner): ScoredModel {
  const { backend, config, parameters } = step;
  return { backend, config, parameters, pass: (parameter) => learner.pass(parameter, null), rounded: roundedBy(step) };
}

/**
 * The reference of a step: under an adapter the base alone, else the model that learns, which has to be asked before its first step.
 */
export function referenceModel<B>(step: TrainingStep<B>, learner: Learner): ScoredModel {
  if (learner.frozen.size === 0) return learningModel(step, learner);
  const { backend, config } = step;
  return { backend, config, parameters: learner.frozen };
}

function roundedBy<B>({ settings, specs }: TrainingStep<B>): ReadonlySet<string> {
  if (settings.precision !== 'bfloat16') return new Set();
  return new Set(
    specs.filter(({ name, shape }) => shape.length >= 2 && name.endsWith('.weight')).map(({ name }) => name),
  );
}

/** Log-probabilities of the answers of a batch of rows. The same sums in the same order as in training: equal weights give equal numbers. */
export class AnswerScorer {
  private readonly plan: LoadedPlan;

  constructor(model: ScoredModel, shape: AnswerShape, temperature = 1) {
    const { backend, config, parameters, rounded, pass } = model;
    const seen = new Map(
      [...parameters].map(([name, { dtype, shape: size }]) => {
        const tensor = f.parameter(name, dtype, size);
        return [name, rounded?.has(name) ? f.cast(tensor, 'bf16') : tensor] as const;
      }),
    );
    const lookup: ParameterLookup = (name) => seen.get(name);
    const options = { ...pass?.(lookup), temperature };
    const { logProbs } = answerLogProbs(config, lookup, answerInputs(shape), options);
    const buffers = Object.fromEntries([...parameters].map(([name, { buffer }]) => [name, buffer]));
    this.plan = backend.load(compile({ logProbs, sums: f.reshape(f.sum(logProbs, 1), [shape.rows]) }), buffers);
  }

  /** (R, A) and their sums (R). */
  async score(rows: AnswerRows): Promise<{ readonly logProbs: Float32Array; readonly sums: Float32Array }> {
    const { logProbs, sums } = await this.plan.run({ inputs: answerData(rows) });
    return { logProbs: Float32Array.from(logProbs), sums: Float32Array.from(sums) };
  }
}

export interface ScoreOptions extends AnswerSizes {
  /** Rows of one run. */
  readonly rows: number;
  readonly onProgress?: (done: number, all: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * The sum of log-probabilities of each answer.
 * @throws InterruptedError when aborted; SettingError for an answer that does not fit.
 */
export async function scoreAnswers(
  model: ScoredModel,
  answers: readonly PromptAnswer[],
  { rows, block_size, answer_size, onProgress, signal }: ScoreOptions,
): Promise<Float32Array> {
  const scorer = new AnswerScorer(model, { rows, block_size, answer_size });
  const found = new Float32Array(answers.length);
  for (let first = 0; first < answers.length; first += rows) {
    if (signal?.aborted) throw new InterruptedError();
    const batch = Array.from({ length: rows }, (_, i) => answers[first + i] ?? null);
    const { sums } = await scorer.score(answerRows(batch, { block_size, answer_size }));
    found.set(sums.subarray(0, Math.min(rows, answers.length - first)), first);
    onProgress?.(Math.min(first + rows, answers.length), answers.length);
  }
  return found;
}

/** Numbers of the reference for so many pairs, not yet filled in. */
export function emptyPairReference(count: number): PairReference {
  return { chosen: new Float32Array(count), rejected: new Float32Array(count) };
}

/** Fill in what DPO and IPO need of the reference. Throws as `scoreAnswers`. */
export async function fillPairReference(
  into: PairReference,
  model: ScoredModel,
  examples: readonly PreferenceExample[],
  options: ScoreOptions,
): Promise<void> {
  const { chosen, rejected } = pairAnswers(examples);
  const all = await scoreAnswers(model, [...chosen, ...rejected], options);
  into.chosen.set(all.subarray(0, chosen.length));
  into.rejected.set(all.subarray(chosen.length));
}

/** Numbers of the reference for so many labelled answers, not yet filled in. */
export function emptyLabelledReference(count: number): LabelledReference {
  return { answers: new Float32Array(count), mismatched: new Float32Array(count) };
}

/** Fill in what KTO needs of the reference. Throws as `scoreAnswers`. */
export async function fillLabelledReference(
  into: LabelledReference,
  model: ScoredModel,
  examples: readonly LabelledExample[],
  options: ScoreOptions,
): Promise<void> {
  const answers = labelledAnswers(examples);
  const all = await scoreAnswers(model, [...answers, ...mismatchedAnswers(examples)], options);
  into.answers.set(all.subarray(0, answers.length));
  into.mismatched.set(all.subarray(answers.length));
}
