/** A sequence: one mutable timeline of tokens, with the pages that hold what was computed of it. */
import { SettingError } from '../errors.ts';
import type { PagePool } from './pages.ts';

export class Sequence {
  /** Everything appended, computed or not. */
  readonly tokens: number[] = [];
  /** How many tokens, from the first, have keys and values in the pages. */
  computed = 0;
  readonly pages: number[] = [];
  /** Tells the adapter that computed it from earlier ones of its name. */
  adapterKey = 0;
  /** Whether its adapter was replaced when it was half computed: its pages are then of no use to others. */
  isMixed = false;
  private freed = false;

  constructor(
    private readonly pool: PagePool,
    private readonly pageSize: number,
    /** The adapter that computes it; null for the model alone. */
    readonly adapter: string | null = null,
  ) {}

  get length(): number {
    return this.tokens.length;
  }

  /** Tokens that the next step has to compute. */
  get pending(): number {
    return this.tokens.length - this.computed;
  }

  append(tokens: Iterable<number>): void {
    this.check();
    for (const token of tokens) this.tokens.push(token);
  }

  /** Drop everything from `length` on. */
  truncate(length: number): void {
    this.check();
    if (!Number.isInteger(length) || length < 0 || length > this.tokens.length) {
      throw new SettingError('length', length, `has to be between 0 and ${this.tokens.length}`);
    }
    this.tokens.length = length;
    this.computed = Math.min(this.computed, length);
    const needed = Math.ceil(this.computed / this.pageSize);
    for (const page of this.pages.splice(needed)) this.pool.release(page);
  }

  /** A sequence with the same tokens. Its pages are shared until one of the two writes. */
  fork(): Sequence {
    this.check();
    const copy = new Sequence(this.pool, this.pageSize, this.adapter);
    copy.tokens.push(...this.tokens);
    copy.computed = this.computed;
    copy.adapterKey = this.adapterKey;
    copy.isMixed = this.isMixed;
    copy.pages.push(...this.pages);
    for (const page of copy.pages) this.pool.hold(page);
    return copy;
  }

  /** It is computed by the adapter of this key from now on. */
  meet(key: number): void {
    if (this.computed === 0) this.isMixed = false;
    else if (key !== this.adapterKey) this.isMixed = true;
    this.adapterKey = key;
  }

  /** Give the pages back. The sequence cannot be used afterwards; freeing twice does nothing. */
  free(): void {
    if (this.freed) return;
    this.freed = true;
    for (const page of this.pages.splice(0)) this.pool.release(page);
  }

  private check(): void {
    if (this.freed) throw new SettingError('sequence', 'freed', 'cannot be used after free()');
  }
}
