/** What a tokenizer asks of its model: to turn one piece of text into ids. */
import type { IntList } from './int-list.ts';
import type { Vocabulary } from './vocabulary.ts';

export interface Model {
  readonly vocabulary: Vocabulary;
  /** The id for text that the vocabulary cannot express, or -1. */
  readonly unknownId: number;
  /** True when the token of unknown text is shown as that text (Unigram), not as the unknown token's name. */
  readonly showsUnknownText: boolean;
  /** Appends the ids of a piece. */
  ids(piece: string, out: IntList): void;
  /** Appends id, start, end for each token of a piece, in UTF-16 units of the piece. */
  spans(piece: string, out: IntList): void;
}

/** The ids of pieces met before. Bounded: when it is full it starts anew, which costs less than keeping order. */
export class PieceCache {
  private readonly entries = new Map<string, number | Int32Array>();

  constructor(
    private readonly limit = 20_000,
    private readonly longest = 48,
  ) {}

  get(piece: string): number | Int32Array | undefined {
    return this.entries.get(piece);
  }

  /** Remembers list[from, length) as the ids of the piece. */
  put(piece: string, list: IntList, from: number): void {
    if (piece.length > this.longest) return;
    if (this.entries.size >= this.limit) this.entries.clear();
    this.entries.set(piece, list.length - from === 1 ? list.data[from] : list.toArray(from));
  }
}
