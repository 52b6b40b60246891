/**
 * The training data as a pure function of (seed, step, sample): resuming needs the step number alone, and however the
 * samples of a step are spread over micro-batches or machines, the run is the same.
 */
import { SettingError } from '../../errors.ts';
import { type Batch, BatchWriter } from './batch.ts';
import { Permutation } from './permutation.ts';
import { Purpose, uniform } from './random.ts';
import type { TokenSource } from './token_source.ts';

/** A source and its share of the samples, relative to the others'. */
export interface WeightedTokens {
  readonly source: TokenSource;
  readonly weight: number;
  /** For messages. */
  readonly name?: string;
}

/** `random`: windows start anywhere, independently. `epoch`: each block of T tokens once, then all again in a new order. */
export type WindowOrder = 'random' | 'epoch';

export interface BatchOptions {
  /** Windows in a batch. */
  readonly batch_size: number;
  /** Tokens in a window. */
  readonly block_size: number;
  /** A whole number from 0 to 2^53 - 1. */
  readonly seed: number;
  /** Default `random`. */
  readonly order?: WindowOrder;
  /** Batches in a step. Default 1. */
  readonly gradient_accumulation_steps?: number;
  /** Default true: a window is one text, as in GPT. False: see `Batch`. */
  readonly cross_document_attention?: boolean;
}

/**
 * In `epoch` order, so many samples at a time are shared out among the sources in a shuffled order: the shares are exact
 * over a run, and each source still goes through its own blocks one after another.
 */
const PERIOD = 4096;
/** The stream of the permutations that shuffle the sources; below it are the sources' own. */
const MIXTURE_STREAM = 0xffffffff;

/** Which source each sample of a period is from, and which it is of those of that source in the period. */
interface Mixture {
  readonly period: number;
  readonly sources: Uint16Array;
  readonly ranks: Uint16Array;
}

export class BatchStream {
  /** Windows in a step. */
  readonly samplesPerStep: number;
  private readonly shares: readonly number[];
  /** The shares of the sources up to each: the last is 1. */
  private readonly bounds: readonly number[];
  private readonly blocks: readonly number[];
  private readonly orders = new Map<number, Permutation>();
  private mixture: Mixture | undefined;

