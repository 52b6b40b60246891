/**
 * The tokens of a vocabulary as a tree of their bytes, laid out depth first: a walk goes forward through flat arrays, and what lies below a byte that
 * may not come is passed over in one step.
 */
import type { ConstraintVocabulary } from './types.ts';

/** Node 0 is the root; a node's children follow it, each before its next sibling. */
export interface TokenTrie {
  /** How many nodes there are. */
  readonly count: number;
  /** The byte that leads to a node. */
  readonly byte: Uint8Array;
  /** How many bytes lead to a node. */
  readonly depth: Uint16Array;
  /** The first node that is not below a node. */
  readonly skip: Int32Array;
  /** Tokens that end at node i: tokens[first[i]] to tokens[first[i + 1] - 1]; one entry more than nodes. */
  readonly first: Int32Array;
  readonly tokens: Int32Array;
  readonly deepest: number;
  /** The child of the root for each byte, or -1. */
  readonly roots: Int32Array;
}

/** Tokens of more bytes are left out: none is known, and depths stay small. */
const LONGEST_TOKEN = 4096;

const known = new WeakMap<ConstraintVocabulary, TokenTrie>();

/** The tree of a vocabulary, built at the first call. */
export function trieOf(vocabulary: ConstraintVocabulary): TokenTrie {
  let trie = known.get(vocabulary);
  if (trie === undefined) {
    trie = buildTrie(vocabulary);
    known.set(vocabulary, trie);
  }
  return trie;
}

function buildTrie(vocabulary: ConstraintVocabulary): TokenTrie {
  const texts: Uint8Array[] = [];
  const ids: number[] = [];
  let total = 1;
  let deepest = 0;
  for (let id = 0; id < vocabulary.size; id++) {
    const bytes = vocabulary.bytesOf(id);
    if (bytes === null || bytes.length === 0 || bytes.length > LONGEST_TOKEN) continue;
    ids.push(id);
    texts.push(bytes);
    total += bytes.length;
    if (bytes.length > deepest) deepest = bytes.length;
  }
  // The first five bytes as one number decide nearly every comparison.
  const heads = Float64Array.from(texts, (bytes) => {
    let head = 0;
    for (let i = 0; i < 6; i++) head = head * 257 + (i < bytes.length ? bytes[i] + 1 : 0);
    return head;
  });
  const order = Uint32Array.from(ids.keys());
  order.sort((a, b) => heads[a] - heads[b] || compare(texts[a], texts[b]) || a - b);

  const byte = new Uint8Array(total);
  const depth = new Uint16Array(total);
  const skip = new Int32Array(total);
  const first = new Int32Array(total + 1);
  const tokens = new Int32Array(order.length);
  const path = new Int32Array(deepest + 1);
  let count = 1;
  let last: Uint8Array = new Uint8Array(0);
  order.forEach((index, place) => {
    const bytes = texts[index];
    let shared = 0;
    const limit = Math.min(last.length, bytes.length);
    while (shared < limit && last[shared] === bytes[shared]) shared++;
    for (let d = last.length; d > shared; d--) skip[path[d]] = count;
    for (let d = shared + 1; d <= bytes.length; d++) {
      byte[count] = bytes[d - 1];
      depth[count] = d;
      first[count] = place;
      path[d] = count++;
    }
    tokens[place] = ids[index];
    last = bytes;
  });
  for (let d = last.length; d >= 0; d--) skip[path[d]] = count;
  first[count] = order.length;
  return {
    count,
    byte: byte.slice(0, count),
    depth: depth.slice(0, count),
    skip: skip.slice(0, count),
    first: first.slice(0, count + 1),
    tokens,
    deepest,
    roots: rootsOf(byte, skip, count),
  };
}

function rootsOf(byte: ArrayLike<number>, skip: ArrayLike<number>, count: number): Int32Array {
  const roots = new Int32Array(256).fill(-1);
  for (let child = 1; child < count; child = skip[child]) roots[byte[child]] = child;
  return roots;
}

function compare(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

/**
 * The tree of what follows any of the nodes, with the tokens that end there.
 * @param step what may follow: the number of a state after a byte, or -1.
 */
export function suffixTrie(
  trie: TokenTrie,
  nodes: readonly number[],
  start: number,
  step: (state: number, byte: number) => number,
): TokenTrie {
  const byte: number[] = [0];
  const depth: number[] = [0];
  const skip: number[] = [0];
  const first: number[] = [0];
  const tokens: number[] = [];
  let deepest = 0;
  const addTokens = (list: readonly number[]) => {
    for (const node of list) for (let i = trie.first[node]; i < trie.first[node + 1]; i++) tokens.push(trie.tokens[i]);
  };
  interface Level {
    readonly node: number;
    readonly bytes: readonly number[];
    readonly lists: readonly (readonly number[])[];
    readonly states: readonly number[];
    next: number;
  }
  const open = (node: number, list: readonly number[], state: number): Level => {
    const bytes: number[] = [];
    const lists: number[][] = [];
    const states: number[] = [];
    for (const parent of list) {
      for (let child = parent + 1; child < trie.skip[parent]; child = trie.skip[child]) {
        const value = trie.byte[child];
        const next = step(state, value);
        if (next < 0) continue;
        const at = bytes.indexOf(value);
        if (at >= 0) lists[at].push(child);
        else {
          bytes.push(value);
          lists.push([child]);
          states.push(next);
        }
      }
    }
    return { node, bytes, lists, states, next: 0 };
  };
  const stack: Level[] = [open(0, nodes, start)];
  while (stack.length > 0) {
    const level = stack[stack.length - 1];
    if (level.next === level.bytes.length) {
      skip[level.node] = byte.length;
      stack.pop();
      continue;
    }
    const which = level.next++;
    const node = byte.length;
    byte.push(level.bytes[which]);
    depth.push(stack.length);
    skip.push(0);
    first.push(tokens.length);
    if (stack.length > deepest) deepest = stack.length;
    addTokens(level.lists[which]);
    stack.push(open(node, level.lists[which], level.states[which]));
  }
  first.push(tokens.length);
  return {
    count: byte.length,
    byte: new Uint8Array(byte),
    depth: new Uint16Array(depth),
    skip: new Int32Array(skip),
    first: new Int32Array(first),
    tokens: new Int32Array(tokens),
    deepest,
    roots: rootsOf(byte, skip, byte.length),
  };
}
