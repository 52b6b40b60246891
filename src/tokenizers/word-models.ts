/** The models that look whole words up: WordLevel, and WordPiece (Schuster & Nakajima 2012, as used by BERT). */
import { SettingError } from '../errors.ts';
import { codePointAt } from './bytes.ts';
import type { IntList } from './int-list.ts';
import type { Model } from './model.ts';
import type { Vocabulary } from './vocabulary.ts';

/** A piece is a token or it is unknown. */
export class WordLevel implements Model {
  readonly showsUnknownText = false;

  constructor(
    readonly vocabulary: Vocabulary,
    readonly unknownId: number,
  ) {}

  ids(piece: string, out: IntList): void {
    const id = this.lookUp(piece);
    if (id >= 0) out.push(id);
  }

  spans(piece: string, out: IntList): void {
    const id = this.lookUp(piece);
    if (id < 0) return;
    out.push(id);
    out.push(0);
    out.push(piece.length);
  }

  private lookUp(piece: string): number {
    const id = this.vocabulary.find(piece);
    return id >= 0 ? id : this.unknownId;
  }
}

/** A character is a token or it is unknown (an error where no token says so): the vocabulary of character-level models. */
export class Characters implements Model {
  readonly showsUnknownText = false;

  constructor(
    readonly vocabulary: Vocabulary,
    readonly unknownId: number,
  ) {}

  ids(piece: string, out: IntList): void {
    this.run(piece, out, false);
  }

  spans(piece: string, out: IntList): void {
    this.run(piece, out, true);
  }

  private run(piece: string, out: IntList, spans: boolean): void {
    for (let start = 0; start < piece.length; ) {
      const end = start + (codePointAt(piece, start) > 0xffff ? 2 : 1);
      const found = this.vocabulary.find(piece, start, end);
      const id = found >= 0 ? found : this.unknownId;
      if (id < 0) {
        throw new SettingError('text', piece.slice(start, end), 'is not in the vocabulary, which has no unknown token');
      }
      out.push(id);
      if (spans) {
        out.push(start);
        out.push(end);
      }
      start = end;
    }
  }
}

/** Longest match first from the left; what cannot be completed makes the whole word unknown. */
export class WordPiece implements Model {
  readonly showsUnknownText = false;

  constructor(
    readonly vocabulary: Vocabulary,
    readonly unknownId: number,
    private readonly continuingPrefix: string,
    private readonly longestWord: number,
  ) {}

  ids(piece: string, out: IntList): void {
    this.run(piece, out, false);
  }

  spans(piece: string, out: IntList): void {
    this.run(piece, out, true);
  }

  private run(piece: string, out: IntList, spans: boolean): void {
    const from = out.length;
    const emit = (id: number, start: number, end: number) => {
      out.push(id);
      if (!spans) return;
      out.push(start);
      out.push(end);
    };
    let count = 0;
    for (let i = 0; i < piece.length && count <= this.longestWord; count++) {
      i += codePointAt(piece, i) > 0xffff ? 2 : 1;
    }
    if (count > this.longestWord) {
      emit(this.unknownId, 0, piece.length);
      return;
    }
    for (let start = 0; start < piece.length; ) {
      let end = Math.min(piece.length, start + this.vocabulary.longest);
      let id = -1;
      for (; end > start; end--) {
        id =
          start === 0
            ? this.vocabulary.find(piece, 0, end)
            : this.vocabulary.find(this.continuingPrefix + piece.slice(start, end));
        if (id >= 0) break;
      }
      if (id < 0) {
        out.length = from;
        emit(this.unknownId, 0, piece.length);
        return;
      }
      emit(id, start, end);
      start = end;
    }
  }
}
