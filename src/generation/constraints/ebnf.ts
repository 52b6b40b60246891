/**
 * EBNF as people write it: that of ISO 14977 and Pascal (`list = item, { ",", item } ;`) and that of the W3C (`list ::= item ("," item)*`). The two
 * disagree about brackets: in a file whose rules are defined by `::=`, `[a-z]` is a class of characters (unless it holds names and texts apart by spaces,
 * as `[ sign ]`, which is not read); in one with `=`, `[ a ]` is an optional part and `{ a }` a repeated one. The text follows the rule `root` if there is
 * one, else the first.
 */
import { FileFormatError } from '../../errors.ts';
import { choice, sequence } from './gbnf.ts';
import { negatedRanges, Reader } from './gbnf_reader.ts';
import type { Expression, Grammar } from './grammar.ts';

interface Level {
  readonly start: number;
  /** The bracket that ends it, or '' for a rule. */
  readonly end: string;
  /** How often it is to stand, where that was written before it. */
  readonly times: number | null;
  readonly choices: Expression[];
  items: Expression[];
}

const NAME = /[A-Za-z_][A-Za-z0-9_-]*/y;
const BRACKETED_NAME = /<[A-Za-z_][A-Za-z0-9_ -]*>/y;

/** @throws FileFormatError with line and column, and what was expected there. */
export function parseEbnf(text: string, file = 'grammar'): Grammar {
  return new EbnfParser(new Reader(text, file), file).grammar();
}

class EbnfParser {
  private readonly rules = new Map<string, Expression>();
  private readonly uses = new Map<string, number>();
  /** Whether `[…]` is a class: decided by the first rule's sign. */
  private classes = false;

  constructor(
    private readonly reader: Reader,
    private readonly file: string,
  ) {}

  grammar(): Grammar {
    const { reader, rules } = this;
    let first: string | null = null;
    for (this.skip(); !reader.ended; this.skip()) {
      const place = reader.at;
      const name = this.name();
      this.skip();
      const sign = ['::=', ':=', '='].find((one) => reader.take(one));
      if (sign === undefined) reader.fail('"=" or "::=" after the name of a rule');
      if (first === null) {
        first = name;
        this.classes = sign === '::=';
      } else if (this.classes !== (sign === '::='))
        reader.fail('the sign of the first rule: "=" and "::=" do not mix', place);
      if (rules.has(name)) reader.fail(`another name: the rule "${name}" is there already`, place);
      rules.set(name, this.body());
    }
    if (first === null) throw new FileFormatError(this.file, '', 'has no rules');
    for (const [name, place] of this.uses) {
      if (!rules.has(name)) reader.fail(`the name of a rule that the file defines: "${name}" is not`, place);
    }
    return { rules, start: rules.has('root') ? 'root' : first };
  }

  private skip(): void {
    const { reader } = this;
    for (;;) {
      const char = reader.peek();
      if (char === ' ' || char === '\t' || char === '\n' || char === '\r') reader.at++;
      else if (char === '#' && reader.peek(1) !== 'x') reader.skipLine();
      else if (char === '/' && reader.peek(1) === '/') reader.skipLine();
      else if (char === '(' && reader.peek(1) === '*') this.comment('*)');
      else if (char === '/' && reader.peek(1) === '*') this.comment('*/');
      else return;
    }
  }

  private comment(end: string): void {
    const { reader } = this;
    const close = reader.text.indexOf(end, reader.at + 2);
    if (close < 0) reader.fail(`"${end}" for the comment that begins here`);
    reader.at = close + 2;
  }

  private name(): string {
    return this.maybeName() ?? this.reader.fail('the name of a rule');
  }

  private maybeName(): string | null {
    const { reader } = this;
    for (const pattern of [NAME, BRACKETED_NAME]) {
      pattern.lastIndex = reader.at;
      const found = pattern.exec(reader.text);
      if (found === null) continue;
      reader.at += found[0].length;
      return found[0].replace(/^<|>$/g, '');
    }
    return null;
  }

  /** Whether a rule begins here: a name and the sign that defines it. */
  private isRule(): boolean {
    const { reader } = this;
    const place = reader.at;
    const named = this.maybeName() !== null;
    this.skip();
    const result =
      named &&
      (reader.peek() === '=' || reader.text.startsWith(':=', reader.at) || reader.text.startsWith('::=', reader.at));
    reader.at = place;
    return result;
  }

