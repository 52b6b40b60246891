/**
 * The tokens that stand around the texts of a task (Radford et al. 2018, section 3.3): new ones, as in GPT-1, or special ones that the
 * vocabulary has, so that no embedding has to grow.
 */
import { SettingError } from '../../errors.ts';
import type { Tokenizer } from '../../tokenizers/index.ts';
import type { TaskTokens } from '../examples/task_inputs.ts';

/** Texts of new tokens. */
export const TASK_TOKENS = { start: '<|start|>', delimiter: '<|delimiter|>', extract: '<|extract|>' } as const;

/**
 * Special tokens of a vocabulary in the three parts: extract is the end token, start the begin token (the end token where there is no
 * other), delimiter the first special token that is neither. The delimiter may be the start token where there are no more.
 * @throws SettingError for a tokenizer without an end token.
 */
export function specialTaskTokens(tokenizer: Tokenizer): TaskTokens {
  const { special, addedTokens } = tokenizer;
  const extract = special.eos ?? special.eot;
  if (extract === undefined) {
    throw new SettingError(
      'new_tokens',
      false,
      'has to be true: this tokenizer has no end token to read the class from',
    );
  }
  const start = special.bos ?? extract;
  const others = addedTokens.filter((token) => token.special).map(({ id }) => id);
  const delimiter = others.find((id) => id !== start && id !== extract);
  return { start, delimiter: delimiter ?? start, extract };
}

export interface NewTaskTokens {
  readonly tokens: TaskTokens;
  /** Of the model with the new tokens. */
  readonly vocab_size: number;
  /** Rows that its embedding grows by; fewer than three where it has rows that no token uses. */
  readonly rows: number;
}

/** Three tokens after those of a tokenizer. */
export function newTaskTokens(tokenizer: Tokenizer, vocab_size: number): NewTaskTokens {
  const first = tokenizer.vocabSize;
  const size = Math.max(vocab_size, first + 3);
  return {
    tokens: { start: first, delimiter: first + 1, extract: first + 2 },
    vocab_size: size,
    rows: size - vocab_size,
  };
}

/**
 * The content of a tokenizer.json with new tokens.
 * @throws SettingError when it has tokens of these texts already.
 */
export function withTaskTokens(json: unknown, tokens: TaskTokens): Record<string, unknown> {
  const content = json as { readonly added_tokens?: readonly { readonly content?: string }[] };
  const added = content.added_tokens ?? [];
  const made = Object.entries(TASK_TOKENS).map(([name, text]) => {
    if (added.some((token) => token.content === text))
      throw new SettingError('new_tokens', true, `cannot be: the tokenizer has a token ${text}`);
    const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
    return { id: tokens[name as keyof TaskTokens], content: text, ...flags };
  });
  return { ...content, added_tokens: [...added, ...made] };
}

/**
 * The id of padding for tools that find the extract token as the last that is no padding: any other token than it.
 * @param pad the tokenizer's own.
 */
export function paddingFor({ extract, delimiter, start }: TaskTokens, pad: number | undefined): number {
  return [pad, delimiter, start, 0, 1].find((id) => id !== undefined && id !== extract)!;
}
