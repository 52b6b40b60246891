/** From texts to the ids that are scored, by the definitions of lm-evaluation-harness. */
import { CapacityError, SettingError } from '../errors.ts';
import { trimEnd } from '../prompts/jinja/lexer.ts';
import type { Tokenizer } from '../tokenizers/index.ts';

/** Ids to score after ids that are given. Neither is empty. */
export interface ScoredIds {
  readonly context: readonly number[];
  readonly continuation: readonly number[];
  /** Ids of the context that were left out at its beginning. */
  readonly truncated: number;
}

/**
 * What stands before a text that has nothing before it: the token of the beginning of a text, or of the end of the one before. The tokenizer
 * names it, or else the model's defaults of generation.
 */
export function prefixToken(
  tokenizer: Tokenizer,
  defaults: Readonly<Record<string, unknown>> = {},
): number | undefined {
  const { bos, eos } = tokenizer.special;
  const ids = [bos, eos, defaults.bos_token_id, defaults.eos_token_id].map((id) => (Array.isArray(id) ? id[0] : id));
  return ids.find((id) => typeof id === 'number');
}

/** @throws SettingError where there is none. */
export function needPrefix(prefix: number | undefined): number {
  if (prefix !== undefined) return prefix;
  throw new SettingError('model', 'tokenizer', 'names no token for the beginning or the end of a text to score after');
}

/**
 * A continuation after its context. White space at the end of the context is moved to the continuation, both are encoded as one text, and
 * what lies beyond the length of the encoded context is the continuation.
 * @param prefix what stands for an empty context.
 * @throws SettingError when nothing is left to score.
 */
export function encodePair(
  tokenizer: Tokenizer,
  context: string,
  continuation: string,
  prefix: number | undefined,
): ScoredIds {
  const head = trimEnd(context);
  const tail = context.slice(head.length) + continuation;
  if (head === '') {
    const ids = Array.from(tokenizer.encodeIds(tail, { add_special_tokens: false }));
    const lead = needPrefix(prefix);
    const [before, after] = ids[0] === lead ? [ids.slice(0, 1), ids.slice(1)] : [[lead], ids];
    return checked({ context: before, continuation: after, truncated: 0 }, tail);
  }
  const whole = Array.from(tokenizer.encodeIds(head + tail));
  const { length } = tokenizer.encodeIds(head);
  return checked({ context: whole.slice(0, length), continuation: whole.slice(length), truncated: 0 }, tail);
}

function checked(ids: ScoredIds, continuation: string): ScoredIds {
  if (ids.context.length > 0 && ids.continuation.length > 0) return ids;
  throw new SettingError('continuation', continuation, 'has no tokens of its own after its context: nothing to score');
}

/** The same within a model's context: the beginning of what is given is left out. @throws CapacityError when the continuation alone is longer. */
export function fitPair(ids: ScoredIds, limit: number): ScoredIds {
  const { context, continuation } = ids;
  if (continuation.length > limit) {
    throw new CapacityError('context', continuation.length, limit, 'tokens', 'A continuation has to fit as a whole');
  }
  // The last token is judged and not read.
  const excess = context.length + continuation.length - 1 - limit;
  return excess > 0 ? { context: context.slice(excess), continuation, truncated: excess } : ids;
}

/**
 * Windows over a text of any length in which each token is scored once. The first follows `prefix`; each later one has as much context as
 * fits, so the last keeps all of it (`get_rolling_token_windows` with a context of 1, made disjoint).
 * @param limit tokens that a model reads at most.
 */
export function rollingWindows(ids: readonly number[], prefix: number, limit: number): ScoredIds[] {
  const windows: ScoredIds[] = [];
  for (let start = 0; start < ids.length; ) {
    const end = Math.min(start + limit, ids.length);
    const from = end - limit - 1;
    const context = start === 0 ? [prefix] : ids.slice(Math.max(from, 0), start);
    windows.push({ context, continuation: ids.slice(start, end), truncated: 0 });
    start = end;
  }
  return windows;
}
