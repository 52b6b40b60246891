/**
 * Examples as windows of tokens. Like `BatchStream`, a pure function of (seed, step, sample): each epoch has an order and
 * a packing of its own, made from the seed and the epoch's number when a step first needs them.
 *
 * A window's examples do not see each other: `documents` tells them apart and `positions` counts anew in each, so it must
 * be read without attention across documents. Targets are -100 wherever nothing is learned.
 */
import { SettingError } from '../../errors.ts';
import { type Batch, IGNORED } from '../data/batch.ts';
import { Permutation } from '../data/permutation.ts';
import { type Example, inputLength, learnedTokens, requireLearned } from './example.ts';
import { type Packing, packFirstFit, packSingly } from './packing.ts';

export interface PackedOptions {
  /** Windows in a batch. */
  readonly batch_size: number;
  /** Tokens in a window. */
  readonly block_size: number;
  /** A whole number from 0 to 2^53 - 1. */
  readonly seed: number;
  /** Batches in a step. Default 1. */
  readonly gradient_accumulation_steps?: number;
  /** Several examples in a window. Default true. */
  readonly packing?: boolean;
}

export interface PackedStatistics {
  readonly examples: number;
  /** Windows of the first epoch. Later ones have nearly as many. */
  readonly windows: number;
  /** Input tokens of an epoch. */
  readonly tokens: number;
  /** Tokens of an epoch that are predicted. */
  readonly learned_tokens: number;
  /** Share of the first epoch's positions that hold no token. */
  readonly padding: number;
  /** Input tokens of the longest example. */
  readonly longest: number;
}

/** Streams of permutations: the order of the examples, and that of the windows packed from them. */
const EXAMPLES = 0x7e000000;
const WINDOWS = 0x7e000001;

/** Each is packed to be counted. */
const MOST_EPOCHS = 10_000;

/** An epoch: its packing, and the order of its windows. */
interface Epoch {
  readonly number: number;
  readonly packing: Packing;
  readonly order: Permutation;
}

export class PackedExamples {
  /** Windows in a step. */
  readonly samplesPerStep: number;
  readonly statistics: PackedStatistics;
  private readonly lengths: Int32Array;
  /** The number of windows before each epoch, as far as it is known. */
  private readonly starts: number[] = [0];
  /** The epochs used last: a step may need the end of one and the beginning of the next. */
  private readonly kept: Epoch[] = [];

  /**
   * @param examples that fit into a window (`fitExamples`).
   * @throws SettingError for options out of range, no examples, or one that is longer than a window; FileFormatError for
   *   one of which nothing is learned.
   */
  constructor(
    private readonly examples: readonly Example[],
    private readonly options: PackedOptions,
  ) {
    const { batch_size, block_size, seed, gradient_accumulation_steps: micro = 1 } = options;
    checkShape({ batch_size, block_size, gradient_accumulation_steps: micro });
    if (!Number.isSafeInteger(seed) || seed < 0)
      throw new SettingError('seed', seed, 'must be a whole number from 0 to 2^53 - 1');
    this.samplesPerStep = batch_size * micro;
    this.lengths = lengthsOf(examples, block_size);
    this.statistics = statisticsOf(examples, this.lengths, this.epoch(0).packing.windows, block_size);
  }

  /** Positions that a step reads, padding included. */
  get tokensPerStep(): number {
    return this.samplesPerStep * this.options.block_size;
  }

  /** Windows of the first epoch. */
  get windowsPerEpoch(): number {
    return this.statistics.windows;
  }

  /** The batch `micro` of a step. */
  batch(step: number, micro = 0): Batch {
    return this.samples(step, micro * this.options.batch_size, this.options.batch_size);
  }

  /** Samples `first` to before `first + count` of a step. */
  samples(step: number, first: number, count: number): Batch {
    const batch = emptyBatch(count, this.options.block_size);
    for (let i = 0; i < count; i++) fillRow(batch, i, this.membersOf(step * this.samplesPerStep + first + i));
    return batch;
  }

  /** How many steps go through all examples so many times; parts of an epoch count too. At least 1. */
  steps(epochs: number): number {
    if (!(epochs > 0 && epochs <= MOST_EPOCHS)) {
      throw new SettingError('epochs', epochs, `must be above 0 and at most ${MOST_EPOCHS}. Give max_steps for more`);
    }
    const whole = Math.floor(epochs);
    const part = epochs - whole;
    const windows = this.startOf(whole) + (part === 0 ? 0 : part * this.epoch(whole).packing.windows);
    return Math.max(1, Math.ceil(windows / this.samplesPerStep));
  }

  /** How often the steps before this one went through all examples. */
  epochs(step: number): number {
    const window = step * this.samplesPerStep;
    const epoch = this.epochOf(window);
    const start = this.startOf(epoch);
    return epoch + (window - start) / (this.startOf(epoch + 1) - start);
  }

  /** The examples of the `number`-th window of the run. */
  private membersOf(number: number): readonly Example[] {
    const index = this.epochOf(number);
    const { packing, order } = this.epoch(index);
    const window = order.at(number - this.startOf(index));
    return members(packing, window, this.examples);
  }

