/**
 * GBNF, the grammar files of llama.cpp: `root ::= "a" [0-9]+ ( item | "b" )*`. A rule ends at the end of its line, except inside a group and after `|`;
 * comments begin with `#`. The text follows the rule `root`. (Read from llama.cpp's grammars/README.md and the behaviour of its parser.)
 */
import { FileFormatError } from '../../errors.ts';
import { negatedRanges, Reader } from './gbnf_reader.ts';
import type { Expression, Grammar } from './grammar.ts';

/** An open group or rule body. */
interface Level {
  readonly start: number;
  readonly choices: Expression[];
  items: Expression[];
}

/** @throws FileFormatError with line and column, and what was expected there. */
export function parseGbnf(text: string, file = 'grammar'): Grammar {
  const reader = new Reader(text, file);
  const rules = new Map<string, Expression>();
  const uses = new Map<string, number>();
  const skip = (lines: boolean) => {
    for (;;) {
      const char = reader.peek();
      if (char === ' ' || char === '\t' || (lines && (char === '\n' || char === '\r'))) reader.at++;
      else if (char === '#') reader.skipLine();
      else return;
    }
  };
  skip(true);
  while (!reader.ended) {
    const place = reader.at;
    const name = reader.word(/[A-Za-z0-9_-]+/y, 'the name of a rule');
    skip(false);
    if (!reader.take('::=')) reader.fail('"::=" after the name of a rule');
    skip(true);
    if (rules.has(name)) reader.fail(`another name: the rule "${name}" is there already`, place);
    rules.set(name, body(reader, skip, uses));
    skip(false);
    if (reader.take('\r\n') || reader.take('\n') || reader.take('\r')) skip(true);
    else if (!reader.ended) reader.fail('the end of the line, "|" or another item of the rule');
  }
  if (!rules.has('root')) throw new FileFormatError(file, '', 'has no rule "root", which the text would follow');
  for (const [name, place] of uses) {
    if (!rules.has(name)) reader.fail(`the name of a rule that the file defines: "${name}" is not`, place);
  }
  return { rules, start: 'root' };
}

/** The alternatives of a rule. Groups are kept on a stack of their own: they may be nested however deep. */
function body(reader: Reader, skip: (lines: boolean) => void, uses: Map<string, number>): Expression {
  const levels: Level[] = [{ start: reader.at, choices: [], items: [] }];
  for (;;) {
    const level = levels[levels.length - 1];
    const nested = levels.length > 1;
    const char = reader.peek();
    let item: Expression | null = null;
    if (char === '"') item = { kind: 'bytes', bytes: reader.quoted(escaped) };
    else if (char === '[') item = characterClass(reader);
    else if (char === '.') {
      reader.at++;
      item = { kind: 'characters', ranges: [[0, 0x10ffff]] };
    } else if (char === '(') {
      levels.push({ start: reader.at++, choices: [], items: [] });
      skip(true);
      continue;
    } else if (char === '|') {
      reader.at++;
      level.choices.push(sequence(level.items));
      level.items = [];
      skip(true);
      continue;
    } else if (char === ')' && nested) {
      reader.at++;
      level.choices.push(sequence(level.items));
      levels.pop();
      item = choice(level.choices);
    } else if (char === '<' || char === '!') {
      reader.fail('text: tokens by name or number (<name>, <[number]>) cannot be enforced over bytes');
    } else if (/[A-Za-z0-9_-]/.test(char)) {
      const place = reader.at;
      const name = reader.word(/[A-Za-z0-9_-]+/y, 'a name');
      if (!uses.has(name)) uses.set(name, place);
      item = { kind: 'rule', name };
    }
    if (item === null) {
      if (nested) reader.fail(`")" for the "(" ${reader.placeOf(level.start)}`);
      level.choices.push(sequence(level.items));
      return choice(level.choices);
    }
    const target = levels[levels.length - 1];
    skip(levels.length > 1);
    for (;;) {
      const [min, max] = repetition(reader, skip, levels.length > 1);
      if (min < 0) break;
      item = { kind: 'repeat', item, min, max };
      skip(levels.length > 1);
    }
    target.items.push(item);
  }
}

/** `?`, `*`, `+`, `{m}`, `{m,}`, `{m,n}`, `{,n}`; -1 where none is there. */
function repetition(reader: Reader, skip: (lines: boolean) => void, nested: boolean): [min: number, max: number] {
  if (reader.take('?')) return [0, 1];
  if (reader.take('*')) return [0, Number.POSITIVE_INFINITY];
  if (reader.take('+')) return [1, Number.POSITIVE_INFINITY];
  const start = reader.at;
  if (!reader.take('{')) return [-1, -1];
  skip(nested);
  const min = reader.peek() === ',' ? 0 : reader.number();
  skip(nested);
  let max = min;
  if (reader.take(',')) {
    skip(nested);
    max = /[0-9]/.test(reader.peek()) ? reader.number() : Number.POSITIVE_INFINITY;
    skip(nested);
  }
  if (!reader.take('}')) reader.fail('"}" after the counts of a repetition');
  if (max < min) reader.fail(`a second count that is not below the first, ${min}`, start);
  return [min, max];
}

function characterClass(reader: Reader): Expression {
  const start = reader.at++;
  const negated = reader.take('^');
  const ranges: [number, number][] = [];
  const one = () => (reader.peek() === '\\' ? escaped(reader) : reader.character());
  while (!reader.take(']')) {
    if (reader.ended) reader.fail(`"]" for the "[" ${reader.placeOf(start)}`);
    const place = reader.at;
    const first = one();
    let last = first;
    if (reader.peek() === '-' && reader.peek(1) !== ']') {
      reader.at++;
      if (reader.ended) reader.fail(`"]" for the "[" ${reader.placeOf(start)}`);
      last = one();
      if (last < first) reader.fail('a range whose end is not before its beginning', place);
    }
    ranges.push([first, last]);
  }
  return { kind: 'characters', ranges: negated ? negatedRanges(ranges) : ranges };
}

/** A backslash and what follows it: a code point. */
function escaped(reader: Reader): number {
  const start = reader.at++;
  const char = reader.peek();
  reader.at++;
  const letters: Record<string, number> = { n: 10, r: 13, t: 9 };
  const digits: Record<string, number> = { x: 2, u: 4, U: 8 };
  if (digits[char] !== undefined) return reader.hexadecimal(digits[char]);
  if (letters[char] !== undefined) return letters[char];
  if (char !== '' && '\\"[]-^'.includes(char)) return char.charCodeAt(0);
  return reader.fail('\\n, \\r, \\t, \\xNN, \\uNNNN, \\UNNNNNNNN, \\\\, \\", \\[, \\] or \\-', start);
}

export function sequence(items: readonly Expression[]): Expression {
  return items.length === 1 ? items[0] : { kind: 'sequence', items };
}

export function choice(items: readonly Expression[]): Expression {
  return items.length === 1 ? items[0] : { kind: 'choice', items };
}
