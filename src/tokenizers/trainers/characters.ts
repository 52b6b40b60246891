/** Trains the smallest of tokenizers: a token for each character. */
import { SettingError } from '../../errors.ts';
import { codePointAt } from '../bytes.ts';
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

export interface CharacterTrainerOptions extends Omit<TrainerOptions, 'vocab_size'> {
  /** Tokens in all, special ones too: the most frequent characters are kept. Default: all that occur. */
  readonly vocab_size?: number;
  /** Characters that occur less often are not tokens. Default 0. */
  readonly min_frequency?: number;
  /**
   * The token of characters outside the vocabulary, added in front of the special tokens unless it is one of them. Default
   * `<unk>`. With null there is none: the vocabulary is the characters (and special tokens) alone, and other characters
   * vanish from text that is encoded, as with the BPE model of Hugging Face `tokenizers`.
   */
  readonly unk_token?: string | null;
}

/**
 * A tokenizer of characters (code points), ids in the order of the code points, after the special tokens. In tokenizer.json it is a BPE
 * model without merges, which every reader of the format splits into characters.
 * @throws SettingError for options that cannot be used, an empty corpus, or texts that are binary data.
 * @throws InterruptedError when the signal is aborted.
 */
export async function trainCharacters(
  texts: TrainingTexts,
  options: CharacterTrainerOptions = {},
): Promise<TrainedTokenizer> {
  const unknown = options.unk_token === undefined ? '<unk>' : options.unk_token;
  const given = options.special_tokens ?? [];
  const special = unknown === null || given.includes(unknown) ? given : [unknown, ...given];
  const all = { ...options, vocab_size: options.vocab_size ?? 2_000_000, special_tokens: special };
  checkOptions(all);
  const least = options.min_frequency ?? 0;
  checkWhole('min_frequency', least, 0, Number.MAX_SAFE_INTEGER);
  const pace = new Pace(all);

  const counts = new CharacterCounts();
  await readTexts(texts, pace, (text) => counts.add(text));
  let characters = counts.list().filter((one) => counts.of(one) >= least && !special.includes(one));
  const room = all.vocab_size - special.length;
  if (characters.length > room) {
    if (unknown === null || room < 1) checkRoom(all.vocab_size, characters.length, special.length);
    characters = characters.sort((a, b) => counts.of(b) - counts.of(a)).slice(0, room);
  }
  if (characters.length === 0) {
    throw new SettingError('min_frequency', least, `is more than any character occurs (${counts.most} times)`);
  }
  characters.sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
  const tokens = [...special, ...characters];
  pace.tokens = tokens.length;
  pace.tell('fit', 1);
  const json = tokenizerJson(special, {
    decoder: { type: 'Fuse' },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: unknown,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: [],
    },
  });
  return trained(json, all);
}

/** How often each code point occurs. */
export class CharacterCounts {
  private readonly near = new Float64Array(65_536);
  private readonly far = new Map<number, number>();

  add(text: string): void {
    for (let i = 0; i < text.length; i++) {
      const code = codePointAt(text, i);
      if (code > 0xffff) i++;
      this.addCode(code, 1);
    }
  }

  addCode(code: number, count: number): void {
    if (code <= 0xffff) this.near[code] += count;
    else this.far.set(code, (this.far.get(code) ?? 0) + count);
  }

  ofCode(code: number): number {
    return code <= 0xffff ? this.near[code] : (this.far.get(code) ?? 0);
  }

  of(character: string): number {
    return this.ofCode(character.codePointAt(0)!);
  }

  get most(): number {
    return this.list().reduce((most, one) => Math.max(most, this.of(one)), 0);
  }

  /** The characters that occur, in the order of their code points. */
  list(): string[] {
    const found: number[] = [];
    for (let code = 0; code < 65_536; code++) if (this.near[code] > 0) found.push(code);
    found.push(...[...this.far.keys()].sort((a, b) => a - b));
    return found.map((code) => String.fromCodePoint(code));
  }
}
