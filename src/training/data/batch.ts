/** A batch of windows: what one training or evaluation step is fed. */
import { documentAt, type TokenSource } from './token_source.ts';

/** The target of a position that takes no part in the loss. */
export const IGNORED = -100;

/** B windows of T tokens, row by row. */
export interface Batch {
  readonly batch_size: number;
  readonly block_size: number;
  /** (B, T) */
  readonly tokens: Int32Array;
  /** (B, T): the token that follows each; -100 where it is not to be learned. */
  readonly targets: Int32Array;
  /** (B, T): places counted anew in each document. Only without attention across documents; else 0 … T-1 is meant. */
  readonly positions?: Int32Array;
  /** (B, T): which document of the window, from 0. Only without attention across documents; else all are one. */
  readonly documents?: Int32Array;
}

/** Fills batches row by row. */
export class BatchWriter {
  readonly batch: Batch;
  private readonly window: Int32Array;

  /**
   * @param cross_document_attention false gives each token its document and a place within it, and ignores the
   *   targets that are the first token of another document.
   */
  constructor(
    batch_size: number,
    private readonly block_size: number,
    private readonly cross_document_attention: boolean,
  ) {
    const make = () => new Int32Array(batch_size * block_size);
    const rows = { batch_size, block_size, tokens: make(), targets: make() };
    this.batch = cross_document_attention ? rows : { ...rows, positions: make(), documents: make() };
    this.window = new Int32Array(block_size + 1);
  }

  /**
   * Row `row` from the window that starts at `position`. A source that ends inside of it leaves the rest of the row 0
   * and ignored; a whole row needs T + 1 tokens.
   */
  fill(row: number, source: TokenSource, position: number): void {
    const { batch, window, block_size: T } = this;
    const count = Math.max(0, Math.min(T + 1, source.length - position));
    if (count > 0) source.read(position, window.subarray(0, count));
    const at = row * T;
    batch.tokens.set(window.subarray(0, Math.min(count, T)), at);
    batch.targets.fill(IGNORED, at, at + T);
    if (count > 1) batch.targets.set(window.subarray(1, count), at);
    if (!this.cross_document_attention) this.separate(at, source, position, count);
  }

  /** A row of nothing: all its targets are ignored. */
  leave(row: number): void {
    const at = row * this.block_size;
    this.batch.targets.fill(IGNORED, at, at + this.block_size);
  }

  private separate(at: number, source: TokenSource, position: number, count: number): void {
    const { targets, positions, documents } = this.batch;
    if (count === 0) return;
    let next = documentAt(source, position) + 1;
    let [document, place] = [0, 0];
    const startOf = (index: number) => (index < source.documents ? source.documentStart(index) : source.length);
    let end = startOf(next) - position;
    for (let i = 0; i < this.block_size; i++) {
      if (i === end && i < count) {
        document++;
        place = 0;
        end = startOf(++next) - position;
      }
      if (i + 1 === end) targets[at + i] = IGNORED;
      documents![at + i] = document;
      positions![at + i] = place++;
    }
  }
}
