/** From automata over code points to automata over the bytes of UTF-8, raw or as the inside of a JSON string with its escapes. */
import type { Automaton } from '../grammar.ts';
import { PatternProblem } from './problem.ts';
import { type Dfa, statesOf } from './table.ts';

export interface Spelling {
  /** With quotation marks around. */
  readonly quoted: boolean;
  /** As inside a JSON string: `"`, `\` and control characters only as escapes. */
  readonly escapes: boolean;
  /** Which characters `\u` escapes are for: every one; those outside ASCII, which writers of plain ASCII escape, and control characters; these alone. */
  readonly unicode: 'all' | 'wide' | 'control';
}

export const RAW: Spelling = { quoted: false, escapes: false, unicode: 'control' };
export const SPELT_AS_JSON: Spelling = { quoted: true, escapes: true, unicode: 'wide' };

const MOST_STATES = 30_000;
/** Automata of more states do without the escapes that are not needed: each takes a dozen states at every place. */
const MOST_FOR_WIDE = 60;
const SHORT: readonly (readonly [string, number])[] = [
  ['"', 0x22],
  ['\\', 0x5c],
  ['/', 0x2f],
  ['b', 8],
  ['f', 12],
  ['n', 10],
  ['r', 13],
  ['t', 9],
];

/** @throws PatternProblem when the automaton would be too large. */
export function byteAutomaton(dfa: Dfa, spelling: Spelling): Automaton {
  return new Builder(dfa, spelling).build();
}

class Builder {
  private readonly rows: (Int32Array | undefined)[] = [];
  private readonly finals: number[] = [];
  /** Equal inner states are one: by what they lead to. */
  private readonly inner = new Map<string, number>();
  private readonly dfa: Dfa;
  /** Characters from the space up to before this one are not escaped with `\u`. */
  private readonly plain: number;

  constructor(
    dfa: Dfa,
    private readonly spelling: Spelling,
  ) {
    this.dfa = dfa;
    this.plain =
      spelling.unicode === 'all' ? 0 : spelling.unicode === 'wide' && statesOf(dfa) <= MOST_FOR_WIDE ? 0x7f : 0x110000;
  }

  build(): Automaton {
    const { dfa, spelling } = this;
    const n = statesOf(dfa);
    // States 0 … n - 1 are the automaton's own, at the edges of characters.
    for (let s = 0; s < n; s++) {
      this.rows.push(undefined);
      this.finals.push(dfa.final[s]);
    }
    for (let s = 0; s < n; s++) this.rows[s] = this.row(s);
    let start = 0;
    if (spelling.quoted) {
      const end = this.rows.length;
      this.rows.push(new Int32Array(256).fill(-1));
      for (let s = 0; s < n; s++) {
        if (dfa.final[s] === 1) this.rows[s]![0x22] = end;
        this.finals[s] = 0;
      }
      this.finals[end] = 1;
      start = this.rows.length;
      const row = new Int32Array(256).fill(-1);
      row[0x22] = 0;
      this.rows.push(row);
      this.finals[start] = 0;
    }
    const count = this.rows.length;
    const next = new Int32Array(count * 256);
    const final = new Uint8Array(count);
    const renamed = (s: number): number => (s === start ? 0 : s === 0 ? start : s);
    for (let s = 0; s < count; s++) {
      const row = this.rows[s]!;
      for (let b = 0; b < 256; b++) next[renamed(s) * 256 + b] = row[b] < 0 ? -1 : renamed(row[b]);
      final[renamed(s)] = this.finals[s] ?? 0;
    }
    // Equal inner states were made once, and the given states are unlike: there are no fewer.
    return { next, final };
  }

  private row(s: number): Int32Array {
    const row = new Int32Array(256).fill(-1);
    const { escapes } = this.spelling;
    for (let b = 0; b < 0x80; b++) {
      if (!escapes || (b >= 0x20 && b !== 0x22 && b !== 0x5c)) row[b] = this.target(s, b);
    }
    for (let b = 0xc2; b < 0xe0; b++) row[b] = this.block(s, (b & 0x1f) << 6, 1, 0x80);
    for (let b = 0xe0; b < 0xf0; b++) row[b] = this.block(s, (b & 0x0f) << 12, 2, 0x800);
    for (let b = 0xf0; b < 0xf5; b++) row[b] = this.block(s, (b & 0x07) << 18, 3, 0x10000);
    if (escapes) row[0x5c] = this.escape(s);
    return row;
  }

  private target(s: number, code: number): number {
    return this.dfa.next[s * this.dfa.classes + this.dfa.classOf[this.intervalOf(code)]];
  }

