/** Documents from files: those that Python's libraries wrote, and those that are damaged. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { FileFormatError, InterruptedError, NotFoundError, SettingError } from '../src/errors.ts';
import { type CorpusSource, corpusTexts } from '../src/node/corpus.ts';
import { filesOf } from '../src/node/corpus_files.ts';
import { documentsOf } from '../src/node/corpus_readers.ts';
import { jsonLines, splitText } from '../src/training/data/documents.ts';
import { decodeUtf8, firstInvalid } from '../src/training/data/utf8.ts';

const golden = fileURLToPath(new URL('golden/data/', import.meta.url));
const expected = JSON.parse(readFileSync(join(golden, 'expected.json'), 'utf8')) as {
  texts: string[];
  long: { bytes: number; sha256: string };
};
const scratch = mkdtempSync(join(tmpdir(), 'inkstone-data-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** All documents of a source, each as one string. */
async function read(source: CorpusSource, signal?: AbortSignal): Promise<string[]> {
  const texts: string[] = [];
  for (const file of (await filesOf(source)).files) {
    let open: string | undefined;
    for await (const parts of documentsOf(file, source, { signal })) {
      for (const { text, end } of parts) {
        open = (open ?? '') + text;
        if (!end) continue;
        texts.push(open);
        open = undefined;
      }
    }
    expect(open).toBeUndefined();
  }
  return texts;
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(scratch, name);
  writeFileSync(path, content);
  return path;
}

async function failure(source: CorpusSource): Promise<Error> {
  const error = await read(source).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(Error);
  return error as Error;
}

async function* chunked<T>(pieces: readonly T[]): AsyncGenerator<T> {
  yield* pieces;
}

const collect = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
};

describe('files written by Python', () => {
  const names = ['docs.jsonl', 'docs.jsonl.gz', 'docs.jsonl.zst', 'docs.csv', 'docs.tsv'];
  const codecs = ['none', 'snappy', 'gzip', 'zstd', 'brotli', 'lz4', 'v2'].map((codec) => `docs.${codec}.parquet`);
  it.each([...names, ...codecs])('%s', async (name) => {
    expect(await read({ path: join(golden, name) })).toEqual(expected.texts);
  });

  it('absent values are empty texts, and the column is the one asked for', async () => {
    const notes = expected.texts.map((text, i) => (i % 4 === 0 ? '' : text));
    for (const codec of ['none', 'v2']) {
      expect(await read({ path: join(golden, `docs.${codec}.parquet`), text_field: 'note' })).toEqual(notes);
    }
  });

  it('Zstandard text of many blocks', async () => {
    const [text] = await read({ path: join(golden, 'long.txt.zst') });
    expect(Buffer.byteLength(text)).toBe(expected.long.bytes);
    expect(createHash('sha256').update(text).digest('hex')).toBe(expected.long.sha256);
  });

  it('a tab-separated file without quotation marks keeps those inside of fields', async () => {
    const path = file('plain.tsv', 'text\tlabel\na "fine" film\t1\nan awful " one\t0\n');
    expect(await read({ path })).toEqual(['a "fine" film', 'an awful " one']);
  });
});

describe('which files', () => {
  const folder = join(scratch, 'folder');
  mkdirSync(join(folder, 'b', 'deep'), { recursive: true });
  const put = (name: string, text: string) => writeFileSync(join(folder, name), text);
  put('z.txt', 'z');
  put('a.md', 'a');
  put('b/deep/c.jsonl', '{"text": "c"}');
  put('b/empty.txt', '');
  put('b/image.png', 'png');
  put('.hidden.txt', 'hidden');
  symlinkSync(folder, join(folder, 'b', 'circle'));
  const names = (paths: readonly string[]) => paths.map((path) => basename(path));

  it('a folder: text by its name, below it too, in the order of paths', async () => {
    const { files, skipped } = await filesOf({ path: folder });
    expect(names(files.map(({ path }) => path))).toEqual(['a.md', 'c.jsonl', 'z.txt']);
    expect(names(skipped)).toEqual(['empty.txt', 'image.png']);
    expect(await read({ path: folder })).toEqual(['a', 'c', 'z']);
  });

  it('a glob', async () => {
    expect(await read({ path: join(folder, '{a,z}.*') })).toEqual(['a', 'z']);
    expect(await read({ path: join(folder, '**/*.jsonl') })).toEqual(['c']);
  });

  it('a file whose name looks like a glob is that file', async () => {
    expect(await read({ path: file('what [1].txt', 'odd') })).toEqual(['odd']);
  });

  it('says what it looked for when there is nothing', async () => {
    for (const path of [join(folder, 'nothing.txt'), join(folder, '*.csv')]) {
      await expect(filesOf({ path })).rejects.toThrow(NotFoundError);
    }
    mkdirSync(join(scratch, 'bare'));
    await expect(filesOf({ path: join(scratch, 'bare') })).rejects.toThrow(/no file matches/);
    await expect(filesOf({ path: file('x.json', '{}') })).rejects.toThrow(SettingError);
    await expect(filesOf({ path: folder, format: 'xml' as 'csv' })).rejects.toThrow(/must be one of text, jsonl/);
  });
});

