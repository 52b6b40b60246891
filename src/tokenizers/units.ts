/** Many texts as UTF-16 units in one pool: what tables of tokens are built from, without a string for each. */
import type { TextList } from '../weights/lists.ts';

export interface UnitPool {
  /** Text `i` is `units[starts[i], starts[i + 1])`. */
  readonly units: Uint16Array;
  readonly starts: Uint32Array;
}

/** @param texts `undefined` counts as empty. */
export function unitsOfTexts(texts: ArrayLike<string | undefined>): UnitPool {
  let total = 0;
  for (let i = 0; i < texts.length; i++) total += texts[i]?.length ?? 0;
  const units = new Uint16Array(total);
  const starts = new Uint32Array(texts.length + 1);
  let at = 0;
  for (let i = 0; i < texts.length; i++) {
    starts[i] = at;
    const text = texts[i] ?? '';
    for (let k = 0; k < text.length; k++) units[at++] = text.charCodeAt(k);
  }
  starts[texts.length] = at;
  return { units, starts };
}

/** @throws FileFormatError when a text is not UTF-8. */
export function unitsOfList(list: TextList): UnitPool {
  const { bytes, length } = list;
  // No text has more units than bytes.
  let total = 0;
  for (let i = 0; i < length; i++) total += list.ends[i] - list.starts[i];
  const units = new Uint16Array(total);
  const starts = new Uint32Array(length + 1);
  let at = 0;
  for (let i = 0; i < length; i++) {
    starts[i] = at;
    const next = decode(bytes, list.starts[i], list.ends[i], units, at);
    if (next >= 0) at = next;
    else {
      const text = list.at(i);
      for (let k = 0; k < text.length; k++) units[at++] = text.charCodeAt(k);
    }
  }
  starts[length] = at;
  return { units, starts };
}

/** Writes the units of characters of up to two bytes, all that most vocabularies have, and answers the end of them; -1 when there are others. */
function decode(bytes: Uint8Array, start: number, end: number, units: Uint16Array, at: number): number {
  for (let i = start; i < end; ) {
    const byte = bytes[i++];
    if (byte < 0x80) units[at++] = byte;
    else {
      const low = i < end ? bytes[i++] : 0;
      if (byte < 0xc2 || byte > 0xdf || (low & 0xc0) !== 0x80) return -1;
      units[at++] = ((byte & 31) << 6) | (low & 63);
    }
  }
  return at;
}
