/**
 * Decodes Parquet on a thread of its own. The library takes the lengths in a file on trust: one that is damaged or
 * hostile can make it loop or fill memory, which a thread can be stopped from and the process could not.
 */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { FileFormatError } from '../errors.ts';

/** The parts of a file's footer that matter here. */
export interface ParquetFacts {
  readonly size: number;
  readonly columns: readonly { readonly name: string; readonly isNested: boolean }[];
  /** For each row group, its rows and where the pieces of the column lie. */
  readonly groups: readonly {
    readonly rows: number;
    readonly pieces: readonly { readonly start: number; readonly length: number }[];
  }[];
}

/** A value of the column: a string, null where there is none, or the kind of what is no string. */
export type ParquetValue = string | null | { readonly kind: string };

/** JavaScript, as a worker must be before this file is compiled. It answers one message after another. */
const SCRIPT = `
const { parentPort, workerData } = require('node:worker_threads');
const { open } = require('node:fs/promises');
const { path, field, library, codecs } = workerData;
const opened = (async () => {
  const [{ parquetMetadataAsync, parquetRead, parquetSchema }, { compressors }] =
    await Promise.all([import(library), import(codecs)]);
  const handle = await open(path, 'r');
  const { size } = await handle.stat();
  const slice = async (start, end = size) => {
    if (!(start >= 0 && end >= start && end <= size)) throw new Error('bytes ' + start + ' to ' + end + ' are not in it');
    const bytes = new Uint8Array(end - start);
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await handle.read(bytes, done, Math.min(bytes.length - done, 2 ** 30), start + done);
      if (bytesRead === 0) throw new Error('the file became shorter');
      done += bytesRead;
    }
    return bytes.buffer;
  };
  const file = { byteLength: size, slice };
  return { file, metadata: await parquetMetadataAsync(file), compressors, parquetRead, parquetSchema };
})();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const stringFromBytes = (bytes) => {
  if (bytes === undefined) return undefined;
  try {
    return decoder.decode(bytes);
  } catch {
    throw new Error('a string in it is invalid UTF-8');
  }
};
const facts = ({ file, metadata, parquetSchema }) => ({
  size: file.byteLength,
  columns: parquetSchema(metadata).children.map(({ element, children }) => ({ name: element.name, isNested: children.length > 0 })),
  groups: metadata.row_groups.map(({ num_rows, columns }) => ({
    rows: Number(num_rows),
    pieces: columns
      .filter(({ meta_data }) => meta_data?.path_in_schema[0] === field)
      .map(({ meta_data }) => ({
        start: Number(meta_data.dictionary_page_offset || meta_data.data_page_offset),
        length: Number(meta_data.total_compressed_size),
      })),
  })),
});
const values = async ({ file, metadata, compressors, parquetRead }, { rowStart, rowEnd }) => {
  let found = [];
  const onComplete = (rows) => { found = rows; };
  const columns = [field];
  await parquetRead({ file, metadata, compressors, columns, rowStart, rowEnd, parsers: { stringFromBytes }, onComplete });
  return found.map(([value]) => (typeof value === 'string' ? value : value == null ? null : { kind: typeof value }));
};
parentPort.on('message', async (wanted) => {
  try {
    const parts = await opened;
    parentPort.postMessage({ answer: wanted === 'facts' ? facts(parts) : await values(parts, wanted) });
  } catch (error) {
    parentPort.postMessage({ problem: String(error?.message ?? error) });
  }
});
`;

/** A thread is stopped when it needs longer than this and the milliseconds for each byte. */
const PATIENCE_MS = 30_000;
const PATIENCE_MS_PER_BYTE = 0.01;
const MEMORY_MIB = 4096;

/** A Parquet file that is read on another thread, one column of it. */
export class ParquetColumn {
  private readonly worker: Worker;

  constructor(
    private readonly path: string,
    field: string,
  ) {
    const { resolve } = createRequire(import.meta.url);
    const [library, codecs] = ['hyparquet', 'hyparquet-compressors'].map((name) => pathToFileURL(resolve(name)).href);
    this.worker = new Worker(SCRIPT, {
      eval: true,
      execArgv: [],
      name: 'parquet',
      workerData: { path, field, library, codecs },
      resourceLimits: { maxOldGenerationSizeMb: MEMORY_MIB },
    });
    // Failures are seen by whoever waits for an answer; between answers nothing runs.
    this.worker.on('error', () => undefined);
  }

  /** @throws FileFormatError */
  facts(): Promise<ParquetFacts> {
    return this.ask<ParquetFacts>('facts', 'footer', 0);
  }

  /** The values of rows. @param bytes of them in the file. @throws FileFormatError */
  values(rowStart: number, rowEnd: number, where: string, bytes: number): Promise<ParquetValue[]> {
    return this.ask<ParquetValue[]>({ rowStart, rowEnd }, where, bytes);
  }

  async close(): Promise<void> {
    await this.worker.terminate();
  }

  private ask<T>(message: unknown, where: string, bytes: number): Promise<T> {
    const { worker, path } = this;
    return new Promise<T>((resolve, reject) => {
      const fail = (problem: string) => {
        end();
        reject(new FileFormatError(path, where, problem));
      };
      const limit = PATIENCE_MS + bytes * PATIENCE_MS_PER_BYTE;
      const late = () => fail(`it took more than ${Math.round(limit / 1000)} seconds to decode, as damaged files can`);
      const onError = (error: Error) => fail(`it cannot be decoded (${error.message})`);
      const onExit = () => fail('it cannot be decoded (the decoder stopped)');
      const onMessage = (reply: { answer?: T; problem?: string }) => {
        if (reply.problem !== undefined) return fail(`it is no sound Parquet file (${reply.problem})`);
        end();
        resolve(reply.answer as T);
      };
      const timer = setTimeout(late, limit);
      const end = () => {
        clearTimeout(timer);
        worker.off('message', onMessage).off('error', onError).off('exit', onExit);
      };
      worker.on('message', onMessage).on('error', onError).on('exit', onExit);
      worker.postMessage(message);
    });
  }
}
