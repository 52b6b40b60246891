/** Tokenizers from small published formats: vocab and merges files, tiktoken ranks, llama2.c, plain characters. */
import { FileFormatError, SettingError } from '../errors.ts';
import type { AddedToken } from './added-tokens.ts';
import { Bpe, hideByteNames } from './bpe.ts';
import { BYTE_TO_UNIT, bytesToAlphabet, fromUtf8, nameOfByte } from './bytes.ts';
import { ranksOfScores } from './gguf.ts';
import * as normalizers from './normalizers.ts';
import { Pattern } from './pattern.ts';
import * as pre from './pre-tokenizers.ts';
import { edgeTemplate } from './templates.ts';
import { Tokenizer } from './tokenizer.ts';
import { GPT2_PATTERN, tokenizerFromJson } from './tokenizer-json.ts';
import { Vocabulary } from './vocabulary.ts';
import { Characters } from './word-models.ts';

const plainToken = (id: number, content: string, special: boolean): AddedToken => ({
  id,
  content,
  special,
  singleWord: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
});

/**
 * GPT-2's own files (vocab.json or encoder.json, merges.txt or vocab.bpe).
 * @param vocab token to id.
 * @param merges the text of the merges file: a version line, then a pair a line.
 */
export function tokenizerFromGpt2Files(vocab: unknown, merges: string, file = 'merges.txt'): Tokenizer {
  const end = '<|endoftext|>';
  const id = typeof vocab === 'object' && vocab !== null ? (vocab as Record<string, unknown>)[end] : undefined;
  return tokenizerFromJson(
    {
      added_tokens: typeof id === 'number' ? [{ id, content: end, special: true }] : [],
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false },
      decoder: { type: 'ByteLevel' },
      model: { type: 'BPE', vocab, merges: mergeLines(merges) },
    },
    { file, config: { bos_token: end, eos_token: end } },
  );
}

function mergeLines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '' && !line.startsWith('#version'));
}

/**
 * GPT-1's files. Text is lower-cased and cut at white space and round punctuation, as BERT's basic tokenizer does (what transformers
 * uses where the spaCy and ftfy of the original are missing); words end in `</w>`.
 */
export function tokenizerFromGpt1Files(vocab: unknown, merges: string, file = 'merges.txt'): Tokenizer {
  return tokenizerFromJson(
    {
      normalizer: {
        type: 'BertNormalizer',
        clean_text: true,
        handle_chinese_chars: true,
        strip_accents: null,
        lowercase: true,
      },
      pre_tokenizer: { type: 'BertPreTokenizer' },
      decoder: { type: 'BPEDecoder', suffix: '</w>' },
      model: {
        type: 'BPE',
        vocab,
        merges: mergeLines(merges).filter(knownPair(vocab)),
        unk_token: '<unk>',
        end_of_word_suffix: '</w>',
      },
    },
    { file, config: { unk_token: '<unk>' } },
  );
}

/** GPT-1's published merges name a few pairs whose result its vocabulary lost; they can never apply. */
function knownPair(vocab: unknown): (line: string) => boolean {
  const known = typeof vocab === 'object' && vocab !== null ? (vocab as Record<string, unknown>) : {};
  return (line) => {
    const [left, right] = line.split(' ');
    return Object.hasOwn(known, left) && Object.hasOwn(known, right ?? '') && Object.hasOwn(known, left + right);
  };
}

const CL100K =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s";
const CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
const O200K = [
  `[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+${CONTRACTION}`,
  `[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*${CONTRACTION}`,
  '\\p{N}{1,3}',
  ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*',
  '\\s*[\\r\\n]+',
  '\\s+(?!\\S)',
  '\\s+',
].join('|');

const END = '<|endoftext|>';
const fim = (first: number): Record<string, number> => ({
  '<|fim_prefix|>': first,
  '<|fim_middle|>': first + 1,
  '<|fim_suffix|>': first + 2,
});

const O200K_SPECIAL = { [END]: 199999, '<|endofprompt|>': 200018 };

