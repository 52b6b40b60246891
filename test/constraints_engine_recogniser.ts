/**
 * The definition of a grammar's language, written for clarity: which parts of a text an expression can be, by repeating until nothing new is found. What
 * the engine does fast is held against it.
 */
import type { Expression, Grammar } from '../src/generation/constraints/grammar.ts';

interface Reading {
  /** Where a reading that began at the position may end. */
  readonly ends: Set<number>;
  /** Whether the rest of the text is the beginning of something that the expression can be. */
  open: boolean;
}

export interface Recogniser {
  /** Whether any text follows the grammar. */
  readonly productive: boolean;
  accepts(text: readonly number[]): boolean;
  /** Whether the text can be continued to one that the grammar accepts, or is one. */
  opens(text: readonly number[]): boolean;
}

export function recogniser(grammar: Grammar): Recogniser {
  const productive = productiveRules(grammar);
  const read = (text: readonly number[]) => {
    const memo = new Map<string, Reading>();
    const asked = new Map<string, [Expression, number]>();
    let changed = true;
    const rule = (name: string, at: number): Reading => {
      const key = `${name}@${at}`;
      if (!memo.has(key)) {
        memo.set(key, { ends: new Set(), open: false });
        asked.set(key, [grammar.rules.get(name)!, at]);
        changed = true;
      }
      return memo.get(key)!;
    };
    rule(grammar.start, 0);
    while (changed) {
      changed = false;
      for (const [key, [body, at]] of [...asked]) {
        const found = readAt(body, at, text, rule, productive);
        const known = memo.get(key)!;
        for (const end of found.ends) {
          if (known.ends.has(end)) continue;
          known.ends.add(end);
          changed = true;
        }
        if (found.open && !known.open) {
          known.open = true;
          changed = true;
        }
      }
    }
    return memo.get(`${grammar.start}@0`)!;
  };
  return {
    productive: productive.has(grammar.start),
    accepts: (text) => read(text).ends.has(text.length),
    opens: (text) => read(text).open,
  };
}

function productiveRules(grammar: Grammar): Set<string> {
  const names = new Set<string>();
  for (let before = -1; before !== names.size; ) {
    before = names.size;
    for (const [name, body] of grammar.rules) if (isProductive(body, names)) names.add(name);
  }
  return names;
}

function isProductive(e: Expression, rules: ReadonlySet<string>): boolean {
  switch (e.kind) {
    case 'bytes':
      return true;
    case 'characters':
      return e.ranges.some(([first, last]) => first <= last && !(first >= 0xd800 && last <= 0xdfff));
    case 'sequence':
      return e.items.every((item) => isProductive(item, rules));
    case 'choice':
      return e.items.some((item) => isProductive(item, rules));
    case 'repeat':
      if (e.min > e.max) return false;
      if (e.min === 0) return true;
      return (
        isProductive(e.item, rules) && (e.min === 1 || e.separator === undefined || isProductive(e.separator, rules))
      );
    case 'members': {
      const can = (m: { key: Expression; value: Expression }) =>
        isProductive(m.key, rules) && isProductive(m.value, rules);
      const required = e.named.filter((m) => m.required);
      const usable = e.others.some(can) ? Number.POSITIVE_INFINITY : e.named.filter(can).length;
      return required.every(can) && required.length <= e.max && e.min <= e.max && e.min <= usable;
    }
    case 'automaton': {
      const seen = new Set([0]);
      for (const state of seen) {
        if (e.automaton.final[state] === 1) return true;
        for (let byte = 0; byte < 256; byte++) {
          const next = e.automaton.next[256 * state + byte];
          if (next >= 0) seen.add(next);
        }
      }
      return false;
    }
    case 'rule':
      return rules.has(e.name);
  }
}

function utf8Of(code: number): number[] {
  return [...new TextEncoder().encode(String.fromCodePoint(code))];
}