describe('what cannot be read', () => {
  it('an empty file', async () => {
    expect((await failure({ path: file('empty.txt', '') })).message).toContain('it is empty');
  });

  it('binary files, with the offset of the first bad byte', async () => {
    const bytes = Buffer.from('春江'.repeat(100_000));
    bytes[300_001] = 0xff;
    expect((await failure({ path: file('latin.txt', bytes) })).message).toContain('byte 300000: invalid UTF-8 (0xe6)');
    bytes[300_001] = 0;
    expect((await failure({ path: file('nul.txt', bytes) })).message).toContain('byte 300001: a NUL byte');
    expect((await failure({ path: file('cut.txt', Buffer.from('ab春').subarray(0, 4)) })).message).toContain('byte 2:');
    const wide = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('text', 'utf16le')]);
    expect((await failure({ path: file('wide.txt', wide) })).message).toContain('UTF-16');
  });

  it('a missing column, with those there are', async () => {
    for (const name of ['docs.csv', 'docs.jsonl', 'docs.zstd.parquet']) {
      const error = await failure({ path: join(golden, name), text_field: 'body' });
      expect(error).toBeInstanceOf(FileFormatError);
      expect(error.message).toMatch(/there is no "body": there are "id", "text"/);
    }
    expect((await failure({ path: join(golden, 'docs.none.parquet'), text_field: 'id' })).message).toMatch(
      /row 0: "id" is not a string but bigint/,
    );
  });

  it('a malformed line, with its number', async () => {
    const path = file('bad.jsonl', '{"text": "a"}\n\n{"text": \n');
    expect((await failure({ path })).message).toContain('line 3: it is not JSON');
    expect((await failure({ path: file('list.jsonl', '["a"]\n') })).message).toContain(
      'line 1: it is not a JSON object',
    );
    expect((await failure({ path: file('number.jsonl', '{"text": 3}') })).message).toContain('not a string but number');
  });

  it('a malformed table, with its line', async () => {
    expect((await failure({ path: file('bad.csv', 'text,b\n"open,1\n') })).message).toMatch(
      /bad\.csv: (line \d+: )?.*[Qq]uot/,
    );
    expect((await failure({ path: file('wide.csv', 'text,b\na,1\nb,2,3\n') })).message).toContain('line 3');
  });

  it('packed files that are damaged, cut off, or not packed', async () => {
    for (const name of ['docs.jsonl.gz', 'docs.jsonl.zst', 'long.txt.zst']) {
      const whole = readFileSync(join(golden, name));
      const error = await failure({ path: file(`cut-${name}`, whole.subarray(0, whole.length - 30)) });
      expect(error).toBeInstanceOf(FileFormatError);
      expect(error.message).toContain('damaged or cut off');
    }
    expect((await failure({ path: file('text.txt.gz', 'just text') })).message).toContain(
      'not packed as its name says',
    );
  });

  it('Parquet by another name, and what is no Parquet', async () => {
    const parquet = readFileSync(join(golden, 'docs.none.parquet'));
    expect((await failure({ path: file('table.txt', parquet) })).message).toContain('it is a Parquet file');
    expect(await failure({ path: file('text.parquet', 'just text, long enough') })).toBeInstanceOf(FileFormatError);
  });

  it('a string in Parquet that is invalid UTF-8', async () => {
    const bytes = readFileSync(join(golden, 'docs.none.parquet'));
    bytes[bytes.indexOf('tab\there')] = 0xff;
    expect((await failure({ path: file('latin.parquet', bytes) })).message).toContain(
      'row group 0: it is no sound Parquet file (a string in it is invalid UTF-8)',
    );
  });

  it('settings that have no meaning for the files', async () => {
    expect((await failure({ path: join(golden, 'docs.csv'), separator: '\n' })).message).toContain(
      'is for plain text, but',
    );
    expect((await failure({ path: file('t.txt', 'text'), text_field: 'body' })).message).toContain(
      'is for data with fields',
    );
    expect(await failure({ path: file('t.txt', 'text'), separator: '' })).toBeInstanceOf(SettingError);
  });

  it('any flipped byte of a Parquet or packed file gives text or a FileFormatError, never another one', async () => {
    const names = ['docs.zstd.parquet', 'docs.snappy.parquet', 'docs.v2.parquet', 'docs.jsonl.gz', 'docs.jsonl.zst'];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...names),
        fc.double({ min: 0, max: 0.999 }),
        fc.integer({ min: 1, max: 255 }),
        async (name, place, bits) => {
          const bytes = readFileSync(join(golden, name));
          bytes[Math.floor(place * bytes.length)] ^= bits;
          const error = await read({ path: file(`flipped-${name}`, bytes) }).catch((error: unknown) => error);
          if (!Array.isArray(error)) expect(error).toBeInstanceOf(FileFormatError);
        },
      ),
      // A fixed seed: some damage makes the decoder of Parquet loop, which ends after half a minute.
      { numRuns: 50, seed: 7 },
    );
  });

  it('stops when it is interrupted', async () => {
    const path = join(golden, 'docs.jsonl');
    await expect(read({ path }, AbortSignal.abort())).rejects.toThrow(InterruptedError);
  });
});