/** The special tokens of OpenAI's harmony format; ids without a role are reserved. */
function harmony(): Record<string, number> {
  const named: Record<string, number> = {
    '<|startoftext|>': 199998,
    '<|return|>': 200002,
    '<|constrain|>': 200003,
    '<|channel|>': 200005,
    '<|start|>': 200006,
    '<|end|>': 200007,
    '<|message|>': 200008,
    '<|call|>': 200012,
    ...O200K_SPECIAL,
  };
  const taken = new Set(Object.values(named));
  for (let id = 200000; id < 201088; id++) if (!taken.has(id)) named[`<|reserved_${id}|>`] = id;
  return named;
}

/** How text is cut, and which tokens are special, in an encoding that is published as a rank file. */
export interface TiktokenRules {
  /** An expression in the syntax of Rust's fancy-regex. */
  readonly pattern: string;
  readonly special: Readonly<Record<string, number>>;
}

/** The encodings that OpenAI publishes as rank files (tiktoken, openai_public.py). */
export const tiktokenEncodings = {
  r50k_base: { pattern: GPT2_PATTERN, special: { [END]: 50256 } },
  p50k_base: { pattern: GPT2_PATTERN, special: { [END]: 50256 } },
  p50k_edit: { pattern: GPT2_PATTERN, special: { [END]: 50256, ...fim(50281) } },
  cl100k_base: { pattern: CL100K, special: { [END]: 100257, ...fim(100258), '<|endofprompt|>': 100276 } },
  o200k_base: { pattern: O200K, special: O200K_SPECIAL },
  o200k_harmony: { pattern: O200K, special: harmony() },
} as const satisfies Record<string, TiktokenRules>;

export type TiktokenEncoding = keyof typeof tiktokenEncodings;

/**
 * A tokenizer from a rank file: a line for each token, its bytes in base64 and its rank, which is its id.
 * @param encoding the name of a published encoding, or the rules of another.
 * @throws FileFormatError naming a line that is something else, or a byte that has no token.
 */
