/** The same windows at each evaluation, so that losses can be compared. */
import { SettingError } from '../../errors.ts';
import { type Batch, BatchWriter } from './batch.ts';
import type { TokenSource } from './token_source.ts';

export interface EvaluationOptions {
  readonly batch_size: number;
  readonly block_size: number;
  /** Windows to evaluate on, evenly spaced over the source; all of them unless given, or where there are fewer. */
  readonly windows?: number;
  /** As for training. Default true. */
  readonly cross_document_attention?: boolean;
}

/**
 * Windows that start at multiples of T, evenly spaced over a source. All batches have the same shape: where windows
 * do not fill the last, or a source is shorter than a window, the rest has targets of -100.
 */
export class EvaluationBatches {
  /** Windows. */
  readonly windows: number;
  /** Batches. */
  readonly count: number;
  private readonly blocks: number;

  /** @throws SettingError when the source has less than two tokens: there is nothing to predict. */
  constructor(
    private readonly source: TokenSource,
    private readonly options: EvaluationOptions,
  ) {
    const { batch_size, block_size, windows = Number.POSITIVE_INFINITY } = options;
    for (const [name, value] of Object.entries({ batch_size, block_size })) {
      if (!Number.isSafeInteger(value) || value < 1)
        throw new SettingError(name, value, 'must be a whole number from 1');
    }
    if (!(windows >= 1)) throw new SettingError('windows', windows, 'must be 1 or more');
    if (source.length < 2) {
      throw new SettingError('validation', source.length, 'has too few tokens to evaluate on: at least 2 are needed');
    }
    const all = windows === Number.POSITIVE_INFINITY;
    const tokens = source.length - 1;
    this.blocks = all ? Math.ceil(tokens / block_size) : Math.max(1, Math.floor(tokens / block_size));
    this.windows = Math.min(Math.floor(windows), this.blocks);
    this.count = Math.ceil(this.windows / batch_size);
  }

  /** Batch `index` of `count`. */
  batch(index: number): Batch {
    const { batch_size, block_size, cross_document_attention = true } = this.options;
    const writer = new BatchWriter(batch_size, block_size, cross_document_attention);
    for (let row = 0; row < batch_size; row++) {
      const window = index * batch_size + row;
      if (window >= this.windows) writer.leave(row);
      else writer.fill(row, this.source, Math.floor((window * this.blocks) / this.windows) * block_size);
    }
    return writer.batch;
  }
}
