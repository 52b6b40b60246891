/**
 * Answers in rows: the log-probabilities of the tokens that answer a prompt. Only their places meet the output head, which is where
 * most of a step's memory goes: with a vocabulary of V and A answer tokens in a row of T, logits are (R, A, V) and not (R, T, V).
 */
import { SettingError } from '../../errors.ts';
import { type DecoderConfig, decoderLogits, type ParameterLookup } from '../../models/index.ts';
import { f, type Tensor } from '../../tensor/index.ts';
import { IGNORED } from '../data/index.ts';
import { type Pass, trainingStates } from '../learner.ts';
import type { TaskInputs } from '../task.ts';

export interface AnswerShape {
  /** Rows: R. */
  readonly rows: number;
  /** Tokens of a row that are read: T. */
  readonly block_size: number;
  /** Answer tokens of a row at most: A. */
  readonly answer_size: number;
}

/** Prompts with answers, one in a row. */
export interface AnswerRows extends AnswerShape {
  /** (R, T): prompt and answer without its last token, then zeros. */
  readonly tokens: Int32Array;
  /** (R, A): the place r T + t of the token from which each answer token is predicted; 0 where there is none. */
  readonly places: Int32Array;
  /** (R, A): the answer tokens, then -100. */
  readonly targets: Int32Array;
}

export interface PromptAnswer {
  readonly prompt: Int32Array;
  readonly answer: Int32Array;
}

/** Tokens that a row reads, and those of its answer that are predicted: the first token of an empty prompt's answer is not. */
export function rowLengths({ prompt, answer }: PromptAnswer): { readonly read: number; readonly predicted: number } {
  return { read: prompt.length + answer.length - 1, predicted: answer.length - (prompt.length === 0 ? 1 : 0) };
}

/**
 * Rows of prompts with answers; null for a row of nothing.
 * @throws SettingError for one that does not fit, or of which nothing can be predicted.
 */
export function answerRows(pairs: readonly (PromptAnswer | null)[], shape: Omit<AnswerShape, 'rows'>): AnswerRows {
  const { block_size: T, answer_size: A } = shape;
  const rows = pairs.length;
  const tokens = new Int32Array(rows * T);
  const places = new Int32Array(rows * A);
  const targets = new Int32Array(rows * A).fill(IGNORED);
  for (const [row, pair] of pairs.entries()) {
    if (!pair) continue;
    const { prompt, answer } = pair;
    const { read, predicted } = rowLengths(pair);
    if (predicted < 1) throw new SettingError('answer', answer.length, 'has no token that could be predicted');
    if (read > T)
      throw new SettingError('block_size', T, `is less than the ${read} tokens of a prompt with its answer`);
    if (predicted > A) throw new SettingError('answer_size', A, `is less than the ${predicted} tokens of an answer`);
    tokens.set(prompt, row * T);
    tokens.set(answer.subarray(0, answer.length - 1), row * T + prompt.length);
    targets.set(answer.subarray(answer.length - predicted), row * A);
    const first = row * T + prompt.length + answer.length - predicted - 1;
    for (let i = 0; i < predicted; i++) places[row * A + i] = first + i;
  }
  return { ...shape, rows, tokens, places, targets };
}

/** Rows as tensors of a graph. */
export interface AnswerTensors {
  readonly shape: AnswerShape;
  readonly tokens: Tensor;
  readonly places: Tensor;
  readonly targets: Tensor;
}

/** @param prefix of the names of these inputs, where a graph has several such rows. */
export function answerInputs(shape: AnswerShape, prefix = ''): AnswerTensors {
  const { rows, block_size, answer_size } = shape;
  return {
    shape,
    tokens: f.input(`${prefix}tokens`, 'i32', [rows, block_size]),
    places: f.input(`${prefix}places`, 'i32', [rows, answer_size]),
    targets: f.input(`${prefix}targets`, 'i32', [rows, answer_size]),
  };
}

/** The data of `answerInputs`. */
export function answerData({ tokens, places, targets }: AnswerRows, prefix = ''): TaskInputs {
  return { [`${prefix}tokens`]: tokens, [`${prefix}places`]: places, [`${prefix}targets`]: targets };
}

export interface AnswerOptions extends Pass {
  /** What logits are divided by. */
  readonly temperature?: number;
}

/** log P of each answer token, (R, A), 0 where there is none; and the sum entering each layer. */
export function answerLogProbs(
  config: DecoderConfig,
  parameter: ParameterLookup,
  { shape, tokens, places, targets }: AnswerTensors,
  { temperature = 1, ...pass }: AnswerOptions = {},
): { readonly logProbs: Tensor; readonly boundaries: readonly Tensor[] } {
  const { rows: R, block_size: T } = shape;
  const each = Int32Array.from({ length: R * T }, (_, i) => i % T);
  const read = { tokens, positions: f.constant(each, [R, T]), firstKeys: null };
  const { hidden, boundaries } = trainingStates(config, parameter, read, pass); // (R, T, C)
  const states = f.gather(f.reshape(hidden, [R * T, config.n_embd]), places); // (R, A, C)
  const logits = decoderLogits(config, parameter, states, pass.maps); // (R, A, V)
  const scaled = temperature === 1 ? logits : f.affine(logits, 1 / temperature, 0);
  return { logProbs: f.neg(f.crossEntropy(scaled, targets, IGNORED)), boundaries };
}

/** Sums over the answers: (R, A) to (R). */
export function answerSums(logProbs: Tensor): Tensor {
  return f.reshape(f.sum(logProbs, 1), [logProbs.shape[0]]);
}