describe('streams', () => {
  it('UTF-8 in any chunks is the text, and the offset of what is invalid is the same in any chunks', async () => {
    const text = fc.string({ unit: 'binary', maxLength: 40 }).map((text) => text.replaceAll('\0', ' '));
    const cuts = fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 12 });
    const split = (bytes: Uint8Array, at: readonly number[]) => {
      const places = [0, ...at.filter((place) => place < bytes.length).sort((a, b) => a - b), bytes.length];
      return places.slice(1).map((place, i) => bytes.subarray(places[i], place));
    };
    await fc.assert(
      fc.asyncProperty(
        text,
        cuts,
        fc.option(fc.tuple(fc.nat(199), fc.integer({ min: 0x80, max: 0xff }))),
        async (text, at, bad) => {
          const bytes = Buffer.from(text);
          if (bad !== null && bad[0] < bytes.length) bytes[bad[0]] = bad[1];
          const first = firstInvalid(bytes);
          const isUtf16 = bytes.length > 1 && ((bytes[0] << 8) | bytes[1]) >= 0xfeff;
          const result = collect(decodeUtf8(chunked(split(bytes, at)), 'f'));
          if (isUtf16) await result.catch(() => undefined);
          else if (first < bytes.length) await expect(result).rejects.toThrow(`f: byte ${first}: invalid UTF-8`);
          else expect((await result).join('')).toBe(new TextDecoder().decode(bytes));
        },
      ),
    );
  });

  it('a separator parts documents as String.split does, in any chunks', async () => {
    const pieces = fc.array(fc.string({ unit: fc.constantFrom('\n', 'a', '😀', '<'), maxLength: 6 }), {
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(pieces, fc.constantFrom('\n', '\n\n', 'a\na', '<😀', '\n\n\n'), async (chunks, separator) => {
        const documents: string[] = [];
        let open = '';
        for (const { text, end } of (await collect(splitText(chunked(chunks), separator))).flat()) {
          open += text;
          if (!end) continue;
          documents.push(open);
          open = '';
        }
        const whole = chunks.join('').split(separator);
        expect(documents.filter((text) => text !== '')).toEqual(whole.filter((text) => text !== ''));
        expect(open).toBe('');
      }),
    );
  });

  it('lines of JSON come through any chunks', async () => {
    const texts = fc.array(fc.string({ unit: 'grapheme', maxLength: 8 }));
    await fc.assert(
      fc.asyncProperty(texts, fc.integer({ min: 1, max: 9 }), async (texts, size) => {
        const whole = texts.map((text) => JSON.stringify({ text })).join('\n');
        const chunks = Array.from({ length: Math.ceil(whole.length / size) }, (_, i) =>
          whole.slice(i * size, (i + 1) * size),
        );
        const parts = (await collect(jsonLines(chunked(chunks), 'f', 'text'))).flat();
        expect(parts.map(({ text }) => text)).toEqual(texts);
      }),
    );
  });

  it('texts for a tokenizer: whole documents, long ones in pieces that give the text', async () => {
    const long = 'word another\nword '.repeat(150_000);
    file('long-a.txt', long);
    file('long-b.txt', 'short');
    const texts = await collect(corpusTexts({ sources: [join(scratch, 'long-*.txt')] }));
    expect(texts.length).toBe(4);
    expect(texts.at(-1)).toBe('short');
    expect(texts.slice(0, -1).join('')).toBe(long);
    for (const text of texts.slice(1, -1)) expect(text).toMatch(/^\s/);
  });
});
