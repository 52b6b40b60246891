/** Pairs and labelled answers as batches: pure functions of (seed, step, micro-batch), as all data of training. */
import { SettingError } from '../../errors.ts';
import { Permutation } from '../data/permutation.ts';
import type { LabelledExample, PreferenceExample } from '../examples/index.ts';
import { type AnswerRows, type AnswerShape, answerRows, type PromptAnswer, rowLengths } from './answers.ts';

export interface ExampleBatchOptions {
  /** Pairs, or labelled answers, in a batch. */
  readonly batch_size: number;
  /** A whole number from 0 to 2^53 - 1. */
  readonly seed: number;
  /** Batches in a step. Default 1. */
  readonly gradient_accumulation_steps?: number;
}

/** Pairs in rows: rows 0 … P - 1 are the chosen answers, P … 2P - 1 the rejected of the same pairs. */
export interface PairBatch {
  readonly rows: AnswerRows;
  /** (P): the number of each pair; -1 for an empty place. */
  readonly indices: Int32Array;
}

export type AnswerSizes = Omit<AnswerShape, 'rows'>;

/** The least sizes that hold all answers with their prompts. */
export function answerSizes(answers: Iterable<PromptAnswer>): AnswerSizes {
  let [block_size, answer_size] = [1, 1];
  for (const answer of answers) {
    const { read, predicted } = rowLengths(answer);
    block_size = Math.max(block_size, read);
    answer_size = Math.max(answer_size, predicted);
  }
  return { block_size, answer_size };
}

/** The two answers of each pair. */
export function pairAnswers(examples: readonly PreferenceExample[]): {
  readonly chosen: PromptAnswer[];
  readonly rejected: PromptAnswer[];
} {
  return {
    chosen: examples.map(({ prompt, chosen }) => ({ prompt, answer: chosen })),
    rejected: examples.map(({ prompt, rejected }) => ({ prompt, answer: rejected })),
  };
}

/** Batches of pairs, each epoch in an order of its own. */
export class PairBatches {
  readonly tokensPerStep: number;
  private readonly order: ExampleOrder;
  private readonly answers: ReturnType<typeof pairAnswers>;

  /** @throws SettingError where there are no pairs. */
  constructor(
    examples: readonly PreferenceExample[],
    readonly sizes: AnswerSizes,
    private readonly options: ExampleBatchOptions,
  ) {
    this.order = new ExampleOrder(examples.length, options);
    this.answers = pairAnswers(examples);
    this.tokensPerStep = 2 * this.order.perStep * sizes.block_size;
  }

  batch(step: number, micro = 0): PairBatch {
    return this.of(this.order.indices(step, micro));
  }

  /** All pairs once, in their order: evaluation. */
  get whole(): { readonly count: number; batch(index: number): PairBatch } {
    const { batch_size } = this.options;
    return {
      count: Math.ceil(this.order.size / batch_size),
      batch: (index) => this.of(wholeIndices(this.order.size, batch_size, index)),
    };
  }

  private of(indices: Int32Array): PairBatch {
    const { chosen, rejected } = this.answers;
    const side = (answers: readonly PromptAnswer[]) => Array.from(indices, (index) => answers[index] ?? null);
    return { indices, rows: answerRows([...side(chosen), ...side(rejected)], this.sizes) };
  }
}

/** Labelled answers in rows, each with an answer to another prompt in the rows of the KL estimate. */
export interface LabelledBatch {
  /** R rows. */
  readonly rows: AnswerRows;
  /** The same prompts with answers of other examples. */
  readonly mismatched: AnswerRows;
  /** (R): the number of each example; -1 for an empty place. */
  readonly indices: Int32Array;
  /** (R): 1 of what is desirable, -1 of what is not, 0 of an empty place. */
  readonly signs: Float32Array;
}

/**
 * Each prompt with the answer of the next example that has another prompt: what KTO estimates its KL divergence by. Where all have the
 * same prompt, with the next answer.
 */
