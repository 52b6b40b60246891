/**
 * Documents to tokens. A long document is encoded in pieces that are cut where the tokens come out as if it had been
 * encoded whole, so that a text of any size passes in bounded memory.
 */
import { CapacityError, SettingError } from '../../errors.ts';
import type { Tokenizer } from '../../tokenizers/index.ts';
import { type DocumentParts, safeCut } from './documents.ts';

/** What this folder asks of a tokenizer. */
export type TextTokenizer = Pick<Tokenizer, 'encodeIds' | 'tokenBytes' | 'vocabSize' | 'special'>;

export interface TokeniseOptions {
  /** Stands after each document; null for none. Default: the tokenizer's eos, or none where it has no eos. */
  readonly end_token?: number | null;
  /** Stands before each document. Default none. */
  readonly begin_token?: number | null;
}

/** Tokens of a piece of a document, with what it was made of. */
export interface TokenPiece {
  /** The number of the document, from 0. Documents without text have none. */
  readonly document: number;
  /** True for the first piece of a document. */
  readonly begins: boolean;
  readonly ids: Int32Array;
  /** Of the text, in UTF-8. */
  readonly bytes: number;
  /** Of the text: Unicode code points. */
  readonly characters: number;
  /** How many of the ids are the tokenizer's unknown token. */
  readonly unknown: number;
}

/** Pieces of about so many UTF-16 units. */
const PIECE = 1 << 17;
/** A document without any place to cut it that is longer than this is refused. */
const LONGEST_PIECE = 1 << 26;
/** Text before a cut that is encoded again with what follows it, and text around it that proves the cut. */
const CONTEXT = 64;
const PROOF = 256;

/** The tokens around documents that options ask for. @throws SettingError */
export function boundaryTokens(
  tokenizer: TextTokenizer,
  options: TokeniseOptions,
): { readonly begin: number | null; readonly end: number | null } {
  const { end_token = tokenizer.special.eos ?? null, begin_token = null } = options;
  for (const [name, id] of Object.entries({ end_token, begin_token })) {
    if (id === null || (Number.isInteger(id) && id >= 0 && id < tokenizer.vocabSize)) continue;
    throw new SettingError(name, id, `must be a token of the vocabulary: 0 to ${tokenizer.vocabSize - 1}`);
  }
  return { begin: begin_token, end: end_token };
}

/** The tokens of documents, piece by piece. @throws what the source of documents throws; CapacityError */
export async function* tokenise(
  documents: DocumentParts,
  tokenizer: TextTokenizer,
  options: TokeniseOptions = {},
): AsyncGenerator<TokenPiece, void, void> {
  const { begin, end } = boundaryTokens(tokenizer, options);
  const encoder = new PieceEncoder(tokenizer);
  let document = 0;
  let begun = false;
  const { unk } = tokenizer.special;
  const piece = (text: string, ids: Int32Array, ends: boolean): TokenPiece => {
    const begins = !begun;
    const before = begins && begin !== null ? [begin] : [];
    const after = ends && end !== null ? [end] : [];
    begun = !ends;
    return {
      document: ends ? document++ : document,
      begins,
      ids: before.length + after.length === 0 ? ids : Int32Array.from([...before, ...ids, ...after]),
      ...countText(text),
      unknown: unk === undefined ? 0 : ids.reduce((sum, id) => sum + (id === unk ? 1 : 0), 0),
    };
  };
  for await (const parts of documents) {
    for (const part of parts) {
      for (const { text, ids } of encoder.push(part.text)) yield piece(text, ids, false);
      if (!part.end) continue;
      const { text, ids } = encoder.end();
      if (text.length > 0 || begun) yield piece(text, ids, true);
    }
  }
}

/** Bytes in UTF-8 and code points of a text. */
export function countText(text: string): { readonly bytes: number; readonly characters: number } {
  let bytes = 0;
  let characters = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    characters++;
    if (unit < 0x80) bytes++;
    else if (unit < 0x800) bytes += 2;
    else {
      const next = unit >= 0xd800 && unit < 0xdc00 ? text.charCodeAt(i + 1) : 0;
      if (next >= 0xdc00 && next < 0xe000) {
        bytes += 4;
        i++;
      } else bytes += 3;
    }
  }
  return { bytes, characters };
}

