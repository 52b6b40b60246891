/**
 * The tokenizer: text to ids and back, assembled from data.
 *
 * Encoding goes: split on added tokens -> normalise -> pre-tokenize -> model -> template. Decoding runs the token
 * strings through the decoder's steps. Where the parts come from (tokenizer.json, GGUF, tiktoken …) is the business of
 * the loaders beside this file.
 */
import { SettingError } from '../errors.ts';
import { type AddedToken, AddedTokenFinder } from './added-tokens.ts';
import { AlignedText } from './aligned.ts';
import { BYTE_TO_UNIT, fromUtf8, UNIT_TO_BYTE, utf8, wellFormed } from './bytes.ts';
import { WHITE_SPACE } from './char-set.ts';
import { type DecoderStep, Decoding, neutralBytes } from './decoders.ts';
import { IntList } from './int-list.ts';
import type { Model } from './model.ts';
import type { Normalizer } from './normalizers.ts';
import type { PreTokenizer } from './pre-tokenizers.ts';
import { PLAIN, type Template, type TemplateItem } from './templates.ts';

/** Ids of tokens with a role, where the source names them. */
export interface SpecialIds {
  readonly bos?: number;
  readonly eos?: number;
  readonly unk?: number;
  readonly pad?: number;
  /** End of a turn in a chat (GGUF `eot_token_id`). */
  readonly eot?: number;
}

/** Everything a tokenizer is made of. */
export interface TokenizerParts {
  readonly model: Model;
  readonly normalizer?: Normalizer;
  readonly preTokenizer?: PreTokenizer;
  readonly addedTokens?: readonly AddedToken[];
  readonly template?: Template;
  /** Offsets leave out the white space at the ends of tokens (ByteLevel and Roberta post-processors). */
  readonly trimOffsets?: { readonly addPrefixSpace: boolean };
  readonly decoder: readonly DecoderStep[];
  readonly special?: SpecialIds;
  /** True when the pre-tokenizer asks what begins the input and the normaliser may remove it: then every text is tracked. */
  readonly asksForStart?: boolean;
}

/**
 * A part of an input. Strings are text; `special` names one added token; `id` is a token as it is. Mixing them keeps
 * the tokens of a chat template apart from the text of a user, which stays text whatever it contains.
 */
export type Segment = string | { readonly special: string } | { readonly id: number };

export type EncodeInput = string | readonly Segment[];

export interface EncodeOptions {
  /** Put the template's tokens (beginning, end) around the text. Default true. */
  readonly add_special_tokens?: boolean;
  /**
   * Let the text contain special tokens: `<|im_end|>` becomes that token. Default false: special tokens are values, and
   * text from a user never becomes one. (Hugging Face always parses them: pass true to get its ids.)
   */
  readonly parse_special?: boolean;
}

export interface DecodeOptions {
  /** Leave special tokens out. Default false. */
  readonly skip_special_tokens?: boolean;
}

export interface Encoding {
  readonly ids: Int32Array;
  /**
   * Start and end of each token's text in the input, flat: [start, end, start, end, …], in UTF-16 units (what
   * `slice` takes). Tokens that a template added have 0, 0. An input of segments counts as their texts in a row.
   */
  readonly offsets: Int32Array;
  /** The string of each token; for an added token the text that it took, with the white space that belongs to it. */
  readonly tokens: string[];
  /** 0 for the first text of a pair, 1 for the second, as the template says. */
  readonly typeIds: Int32Array;
}

/** Decodes token by token; what it gave so far is always a beginning of `decode` of all ids. */
export interface DecodeStream {
  /** The text that this token settles; empty while a character is unfinished. */
  push(id: number): string;
  /** The rest, when no token follows. The stream then starts anew. */
  end(): string;
}

export class Tokenizer {
  readonly special: SpecialIds;
  /** One more than the largest id. */
  readonly vocabSize: number;
  private readonly model: Model;
  private readonly added = new Map<number, AddedToken>();
  private readonly addedIds = new Map<string, number>();
  private readonly rawFinder: AddedTokenFinder;
  private readonly normalizedFinder: AddedTokenFinder | undefined;
  private readonly template: Template;

