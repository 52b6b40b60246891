/** Trains byte-level BPE: the tokenizer of GPT-2 and its descendants, from text. */
import { SettingError } from '../../errors.ts';
import { alphabetToBytes, BYTE_TO_UNIT, writeUtf8 } from '../bytes.ts';
import { GPT2_PATTERN } from '../tokenizer-json.ts';
import { cellsOf, pointAt } from './cells.ts';
import { cuttingOf } from './cutters.ts';
import { Merger } from './merger.ts';
import {
  checkOptions,
  checkRoom,
  checkWhole,
  Pace,
  readTexts,
  type TrainedTokenizer,
  type TrainerOptions,
  type TrainingTexts,
  tokenizerJson,
  trained,
} from './training.ts';
import { WordTable } from './word-table.ts';

export interface BpeTrainerOptions extends TrainerOptions {
  /** Pairs that occur less often are not merged. Default 0: any that occurs. */
  readonly min_frequency?: number;
  /**
   * How text is cut into words, which no token crosses: `gpt2`, `llama3` (the pattern of cl100k), or a regular expression in
   * the syntax of Oniguruma. Default `gpt2`.
   */
  readonly pattern?: 'gpt2' | 'llama3' | (string & {});
  /**
   * Which of equally frequent pairs is merged first: the one of the smallest ids, as Hugging Face `tokenizers` has it, or the one
   * whose bytes are greatest (left token, then right), as minimal trainers in Python have it. Default `smallest_ids`.
   */
  readonly ties?: 'smallest_ids' | 'greatest_bytes';
  /**
   * Bytes that are tokens whether they occur or not. Default: all 256, so that every text can be encoded. Bytes of the corpus
   * are added to them.
   */
  readonly initial_alphabet?: Iterable<number>;
  /** At most so many bytes are tokens: those of the initial alphabet and the most frequent. The others are left out of words. */
  readonly limit_alphabet?: number;
}

/**
 * A byte-level BPE tokenizer learned from text, with exactly the vocabulary and merges that the BpeTrainer of Hugging Face `tokenizers`
 * learns under the same options.
 * @throws SettingError for options that cannot be used, an empty corpus, or texts that are binary data.
 * @throws InterruptedError when the signal is aborted.
 */
export async function trainBpe(texts: TrainingTexts, options: BpeTrainerOptions): Promise<TrainedTokenizer> {
  const special = checkOptions(options);
  const least = options.min_frequency ?? 0;
  checkWhole('min_frequency', least, 0, Number.MAX_SAFE_INTEGER);
  if (options.limit_alphabet !== undefined) checkWhole('limit_alphabet', options.limit_alphabet, 1, 256);
  const ties = options.ties ?? 'smallest_ids';
  if (ties !== 'smallest_ids' && ties !== 'greatest_bytes') {
    throw new SettingError('ties', ties, 'must be smallest_ids or greatest_bytes');
  }
  const { cut, pattern } = cuttingOf(options.pattern ?? 'gpt2');
  const pace = new Pace(options);

  const words = new WordTable();
  let units = new Uint16Array(1 << 16);
  await readTexts(texts, pace, (text) => {
    if (text.length > units.length) units = new Uint16Array(text.length);
    for (let i = 0; i < text.length; i++) units[i] = text.charCodeAt(i);
    cut(text, units, words);
  });

  const { tokens, merges } = await learn(words, special, least, options, pace);
  const json = tokenizerJson(special, {
    pre_tokenizer: preTokenizer(pattern),
    post_processor: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true },
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  });
  return trained(json, options);
}

/** The pre-tokenizer that cuts as the trainer does. */
function preTokenizer(pattern: string): unknown {
  const byteLevel = (useRegex: boolean) => ({
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: useRegex,
  });
  if (pattern === GPT2_PATTERN) return byteLevel(true);
  const split = { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false };
  return { type: 'Sequence', pretokenizers: [split, byteLevel(false)] };
}

interface Learned {
  readonly tokens: readonly string[];
  readonly merges: readonly (readonly [string, string])[];
}