  private intervalOf(code: number): number {
    const { bounds } = this.dfa;
    let low = 0;
    let high = bounds.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (bounds[middle] <= code) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The target that all of [low, high] lead to, or undefined where they differ. */
  private uniform(s: number, low: number, high: number): number | undefined {
    const { bounds, classOf, classes, next } = this.dfa;
    let i = this.intervalOf(low);
    const first = next[s * classes + classOf[i]];
    for (i++; i < bounds.length && bounds[i] <= high; i++) {
      if (next[s * classes + classOf[i]] !== first) return undefined;
    }
    return first;
  }

  /** The state before `left` continuation bytes, for the code points from `low`; those below `floor` would be too long, those above the last do not exist. */
  private block(s: number, low: number, left: number, floor: number): number {
    const size = 64 ** left;
    const high = low + size - 1;
    if (high < floor || low > 0x10ffff) return -1;
    if (low >= floor && high <= 0x10ffff) {
      const all = this.uniform(s, low, high);
      if (all !== undefined) return this.same(left, all);
    }
    const part = size / 64;
    const targets: number[] = [];
    for (let b = 0; b < 64; b++) {
      const from = low + b * part;
      if (from < floor || from > 0x10ffff) targets.push(-1);
      else targets.push(left === 1 ? this.target(s, from) : this.block(s, from, left - 1, floor));
    }
    return this.interned(0x80, targets);
  }

  /** Continuations that all lead to one state. */
  private same(left: number, target: number): number {
    if (target < 0) return -1;
    let to = target;
    for (let i = 0; i < left; i++) {
      const inner = to;
      to = this.find(`c${inner}`, () => new Int32Array(256).fill(-1).fill(inner, 0x80, 0xc0));
    }
    return to;
  }

  private escape(s: number): number {
    const targets = SHORT.map(([, code]) => this.target(s, code));
    const unicode = this.hex(s, 0, 4);
    if (unicode < 0 && targets.every((to) => to < 0)) return -1;
    return this.find(`e${targets.join()},${unicode}`, () => {
      const row = new Int32Array(256).fill(-1);
      SHORT.forEach(([letter], i) => {
        row[letter.charCodeAt(0)] = targets[i];
      });
      row[0x75] = unicode;
      return row;
    });
  }

  /** The state before `left` hexadecimal digits of a `\u` escape, for units from `low`. */
  private hex(s: number, low: number, left: number): number {
    const size = 16 ** left;
    const high = low + size - 1;
    const plain = this.plain;
    if (low >= 0x20 && high < plain) return -1;
    if (low >= plain && (high < 0xd800 || low > 0xdfff)) {
      const all = this.uniform(s, low, high);
      if (all !== undefined) return this.sameHex(left, all);
    }
    if (low >= 0xd800 && high < 0xdc00) {
      // High surrogates: each leads to the low ones of its 1,024 characters.
      const all = this.uniform(s, astral(low), astral(high) + 0x3ff);
      if (all !== undefined) return all < 0 ? -1 : this.sameHex(left, this.lowHalf(s, astral(low)));
    }
    if (left === 0) {
      if (low >= 0xdc00 && low < 0xe000) return -1;
      if (low >= 0xd800 && low < 0xdc00) return this.lowHalf(s, astral(low));
      return low < 0x20 || low >= plain ? this.target(s, low) : -1;
    }
    const targets: number[] = [];
    for (let d = 0; d < 16; d++) targets.push(this.hex(s, low + (d * size) / 16, left - 1));
    return this.hexDigits(targets);
  }

  /** After a high surrogate: `\u` and a low one. */
  private lowHalf(s: number, base: number): number {
    const part = (from: number, left: number): number => {
      const all = this.uniform(s, base + from, base + from + 16 ** left - 1);
      if (all !== undefined) return this.sameHex(left, all);
      const targets: number[] = [];
      for (let d = 0; d < 16; d++) targets.push(part(from + d * 16 ** (left - 1), left - 1));
      return this.hexDigits(targets);
    };
    const second = new Array<number>(16).fill(-1);
    for (let d = 0; d < 4; d++) second[0xc + d] = part(d * 0x100, 2);
    const first = new Array<number>(16).fill(-1);
    first[0xd] = this.hexDigits(second);
    const u = this.hexDigits(first);
    if (u < 0) return -1;
    return this.single(0x5c, this.single(0x75, u));
  }

  private single(byte: number, to: number): number {
    return this.find(`${byte}>${to}`, () => {
      const row = new Int32Array(256).fill(-1);
      row[byte] = to;
      return row;
    });
  }

  private sameHex(left: number, target: number): number {
    if (target < 0) return -1;
    let to = target;
    for (let i = 0; i < left; i++) {
      const inner = to;
      to = this.find(`x${inner}`, () => this.hexRow(new Array<number>(16).fill(inner)));
    }
    return to;
  }

  private hexDigits(targets: readonly number[]): number {
    if (targets.every((to) => to < 0)) return -1;
    if (targets.every((to) => to === targets[0])) return this.sameHex(1, targets[0]);
    return this.find(`h${targets.join()}`, () => this.hexRow(targets));
  }

  private hexRow(targets: readonly number[]): Int32Array {
    const row = new Int32Array(256).fill(-1);
    targets.forEach((to, d) => {
      const lower = d.toString(16);
      row[lower.charCodeAt(0)] = to;
      row[lower.toUpperCase().charCodeAt(0)] = to;
    });
    return row;
  }

  private interned(from: number, targets: readonly number[]): number {
    if (targets.every((to) => to < 0)) return -1;
    if (targets.every((to) => to === targets[0])) return this.same(1, targets[0]);
    return this.find(targets.join(), () => {
      const row = new Int32Array(256).fill(-1);
      targets.forEach((to, i) => {
        row[from + i] = to;
      });
      return row;
    });
  }

  private find(key: string, make: () => Int32Array): number {
    let id = this.inner.get(key);
    if (id === undefined) {
      id = this.entered(make());
      this.inner.set(key, id);
    }
    return id;
  }

  private entered(row: Int32Array): number {
    if (this.rows.length >= MOST_STATES)
      throw new PatternProblem(`needs an automaton of more than ${MOST_STATES} states`, true);
    this.rows.push(row);
    this.finals.push(0);
    return this.rows.length - 1;
  }
}

/** The first character of those that a high surrogate begins. */
function astral(high: number): number {
  return 0x10000 + (high - 0xd800) * 0x400;
}
