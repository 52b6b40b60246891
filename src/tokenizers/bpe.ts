/**
 * Byte-pair encoding in its three published forms, one class:
 * - merge rules in order of rank (GPT-2, GPT-1 and the `BPE` model of tokenizer.json);
 * - ranks of byte strings (tiktoken): a pair merges when its joined bytes are a token, smallest rank first;
 * - scores of pieces (SentencePiece's BPE): a pair merges when its joined text is a token, best score first.
 *
 * Symbols are bytes (written in the byte alphabet) or characters, with an optional prefix or suffix at word edges.
 */
import { BYTE_TO_UNIT, byteOfName, codePointAt, nameOfByte, writeUtf8 } from './bytes.ts';
import type { IntList } from './int-list.ts';
import type { MergeTable } from './merges.ts';
import { mergeSymbols, type PairRanker, Symbols } from './merging.ts';
import { type Model, PieceCache } from './model.ts';
import type { Vocabulary } from './vocabulary.ts';

export interface BpeOptions {
  readonly vocabulary: Vocabulary;
  /** Merge rules; without them pairs merge by joined text, in order of {@link priorities}. */
  readonly merges?: MergeTable;
  /** Rank of each token (smaller merges first, never negative, -1 = never); used without merge rules. Default: its id. */
  readonly priorities?: Int32Array;
  /** True when pieces are text whose UTF-8 bytes are the symbols. */
  readonly bytes: boolean;
  /** The id for characters outside the vocabulary; -1 drops them, as the `tokenizers` library does. */
  readonly unknownId?: number;
  /** Neighbouring unknown characters become one token. */
  readonly fuseUnknown?: boolean;
  /** Unknown characters become the tokens `<0x00>` … `<0xFF>` of their bytes. */
  readonly byteFallback?: boolean;
  readonly continuingPrefix?: string;
  readonly endSuffix?: string;
  /** A piece that is a token as a whole is that token, whatever the merge rules say. */
  readonly wholePieceFirst?: boolean;
}

const UNKNOWN = -1;

export class Bpe implements Model {
  readonly vocabulary: Vocabulary;
  readonly unknownId: number;
  readonly showsUnknownText = false;
  private readonly symbols = new Symbols();
  private readonly ranker: PairRanker;
  private readonly cache = new PieceCache();
  /** Byte -> id: of its character in the byte alphabet, or of its `<0x..>` token. */
  private readonly byteIds: Int32Array;
  /** Symbols -> units of the piece, in the byte form. */
  private charStarts = new Int32Array(64);
  private charEnds = new Int32Array(64);
  /** The UTF-8 bytes of the character at hand. */
  private readonly scratch = new Uint8Array(4);
  /** A character that opens a word inside longer tokens: where it follows another character no token crosses. */
  private wordMark = -2;

  constructor(private readonly options: BpeOptions) {
    const { vocabulary } = options;
    this.vocabulary = vocabulary;
    this.unknownId = options.unknownId ?? -1;
    this.ranker = options.merges
      ? new RuleRanker(options.merges)
      : new TextRanker(vocabulary, options.priorities ?? undefined);
    this.byteIds = new Int32Array(256).fill(-1);
    for (let byte = 0; byte < 256; byte++) {
      this.byteIds[byte] = options.bytes
        ? vocabulary.find(String.fromCharCode(BYTE_TO_UNIT[byte]))
        : options.byteFallback
          ? vocabulary.idOf(nameOfByte(byte))
          : -1;
    }
  }

  private cutsWords(): boolean {
    if (this.wordMark === -2) {
      const { bytes, endSuffix, continuingPrefix, wholePieceFirst } = this.options;
      const plain = !bytes && !endSuffix && !continuingPrefix && !wholePieceFirst;
      this.wordMark = plain ? findWordMark(this.vocabulary) : -1;
    }
    return this.wordMark >= 0;
  }

  ids(piece: string, out: IntList): void {
    if (piece.length <= 48 || !this.cutsWords()) this.wordIds(piece, out);
    else this.eachWord(piece, (word) => this.wordIds(word, out));
  }

