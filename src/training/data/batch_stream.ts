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

/** In `epoch` order the shares of sources are exact in each run of so many samples. */
const MIXTURE_PERIOD = 65_536;
/** The stream of the permutation that orders the sources; below it are the sources' own. */
const MIXTURE_STREAM = 0xffffffff;

export class BatchStream {
  /** Windows in a step. */
  readonly samplesPerStep: number;
  private readonly shares: readonly number[];
  private readonly quotas: readonly number[];
  private readonly blocks: readonly number[];
  private readonly orders = new Map<number, Permutation>();

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
    this.quotas = largestRemainders(this.shares, MIXTURE_PERIOD);
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
    const period = Math.floor(number / MIXTURE_PERIOD);
    let place = this.order(MIXTURE_STREAM, period, MIXTURE_PERIOD).at(number % MIXTURE_PERIOD);
    let source = 0;
    while (place >= this.quotas[source]) place -= this.quotas[source++];
    return { source, turn: period * this.quotas[source] + place };
  }

  /** The permutation in use for a stream is kept, which saves making it for each sample and changes nothing. */
  private order(stream: number, epoch: number, size: number): Permutation {
    const key = stream === MIXTURE_STREAM ? -1 : stream;
    const kept = this.orders.get(key);
    if (kept?.epoch === epoch) return kept;
    const made = new Permutation(size, this.options.seed, stream, epoch);
    this.orders.set(key, made);
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

/** Whole numbers that sum to `total` in proportion to `shares` (Hamilton's method); a share above 0 gets at least 1. */
function largestRemainders(shares: readonly number[], total: number): number[] {
  const quotas = shares.map((share) => (share > 0 ? Math.max(1, Math.floor(share * total)) : 0));
  const byRemainder = shares
    .map((share, i) => ({ i, remainder: share * total - Math.floor(share * total) }))
    .sort((a, b) => b.remainder - a.remainder || a.i - b.i);
  let rest = total - quotas.reduce((sum, quota) => sum + quota, 0);
  for (let at = 0; rest > 0; at = (at + 1) % byRemainder.length) {
    if (shares[byRemainder[at].i] === 0) continue;
    quotas[byRemainder[at].i]++;
    rest--;
  }
  while (rest < 0) {
    quotas[quotas.indexOf(Math.max(...quotas))]--;
    rest++;
  }
  return quotas;
}
