/** What all trainers share: their options, the texts they take, progress, interruption, the tokenizer.json around a model. */
import { InterruptedError, SettingError } from '../../errors.ts';
import type { JsonObject } from '../../weights/json.ts';
import { wellFormed } from '../bytes.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { tokenizerFromJson } from '../tokenizer-json.ts';

/** Documents, or parts of documents: each is cut into words on its own, and kept no longer than that takes. */
export type TrainingTexts = Iterable<string> | AsyncIterable<string>;

export interface TrainingProgress {
  /** `read`: cutting and counting; `merge`: learning merges; `prepare`, `fit`: candidates for pieces, and their probabilities. */
  readonly stage: 'read' | 'merge' | 'prepare' | 'fit';
  /** Done of this stage, 0 to 1. While reading it is 0 unless `expected_length` was given. */
  readonly share: number;
  /** UTF-16 units read so far. */
  readonly read: number;
  /** Tokens in the vocabulary so far. */
  readonly tokens: number;
}

export interface TrainerOptions {
  /** Tokens in all: special ones, the alphabet, and what is learned. A small corpus may not hold so many. */
  readonly vocab_size: number;
  /** Tokens that stand for no text, in the order of their ids, which begin at 0. Default none. */
  readonly special_tokens?: readonly string[];
  /** Which special tokens have roles, as the result's {@link Tokenizer} then knows them. */
  readonly roles?: { readonly bos_token?: string; readonly eos_token?: string; readonly pad_token?: string };
  /** UTF-16 units of all texts together, where that is known, so that the share of reading can be told. */
  readonly expected_length?: number;
  readonly onProgress?: (progress: TrainingProgress) => void;
  readonly signal?: AbortSignal;
}

export interface TrainedTokenizer {
  /** The content of tokenizer.json, the format of Hugging Face `tokenizers`; `JSON.stringify` writes the file. */
  readonly json: JsonObject;
  readonly tokenizer: Tokenizer;
}

const LARGEST_VOCABULARY = 4_000_000;

/** @throws SettingError naming the option that cannot be used. */
export function checkOptions(options: TrainerOptions): readonly string[] {
  checkWhole('vocab_size', options.vocab_size, 1, LARGEST_VOCABULARY);
  const special = options.special_tokens ?? [];
  const seen = new Set<string>();
  for (const token of special) {
    if (typeof token !== 'string' || token === '') throw new SettingError('special_tokens', token, 'is not a text');
    if (seen.has(token)) throw new SettingError('special_tokens', token, 'is there twice');
    seen.add(token);
  }
  for (const [role, token] of Object.entries(options.roles ?? {})) {
    if (token !== undefined && !seen.has(token)) throw new SettingError(role, token, 'is not one of special_tokens');
  }
  return special;
}

export function checkWhole(name: string, value: unknown, least: number, most: number): void {
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) {
    throw new SettingError(name, value, `must be a whole number from ${least} to ${most}`);
  }
}

/** @throws SettingError with both numbers when the alphabet and the special tokens alone are more than the vocabulary. */
export function checkRoom(vocabSize: number, alphabet: number, special: number, more = ''): void {
  if (vocabSize >= alphabet + special) return;
  const parts = `the alphabet has ${alphabet} and there are ${special} special tokens${more}`;
  throw new SettingError('vocab_size', vocabSize, `must be at least ${alphabet + special}: ${parts}`);
}

const TURN_MS = 40;

/** Lets other work have its turn now and then, tells progress, and stops when asked to. */
export class Pace {
  read = 0;
  tokens = 0;
  private turn = performance.now();

  constructor(private readonly options: TrainerOptions) {
    this.stopIfAsked();
  }

  /** True when a {@link rest} is due. Cheap enough for every thousandth step of a loop. */
  get due(): boolean {
    return performance.now() - this.turn >= TURN_MS;
  }

  /** @throws InterruptedError when the signal is aborted. */
  async rest(stage: TrainingProgress['stage'], share: number): Promise<void> {
    this.tell(stage, share);
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.stopIfAsked();
    this.turn = performance.now();
  }

  tell(stage: TrainingProgress['stage'], share: number): void {
    const { read, tokens } = this;
    this.options.onProgress?.({ stage, share: Math.min(1, Math.max(0, share)), read, tokens });
  }

  get readShare(): number {
    const { expected_length: expected } = this.options;
    return expected === undefined || expected <= 0 ? 0 : this.read / expected;
  }

  private stopIfAsked(): void {
    if (this.options.signal?.aborted) throw new InterruptedError('the training of the tokenizer was interrupted');
  }
}

/**
 * Reads all texts.
 * @throws SettingError for what is no text, for text that was bytes of something else, and when there is none at all.
 */
export async function readTexts(texts: TrainingTexts, pace: Pace, take: (text: string) => void): Promise<void> {
  let index = 0;
  for await (const text of texts) {
    if (typeof text !== 'string') throw new SettingError(`texts[${index}]`, text, 'is not a text');
    checkText(text, index);
    if (text.length > 0) take(wellFormed(text));
    pace.read += text.length;
    index++;
    if (pace.due) await pace.rest('read', pace.readShare);
  }
  if (pace.read === 0) {
    const problem = index === 0 ? 'there are none' : 'they are all empty';
    throw new SettingError('texts', index, `${problem}: a tokenizer is learned from text, and this corpus is empty`);
  }
  pace.tell('read', 1);
}

/** A look at the first units of a text is enough to know that it was no text. */
const LOOKED_AT = 65_536;

/** Text has no NUL, and few other control characters or signs of bytes that were not UTF-8. */
function checkText(text: string, index: number): void {
  const zero = text.indexOf('\0');
  if (zero >= 0) {
    throw new SettingError(`texts[${index}]`, text.slice(0, 20), `is binary data, not text: a NUL at place ${zero}`);
  }
  const end = Math.min(text.length, LOOKED_AT);
  let odd = 0;
  for (let i = 0; i < end; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 0xfffd || (unit < 32 && (unit < 9 || unit > 13) && unit !== 27)) odd++;
  }
  if (odd > 8 && odd * 10 > end) {
    const what = `${odd} of its first ${end} characters are control characters or bytes that are not UTF-8`;
    throw new SettingError(`texts[${index}]`, text.slice(0, 20), `is binary data, not text: ${what}`);
  }
}

/** The tokenizer.json around a model. */
export function tokenizerJson(
  special: readonly string[],
  parts: { normalizer?: unknown; pre_tokenizer?: unknown; post_processor?: unknown; decoder: unknown; model: unknown },
): JsonObject {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: special.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: parts.normalizer ?? null,
    pre_tokenizer: parts.pre_tokenizer ?? null,
    post_processor: parts.post_processor ?? null,
    decoder: parts.decoder,
    model: parts.model,
  };
}

export function trained(json: JsonObject, options: TrainerOptions): TrainedTokenizer {
  const tokenizer = tokenizerFromJson(json, { file: 'the trained tokenizer', config: options.roles });
  return { json, tokenizer };
}
