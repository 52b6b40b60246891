/**
 * Reads the regular expressions that tokenizer files carry. They are written for Oniguruma (tokenizer.json) or for Rust's
 * fancy-regex (tiktoken): possessive quantifiers and `(?i:…)` are syntax errors in JavaScript, and `\s`, `^` and `$`
 * mean other things, so the expressions are parsed here and matched by pattern.ts.
 *
 * Understood: alternation, groups, `(?i:…)`, `(?>…)`, look-ahead, look-behind of one character, classes with ranges,
 * properties, nesting and `&&`, greedy, lazy and possessive quantifiers, `.`, `^ $ \A \z \Z \b \B`. Everything else
 * (back-references, conditionals, absent operators, `\G`, `\K`, `\R`, `\X`) is refused by name.
 */
import { CharSet, ONIGURUMA_WORD, propertySet, WHITE_SPACE, WORD } from './char-set.ts';

export type Node =
  | { readonly kind: 'set'; readonly set: CharSet }
  | { readonly kind: 'sequence'; readonly parts: readonly Node[] }
  | { readonly kind: 'alternatives'; readonly parts: readonly Node[] }
  | {
      readonly kind: 'repeat';
      readonly body: Node;
      readonly min: number;
      readonly max: number;
      readonly mode: 'greedy' | 'lazy' | 'possessive';
    }
  | { readonly kind: 'look'; readonly body: Node; readonly behind: boolean; readonly negative: boolean }
  | { readonly kind: 'atomic'; readonly body: Node }
  | { readonly kind: 'assertion'; readonly at: Assertion };

export type Assertion = 'text-start' | 'text-end' | 'line-start' | 'line-end' | 'last-line-end' | 'boundary' | 'inside';

export type Dialect = 'oniguruma' | 'rust';

/** What is wrong with an expression; the caller knows the file and makes the error from it. */
export class PatternProblem extends Error {}

export const UNBOUNDED = 0x7fffffff;
const DEEPEST = 64;
const LONGEST = 20_000;

const DIGIT = propertySet('Nd');
const HEX = new CharSet((code) => /[0-9a-fA-F]/.test(String.fromCodePoint(code)));
/** In a class Oniguruma's `\w` is without the superscripts and fractions of Latin-1. */
const WORD_IN_CLASS = new CharSet((code) => /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]/u.test(String.fromCodePoint(code)));
const ANY_BUT_NEWLINE = new CharSet((code) => code !== 10);

/** POSIX names, in `[:…:]` and (Oniguruma) in `\\p{…}`; what they hold as in Oniguruma's doc/RE. */
const POSIX: Readonly<Record<string, string>> = {
  alnum: '[\\p{Alphabetic}\\p{Nd}]',
  alpha: '\\p{Alphabetic}',
  blank: '[\\p{Zs}\\t]',
  cntrl: '\\p{Cc}',
  digit: '\\p{Nd}',
  graph: '[^\\p{White_Space}\\p{Cc}\\p{Cn}\\p{Cs}]',
  lower: '\\p{Lowercase}',
  print: '[^\\p{Cc}\\p{Cn}\\p{Cs}]',
  punct: '[\\p{P}\\p{S}]',
  space: '\\p{White_Space}',
  upper: '\\p{Uppercase}',
  xdigit: '[0-9a-fA-F]',
  word: '[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}]',
};

export function parsePattern(source: string, dialect: Dialect): Node {
  if (source.length > LONGEST)
    throw new PatternProblem(`has ${source.length} characters, at most ${LONGEST} are taken`);
  return new Parser(source, dialect).parse();
}

class Parser {
  private at = 0;
  private ignoreCase = false;
  private depth = 0;
  private readonly text: readonly string[];

  constructor(
    source: string,
    private readonly dialect: Dialect,
  ) {
    this.text = Array.from(source);
  }

  parse(): Node {
    const node = this.alternatives();
    if (this.at < this.text.length) throw new PatternProblem(`has an unmatched ")" at ${this.at}`);
    return node;
  }

  private alternatives(): Node {
    if (++this.depth > DEEPEST) throw new PatternProblem(`nests deeper than ${DEEPEST} groups`);
    const parts = [this.sequence()];
    while (this.eat('|')) parts.push(this.sequence());
    this.depth--;
    return parts.length === 1 ? parts[0] : { kind: 'alternatives', parts };
  }

  private sequence(): Node {
    const parts: Node[] = [];
    while (this.at < this.text.length && this.text[this.at] !== '|' && this.text[this.at] !== ')') {
      const atom = this.atom();
      if (atom !== undefined) parts.push(this.quantified(atom));
    }
    return parts.length === 1 ? parts[0] : { kind: 'sequence', parts };
  }

