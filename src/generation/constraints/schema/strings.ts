/** Sets of strings as schemas describe them: a regular language with bounds of length, or named texts. */
import { accepts, complement, type Dfa, intersection, isEmpty, lengths, statesOf, textsOf } from '../regular/dfa.ts';
import { PatternProblem } from '../regular/problem.ts';
import type { PatternNode } from '../regular/syntax.ts';
import type { Problem } from './problem.ts';

export interface StringShape {
  /** All that there is, when it is a list. */
  readonly only: ReadonlySet<string> | null;
  /** Texts that are left out. */
  readonly not: ReadonlySet<string>;
  /** A language that all texts are of; null: any. */
  readonly language: Dfa | null;
  /**
   * The one pattern that all is about besides bounds of length, where there is one. Without a language it is too large for an automaton, and has to be written
   * with counters.
   */
  readonly source: PatternNode | null;
  /** Bounds of the length in code points; max may be Infinity. */
  readonly min: number;
  readonly max: number;
  readonly problem?: Problem;
}

const NONE: ReadonlySet<string> = new Set();
/** Languages of no more texts than this become lists. */
const SHORT_LIST = 64;

export const ANY_STRING: StringShape = { only: null, not: NONE, language: null, source: null, min: 0, max: Infinity };

export function textShape(texts: ReadonlySet<string>): StringShape {
  return { ...ANY_STRING, only: texts };
}

export function languageShape(language: Dfa, source: PatternNode | null = null): StringShape {
  const texts = textsOf(language, SHORT_LIST);
  return texts === undefined ? { ...ANY_STRING, language, source } : textShape(new Set(texts));
}

/** Length in code points. */
export function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

export function hasString(shape: StringShape, text: string): boolean {
  if (shape.only !== null) return shape.only.has(text);
  if (shape.not.has(text)) return false;
  const length = codePoints(text);
  if (length < shape.min || length > shape.max) return false;
  return shape.language === null || accepts(shape.language, text);
}

/** The work that a shape's automaton took, in steps: about 10 microseconds each. */
export function costOf(shape: StringShape): number {
  return shape.language === null ? 1 : 1 + (statesOf(shape.language) * shape.language.classes) / 8;
}

function isTrivial(shape: StringShape): boolean {
  return isAnyString(shape) && shape.problem === undefined;
}

export function isAnyString(shape: StringShape): boolean {
  return (
    shape.only === null &&
    shape.not.size === 0 &&
    shape.language === null &&
    shape.source === null &&
    shape.min === 0 &&
    shape.max === Infinity
  );
}

/** @returns null where no string is in both. */
export function bothStrings(a: StringShape, b: StringShape, path: string): StringShape | null {
  if (isTrivial(a)) return b;
  if (isTrivial(b)) return a;
  const problem = a.problem ?? b.problem;
  if (a.only !== null || b.only !== null) {
    const [list, other] = a.only !== null ? [a, b] : [b, a];
    const texts = new Set<string>();
    for (const text of list.only!) if (isCounted(other) || hasString(other, text)) texts.add(text);
    if (texts.size === 0) return null;
    const unsure: Problem | undefined = !isCounted(other)
      ? undefined
      : { path, value: 'a large pattern', reason: 'cannot be held against a list of texts' };
    return { ...ANY_STRING, only: texts, problem: problem ?? unsure };
  }
  const min = Math.max(a.min, b.min);
  const max = Math.min(a.max, b.max);
  if (min > max) return null;
  const not = a.not.size === 0 ? b.not : b.not.size === 0 ? a.not : new Set([...a.not, ...b.not]);
  let language = a.language ?? b.language;
  let failed = problem;
  if (a.language !== null && b.language !== null && a.language !== b.language) {
    try {
      language = intersection(a.language, b.language);
    } catch (error) {
      failed ??= problemOf(error, path);
    }
  }
  if (language !== null && failed === undefined) {
    if (isEmpty(language)) return null;
    const bounds = lengths(language);
    if (bounds.min > max || bounds.max < min) return null;
  }
  const counted = [a, b].find((one) => one.source !== null && one.language === null);
  const source = sourceOf(a, b);
  if (counted !== undefined && source === null) {
    const reason = 'has too many repetitions to be combined with other conditions on the same string; fewer would do';
    failed ??= { path, value: 'a large pattern', reason };
  }
  return { only: null, not, language, source, min, max, problem: failed };
}

/** Whether a pattern stands for itself, without an automaton. */
export function isCounted(shape: StringShape): boolean {
  return shape.source !== null && shape.language === null;
}

/** The pattern of both, where one says nothing but lengths. */
function sourceOf(a: StringShape, b: StringShape): PatternNode | null {
  if (a.source === b.source) return a.source;
  const plain = (shape: StringShape): boolean =>
    shape.source === null && shape.language === null && shape.not.size === 0;
  return plain(a) ? b.source : plain(b) ? a.source : null;
}

/** The strings that a shape leaves out. */
export function otherStrings(shape: StringShape, path: string): StringShape[] {
  if (shape.problem !== undefined) return [{ ...ANY_STRING, problem: shape.problem }];
  if (shape.only !== null) return [{ ...ANY_STRING, not: shape.only }];
  const others: StringShape[] = [];
  if (isCounted(shape)) {
    return [{ ...ANY_STRING, problem: { path, value: 'a large pattern', reason: 'is too large to be negated' } }];
  }
  if (shape.not.size > 0) others.push(textShape(shape.not));
  if (shape.min > 0) others.push({ ...ANY_STRING, max: shape.min - 1 });
  if (shape.max < Infinity) others.push({ ...ANY_STRING, min: shape.max + 1 });
  if (shape.language !== null) {
    try {
      const rest = complement(shape.language);
      if (!isEmpty(rest)) others.push(languageShape(rest));
    } catch (error) {
      others.push({ ...ANY_STRING, problem: problemOf(error, path) });
    }
  }
  return others;
}

export function problemOf(error: unknown, path: string, value: unknown = 'a pattern'): Problem {
  if (!(error instanceof PatternProblem)) throw error;
  return { path, value, reason: error.message };
}
