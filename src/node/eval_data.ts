/** Tasks and their documents from files. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { CapacityError, FileFormatError, NotFoundError, SettingError } from '../errors.ts';
import { builtinTask } from '../evaluation/builtin.ts';
import { DEFAULT_SEED } from '../evaluation/evaluate.ts';
import { makeDocuments } from '../evaluation/rules.ts';
import { parseTask } from '../evaluation/task_file.ts';
import type { DataFile, DatasetFormat, Document, Task, TaskDefinition, TaskGroup } from '../evaluation/types.ts';
import { tableRowsOf, textChunks } from './corpus_readers.ts';

/** Texts of a data set are held in memory. */
const MOST_CHARACTERS = 1 << 28;

export interface TaskOptions {
  /** Where data files are looked for: $INKSTONE_DATA unless given. */
  readonly data?: string;
  /** Files for the scored split of tasks, by the tasks' names. */
  readonly datasets?: ReadonlyMap<string, readonly string[]>;
  /** Of documents that are made by rule. */
  readonly seed?: number;
}

/** A task or group by its name, or the task of a JSON file. @throws NotFoundError, FileFormatError. */
export function openTask(name: string, options: TaskOptions = {}): Task | TaskGroup {
  if (/\.json$/i.test(name)) return new FileTask(readTaskFile(name), dirname(resolve(name)), options);
  const found = builtinTask(name);
  if (!('length' in found)) return new FileTask(found, undefined, options);
  return { name, tasks: found.map((task) => new FileTask(task, undefined, options)) };
}

function readTaskFile(path: string): TaskDefinition {
  if (!existsSync(path)) throw new NotFoundError('task file', path);
  const { size } = statSync(path);
  if (size > 1 << 20) throw new CapacityError('task file', size, 1 << 20, 'bytes');
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new FileFormatError(path, '', `is no JSON: ${(error as Error).message}`);
  }
  return parseTask(json, path);
}

class FileTask implements Task {
  private readonly read = new Map<string, Promise<readonly Document[]>>();
  private readonly list: DataFile[] = [];

  /** @param folder of the task's file. */
  constructor(
    readonly definition: TaskDefinition,
    private readonly folder: string | undefined,
    private readonly options: TaskOptions,
  ) {}

  documents(split: string): Promise<readonly Document[]> {
    const known = this.read.get(split) ?? this.load(split);
    this.read.set(split, known);
    return known;
  }

  files(): readonly DataFile[] {
    return this.list;
  }

  private async load(split: string): Promise<readonly Document[]> {
    const { name, dataset } = this.definition;
    if (dataset.rule) return makeDocuments(dataset, split, this.options.seed ?? DEFAULT_SEED, name);
    const documents: Document[] = [];
    for (const path of await this.paths(split)) {
      const from = this.folder ?? this.dataFolder ?? '.';
      const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
      const inside = relative(from, path);
      this.list.push({ name: inside.startsWith('..') ? basename(path) : inside.replaceAll('\\', '/'), sha256 });
      for (const document of await readDocuments(path, dataset.format, dataset.columns)) documents.push(document);
    }
    if (documents.length === 0) throw new FileFormatError(name, `split ${split}`, 'it has no documents');
    return documents;
  }

  private get dataFolder(): string | undefined {
    return this.options.data ?? process.env.INKSTONE_DATA;
  }

  /** @throws NotFoundError with the places, and with what to fetch. */
  private async paths(split: string): Promise<string[]> {
    const { name, dataset } = this.definition;
    const given = split === dataset.split ? this.options.datasets?.get(name) : undefined;
    const tried: string[] = [];
    if (given) {
      const found = await allMatching(given, '.', tried);
      if (found.length === 0) throw new NotFoundError('data file', given.join(', '), tried);
      return found;
    }
    const patterns = dataset.splits[split];
    if (!patterns) {
      const names = Object.keys(dataset.splits).join(', ');
      throw new SettingError('split', split, `${name} has the splits ${names}`);
    }
    for (const folder of [this.folder, this.dataFolder]) {
      if (folder === undefined) continue;
      const found = await allMatching(patterns, folder, tried);
      if (found.length > 0) return found;
    }
    if (this.dataFolder === undefined) tried.push('no data folder: give --data DIR, or set INKSTONE_DATA');
    if (dataset.source) tried.push(`to fetch: ${dataset.source}`);
    throw new NotFoundError(`data of task ${name}`, patterns.join(' or '), tried);
  }
}