function readAt(
  e: Expression,
  at: number,
  text: readonly number[],
  rule: (name: string, at: number) => Reading,
  rules: ReadonlySet<string>,
): Reading {
  const result: Reading = { ends: new Set(), open: false };
  if (!isProductive(e, rules)) return result;
  const read = (inner: Expression, from: number) => readAt(inner, from, text, rule, rules);
  const word = (bytes: readonly number[]) => {
    let i = 0;
    while (i < bytes.length && at + i < text.length && text[at + i] === bytes[i]) i++;
    if (i === bytes.length) result.ends.add(at + i);
    if (at + i === text.length) result.open = true;
  };
  switch (e.kind) {
    case 'bytes':
      word([...e.bytes]);
      break;
    case 'characters':
      for (const [first, last] of e.ranges) {
        for (let code = first; code <= last; code++) if (code < 0xd800 || code > 0xdfff) word(utf8Of(code));
      }
      break;
    case 'sequence': {
      let from = new Set([at]);
      for (const item of e.items) {
        const to = new Set<number>();
        for (const place of from) {
          const one = read(item, place);
          for (const end of one.ends) to.add(end);
          if (one.open) result.open = true;
        }
        from = to;
      }
      for (const end of from) result.ends.add(end);
      if (from.has(text.length)) result.open = true;
      break;
    }
    case 'choice':
      for (const item of e.items) merge(result, read(item, at));
      break;
    case 'repeat': {
      // More items than bytes are items of nothing: those that are missing may be, if one may be.
      let from = new Set([at]);
      if (e.min === 0) {
        result.ends.add(at);
        if (at === text.length) result.open = true;
      }
      const seen = new Set<string>();
      for (let count = 1; count <= e.max; count++) {
        const key = `${count === 1}:${Math.min(count, e.min)}:${[...from].sort().join()}`;
        if (count > e.min && seen.has(key)) break;
        seen.add(key);
        const to = new Set<number>();
        for (const place of from) {
          let starts = new Set([place]);
          if (count > 1 && e.separator !== undefined) {
            const between = read(e.separator, place);
            if (between.open && isProductive(e.item, rules)) result.open = true;
            starts = between.ends;
          }
          for (const start of starts) {
            const one = read(e.item, start);
            for (const end of one.ends) to.add(end);
            if (one.open) result.open = true;
          }
        }
        if (count >= e.min) {
          for (const end of to) result.ends.add(end);
          if (to.has(text.length)) result.open = true;
        }
        from = to;
        if (from.size === 0) break;
      }
      break;
    }
    case 'members': {
      const can = (m: { key: Expression; value: Expression }) =>
        isProductive(m.key, rules) && isProductive(m.value, rules);
      const named = e.named.map((m, i) => ({ m, i })).filter(({ m }) => can(m));
      const others = e.others.filter(can);
      const visit = (place: number, written: ReadonlySet<number>, count: number) => {
        const missing = named.filter(({ m, i }) => m.required && !written.has(i)).length;
        if (missing === 0 && count >= e.min) {
          result.ends.add(place);
          if (place === text.length) result.open = true;
        }
        if (count >= e.max) return;
        const next: { key: Expression; value: Expression; set: ReadonlySet<number>; left: number }[] = [];
        for (const { m, i } of named) {
          if (written.has(i)) continue;
          next.push({ ...m, set: new Set([...written, i]), left: m.required ? missing - 1 : missing });
        }
        for (const m of others) next.push({ ...m, set: written, left: missing });
        for (const { key, value, set, left } of next) {
          if (count + 1 + left > e.max) continue;
          const starts = count === 0 ? { ends: new Set([place]), open: false } : read(e.separator, place);
          if (starts.open) result.open = true;
          for (const start of starts.ends) {
            const k = read(key, start);
            if (k.open) result.open = true;
            for (const middle of k.ends) {
              const v = read(value, middle);
              if (v.open) result.open = true;
              for (const end of v.ends) if (end > place) visit(end, set, count + 1);
            }
          }
        }
      };
      visit(at, new Set(), 0);
      break;
    }
    case 'automaton': {
      const { next, final } = e.automaton;
      const usable = (state: number) => isProductiveFrom(e.automaton, state);
      let state = 0;
      for (let i = at; ; i++) {
        if (!usable(state)) break;
        if (final[state] === 1) result.ends.add(i);
        if (i === text.length) {
          result.open = true;
          break;
        }
        state = next[256 * state + text[i]];
        if (state < 0) break;
      }
      break;
    }
    case 'rule':
      merge(result, rule(e.name, at));
  }
  return result;
}

function isProductiveFrom(automaton: { next: Int32Array; final: Uint8Array }, from: number): boolean {
  const seen = new Set([from]);
  for (const state of seen) {
    if (automaton.final[state] === 1) return true;
    for (let byte = 0; byte < 256; byte++) {
      const next = automaton.next[256 * state + byte];
      if (next >= 0) seen.add(next);
    }
  }
  return false;
}

function merge(into: Reading, from: Reading): void {
  for (const end of from.ends) into.ends.add(end);
  if (from.open) into.open = true;
}
