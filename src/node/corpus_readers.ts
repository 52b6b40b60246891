/** Documents from files: unpacked, decoded and taken out of their format, as streams. */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { FileFormatError, InterruptedError } from '../errors.ts';
import {
  type DocumentPart,
  type DocumentParts,
  jsonLines,
  missingField,
  splitText,
  textField,
} from '../training/data/documents.ts';
import { decodeUtf8 } from '../training/data/utf8.ts';
import type { CorpusFile, CorpusSource } from './corpus_files.ts';
import { parquetDocuments } from './corpus_parquet.ts';

export interface ReadOptions {
  readonly signal?: AbortSignal;
  /** Called with the number of bytes read from the file since the last call. */
  readonly onBytes?: (count: number) => void;
}

/** @throws InterruptedError */
export function checkInterrupted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new InterruptedError('the preparation of the data was interrupted');
}

/**
 * The documents of a file.
 * @throws FileFormatError for an empty, binary or damaged file, a malformed line, a missing column; InterruptedError.
 */
export async function* documentsOf(
  file: CorpusFile,
  source: CorpusSource,
  options: ReadOptions = {},
): AsyncGenerator<readonly DocumentPart[], void, void> {
  const { path, format } = file;
  const field = source.text_field ?? 'text';
  const start = await firstBytes(path);
  if (start.length === 0) throw new FileFormatError(path, '', 'it is empty', 'Leave it out, or give it text');
  const isParquet = start.toString('latin1') === 'PAR1';
  let documents: DocumentParts;
  if (format === 'parquet') documents = parquetDocuments(path, field, options);
  else if (isParquet) throw new FileFormatError(path, '', `it is a Parquet file, but is read as ${format}`);
  else {
    const text = decodeUtf8(unpacked(path, start, options), path);
    if (format === 'jsonl') documents = jsonLines(text, path, field);
    else if (format === 'text') documents = splitText(text, source.separator);
    else documents = tableRows(text, path, field, format === 'csv' ? ',' : '\t');
  }
  for await (const parts of documents) {
    checkInterrupted(options.signal);
    yield parts;
  }
}

/**
 * The text of a file that is no Parquet, unpacked.
 * @throws FileFormatError for an empty, binary or damaged file; InterruptedError.
 */
export async function* textChunks(path: string, options: ReadOptions = {}): AsyncGenerator<string, void, void> {
  const start = await firstBytes(path);
  if (start.length === 0) throw new FileFormatError(path, '', 'it is empty', 'Leave it out, or give it text');
  if (start.toString('latin1') === 'PAR1') {
    throw new FileFormatError(
      path,
      '',
      'it is a Parquet file, and records are not read from those',
      'Make it JSON Lines',
    );
  }
  for await (const chunk of decodeUtf8(unpacked(path, start, options), path)) {
    checkInterrupted(options.signal);
    yield chunk;
  }
}

async function firstBytes(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** The bytes of a file, unpacked when its first bytes are those of gzip (RFC 1952) or Zstandard (RFC 8878). */
async function* unpacked(path: string, start: Buffer, options: ReadOptions): AsyncGenerator<Uint8Array, void, void> {
  const isGzip = start[0] === 0x1f && start[1] === 0x8b;
  const isZstd =
    start.length === 4 && (start.readUInt32LE(0) === 0xfd2fb528 || start.readUInt32LE(0) >>> 4 === 0x184d2a5);
  if (!isGzip && !isZstd && /\.(gz|gzip|zst|zstd)$/i.test(path)) {
    throw new FileFormatError(path, 'byte 0', 'it is not packed as its name says: neither gzip nor Zstandard');
  }
  const raw = rawBytes(path, options);
  yield* isGzip ? gunzip(raw, path) : isZstd ? unzstd(raw, path) : raw;
}

async function* rawBytes(path: string, { signal, onBytes }: ReadOptions): AsyncGenerator<Uint8Array, void, void> {
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 })) {
    checkInterrupted(signal);
    onBytes?.((chunk as Buffer).length);
    yield chunk as Buffer;
  }
}

async function* gunzip(raw: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array, void, void> {
  const unzip = createGunzip({ chunkSize: 1 << 18 });
  pipeline(Readable.from(raw), unzip, () => undefined);
  try {
    for await (const chunk of unzip) yield chunk as Buffer;
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')) {
      throw new FileFormatError(path, '', `its gzip data is damaged or cut off (${error.message})`);
    }
    throw error;
  }
}

/** So little is unpacked at once that a hostile file (up to 128 KiB from 4 bytes) stays within a few MiB. */
const ZSTD_SLICE = 256;

async function* unzstd(raw: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array, void, void> {
  const { Decompress } = await import('fzstd');
  let out: Uint8Array[] = [];
  const stream = new Decompress((chunk) => out.push(chunk));
  const push = (bytes: Uint8Array, final: boolean): Uint8Array[] => {
    out = [];
    try {
      stream.push(bytes, final);
    } catch (error) {
      throw new FileFormatError(path, '', `its Zstandard data is damaged or cut off (${(error as Error).message})`);
    }
    return out;
  };
  for await (const chunk of raw) {
    for (let at = 0; at < chunk.length; at += ZSTD_SLICE) yield* push(chunk.slice(at, at + ZSTD_SLICE), false);
  }
  yield* push(new Uint8Array(0), true);
}

/** Rows go on in groups of so many. */
const ROWS = 256;
const LONGEST_ROW = 1 << 28;

/** A row of a table, and the line of the file on which it ends, from 1. */
export interface TableRow {
  readonly cells: readonly string[];
  readonly line: number;
}

/** CSV (RFC 4180) or tab-separated rows. @throws FileFormatError with the line for a row that cannot be. */
export async function* tableRowsOf(
  text: AsyncIterable<string>,
  path: string,
  delimiter: ',' | '\t',
): AsyncGenerator<TableRow, void, void> {
  const { parse } = await import('csv-parse');
  const parser = parse({
    delimiter,
    // A quotation mark inside of a field without quotes is text, as in most tab-separated files.
    relax_quotes: delimiter === '\t',
    skip_empty_lines: true,
    max_record_size: LONGEST_ROW,
    info: true,
  });
  pipeline(Readable.from(text), parser, () => undefined);
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
      yield { cells: record, line: info.lines };
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('CSV_')) {
      const { lines } = error as Error & { lines?: number };
      throw new FileFormatError(path, lines === undefined ? '' : `line ${lines}`, error.message);
    }
    throw error;
  }
}

/** The texts of a column; the first row names the columns. */
async function* tableRows(
  text: AsyncIterable<string>,
  path: string,
  field: string,
  delimiter: ',' | '\t',
): AsyncGenerator<DocumentPart[], void, void> {
  let columns: readonly string[] | undefined;
  let index = -1;
  let parts: DocumentPart[] = [];
  for await (const { cells } of tableRowsOf(text, path, delimiter)) {
    if (columns === undefined) {
      columns = cells;
      index = cells.indexOf(field);
      if (index < 0) throw missingField(path, 'line 1', field, cells);
      continue;
    }
    parts.push({ text: textField(cells[index], path, '', field, columns), end: true });
    if (parts.length < ROWS) continue;
    yield parts;
    parts = [];
  }
  if (parts.length > 0) yield parts;
}
