/** llama.cpp's penalties over a window: repeat, presence and frequency together. */
import type { LogitsProcessor } from '../types.ts';

export interface WindowPenalties {
  /** Tokens of prompt and answer that count, the last ones; -1 for all, 0 for none. */
  readonly lastN: number;
  /** Divides positive scores, multiplies others. */
  readonly repeat: number;
  /** Subtracted once. */
  readonly presence: number;
  /** Subtracted as often as the token occurs. */
  readonly frequency: number;
}

export function windowPenalties({ lastN, repeat, presence, frequency }: WindowPenalties): LogitsProcessor {
  const counts = new Map<number, number>();
  return (scores, { tokens }) => {
    counts.clear();
    const from = lastN < 0 ? 0 : Math.max(0, tokens.length - lastN);
    for (let i = from; i < tokens.length; i++) counts.set(tokens[i], (counts.get(tokens[i]) ?? 0) + 1);
    for (const [token, count] of counts) {
      if (token >= scores.length) continue;
      const score = Math.fround(scores[token] <= 0 ? scores[token] * repeat : scores[token] / repeat);
      scores[token] = score - (count * frequency + presence);
    }
  };
}
