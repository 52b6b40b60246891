/** Bounds of length put into the repetitions of an expression: counters instead of an automaton's states. */
import { ANY_CODE_POINT } from './ranges.ts';
import type { PatternNode } from './syntax.ts';

interface Width {
  readonly min: number;
  readonly max: number;
}

/** Lengths of a node's texts, in code points; undefined where it holds an anchor or a look-ahead. */
function widthOf(node: PatternNode): Width | undefined {
  switch (node.kind) {
    case 'set':
      return { min: 1, max: 1 };
    case 'repeat': {
      const one = widthOf(node.item);
      if (one === undefined) return undefined;
      return { min: one.min * node.min, max: one.max === 0 || node.max === 0 ? 0 : one.max * node.max };
    }
    case 'sequence': {
      let width: Width = { min: 0, max: 0 };
      for (const item of node.items) {
        const one = widthOf(item);
        if (one === undefined) return undefined;
        width = { min: width.min + one.min, max: width.max + one.max };
      }
      return width;
    }
    case 'choice': {
      let width: Width = { min: Infinity, max: 0 };
      for (const item of node.items) {
        const one = widthOf(item);
        if (one === undefined) return undefined;
        width = { min: Math.min(width.min, one.min), max: Math.max(width.max, one.max) };
      }
      return width;
    }
    default:
      return undefined;
  }
}

const ANYTHING: PatternNode = { kind: 'repeat', item: { kind: 'set', set: ANY_CODE_POINT }, min: 0, max: Infinity };

/**
 * The texts in which the expression finds something and that have `min` to `max` code points, as an expression of the whole text: possible where each way of the
 * expression has at most one part whose length is not given, or keeps the bounds anyway.
 * @returns null where there is no such text, undefined where it cannot be said.
 */
export function withinLengths(node: PatternNode, min: number, max: number): PatternNode | null | undefined {
  const ways: PatternNode[] = [];
  for (const way of node.kind === 'choice' ? node.items : [node]) {
    const within = wayWithin(way, min, max);
    if (within === undefined) return undefined;
    if (within !== null) ways.push(within);
  }
  if (ways.length === 0) return null;
  return ways.length === 1 ? ways[0] : { kind: 'choice', items: ways };
}

function wayWithin(way: PatternNode, min: number, max: number): PatternNode | null | undefined {
  let items = way.kind === 'sequence' ? [...way.items] : [way];
  const starts = (): boolean => items[0]?.kind === 'assert' && items[0].at === 'start';
  const ends = (): boolean => {
    const last = items[items.length - 1];
    return last?.kind === 'assert' && last.at === 'end';
  };
  const open = !starts();
  const close = !ends();
  while (starts()) items.shift();
  while (ends()) items.pop();
  items = [...(open ? [ANYTHING] : []), ...items, ...(close ? [ANYTHING] : [])];
  const widths: Width[] = [];
  for (const item of items) {
    const width = widthOf(item);
    if (width === undefined) return undefined;
    widths.push(width);
  }
  const least = widths.reduce((sum, width) => sum + width.min, 0);
  const most = widths.reduce((sum, width) => sum + width.max, 0);
  if (least > max || most < min) return null;
  if (least >= min && most <= max) return { kind: 'sequence', items };
  const varying = widths.flatMap((width, i) => (width.min === width.max ? [] : [i]));
  const [at] = varying;
  const run = items[at];
  if (varying.length !== 1 || run.kind !== 'repeat') return undefined;
  const one = widthOf(run.item)!;
  if (one.min !== one.max || one.min === 0) return undefined;
  const fixed = least - widths[at].min;
  const from = Math.max(run.min, Math.ceil((min - fixed) / one.min));
  const to = Math.min(run.max, Math.floor((max - fixed) / one.min));
  if (from > to) return null;
  return { kind: 'sequence', items: items.with(at, { ...run, min: from, max: to }) };
}