interface Piece {
  readonly text: string;
  readonly ids: Int32Array;
}

/** Encodes one document after another, each in as few pieces as bounded memory allows. */
class PieceEncoder {
  private readonly waiting: string[] = [];
  private length = 0;
  private limit = 2 * PIECE;
  /** The end of the text before, with its tokens, when the next piece continues a document. */
  private context = { text: '', tokens: 0 };

  constructor(private readonly tokenizer: TextTokenizer) {}

  *push(text: string): Generator<Piece> {
    this.waiting.push(text);
    this.length += text.length;
    while (this.length >= this.limit) {
      const all = this.take();
      const cut = findCut(all, this.tokenizer);
      if (cut === undefined) {
        this.put(all);
        this.limit = 2 * this.length;
        if (this.limit > LONGEST_PIECE) {
          const hint = 'It has no place where it can be cut without changing its tokens: name a separator of documents';
          throw new CapacityError('document', this.length, LONGEST_PIECE / 2, 'characters', hint);
        }
        return;
      }
      yield this.encode(all.slice(0, cut.at));
      this.context = { text: all.slice(cut.at - cut.context, cut.at), tokens: cut.tokens };
      this.put(all.slice(cut.at));
      this.limit = 2 * PIECE;
    }
  }

  /** The last piece of a document. */
  end(): Piece {
    const piece = this.encode(this.take());
    this.context = { text: '', tokens: 0 };
    this.limit = 2 * PIECE;
    return piece;
  }

  private encode(text: string): Piece {
    const { context, tokenizer } = this;
    if (text.length === 0) return { text, ids: new Int32Array(0) };
    return { text, ids: encodeText(tokenizer, context.text + text).subarray(context.tokens) };
  }

  private take(): string {
    const all = this.waiting.length === 1 ? this.waiting[0] : this.waiting.join('');
    this.waiting.length = 0;
    this.length = 0;
    return all;
  }

  private put(text: string): void {
    this.waiting.push(text);
    this.length = text.length;
  }
}

interface Cut {
  readonly at: number;
  /** Units of text before the cut that go before the next piece when it is encoded, and their tokens. */
  readonly context: number;
  readonly tokens: number;
}

/** A place near PIECE where a text can be cut: at an end of line if possible, between words, or anywhere. */
function findCut(text: string, tokenizer: TextTokenizer): Cut | undefined {
  const isBreak = [
    (at: number) => text[at] === '\n' && !isSpace(text[at - 1]),
    (at: number) => text[at] === ' ' && !isSpace(text[at - 1]),
    (at: number) => safeCut(text, at) === at,
  ];
  const last = text.length - PROOF;
  for (const [kind, fits] of isBreak.entries()) {
    let tries = 0;
    const first = Math.max(PROOF, last - (kind === 2 ? 1024 : PIECE));
    for (let at = last; at > first && tries < 64; at--) {
      if (!fits(at)) continue;
      tries++;
      const cut = proveCut(text, at, tokenizer);
      if (cut !== undefined) return cut;
    }
  }
  return undefined;
}

const isSpace = (unit: string | undefined) => unit === undefined || /\s/.test(unit);

/** Both sides encoded apart, the right one after a little of the left, must give the tokens of both together. */
function proveCut(text: string, at: number, tokenizer: TextTokenizer): Cut | undefined {
  const from = safeCut(text, at - PROOF);
  const near = safeCut(text, at - CONTEXT);
  const to = safeCut(text, Math.min(text.length, at + PROOF));
  const together = encodeText(tokenizer, text.slice(from, to));
  const left = encodeText(tokenizer, text.slice(from, at));
  const context = encodeText(tokenizer, text.slice(near, at));
  const right = encodeText(tokenizer, text.slice(near, to));
  const tail = right.subarray(context.length);
  const holds =
    together.length === left.length + tail.length &&
    left.every((id, i) => together[i] === id) &&
    context.every((id, i) => right[i] === id) &&
    tail.every((id, i) => together[left.length + i] === id);
  return holds ? { at, context: at - near, tokens: context.length } : undefined;
}

const encodeText = (tokenizer: TextTokenizer, text: string): Int32Array =>
  tokenizer.encodeIds(text, { add_special_tokens: false });