  constructor(private readonly parts: TokenizerParts) {
    this.model = parts.model;
    this.special = parts.special ?? {};
    this.template = parts.template ?? PLAIN;
    let size = parts.model.vocabulary.size;
    const raw: AddedToken[] = [];
    const normalized: AddedToken[] = [];
    for (const token of parts.addedTokens ?? []) {
      this.added.set(token.id, token);
      this.addedIds.set(token.content, token.id);
      if (token.special) parts.model.vocabulary.hide(token.id);
      size = Math.max(size, token.id + 1);
      (token.normalized ? normalized : raw).push(token);
    }
    this.vocabSize = size;
    this.rawFinder = new AddedTokenFinder(
      raw,
      raw.map((token) => token.content),
    );
    this.normalizedFinder =
      normalized.length === 0
        ? undefined
        : new AddedTokenFinder(
            normalized,
            normalized.map((token) => this.normalize(AlignedText.from(token.content, 0, false)).text),
          );
  }

  // ---- text to ids

  /** Ids, offsets and token strings of an input. */
  encode(input: EncodeInput, options: EncodeOptions = {}): Encoding {
    return this.assemble(options.add_special_tokens ?? true, 'single', [this.trace(input, options)]);
  }

  /** Ids, offsets and type ids of two inputs, joined as the template says. */
  encodePair(first: EncodeInput, second: EncodeInput, options: EncodeOptions = {}): Encoding {
    const both = [this.trace(first, options), this.trace(second, options)];
    return this.assemble(options.add_special_tokens ?? true, 'pair', both);
  }

  /** Ids alone: the same as `encode(input, options).ids`, and much faster. */
  encodeIds(input: EncodeInput, options: EncodeOptions = {}): Int32Array {
    const { model } = this;
    const out = new IntList(256);
    const items = (options.add_special_tokens ?? true) ? this.template.single : PLAIN.single;
    for (const item of items) {
      if (item.kind === 'tokens') for (const id of item.ids) out.push(id);
      else {
        this.walk(
          input,
          options,
          false,
          (id) => out.push(id),
          (piece) => model.ids(piece.text, out),
        );
      }
    }
    return out.toArray();
  }

  // ---- ids to text

