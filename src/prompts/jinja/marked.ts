/**
 * Strings that remember where each character came from.
 *
 * A rendered conversation mixes the template's own text, whose special tokens are meant, with text that somebody
 * wrote, which must never become a special token. Wrapping content in sentinels does not survive `trim`, comparison or
 * `split`; here every string operation of the template language carries the origin along instead.
 */

/** A stretch of UTF-16 code units [start, end) with a non-zero tag. */
export interface Mark {
  readonly start: number;
  readonly end: number;
  readonly tag: number;
}

/** Bit 0 of a tag: the text came with the request (messages, tools, documents), not with the template. */
export const FROM_USER = 1;
/** Bits above: the number of the `{% generation %}` block that printed the text, times two. */
export const GENERATION_STEP = 2;

const NO_MARKS: readonly Mark[] = [];

/** An immutable string with the origin of its characters. Marks are sorted, disjoint and never empty. */
export class Str {
  constructor(
    readonly text: string,
    readonly marks: readonly Mark[] = NO_MARKS,
  ) {}

  static tagged(text: string, tag: number): Str {
    return text === '' || tag === 0 ? new Str(text) : new Str(text, [{ start: 0, end: text.length, tag }]);
  }
}

export const EMPTY = new Str('');

/** Joins strings; neighbouring marks with the same tag become one. */
export function concat(parts: readonly (Str | string)[]): Str {
  const texts: string[] = [];
  const marks: Mark[] = [];
  let offset = 0;
  for (const part of parts) {
    const text = typeof part === 'string' ? part : part.text;
    if (typeof part !== 'string') for (const mark of part.marks) append(marks, mark, offset);
    texts.push(text);
    offset += text.length;
  }
  return new Str(texts.join(''), marks.length > 0 ? marks : NO_MARKS);
}

function append(marks: Mark[], mark: Mark, offset: number): void {
  const last = marks.at(-1);
  const start = mark.start + offset;
  const end = mark.end + offset;
  if (last && last.end === start && last.tag === mark.tag)
    marks[marks.length - 1] = { start: last.start, end, tag: last.tag };
  else marks.push({ start, end, tag: mark.tag });
}

/** The code units [start, end), with their marks. */
export function substring(s: Str, start: number, end = s.text.length): Str {
  const text = s.text.slice(start, end);
  if (s.marks.length === 0 || text === '') return new Str(text);
  const marks: Mark[] = [];
  for (const mark of s.marks) {
    const from = Math.max(mark.start, start);
    const to = Math.min(mark.end, end);
    if (from < to) marks.push({ start: from - start, end: to - start, tag: mark.tag });
  }
  return new Str(text, marks);
}

/** The string cut where its tag changes. */
export function runs(s: Str): { text: string; tag: number }[] {
  const out: { text: string; tag: number }[] = [];
  let at = 0;
  for (const mark of s.marks) {
    if (mark.start > at) out.push({ text: s.text.slice(at, mark.start), tag: 0 });
    out.push({ text: s.text.slice(mark.start, mark.end), tag: mark.tag });
    at = mark.end;
  }
  if (at < s.text.length) out.push({ text: s.text.slice(at), tag: 0 });
  return out;
}

/** Applies a change that works character by character (escaping), keeping every character's origin. */
export function mapRuns(s: Str, change: (text: string) => string): Str {
  if (s.marks.length === 0) return new Str(change(s.text));
  return concat(runs(s).map((run) => Str.tagged(change(run.text), run.tag)));
}

/**
 * Applies a change of the whole text. When the length stays, so do the marks; when it does not, the origin of single
 * characters is lost and the whole result takes every tag of the source: what may come from the user counts as his.
 */
export function mapWhole(s: Str, change: (text: string) => string): Str {
  const text = change(s.text);
  if (s.marks.length === 0) return new Str(text);
  if (text.length === s.text.length) return new Str(text, s.marks);
  return Str.tagged(
    text,
    s.marks.reduce((all, mark) => all | mark.tag, 0),
  );
}

/** Adds the bits of `tag` to every character. */
export function addTag(s: Str, tag: number): Str {
  return concat(runs(s).map((run) => Str.tagged(run.text, run.tag | tag)));
}

/** Replaces up to `count` (all when negative) occurrences of `old`, as Python's str.replace does. */
export function replaceText(s: Str, old: string, by: Str, count: number): Str {
  const parts: Str[] = [];
  let at = 0;
  let left = count < 0 ? Number.POSITIVE_INFINITY : count;
  if (old === '') {
    for (const point of s.text) {
      if (left-- <= 0) break;
      parts.push(by, substring(s, at, at + point.length));
      at += point.length;
    }
    if (at === s.text.length && left > 0) parts.push(by);
    parts.push(substring(s, at));
    return concat(parts);
  }
  while (left-- > 0) {
    const found = s.text.indexOf(old, at);
    if (found < 0) break;
    parts.push(substring(s, at, found), by);
    at = found + old.length;
  }
  if (at === 0) return s;
  parts.push(substring(s, at));
  return concat(parts);
}

const SURROGATES = /[\ud800-\udfff]/;

/** Length in Unicode code points, as Python counts. */
export function codePoints(text: string): number {
  if (!SURROGATES.test(text)) return text.length;
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** The code points as strings of their own, with marks. */
export function characters(s: Str): Str[] {
  const out: Str[] = [];
  let at = 0;
  let m = 0;
  for (const point of s.text) {
    while (m < s.marks.length && s.marks[m].end <= at) m++;
    const mark = s.marks[m];
    out.push(mark && mark.start <= at ? Str.tagged(point, mark.tag) : new Str(point));
    at += point.length;
  }
  return out;
}

/** UTF-16 offset of the code point with index `index` (0 … length in code points). */
export function offsetOf(text: string, index: number): number {
  if (!SURROGATES.test(text)) return Math.min(index, text.length);
  let at = 0;
  for (const point of text) {
    if (index-- <= 0) break;
    at += point.length;
  }
  return at;
}
