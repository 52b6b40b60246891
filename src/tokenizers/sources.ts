/** Tokenizers from small published formats: vocab and merges files, tiktoken ranks, llama2.c, plain characters. */
import { FileFormatError } from '../errors.ts';
import type { AddedToken } from './added-tokens.ts';
import { Bpe, hideByteNames } from './bpe.ts';
import { bytesToAlphabet, nameOfByte } from './bytes.ts';
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

/** The encodings that OpenAI publishes as rank files: how text is cut, and which tokens are special (tiktoken, openai_public.py). */
export const tiktokenEncodings = {
  r50k_base: { pattern: GPT2_PATTERN, special: { [END]: 50256 } },
  p50k_base: { pattern: GPT2_PATTERN, special: { [END]: 50256 } },
  p50k_edit: { pattern: GPT2_PATTERN, special: { [END]: 50256, ...fim(50281) } },
  cl100k_base: { pattern: CL100K, special: { [END]: 100257, ...fim(100258), '<|endofprompt|>': 100276 } },
  o200k_base: { pattern: O200K, special: { [END]: 199999, '<|endofprompt|>': 200018 } },
} as const satisfies Record<string, { pattern: string; special: Record<string, number> }>;

export type TiktokenEncoding = keyof typeof tiktokenEncodings;

/** A tokenizer from a rank file: lines of base64 bytes and their rank. @throws FileFormatError naming a line that is neither. */
export function tokenizerFromTiktoken(ranks: string, encoding: TiktokenEncoding, file: string = encoding): Tokenizer {
  const { pattern, special } = tiktokenEncodings[encoding];
  const tokens: (string | undefined)[] = [];
  ranks.split('\n').forEach((line, i) => {
    if (line.trim() === '') return;
    const match = /^([A-Za-z0-9+/]+={0,2}) (\d{1,7})\r?$/.exec(line);
    if (!match) throw new FileFormatError(file, `line ${i + 1}`, 'is not base64 bytes and a rank');
    tokens[Number(match[2])] = bytesToAlphabet(Uint8Array.from(atob(match[1]), (char) => char.charCodeAt(0)));
  });
  const added = Object.entries(special).map(([content, id]) => plainToken(id, content, true));
  return new Tokenizer({
    model: new Bpe({ vocabulary: new Vocabulary(Array.from(tokens)), bytes: true, wholePieceFirst: true }),
    preTokenizer: pre.split(pre.findPattern(new Pattern(pattern, 'rust')), 'Isolated'),
    addedTokens: added,
    decoder: [{ kind: 'byte-level' }],
    special: { eos: special[END] },
  });
}

/**
 * The tokenizer.bin of llama2.c: SentencePiece BPE pieces with scores. The layout is max length (uint32), then for each token its score
 * (float32), length (int32) and bytes.
 * @param size tokens in the vocabulary: the file does not say.
 */
export function tokenizerFromLlama2c(bytes: Uint8Array, size: number, file = 'tokenizer.bin'): Tokenizer {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tokens: string[] = [];
  const scores = new Float64Array(size);
  let at = 4;
  for (let id = 0; id < size; id++) {
    const length = at + 8 <= bytes.length ? view.getInt32(at + 4, true) : -1;
    if (length < 0 || at + 8 + length > bytes.length) {
      throw new FileFormatError(file, `token ${id}`, `lies beyond the end of the file (${bytes.length} bytes)`);
    }
    scores[id] = view.getFloat32(at, true);
    const text = new TextDecoder().decode(bytes.subarray(at + 8, at + 8 + length));
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

/** One token for each character of a list; text outside it is refused when there is no unknown token. */
export function tokenizerFromCharacters(characters: readonly string[], unknownId = -1): Tokenizer {
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
