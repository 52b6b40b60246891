/**
 * Deterministic automata over code points, and the algebra of their languages. Code points that no transition tells apart form a class, so that a table
 * has a column for each class and not for each of 1,114,112 code points.
 */
import { PatternProblem } from './problem.ts';
import type { Ranges } from './ranges.ts';

/** State 0 is the start; there is always one. */
export interface Dfa {
  /** Interval i is from bounds[i] up to before bounds[i + 1]; bounds[0] is 0 and the last interval ends at 0x10ffff. */
  readonly bounds: Int32Array;
  /** The class of each interval. Class 0 is that of the surrogates, which are in no text. */
  readonly classOf: Int32Array;
  readonly classes: number;
  /** next[state * classes + class]; -1 where the text can no longer become one of the language. */
  readonly next: Int32Array;
  readonly final: Uint8Array;
}

/** The size at which work on an automaton is given up: about 0.1 s. */
export const MOST_STATES = 6000;
const MOST_CELLS = 2_000_000;

export function statesOf(dfa: Dfa): number {
  return dfa.final.length;
}

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

export function bounded(states: number, classes: number): void {
  if (states > MOST_STATES || states * classes > MOST_CELLS) {
    throw new PatternProblem(`needs an automaton of more than ${Math.min(MOST_STATES, states - 1)} states`, true);
  }
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

/** Fewest states and classes; every state is reachable and leads to an end, but for a start that leads nowhere. */
export function minimal(dfa: Dfa): Dfa {
  return fewestClasses(fewestStates(trimmed(dfa)));
}

/** The same over any table of transitions, whatever its columns mean. */
export function minimalTable(
  next: Int32Array,
  classes: number,
  final: Uint8Array,
): { next: Int32Array; final: Uint8Array } {
  return fewestStates(trimmed({ ...everything(), classes, next, final }));
}

function trimmed(dfa: Dfa): Dfa {
  const n = statesOf(dfa);
  const k = dfa.classes;
  const reached = new Uint8Array(n);
  const order = [0];
  reached[0] = 1;
  for (let q = 0; q < order.length; q++) {
    for (let c = 0; c < k; c++) {
      const to = dfa.next[order[q] * k + c];
      if (to >= 0 && reached[to] === 0) {
        reached[to] = 1;
        order.push(to);
      }
    }
  }
  const alive = reaching(dfa, order);
  const id = new Int32Array(n).fill(-1);
  let count = 0;
  for (const s of order) if (alive[s] === 1 || s === 0) id[s] = count++;
  const next = new Int32Array(count * k).fill(-1);
  const final = new Uint8Array(count);
  for (const s of order) {
    if (id[s] < 0) continue;
    final[id[s]] = dfa.final[s];
    for (let c = 0; c < k; c++) {
      const to = dfa.next[s * k + c];
      if (to >= 0 && alive[to] === 1) next[id[s] * k + c] = id[to];
    }
  }
  return { ...dfa, next, final };
}

/** Which of these states lead to an end. */
function reaching(dfa: Dfa, states: readonly number[]): Uint8Array {
  const k = dfa.classes;
  const into: number[][] = [];
  for (const s of states) {
    for (let c = 0; c < k; c++) {
      const to = dfa.next[s * k + c];
      if (to >= 0) {
        into[to] ??= [];
        if (into[to][into[to].length - 1] !== s) into[to].push(s);
      }
    }
  }
  const alive = new Uint8Array(statesOf(dfa));
  const stack: number[] = [];
  for (const s of states) {
    if (dfa.final[s] === 1) {
      alive[s] = 1;
      stack.push(s);
    }
  }
  while (stack.length > 0) {
    for (const from of into[stack.pop()!] ?? []) {
      if (alive[from] === 0) {
        alive[from] = 1;
        stack.push(from);
      }
    }
  }
  return alive;
}

/** Hopcroft, "An n log n algorithm for minimizing states in a finite automaton" (1971); the dead state is block-less and stays -1. */
function fewestStates(dfa: Dfa): Dfa {
  const n = statesOf(dfa) + 1;
  const k = dfa.classes;
  const dead = n - 1;
  if (n <= 2) return dfa;
  // Predecessors by class, in one array.
  const count = new Int32Array(n * k + 1);
  for (let s = 0; s < n; s++) {
    for (let c = 0; c < k; c++) count[target(s, c) * k + c + 1]++;
  }
  for (let i = 0; i < n * k; i++) count[i + 1] += count[i];
  const fill = count.slice();
  const before = new Int32Array(n * k);
  for (let s = 0; s < n; s++) {
    for (let c = 0; c < k; c++) before[fill[target(s, c) * k + c]++] = s;
  }
  function target(s: number, c: number): number {
    if (s === dead) return dead;
    const to = dfa.next[s * k + c];
    return to < 0 ? dead : to;
  }
  // Blocks are stretches of `elements`.
  const elements = new Int32Array(n);
  const placeOf = new Int32Array(n);
  const blockOf = new Int32Array(n);
  const from: number[] = [];
  const to: number[] = [];
  const marked: number[] = [];
  let filled = 0;
  for (const wanted of [0, 1]) {
    const start = filled;
    for (let s = 0; s < n; s++) {
      if ((s === dead ? 0 : dfa.final[s]) !== wanted) continue;
      elements[filled] = s;
      placeOf[s] = filled++;
      blockOf[s] = from.length;
    }
    if (filled > start) {
      from.push(start);
      to.push(filled);
      marked.push(0);
    }
  }
  const waiting: number[] = [];
  const isWaiting = new Set<number>();
  const enqueue = (block: number, c: number): void => {
    const key = block * k + c;
    if (!isWaiting.has(key)) {
      isWaiting.add(key);
      waiting.push(key);
    }
  };
  for (let c = 0; c < k; c++) for (let b = 0; b < from.length; b++) enqueue(b, c);
  while (waiting.length > 0) {
    const key = waiting.pop()!;
    isWaiting.delete(key);
    const splitter = Math.floor(key / k);
    const c = key % k;
    const touched: number[] = [];
    const members = elements.slice(from[splitter], to[splitter]);
    for (const s of members) {
      for (let p = count[s * k + c]; p < count[s * k + c + 1]; p++) {
        const state = before[p];
        const block = blockOf[state];
        const limit = from[block] + marked[block];
        if (placeOf[state] < limit) continue;
        if (marked[block] === 0) touched.push(block);
        const other = elements[limit];
        elements[placeOf[state]] = other;
        placeOf[other] = placeOf[state];
        elements[limit] = state;
        placeOf[state] = limit;
        marked[block]++;
      }
    }
    for (const block of touched) {
      const size = marked[block];
      marked[block] = 0;
      if (size === to[block] - from[block]) continue;
      const fresh = from.length;
      // The smaller part becomes the new block.
      if (size * 2 <= to[block] - from[block]) {
        from.push(from[block]);
        to.push(from[block] + size);
        from[block] += size;
      } else {
        from.push(from[block] + size);
        to.push(to[block]);
        to[block] = from[block] + size;
      }
      marked.push(0);
      for (let p = from[fresh]; p < to[fresh]; p++) blockOf[elements[p]] = fresh;
      for (let d = 0; d < k; d++) enqueue(fresh, d);
    }
  }
  // Number blocks so that the start's is 0.
  const id = new Map<number, number>([[blockOf[0], 0]]);
  const representatives = [0];
  for (let s = 0; s < dead; s++) {
    if (blockOf[s] === blockOf[dead] && s !== 0) continue;
    if (!id.has(blockOf[s])) {
      id.set(blockOf[s], representatives.length);
      representatives.push(s);
    }
  }
  const next = new Int32Array(representatives.length * k).fill(-1);
  const final = new Uint8Array(representatives.length);
  representatives.forEach((s, i) => {
    final[i] = dfa.final[s];
    for (let c = 0; c < k; c++) {
      const t = target(s, c);
      if (t !== dead && blockOf[t] !== blockOf[dead]) next[i * k + c] = id.get(blockOf[t])!;
    }
  });
  return { ...dfa, next, final };
}

function fewestClasses(dfa: Dfa): Dfa {
  const n = statesOf(dfa);
  const k = dfa.classes;
  const ids = new Map<string, number>();
  const kept: number[] = [0];
  const renamed = new Int32Array(k);
  for (let c = 1; c < k; c++) {
    const column: number[] = [];
    for (let s = 0; s < n; s++) column.push(dfa.next[s * k + c]);
    const key = column.join();
    let id = ids.get(key);
    if (id === undefined) {
      id = kept.length;
      ids.set(key, id);
      kept.push(c);
    }
    renamed[c] = id;
  }
  const bounds: number[] = [];
  const classOf: number[] = [];
  for (let i = 0; i < dfa.bounds.length; i++) {
    const id = renamed[dfa.classOf[i]];
    if (classOf.length > 0 && classOf[classOf.length - 1] === id) continue;
    bounds.push(dfa.bounds[i]);
    classOf.push(id);
  }
  const next = new Int32Array(n * kept.length);
  for (let s = 0; s < n; s++)
    for (let c = 0; c < kept.length; c++) next[s * kept.length + c] = dfa.next[s * k + kept[c]];
  return {
    bounds: Int32Array.from(bounds),
    classOf: Int32Array.from(classOf),
    classes: kept.length,
    next,
    final: dfa.final,
  };
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
