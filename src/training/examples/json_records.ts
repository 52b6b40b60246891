/**
 * Records from JSON text: one object a line (JSON Lines), or one array of objects. An array is cut at its top level and
 * each object read by itself, so that an error names the line where its object begins.
 */
import { FileFormatError } from '../../errors.ts';
import { lines } from '../data/documents.ts';
import { kindOf } from './record.ts';

/** An object, and the line of the file on which it begins, from 1. */
export interface NumberedObject {
  readonly line: number;
  readonly values: Readonly<Record<string, unknown>>;
}

/** A record may be this long, in UTF-16 units. */
const LONGEST = 1 << 28;

/**
 * The objects of a stream of text. That it is an array is known by its first character.
 * @param file in messages.
 * @throws FileFormatError with the line for what is no JSON, or no object.
 */
export async function* jsonRecords(chunks: AsyncIterable<string>, file: string): AsyncGenerator<NumberedObject> {
  const iterator = chunks[Symbol.asyncIterator]();
  let head = '';
  let first: IteratorResult<string> = await iterator.next();
  while (!first.done && head.length < LONGEST) {
    head += first.value;
    if (head.trim() !== '') break;
    first = await iterator.next();
  }
  const all = (async function* () {
    yield head;
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
  })();
  yield* head.trimStart().startsWith('[') ? fromArray(all, file) : fromLines(all, file);
}

async function* fromLines(chunks: AsyncIterable<string>, file: string): AsyncGenerator<NumberedObject> {
  let firstLine = '';
  for await (const group of lines(chunks, file)) {
    for (const { line, number } of group) {
      if (line.trim() === '') continue;
      firstLine ||= line.trim();
      yield objectOf(line, file, number, firstLine === '{' ? ONE_OBJECT : '');
    }
  }
}

const ONE_OBJECT = 'A file of one object over many lines is not read: make it an array of records or one object a line';

const JSON_SPACE = new Set(' \t\n\r');

/** Cuts at the commas of the outermost level. What lies between them is JSON or is refused when it is parsed. */
async function* fromArray(chunks: AsyncIterable<string>, file: string): AsyncGenerator<NumberedObject> {
  let [depth, inString, escaped, ended] = [0, false, false, false];
  let [line, begun, item, count] = [1, 0, '', 0];
  for await (const chunk of chunks) {
    let start = 0;
    for (let i = 0; i < chunk.length; i++) {
      const unit = chunk[i];
      if (unit === '\n') line++;
      if (inString) {
        if (escaped) escaped = false;
        else if (unit === '\\') escaped = true;
        else if (unit === '"') inString = false;
        continue;
      }
      if (JSON_SPACE.has(unit)) continue;
      if (ended) throw new FileFormatError(`${file}:${line}`, '', 'there is more after the end of the array');
      if (depth === 0) {
        depth = 1;
        start = i + 1;
        continue;
      }
      const closes = depth === 1 && unit === ']';
      if (closes || (depth === 1 && unit === ',')) {
        item += chunk.slice(start, i);
        start = i + 1;
        ended = closes;
        if (closes && count === 0 && item.trim() === '') continue;
        count++;
        yield objectOf(item, file, begun || line);
        [item, begun] = ['', 0];
        continue;
      }
      if (begun === 0) begun = line;
      if (unit === '"') inString = true;
      else if (unit === '{' || unit === '[') depth++;
      else if (unit === '}' || unit === ']') depth--;
      if (depth === 0) throw new FileFormatError(`${file}:${line}`, '', `there is a "${unit}" that closes nothing`);
    }
    if (!ended) item += chunk.slice(start);
    if (item.length > LONGEST) {
      throw new FileFormatError(
        `${file}:${begun || line}`,
        '',
        'the record that begins here is longer than 2^28 characters',
      );
    }
  }
  if (ended) return;
  const where = begun > 0 ? `; the record that begins on line ${begun} is not complete` : '';
  throw new FileFormatError(`${file}:${line}`, '', `the file ends inside of the array${where}`, 'It may be cut off');
}

function objectOf(text: string, file: string, line: number, hint = ''): NumberedObject {
  const where = `${file}:${line}`;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const problem =
      text.trim() === '' ? 'there is no record where a comma says so' : `it is not JSON (${brief(error)})`;
    throw new FileFormatError(where, '', problem, hint);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new FileFormatError(where, '', `the record is not an object but ${kindOf(value)}`);
  }
  return { line, values: value as Record<string, unknown> };
}

/** Messages of JSON.parse quote the text. */
const brief = (error: unknown) => (error as Error).message.replace(/\s+/g, ' ').slice(0, 120);
