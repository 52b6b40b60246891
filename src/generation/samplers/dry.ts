/**
 * DRY ("don't repeat yourself", p-e-w 2024), with llama.cpp's meaning: a token that would make the end of the text repeat an earlier
 * run of n tokens loses multiplier · base^(n - allowed). No run reaches over a sequence breaker.
 */
import { SettingError } from '../../errors.ts';
import type { LogitsProcessor } from '../types.ts';

export interface DrySettings {
  readonly multiplier: number;
  readonly base: number;
  /** The longest run that costs nothing. */
  readonly allowedLength: number;
  /** Tokens that are looked back on; -1 for all, 0 for none. */
  readonly lastN: number;
  /** Texts that end every run. */
  readonly breakers: readonly string[];
}

/** The logarithm of the greatest 32-bit number: no penalty is greater. */
const LARGEST_LOG = 88.7228391;
/** Tokens that a breaker reaches over, besides its first. */
const TAIL = 20;

/** @param textOf the text of a token; only without breakers can it be left out. */
export function dry(settings: DrySettings, textOf?: (token: number) => string): LogitsProcessor {
  const { multiplier, base, allowedLength, lastN } = settings;
  const breakers = new Breakers(settings.breakers, textOf);
  const most = base > 1.000001 ? Math.floor(LARGEST_LOG / Math.log(base)) : 0;
  const longest = new Map<number, number>();
  let runs = new Int32Array(0);
  return (scores, { tokens }) => {
    const count = lastN < 0 ? tokens.length : Math.min(lastN, tokens.length);
    if (count <= allowedLength) return;
    const limit = breakers.tokensAfterLast(tokens, count);
    if (limit < allowedLength) return;
    if (runs.length < count) runs = new Int32Array(count + (count >> 1));
    repeatedRuns(tokens, count, runs);
    longest.clear();
    for (let k = 1; k < count; k++) {
      const run = Math.min(runs[k], limit);
      if (run < allowedLength) continue;
      const next = tokens[tokens.length - k];
      if (run > (longest.get(next) ?? -1)) longest.set(next, run);
    }
    for (const [token, run] of longest) {
      if (token >= scores.length || breakers.isWithin(token)) continue;
      const exponent = most > 0 ? Math.min(run - allowedLength, most) : run - allowedLength;
      scores[token] -= Math.fround(multiplier * base ** exponent);
    }
  };
}

/**
 * How many tokens before the one k places from the end are the same as those at the end, for k from 1 to count - 1, in time linear in
 * count: the Z function of the reversed text (Gusfield 1997).
 */
function repeatedRuns(tokens: readonly number[], count: number, runs: Int32Array): void {
  const last = tokens.length - 1;
  let left = 0;
  let right = 0; // Places [left, right) from the end are known to be like [0, right - left).
  for (let k = 1; k < count; k++) {
    let run = k < right ? Math.min(right - k, runs[k - left]) : 0;
    while (k + run < count && tokens[last - run] === tokens[last - k - run]) run++;
    if (k + run > right) {
      left = k;
      right = k + run;
    }
    runs[k] = run;
  }
}

/** Finds texts among tokens. What is asked about a token is kept. */
class Breakers {
  /** What of each breaker is still to come after a token that ends with its beginning; '' for a token that has all of it. */
  private readonly rests = new Map<number, readonly string[]>();

  constructor(
    private readonly texts: readonly string[],
    private readonly textOf?: (token: number) => string,
  ) {
    if (texts.length > 0 && !textOf) {
      const problem = 'needs the texts of tokens and this model has no tokenizer: give [] to do without breakers';
      throw new SettingError('dry_sequence_breakers', texts, problem);
    }
  }

  isWithin(token: number): boolean {
    return this.restsOf(token).includes('');
  }

  /** How many of the last `count` tokens come after the last breaker; `count` when there is none. */
  tokensAfterLast(tokens: readonly number[], count: number): number {
    if (this.texts.length === 0) return count;
    for (let i = 0; i < count; i++) {
      let longest = -1;
      for (const rest of this.restsOf(tokens[tokens.length - 1 - i])) {
        longest = Math.max(longest, this.tokensOf(rest, tokens, tokens.length - i));
      }
      if (longest >= 0) return i - longest;
    }
    return count;
  }

  /** How many tokens from `from` are exactly this text; -1 when none are. */
  private tokensOf(text: string, tokens: readonly number[], from: number): number {
    let rest = text;
    let at = from;
    while (rest !== '' && at - from < TAIL) {
      if (at === tokens.length) return -1;
      const next = this.textOf!(tokens[at++]);
      if (next === '' || !rest.startsWith(next)) return -1;
      rest = rest.slice(next.length);
    }
    return at - from;
  }

  private restsOf(token: number): readonly string[] {
    let rests = this.rests.get(token);
    if (!rests) {
      rests = this.textOf ? this.texts.flatMap((text) => restsAfter(this.textOf!(token), text)) : [];
      this.rests.set(token, rests);
    }
    return rests;
  }
}

function restsAfter(word: string, breaker: string): string[] {
  if (word.includes(breaker)) return [''];
  const rests: string[] = [];
  for (let length = 1; length < breaker.length; length++) {
    if (word.endsWith(breaker.slice(0, length))) rests.push(breaker.slice(length));
  }
  return rests;
}
