/** Words as the merger takes them: a cell for each byte. */
import { writeUtf8 } from '../bytes.ts';
import type { MergerInput } from './merger.ts';
import type { WordTable } from './word-table.ts';

/** The code point at a place of well-formed units. */
export function pointAt(units: Uint16Array, at: number, end: number): number {
  const unit = units[at];
  if (unit < 0xd800 || unit > 0xdbff || at + 1 >= end) return unit;
  return (unit - 0xd800) * 0x400 + (units[at + 1] - 0xdc00) + 0x10000;
}

/** @param byteIds the id of each byte, or -1 where it is left out of words. */
export function cellsOf(
  words: WordTable,
  byteIds: Int32Array,
  vocabSize: number,
): Pick<MergerInput, 'cells' | 'extra' | 'vocabSize'> {
  const { size, counts, starts, units } = words;
  const order = new Int32Array(size);
  let repeated = 0;
  for (let word = 0; word < size; word++) if (counts[word] !== 1) order[repeated++] = word;
  for (let word = 0, at = repeated; word < size; word++) if (counts[word] === 1) order[at++] = word;
  let length = size + 1;
  for (let i = 0; i < starts[size]; i++) {
    // A surrogate is half of four bytes.
    const unit = units[i];
    length += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 2 : 3;
  }
  const cells = vocabSize + 1 < 65_536 ? new Uint16Array(length) : new Int32Array(length);
  const scratch = new Uint8Array(4);
  let extra: Float64Array = new Float64Array(0);
  let at = 0;
  for (let n = 0; n < size; n++) {
    const word = order[n];
    // Above this place every word occurs once.
    if (n === repeated) extra = extraOf(cells, at, vocabSize, order, counts);
    cells[at++] = vocabSize;
    const end = starts[word + 1];
    for (let i = starts[word]; i < end; i++) {
      const unit = units[i];
      if (unit < 0x80) {
        if (byteIds[unit] >= 0) cells[at++] = byteIds[unit];
        continue;
      }
      const code = pointAt(units, i, end);
      if (code > 0xffff) i++;
      const width = writeUtf8(code, scratch);
      for (let k = 0; k < width; k++) if (byteIds[scratch[k]] >= 0) cells[at++] = byteIds[scratch[k]];
    }
  }
  if (repeated === size) extra = extraOf(cells, at, vocabSize, order, counts);
  cells[at++] = vocabSize;
  return { cells: cells.subarray(0, at), extra, vocabSize };
}

/** For each cell below `end`, how much more often than once its word occurs. */
function extraOf(
  cells: Uint16Array | Int32Array,
  end: number,
  edge: number,
  order: Int32Array,
  counts: Float64Array,
): Float64Array {
  const extra = new Float64Array(end);
  let word = -1;
  for (let i = 0; i < end; i++) {
    if (cells[i] === edge) word++;
    else extra[i] = counts[order[word]] - 1;
  }
  return extra;
}