async function learn(
  words: WordTable,
  special: readonly string[],
  least: number,
  options: BpeTrainerOptions,
  pace: Pace,
): Promise<Learned> {
  const { vocab_size } = options;
  const alphabet = chooseAlphabet(words, options);
  const tokens: string[] = [...special];
  const ids = new Map(special.map((token, id) => [token, id]));
  const idOf = (token: string): number => {
    let id = ids.get(token);
    if (id === undefined) {
      id = tokens.length;
      tokens.push(token);
      ids.set(token, id);
    }
    return id;
  };
  const byteIds = new Int32Array(256).fill(-1);
  for (const byte of alphabet) byteIds[byte] = idOf(String.fromCharCode(BYTE_TO_UNIT[byte]));
  // A special token that is written like a byte is that byte, even one that the alphabet has no room for.
  for (let byte = 0; byte < 256; byte++) {
    if (byteIds[byte] < 0) byteIds[byte] = ids.get(String.fromCharCode(BYTE_TO_UNIT[byte])) ?? -1;
  }
  const shared = special.length + alphabet.length - tokens.length;
  checkRoom(vocab_size, alphabet.length - shared, special.length);

  const byBytes = options.ties === 'greatest_bytes';
  const cells = cellsOf(words, byteIds, vocab_size);
  const merger = new Merger(
    { ...cells, merges: vocab_size - tokens.length, least },
    byBytes ? (a, b) => compareBytes(tokens[a], tokens[b]) : undefined,
  );
  const merges: (readonly [string, string])[] = [];
  const first = tokens.length;
  for (let steps = 0; tokens.length < vocab_size; steps++) {
    const entry = merger.next();
    if (entry < 0) break;
    const a = merger.leftToken(entry);
    const b = merger.rightToken(entry);
    merges.push([tokens[a], tokens[b]]);
    merger.merge(entry, idOf(tokens[a] + tokens[b]));
    pace.tokens = tokens.length;
    if ((steps & 15) === 0 && pace.due) await pace.rest('merge', (tokens.length - first) / (vocab_size - first));
  }
  pace.tokens = tokens.length;
  pace.tell('merge', 1);
  return { tokens, merges };
}

/** The order of two tokens by their bytes. */
function compareBytes(a: string, b: string): number {
  const x = alphabetToBytes(a);
  const y = alphabetToBytes(b);
  for (let i = 0; i < x.length && i < y.length; i++) if (x[i] !== y[i]) return x[i] - y[i];
  return x.length - y.length;
}

/** The bytes that become tokens, in the order of their ids: that of the characters they are written as. */
function chooseAlphabet(words: WordTable, options: BpeTrainerOptions): number[] {
  const sums = new Float64Array(256);
  for (const byte of options.initial_alphabet ?? sums.keys()) {
    checkWhole('initial_alphabet', byte, 0, 255);
    sums[byte] = Number.POSITIVE_INFINITY;
  }
  if (sums.includes(0)) sumBytes(words, sums);
  const kept = [...sums.keys()].filter((byte) => sums[byte] > 0);
  const limit = options.limit_alphabet ?? 256;
  if (kept.length > limit) {
    kept.sort((a, b) => (sums[a] === sums[b] ? BYTE_TO_UNIT[a] - BYTE_TO_UNIT[b] : sums[a] > sums[b] ? -1 : 1));
    kept.length = limit;
  }
  return kept.sort((a, b) => BYTE_TO_UNIT[a] - BYTE_TO_UNIT[b]);
}

function sumBytes(words: WordTable, sums: Float64Array): void {
  const scratch = new Uint8Array(4);
  for (let word = 0; word < words.size; word++) {
    const end = words.starts[word + 1];
    for (let i = words.starts[word]; i < end; ) {
      const code = pointAt(words.units, i, end);
      i += code > 0xffff ? 2 : 1;
      const width = writeUtf8(code, scratch);
      for (let k = 0; k < width; k++) sums[scratch[k]] += words.counts[word];
    }
  }
}