  private quantified(atom: Node): Node {
    let node = atom;
    for (;;) {
      const range = this.quantifier();
      if (range === undefined) return node;
      if (node.kind === 'look' || node.kind === 'assertion') {
        throw new PatternProblem('repeats a look-around or an anchor, which has no width');
      }
      let mode: 'greedy' | 'lazy' | 'possessive' = 'greedy';
      if (this.eat('?')) mode = 'lazy';
      // In Oniguruma `{n,m}+` repeats the repetition; everything else with `+` is possessive in both dialects.
      else if (!(range.braces && this.dialect === 'oniguruma') && this.eat('+')) mode = 'possessive';
      node = { kind: 'repeat', body: node, min: range.min, max: range.max, mode };
    }
  }

  private quantifier(): { min: number; max: number; braces: boolean } | undefined {
    if (this.eat('*')) return { min: 0, max: UNBOUNDED, braces: false };
    if (this.eat('+')) return { min: 1, max: UNBOUNDED, braces: false };
    if (this.eat('?')) return { min: 0, max: 1, braces: false };
    if (this.text[this.at] !== '{') return undefined;
    const close = this.text.indexOf('}', this.at);
    const inner = close < 0 ? '' : this.text.slice(this.at + 1, close).join('');
    const found = /^(\d{0,6})(?:(,)(\d{0,6}))?$/.exec(inner);
    if (found === null || (found[1] === '' && (found[3] ?? '') === '')) return undefined;
    this.at = close + 1;
    const min = found[1] === '' ? 0 : Number(found[1]);
    const max = found[2] === undefined ? min : found[3] === '' ? UNBOUNDED : Number(found[3]);
    if (max < min) throw new PatternProblem(`has the quantifier {${inner}}, whose end is before its start`);
    return { min, max, braces: true };
  }

  private atom(): Node | undefined {
    const char = this.text[this.at++];
    switch (char) {
      case '(':
        return this.group();
      case '[':
        return this.setNode(this.characterClass());
      case '.':
        return { kind: 'set', set: ANY_BUT_NEWLINE };
      case '^':
        return { kind: 'assertion', at: this.dialect === 'oniguruma' ? 'line-start' : 'text-start' };
      case '$':
        return { kind: 'assertion', at: this.dialect === 'oniguruma' ? 'line-end' : 'text-end' };
      case '*':
      case '+':
      case '?':
        throw new PatternProblem(`has a "${char}" with nothing to repeat at ${this.at - 1}`);
      case '\\':
        return this.escapeAtom();
      default:
        return this.literal(char.codePointAt(0)!);
    }
  }

  private literal(code: number): Node {
    return this.setNode((other) => other === code);
  }

  private setNode(test: (code: number) => boolean): Node {
    return { kind: 'set', set: new CharSet(this.ignoreCase ? anyCase(test) : test) };
  }

  private group(): Node | undefined {
    if (!this.eat('?')) return this.closed(this.alternatives());
    if (this.eat(':')) return this.closed(this.alternatives());
    if (this.eat('>')) return { kind: 'atomic', body: this.closed(this.alternatives()) };
    if (this.eat('=')) return { kind: 'look', body: this.closed(this.alternatives()), behind: false, negative: false };
    if (this.eat('!')) return { kind: 'look', body: this.closed(this.alternatives()), behind: false, negative: true };
    if (this.eat('<')) {
      const negative = this.eat('!');
      if (negative || this.eat('=')) {
        const body = this.closed(this.alternatives());
        if (!isOneCharacter(body)) throw new PatternProblem('looks behind for more than one character');
        return { kind: 'look', body, behind: true, negative };
      }
      const close = this.text.indexOf('>', this.at);
      if (close < 0) throw new PatternProblem('has a group name without an end');
      this.at = close + 1;
      return this.closed(this.alternatives());
    }
    return this.flagGroup();
  }

  /** `(?i:…)`, `(?i)…` and their negations; other flags are refused. */
  private flagGroup(): Node | undefined {
    let on = true;
    let ignoreCase = this.ignoreCase;
    for (;;) {
      const flag = this.text[this.at++];
      if (flag === '-') on = false;
      else if (flag === 'i') ignoreCase = on;
      else if (flag === ':' || flag === ')') {
        const outer = this.ignoreCase;
        this.ignoreCase = ignoreCase;
        if (flag === ')' && this.depth > 1) {
          // The flag holds to the end of the enclosing group.
          const rest = this.alternatives();
          this.ignoreCase = outer;
          return rest;
        }
        if (flag === ')') return undefined;
        const body = this.closed(this.alternatives());
        this.ignoreCase = outer;
        return body;
      } else throw new PatternProblem(`has the group (?${flag ?? ''}, which is not supported`);
    }
  }

