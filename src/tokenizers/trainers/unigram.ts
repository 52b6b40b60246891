/** Trains a Unigram tokenizer (Kudo 2018, as SentencePiece and Hugging Face `tokenizers` do): from many pieces down to the wanted number. */
import { SettingError } from '../../errors.ts';
import { nameOfByte } from '../bytes.ts';
import { pointAt } from './cells.ts';
import { CharacterCounts } from './characters.ts';
import { cuttingOf } from './cutters.ts';
import { type Stretches, seedPieces } from './seed-pieces.ts';
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
import { Lattice, logShares, maximise, occurrences, type Pieces, prune } from './unigram-fit.ts';
import { WordTable } from './word-table.ts';

export interface UnigramTrainerOptions extends TrainerOptions {
  /** How text is cut into words, which no token crosses; see trainBpe. Default `gpt2`. */
  readonly pattern?: 'gpt2' | 'llama3' | (string & {});
  /** The token of text that cannot be expressed, added in front of the special tokens unless it is one of them. Default `<unk>`. */
  readonly unk_token?: string;
  /** Adds the 256 tokens `<0x00>` … `<0xFF>`, so that every text can be encoded. Default true. */
  readonly byte_fallback?: boolean;
  /** Only so many characters, the most frequent, have pieces. Default: all that occur. */
  readonly limit_alphabet?: number;
  /** Words that occur less often are not learned from. Default 0. */
  readonly min_frequency?: number;
  /** Rounds of expectation and maximisation between two prunings. Default 2. */
  readonly n_sub_iterations?: number;
  /** What part of the pieces a pruning leaves. Default 0.75. */
  readonly shrinking_factor?: number;
  /** Pieces to begin with, at most. Default 1,000,000. */
  readonly seed_size?: number;
}

/** Below every score, so that a reader who lets the name of a byte match in text prefers any other way to write it. */
const BYTE_SCORE = -1000;
/** Words are fitted in stretches of so many units: what is longer is no word, and would cost its square. */
const LONGEST_STRETCH = 256;

/**
 * A Unigram tokenizer learned from text. Spaces stay spaces (there is no ▁), so that with byte fallback every text, whatever it
 * holds, is decoded exactly.
 * @throws SettingError for options that cannot be used, an empty corpus, or texts that are binary data.
 * @throws InterruptedError when the signal is aborted.
 */
