/**
 * Reads regular expressions of ECMA-262 as its `u` flag means them. Kinder than the flag in one thing: a needless backslash before punctuation, as in `\-` or
 * `\_`, stands for the character, because many published schemas have it.
 */
import { PatternProblem } from './problem.ts';
import { ANY_CODE_POINT, common, either, javascriptClass, others, type Ranges, ranges } from './ranges.ts';

export type PatternNode =
  | { readonly kind: 'set'; readonly set: Ranges }
  | { readonly kind: 'sequence'; readonly items: readonly PatternNode[] }
  | { readonly kind: 'choice'; readonly items: readonly PatternNode[] }
  | { readonly kind: 'repeat'; readonly item: PatternNode; readonly min: number; readonly max: number }
  | { readonly kind: 'assert'; readonly at: 'start' | 'end' | 'word' | 'inside' }
  | { readonly kind: 'look'; readonly item: PatternNode; readonly negative: boolean };

const LONGEST = 20_000;
const DEEPEST = 100;
export const WORD: Ranges = [48, 57, 65, 90, 95, 95, 97, 122];
const DIGIT: Ranges = [48, 57];
/** ECMA-262's WhiteSpace and LineTerminator. */
const SPACE: Ranges = ranges([
  [9, 13],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
]);
const LINE_ENDS: Ranges = [10, 10, 13, 13, 0x2028, 0x2029];
const CONTROL: Readonly<Record<string, number>> = { f: 12, n: 10, r: 13, t: 9, v: 11, 0: 0 };

/** @throws PatternProblem that completes "the expression …". */
export function parseExpression(source: string): PatternNode {
  if (source.length > LONGEST)
    throw new PatternProblem(`has ${source.length} characters, at most ${LONGEST} are taken`);
  return new Reader(source).read();
}

class Reader {
  private readonly text: readonly string[];
  private at = 0;
  private depth = 0;

  constructor(source: string) {
    this.text = Array.from(source);
  }

  read(): PatternNode {
    const node = this.choice();
    if (this.at < this.text.length) throw new PatternProblem(`has an unmatched ")" at ${this.at}`);
    return node;
  }

  private choice(): PatternNode {
    if (++this.depth > DEEPEST) throw new PatternProblem(`nests deeper than ${DEEPEST} groups`);
    const items = [this.sequence()];
    while (this.eat('|')) items.push(this.sequence());
    this.depth--;
    return items.length === 1 ? items[0] : { kind: 'choice', items };
  }

  private sequence(): PatternNode {
    const items: PatternNode[] = [];
    while (this.at < this.text.length && this.text[this.at] !== '|' && this.text[this.at] !== ')') {
      const atom = this.atom();
      const repeated = this.quantified(atom);
      if (repeated.kind === 'sequence') items.push(...repeated.items);
      else items.push(repeated);
    }
    return items.length === 1 ? items[0] : { kind: 'sequence', items };
  }

  private quantified(atom: PatternNode): PatternNode {
    const range = this.quantifier();
    if (range === undefined) return atom;
    if (atom.kind === 'assert' || atom.kind === 'look') throw new PatternProblem('repeats an anchor or a look-around');
    // Lazy or not, the language is the same.
    this.eat('?');
    if (this.quantifier() !== undefined) throw new PatternProblem(`has nothing to repeat at ${this.at - 1}`);
    return { kind: 'repeat', item: atom, ...range };
  }

  private quantifier(): { min: number; max: number } | undefined {
    if (this.eat('*')) return { min: 0, max: Infinity };
    if (this.eat('+')) return { min: 1, max: Infinity };
    if (this.eat('?')) return { min: 0, max: 1 };
    if (this.text[this.at] !== '{') return undefined;
    const close = this.text.indexOf('}', this.at);
    const match = close < 0 ? null : /^(\d+)(?:(,)(\d*))?$/.exec(this.text.slice(this.at + 1, close).join(''));
    if (match === null) throw new PatternProblem(`has a "{" at ${this.at} that is no count; "\\{" stands for itself`);
    this.at = close + 1;
    const min = Number(match[1]);
    const max = match[2] === undefined ? min : match[3] === '' ? Infinity : Number(match[3]);
    if (max < min) throw new PatternProblem(`has a count from ${min} to ${max}`);
    return { min, max };
  }

  private atom(): PatternNode {
    const character = this.text[this.at++];
    switch (character) {
      case '^':
        return { kind: 'assert', at: 'start' };
      case '$':
        return { kind: 'assert', at: 'end' };
      case '.':
        return { kind: 'set', set: others(LINE_ENDS) };
      case '(':
        return this.group();
      case '[':
        return { kind: 'set', set: this.characterClass() };
      case '\\': {
        if (this.eat('b')) return { kind: 'assert', at: 'word' };
        if (this.eat('B')) return { kind: 'assert', at: 'inside' };
        return { kind: 'set', set: this.escape(false) };
      }
      case '*':
      case '+':
      case '?':
        throw new PatternProblem(`has nothing to repeat at ${this.at - 1}`);
      case '{':
      case '}':
      case ']':
        throw new PatternProblem(`has a "${character}" at ${this.at - 1}; "\\${character}" stands for itself`);
      default:
        return { kind: 'set', set: single(character.codePointAt(0)!) };
    }
  }

