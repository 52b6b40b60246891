/** Sets of code points as sorted inclusive ranges, flat: [low, high, low, high, …]. Lone surrogates are in no set: UTF-8 cannot write them. */

export type Ranges = readonly number[];

export const LAST_CODE_POINT = 0x10ffff;
export const ANY_CODE_POINT: Ranges = [0, 0xd7ff, 0xe000, LAST_CODE_POINT];

/** Sorted, merged, without surrogates. */
export function ranges(pairs: readonly (readonly [number, number])[]): Ranges {
  const sorted = [...pairs].sort((a, b) => a[0] - b[0]);
  const merged: number[] = [];
  for (const [low, high] of sorted) {
    if (merged.length > 0 && low <= merged[merged.length - 1] + 1) {
      if (high > merged[merged.length - 1]) merged[merged.length - 1] = high;
    } else merged.push(low, high);
  }
  return common(merged, ANY_CODE_POINT);
}

export function pairsOf(set: Ranges): [number, number][] {
  const pairs: [number, number][] = [];
  for (let i = 0; i < set.length; i += 2) pairs.push([set[i], set[i + 1]]);
  return pairs;
}

export function either(a: Ranges, b: Ranges): Ranges {
  return ranges([...pairsOf(a), ...pairsOf(b)]);
}

export function common(a: Ranges, b: Ranges): Ranges {
  const result: number[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    const low = Math.max(a[i], b[j]);
    const high = Math.min(a[i + 1], b[j + 1]);
    if (low <= high) result.push(low, high);
    if (a[i + 1] < b[j + 1]) i += 2;
    else j += 2;
  }
  return result;
}

export function others(set: Ranges): Ranges {
  const result: number[] = [];
  let from = 0;
  for (let i = 0; i < set.length; i += 2) {
    if (set[i] > from) result.push(from, set[i] - 1);
    from = set[i + 1] + 1;
  }
  if (from <= LAST_CODE_POINT) result.push(from, LAST_CODE_POINT);
  return common(result, ANY_CODE_POINT);
}

const tables = new Map<string, Ranges>();
const MOST_TABLES = 64;

/**
 * The code points that one character class of JavaScript takes, such as `\p{L}`, from the language's own tables.
 * @throws SyntaxError when JavaScript does not know it.
 */
export function javascriptClass(source: string): Ranges {
  const known = tables.get(source);
  if (known !== undefined) return known;
  const runs = new RegExp(`${source}+`, 'gu');
  const pairs: [number, number][] = [];
  const BLOCK = 0x4000;
  for (let start = 0; start <= LAST_CODE_POINT; start += BLOCK) {
    if (start === 0x40000 && !/nonchar|nchar/i.test(source)) {
      // Planes 4 to 13 hold no characters: one stands for all.
      if (new RegExp(source, 'u').test('\u{50000}')) pairs.push([0x40000, 0xdffff]);
      start = 0xe0000 - BLOCK;
    } else if (start === 0xd800 - (0xd800 % BLOCK)) {
      collect(start, 0xd800, runs, pairs);
      collect(0xe000, start + BLOCK, runs, pairs);
    } else collect(start, start + BLOCK, runs, pairs);
  }
  const set = ranges(pairs);
  if (tables.size >= MOST_TABLES) tables.clear();
  tables.set(source, set);
  return set;
}

function collect(start: number, end: number, runs: RegExp, pairs: [number, number][]): void {
  if (start >= end) return;
  const points = new Array<number>(end - start);
  for (let i = 0; i < points.length; i++) points[i] = start + i;
  const text = String.fromCodePoint(...points);
  const units = start >= 0x10000 ? 2 : 1;
  for (const match of text.matchAll(runs)) {
    pairs.push([start + match.index / units, start + (match.index + match[0].length) / units - 1]);
  }
}