  private closed(node: Node): Node {
    if (!this.eat(')')) throw new PatternProblem('has a group without its ")"');
    return node;
  }

  private escapeAtom(): Node {
    const char = this.text[this.at];
    const assertion = char === undefined ? undefined : this.assertionOf(char);
    if (assertion !== undefined) {
      this.at++;
      return { kind: 'assertion', at: assertion };
    }
    const shorthand = this.shorthand();
    if (shorthand !== undefined) return { kind: 'set', set: shorthand };
    return this.literal(this.escapedCode());
  }

  private assertionOf(char: string): Assertion | undefined {
    switch (char) {
      case 'A':
        return 'text-start';
      case 'z':
        return 'text-end';
      case 'Z':
        return 'last-line-end';
      case 'b':
        return 'boundary';
      case 'B':
        return 'inside';
      default:
        return undefined;
    }
  }

  /** `\s \S \d \D \w \W \h \p{…} \P{…}` after the backslash, or undefined. */
  private shorthand(inClass = false): CharSet | undefined {
    const char = this.text[this.at];
    const pick = (set: CharSet, negative: boolean) => {
      this.at++;
      return negative ? new CharSet((code) => !set.test(code)) : set;
    };
    switch (char) {
      case 's':
      case 'S':
        return pick(WHITE_SPACE, char === 'S');
      case 'd':
      case 'D':
        return pick(DIGIT, char === 'D');
      case 'w':
      case 'W':
        return pick(inClass && this.dialect === 'oniguruma' ? WORD_IN_CLASS : wordSet(this.dialect), char === 'W');
      case 'h':
      case 'H':
        if (this.dialect === 'rust') return undefined;
        return pick(HEX, char === 'H');
      case 'p':
      case 'P':
        this.at++;
        return this.property(char === 'P');
      default:
        return undefined;
    }
  }

  private property(negative: boolean): CharSet {
    let name: string;
    if (this.eat('{')) {
      const close = this.text.indexOf('}', this.at);
      if (close < 0) throw new PatternProblem('has a \\p{ without its end');
      name = this.text.slice(this.at, close).join('');
      this.at = close + 1;
    } else {
      name = this.text[this.at++] ?? '';
    }
    let inverted = negative;
    if (name.startsWith('^')) {
      inverted = !inverted;
      name = name.slice(1);
    }
    const set = namedSet(name);
    if (set === undefined) throw new PatternProblem(`names the character property "${name}", which is not known`);
    return inverted ? new CharSet((code) => !set.test(code)) : set;
  }

  /** The code point of an escape that means one character. */
  private escapedCode(): number {
    const char = this.text[this.at++];
    if (char === undefined) throw new PatternProblem('ends in a backslash');
    switch (char) {
      case 'n':
        return 10;
      case 'r':
        return 13;
      case 't':
        return 9;
      case 'f':
        return 12;
      case 'v':
        return 11;
      case 'a':
        return 7;
      case 'e':
        return 27;
      case '0':
        return 0;
      case 'x':
      case 'u':
        return this.hex(char === 'x' ? 2 : 4);
      default:
        if (/[A-Za-z0-9]/.test(char)) throw new PatternProblem(`has the escape \\${char}, which is not supported`);
        return char.codePointAt(0)!;
    }
  }

  private hex(digits: number): number {
    let text: string;
    if (this.eat('{')) {
      const close = this.text.indexOf('}', this.at);
      text = close < 0 ? '' : this.text.slice(this.at, close).join('');
      this.at = close + 1;
    } else {
      text = this.text.slice(this.at, this.at + digits).join('');
      this.at += digits;
    }
    const code = /^[0-9A-Fa-f]{1,6}$/.test(text) ? Number.parseInt(text, 16) : -1;
    if (code < 0 || code > 0x10ffff) throw new PatternProblem(`has the code point "${text}", which does not exist`);
    return code;
  }

  private characterClass(): (code: number) => boolean {
    if (++this.depth > DEEPEST) throw new PatternProblem(`nests deeper than ${DEEPEST} groups`);
    const negative = this.eat('^');
    const sides: ((code: number) => boolean)[] = [];
    let tests: ((code: number) => boolean)[] = [];
    let first = true;
    for (;;) {
      if (this.at >= this.text.length) throw new PatternProblem('has a character class without its "]"');
      if (this.text[this.at] === ']' && !first) {
        this.at++;
        break;
      }
      first = false;
      if (this.text[this.at] === '&' && this.text[this.at + 1] === '&') {
        this.at += 2;
        sides.push(anyOf(tests));
        tests = [];
        continue;
      }
      if (this.text[this.at] === '[') {
        if (this.text[this.at + 1] === ':') tests.push(this.posixClass());
        else {
          this.at++;
          tests.push(this.characterClass());
        }
        continue;
      }
      tests.push(this.classItem());
    }
    sides.push(anyOf(tests));
    this.depth--;
    const all = sides.length === 1 ? sides[0] : (code: number) => sides.every((side) => side(code));
    return negative ? (code) => !all(code) : all;
  }

