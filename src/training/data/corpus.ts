/** A corpus: tokens split for training and validation, with what the text was that they stand for. */
import { SettingError } from '../../errors.ts';
import type { WeightedTokens } from './batch_stream.ts';
import type { DocumentPart, DocumentParts } from './documents.ts';
import { Purpose, uniform } from './random.ts';
import { ConcatTokens, MemoryTokens, SliceTokens, type TokenSource } from './token_source.ts';
import { boundaryTokens, type TextTokenizer, type TokeniseOptions, type TokenPiece, tokenise } from './tokenise.ts';

/** How much there is. Losses in bits per byte and per character come from these: nats / ln 2 x tokens / bytes. */
export interface TextCounts {
  readonly tokens: number;
  readonly documents: number;
  /** Of the text in UTF-8, without what stands between documents. */
  readonly bytes: number;
  /** Unicode code points. */
  readonly characters: number;
}

/** How validation data is set apart. */
export interface SplitOptions {
  /**
   * `tokens`: the last part of each source, as nanoGPT does it: the first floor(n (1 - fraction)) tokens are trained on.
   * `documents`: each document by a hash of the seed and its number. Default `tokens`.
   */
  readonly by?: 'tokens' | 'documents';
  /** From 0 (no validation data) to below 1. Default 0.1. */
  readonly fraction?: number;
  /** For `documents`: a whole number from 0. Default 0. */
  readonly seed?: number;
}

export interface Corpus {
  /** One entry where no source has a weight of its own. */
  readonly train: readonly WeightedTokens[];
  /** Null where none was set apart. */
  readonly validation: TokenSource | null;
  readonly counts: { readonly train: TextCounts; readonly validation: TextCounts };
  /** Of both splits together. */
  readonly tokens: number;
  readonly bytesPerToken: number;
  readonly charactersPerToken: number;
  /** How many tokens are the tokenizer's unknown token: more than a few tell of a tokenizer for another text. */
  readonly unknown: number;
  readonly vocab_size: number;
  /** What stands after each document, or null. */
  readonly end_token: number | null;
}

/** A row of tokens with the means to count the text that a part of it stands for. */
export interface TokenisedText {
  readonly source: TokenSource;
  readonly bytes: number;
  readonly characters: number;
  readonly unknown: number;
  /** Places in the tokens where the text before is known, rising, the first at 0. */
  readonly marks: Marks;
}

/** Token positions, and the bytes and characters of the text before each, flat: [position, bytes, characters, …]. */
export type Marks = ArrayLike<number>;

/** Marks lie at least so many tokens apart. */
const MARK_EVERY = 65_536;

/** Decides where marks lie while tokens are written. */
export class MarkWriter {
  readonly marks: number[] = [];

  /** To be called before each piece, with what came before it. */
  before(position: number, bytes: number, characters: number): void {
    const { marks } = this;
    if (marks.length > 0 && position - marks[marks.length - 3] < MARK_EVERY) return;
    marks.push(position, bytes, characters);
  }
}

/** @throws SettingError */
export function checkSplit(split: SplitOptions): Required<SplitOptions> {
  const { by = 'tokens', fraction = 0.1, seed = 0 } = split;
  if (by !== 'tokens' && by !== 'documents') throw new SettingError('split', by, 'must be "tokens" or "documents"');
  if (!(fraction >= 0 && fraction < 1)) {
    throw new SettingError('validation_fraction', fraction, 'must be from 0 to below 1');
  }
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new SettingError('split_seed', seed, 'must be a whole number from 0');
  return { by, fraction, seed };
}

/** True where the split by documents puts a document into the validation data. */
export function isForValidation(split: Required<SplitOptions>, document: number): boolean {
  return split.by === 'documents' && uniform(split.seed, Purpose.split, 0, document) < split.fraction;
}

/** Cuts a text in two by its tokens. The counts of text are exact where decoding gives back the text. */
export function splitByTokens(
  text: TokenisedText,
  fraction: number,
  tokenizer: TextTokenizer,
  boundaries: readonly (number | null)[],
): { readonly train: CountedTokens; readonly validation: CountedTokens } {
  const { source, bytes, characters } = text;
  const cut = fraction === 0 ? source.length : Math.floor(source.length * (1 - fraction));
  const before = cut === source.length ? { bytes, characters } : textBefore(text, cut, tokenizer, boundaries);
  const part = (from: number, to: number, ofBytes: number, ofCharacters: number): CountedTokens => {
    const slice = new SliceTokens(source, from, to);
    const counts = { tokens: to - from, documents: slice.documents, bytes: ofBytes, characters: ofCharacters };
    return { source: slice, counts };
  };
  return {
    train: part(0, cut, before.bytes, before.characters),
    validation: part(cut, source.length, bytes - before.bytes, characters - before.characters),
  };
}

export interface CountedTokens {
  readonly source: TokenSource;
  readonly counts: TextCounts;
}

/** All of a text, counted. */
export function wholeText({ source, bytes, characters }: TokenisedText): CountedTokens {
  return { source, counts: { tokens: source.length, documents: source.documents, bytes, characters } };
}

