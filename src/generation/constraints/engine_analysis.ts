/**
 * What is known of a grammar before it is compiled: equal expressions are one, with what they can write (nothing at all, the empty text) and how
 * often they stand somewhere. Nothing here is recursive: grammars may be nested 60,000 deep.
 */
import { CapacityError, SettingError } from '../../errors.ts';
import { charactersToRows, DEAD, normalRanges } from './engine_characters.ts';
import type { Automaton, Expression, Grammar } from './grammar.ts';

/** An expression with its parts as indices. */
export interface Part {
  readonly expression: Expression;
  /** Sequence, choice: the items. Repeat: item, then separator. Members: key and value of each named, of each other, then the separator. Rule: its body. */
  readonly parts: readonly number[];
  /** Nodes that it would take to write it out, at most {@link LARGE}. */
  size: number;
  /** Whether it writes any text at all. */
  productive: boolean;
  nullable: boolean;
  /** Places where it stands, in what can be reached from the start. */
  uses: number;
  /** Whether no rule stands in it. */
  plain: boolean;
  /** Of characters. */
  readonly rows?: ReturnType<typeof charactersToRows>;
}

export interface Analysis {
  readonly parts: readonly Part[];
  readonly start: number;
}

export const LARGE = 1 << 20;
const MOST_PARTS = 4_000_000;

/** @throws SettingError where a rule is not there, a number makes no sense, or no text follows the grammar. */
export function analyse(grammar: Grammar): Analysis {
  const parts: Part[] = [];
  const start = collect(grammar, parts);
  solve(parts, 'productive');
  if (!parts[start].productive) {
    throw new SettingError('grammar', grammar.start, 'is a rule that no finite text follows');
  }
  solve(parts, 'nullable');
  measure(parts, start);
  return { parts, start };
}

/** Numbers the expressions, equal ones alike, parts before wholes except through rules. Returns that of the start rule. */
function collect(grammar: Grammar, parts: Part[]): number {
  const byObject = new Map<Expression, number>();
  const byKey = new Map<string, number>();
  const automata = new Map<Automaton, number>();
  const ruleIndex = new Map<string, number>();
  const bodies: [index: number, body: Expression][] = [];

  const add = (expression: Expression, key: string | null, list: readonly number[], size: number): number => {
    const known = key === null ? undefined : byKey.get(key);
    if (known !== undefined) return known;
    if (parts.length >= MOST_PARTS) throw new CapacityError('grammar', parts.length + 1, MOST_PARTS, 'expressions');
    const index = parts.length;
    if (key !== null) byKey.set(key, index);
    const rows = expression.kind === 'characters' ? charactersToRows(normalRanges(expression.ranges)) : undefined;
    const own = rows === undefined ? size : rows.count;
    const plain = expression.kind !== 'rule';
    parts.push({ expression, parts: list, size: own, productive: false, nullable: false, uses: 0, plain, rows });
    return index;
  };
  const rule = (name: string): number => {
    let index = ruleIndex.get(name);
    if (index !== undefined) return index;
    const body = grammar.rules.get(name);
    if (body === undefined) throw new SettingError('grammar', name, 'is a rule that the grammar does not define');
    index = add({ kind: 'rule', name }, null, [], 1);
    ruleIndex.set(name, index);
    bodies.push([index, body]);
    return index;
  };
  const childrenOf = (expression: Expression): readonly Expression[] => {
    switch (expression.kind) {
      case 'sequence':
      case 'choice':
        return expression.items;
      case 'repeat':
        return expression.separator === undefined ? [expression.item] : [expression.item, expression.separator];
      case 'members': {
        const list: Expression[] = [];
        for (const { key, value } of expression.named) list.push(key, value);
        for (const { key, value } of expression.others) list.push(key, value);
        list.push(expression.separator);
        return list;
      }
      default:
        return [];
    }
  };
  const closed = (expression: Expression): number => {
    const list = childrenOf(expression).map((child) => byObject.get(child)!);
    switch (expression.kind) {
      case 'bytes':
        return add(
          expression,
          expression.bytes.length > 64 ? null : `b${expression.bytes.join()}`,
          list,
          expression.bytes.length,
        );
      case 'characters':
        return add(expression, `c${expression.ranges.join(';')}`, list, 1);
      case 'automaton': {
        const { automaton } = expression;
        let id = automata.get(automaton);
        if (id === undefined) {
          id = automata.size;
          automata.set(automaton, id);
        }
        return add(expression, `a${id}`, list, automaton.final.length);
      }
      case 'sequence':
        return add(expression, `s${list.join()}`, list, 0);
      case 'choice':
        return add(expression, `o${list.join()}`, list, 1);
      case 'repeat': {
        const { min, max } = expression;
        if (!Number.isInteger(min) || min < 0) throw new SettingError('min', min, 'must be a whole number from 0');
        if (max !== Number.POSITIVE_INFINITY && !Number.isInteger(max)) {
          throw new SettingError('max', max, 'must be a whole number or Infinity');
        }
        return add(expression, `r${min},${max},${list.join()}`, list, 2);
      }
      case 'members': {
        const required = expression.named.map((member) => (member.required ? 1 : 0)).join('');
        return add(expression, `m${expression.min},${expression.max},${required},${list.join()}`, list, 4);
      }
      case 'rule':
        return rule(expression.name);
    }
  };
  const visit = (root: Expression) => {
    const stack: Expression[] = [root];
    const opened = new Set<Expression>();
    while (stack.length > 0) {
      const expression = stack[stack.length - 1];
      if (byObject.has(expression)) {
        stack.pop();
        continue;
      }
      if (opened.has(expression)) {
        stack.pop();
        byObject.set(expression, closed(expression));
        continue;
      }
      opened.add(expression);
      for (const child of childrenOf(expression)) {
        if (byObject.has(child)) continue;
        if (opened.has(child)) throw new SettingError('grammar', child.kind, 'is an expression that contains itself');
        stack.push(child);
      }
    }
  };
  const first = rule(grammar.start);
  for (let i = 0; i < bodies.length; i++) {
    const [index, body] = bodies[i];
    visit(body);
    (parts[index].parts as number[]).push(byObject.get(body)!);
  }
  return first;
}

