/** Which files a source of text means: a file, all that a folder holds, or those that match a pattern. */
import { existsSync, realpathSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { NotFoundError, SettingError } from '../errors.ts';

export const corpusFormats = ['text', 'jsonl', 'csv', 'tsv', 'parquet'] as const;
export type CorpusFormat = (typeof corpusFormats)[number];

/** A part of a corpus. */
export interface CorpusSource {
  /** A file, a folder (with all below it) or a glob such as `books/*.txt.gz`. */
  readonly path: string;
  /** Its share of the training samples relative to the other sources'. Give one to each source or to none. */
  readonly weight?: number;
  /** How its files are read; by their names unless given. */
  readonly format?: CorpusFormat;
  /** The field or column that holds the text in JSONL, CSV, TSV and Parquet. Default `text`. */
  readonly text_field?: string;
  /** What stands between documents in plain text. Without it, each file is one document. */
  readonly separator?: string;
}

/** A file of a source. */
export interface CorpusFile {
  readonly path: string;
  readonly format: CorpusFormat;
}

export interface SourceFiles {
  /** In the order of their paths. */
  readonly files: readonly CorpusFile[];
  /** Files of a folder that are no text by their name, and empty files of a folder or a glob. */
  readonly skipped: readonly string[];
}

const FORMAT_OF: Readonly<Record<string, CorpusFormat>> = {
  txt: 'text',
  text: 'text',
  md: 'text',
  jsonl: 'jsonl',
  ndjson: 'jsonl',
  csv: 'csv',
  tsv: 'tsv',
  parquet: 'parquet',
};

/** The format that a name says, with or without the ending of a packed file; undefined where it says nothing. */
export function formatOf(path: string): CorpusFormat | undefined {
  const name = path.toLowerCase().replace(/\.(gz|gzip|zst|zstd)$/, '');
  return FORMAT_OF[/\.([a-z]+)$/.exec(name)?.[1] ?? ''];
}

/**
 * The files of a source. In a folder, those that are text by their name (or all, where the format is given); hidden
 * files are left out.
 * @throws NotFoundError when there is none; SettingError when a format is unknown or cannot be told.
 */
export async function filesOf(source: CorpusSource): Promise<SourceFiles> {
  const found = await findFiles(source);
  const { separator, text_field } = source;
  const formats = [...new Set(found.files.map(({ format }) => format))];
  const about = `the files of ${source.path} are ${formats.join(', ')}`;
  if (separator === '') throw new SettingError('separator', separator, 'must not be empty');
  if (separator !== undefined && !formats.includes('text')) {
    throw new SettingError('separator', separator, `is for plain text, but ${about}`);
  }
  if (text_field !== undefined && formats.every((format) => format === 'text')) {
    throw new SettingError('text_field', text_field, `is for data with fields, but ${about}`);
  }
  return found;
}

async function findFiles(source: CorpusSource): Promise<SourceFiles> {
  const { path, format } = source;
  if (format !== undefined && !corpusFormats.includes(format)) {
    throw new SettingError('format', format, `must be one of ${corpusFormats.join(', ')}`);
  }
  if (path === '') throw new SettingError('path', path, 'must name a file, a folder or a glob');
  const facts = existsSync(path) ? statSync(path) : undefined;
  if (facts !== undefined && !facts.isDirectory()) {
    return { files: [{ path: resolve(path), format: format ?? formatFor(path) }], skipped: [] };
  }
  const isFolder = facts !== undefined;
  const isPattern = /[*?[\]{}()!]/.test(path);
  if (!isFolder && !isPattern) throw new NotFoundError('file', path, [`${resolve(path)}: not there`]);
  const { glob } = await import('tinyglobby');
  const found = await glob(isFolder ? '**/*' : path.replaceAll('\\', '/'), {
    cwd: isFolder ? path : process.cwd(),
    absolute: true,
    onlyFiles: true,
    expandDirectories: false,
  });
  const files: CorpusFile[] = [];
  const skipped: string[] = [];
  const seen = new Set<string>();
  for (const each of found.map((file) => resolve(file)).sort(byCodeUnits)) {
    // Links may lead to the same file on several ways, and round in circles.
    const real = realpathSync(each);
    if (seen.has(real)) continue;
    seen.add(real);
    const own = format ?? (isFolder ? formatOf(each) : formatFor(each));
    if (own === undefined || statSync(each).size === 0) skipped.push(each);
    else files.push({ path: each, format: own });
  }
  if (files.length === 0) {
    const kinds = Object.keys(FORMAT_OF).join(', ');
    const place = isFolder ? join(path, '**') : path;
    const there = skipped.length > 0 ? `${skipped.length} files there are empty or of another kind` : 'no file matches';
    throw new NotFoundError('text', path, [`${place}: ${there} (known names end in ${kinds}, also with .gz or .zst)`]);
  }
  return { files, skipped };
}

/** A name that says nothing is plain text, except where that would train on the syntax of a data format. */
function formatFor(path: string): CorpusFormat {
  if (/\.json(\.(gz|gzip|zst|zstd))?$/i.test(path)) {
    throw new SettingError('format', path, 'cannot be told from this name: give "jsonl" (an object a line) or "text"');
  }
  return formatOf(path) ?? 'text';
}

const byCodeUnits = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
