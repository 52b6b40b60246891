/** Sets of characters as small automata over the bytes of UTF-8. Surrogates have no UTF-8 and are left out. */

/** Rows of 256 targets. A target is a row, {@link DEAD}, or {@link EXIT} where the character is complete. */
export interface ByteRows {
  readonly next: Int32Array;
  /** How many rows; row 0 is the start. */
  readonly count: number;
}

export const DEAD = -1;
export const EXIT = -2;

type Range = readonly [first: number, last: number];

/** First code points of one, two, three and four bytes, and what comes after the last. */
const LIMITS = [0, 0x80, 0x800, 0x10000, 0x110000];

/** Ascending ranges without overlaps, without surrogates and what Unicode does not have. */
export function normalRanges(ranges: readonly Range[]): [number, number][] {
  const cut: [number, number][] = [];
  for (const [first, last] of ranges) {
    const from = Math.max(0, first);
    const to = Math.min(0x10ffff, last);
    if (from <= Math.min(to, 0xd7ff)) cut.push([from, Math.min(to, 0xd7ff)]);
    if (Math.max(from, 0xe000) <= to) cut.push([Math.max(from, 0xe000), to]);
  }
  cut.sort((a, b) => a[0] - b[0]);
  const merged: [number, number][] = [];
  for (const range of cut) {
    const last = merged[merged.length - 1];
    if (last !== undefined && range[0] <= last[1] + 1) last[1] = Math.max(last[1], range[1]);
    else merged.push(range);
  }
  return merged;
}

/** The automaton of one character of normal ranges. Equal rows are one row, so that it stays small for huge sets. */
export function charactersToRows(ranges: readonly Range[]): ByteRows {
  const rows: Int32Array[] = [new Int32Array(256).fill(DEAD)];
  const known = new Map<string, number>();
  const intern = (row: Int32Array): number => {
    const key = row.join();
    let index = known.get(key);
    if (index === undefined) {
      index = rows.length;
      rows.push(row);
      known.set(key, index);
    }
    return index;
  };
  /** The row that reads the last `bytes` bytes of characters, of which the lower 6 * bytes bits are in the ranges. */
  const tail = (list: readonly Range[], bytes: number): number => {
    const row = new Int32Array(256).fill(DEAD);
    fill(row, list, bytes, 0x80);
    return intern(row);
  };
  const fill = (row: Int32Array, list: readonly Range[], bytes: number, mark: number) => {
    if (bytes === 1) {
      for (const [first, last] of list) row.fill(EXIT, mark + first, mark + last + 1);
      return;
    }
    const width = 1 << (6 * (bytes - 1));
    let at = 0;
    while (at < list.length) {
      const lead = Math.floor(list[at][0] / width);
      const [start, end] = [lead * width, (lead + 1) * width - 1];
      const inside: Range[] = [];
      let lastLead = lead;
      let i = at;
      for (; i < list.length && list[i][0] <= end; i++) {
        const [first, last] = list[i];
        inside.push([Math.max(first, start) - start, Math.min(last, end) - start]);
        if (last > end) {
          lastLead = Math.floor(last / width);
          break;
        }
      }
      row[mark + lead] = tail(inside, bytes - 1);
      // The leads that one range covers whole have one row.
      if (lastLead > lead) {
        const last = list[i][1];
        const whole = last === (lastLead + 1) * width - 1 ? lastLead : lastLead - 1;
        if (whole > lead) row.fill(tail([[0, width - 1]], bytes - 1), mark + lead + 1, mark + whole + 1);
        if (whole < lastLead) {
          list = [[lastLead * width, last], ...list.slice(i + 1)];
          at = 0;
        } else at = i + 1;
      } else at = i;
    }
  };
  for (let bytes = 1; bytes <= 4; bytes++) {
    const [low, high] = [LIMITS[bytes - 1], LIMITS[bytes] - 1];
    const list = ranges
      .filter(([first, last]) => first <= high && last >= low)
      .map(([first, last]): Range => [Math.max(first, low), Math.min(last, high)]);
    const mark = [0, 0, 0xc0, 0xe0, 0xf0][bytes];
    if (list.length > 0) fill(rows[0], list, bytes, mark);
  }
  const next = new Int32Array(rows.length * 256);
  rows.forEach((row, i) => {
    next.set(row, i * 256);
  });
  return { next, count: rows.length };
}
