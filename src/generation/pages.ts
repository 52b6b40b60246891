/**
 * The pages of the cache: who holds them, and which of them hold the keys and values of a known beginning, so that a prefix which
 * several sequences share is computed once.
 */
import { CapacityError } from '../errors.ts';

/** What is known of a full page: the beginning it ends is named by this number. */
type Identity = number;

export class PagePool {
  private readonly holders: Int32Array;
  private readonly free: number[] = [];
  /** Pages that nobody holds but that are worth keeping, the longest unused first. */
  private readonly idle = new Set<number>();
  private readonly known = new Map<string, number>();
  private readonly keys: (string | undefined)[];
  private readonly identities: Identity[];
  private identity: Identity = 0;

  constructor(readonly count: number) {
    this.holders = new Int32Array(count);
    this.keys = new Array(count);
    this.identities = new Array(count).fill(0);
    for (let page = count - 1; page >= 0; page--) this.free.push(page);
  }

  /** Pages that `take` can still give. */
  get available(): number {
    return this.free.length + this.idle.size;
  }

  /** A page for the caller alone. Its content is undefined. */
  take(): number {
    let page = this.free.pop();
    if (page === undefined) {
      const oldest = this.idle.values().next();
      if (oldest.done)
        throw new CapacityError(
          'KV cache',
          this.count + 1,
          this.count,
          'pages',
          'Use fewer or shorter sequences at once',
        );
      page = oldest.value;
      this.idle.delete(page);
      this.forget(page);
    }
    this.holders[page] = 1;
    this.identities[page] = ++this.identity;
    return page;
  }

  /** One more holder of a page. */
  hold(page: number): void {
    if (this.holders[page]++ === 0) this.idle.delete(page);
  }

  /** One holder less. */
  release(page: number): void {
    if (--this.holders[page] > 0) return;
    if (this.keys[page] === undefined) this.free.push(page);
    else this.idle.add(page);
  }

  isShared(page: number): boolean {
    return this.holders[page] > 1;
  }

  /** Remember that `page` holds `tokens` after the beginning that ends in `previous` (below 0 for a very start; each such number is another). */
  remember(page: number, previous: number, tokens: readonly number[]): void {
    const key = this.key(previous, tokens);
    if (this.keys[page] !== undefined || this.known.has(key)) return;
    this.known.set(key, page);
    this.keys[page] = key;
  }

  /** The page that holds `tokens` after `previous`, with one more holder; -1 when there is none. */
  find(previous: number, tokens: readonly number[]): number {
    const page = this.known.get(this.key(previous, tokens)) ?? -1;
    if (page >= 0) this.hold(page);
    return page;
  }

  /** The content of a page is about to change. */
  forget(page: number): void {
    const key = this.keys[page];
    if (key === undefined) return;
    this.known.delete(key);
    this.keys[page] = undefined;
    this.identities[page] = ++this.identity;
  }

  private key(previous: number, tokens: readonly number[]): string {
    return `${previous < 0 ? previous : this.identities[previous]}:${tokens.join(',')}`;
  }
}