/** What has to hold of other parts so that something holds of this one. */
type Demand =
  | boolean
  | { readonly any: boolean; readonly of: readonly number[] }
  /** Asked again whenever one of the parts is found to be so. */
  | { readonly when: (holds: (part: number) => boolean) => boolean; readonly of: readonly number[] };

function productiveWhen({ expression, parts, rows }: Part): Demand {
  switch (expression.kind) {
    case 'bytes':
      return true;
    case 'characters':
      return rows!.next.subarray(0, 256).some((target) => target !== DEAD);
    case 'automaton':
      return usefulStates(expression.automaton)[0] === 1;
    case 'sequence':
    case 'rule':
      return { any: false, of: parts };
    case 'choice':
      return { any: true, of: parts };
    case 'repeat':
      if (expression.min > expression.max) return false;
      if (expression.min === 0) return true;
      return { any: false, of: expression.min === 1 ? parts.slice(0, 1) : parts };
    case 'members': {
      const { named, others, min, max } = expression;
      const required = named.filter((member) => member.required).length;
      if (required > max || min > max || (others.length === 0 && min > named.length)) return false;
      const needed = named.flatMap((member, i) => (member.required ? [parts[2 * i], parts[2 * i + 1]] : []));
      if (Math.max(required, min) > 1) needed.push(parts[parts.length - 1]);
      if (min <= required) return { any: false, of: needed };
      const when = (holds: (part: number) => boolean) => {
        if (!needed.every(holds)) return false;
        let count = 0;
        for (let i = 0; i < named.length + others.length; i++) {
          if (!holds(parts[2 * i]) || !holds(parts[2 * i + 1])) continue;
          if (i >= named.length || ++count >= min) return true;
        }
        return false;
      };
      return { when, of: parts };
    }
  }
}

