/** What fine-tuning learns from: token ids, and which of them are to be predicted. */
import { FileFormatError, SettingError } from '../../errors.ts';

/** Where a record stands, for messages. */
export interface Origin {
  readonly file: string;
  /** From 1: the line in its file, or the record's number in a JSON array or a Parquet file. */
  readonly line: number;
}

/** One text with a mask. */
export interface Example {
  readonly ids: Int32Array;
  /** As long as `ids`: 1 where the token is to be predicted from those before it. The first token never is. */
  readonly learn: Uint8Array;
  readonly origin?: Origin;
}

/** A prompt with the better and the worse answer, each with the token that ends it. */
export interface PreferenceExample {
  readonly prompt: Int32Array;
  readonly chosen: Int32Array;
  readonly rejected: Int32Array;
  readonly origin?: Origin;
}

/** A prompt with an answer, with the token that ends it, which was liked or was not (KTO). */
export interface LabelledExample {
  readonly prompt: Int32Array;
  readonly completion: Int32Array;
  readonly label: boolean;
  readonly origin?: Origin;
}

/** A prompt to be answered by the model in training; rewards read what else its record says (GRPO). */
export interface PromptExample {
  readonly ids: Int32Array;
  readonly record: Readonly<Record<string, unknown>>;
  readonly origin?: Origin;
}

/** An input of a task head, transformed (GPT-1, section 3.3). */
export interface TaskExample {
  /** One for classification and entailment, two for similarity, one for each choice of multiple choice. */
  readonly sequences: readonly Int32Array[];
  /** The number of the class, or of the right choice. */
  readonly label: number;
  readonly origin?: Origin;
}

/** The error of a record: `file:line: field "x": problem. hint`. */
export function recordError(origin: Origin | undefined, field: string | null, problem: string, hint = ''): Error {
  const where = field === null ? '' : `field "${field}"`;
  if (origin === undefined) return new SettingError(field ?? 'record', undefined, problem);
  return new FileFormatError(`${origin.file}:${origin.line}`, where, problem, hint);
}

/** How many tokens of an example are to be predicted. */
export function learnedTokens({ learn }: Example): number {
  let count = 0;
  for (let i = 1; i < learn.length; i++) count += learn[i];
  return count;
}

/**
 * How many tokens an example needs to read: those before the last one that is learned. What comes after changes no
 * prediction that is learned, since attention looks back only. 0 where nothing is learned.
 */
export function inputLength({ learn }: Example): number {
  return Math.max(0, learn.lastIndexOf(1));
}

/** @throws FileFormatError for an example of which no token is learned. */
export function requireLearned(example: Example): Example {
  if (inputLength(example) > 0) return example;
  throw recordError(
    example.origin,
    null,
    `labels all masked: none of its ${example.ids.length} tokens is to be learned`,
    'Give it an answer that is not empty (an assistant turn, a completion), or learn from "all" of it',
  );
}