/** The text before a position: from the mark before it, and the tokens in between decoded. */
function textBefore(
  { source, bytes, characters, marks }: TokenisedText,
  position: number,
  tokenizer: TextTokenizer,
  boundaries: readonly (number | null)[],
): { bytes: number; characters: number } {
  let low = 0;
  let high = marks.length / 3;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (marks[middle * 3] <= position) low = middle;
    else high = middle;
  }
  const next = high * 3 < marks.length ? [marks[high * 3 + 1], marks[high * 3 + 2]] : [bytes, characters];
  const at = low * 3;
  const tokens = new Int32Array(position - marks[at]);
  source.read(marks[at], tokens);
  const lengths = new Map<number, readonly [number, number]>();
  let [b, c] = [marks[at + 1], marks[at + 2]];
  for (const id of tokens) {
    if (boundaries.includes(id)) continue;
    let length = lengths.get(id);
    if (length === undefined) {
      const own = tokenizer.tokenBytes(id);
      length = [own.length, own.reduce((sum, byte) => sum + ((byte & 0xc0) === 0x80 ? 0 : 1), 0)];
      lengths.set(id, length);
    }
    b += length[0];
    c += length[1];
  }
  return { bytes: Math.min(b, next[0]), characters: Math.min(c, next[1]) };
}

/** One source of a corpus after its split. */
export interface SplitSource {
  readonly name: string;
  /** Undefined where no source has one: then all of them are trained on as one row of tokens. */
  readonly weight: number | undefined;
  readonly train: CountedTokens;
  readonly validation: CountedTokens | null;
  readonly unknown: number;
}

/**
 * Puts the sources of a corpus together.
 * @param own validation data that is not set apart from the sources.
 * @throws SettingError when some sources have a weight and others have not.
 */
export function assembleCorpus(
  sources: readonly SplitSource[],
  tokenizer: TextTokenizer,
  end_token: number | null,
  own: readonly CountedTokens[] = [],
): Corpus {
  const weights = sources.map(({ weight }) => weight);
  if (weights.includes(undefined) && weights.some((weight) => weight !== undefined)) {
    throw new SettingError(
      'weight',
      weights.map((weight) => weight ?? 'none').join(', '),
      'give each source one, or none',
    );
  }
  const validations = [...sources.flatMap(({ validation }) => (validation === null ? [] : [validation])), ...own];
  const counts = {
    train: sum(sources.map(({ train }) => train.counts)),
    validation: sum(validations.map((validation) => validation.counts)),
  };
  const all = sum([counts.train, counts.validation]);
  const train: WeightedTokens[] =
    weights[0] === undefined
      ? [{ source: together(sources.map(({ train: { source } }) => source)), weight: 1 }]
      : sources.map(({ train: { source }, weight, name }) => ({ source, weight: weight!, name }));
  const validation = together(validations.map(({ source }) => source));
  return {
    train,
    validation: validation.length === 0 ? null : validation,
    counts,
    tokens: all.tokens,
    bytesPerToken: all.tokens > 0 ? all.bytes / all.tokens : 0,
    charactersPerToken: all.tokens > 0 ? all.characters / all.tokens : 0,
    unknown: sources.reduce((total, { unknown }) => total + unknown, 0),
    vocab_size: tokenizer.vocabSize,
    end_token,
  };
}

const together = (sources: readonly TokenSource[]) => (sources.length === 1 ? sources[0] : new ConcatTokens(sources));

function sum(counts: readonly TextCounts[]): TextCounts {
  const total = { tokens: 0, documents: 0, bytes: 0, characters: 0 };
  for (const each of counts) {
    total.tokens += each.tokens;
    total.documents += each.documents;
    total.bytes += each.bytes;
    total.characters += each.characters;
  }
  return total;
}

export interface TextCorpusOptions extends TokeniseOptions {
  readonly tokenizer: TextTokenizer;
  readonly split?: SplitOptions;
}

/** A corpus in memory: for browsers and for small data. @param texts one string a document */
export async function corpusFromTexts(
  texts: Iterable<string> | AsyncIterable<string>,
  options: TextCorpusOptions,
): Promise<Corpus> {
  const { tokenizer } = options;
  const split = checkSplit(options.split ?? {});
  const { begin, end } = boundaryTokens(tokenizer, options);
  const rows = { train: new TokenRow(), validation: new TokenRow() };
  for await (const piece of tokenise(partsOf(texts), tokenizer, options)) {
    rows[isForValidation(split, piece.document) ? 'validation' : 'train'].push(piece);
  }
  const [whole, apart] = [rows.train.finish(), rows.validation.finish()];
  const parts =
    split.by === 'documents'
      ? { train: wholeText(whole), validation: wholeText(apart) }
      : splitByTokens(whole, split.fraction, tokenizer, [begin, end]);
  const unknown = whole.unknown + apart.unknown;
  return assembleCorpus([{ name: 'text', weight: undefined, unknown, ...parts }], tokenizer, end);
}

async function* partsOf(texts: Iterable<string> | AsyncIterable<string>): DocumentParts {
  for await (const text of texts) yield [{ text, end: true }] satisfies DocumentPart[];
}

/** Collects pieces in memory. */
class TokenRow {
  private tokens = new Int32Array(1024);
  private length = 0;
  private readonly starts: number[] = [];
  private readonly marks = new MarkWriter();
  private bytes = 0;
  private characters = 0;
  private unknown = 0;

  push({ ids, begins, bytes, characters, unknown }: TokenPiece): void {
    this.unknown += unknown;
    this.marks.before(this.length, this.bytes, this.characters);
    if (begins) this.starts.push(this.length);
    if (this.length + ids.length > this.tokens.length) {
      const larger = new Int32Array(2 * (this.length + ids.length));
      larger.set(this.tokens.subarray(0, this.length));
      this.tokens = larger;
    }
    this.tokens.set(ids, this.length);
    this.length += ids.length;
    this.bytes += bytes;
    this.characters += characters;
  }

  finish(): TokenisedText {
    const source = new MemoryTokens(this.tokens.slice(0, this.length), this.starts);
    const { bytes, characters, unknown } = this;
    return { source, bytes, characters, unknown, marks: this.marks.marks };
  }
}
