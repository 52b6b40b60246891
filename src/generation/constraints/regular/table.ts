/** Tables of deterministic automata over code points, and how large they may be. */
import { PatternProblem } from './problem.ts';

/** State 0 is the start; there is always one. */
export interface Dfa {
  /** Interval i is from bounds[i] up to before bounds[i + 1]; bounds[0] is 0 and the last interval ends at 0x10ffff. */
  readonly bounds: Int32Array;
  /** The class of each interval. Class 0 is that of the surrogates, which are in no text. */
  readonly classOf: Int32Array;
  readonly classes: number;
  /** next[state * classes + class]; -1 where the text can no longer become one of the language. */
  readonly next: Int32Array;
  readonly final: Uint8Array;
}

/** The size at which work on an automaton is given up: about 0.1 s. */
export const MOST_STATES = 6000;
const MOST_CELLS = 2_000_000;

export function statesOf(dfa: Dfa): number {
  return dfa.final.length;
}

/** @throws PatternProblem when a table of so many states and classes would be too large. */
export function bounded(states: number, classes: number): void {
  if (states > MOST_STATES || states * classes > MOST_CELLS) {
    throw new PatternProblem(`needs an automaton of more than ${Math.min(MOST_STATES, states - 1)} states`, true);
  }
}