  spans(piece: string, out: IntList): void {
    if (!this.cutsWords()) {
      this.run(piece);
      this.emit(piece, out, true, 0);
      return;
    }
    this.eachWord(piece, (word, start) => {
      this.run(word);
      this.emit(word, out, true, start);
    });
  }

  private wordIds(word: string, out: IntList): void {
    const known = this.cache.get(word);
    if (known !== undefined) {
      if (typeof known === 'number') out.push(known);
      else out.pushAll(known);
      return;
    }
    const from = out.length;
    this.run(word);
    this.emit(word, out, false, 0);
    this.cache.put(word, out, from);
  }

  /** Cuts a piece before every word mark that follows another character. Unknown characters that fuse stay together. */
  private eachWord(piece: string, each: (word: string, start: number) => void): void {
    let start = 0;
    for (let i = 1; i < piece.length; i++) {
      if (piece.charCodeAt(i) !== this.wordMark || piece.charCodeAt(i - 1) === this.wordMark) continue;
      each(piece.slice(start, i), start);
      start = i;
    }
    each(start === 0 ? piece : piece.slice(start), start);
  }

  /** Fills `symbols` with the merged symbols of the piece. */
  private run(piece: string): void {
    if (this.options.bytes) this.loadBytes(piece);
    else this.loadCharacters(piece);
    if (this.symbols.count < 2 && !this.options.wholePieceFirst) return;
    if (this.options.wholePieceFirst && this.takeWhole(piece)) return;
    mergeSymbols(this.symbols, this.ranker);
  }

  private takeWhole(piece: string): boolean {
    const { symbols, vocabulary } = this;
    const units = this.options.bytes ? symbols.count : piece.length;
    const whole = this.options.bytes ? vocabulary.findUnits(symbols.units, 0, units) : vocabulary.find(piece);
    if (whole < 0) return false;
    symbols.count = 1;
    symbols.ids[0] = whole;
    symbols.starts[0] = 0;
    symbols.ends[0] = units;
    return true;
  }

  private loadBytes(piece: string): void {
    const { symbols, byteIds } = this;
    const most = piece.length * 3;
    symbols.reset(most);
    if (this.charStarts.length < most || (this.charStarts.length > 4096 && most * 4 < this.charStarts.length)) {
      this.charStarts = new Int32Array(Math.max(64, most));
      this.charEnds = new Int32Array(Math.max(64, most));
    }
    let count = 0;
    const put = (byte: number, start: number, end: number) => {
      symbols.ids[count] = byteIds[byte];
      symbols.starts[count] = count;
      symbols.ends[count] = count + 1;
      symbols.units[count] = BYTE_TO_UNIT[byte];
      this.charStarts[count] = start;
      this.charEnds[count] = end;
      count++;
    };
    for (let i = 0; i < piece.length; ) {
      const code = codePointAt(piece, i);
      const end = code > 0xffff ? i + 2 : i + 1;
      const length = writeUtf8(code, this.scratch);
      for (let k = 0; k < length; k++) put(this.scratch[k], i, end);
      i = end;
    }
    symbols.count = count;
  }

  private loadCharacters(piece: string): void {
    const { symbols, vocabulary } = this;
    const { continuingPrefix, endSuffix } = this.options;
    symbols.reset(piece.length);
    let count = 0;
    for (let i = 0; i < piece.length; ) {
      const end = codePointAt(piece, i) > 0xffff ? i + 2 : i + 1;
      let id: number;
      const prefixed = i > 0 && continuingPrefix;
      const suffixed = end === piece.length && endSuffix;
      if (prefixed || suffixed) {
        id = vocabulary.find(`${prefixed ? continuingPrefix : ''}${piece.slice(i, end)}${suffixed ? endSuffix : ''}`);
      } else {
        id = vocabulary.find(piece, i, end);
      }
      symbols.ids[count] = id;
      symbols.starts[count] = i;
      symbols.ends[count] = end;
      count++;
      for (; i < end; i++) symbols.units[i] = piece.charCodeAt(i);
    }
    symbols.count = count;
  }

