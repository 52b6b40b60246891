/** Automata made as small as they can be. */
import { type Dfa, statesOf } from './table.ts';

const NO_BOUNDS = new Int32Array(0);

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
  return fewestStates(trimmed({ bounds: NO_BOUNDS, classOf: NO_BOUNDS, classes, next, final }));
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
