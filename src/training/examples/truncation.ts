/** Examples that are longer than the window. */
import { SettingError } from '../../errors.ts';
import { type Example, inputLength, learnedTokens, recordError, requireLearned } from './example.ts';

/**
 * What happens to an example that does not fit. `prompt`: its prompt loses its beginning where the rest fits, else it is
 * left out; a text without a prompt, all of which is learned, becomes several. `right`: it loses its end, and is left out
 * where no learned token stays. `refuse`: an error.
 */
export const truncations = ['prompt', 'right', 'refuse'] as const;
export type Truncation = (typeof truncations)[number];

export interface FitOptions {
  /** Tokens in a window. */
  readonly block_size: number;
  /** Default `prompt`. */
  readonly truncation?: Truncation;
  /** Where an example begins with this token, it still does after its prompt was cut. */
  readonly bos?: number;
}

export interface FittedExamples {
  readonly examples: readonly Example[];
  /** How many lost a part. */
  readonly cut: number;
  /** How many were left out. */
  readonly left_out: number;
  /** Input tokens of the longest example before anything was cut. */
  readonly longest: number;
}

/**
 * Examples that fit windows of `block_size` tokens.
 * @throws FileFormatError for an example without learned tokens, and with `refuse` for one that is too long; SettingError
 *   when nothing is left.
 */
export function fitExamples(examples: readonly Example[], options: FitOptions): FittedExamples {
  const { block_size, truncation = 'prompt' } = options;
  checkTruncation(truncation, block_size);
  const fitted: Example[] = [];
  let [cut, left_out, longest] = [0, 0, 0];
  for (const example of examples) {
    const length = inputLength(requireLearned(example));
    longest = Math.max(longest, length);
    if (length <= block_size) {
      fitted.push(example);
      continue;
    }
    const parts = shorten(example, length, options);
    if (parts.length === 0) left_out++;
    else cut++;
    for (const part of parts) fitted.push(part);
  }
  if (fitted.length === 0) {
    const problem =
      examples.length === 0
        ? 'there are no examples to learn from'
        : `none of the ${examples.length} examples fits: the longest has ${longest} tokens. Choose a larger block_size`;
    throw new SettingError('block_size', block_size, problem);
  }
  return { examples: fitted, cut, left_out, longest };
}

/** @throws SettingError */
export function checkTruncation(truncation: Truncation, block_size: number): void {
  if (!Number.isSafeInteger(block_size) || block_size < 1)
    throw new SettingError('block_size', block_size, 'must be a whole number from 1');
  if (!truncations.includes(truncation))
    throw new SettingError('truncation', truncation, `must be one of ${truncations.join(', ')}`);
}

/** What stays of an example that is too long; nothing where it is to be left out. */
function shorten(example: Example, length: number, options: FitOptions): readonly Example[] {
  const { ids, learn, origin } = example;
  const { block_size, truncation = 'prompt', bos } = options;
  if (truncation === 'refuse') {
    throw recordError(
      origin,
      null,
      `it has ${length} tokens, but the window has ${block_size}`,
      'Shorten it, choose a larger block_size, or let truncation be "prompt" or "right"',
    );
  }
  if (truncation === 'right') {
    const rest = slice(example, 0, block_size + 1);
    return learnedTokens(rest) > 0 ? [rest] : [];
  }
  const first = learn.indexOf(1, 1);
  if (first === 1) return split(example, length, block_size);
  const keep = bos !== undefined && ids[0] === bos ? 1 : 0;
  const from = length - block_size + keep;
  // A prompt token must stay before the first learned one, which is predicted from it.
  if (from >= first) return [];
  const rest = slice(example, from - keep, ids.length);
  if (keep === 1) rest.ids[0] = ids[0];
  return [rest];
}

/** Neighbours share a token: what the one predicts last is what the next one reads first. */
function split(example: Example, length: number, block_size: number): readonly Example[] {
  const count = Math.ceil(length / block_size);
  const parts = Array.from({ length: count }, (_, i) =>
    slice(example, i * block_size, Math.min(length, (i + 1) * block_size) + 1),
  );
  return parts.filter((part) => learnedTokens(part) > 0);
}

/** A copy of the tokens from `start` to before `end`; the first of them is not learned. */
function slice(example: Example, start: number, end: number): Example {
  const learn = example.learn.slice(start, end);
  learn[0] = 0;
  return { ...example, ids: example.ids.slice(start, end), learn };
}