  /** Appends the merged symbols: ids alone, or id, start, end. */
  private emit(piece: string, out: IntList, spans: boolean, offset: number): void {
    const { symbols } = this;
    const { bytes, byteFallback, fuseUnknown } = this.options;
    let fusing = false;
    for (let i = 0; i < symbols.count; i++) {
      const id = symbols.ids[i];
      let start = symbols.starts[i];
      let end = symbols.ends[i];
      if (bytes) {
        end = this.charEnds[end - 1];
        start = this.charStarts[start];
      }
      if (id !== UNKNOWN) {
        put(out, id, spans, start + offset, end + offset);
        fusing = false;
        continue;
      }
      if (byteFallback && this.fallBack(piece, start, end, out, spans, offset)) {
        fusing = false;
        continue;
      }
      if (this.unknownId < 0) continue;
      if (fusing && fuseUnknown) {
        if (spans) out.data[out.length - 1] = end + offset;
        continue;
      }
      put(out, this.unknownId, spans, start + offset, end + offset);
      fusing = true;
    }
  }

  /** Appends the byte tokens of a character; false when one is missing. */
  private fallBack(piece: string, start: number, end: number, out: IntList, spans: boolean, offset: number): boolean {
    const { byteIds } = this;
    const before = out.length;
    for (let i = start; i < end; ) {
      const code = codePointAt(piece, i);
      const length = writeUtf8(code, this.scratch);
      for (let k = 0; k < length; k++) {
        const id = byteIds[this.scratch[k]];
        if (id < 0) {
          out.length = before;
          return false;
        }
        put(out, id, spans, start + offset, end + offset);
      }
      i += code > 0xffff ? 2 : 1;
    }
    return true;
  }
}

function put(out: IntList, id: number, spans: boolean, start: number, end: number): void {
  out.push(id);
  if (!spans) return;
  out.push(start);
  out.push(end);
}

class RuleRanker implements PairRanker {
  foundId = -1;

  constructor(private readonly merges: MergeTable) {}

  rank(symbols: Symbols, left: number, right: number): number {
    const a = symbols.ids[left];
    const b = symbols.ids[right];
    if (a < 0 || b < 0) return -1;
    const rank = this.merges.find(a, b);
    if (rank >= 0) this.foundId = this.merges.merged[rank];
    return rank;
  }
}

class TextRanker implements PairRanker {
  foundId = -1;

  constructor(
    private readonly vocabulary: Vocabulary,
    private readonly priorities?: Int32Array,
  ) {}

  rank(symbols: Symbols, left: number, right: number): number {
    const id = this.vocabulary.findUnits(symbols.units, symbols.starts[left], symbols.ends[right]);
    if (id < 0) return -1;
    this.foundId = id;
    return this.priorities ? this.priorities[id] : id;
  }
}

/** U+2581 when every token has it only at its front, so that no token crosses from a word into the next; else -1. */
function findWordMark(vocabulary: Vocabulary): number {
  const mark = 0x2581;
  if (vocabulary.find(String.fromCharCode(mark)) < 0) return -1;
  for (let id = 0; id < vocabulary.size; id++) {
    const length = vocabulary.unitLength(id);
    let inside = false;
    for (let i = 0; i < length; i++) {
      if (vocabulary.unitAt(id, i) !== mark) inside = true;
      else if (inside) {
        if (vocabulary.isHidden(id)) break;
        return -1;
      }
    }
  }
  return mark;
}

/** Hides the names of byte tokens, so that the text `<0x41>` stays text. */
export function hideByteNames(vocabulary: Vocabulary): void {
  for (let byte = 0; byte < 256; byte++) {
    const id = vocabulary.idOf(nameOfByte(byte));
    if (id >= 0 && byteOfName(vocabulary.text(id)) === byte) vocabulary.hide(id);
  }
}
