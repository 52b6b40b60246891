/** Regular expressions as grammar expressions with counters: for repetitions that an automaton would have to spell out. */
import type { Expression } from '../grammar.ts';
import { byteAutomaton, type Spelling } from './bytes.ts';
import type { Anchoring } from './determinise.ts';
import { type Dfa, partition } from './dfa.ts';
import { PatternProblem } from './problem.ts';
import { ANY_CODE_POINT, type Ranges } from './ranges.ts';
import type { PatternNode } from './syntax.ts';

const MOST_COUNT = 1_000_000_000;

/**
 * The texts of an expression, in a spelling (without quotation marks). Anchors are understood at its ends.
 * @throws PatternProblem where it holds anything that only an automaton can express.
 */
export function nodeExpression(node: PatternNode, anchoring: Anchoring, spelling: Spelling): Expression {
  const inner = { ...spelling, quoted: false };
  const characters = new Map<string, Expression>();
  const character = (set: Ranges): Expression => {
    const key = set.join();
    let expression = characters.get(key);
    if (expression === undefined) {
      expression = { kind: 'automaton', automaton: byteAutomaton(one(set), inner) };
      characters.set(key, expression);
    }
    return expression;
  };
  const any: Expression = { kind: 'repeat', item: character(ANY_CODE_POINT), min: 0, max: Infinity };
  const inside = (item: PatternNode): Expression => {
    switch (item.kind) {
      case 'set':
        return character(item.set);
      case 'sequence':
      case 'choice':
        return { kind: item.kind, items: item.items.map(inside) };
      case 'repeat':
        if (item.min > MOST_COUNT || (item.max > MOST_COUNT && item.max < Infinity))
          throw new PatternProblem(`repeats more than ${MOST_COUNT} times`);
        return { kind: 'repeat', item: inside(item.item), min: item.min, max: item.max };
      case 'assert':
        throw new PatternProblem('has an anchor inside an expression with too many repetitions for an automaton');
      case 'look':
        throw new PatternProblem('has a look-ahead in an expression with too many repetitions for an automaton');
    }
  };
  const outer = (way: PatternNode): Expression => {
    if (way.kind === 'choice') return { kind: 'choice', items: way.items.map(outer) };
    const items = way.kind === 'sequence' ? [...way.items] : [way];
    let open = anchoring === 'search';
    let close = anchoring === 'search';
    while (items.length > 0 && isAssert(items[0], 'start')) {
      items.shift();
      open = false;
    }
    while (items.length > 0 && isAssert(items[items.length - 1], 'end')) {
      items.pop();
      close = false;
    }
    const middle = items.map(inside);
    return { kind: 'sequence', items: [...(open ? [any] : []), ...middle, ...(close ? [any] : [])] };
  };
  return outer(node);
}

function isAssert(node: PatternNode, at: string): boolean {
  return node.kind === 'assert' && node.at === at;
}

/** One character of a set. */
function one(set: Ranges): Dfa {
  const split = partition([set]);
  const next = new Int32Array(split.classes * 2).fill(-1);
  for (const c of split.members[0]) next[c] = 1;
  return { bounds: split.bounds, classOf: split.classOf, classes: split.classes, next, final: Uint8Array.from([0, 1]) };
}
