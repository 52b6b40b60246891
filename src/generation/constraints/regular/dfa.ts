/**
 * Deterministic automata over code points, and the algebra of their languages. Code points that no transition tells apart form a class, so that a table
 * has a column for each class and not for each of 1,114,112 code points.
 */
import { minimal } from './minimal.ts';
import { PatternProblem } from './problem.ts';
import type { Ranges } from './ranges.ts';
import { bounded, type Dfa, MOST_STATES, statesOf } from './table.ts';

export type { Dfa };
export { statesOf };

export function isEmpty(dfa: Dfa): boolean {
  return dfa.final.indexOf(1) < 0;
}

/** Splits all code points so that each set is a union of classes. */
export function partition(sets: readonly Ranges[]): {
  bounds: Int32Array;
  classOf: Int32Array;
  classes: number;
  /** The classes of each set. */
  members: number[][];
} {
  const cuts = new Set<number>([0, 0xd800, 0xe000]);
  for (const set of sets) {
    for (let i = 0; i < set.length; i += 2) {
      cuts.add(set[i]);
      if (set[i + 1] < 0x10ffff) cuts.add(set[i + 1] + 1);
    }
  }
  const bounds = Int32Array.from(cuts).sort();
  // Sets are told apart by a running hash of their members: two intervals with the same sets over them are of one class.
  const marks: number[][] = Array.from({ length: bounds.length }, () => []);
  const place = new Map<number, number>();
  for (let i = 0; i < bounds.length; i++) place.set(bounds[i], i);
  for (let s = 0; s < sets.length; s++) {
    for (let r = 0; r < sets[s].length; r += 2) {
      for (let i = place.get(sets[s][r])!; i < bounds.length && bounds[i] <= sets[s][r + 1]; i++) marks[i].push(s);
    }
  }
  const ids = new Map<string, number>();
  const members: number[][] = sets.map(() => []);
  const classOf = new Int32Array(bounds.length);
  let classes = 1;
  for (let i = 0; i < bounds.length; i++) {
    if (bounds[i] === 0xd800) continue;
    const key = marks[i].join();
    let id = ids.get(key);
    if (id === undefined) {
      id = classes++;
      ids.set(key, id);
      for (const s of marks[i]) members[s].push(id);
    }
    classOf[i] = id;
  }
  return { bounds, classOf, classes, members };
}

/** The language of all texts. */
export function everything(): Dfa {
  return {
    bounds: Int32Array.from([0, 0xd800, 0xe000]),
    classOf: Int32Array.from([1, 0, 1]),
    classes: 2,
    next: Int32Array.from([-1, 0]),
    final: Uint8Array.from([1]),
  };
}

/** The language of texts whose length in code points is within bounds (max may be Infinity). */
export function ofLength(min: number, max: number): Dfa {
  const states = (max === Infinity ? min : max) + 1;
  if (states > MOST_STATES) throw new PatternProblem(`asks for a length of ${states - 1}`, true);
  const next = new Int32Array(states * 2).fill(-1);
  const final = new Uint8Array(states);
  for (let s = 0; s < states; s++) {
    next[s * 2 + 1] = s + 1 < states ? s + 1 : max === Infinity ? s : -1;
    if (s >= min) final[s] = 1;
  }
  return { ...everything(), next, final };
}

/** The language of a few texts. */
export function ofTexts(texts: Iterable<string>): Dfa {
  const trie: Map<number, number>[] = [new Map()];
  const ends: number[] = [];
  const points = new Set<number>();
  for (const text of texts) {
    let at = 0;
    for (const character of text) {
      const code = character.codePointAt(0)!;
      points.add(code);
      let to = trie[at].get(code);
      if (to === undefined) {
        to = trie.length;
        trie.push(new Map());
        trie[at].set(code, to);
        if (trie.length > MOST_STATES) throw new PatternProblem('has too many texts', true);
      }
      at = to;
    }
    ends.push(at);
  }
  const sorted = [...points].filter((code) => code < 0xd800 || code > 0xdfff).sort((a, b) => a - b);
  const split = partition(sorted.map((code) => [code, code]));
  const column = new Map<number, number>();
  for (let i = 0; i < sorted.length; i++) column.set(sorted[i], split.members[i][0]);
  bounded(trie.length, split.classes);
  const next = new Int32Array(trie.length * split.classes).fill(-1);
  const final = new Uint8Array(trie.length);
  for (let s = 0; s < trie.length; s++) {
    for (const [code, to] of trie[s]) {
      const c = column.get(code);
      if (c !== undefined) next[s * split.classes + c] = to;
    }
  }
  for (const end of ends) final[end] = 1;
  return minimal({ bounds: split.bounds, classOf: split.classOf, classes: split.classes, next, final });
}