function nullableWhen({ expression, parts, productive }: Part): Demand {
  if (!productive) return false;
  switch (expression.kind) {
    case 'bytes':
      return expression.bytes.length === 0;
    case 'characters':
      return false;
    case 'automaton':
      return expression.automaton.final[0] === 1;
    case 'sequence':
    case 'rule':
      return { any: false, of: parts };
    case 'choice':
      return { any: true, of: parts };
    case 'repeat':
      if (expression.min === 0) return true;
      return { any: false, of: expression.min === 1 ? parts.slice(0, 1) : parts };
    case 'members':
      return expression.min === 0 && expression.named.every((member) => !member.required);
  }
}

/** The least solution, in time proportional to the grammar (but for members of which a number is needed, whichever they are). */
function solve(parts: readonly Part[], what: 'productive' | 'nullable'): void {
  const missing = new Int32Array(parts.length);
  const users: number[][] = parts.map(() => []);
  const again = new Map<number, () => boolean>();
  const ready: number[] = [];
  const holds = (part: number) => parts[part][what];
  parts.forEach((part, i) => {
    const demand = what === 'productive' ? productiveWhen(part) : nullableWhen(part);
    if (demand === true) ready.push(i);
    else if (demand !== false) {
      if ('when' in demand) again.set(i, () => demand.when(holds));
      else if (demand.any) missing[i] = 1;
      else {
        missing[i] = demand.of.length;
        if (demand.of.length === 0) ready.push(i);
      }
      for (const other of demand.of) users[other].push(i);
    }
  });
  while (ready.length > 0) {
    const i = ready.pop()!;
    if (parts[i][what]) continue;
    parts[i][what] = true;
    for (const user of users[i]) {
      const ask = again.get(user);
      if (ask === undefined ? --missing[user] === 0 : ask()) ready.push(user);
    }
  }
}

function measure(parts: readonly Part[], start: number): void {
  for (const part of parts) {
    if (part.expression.kind === 'rule') continue;
    for (const child of part.parts) part.size = Math.min(LARGE, part.size + parts[child].size);
    part.plain = part.parts.every((child) => parts[child].plain);
  }
  const seen = new Uint8Array(parts.length);
  const stack = [start];
  seen[start] = 1;
  parts[start].uses = 2;
  while (stack.length > 0) {
    for (const child of parts[stack.pop()!].parts) {
      parts[child].uses++;
      if (seen[child] === 1) continue;
      seen[child] = 1;
      stack.push(child);
    }
  }
}

const useful = new WeakMap<Automaton, Uint8Array>();

/** 1 for each state from which a complete text can be reached. */
export function usefulStates(automaton: Automaton): Uint8Array {
  let marks = useful.get(automaton);
  if (marks !== undefined) return marks;
  const { next, final } = automaton;
  const count = final.length;
  if (count === 0 || next.length !== 256 * count) {
    throw new SettingError('automaton', count, `must have states, and 256 targets for each, not ${next.length} in all`);
  }
  marks = new Uint8Array(count);
  // The edges backwards: for each state those that lead to it, each once for a run of equal targets.
  const heads = new Int32Array(count).fill(-1);
  const links: number[] = [];
  const from: number[] = [];
  for (let state = 0; state < count; state++) {
    let last = -1;
    for (let byte = 0; byte < 256; byte++) {
      const target = next[256 * state + byte];
      if (target === last) continue;
      last = target;
      if (target < -1 || target >= count) throw new SettingError('automaton', target, 'is not a state of it');
      if (target < 0) continue;
      links.push(heads[target]);
      from.push(state);
      heads[target] = links.length - 1;
    }
  }
  const stack: number[] = [];
  for (let state = 0; state < count; state++) {
    if (final[state] === 0) continue;
    marks[state] = 1;
    stack.push(state);
  }
  while (stack.length > 0) {
    for (let link = heads[stack.pop()!]; link >= 0; link = links[link]) {
      const state = from[link];
      if (marks[state] === 1) continue;
      marks[state] = 1;
      stack.push(state);
    }
  }
  useful.set(automaton, marks);
  return marks;
}