export function tokenizerFromTiktoken(
  ranks: string,
  encoding: TiktokenEncoding | TiktokenRules,
  file: string = typeof encoding === 'string' ? encoding : 'ranks',
): Tokenizer {
  if (typeof encoding === 'string' && !Object.hasOwn(tiktokenEncodings, encoding)) {
    throw new SettingError('encoding', encoding, `must be one of ${Object.keys(tiktokenEncodings).join(', ')}`);
  }
  const { pattern, special }: TiktokenRules = typeof encoding === 'string' ? tiktokenEncodings[encoding] : encoding;
  const lines = ranks.split('\n');
  // A few ids are left out for special tokens, never many.
  const limit = lines.length + 100_000;
  const tokens: (string | undefined)[] = [];
  lines.forEach((line, i) => {
    if (line.trim() === '') return;
    const match = /^((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?) (\d{1,9})\r?$/.exec(line);
    if (!match || match[1] === '') throw new FileFormatError(file, `line ${i + 1}`, 'is not base64 bytes and a rank');
    const rank = Number(match[2]);
    if (rank >= limit) throw new FileFormatError(file, `line ${i + 1}`, `has the rank ${rank}, not below ${limit}`);
    while (tokens.length <= rank) tokens.push(undefined);
    tokens[rank] = bytesToAlphabet(Uint8Array.from(atob(match[1]), (char) => char.charCodeAt(0)));
  });
  const vocabulary = new Vocabulary(tokens);
  for (let byte = 0; byte < 256; byte++) {
    if (vocabulary.idOf(String.fromCharCode(BYTE_TO_UNIT[byte])) < 0) {
      throw new FileFormatError(file, '', `has no token for the byte ${byte}`, 'It is cut short or no rank file');
    }
  }
  return new Tokenizer({
    model: new Bpe({ vocabulary, bytes: true, wholePieceFirst: true }),
    preTokenizer: pre.split(pre.findPattern(new Pattern(pattern, 'rust')), 'Isolated'),
    addedTokens: Object.entries(special).map(([content, id]) => plainToken(id, content, true)),
    decoder: [{ kind: 'byte-level' }],
    special: Object.hasOwn(special, END) ? { eos: special[END] } : {},
  });
}

/**
 * The tokenizer.bin of llama2.c: SentencePiece BPE pieces with scores. The layout is max length (uint32), then for each token its score
 * (float32), length (int32) and bytes.
 * @param size tokens in the vocabulary: the file does not say.
 */
export function tokenizerFromLlama2c(bytes: Uint8Array, size: number, file = 'tokenizer.bin'): Tokenizer {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const beyond = (id: number) =>
    new FileFormatError(file, `token ${id}`, `lies beyond the end of the file (${bytes.length} bytes)`);
  if (!Number.isInteger(size) || size < 259) throw new SettingError('size', size, 'must be 259 (the bytes) or more');
  // Each token takes eight bytes and its text: no more is set aside than the file can fill.
  if (size * 8 + 4 > bytes.length) throw beyond(Math.max(0, Math.floor((bytes.length - 4) / 8)));
  const tokens: string[] = [];
  const scores = new Float64Array(size);
  let at = 4;
  for (let id = 0; id < size; id++) {
    const length = at + 8 <= bytes.length ? view.getInt32(at + 4, true) : -1;
    if (length < 0 || at + 8 + length > bytes.length) throw beyond(id);
    scores[id] = view.getFloat32(at, true);
    const text = fromUtf8(bytes.subarray(at + 8, at + 8 + length));
    // The file holds pieces as they print: spaces for U+2581.
    tokens.push(id < 3 ? ['<unk>', '<s>', '</s>'][id] : id < 259 ? nameOfByte(id - 3) : text.replaceAll(' ', '▁'));
    at += 8 + length;
  }
  const vocabulary = new Vocabulary(tokens);
  hideByteNames(vocabulary);
  return new Tokenizer({
    model: new Bpe({
      vocabulary,
      priorities: ranksOfScores(scores),
      bytes: false,
      unknownId: 0,
      fuseUnknown: true,
      byteFallback: true,
    }),
    normalizer: normalizers.sequence([normalizers.prepend('▁'), normalizers.replaceText(' ', '▁')]),
    addedTokens: [plainToken(0, '<unk>', true), plainToken(1, '<s>', true), plainToken(2, '</s>', true)],
    template: edgeTemplate(1, -1),
    decoder: [
      { kind: 'replace', pattern: '▁', content: ' ' },
      { kind: 'byte-fallback' },
      { kind: 'fuse' },
      { kind: 'strip', content: ' ', start: 1, stop: 0 },
    ],
    special: { unk: 0, bos: 1, eos: 2 },
  });
}

/**
 * One token for each character of a list. Text with other characters is refused, unless there is an unknown token.
 * @param characters distinct single characters (code points) in order of their ids.
 * @param unknownId the id that stands for all other characters; -1 for none.
 */
export function tokenizerFromCharacters(characters: readonly string[], unknownId = -1): Tokenizer {
  const seen = new Set<string>();
  for (const character of characters) {
    if (Array.from(character).length !== 1) throw new SettingError('characters', character, 'is not one character');
    if (seen.has(character)) throw new SettingError('characters', character, 'is there twice');
    seen.add(character);
  }
  if (!Number.isInteger(unknownId) || unknownId < -1 || unknownId >= characters.length) {
    throw new SettingError('unknownId', unknownId, `must be an id below ${characters.length}, or -1`);
  }
  return new Tokenizer({
    model: new Characters(new Vocabulary(characters), unknownId),
    decoder: [{ kind: 'fuse' }],
    special: unknownId >= 0 ? { unk: unknownId } : {},
  });
}

/** The characters of a text, in order of their code points: the vocabulary of a character-level model. */
export function charactersOf(text: string): string[] {
  return [...new Set(text)].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
}
