/**
 * The vocabulary: token strings by id and ids by token string.
 *
 * All strings lie in one pool of UTF-16 units, and one open-addressing table finds them, so that a vocabulary of 50,000
 * tokens costs about a megabyte and a few milliseconds instead of 50,000 objects. The table hashes unit by unit, which
 * lets callers look up any range of a text without cutting a string out of it.
 */

import { TextList } from '../weights/lists.ts';
import { unitsOfList, unitsOfTexts } from './units.ts';

const HASH_SEED = 0x811c9dc5;

/** One step of the sequential hash (FNV-1a over 16-bit units). */
function hashStep(hash: number, unit: number): number {
  return Math.imul(hash ^ unit, 0x01000193);
}

function finish(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return mixed ^ (mixed >>> 13);
}

export class Vocabulary {
  /** One more than the largest id. Ids in between may be unused. */
  readonly size: number;
  /** Units of the longest token. */
  readonly longest: number;
  private readonly pool: Uint16Array;
  private readonly starts: Uint32Array;
  private readonly table: Int32Array;
  private readonly mask: number;
  /** 1 where a token may not be found in text: special tokens and the names of byte tokens. */
  private readonly hidden: Uint8Array;

  /**
   * @param tokens the token strings; `undefined` where an id has none. When two ids share a string the later one wins.
   * @throws FileFormatError when a list of a file holds what is not UTF-8.
   */
  constructor(tokens: ArrayLike<string | undefined> | TextList) {
    this.size = tokens.length;
    const { units, starts } = tokens instanceof TextList ? unitsOfList(tokens) : unitsOfTexts(tokens);
    this.pool = units;
    this.starts = starts;
    let capacity = 16;
    while (capacity < this.size * 2) capacity *= 2;
    this.mask = capacity - 1;
    this.table = new Int32Array(capacity).fill(-1);
    this.hidden = new Uint8Array(this.size);
    let longest = 0;
    for (let id = 0; id < this.size; id++) {
      const [start, end] = [starts[id], starts[id + 1]];
      if (start === end) continue;
      if (end - start > longest) longest = end - start;
      let hash = HASH_SEED;
      for (let i = start; i < end; i++) hash = hashStep(hash, units[i]);
      this.insert(finish(hash), id, start, end);
    }
    this.longest = longest;
  }

  /** The string of a token; empty where the id has none. */
  text(id: number): string {
    const start = this.starts[id];
    const end = this.starts[id + 1];
    let text = '';
    for (let i = start; i < end; i++) text += String.fromCharCode(this.pool[i]);
    return text;
  }

  /** Length of a token's string in UTF-16 units; 0 where the id has none. */
  unitLength(id: number): number {
    return this.starts[id + 1] - this.starts[id];
  }

  /** The unit at a place of a token's string. */
  unitAt(id: number, index: number): number {
    return this.pool[this.starts[id] + index];
  }

  /** Keeps a token out of {@link find} and {@link findUnits}; {@link idOf} still knows it. */
  hide(id: number): void {
    if (id >= 0 && id < this.size) this.hidden[id] = 1;
  }

  isHidden(id: number): boolean {
    return this.hidden[id] === 1;
  }

  /** The id of a token by its name, or -1. */
  idOf(token: string): number {
    return this.lookup(token, 0, token.length);
  }

  /** The id of the visible token that equals text[start, end), or -1. */
  find(text: string, start = 0, end = text.length): number {
    if (end - start > this.longest) return -1;
    const id = this.lookup(text, start, end);
    return id >= 0 && this.hidden[id] === 1 ? -1 : id;
  }

  /** The id of the visible token that equals units[start, end), or -1. */
  findUnits(units: Uint16Array, start: number, end: number): number {
    if (end - start > this.longest) return -1;
    const id = this.lookupUnits(units, start, end);
    return id >= 0 && this.hidden[id] === 1 ? -1 : id;
  }

  /** The id of the token, hidden or not, that equals units[start, end), or -1. */
  lookupUnits(units: Uint16Array, start: number, end: number): number {
    const length = end - start;
    let hash = HASH_SEED;
    for (let i = start; i < end; i++) hash = hashStep(hash, units[i]);
    for (let slot = finish(hash) & this.mask; ; slot = (slot + 1) & this.mask) {
      const id = this.table[slot];
      if (id < 0) return -1;
      const from = this.starts[id];
      if (this.starts[id + 1] - from !== length) continue;
      let i = 0;
      while (i < length && this.pool[from + i] === units[start + i]) i++;
      if (i === length) return id;
    }
  }

  /** The id of the token whose string is `left` followed by `right` without its first `skip` units, or -1. */
  idOfJoined(left: number, right: number, skip = 0): number {
    const a = this.starts[left];
    const aLength = this.starts[left + 1] - a;
    const b = this.starts[right] + skip;
    const bLength = Math.max(0, this.starts[right + 1] - b);
    let hash = HASH_SEED;
    for (let i = 0; i < aLength; i++) hash = hashStep(hash, this.pool[a + i]);
    for (let i = 0; i < bLength; i++) hash = hashStep(hash, this.pool[b + i]);
    for (let slot = finish(hash) & this.mask; ; slot = (slot + 1) & this.mask) {
      const id = this.table[slot];
      if (id < 0) return -1;
      const from = this.starts[id];
      if (this.starts[id + 1] - from !== aLength + bLength) continue;
      let i = 0;
      while (i < aLength && this.pool[from + i] === this.pool[a + i]) i++;
      if (i < aLength) continue;
      while (i < aLength + bLength && this.pool[from + i] === this.pool[b + i - aLength]) i++;
      if (i === aLength + bLength) return id;
    }
  }

  /** The id of the token, hidden or not, that equals text[start, end), or -1. */
  lookup(text: string, start: number, end: number): number {
    const length = end - start;
    let hash = HASH_SEED;
    for (let i = start; i < end; i++) hash = hashStep(hash, text.charCodeAt(i));
    for (let slot = finish(hash) & this.mask; ; slot = (slot + 1) & this.mask) {
      const id = this.table[slot];
      if (id < 0) return -1;
      const from = this.starts[id];
      if (this.starts[id + 1] - from !== length) continue;
      let i = 0;
      while (i < length && this.pool[from + i] === text.charCodeAt(start + i)) i++;
      if (i === length) return id;
    }
  }

  private insert(hash: number, id: number, start: number, end: number): void {
    const length = end - start;
    for (let slot = hash & this.mask; ; slot = (slot + 1) & this.mask) {
      const other = this.table[slot];
      if (other < 0) {
        this.table[slot] = id;
        return;
      }
      const from = this.starts[other];
      if (this.starts[other + 1] - from !== length) continue;
      let i = 0;
      while (i < length && this.pool[from + i] === this.pool[start + i]) i++;
      if (i === length) {
        this.table[slot] = id;
        return;
      }
    }
  }
}
