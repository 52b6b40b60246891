/** Reading grammar files: a place in a text, and errors that say where and what was expected. */
import { FileFormatError } from '../../errors.ts';

export class Reader {
  at = 0;

  constructor(
    readonly text: string,
    private readonly file: string,
  ) {}

  get ended(): boolean {
    return this.at >= this.text.length;
  }

  /** The UTF-16 unit at the place, or '' at the end. */
  peek(ahead = 0): string {
    return this.text.charAt(this.at + ahead);
  }

  take(word: string): boolean {
    if (!this.text.startsWith(word, this.at)) return false;
    this.at += word.length;
    return true;
  }

  /** What a sticky expression matches here. */
  word(pattern: RegExp, expected: string): string {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) return this.fail(expected);
    this.at += found[0].length;
    return found[0];
  }

  number(): number {
    const place = this.at;
    const value = Number(this.word(/[0-9]+/y, 'a whole number'));
    if (!Number.isSafeInteger(value)) this.fail('a number below 2^53', place);
    return value;
  }

  /** One code point. */
  character(): number {
    const code = this.text.codePointAt(this.at);
    if (code === undefined) return this.fail('a character');
    this.at += code > 0xffff ? 2 : 1;
    return code;
  }

  hexadecimal(digits: number): number {
    const place = this.at;
    const text = this.text.slice(place, place + digits);
    const code = /^[0-9A-Fa-f]+$/.test(text) && text.length === digits ? Number.parseInt(text, 16) : -1;
    if (code < 0 || code > 0x10ffff) this.fail(`${digits} hexadecimal digits of a character`, place);
    this.at += digits;
    return code;
  }

  /** The bytes of a text in quotation marks, which stand at the place. @param escaped reads a backslash and what follows it. */
  quoted(escaped: ((reader: Reader) => number) | null): Uint8Array {
    const start = this.at;
    const mark = this.peek();
    this.at++;
    const codes: string[] = [];
    while (!this.take(mark)) {
      if (this.ended) this.fail(`${mark} for the ${mark} ${this.placeOf(start)}`);
      const place = this.at;
      const code = escaped !== null && this.peek() === '\\' ? escaped(this) : this.character();
      if (code >= 0xd800 && code <= 0xdfff) this.fail('a character: halves of surrogate pairs are none', place);
      codes.push(String.fromCodePoint(code));
    }
    return new TextEncoder().encode(codes.join(''));
  }

  skipLine(): void {
    while (!this.ended && this.peek() !== '\n' && this.peek() !== '\r') this.at++;
  }

  placeOf(at: number): string {
    const before = this.text.slice(0, at).split(/\r\n|\n|\r/);
    return `at line ${before.length}, column ${before[before.length - 1].length + 1}`;
  }

  fail(expected: string, at = this.at): never {
    const found = at >= this.text.length ? 'the end' : JSON.stringify(this.text.slice(at, at + 12));
    throw new FileFormatError(this.file, this.placeOf(at).slice(3), `found ${found}, expected ${expected}`);
  }
}

/** All characters that are not in the ranges. */
export function negatedRanges(ranges: readonly (readonly [number, number])[]): [number, number][] {
  const result: [number, number][] = [];
  let next = 0;
  for (const [first, last] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (first > next) result.push([next, first - 1]);
    next = Math.max(next, last + 1);
  }
  if (next <= 0x10ffff) result.push([next, 0x10ffff]);
  return result;
}
