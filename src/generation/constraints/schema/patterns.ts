/** The strings of `pattern` and of the keys of `patternProperties`. */

import { compileNode } from '../regular/determinise.ts';
import type { Dfa } from '../regular/dfa.ts';
import { PatternProblem } from '../regular/problem.ts';
import { parseExpression } from '../regular/syntax.ts';
import { raise } from './problem.ts';
import { ANY_STRING, languageShape, problemOf, type StringShape } from './strings.ts';

const known = new Map<string, Dfa>();
const MOST_KNOWN = 200;

/** The strings in which an expression finds something. */
export function patternStrings(source: unknown, path: string): StringShape {
  if (typeof source !== 'string')
    return raise({ path, value: source, reason: 'is not a regular expression: a string is needed' });
  try {
    return languageShape(languageOf(source), parseExpression(source));
  } catch (error) {
    if (error instanceof PatternProblem && error.large) {
      try {
        return { ...ANY_STRING, source: parseExpression(source) };
      } catch (second) {
        return { ...ANY_STRING, problem: problemOf(second, path, source) };
      }
    }
    return { ...ANY_STRING, problem: problemOf(error, path, source) };
  }
}

/** Automata are kept, as schemas repeat their patterns. */
export function languageOf(source: string, anchoring: 'search' | 'whole' = 'search'): Dfa {
  const key = `${anchoring}:${source}`;
  let language = known.get(key);
  if (language === undefined) {
    language = compileNode(parseExpression(source), anchoring);
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(key, language);
  }
  return language;
}
