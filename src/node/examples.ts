/** Records for fine-tuning from files: JSON Lines, JSON arrays, CSV, TSV and plain text, packed or not. */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { FileFormatError, NotFoundError, SettingError } from '../errors.ts';
import { splitText } from '../training/data/documents.ts';
import { DataRecord, jsonRecords, knownFields } from '../training/examples/index.ts';
import { hashFile } from './checksum.ts';
import { type ReadOptions, tableRowsOf, textChunks } from './corpus_readers.ts';

export const recordFiles = ['json', 'csv', 'tsv', 'text'] as const;
export type RecordFile = (typeof recordFiles)[number];

export interface RecordReadOptions extends ReadOptions {
  /** How the files are written. By their names unless given. */
  readonly file_format?: RecordFile;
  /** What stands between the texts of a plain-text file. Without it, each file is one text. */
  readonly separator?: string;
}

/** A file of records, by which a resumed run knows it again. */
export interface RecordFileFacts {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

const FORMAT_OF: Readonly<Record<string, RecordFile>> = {
  jsonl: 'json',
  ndjson: 'json',
  json: 'json',
  csv: 'csv',
  tsv: 'tsv',
  txt: 'text',
  text: 'text',
  md: 'text',
};

/**
 * The records of files, one after another, each with its file and line.
 * @throws NotFoundError for a file that is not there; SettingError for one whose format its name does not tell; FileFormatError for what is not
 *   as its format has it; InterruptedError.
 */
export async function* readRecords(
  paths: readonly string[],
  options: RecordReadOptions = {},
): AsyncGenerator<DataRecord, void, void> {
  for (const path of paths) {
    checkFile(path);
    const format = options.file_format ?? formatOf(path);
    const text = textChunks(path, options);
    if (format === 'json') {
      for await (const { line, values } of jsonRecords(text, path)) yield new DataRecord({ file: path, line }, values);
    } else if (format === 'text') yield* texts(text, path, options.separator);
    else yield* rows(text, path, format === 'csv' ? ',' : '\t');
  }
}

/** What a file is now. */
export async function recordFileFacts(path: string): Promise<RecordFileFacts> {
  checkFile(path);
  const hash = await hashFile(createHash('sha256'), path);
  return { path, bytes: statSync(path).size, sha256: hash.digest('hex') };
}

function checkFile(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) throw new NotFoundError('file', path, []);
  if (found.isDirectory()) throw new SettingError('data', path, 'is a folder: name the files of records in it');
}

function formatOf(path: string): RecordFile {
  const name = path.toLowerCase().replace(/\.(gz|gzip|zst|zstd)$/, '');
  const format = FORMAT_OF[/\.([a-z]+)$/.exec(name)?.[1] ?? ''];
  if (format) return format;
  const known = Object.keys(FORMAT_OF).join(', ');
  throw new SettingError('data', path, `does not tell by its name how it is written: known are ${known}`);
}

async function* texts(chunks: AsyncIterable<string>, path: string, separator?: string): AsyncGenerator<DataRecord> {
  let [text, number, line, begun] = ['', 1, 1, 1];
  for await (const parts of splitText(chunks, separator)) {
    for (const part of parts) {
      text += part.text;
      line += part.text.split('\n').length - 1;
      if (!part.end) continue;
      if (text.trim() !== '') yield new DataRecord({ file: path, line: begun }, { text });
      line += (separator ?? '').split('\n').length - 1;
      [text, number, begun] = ['', number + 1, line];
    }
  }
}

/** The columns of SST-2's files, and of many like them, which have no names. */
const UNNAMED = ['text', 'label'];

/** The first row names the columns, unless it has two that are no names: then they are a text and its label. */
async function* rows(text: AsyncIterable<string>, path: string, delimiter: ',' | '\t'): AsyncGenerator<DataRecord> {
  let columns: readonly string[] | null = null;
  for await (const { cells, line } of tableRowsOf(text, path, delimiter)) {
    if (columns === null) {
      if (cells.some((name) => knownFields.has(name))) {
        columns = cells;
        continue;
      }
      if (cells.length !== UNNAMED.length) {
        const names = cells.slice(0, 20).map((name) => JSON.stringify(name.slice(0, 40)));
        const problem = `its first line names no known column (${names.join(', ')})`;
        throw new FileFormatError(path, 'line 1', problem, 'Let it name them: prompt, completion; text, label; …');
      }
      columns = UNNAMED;
    }
    const named = columns;
    yield new DataRecord({ file: path, line }, Object.fromEntries(cells.map((cell, i) => [named[i] ?? `${i}`, cell])));
  }
}
