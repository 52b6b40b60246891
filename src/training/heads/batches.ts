/**
 * Examples of a task head as batches. Like `BatchStream`, a pure function of (seed, step, micro-step): one epoch's order after another is
 * a stream without end, and a batch is as much of it as has room.
 */
import { SettingError } from '../../errors.ts';
import type { HeadShape } from '../../models/heads.ts';
import { Permutation } from '../data/permutation.ts';
import type { TaskExample } from '../examples/example.ts';
import type { EvaluationSet, StepBatches } from '../loop.ts';
import { BatchRoom, fillHeadBatch, type HeadBatch, type HeadBatchSettings } from './batch.ts';

export interface HeadBatchOptions extends HeadBatchSettings {
  readonly head: HeadShape;
}

/** The stream of permutations. */
const ORDER = 0x7e000002;
const MOST_EPOCHS = 10_000;

export class HeadBatches implements StepBatches<HeadBatch> {
  /** Positions that a step reads, padding included. */
  readonly tokensPerStep: number;
  /** Place in the stream where each batch begins, as far as it is known. */
  private readonly starts: number[] = [0];
  private readonly orders = new Map<number, Permutation>();
  private readonly micros: number;
  private readonly lengths: readonly (readonly number[])[];

  /** @param examples that fit: see `fitTaskExamples`. */
  constructor(
    private readonly examples: readonly TaskExample[],
    private readonly options: HeadBatchOptions & {
      readonly seed: number;
      readonly gradient_accumulation_steps?: number;
    },
  ) {
    const { batch_size, block_size, seed, gradient_accumulation_steps = 1 } = options;
    if (!Number.isSafeInteger(seed) || seed < 0)
      throw new SettingError('seed', seed, 'must be a whole number from 0 to 2^53 - 1');
    this.micros = gradient_accumulation_steps;
    this.tokensPerStep = batch_size * block_size * this.micros;
    this.lengths = examples.map(({ sequences }) => sequences.map(({ length }) => length));
  }

  batch(step: number, micro = 0): HeadBatch {
    const number = step * this.micros + micro;
    const [start, end] = [this.start(number), this.start(number + 1)];
    const members = Array.from({ length: end - start }, (_, i) => this.examples[this.at(start + i)]);
    return fillHeadBatch(this.options.head, this.options, members);
  }

  /** How many steps go through all examples so many times; parts of an epoch count too. At least 1. */
  steps(epochs: number): number {
    if (!(epochs > 0 && epochs <= MOST_EPOCHS))
      throw new SettingError('epochs', epochs, `must be above 0 and at most ${MOST_EPOCHS}`);
    const end = Math.ceil(epochs * this.examples.length);
    let batch = 1;
    while (this.start(batch) < end) batch++;
    return Math.ceil(batch / this.micros);
  }

  /** How often the steps before this one went through all examples. */
  epochs(step: number): number {
    return this.start(step * this.micros) / this.examples.length;
  }

  private start(batch: number): number {
    const { starts } = this;
    const { head } = this.options;
    while (starts.length <= batch) {
      const room = new BatchRoom(head, this.options);
      let place = starts[starts.length - 1];
      while (room.place(this.lengths[this.at(place)])) place++;
      starts.push(place);
    }
    return starts[batch];
  }

  /** The example at a place of the stream. */
  private at(place: number): number {
    const count = this.examples.length;
    const epoch = Math.floor(place / count);
    let order = this.orders.get(epoch);
    if (!order) {
      order = new Permutation(count, this.options.seed, ORDER, epoch);
      if (this.orders.size >= 4) this.orders.clear();
      this.orders.set(epoch, order);
    }
    return order.at(place % count);
  }
}

/** Examples in their order, each once, as batches of one shape. */
export class HeadEvaluation implements EvaluationSet<HeadBatch> {
  private readonly starts: number[] = [0];

  /** @param examples that fit: see `fitTaskExamples`. */
  constructor(
    private readonly examples: readonly TaskExample[],
    private readonly options: HeadBatchOptions,
  ) {
    let room = new BatchRoom(options.head, options);
    examples.forEach(({ sequences }, i) => {
      const lengths = sequences.map(({ length }) => length);
      if (room.place(lengths)) return;
      this.starts.push(i);
      room = new BatchRoom(options.head, options);
      room.place(lengths);
    });
    this.starts.push(examples.length);
  }

  get count(): number {
    return this.starts.length - 1;
  }

  batch(index: number): HeadBatch {
    const members = this.examples.slice(this.starts[index], this.starts[index + 1]);
    return fillHeadBatch(this.options.head, this.options, members);
  }
}