export function mismatchedAnswers(examples: readonly LabelledExample[]): PromptAnswer[] {
  const n = examples.length;
  const texts = examples.map(({ prompt }) => prompt.join());
  /** By example: the next one, in a circle, whose prompt differs. */
  const next = new Int32Array(n);
  let far = 0;
  for (let i = 0; i < n; i++) {
    if (far <= i) far = i + 1;
    while (far < i + n && texts[far % n] === texts[i]) far++;
    next[i] = (far < i + n ? far : i + 1) % n;
  }
  return examples.map(({ prompt }, i) => ({ prompt, answer: examples[next[i]].completion }));
}

/** Batches of labelled answers, each epoch in an order of its own. */
export class LabelledBatches {
  readonly tokensPerStep: number;
  private readonly order: ExampleOrder;
  private readonly answers: readonly PromptAnswer[];
  private readonly others: readonly PromptAnswer[];

  /** @throws SettingError where there are no examples. */
  constructor(
    private readonly examples: readonly LabelledExample[],
    readonly sizes: AnswerSizes,
    private readonly options: ExampleBatchOptions,
  ) {
    this.order = new ExampleOrder(examples.length, options);
    this.answers = labelledAnswers(examples);
    this.others = mismatchedAnswers(examples);
    this.tokensPerStep = 2 * this.order.perStep * sizes.block_size;
  }

  batch(step: number, micro = 0): LabelledBatch {
    return this.of(this.order.indices(step, micro));
  }

  /** All examples once, in their order: evaluation. */
  get whole(): { readonly count: number; batch(index: number): LabelledBatch } {
    const { batch_size } = this.options;
    return {
      count: Math.ceil(this.order.size / batch_size),
      batch: (index) => this.of(wholeIndices(this.order.size, batch_size, index)),
    };
  }

  private of(indices: Int32Array): LabelledBatch {
    const rowsOf = (answers: readonly PromptAnswer[]) =>
      answerRows(
        Array.from(indices, (index) => answers[index] ?? null),
        this.sizes,
      );
    const signs = Float32Array.from(indices, (index) => (index < 0 ? 0 : this.examples[index].label ? 1 : -1));
    return { indices, signs, rows: rowsOf(this.answers), mismatched: rowsOf(this.others) };
  }
}

export function labelledAnswers(examples: readonly LabelledExample[]): PromptAnswer[] {
  return examples.map(({ prompt, completion }) => ({ prompt, answer: completion }));
}

/** The stream of permutations of pairs and labelled answers. */
const PREFERENCES = 0x7e000002;

/** Which examples a step has: shuffled anew in each epoch, of which a step may have the end of one and the beginning of the next. */
export class ExampleOrder {
  /** Examples of a step. */
  readonly perStep: number;
  private epoch: Permutation | null = null;

  constructor(
    readonly size: number,
    private readonly options: ExampleBatchOptions,
    private readonly stream = PREFERENCES,
  ) {
    const { batch_size, seed, gradient_accumulation_steps = 1 } = options;
    if (size === 0) throw new SettingError('examples', 0, 'there are none to learn from');
    if (!Number.isSafeInteger(seed) || seed < 0)
      throw new SettingError('seed', seed, 'must be a whole number from 0 to 2^53 - 1');
    for (const [name, value] of Object.entries({ batch_size, gradient_accumulation_steps })) {
      if (!Number.isSafeInteger(value) || value < 1)
        throw new SettingError(name, value, 'must be a whole number from 1');
    }
    this.perStep = batch_size * gradient_accumulation_steps;
  }

  indices(step: number, micro: number): Int32Array {
    const { size, perStep } = this;
    const { batch_size, seed } = this.options;
    const first = step * perStep + micro * batch_size;
    return Int32Array.from({ length: batch_size }, (_, i) => {
      const epoch = Math.floor((first + i) / size);
      if (this.epoch?.epoch !== epoch) this.epoch = new Permutation(size, seed, this.stream, epoch);
      return this.epoch.at((first + i) % size);
    });
  }

  /** How many steps go through all examples so many times. At least 1. */
  steps(epochs: number): number {
    return Math.max(1, Math.ceil((epochs * this.size) / this.perStep));
  }
}

function wholeIndices(size: number, batch_size: number, index: number): Int32Array {
  const first = index * batch_size;
  return Int32Array.from({ length: batch_size }, (_, i) => (first + i < size ? first + i : -1));
}
