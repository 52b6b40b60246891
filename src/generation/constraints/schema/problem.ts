/** What of a schema cannot be enforced. Kept beside the values it speaks of, and raised only where those can still occur. */
import { SettingError } from '../../../errors.ts';

export interface Problem {
  /** JSON pointer of the keyword, as a fragment: "#/properties/a/pattern". */
  readonly path: string;
  /** The value of the keyword. */
  readonly value: unknown;
  /** Completes "`path` = value: …". */
  readonly reason: string;
}

/** What becomes of a problem that still matters: an error, or a word to the caller, who wants a grammar that lets more through. */
export type Tolerance = (problem: Problem) => void;

export function raise(problem: Problem): never {
  throw new SettingError(`schema ${problem.path}`, shortened(problem.value), problem.reason);
}

/** Hostile values are not written out: the message shows at most 80 characters of them anyway. */
function shortened(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return Array.isArray(value) ? `an array of ${value.length}` : `an object with ${Object.keys(value).length} members`;
}