export async function trainUnigram(texts: TrainingTexts, options: UnigramTrainerOptions): Promise<TrainedTokenizer> {
  const unknown = options.unk_token ?? '<unk>';
  const given = options.special_tokens ?? [];
  const special = given.includes(unknown) ? given : [unknown, ...given];
  checkOptions({ ...options, special_tokens: special });
  const least = options.min_frequency ?? 0;
  checkWhole('min_frequency', least, 0, Number.MAX_SAFE_INTEGER);
  if (options.limit_alphabet !== undefined) checkWhole('limit_alphabet', options.limit_alphabet, 1, 1_114_112);
  const rounds = options.n_sub_iterations ?? 2;
  checkWhole('n_sub_iterations', rounds, 1, 100);
  const shrink = options.shrinking_factor ?? 0.75;
  if (!(shrink > 0 && shrink < 1)) throw new SettingError('shrinking_factor', shrink, 'must lie between 0 and 1');
  const seedSize = options.seed_size ?? 1_000_000;
  checkWhole('seed_size', seedSize, 1, 10_000_000);
  const { cut, pattern } = cuttingOf(options.pattern ?? 'gpt2');
  const bytes = (options.byte_fallback ?? true) ? Array.from({ length: 256 }, (_, byte) => nameOfByte(byte)) : [];
  const pace = new Pace(options);

  const words = new WordTable();
  let units = new Uint16Array(1 << 16);
  await readTexts(texts, pace, (text) => {
    if (text.length > units.length) units = new Uint16Array(text.length);
    for (let i = 0; i < text.length; i++) units[i] = text.charCodeAt(i);
    cut(text, units, words);
  });

  const alphabet = chooseAlphabet(words, options.limit_alphabet);
  const fixed = special.length + bytes.length;
  const more = bytes.length > 0 ? `, 256 of the alphabet for bytes` : '';
  checkRoom(options.vocab_size, alphabet.size + bytes.length, special.length, more);
  pace.tell('prepare', 0);
  const stretches = stretchesOf(words, alphabet, least);
  const wanted = options.vocab_size - fixed + 1;
  const fitted = await fit(stretches, { wanted, rounds, shrink, seedSize }, pace);

  const pieces = choose(fitted, stretches.units, alphabet, wanted, special);
  pace.tokens = fixed + pieces.length;
  pace.tell('fit', 1);
  const json = tokenizerJson(special, {
    pre_tokenizer: { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
    decoder: { type: 'Sequence', decoders: [{ type: 'ByteFallback' }, { type: 'Fuse' }] },
    model: {
      type: 'Unigram',
      unk_id: special.indexOf(unknown),
      vocab: [...special.map((token) => [token, 0]), ...bytes.map((name) => [name, BYTE_SCORE]), ...pieces],
      byte_fallback: bytes.length > 0,
    },
  });
  return trained(json, options);
}

/** The characters that have pieces. */
function chooseAlphabet(words: WordTable, limit = Number.POSITIVE_INFINITY): Set<number> {
  const counts = new CharacterCounts();
  for (let word = 0; word < words.size; word++) {
    const end = words.starts[word + 1];
    for (let i = words.starts[word]; i < end; ) {
      const code = pointAt(words.units, i, end);
      i += code > 0xffff ? 2 : 1;
      counts.addCode(code, words.counts[word]);
    }
  }
  let characters = counts.list();
  if (characters.length > limit) characters = characters.sort((a, b) => counts.of(b) - counts.of(a)).slice(0, limit);
  return new Set(characters.map((one) => one.codePointAt(0)!));
}

/** The words, cut around characters without a piece. */
function stretchesOf(words: WordTable, alphabet: ReadonlySet<number>, least: number): Stretches {
  const starts: number[] = [];
  const ends: number[] = [];
  const counts: number[] = [];
  const { units } = words;
  for (let word = 0; word < words.size; word++) {
    if (words.counts[word] < least) continue;
    const end = words.starts[word + 1];
    let from = words.starts[word];
    const close = (to: number, next: number) => {
      if (to > from) {
        starts.push(from);
        ends.push(to);
        counts.push(words.counts[word]);
      }
      from = next;
    };
    for (let i = from; i < end; ) {
      const code = pointAt(units, i, end);
      const next = i + (code > 0xffff ? 2 : 1);
      if (!alphabet.has(code)) close(i, next);
      else if (next - from >= LONGEST_STRETCH) close(next, next);
      i = next;
    }
    close(end, end);
  }
  return { units, starts: Int32Array.from(starts), ends: Int32Array.from(ends), counts: Float64Array.from(counts) };
}

interface FitOptions {
  /** Pieces to end with, the unknown piece among them. */
  readonly wanted: number;
  readonly rounds: number;
  readonly shrink: number;
  readonly seedSize: number;
}

async function fit(stretches: Stretches, options: FitOptions, pace: Pace): Promise<Pieces> {
  const { units, starts, ends, counts } = stretches;
  await pace.rest('prepare', 0.1);
  const seeds = seedPieces(stretches, options.seedSize);
  let pieces = withUnknown(seeds.starts, seeds.lengths, logShares(seeds.weights));
  const target = Math.floor(options.wanted * 1.1);
  const first = pieces.scores.length;
  // Each pruning leaves a known part, so the logarithm of the number of pieces falls evenly.
  const share = () => (first <= target ? 0.5 : Math.log(first / pieces.scores.length) / Math.log(first / target));
  const every = async (visit: (start: number, end: number, count: number) => void) => {
    for (let i = 0; i < starts.length; i++) {
      visit(starts[i], ends[i], counts[i]);
      if ((i & 255) === 0 && pace.due) await pace.rest('fit', share());
    }
  };
  const sentences = occurrences(stretches);
  for (;;) {
    for (let round = 0; round < options.rounds; round++) {
      const lattice = new Lattice(units, pieces);
      const expected = new Float64Array(pieces.scores.length);
      await every((start, end, count) => lattice.expect(start, end, count, expected));
      pieces = maximise(pieces, expected);
      pace.tokens = pieces.scores.length;
    }
    if (pieces.scores.length <= target) return pieces;
    const lattice = new Lattice(units, pieces);
    const used = new Float64Array(pieces.scores.length);
    await every((start, end, count) => {
      lattice.bestPath(start, end, (id) => {
        used[id] += count;
      });
    });
    pieces = prune(lattice, used, sentences, Math.max(target, Math.floor(pieces.scores.length * options.shrink)));
  }
}

/** Pieces with the unknown piece in front. */
function withUnknown(starts: Int32Array, lengths: Int32Array, scores: Float64Array): Pieces {
  const all = {
    starts: new Int32Array(starts.length + 1),
    lengths: new Int32Array(starts.length + 1),
    scores: new Float64Array(starts.length + 1),
  };
  all.starts[0] = -1;
  all.starts.set(starts, 1);
  all.lengths.set(lengths, 1);
  all.scores.set(scores, 1);
  return all;
}

/** The pieces of the result with their scores, best first: every character of the alphabet, then the others while there is room. */
function choose(
  fitted: Pieces,
  units: Uint16Array,
  alphabet: ReadonlySet<number>,
  wanted: number,
  special: readonly string[],
): [string, number][] {
  const all = new Map<string, number>();
  let least = 0;
  for (let id = 1; id < fitted.scores.length; id++) {
    const start = fitted.starts[id];
    all.set(String.fromCharCode(...units.subarray(start, start + fitted.lengths[id])), fitted.scores[id]);
    least = Math.min(least, fitted.scores[id]);
  }
  for (const token of special) all.delete(token);
  const chosen = new Map<string, number>();
  // A character that was dropped is still needed, and is as rare as the rarest.
  let above = 0;
  for (const code of [...alphabet].sort((a, b) => a - b)) {
    const character = String.fromCodePoint(code);
    if (special.includes(character)) continue;
    const score = all.get(character);
    chosen.set(character, score ?? least + above);
    if (score === undefined) above += 0.0001;
  }
  for (const [piece, score] of all) {
    if (chosen.size >= wanted - 1) break;
    if (!chosen.has(piece)) chosen.set(piece, score);
  }
  return [...chosen].sort((a, b) => b[1] - a[1]);
}
