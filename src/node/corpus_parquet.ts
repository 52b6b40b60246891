/** Documents from Parquet files (https://parquet.apache.org/docs/file-format/): a column, one row group after another. */
import { FileFormatError } from '../errors.ts';
import { type DocumentPart, missingField, textField } from '../training/data/documents.ts';
import { ParquetColumn, type ParquetFacts } from './corpus_parquet_worker.ts';
import type { ReadOptions } from './corpus_readers.ts';

/** Rows go on in groups of so many. */
const ROWS = 256;

/**
 * The strings of a column. Memory holds the column of one row group at a time.
 * @throws FileFormatError for a damaged file, a column that is missing (with those there are) or holds no strings.
 */
export async function* parquetDocuments(
  path: string,
  field: string,
  { onBytes }: ReadOptions,
): AsyncGenerator<DocumentPart[], void, void> {
  const reader = new ParquetColumn(path, field);
  try {
    const { columns, groups, size } = await reader.facts();
    const names = columns.map(({ name }) => name);
    const column = columns.find(({ name }) => name === field);
    if (column === undefined) throw missingField(path, 'schema', field, names);
    if (column.isNested) throw new FileFormatError(path, 'schema', `"${field}" is nested and not a string`);
    let rowStart = 0;
    for (const [index, group] of groups.entries()) {
      const where = `row group ${index}`;
      const length = checkGroup(group, size, field, path, where);
      const rowEnd = rowStart + group.rows;
      const values = await reader.values(rowStart, rowEnd, where, length);
      onBytes?.(length);
      for (let at = 0; at < values.length; at += ROWS) {
        yield values.slice(at, at + ROWS).map((value, i) => {
          const row = `row ${rowStart + at + i}`;
          if (value !== null && typeof value !== 'string') {
            throw new FileFormatError(path, row, `"${field}" is not a string but ${value.kind}`);
          }
          return { text: textField(value, path, row, field, names), end: true };
        });
      }
      rowStart = rowEnd;
    }
  } finally {
    await reader.close();
  }
}

/** Looks at what the library takes as it is: where the column's bytes lie. Answers how many there are. */
function checkGroup(
  { rows, pieces }: ParquetFacts['groups'][number],
  size: number,
  field: string,
  path: string,
  where: string,
): number {
  const [piece] = pieces;
  if (pieces.length !== 1) {
    throw new FileFormatError(path, where, `it has ${pieces.length} pieces of the column "${field}", not 1`);
  }
  const { start, length } = piece;
  const sound = [start, length, rows].every((value) => Number.isSafeInteger(value) && value >= 0);
  if (!sound || start > size || length > size - start) {
    const place = `${length} bytes at ${start} for ${rows} rows`;
    throw new FileFormatError(path, where, `its column "${field}" has ${place}, but the file has ${size} bytes`);
  }
  return length;
}
