/** Where tokens come from: a long row of them with the places where documents start, in memory or on disk. */
import { ShapeError } from '../../errors.ts';

/** Synchronous random access to a row of tokens that may be larger than memory. */
export interface TokenSource {
  /** Tokens, end tokens included. */
  readonly length: number;
  /** Documents; the first starts at 0, also where a split has cut off its beginning. At least 1 unless empty. */
  readonly documents: number;
  /** Fills `into` with the tokens from `position` on. @throws ShapeError when they do not lie inside. */
  read(position: number, into: Int32Array): void;
  /** Where document `index` starts; rising with the index. */
  documentStart(index: number): number;
}

/** Refuses a range outside of a source: every `TokenSource` calls this first. */
export function checkTokens(source: { readonly length: number }, position: number, count: number): void {
  if (Number.isSafeInteger(position) && position >= 0 && count <= source.length - position) return;
  throw new ShapeError('tokens', `${count} are wanted from ${position} on, but there are ${source.length}`);
}

/** The document in which the token at `position` lies. */
export function documentAt(source: TokenSource, position: number): number {
  let low = 0;
  let high = source.documents;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (source.documentStart(middle) <= position) low = middle;
    else high = middle;
  }
  return low;
}

/** Tokens in memory: for the browser and for small data. */
export class MemoryTokens implements TokenSource {
  /**
   * @param starts where documents start, rising from 0; one document unless given.
   */
  constructor(
    private readonly tokens: Int32Array | Uint16Array | Uint32Array,
    private readonly starts: ArrayLike<number> = tokens.length > 0 ? [0] : [],
  ) {}

  get length(): number {
    return this.tokens.length;
  }

  get documents(): number {
    return this.starts.length;
  }

  read(position: number, into: Int32Array): void {
    checkTokens(this, position, into.length);
    into.set(this.tokens.subarray(position, position + into.length));
  }

  documentStart(index: number): number {
    return this.starts[index];
  }
}

/** A part of another source: the tokens from `start` to before `end`. */
export class SliceTokens implements TokenSource {
  readonly length: number;
  readonly documents: number;
  private readonly first: number;

  constructor(
    private readonly whole: TokenSource,
    private readonly start: number,
    end: number,
  ) {
    checkTokens(whole, start, end - start);
    this.length = end - start;
    this.first = documentAt(whole, start);
    this.documents = this.length === 0 ? 0 : documentAt(whole, end - 1) - this.first + 1;
  }

  read(position: number, into: Int32Array): void {
    checkTokens(this, position, into.length);
    this.whole.read(this.start + position, into);
  }

  documentStart(index: number): number {
    return index === 0 ? 0 : this.whole.documentStart(this.first + index) - this.start;
  }
}

/** Several sources in a row, as one. */
export class ConcatTokens implements TokenSource {
  readonly length: number;
  readonly documents: number;
  private readonly parts: readonly {
    readonly source: TokenSource;
    readonly token: number;
    readonly document: number;
  }[];

  constructor(sources: readonly TokenSource[]) {
    let [token, document] = [0, 0];
    this.parts = sources
      .filter((source) => source.length > 0)
      .map((source) => {
        const part = { source, token, document };
        token += source.length;
        document += source.documents;
        return part;
      });
    this.length = token;
    this.documents = document;
  }

  read(position: number, into: Int32Array): void {
    checkTokens(this, position, into.length);
    for (const { source, token } of this.parts) {
      const from = Math.max(position, token);
      const to = Math.min(position + into.length, token + source.length);
      if (from < to) source.read(from - token, into.subarray(from - position, to - position));
    }
  }

  documentStart(index: number): number {
    const { source, token, document } = this.parts.findLast((part) => part.document <= index)!;
    return token + source.documentStart(index - document);
  }
}