  private posixClass(): (code: number) => boolean {
    const rest = this.text.slice(this.at, this.at + 16).join('');
    const found = /^\[:(\^?)([a-z]+):\]/.exec(rest);
    const source = found === null ? undefined : own(POSIX, found[2]);
    if (found === null || source === undefined) {
      // A class that merely begins with a colon.
      this.at++;
      return this.characterClass();
    }
    this.at += Array.from(found[0]).length;
    const pattern = new RegExp(source, 'u');
    const negative = found[1] !== '';
    return (code) => pattern.test(String.fromCodePoint(code)) !== negative;
  }

  private classItem(): (code: number) => boolean {
    let low: number;
    if (this.text[this.at] === '\\') {
      this.at++;
      const set = this.shorthand(true);
      if (set !== undefined) return (code) => set.test(code);
      if (this.text[this.at] === 'b') {
        this.at++;
        low = 8;
      } else low = this.escapedCode();
    } else low = this.text[this.at++].codePointAt(0)!;
    const isRange =
      this.text[this.at] === '-' && this.text[this.at + 1] !== undefined && this.text[this.at + 1] !== ']';
    if (!isRange) return (code) => code === low;
    const back = this.at;
    this.at++;
    let high: number;
    if (this.text[this.at] === '\\') {
      this.at++;
      if (this.isShorthandNext()) {
        // "a-\s": the hyphen is a hyphen.
        this.at = back;
        return (code) => code === low;
      }
      high = this.escapedCode();
    } else if (this.text[this.at] === '[') {
      this.at = back;
      return (code) => code === low;
    } else high = this.text[this.at++].codePointAt(0)!;
    if (high < low) throw new PatternProblem('has a range of characters whose end is before its start');
    return (code) => code >= low && code <= high;
  }

  private isShorthandNext(): boolean {
    return 'sSdDwWpPhH'.includes(this.text[this.at] ?? ' ');
  }

  private eat(char: string): boolean {
    if (this.text[this.at] !== char) return false;
    this.at++;
    return true;
  }
}

/** What `\w` and the boundaries `\b` mean. */
export function wordSet(dialect: Dialect): CharSet {
  return dialect === 'oniguruma' ? ONIGURUMA_WORD : WORD;
}

function own(record: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

function anyOf(tests: readonly ((code: number) => boolean)[]): (code: number) => boolean {
  return tests.length === 1 ? tests[0] : (code) => tests.some((test) => test(code));
}

/** Simple case folding: a character matches when any of its case forms does. */
function anyCase(test: (code: number) => boolean): (code: number) => boolean {
  return (code) => {
    if (test(code)) return true;
    // The dotless i folds to nothing else, though its capital is that of i.
    if (code === 0x131) return false;
    const char = String.fromCodePoint(code);
    const forms = [char.toLowerCase(), char.toUpperCase()];
    forms.push(forms[1].toLowerCase(), forms[0].toUpperCase());
    return forms.some((form) => {
      const first = form.codePointAt(0)!;
      return String.fromCodePoint(first) === form && test(first);
    });
  };
}

function namedSet(name: string): CharSet | undefined {
  if (!/^[A-Za-z][A-Za-z_=]{0,40}$/.test(name)) return undefined;
  for (const property of [name, `Script=${name}`]) {
    try {
      return propertySet(property);
    } catch {
      // Not a property that JavaScript knows under this name: try the next spelling.
    }
  }
  if (name.toLowerCase() === 'word') return ONIGURUMA_WORD;
  const source = own(POSIX, name.toLowerCase());
  if (source === undefined) return undefined;
  const pattern = new RegExp(source, 'u');
  return new CharSet((code) => pattern.test(String.fromCodePoint(code)));
}

/** True when every match of the node is exactly one character. */
function isOneCharacter(node: Node): boolean {
  switch (node.kind) {
    case 'set':
      return true;
    case 'alternatives':
      return node.parts.every(isOneCharacter);
    case 'sequence':
      return node.parts.length === 1 && isOneCharacter(node.parts[0]);
    case 'atomic':
      return isOneCharacter(node.body);
    case 'repeat':
      return node.min === 1 && node.max === 1 && isOneCharacter(node.body);
    default:
      return false;
  }
}