/** Both automata at once; `keep` says of a pair whether it is final. A side that has died is -1 and goes on when `keep` can be true without it. */
function product(a: Dfa, b: Dfa, needA: boolean, needB: boolean, keep: (a: boolean, b: boolean) => boolean): Dfa {
  const cuts = new Set<number>([...a.bounds, ...b.bounds]);
  const bounds = Int32Array.from(cuts).sort();
  const classOf = new Int32Array(bounds.length);
  const pairIds = new Map<number, number>();
  const pairA = [0];
  const pairB = [0];
  let i = 0;
  let j = 0;
  for (let k = 0; k < bounds.length; k++) {
    while (i + 1 < a.bounds.length && a.bounds[i + 1] <= bounds[k]) i++;
    while (j + 1 < b.bounds.length && b.bounds[j + 1] <= bounds[k]) j++;
    if (bounds[k] === 0xd800) continue;
    const key = a.classOf[i] * b.classes + b.classOf[j];
    let id = pairIds.get(key);
    if (id === undefined) {
      id = pairA.length;
      pairIds.set(key, id);
      pairA.push(a.classOf[i]);
      pairB.push(b.classOf[j]);
    }
    classOf[k] = id;
  }
  const classes = pairA.length;
  const states = new Map<number, number>([[encode(0, 0), 0]]);
  const lefts = [0];
  const rights = [0];
  function encode(x: number, y: number): number {
    return (x + 1) * (MOST_STATES + 2) * 2 + (y + 1);
  }
  const rows: number[] = [];
  const finals: number[] = [];
  for (let s = 0; s < lefts.length; s++) {
    const x = lefts[s];
    const y = rights[s];
    finals.push(keep(x >= 0 && a.final[x] === 1, y >= 0 && b.final[y] === 1) ? 1 : 0);
    rows.push(-1);
    for (let c = 1; c < classes; c++) {
      const tx = x < 0 ? -1 : a.next[x * a.classes + pairA[c]];
      const ty = y < 0 ? -1 : b.next[y * b.classes + pairB[c]];
      if ((tx < 0 && (needA || ty < 0)) || (ty < 0 && (needB || tx < 0))) {
        if (tx < 0 && ty < 0 && keep(false, false)) throw new RangeError('complement first');
        rows.push(-1);
        continue;
      }
      const key = encode(tx, ty);
      let to = states.get(key);
      if (to === undefined) {
        to = lefts.length;
        states.set(key, to);
        lefts.push(tx);
        rights.push(ty);
        bounded(lefts.length, classes);
      }
      rows.push(to);
    }
  }
  return minimal({ bounds, classOf, classes, next: Int32Array.from(rows), final: Uint8Array.from(finals) });
}

export function intersection(a: Dfa, b: Dfa): Dfa {
  return product(a, b, true, true, (x, y) => x && y);
}

export function union(a: Dfa, b: Dfa): Dfa {
  return product(a, b, false, false, (x, y) => x || y);
}

/** What is in `a` and not in `b`. */
export function difference(a: Dfa, b: Dfa): Dfa {
  return product(a, b, true, false, (x, y) => x && !y);
}

export function complement(a: Dfa): Dfa {
  return difference(everything(), a);
}

/** The class of a code point. */
export function classAt(dfa: Dfa, code: number): number {
  let low = 0;
  let high = dfa.bounds.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (dfa.bounds[middle] <= code) low = middle;
    else high = middle - 1;
  }
  return dfa.classOf[low];
}

export function accepts(dfa: Dfa, text: string): boolean {
  let state = 0;
  for (const character of text) {
    state = dfa.next[state * dfa.classes + classAt(dfa, character.codePointAt(0)!)];
    if (state < 0) return false;
  }
  return dfa.final[state] === 1;
}

/** Least and greatest length of a text of the language, in code points; Infinity where there is no greatest. An empty language has min Infinity. */
export function lengths(dfa: Dfa): { min: number; max: number } {
  const n = statesOf(dfa);
  const k = dfa.classes;
  let min = Infinity;
  let level = new Set<number>([0]);
  const seen = new Set<number>([0]);
  for (let length = 0; level.size > 0; length++) {
    const following = new Set<number>();
    for (const s of level) {
      if (dfa.final[s] === 1) min = Math.min(min, length);
      for (let c = 0; c < k; c++) {
        const to = dfa.next[s * k + c];
        if (to >= 0 && !seen.has(to)) {
          seen.add(to);
          following.add(to);
        }
      }
    }
    if (min < Infinity) break;
    level = following;
  }
  if (min === Infinity) return { min, max: -Infinity };
  // Longest path, by depth-first search without recursion; a way back means a cycle. All states lead to an end.
  const longest = new Int32Array(n).fill(-1);
  const colour = new Uint8Array(n);
  const stack = [0];
  while (stack.length > 0) {
    const s = stack[stack.length - 1];
    if (colour[s] === 0) {
      colour[s] = 1;
      for (let c = 0; c < k; c++) {
        const to = dfa.next[s * k + c];
        if (to < 0) continue;
        if (colour[to] === 1) return { min, max: Infinity };
        if (colour[to] === 0) stack.push(to);
      }
    } else {
      stack.pop();
      if (colour[s] === 2) continue;
      colour[s] = 2;
      let best = 0;
      for (let c = 0; c < k; c++) {
        const to = dfa.next[s * k + c];
        if (to >= 0) best = Math.max(best, longest[to] + 1);
      }
      longest[s] = best;
    }
  }
  return { min, max: longest[0] };
}

/** The texts of the language when there are at most `most`. */
export function textsOf(dfa: Dfa, most: number): string[] | undefined {
  if (lengths(dfa).max === Infinity) return undefined;
  const texts: string[] = [];
  const walk = (state: number, text: string): boolean => {
    if (dfa.final[state] === 1) {
      if (texts.length === most) return false;
      texts.push(text);
    }
    for (let i = 0; i < dfa.bounds.length; i++) {
      const to = dfa.next[state * dfa.classes + dfa.classOf[i]];
      if (to < 0) continue;
      const end = i + 1 < dfa.bounds.length ? dfa.bounds[i + 1] : 0x110000;
      for (let code = dfa.bounds[i]; code < end; code++) {
        if (!walk(to, text + String.fromCodePoint(code))) return false;
      }
    }
    return true;
  };
  return lengths(dfa).max > 200 || !walk(0, '') ? undefined : texts;
}