/** The files of some patterns, each once. */
async function allMatching(patterns: readonly string[], folder: string, tried: string[]): Promise<string[]> {
  const found: string[] = [];
  for (const pattern of patterns) found.push(...(await matching(pattern, folder, tried)));
  return [...new Set(found)];
}

async function matching(pattern: string, folder: string, tried: string[]): Promise<string[]> {
  const path = resolve(folder, pattern);
  const isFile = existsSync(path) && statSync(path).isFile();
  const found = isFile ? [path] : /[*?[{]/.test(pattern) ? await filesLike(pattern, folder) : [];
  if (found.length === 0) tried.push(join(folder, pattern));
  return found;
}

async function filesLike(pattern: string, folder: string): Promise<string[]> {
  const { glob } = await import('tinyglobby');
  return (await glob(pattern.replaceAll('\\', '/'), { cwd: folder, absolute: true })).sort();
}

function formatOf(path: string): DatasetFormat {
  const [, ending] = /\.([a-z]+)(?:\.(?:gz|gzip|zst|zstd))?$/i.exec(path) ?? [];
  const formats: Readonly<Record<string, DatasetFormat>> = {
    jsonl: 'jsonl',
    ndjson: 'jsonl',
    json: 'json',
    csv: 'csv',
    tsv: 'tsv',
    txt: 'text',
  };
  const format = formats[(ending ?? '').toLowerCase()];
  if (format) return format;
  throw new FileFormatError(
    path,
    '',
    'its name does not tell its format',
    'Say "format" in the task: jsonl, json, csv, tsv or text',
  );
}

/** The documents of a file, packed or not. @throws FileFormatError with the line. */
async function readDocuments(
  path: string,
  given: DatasetFormat | undefined,
  columns: readonly string[] | undefined,
): Promise<Document[]> {
  const format = given ?? formatOf(path);
  if (format === 'tsv' || format === 'csv') return tableDocuments(path, format, columns);
  let text = '';
  for await (const chunk of textChunks(path)) {
    text += chunk;
    if (text.length > MOST_CHARACTERS) throw new CapacityError(path, text.length, MOST_CHARACTERS, 'characters');
  }
  if (format === 'text') return [{ text, file: basename(path) }];
  if (format === 'json') {
    const value = parseJson(text, path, '');
    if (!Array.isArray(value)) throw new FileFormatError(path, '', 'it has to be a list of objects');
    return value.map((one, i) => asDocument(one, path, `[${i}]`));
  }
  const lines = text.split('\n');
  return lines.flatMap((line, i) => {
    if (line.trim() === '') return [];
    return [asDocument(parseJson(line, path, `line ${i + 1}`), path, `line ${i + 1}`)];
  });
}

function parseJson(text: string, path: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FileFormatError(path, where, `is no JSON: ${(error as Error).message}`);
  }
}

function asDocument(value: unknown, path: string, where: string): Document {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Document;
  throw new FileFormatError(path, where, 'it has to be an object');
}

async function tableDocuments(path: string, format: 'csv' | 'tsv', names?: readonly string[]): Promise<Document[]> {
  const documents: Document[] = [];
  let columns = names;
  for await (const { cells, line } of tableRowsOf(textChunks(path), path, format === 'csv' ? ',' : '\t')) {
    if (columns === undefined) {
      columns = cells;
      continue;
    }
    if (cells.length !== columns.length) {
      const problem = `it has ${cells.length} cells, but there are ${columns.length} columns (${columns.join(', ')})`;
      throw new FileFormatError(path, `line ${line}`, problem);
    }
    documents.push(Object.fromEntries(columns.map((name, i) => [name, cells[i]])));
  }
  return documents;
}