  private epochOf(window: number): number {
    const { starts } = this;
    if (this.options.packing === false) return Math.floor(window / this.examples.length);
    while (starts[starts.length - 1] <= window) this.startOf(starts.length);
    let [low, high] = [0, starts.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (starts[middle] <= window) low = middle;
      else high = middle;
    }
    return low;
  }

  /** Windows before an epoch. Those of the epochs before it are packed to be counted where they have not been. */
  private startOf(epoch: number): number {
    const { starts } = this;
    if (this.options.packing === false) return epoch * this.examples.length;
    for (let e = starts.length - 1; e < epoch; e++) starts.push(starts[e] + this.epoch(e).packing.windows);
    return starts[epoch];
  }

  private epoch(number: number): Epoch {
    const { examples, lengths, kept } = this;
    const { seed, block_size, packing: shares = true } = this.options;
    const found = kept.find((epoch) => epoch.number === number);
    if (found) return found;
    const shuffle = new Permutation(examples.length, seed, EXAMPLES, number);
    const shuffled = Int32Array.from({ length: examples.length }, (_, i) => shuffle.at(i));
    const packing = shares ? packFirstFit(lengths, shuffled, block_size) : packSingly(shuffled);
    // The first windows of a packing are the fullest and the last hold what fitted nowhere; a run should not see that.
    const epoch = { number, packing, order: new Permutation(packing.windows, seed, WINDOWS, number) };
    kept.unshift(epoch);
    kept.length = Math.min(kept.length, 2);
    return epoch;
  }
}

/** The same examples at each evaluation, packed in their order. All batches have the same shape. */
export class EvaluationExamples {
  /** Windows. */
  readonly windows: number;
  /** Batches. */
  readonly count: number;
  readonly statistics: PackedStatistics;
  private readonly packing: Packing;

  /** @throws as PackedExamples. */
  constructor(
    private readonly examples: readonly Example[],
    private readonly options: Pick<PackedOptions, 'batch_size' | 'block_size' | 'packing'>,
  ) {
    const { batch_size, block_size, packing = true } = options;
    checkShape({ batch_size, block_size });
    const lengths = lengthsOf(examples, block_size);
    const order = Int32Array.from(lengths, (_, i) => i);
    this.packing = packing ? packFirstFit(lengths, order, block_size) : packSingly(order);
    this.windows = this.packing.windows;
    this.count = Math.ceil(this.windows / batch_size);
    this.statistics = statisticsOf(examples, lengths, this.windows, block_size);
  }

  /** Batch `index` of `count`. */
  batch(index: number): Batch {
    const { batch_size, block_size } = this.options;
    const batch = emptyBatch(batch_size, block_size);
    for (let row = 0; row < batch_size; row++) {
      const window = index * batch_size + row;
      if (window < this.windows) fillRow(batch, row, members(this.packing, window, this.examples));
    }
    return batch;
  }
}

/** @throws SettingError for a number that is no whole number from 1. */
export function checkShape(settings: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(settings)) {
    if (!Number.isSafeInteger(value) || value < 1) throw new SettingError(name, value, 'must be a whole number from 1');
  }
}

function members({ starts, members }: Packing, window: number, examples: readonly Example[]): readonly Example[] {
  return Array.from(members.subarray(starts[window], starts[window + 1]), (index) => examples[index]);
}

function lengthsOf(examples: readonly Example[], block_size: number): Int32Array {
  if (examples.length === 0) throw new SettingError('examples', 0, 'there are none to learn from');
  const lengths = Int32Array.from(examples, (example) => inputLength(requireLearned(example)));
  const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
  if (longest > block_size) {
    throw new SettingError('block_size', block_size, `is less than the ${longest} tokens of the longest example`);
  }
  return lengths;
}

function statisticsOf(
  examples: readonly Example[],
  lengths: Int32Array,
  windows: number,
  block_size: number,
): PackedStatistics {
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  return {
    examples: examples.length,
    windows,
    tokens,
    learned_tokens: examples.reduce((sum, example) => sum + learnedTokens(example), 0),
    padding: 1 - tokens / (windows * block_size),
    longest: lengths.reduce((most, length) => Math.max(most, length), 0),
  };
}

type SeparateBatch = Required<Batch>;

/** Rows of nothing: token 0, in one document, with all targets ignored. */
function emptyBatch(batch_size: number, block_size: number): SeparateBatch {
  const make = () => new Int32Array(batch_size * block_size);
  const positions = make().map((_, i) => i % block_size);
  return { batch_size, block_size, tokens: make(), targets: make().fill(IGNORED), positions, documents: make() };
}

/** The padding after the examples is a document of its own. */
function fillRow(
  { tokens, targets, positions, documents, block_size }: SeparateBatch,
  row: number,
  texts: readonly Example[],
): void {
  let at = row * block_size;
  const end = at + block_size;
  for (const [document, example] of texts.entries()) {
    const { ids, learn } = example;
    const length = inputLength(example);
    for (let i = 0; i < length; i++, at++) {
      tokens[at] = ids[i];
      targets[at] = learn[i + 1] === 1 ? ids[i + 1] : IGNORED;
      positions[at] = i;
      documents[at] = document;
    }
  }
  for (let i = 0; at < end; i++, at++) {
    positions[at] = i;
    documents[at] = texts.length;
  }
}
