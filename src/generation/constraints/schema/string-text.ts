/** How the strings of a set are spelt. */
import type { Expression } from '../grammar.ts';
import { byteAutomaton, SPELT_AS_JSON } from '../regular/bytes.ts';
import { type Dfa, difference, everything, intersection, isEmpty, lengths, ofLength, ofTexts } from '../regular/dfa.ts';
import { nodeExpression } from '../regular/expression.ts';
import { withinLengths } from '../regular/lengths.ts';
import { PatternProblem } from '../regular/problem.ts';
import type { Tolerance } from './problem.ts';
import {
  characterExpression,
  choice,
  oneOfTexts,
  repeat,
  sequence,
  stringExpression,
  stringsExcept,
  text,
} from './spelling.ts';
import { codePoints, isAnyString, isCounted, problemOf, type StringShape } from './strings.ts';

const QUOTE = text('"');
/** Automata made before, by their language: schemas repeat their patterns. */
const spelt = new WeakMap<Dfa, Expression>();

/** @returns null where there is no string. */
export function stringsExpression(
  shapes: readonly StringShape[],
  path: string,
  tolerate: Tolerance,
): Expression | null {
  const parts: Expression[] = [];
  for (const shape of shapes) {
    if (shape.problem !== undefined) tolerate(shape.problem);
    try {
      const part = shapeExpression(shape);
      if (part !== null) parts.push(part);
    } catch (error) {
      tolerate(problemOf(error, `${path}/pattern`));
      parts.push(stringExpression());
    }
  }
  return parts.length === 0 ? null : choice(parts);
}

function shapeExpression(shape: StringShape): Expression | null {
  if (shape.only !== null) return oneOfTexts([...shape.only].map((value) => JSON.stringify(value)));
  if (isCounted(shape)) return countedExpression(shape);
  if (isAnyString(shape)) return stringExpression();
  const { not, language, min, max } = shape;
  const free = min === 0 && max === Infinity;
  if (language === null && not.size === 0) return sequence(QUOTE, repeat(characterExpression(), min, max), QUOTE);
  if (language === null && free) return exceptOf(not);
  const bounds = language === null ? { min: 0, max: Infinity } : lengths(language);
  // Excluded texts that the bounds exclude anyway do not count.
  const excluded = [...not].filter((value) => codePoints(value) >= min && codePoints(value) <= max);
  if (language !== null && excluded.length === 0) {
    if (bounds.min >= min && bounds.max <= max) return automatonOf(language);
    const run = runOf(language);
    if (run !== undefined) {
      const least = Math.max(run.min, min);
      const most = Math.min(run.max, max);
      if (least > most) return null;
      return sequence(QUOTE, repeat(run.item, least, most), QUOTE);
    }
  }
  if (language === null && excluded.length === 0)
    return sequence(QUOTE, repeat(characterExpression(), min, max), QUOTE);
  let all = language ?? everything();
  if (min > bounds.min || max < bounds.max) {
    try {
      all = intersection(all, ofLength(min, max));
    } catch (error) {
      if (!(error instanceof PatternProblem) || shape.source === null || excluded.length > 0) throw error;
      return countedExpression(shape);
    }
  }
  if (excluded.length > 0) all = difference(all, ofTexts(excluded));
  return isEmpty(all) ? null : automatonOf(all);
}

/** A pattern within bounds of length, written with counters. */
function countedExpression({ source, min, max }: StringShape): Expression | null {
  const within = withinLengths(source!, min, max);
  if (within === undefined)
    throw new PatternProblem('has too many ways to be as long as the bounds of length say', true);
  return within === null ? null : sequence(QUOTE, nodeExpression(within, 'whole', SPELT_AS_JSON), QUOTE);
}

/** Objects of one schema often name the same members. */
const exceptions = new Map<string, Expression>();
const MOST_EXCEPTIONS = 100;

function exceptOf(texts: ReadonlySet<string>): Expression {
  const key = JSON.stringify([...texts].sort());
  let expression = exceptions.get(key);
  if (expression === undefined) {
    expression = { kind: 'automaton', automaton: stringsExcept(texts) };
    if (exceptions.size >= MOST_EXCEPTIONS) exceptions.clear();
    exceptions.set(key, expression);
  }
  return expression;
}

function automatonOf(language: Dfa): Expression {
  let expression = spelt.get(language);
  if (expression === undefined) {
    expression = { kind: 'automaton', automaton: byteAutomaton(language, SPELT_AS_JSON) };
    spelt.set(language, expression);
  }
  return expression;
}

/** A language that is nothing but `min` to `max` characters of one set: its lengths can be counted instead of spelt out. */
function runOf(language: Dfa): { item: Expression; min: number; max: number } | undefined {
  const { classes, next, final } = language;
  let state = 0;
  let column = -1;
  const seen: number[] = [];
  for (;;) {
    const at = seen.indexOf(state);
    if (at >= 0 && at !== seen.length - 1) return undefined;
    if (at >= 0) break;
    seen.push(state);
    let to = -1;
    for (let c = 0; c < classes; c++) {
      const target = next[state * classes + c];
      if (target < 0) continue;
      // One class, and so one target.
      if (to >= 0 || (column >= 0 && c !== column)) return undefined;
      to = target;
      column = c;
    }
    if (to < 0) break;
    state = to;
  }
  if (column < 0) return undefined;
  const looping = next[state * classes + column] === state;
  const min = seen.findIndex((one) => final[one] === 1);
  if (min < 0 || seen.slice(min).some((one) => final[one] !== 1)) return undefined;
  const one: Dfa = {
    ...language,
    next: Int32Array.from({ length: classes * 2 }, (_, i) => (i === column ? 1 : -1)),
    final: Uint8Array.from([0, 1]),
  };
  const item: Expression = { kind: 'automaton', automaton: byteAutomaton(one, { ...SPELT_AS_JSON, quoted: false }) };
  return { item, min, max: looping ? Infinity : seen.length - 1 };
}

/**
 * Keys of members that have no name: what a class holds but for the named ones, with the quotation marks. One spelling of each key, so that no escape
 * brings back a name.
 */
export function keysExpression(
  shapes: readonly StringShape[],
  names: Iterable<string>,
  path: string,
  tolerate: Tolerance,
): Expression | null {
  const taken = new Set(names);
  const left: StringShape[] = [];
  for (const shape of shapes) {
    if (shape.only !== null) {
      const only = new Set([...shape.only].filter((value) => !taken.has(value)));
      if (only.size > 0) left.push({ ...shape, only });
    } else left.push({ ...shape, not: shape.not.size === 0 ? taken : new Set([...shape.not, ...taken]) });
  }
  return left.length === 0 ? null : stringsExpression(left, path, tolerate);
}
