/** How JSON values are spelt: white space, strings and texts as expressions over bytes. */
import type { Automaton, Expression } from '../grammar.ts';
import { byteAutomaton, SPELT_AS_JSON } from '../regular/bytes.ts';
import { everything } from '../regular/dfa.ts';

/**
 * White space between the parts of a text: `none`; `plain`, what usual writers make (a space after colons and commas, or a new line with indentation where
 * JSON.stringify and its like break lines); `flexible`, up to 64 characters of it wherever JSON allows some.
 */
export type Whitespace = 'none' | 'plain' | 'flexible';

export interface Layout {
  /** Around the whole text. */
  readonly margin: Expression;
  /** After an opening bracket, and before a closing one. */
  readonly inside: Expression;
  readonly comma: Expression;
  readonly colon: Expression;
}

const encoder = new TextEncoder();

export function text(value: string): Expression {
  return { kind: 'bytes', bytes: encoder.encode(value) };
}

export const NOTHING_WRITTEN: Expression = { kind: 'sequence', items: [] };

export function sequence(...items: Expression[]): Expression {
  const kept = items.filter((item) => item !== NOTHING_WRITTEN);
  return kept.length === 1 ? kept[0] : { kind: 'sequence', items: kept };
}

export function choice(items: readonly Expression[]): Expression {
  return items.length === 1 ? items[0] : { kind: 'choice', items };
}

export function repeat(item: Expression, min: number, max: number, separator?: Expression): Expression {
  return separator === undefined ? { kind: 'repeat', item, min, max } : { kind: 'repeat', item, min, max, separator };
}

export function layout(whitespace: Whitespace): Layout {
  if (whitespace === 'none') {
    return { margin: NOTHING_WRITTEN, inside: NOTHING_WRITTEN, comma: text(','), colon: text(':') };
  }
  if (whitespace === 'plain') {
    const line = choice([
      sequence(text('\n'), repeat(text(' '), 0, 64)),
      sequence(text('\n'), repeat(text('\t'), 1, 32)),
    ]);
    return {
      margin: NOTHING_WRITTEN,
      inside: repeat(line, 0, 1),
      comma: sequence(text(','), choice([NOTHING_WRITTEN, text(' '), line])),
      colon: sequence(text(':'), repeat(text(' '), 0, 1)),
    };
  }
  const space = repeat(
    {
      kind: 'characters',
      ranges: [
        [9, 10],
        [13, 13],
        [32, 32],
      ],
    },
    0,
    64,
  );
  return {
    margin: space,
    inside: space,
    comma: sequence(space, text(','), space),
    colon: sequence(space, text(':'), space),
  };
}

let anyString: Expression | undefined;
let anyCharacter: Expression | undefined;

/** A string with its quotation marks: every character raw or as any escape that JSON has for it. */
export function stringExpression(): Expression {
  anyString ??= { kind: 'automaton', automaton: byteAutomaton(everything(), { ...SPELT_AS_JSON, unicode: 'all' }) };
  return anyString;
}

/** One character inside a string. */
export function characterExpression(): Expression {
  if (anyCharacter === undefined) {
    const all = everything();
    const one = { ...all, next: Int32Array.from([-1, 1, -1, -1]), final: Uint8Array.from([0, 1]) };
    anyCharacter = {
      kind: 'automaton',
      automaton: byteAutomaton(one, { quoted: false, escapes: true, unicode: 'all' }),
    };
  }
  return anyCharacter;
}

