/**
 * Documents from streams of text. A document comes in parts, so that one larger than memory can pass; many small ones
 * come in one array, which costs less than one by one.
 */
import { FileFormatError } from '../../errors.ts';

/** A stretch of a document's text; `end` after its last. A document without text is none. */
export interface DocumentPart {
  readonly text: string;
  readonly end: boolean;
}

/** Documents in order, in parts. */
export type DocumentParts = AsyncIterable<readonly DocumentPart[]>;

/** A line may be this long, in UTF-16 units; more is a file that is no JSONL. */
const LONGEST_LINE = 1 << 28;

/** @param separator between documents, left out of them; without one, the stream is one document. */
export async function* splitText(chunks: AsyncIterable<string>, separator?: string): AsyncGenerator<DocumentPart[]> {
  let rest = '';
  let open = false;
  for await (const chunk of chunks) {
    if (!separator) {
      open = true;
      yield [{ text: chunk, end: false }];
      continue;
    }
    const pieces = (rest + chunk).split(separator);
    rest = pieces.pop()!;
    const parts = pieces.map((text) => ({ text, end: true }));
    // What may be the beginning of a separator waits for the next chunk; the text before it need not.
    const safe = safeCut(rest, rest.length - (separator.length - 1));
    if (safe > 0) {
      parts.push({ text: rest.slice(0, safe), end: false });
      rest = rest.slice(safe);
    }
    if (parts.length > 0) {
      open = !parts[parts.length - 1].end;
      yield parts;
    }
  }
  if (open || rest.length > 0) yield [{ text: rest, end: true }];
}

/** A place at or before `at` that does not part a surrogate pair. */
export function safeCut(text: string, at: number): number {
  const unit = text.charCodeAt(at);
  return at > 0 && unit >= 0xdc00 && unit <= 0xdfff ? at - 1 : at;
}

/** The lines of a stream with their numbers, from 1; without their ends. */
export async function* lines(
  chunks: AsyncIterable<string>,
  file: string,
): AsyncGenerator<{ line: string; number: number }[]> {
  let rest = '';
  let number = 1;
  for await (const chunk of chunks) {
    // A long line grows as a rope and is made one string once, when its end arrives.
    const pieces = chunk.includes('\n') ? (rest + chunk).split('\n') : [rest + chunk];
    rest = pieces.pop()!;
    if (rest.length > LONGEST_LINE) {
      throw new FileFormatError(file, `line ${number + pieces.length}`, 'it is longer than 2^28 characters');
    }
    if (pieces.length > 0) yield pieces.map((line) => ({ line, number: number++ }));
  }
  if (rest.length > 0) yield [{ line: rest, number }];
}

/**
 * JSON Lines (jsonlines.org): one object a line, one document each. Empty lines are passed over.
 * @param field whose string is the text.
 * @throws FileFormatError for a line that is no such object, with its number.
 */
export async function* jsonLines(
  chunks: AsyncIterable<string>,
  file: string,
  field: string,
): AsyncGenerator<DocumentPart[]> {
  for await (const group of lines(chunks, file)) {
    const parts: DocumentPart[] = [];
    for (const { line, number } of group) {
      if (line.trim() === '') continue;
      parts.push({ text: textOf(line, number, file, field), end: true });
    }
    if (parts.length > 0) yield parts;
  }
}

function textOf(line: string, number: number, file: string, field: string): string {
  const where = `line ${number}`;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new FileFormatError(file, where, `it is not JSON (${(error as Error).message})`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new FileFormatError(file, where, 'it is not a JSON object', 'JSONL has one object a line');
  }
  return textField((value as Record<string, unknown>)[field], file, where, field, Object.keys(value));
}

/**
 * The text of one row's column.
 * @throws FileFormatError when it is missing, with the columns there are, or no string. An absent value (null) is an
 *   empty text where the row has the column.
 */
export function textField(
  value: unknown,
  file: string,
  where: string,
  field: string,
  columns: readonly string[],
): string {
  if (typeof value === 'string') return value;
  if (columns.includes(field)) {
    if (value === null || value === undefined) return '';
    throw new FileFormatError(file, where, `"${field}" is not a string but ${typeof value}`);
  }
  throw missingField(file, where, field, columns);
}

/** There is no such column. */
export function missingField(file: string, where: string, field: string, columns: readonly string[]): FileFormatError {
  const there = columns.slice(0, 50).map((name) => `"${name}"`);
  const list = there.length > 0 ? `there are ${there.join(', ')}` : 'there are none';
  return new FileFormatError(file, where, `there is no "${field}": ${list}`, 'Name the right one as text_field');
}