  private group(): PatternNode {
    let look: boolean | undefined;
    if (this.eat('?')) {
      if (this.eat('=')) look = false;
      else if (this.eat('!')) look = true;
      else if (this.eat('<')) {
        if (this.text[this.at] === '=' || this.text[this.at] === '!')
          throw new PatternProblem('looks behind, which is not supported');
        const close = this.text.indexOf('>', this.at);
        if (close < 0) throw new PatternProblem('has a group name without an end');
        this.at = close + 1;
      } else if (!this.eat(':')) throw new PatternProblem(`has a group of an unknown kind at ${this.at - 2}`);
    }
    const node = this.choice();
    if (!this.eat(')')) throw new PatternProblem('has a group without an end');
    if (look !== undefined) return { kind: 'look', item: node, negative: look };
    // A group is kept whole: a quantifier after it means all of it.
    return node.kind === 'assert' || node.kind === 'look' ? { kind: 'sequence', items: [node] } : node;
  }

  private characterClass(): Ranges {
    const negative = this.eat('^');
    let set: Ranges = [];
    for (;;) {
      if (this.at >= this.text.length) throw new PatternProblem('has a "[" without an end');
      if (this.eat(']')) break;
      const low = this.classAtom();
      if (this.text[this.at] === '-' && this.text[this.at + 1] !== ']' && this.at + 1 < this.text.length) {
        this.at++;
        const high = this.classAtom();
        const from = only(low);
        const to = only(high);
        if (from === undefined || to === undefined) {
          // `[\w-.]` is refused by the u flag and means three things without it, which nobody can mistake.
          set = either(either(set, low), either(high, single(45)));
          continue;
        }
        if (from > to) throw new PatternProblem(`has a range out of order at ${this.at}`);
        set = either(set, ranges([[from, to]]));
      } else set = either(set, low);
    }
    return negative ? others(set) : set;
  }

  private classAtom(): Ranges {
    const character = this.text[this.at++];
    if (character !== '\\') return single(character.codePointAt(0)!);
    if (this.eat('b')) return single(8);
    if (this.eat('-')) return single(45);
    return this.escape(true);
  }

  private escape(inClass: boolean): Ranges {
    if (this.at >= this.text.length) throw new PatternProblem('ends in a "\\"');
    const letter = this.text[this.at++];
    switch (letter) {
      case 'd':
        return DIGIT;
      case 'D':
        return others(DIGIT);
      case 'w':
        return WORD;
      case 'W':
        return others(WORD);
      case 's':
        return SPACE;
      case 'S':
        return others(SPACE);
      case 'p':
      case 'P':
        return this.property(letter === 'P');
      case 'c': {
        const control = this.text[this.at++] ?? '';
        if (!/^[A-Za-z]$/.test(control)) throw new PatternProblem(`has "\\c" without a letter at ${this.at - 2}`);
        return single(control.charCodeAt(0) % 32);
      }
      case 'x':
        return single(this.hex(2));
      case 'u':
        return single(this.unicode());
      case 'k':
        throw new PatternProblem('refers back to a group, which is not supported');
    }
    if (letter === '0' && !/^\d$/.test(this.text[this.at] ?? '')) return single(0);
    if (/^\d$/.test(letter))
      throw new PatternProblem(inClass ? 'has an octal escape' : 'refers back to a group, which is not supported');
    if (Object.hasOwn(CONTROL, letter)) return single(CONTROL[letter]);
    if (/^[A-Za-z]$/.test(letter)) throw new PatternProblem(`has an unknown escape "\\${letter}" at ${this.at - 2}`);
    return single(letter.codePointAt(0)!);
  }

  private property(negative: boolean): Ranges {
    const close = this.text[this.at] === '{' ? this.text.indexOf('}', this.at) : -1;
    const name = close < 0 ? '' : this.text.slice(this.at + 1, close).join('');
    if (!/^[A-Za-z0-9_=]{1,80}$/.test(name))
      throw new PatternProblem('has a "\\p" without the name of a property in braces');
    this.at = close + 1;
    try {
      const set = javascriptClass(`\\p{${name}}`);
      return negative ? others(set) : set;
    } catch {
      throw new PatternProblem(`names an unknown property "${name}"`);
    }
  }

  private hex(digits: number): number {
    const value = this.text.slice(this.at, this.at + digits).join('');
    if (!new RegExp(`^[0-9a-fA-F]{${digits}}$`).test(value))
      throw new PatternProblem(`has an escape without ${digits} hexadecimal digits at ${this.at}`);
    this.at += digits;
    return Number.parseInt(value, 16);
  }

  private unicode(): number {
    if (this.eat('{')) {
      const close = this.text.indexOf('}', this.at);
      const value = close < 0 ? '' : this.text.slice(this.at, close).join('');
      if (!/^[0-9a-fA-F]{1,8}$/.test(value) || Number.parseInt(value, 16) > 0x10ffff)
        throw new PatternProblem(`has "\\u{" without a code point at ${this.at}`);
      this.at = close + 1;
      return Number.parseInt(value, 16);
    }
    const unit = this.hex(4);
    if (unit < 0xd800 || unit > 0xdbff || this.text[this.at] !== '\\' || this.text[this.at + 1] !== 'u') return unit;
    const before = this.at;
    this.at += 2;
    const low = this.text[this.at] === '{' ? 0 : this.hex(4);
    if (low >= 0xdc00 && low <= 0xdfff) return 0x10000 + (unit - 0xd800) * 0x400 + (low - 0xdc00);
    this.at = before;
    return unit;
  }

  private eat(character: string): boolean {
    if (this.text[this.at] !== character) return false;
    this.at++;
    return true;
  }
}

function single(code: number): Ranges {
  return common([code, code], ANY_CODE_POINT);
}

function only(set: Ranges): number | undefined {
  return set.length === 2 && set[0] === set[1] ? set[0] : undefined;
}