  /** @throws SettingError for a setting that the data cannot serve: a context longer than a source, a weight below 0. */
  constructor(
    private readonly sources: readonly WeightedTokens[],
    private readonly options: BatchOptions,
  ) {
    const { batch_size, block_size, seed, order = 'random', gradient_accumulation_steps: micro = 1 } = options;
    for (const [name, value] of Object.entries({ batch_size, block_size, gradient_accumulation_steps: micro })) {
      if (!Number.isSafeInteger(value) || value < 1)
        throw new SettingError(name, value, 'must be a whole number from 1');
    }
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new SettingError('seed', seed, 'must be a whole number from 0 to 2^53 - 1');
    }
    if (order !== 'random' && order !== 'epoch') throw new SettingError('order', order, 'must be "random" or "epoch"');
    this.samplesPerStep = batch_size * micro;
    const total = sources.reduce((sum, { weight }) => sum + weight, 0);
    for (const { weight, name, source } of sources) {
      if (!(weight >= 0) || !Number.isFinite(weight)) throw new SettingError('weight', weight, 'must be 0 or more');
      if (source.length <= block_size && weight > 0) {
        throw new SettingError(
          'block_size',
          block_size,
          `needs ${block_size + 1} tokens of training data${name ? ` in ${name}` : ''}, but there are ${source.length}. Choose a smaller block_size or give more text`,
        );
      }
    }
    if (!(total > 0)) throw new SettingError('sources', sources.length, 'none has a weight above 0');
    this.shares = sources.map(({ weight }) => weight / total);
    const least = Math.min(...this.shares.filter((share) => share > 0));
    if (order === 'epoch' && least < 1 / PERIOD) {
      throw new SettingError('weight', least * total, `must be at least 1/${PERIOD} of all weights in epoch order`);
    }
    let sum = 0;
    this.bounds = this.shares.map((share, i) => {
      sum += share;
      return this.shares.slice(i + 1).some((later) => later > 0) ? sum : 1;
    });
    this.blocks = sources.map(({ source }) => Math.floor((source.length - 1) / block_size));
  }

  /** Tokens that a step is trained on. */
  get tokensPerStep(): number {
    return this.samplesPerStep * this.options.block_size;
  }

  /** The batch `micro` of a step. */
  batch(step: number, micro = 0): Batch {
    return this.samples(step, micro * this.options.batch_size, this.options.batch_size);
  }

  /** Samples `first` to before `first + count` of a step: for those who share a step out in another way. */
  samples(step: number, first: number, count: number): Batch {
    const { block_size, cross_document_attention = true } = this.options;
    const writer = new BatchWriter(count, block_size, cross_document_attention);
    for (let i = 0; i < count; i++) {
      const { source, position } = this.window(step, first + i);
      writer.fill(i, this.sources[source].source, position);
    }
    return writer.batch;
  }

  /** Which window a sample is: a source, and the position of its first token. */
  window(step: number, sample: number): { readonly source: number; readonly position: number } {
    return this.options.order === 'epoch' ? this.nextBlock(step, sample) : this.anywhere(step, sample);
  }

  /** How often the steps before this one went through each source: samples drawn / blocks there are. */
  epochs(step: number): number[] {
    const samples = step * this.samplesPerStep;
    return this.shares.map((share, i) => (this.blocks[i] > 0 ? (samples * share) / this.blocks[i] : 0));
  }

  private anywhere(step: number, sample: number): { source: number; position: number } {
    const { seed, block_size } = this.options;
    const source = this.sources.length === 1 ? 0 : pick(this.shares, uniform(seed, Purpose.source, sample, step));
    const starts = this.sources[source].source.length - block_size;
    return { source, position: Math.floor(uniform(seed, Purpose.position, sample, step) * starts) };
  }

  private nextBlock(step: number, sample: number): { source: number; position: number } {
    const number = step * this.samplesPerStep + sample;
    const { source, turn } = this.turnOf(number);
    const blocks = this.blocks[source];
    const epoch = Math.floor(turn / blocks);
    const block = this.order(source, epoch, blocks).at(turn % blocks);
    return { source, position: block * this.options.block_size };
  }

  /** The source of the `number`-th sample of the run, and how many of that source came before it. */
  private turnOf(number: number): { source: number; turn: number } {
    if (this.sources.length === 1) return { source: 0, turn: number };
    const period = Math.floor(number / PERIOD);
    if (this.mixture?.period !== period) this.mixture = this.mix(period);
    const source = this.mixture.sources[number % PERIOD];
    return { source, turn: this.turnsBefore(source, period) + this.mixture.ranks[number % PERIOD] };
  }

  private mix(period: number): Mixture {
    const places = new Uint16Array(PERIOD);
    let filled = 0;
    for (let i = 0; i < this.sources.length; i++) {
      const quota = this.turnsBefore(i, period + 1) - this.turnsBefore(i, period);
      places.fill(i, filled, filled + quota);
      filled += quota;
    }
    const order = new Permutation(PERIOD, this.options.seed, MIXTURE_STREAM, period);
    const sources = Uint16Array.from({ length: PERIOD }, (_, i) => places[order.at(i)]);
    const counts = new Uint16Array(this.sources.length);
    return { period, sources, ranks: sources.map((source) => counts[source]++) };
  }

  /** How many samples before a period are of a source: its share of them, rounded so that all together are all. */
  private turnsBefore(source: number, period: number): number {
    const upTo = (i: number) => (i < 0 ? 0 : Math.round(period * PERIOD * this.bounds[i]));
    return upTo(source) - upTo(source - 1);
  }

  /** The permutation in use for a source is kept, which saves making it for each sample and changes nothing. */
  private order(source: number, epoch: number, size: number): Permutation {
    const kept = this.orders.get(source);
    if (kept?.epoch === epoch) return kept;
    const made = new Permutation(size, this.options.seed, source, epoch);
    this.orders.set(source, made);
    return made;
  }
}

/** The first index at which the shares before and with it exceed `u`. */
function pick(shares: readonly number[], u: number): number {
  let sum = 0;
  for (let i = 0; i < shares.length; i++) {
    sum += shares[i];
    if (u < sum) return i;
  }
  return shares.findLastIndex((share) => share > 0);
}