  /** The text of ids. Ids without a token (the padding of an embedding table) stand for no text. */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    if (this.parts.decoder.length === 1 && this.parts.decoder[0].kind === 'byte-level') {
      return this.decodeBytes(ids, options.skip_special_tokens ?? false);
    }
    const stream = this.stream(options);
    let text = '';
    for (let i = 0; i < ids.length; i++) text += stream.push(ids[i]);
    return text + stream.end();
  }

  /** A decoder for tokens that arrive one by one. */
  stream(options: DecodeOptions = {}): DecodeStream {
    const skip = options.skip_special_tokens ?? false;
    let decoding = new Decoding(this.parts.decoder);
    return {
      push: (id) => {
        this.check(id);
        if (skip && this.isSpecial(id)) return '';
        const token = this.idToToken(id);
        return token === undefined ? '' : decoding.push(token);
      },
      end: () => {
        const rest = decoding.end();
        decoding = new Decoding(this.parts.decoder);
        return rest;
      },
    };
  }

  /**
   * The bytes that a token stands for in the middle of a text: part of a character for some, none for ids without a
   * token, the UTF-8 of its name for an added token.
   */
  tokenBytes(id: number): Uint8Array {
    const added = this.added.get(id);
    if (added !== undefined) return utf8(added.content);
    const token = this.idToToken(id);
    return token === undefined ? new Uint8Array(0) : neutralBytes(this.parts.decoder, token);
  }

  // ---- the vocabulary

  /** The id of a token by its string, or undefined. */
  tokenToId(token: string): number | undefined {
    const id = this.addedIds.get(token) ?? this.model.vocabulary.idOf(token);
    return id >= 0 ? id : undefined;
  }

  /** The string of a token, or undefined where the id has none. */
  idToToken(id: number): string | undefined {
    const added = this.added.get(id);
    if (added !== undefined) return added.content;
    const { vocabulary } = this.model;
    if (!(id >= 0 && id < vocabulary.size) || vocabulary.unitLength(id) === 0) return undefined;
    return vocabulary.text(id);
  }

  /** True for tokens that `skip_special_tokens` leaves out. */
  isSpecial(id: number): boolean {
    return this.added.get(id)?.special ?? false;
  }

  /** The added tokens, in the order of their source. */
  get addedTokens(): readonly AddedToken[] {
    return this.parts.addedTokens ?? [];
  }

  // ---- inside

  private check(id: number): void {
    if (!Number.isInteger(id) || id < 0) {
      throw new SettingError('ids', id, `must be whole numbers from 0 to ${this.vocabSize - 1}`);
    }
  }

  private normalize(text: AlignedText): AlignedText {
    return this.parts.normalizer === undefined ? text : this.parts.normalizer(text);
  }

  /** Goes through an input: tokens that stand as they are, and pieces for the model. */
  private walk(
    input: EncodeInput,
    options: EncodeOptions,
    tracked: boolean,
    onToken: (id: number, start: number, end: number, text: string) => void,
    onPiece: (piece: AlignedText) => void,
  ): void {
    const parse = options.parse_special ?? false;
    let base = 0;
    for (const segment of typeof input === 'string' ? [input] : joined(input)) {
      if (typeof segment === 'string') {
        this.walkText(wellFormed(segment), base, parse, tracked, onToken, onPiece);
        base += segment.length;
      } else if ('special' in segment) {
        const id = this.addedIds.get(segment.special);
        if (id === undefined) {
          throw new SettingError('special', segment.special, 'is not an added token of this tokenizer');
        }
        onToken(id, base, base + segment.special.length, segment.special);
        base += segment.special.length;
      } else {
        this.check(segment.id);
        if (segment.id >= this.vocabSize) {
          throw new SettingError('id', segment.id, `must be a whole number from 0 to ${this.vocabSize - 1}`);
        }
        onToken(segment.id, base, base, this.idToToken(segment.id) ?? '');
      }
    }
  }

  private walkText(
    text: string,
    base: number,
    parse: boolean,
    tracked: boolean,
    onToken: (id: number, start: number, end: number, text: string) => void,
    onPiece: (piece: AlignedText) => void,
  ): void {
    const { preTokenizer } = this.parts;
    const piece = (part: AlignedText) => {
      if (part.text.length === 0) return;
      if (preTokenizer === undefined) onPiece(part);
      else preTokenizer(part, onPiece);
    };
    this.rawFinder.split(text, parse, (start, end, token) => {
      if (token !== undefined) {
        onToken(token.id, base + start, base + end, text.slice(start, end));
        return;
      }
      const keepTrack = tracked || (this.parts.asksForStart ?? false);
      const normal = this.normalize(AlignedText.from(text.slice(start, end), base + start, keepTrack)).settleStart();
      if (this.normalizedFinder === undefined) {
        piece(normal);
        return;
      }
      this.normalizedFinder.split(normal.text, parse, (from, to, inner) => {
        if (inner === undefined) piece(normal.slice(from, to));
        else {
          const { alignment } = normal;
          onToken(inner.id, alignment?.starts[from] ?? 0, alignment?.ends[to - 1] ?? 0, normal.text.slice(from, to));
        }
      });
    });
  }

  /** The tokens of one input with their offsets. */
  private trace(input: EncodeInput, options: EncodeOptions): { triples: IntList; tokens: string[] } {
    const triples = new IntList(64);
    const tokens: string[] = [];
    const spans = new IntList(64);
    const { model } = this;
    this.walk(
      input,
      options,
      true,
      (id, start, end, text) => {
        triples.push(id);
        triples.push(start);
        triples.push(end);
        tokens.push(text);
      },
      (piece) => {
        spans.length = 0;
        model.spans(piece.text, spans);
        const { starts, ends } = piece.alignment!;
        for (let i = 0; i < spans.length; i += 3) {
          const id = spans.data[i];
          const from = spans.data[i + 1];
          const to = spans.data[i + 2];
          triples.push(id);
          triples.push(starts[from]);
          triples.push(ends[to - 1]);
          const own = id === model.unknownId && model.showsUnknownText;
          tokens.push(own ? piece.text.slice(from, to) : (this.idToToken(id) ?? ''));
        }
      },
    );
    if (this.parts.trimOffsets !== undefined) {
      trim(triples, tokens, textOf(input), this.parts.trimOffsets.addPrefixSpace);
    }
    return { triples, tokens };
  }

  private assemble(
    special: boolean,
    form: 'single' | 'pair',
    traces: readonly { triples: IntList; tokens: string[] }[],
  ): Encoding {
    const ids = new IntList();
    const offsets = new IntList();
    const types = new IntList();
    const tokens: string[] = [];
    const items: readonly TemplateItem[] = special ? this.template[form] : PLAIN[form];
    for (const item of items) {
      if (item.kind === 'tokens') {
        for (const id of item.ids) {
          ids.push(id);
          offsets.push(0);
          offsets.push(0);
          types.push(item.type);
          tokens.push(this.idToToken(id) ?? '');
        }
        continue;
      }
      const trace = traces[item.which === 'A' ? 0 : 1];
      for (let i = 0; i < trace.triples.length; i += 3) {
        ids.push(trace.triples.data[i]);
        offsets.push(trace.triples.data[i + 1]);
        offsets.push(trace.triples.data[i + 2]);
        types.push(item.type);
        tokens.push(trace.tokens[i / 3]);
      }
    }
    return { ids: ids.toArray(), offsets: offsets.toArray(), tokens, typeIds: types.toArray() };
  }

  /** Decoding where a token's characters are its bytes: all bytes first, then one conversion. */
  private decodeBytes(ids: ArrayLike<number>, skip: boolean): string {
    const { vocabulary } = this.model;
    let bytes = new Uint8Array(ids.length * 5 + 16);
    let length = 0;
    const reserve = (more: number) => {
      if (length + more <= bytes.length) return;
      const grown = new Uint8Array(Math.max(length + more, bytes.length * 2));
      grown.set(bytes.subarray(0, length));
      bytes = grown;
    };
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i];
      this.check(id);
      const added = this.added.get(id);
      if (added !== undefined || id >= vocabulary.size) {
        if (added === undefined || (skip && added.special)) continue;
        const own = neutralBytes(this.parts.decoder, added.content);
        reserve(own.length);
        bytes.set(own, length);
        length += own.length;
        continue;
      }
      const count = vocabulary.unitLength(id);
      reserve(count);
      let at = length;
      for (let j = 0; j < count; j++) {
        const unit = vocabulary.unitAt(id, j);
        const byte = unit < UNIT_TO_BYTE.length ? UNIT_TO_BYTE[unit] : -1;
        if (byte < 0) {
          // Not written in the byte alphabet: the token stands for its own text.
          const own = utf8(vocabulary.text(id));
          reserve(own.length);
          bytes.set(own, length);
          at = length + own.length;
          break;
        }
        bytes[at++] = byte;
      }
      length = at;
    }
    return fromUtf8(bytes.subarray(0, length));
  }
}

