/** Answers to prompts that are longer than a row. */
import { SettingError } from '../../errors.ts';
import { type LabelledExample, type PreferenceExample, recordError } from './example.ts';
import { checkTruncation, type Truncation } from './truncation.ts';

export interface AnswerFitOptions {
  /** Tokens in a row. Without it, as few as hold the longest example: a multiple of 32, up to `limit`. */
  readonly block_size?: number;
  /** The most tokens that the model reads. */
  readonly limit: number;
  /** Default `prompt`; see `Truncation`. */
  readonly truncation?: Truncation;
  /** Where a prompt begins with this token, it still does after it was cut. */
  readonly bos?: number;
}

export interface FittedAnswers<E> {
  readonly examples: readonly E[];
  readonly block_size: number;
  /** How many lost a part. */
  readonly cut: number;
  /** How many were left out. */
  readonly left_out: number;
  /** Input tokens of the longest row before anything was cut. */
  readonly longest: number;
}

/** The smallest multiple of 32 that holds `longest` tokens, or `limit` where that is less. */
export function chooseBlockSize(longest: number, limit: number): number {
  return Math.min(limit, Math.max(32, Math.ceil(longest / 32) * 32));
}

/**
 * Pairs or single answers that fit rows of `block_size` tokens. Both answers of a pair keep the same prompt.
 * @throws FileFormatError with `refuse` for one that is too long, and for one without a prompt or an answer; SettingError
 *   when nothing is left, or for a block_size above the limit.
 */
export function fitAnswers<E extends PreferenceExample | LabelledExample>(
  examples: readonly E[],
  options: AnswerFitOptions,
): FittedAnswers<E> {
  const { limit, truncation = 'prompt', bos } = options;
  if (examples.length === 0) throw new SettingError('examples', 0, 'there are none to learn from');
  const longest = examples.reduce((most, example) => Math.max(most, inputLength(checked(example))), 0);
  const block_size = options.block_size ?? chooseBlockSize(longest, limit);
  checkTruncation(truncation, block_size);
  if (block_size > limit) {
    throw new SettingError('block_size', block_size, `is more than the ${limit} tokens that this model reads`);
  }
  let cut = 0;
  const fitted = examples.flatMap((example) => {
    const length = inputLength(example);
    if (length <= block_size) return [example];
    if (truncation === 'refuse') {
      const hint = 'Shorten it, choose a larger block_size, or let truncation be "prompt" or "right"';
      throw recordError(example.origin, null, `it has ${length} tokens, but a row has ${block_size}`, hint);
    }
    const short = truncation === 'right' ? cutRight(example, block_size) : cutPrompt(example, length - block_size, bos);
    if (short !== null) cut++;
    return short ?? [];
  });
  if (fitted.length === 0) {
    const problem = `none of the ${examples.length} examples fits: the longest has ${longest} tokens. Choose a larger block_size`;
    throw new SettingError('block_size', block_size, problem);
  }
  return { examples: fitted, block_size, cut, left_out: examples.length - fitted.length, longest };
}

type Answered = PreferenceExample | LabelledExample;

const answersOf = (example: Answered): readonly Int32Array[] =>
  'completion' in example ? [example.completion] : [example.chosen, example.rejected];

/** Tokens that the longest row reads: the last one of an answer is only predicted. */
const inputLength = (example: Answered) =>
  example.prompt.length + Math.max(...answersOf(example).map(({ length }) => length)) - 1;

function checked<E extends Answered>(example: E): E {
  if (example.prompt.length === 0) throw recordError(example.origin, null, 'its prompt has no tokens');
  if (answersOf(example).every(({ length }) => length > 0)) return example;
  throw recordError(example.origin, null, 'an answer of it has no tokens');
}

/** The prompt without its first tokens; at least one of them stays. */
function cutPrompt<E extends Answered>(example: E, over: number, bos: number | undefined): E | null {
  const { prompt } = example;
  const keep = prompt[0] === bos ? 1 : 0;
  if (over + keep >= prompt.length) return null;
  const rest = prompt.slice(over);
  if (keep === 1) rest[0] = prompt[0];
  return { ...example, prompt: rest };
}

function cutRight<E extends Answered>(example: E, block_size: number): E | null {
  const room = block_size + 1 - example.prompt.length;
  if (room < 1) return null;
  return 'completion' in example
    ? { ...example, completion: example.completion.slice(0, room) }
    : { ...example, chosen: example.chosen.slice(0, room), rejected: example.rejected.slice(0, room) };
}