  private body(): Expression {
    const { reader } = this;
    const levels: Level[] = [{ start: reader.at, end: '', times: null, choices: [], items: [] }];
    const ends: Record<string, string> = { '(': ')', '[': ']', '{': '}' };
    // A count before an item: `3 * digit`.
    let times: number | null = null;
    for (;;) {
      this.skip();
      const level = levels[levels.length - 1];
      const char = reader.peek();
      const open = char === '[' && this.classes ? undefined : ends[char];
      let item: Expression | null = null;
      if (open !== undefined) {
        levels.push({ start: reader.at++, end: open, times, choices: [], items: [] });
        times = null;
        continue;
      }
      if (char === '|' || (char === '/' && !this.classes)) {
        reader.at++;
        level.choices.push(sequence(level.items));
        level.items = [];
        continue;
      }
      if (char === ',') {
        if (level.items.length === 0) reader.fail('an item before ","');
        reader.at++;
        continue;
      }
      if (char === '"' || char === "'") item = this.quoted();
      else if (char === '[') item = this.characterClass();
      else if (char === '#') item = this.single();
      else if (char !== '' && char === level.end) {
        reader.at++;
        levels.pop();
        level.choices.push(sequence(level.items));
        const inner = choice(level.choices);
        if (char === ')') item = inner;
        else item = { kind: 'repeat', item: inner, min: 0, max: char === ']' ? 1 : Number.POSITIVE_INFINITY };
        times = level.times;
      } else if (/[A-Za-z_<]/.test(char) && !(levels.length === 1 && this.isRule())) {
        const place = reader.at;
        const name = this.name();
        if (!this.uses.has(name)) this.uses.set(name, place);
        item = { kind: 'rule', name };
      } else if (/[0-9]/.test(char)) {
        const count = reader.number();
        this.skip();
        if (!reader.take('*')) reader.fail('"*" after the count of a repetition');
        times = count;
        continue;
      } else if (char === '?' && level.items.length === 0)
        reader.fail('an item: special sequences (? … ?) have no meaning of their own');
      else if (char === '-') reader.fail('another item: exceptions (a - b) cannot be enforced');
      if (item === null) {
        if (times !== null) reader.fail('an item after its count');
        if (level.end !== '') reader.fail(`"${level.end}" for the bracket ${reader.placeOf(level.start)}`);
        level.choices.push(sequence(level.items));
        if (reader.peek() === ';' || (reader.peek() === '.' && !this.classes)) reader.at++;
        else if (!reader.ended && !this.isRule()) reader.fail('";", "|", another item or another rule');
        return choice(level.choices);
      }
      item = this.repeated(item);
      if (times !== null) item = { kind: 'repeat', item, min: times, max: times };
      times = null;
      levels[levels.length - 1].items.push(item);
    }
  }

  /** A text between quotation marks; it has no escapes, and what looks like one is refused. */
  private quoted(): Expression {
    const { reader } = this;
    const start = reader.at;
    const bytes = reader.quoted(null);
    const written = /\\[nrtxuU\\]/.exec(reader.text.slice(start, reader.at));
    if (written !== null)
      reader.fail('a text without escapes: EBNF has none, a line end is #xA', start + written.index);
    return { kind: 'bytes', bytes };
  }

  private repeated(item: Expression): Expression {
    const { reader } = this;
    let result = item;
    for (;;) {
      if (reader.take('?')) result = { kind: 'repeat', item: result, min: 0, max: 1 };
      else if (reader.take('*')) result = { kind: 'repeat', item: result, min: 0, max: Number.POSITIVE_INFINITY };
      else if (reader.take('+')) result = { kind: 'repeat', item: result, min: 1, max: Number.POSITIVE_INFINITY };
      else return result;
    }
  }

  /** `#xNN`. */
  private code(): number {
    const { reader } = this;
    const place = reader.at;
    const text = reader.word(/#x[0-9A-Fa-f]{1,8}/y, 'a character as #xNN');
    const code = Number.parseInt(text.slice(2), 16);
    if (code > 0x10ffff) reader.fail('a character up to #x10FFFF', place);
    return code;
  }

  private single(): Expression {
    const code = this.code();
    return { kind: 'characters', ranges: [[code, code]] };
  }

  private characterClass(): Expression {
    const { reader } = this;
    const start = reader.at++;
    if (/^\s[^\]]*\s\]/.test(reader.text.slice(start + 1, start + 200))) {
      reader.fail('a class of characters, or "( … )?" for an optional part: [ … ] with spaces may mean either', start);
    }
    const negated = reader.take('^');
    const ranges: [number, number][] = [];
    const one = () => (reader.text.startsWith('#x', reader.at) ? this.code() : reader.character());
    while (!reader.take(']')) {
      if (reader.ended) reader.fail(`"]" for the "[" ${reader.placeOf(start)}`);
      const place = reader.at;
      const first = one();
      let last = first;
      if (reader.peek() === '-' && reader.peek(1) !== ']' && reader.peek(1) !== '') {
        reader.at++;
        last = one();
        if (last < first) reader.fail('a range whose end is not before its beginning', place);
      }
      ranges.push([first, last]);
    }
    return { kind: 'characters', ranges: negated ? negatedRanges(ranges) : ranges };
  }
}
