/** Documents from Parquet files (https://parquet.apache.org/docs/file-format/): a column, one row group after another. */
import { type FileHandle, open } from 'node:fs/promises';
import type { Compressors, FileMetaData, RowGroup } from 'hyparquet';
import { FileFormatError, InkstoneError } from '../errors.ts';
import { type DocumentPart, missingField, textField } from '../training/data/documents.ts';
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
  const [{ parquetMetadataAsync, parquetRead, parquetSchema }, { compressors }] = await Promise.all([
    import('hyparquet'),
    import('hyparquet-compressors') as Promise<{ compressors: Compressors }>,
  ]);
  const handle = await open(path, 'r');
  /** The library's own errors are about the file. */
  const about = async <T>(where: string, work: () => T | Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      if (error instanceof InkstoneError) throw error;
      throw new FileFormatError(path, where, `it is no sound Parquet file (${(error as Error).message})`);
    }
  };
  try {
    const file = { byteLength: (await handle.stat()).size, slice: slicer(handle, path, onBytes) };
    const metadata: FileMetaData = await about('footer', () => parquetMetadataAsync(file));
    const schema = await about('schema', () => parquetSchema(metadata).children);
    const columns = schema.map(({ element }) => element.name);
    const column = schema.find(({ element }) => element.name === field);
    if (column === undefined) throw missingField(path, 'schema', field, columns);
    if (column.children.length > 0) throw new FileFormatError(path, 'schema', `"${field}" is nested and not a string`);
    let rowStart = 0;
    for (const [index, group] of metadata.row_groups.entries()) {
      const where = `row group ${index}`;
      await about(where, () => checkGroup(group, field, path, where, file.byteLength));
      const rowEnd = rowStart + Number(group.num_rows);
      const rows = await about(where, async () => {
        let found: unknown[][] = [];
        await parquetRead({
          file,
          metadata,
          compressors,
          columns: [field],
          rowStart,
          rowEnd,
          parsers: { stringFromBytes: strictText(path, where) },
          onComplete: (all: unknown[][]) => {
            found = all;
          },
        });
        return found;
      });
      for (let at = 0; at < rows.length; at += ROWS) {
        yield rows.slice(at, at + ROWS).map(([value], i) => {
          const row = `row ${rowStart + at + i}`;
          return { text: textField(value, path, row, field, columns), end: true };
        });
      }
      rowStart = rowEnd;
    }
  } finally {
    await handle.close();
  }
}

/**
 * Looks at what the library takes as it is: where the column's bytes lie. It also leaves the failure of a second piece
 * of the same column to nobody, which would end the process.
 */
function checkGroup(group: RowGroup, field: string, path: string, where: string, size: number): void {
  const pieces = group.columns.filter(({ meta_data }) => meta_data?.path_in_schema[0] === field);
  const meta = pieces[0]?.meta_data;
  if (pieces.length !== 1 || meta === undefined) {
    throw new FileFormatError(path, where, `it has ${pieces.length} pieces of the column "${field}", not 1`);
  }
  const start = Number(meta.dictionary_page_offset || meta.data_page_offset);
  const length = Number(meta.total_compressed_size);
  const rows = Number(group.num_rows);
  const sound = [start, length, rows].every((value) => Number.isSafeInteger(value) && value >= 0);
  if (!sound || start > size || length > size - start) {
    const place = `${length} bytes at ${start} for ${rows} rows`;
    throw new FileFormatError(path, where, `its column "${field}" has ${place}, but the file has ${size} bytes`);
  }
}

/** Strings that are no UTF-8 are refused, not repaired. */
function strictText(path: string, where: string): (bytes: Uint8Array) => string | undefined {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  return (bytes) => {
    if (bytes === undefined) return undefined;
    try {
      return decoder.decode(bytes);
    } catch {
      throw new FileFormatError(path, where, 'a string in it is invalid UTF-8');
    }
  };
}

function slicer(handle: FileHandle, path: string, onBytes: ((count: number) => void) | undefined) {
  const read = async (start: number, end?: number): Promise<ArrayBuffer> => {
    const { size } = await handle.stat();
    const to = end ?? size;
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(to) || start < 0 || to < start || to > size) {
      throw new FileFormatError(path, `offset ${start}`, `bytes up to ${to} are wanted, but the file has ${size}`);
    }
    const bytes = new Uint8Array(to - start);
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await handle.read(bytes, done, Math.min(bytes.length - done, 1 << 30), start + done);
      if (bytesRead === 0) throw new FileFormatError(path, `offset ${start + done}`, 'the file became shorter');
      done += bytesRead;
      onBytes?.(bytesRead);
    }
    return bytes.buffer;
  };
  return (start: number, end?: number): Promise<ArrayBuffer> => {
    const answer = read(start, end);
    // The library reads ahead: where it stops before it needs what it asked for, nobody would see that this failed.
    answer.catch(() => undefined);
    return answer;
  };
}