/** Neighbouring strings are one text. */
function joined(segments: readonly Segment[]): Segment[] {
  const result: Segment[] = [];
  for (const segment of segments) {
    const last = result[result.length - 1];
    if (typeof segment === 'string' && typeof last === 'string') result[result.length - 1] = last + segment;
    else result.push(segment);
  }
  return result;
}

const VISIBLE_SPACE = String.fromCharCode(BYTE_TO_UNIT[32]);

/** The text that the offsets of an input are about. */
function textOf(input: EncodeInput): string {
  if (typeof input === 'string') return input;
  return input
    .map((segment) => (typeof segment === 'string' ? segment : 'special' in segment ? segment.special : ''))
    .join('');
}

/** Takes the white space at both ends of a token out of its offsets, a character of the text for each. */
function trim(triples: IntList, tokens: readonly string[], text: string, addPrefixSpace: boolean): void {
  const isSpace = (char: string) => char === VISIBLE_SPACE || WHITE_SPACE.has(char.codePointAt(0)!);
  const { data } = triples;
  tokens.forEach((token, i) => {
    const chars = Array.from(token);
    let leading = 0;
    while (leading < chars.length && isSpace(chars[leading])) leading++;
    let trailing = 0;
    while (trailing < chars.length && isSpace(chars[chars.length - 1 - trailing])) trailing++;
    let start = data[i * 3 + 1];
    let end = data[i * 3 + 2];
    // One space at the very beginning was put there by the tokenizer, not by the text.
    if (leading === 1 && (i === 0 || start === 0) && addPrefixSpace) leading = 0;
    for (; leading > 0 && start < end; leading--) start += isPairAt(text, start) ? 2 : 1;
    for (; trailing > 0 && end > start; trailing--) end -= isPairAt(text, end - 2) ? 2 : 1;
    data[i * 3 + 1] = start;
    data[i * 3 + 2] = end;
  });
}

/** True when a surrogate pair begins at the place. */
function isPairAt(text: string, at: number): boolean {
  return at >= 0 && text.codePointAt(at)! > 0xffff;
}

/**
 * Offsets in code points (what Python counts) from offsets in UTF-16 units.
 * @param text the text that the offsets are about
 */
export function codePointOffsets(text: string, offsets: Int32Array): Int32Array {
  const points = new Int32Array(text.length + 1);
  let count = 0;
  for (let i = 0; i < text.length; ) {
    const width = text.codePointAt(i)! > 0xffff ? 2 : 1;
    for (let j = 0; j < width; j++) points[i + j] = count;
    i += width;
    count++;
  }
  points[text.length] = count;
  return offsets.map((offset) => points[offset]);
}