/** One of several texts: common beginnings are shared, so that few alternatives are open at a time. */
export function oneOfTexts(texts: Iterable<string>): Expression {
  const sorted = [...new Set(texts)].map((value) => encoder.encode(value)).sort(compareBytes);
  return shared(sorted, 0);
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

/** Sorted texts that agree up to `from`. Recursion goes one level deeper only where texts part, at most 64 deep. */
function shared(texts: readonly Uint8Array[], from: number, depth = 0): Expression {
  const first = texts[0];
  if (texts.length === 1) return { kind: 'bytes', bytes: first.subarray(from) };
  if (depth === 64) return choice(texts.map((one) => ({ kind: 'bytes', bytes: one.subarray(from) })));
  const last = texts[texts.length - 1];
  let to = from;
  while (to < first.length && to < last.length && first[to] === last[to]) to++;
  const parts: Expression[] = [];
  let start = 0;
  if (first.length === to) {
    parts.push(NOTHING_WRITTEN);
    start = 1;
  }
  for (let i = start; i <= texts.length; i++) {
    if (i === texts.length || (i > start && texts[i][to] !== texts[start][to])) {
      if (i > start) parts.push(shared(texts.slice(start, i), to, depth + 1));
      start = i;
    }
  }
  const tail = choice(parts);
  return to === from ? tail : sequence({ kind: 'bytes', bytes: first.subarray(from, to) }, tail);
}

/**
 * Strings that are none of these texts, with their quotation marks, in the one spelling that has no needless escapes (another spelling of a text would be
 * that text again).
 */
export function stringsExcept(texts: Iterable<string>): Automaton {
  const rows: Int32Array[] = [];
  const finals: number[] = [];
  const state = (final = 0): number => {
    rows.push(new Int32Array(256).fill(-1));
    finals.push(final);
    return rows.length - 1;
  };
  const start = state();
  const end = state(1);
  const body = state();
  const sets = (from: number, low: number, high: number, to: number): void => {
    rows[from].fill(to, low, high + 1);
  };
  // Continuations of UTF-8: one, two, three bytes left; then those whose second byte is bounded.
  const one = state();
  const two = state();
  const three = state();
  sets(one, 0x80, 0xbf, body);
  sets(two, 0x80, 0xbf, one);
  sets(three, 0x80, 0xbf, two);
  const e0 = state();
  sets(e0, 0xa0, 0xbf, one);
  const ed = state();
  sets(ed, 0x80, 0x9f, one);
  const f0 = state();
  sets(f0, 0x90, 0xbf, two);
  const f4 = state();
  sets(f4, 0x80, 0x8f, two);
  const escaped = state();
  for (const letter of '"\\bfnrt') rows[escaped][letter.charCodeAt(0)] = body;
  // \u00 and a control character that has no letter.
  const u = state();
  const u0 = state();
  const u00 = state();
  const low = state();
  const high = state();
  rows[escaped][0x75] = u;
  rows[u][0x30] = u0;
  rows[u0][0x30] = u00;
  rows[u00][0x30] = low;
  rows[u00][0x31] = high;
  for (const digit of '01234567bef') rows[low][digit.charCodeAt(0)] = body;
  for (const digit of '0123456789abcdef') rows[high][digit.charCodeAt(0)] = body;
  const anything = (from: number): void => {
    sets(from, 0x20, 0x7f, body);
    rows[from][0x22] = end;
    rows[from][0x5c] = escaped;
    sets(from, 0xc2, 0xdf, one);
    sets(from, 0xe1, 0xef, two);
    sets(from, 0xf1, 0xf3, three);
    rows[from][0xe0] = e0;
    rows[from][0xed] = ed;
    rows[from][0xf0] = f0;
    rows[from][0xf4] = f4;
  };
  anything(body);
  // A trie over the excluded spellings: it goes beside the general states until a text parts from all of them.
  const root = state();
  anything(root);
  rows[start][0x22] = root;
  const branches: Map<number, number>[] = [];
  for (const value of texts) {
    let at = root;
    for (const byte of encoder.encode(JSON.stringify(value).slice(1, -1))) {
      branches[at] ??= new Map();
      let to = branches[at].get(byte);
      if (to === undefined) {
        to = state();
        branches[at].set(byte, to);
        const otherwise = rows[at][byte];
        if (otherwise >= 0) rows[to].set(rows[otherwise]);
        rows[at][byte] = to;
      }
      at = to;
    }
    rows[at][0x22] = -1;
  }
  const next = new Int32Array(rows.length * 256);
  for (let s = 0; s < rows.length; s++) next.set(rows[s], s * 256);
  return { next, final: Uint8Array.from(finals) };
}
