/**
 * Cuts a template into tokens as Jinja 3.1 does with `trim_blocks` and `lstrip_blocks` on, the setting of chat
 * templates: https://jinja.palletsprojects.com/en/stable/templates/#whitespace-control
 */
import { ChatTemplateError } from './errors.ts';

export type TokenKind =
  | 'text'
  | 'block_begin'
  | 'block_end'
  | 'variable_begin'
  | 'variable_end'
  | 'name'
  | 'string'
  | 'integer'
  | 'float'
  | 'operator'
  | 'end';

export interface Token {
  readonly kind: TokenKind;
  /** The text; of a string its value. */
  readonly value: string;
  readonly line: number;
}

/** White space as Python's `str.isspace` and `\s` see it (JavaScript's `\s` misses U+001C–1F and U+0085, adds U+FEFF). */
export const PYTHON_SPACE = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const SPACES = new RegExp(`[${PYTHON_SPACE}]*`, 'y');
const ONLY_SPACES = new RegExp(`^[${PYTHON_SPACE}]+$`);
const NAME = /[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*/uy;
const FLOAT = /\d+(?:_\d+)*(?:\.\d+(?:_\d+)*(?:[eE][+-]?\d+(?:_\d+)*)?|[eE][+-]?\d+(?:_\d+)*)/y;
const INTEGER = /0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[\da-fA-F])+|[1-9](?:_?\d)*|0(?:_?0)*/y;
const STRING = /'[^'\\]*(?:\\[\s\S][^'\\]*)*'|"[^"\\]*(?:\\[\s\S][^"\\]*)*"/y;
const OPERATOR = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y;
const OPENING = /\{[{%#]/g;
const RAW_BEGIN = new RegExp(`\\{%([-+]?)[${PYTHON_SPACE}]*raw[${PYTHON_SPACE}]*(?:-%\\}[${PYTHON_SPACE}]*|%\\})`, 'y');
const RAW_END = new RegExp(
  `\\{%([-+]?)[${PYTHON_SPACE}]*endraw[${PYTHON_SPACE}]*(?:\\+%\\}|-%\\}[${PYTHON_SPACE}]*|%\\}\\n?)`,
  'g',
);
const CLOSING: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

export const trimStart = (text: string): string => text.slice(spaceLength(text, 0));

export function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && ONLY_SPACES.test(text[end - 1])) end--;
  return text.slice(0, end);
}

function spaceLength(text: string, at: number): number {
  SPACES.lastIndex = at;
  return SPACES.exec(text)?.[0].length ?? 0;
}

/** @throws ChatTemplateError at the first character that cannot be part of a template. */
export function tokenize(template: string, file: string): Token[] {
  const source = template.replace(/\r\n?/g, '\n').replace(/\n$/, '');
  const tokens: Token[] = [];
  let at = 0;
  let line = 1;
  let lineStarting = true;
  let newLine = source.indexOf('\n');

  const fail = (reason: string): never => {
    throw new ChatTemplateError('TemplateSyntaxError', reason, line, file);
  };
  const advance = (to: number): void => {
    while (newLine >= 0 && newLine < to) {
      line++;
      newLine = source.indexOf('\n', newLine + 1);
    }
    lineStarting = to > 0 && source[to - 1] === '\n';
    at = to;
  };
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(source);
  };
  /** The text before a tag, stripped as the sign after the tag's opening says. */
  const strip = (text: string, sign: string, isVariable: boolean): string => {
    if (sign === '-') return trimEnd(text);
    if (sign === '+' || isVariable) return text;
    const lineStart = text.lastIndexOf('\n') + 1;
    return (lineStart > 0 || lineStarting) && ONLY_SPACES.test(text.slice(lineStart)) ? text.slice(0, lineStart) : text;
  };
  const pushText = (text: string): void => {
    if (text !== '') tokens.push({ kind: 'text', value: text, line });
  };

  while (at < source.length) {
    const opening = match(OPENING);
    if (!opening) {
      pushText(source.slice(at));
      break;
    }
    const begin = opening.index;
    const kind = source[begin + 1];
    const sign = source[begin + 2] === '-' || source[begin + 2] === '+' ? source[begin + 2] : '';
    pushText(strip(source.slice(at, begin), sign, kind === '{'));
    advance(begin);
    if (kind === '#') {
      comment(begin + 2);
      continue;
    }
    const raw = kind === '%' ? match(RAW_BEGIN) : null;
    if (raw) {
      advance(begin + raw[0].length);
      const end = match(RAW_END);
      if (!end) throw fail('Missing end of raw directive');
      pushText(strip(source.slice(at, end.index), end[1], false));
      advance(end.index + end[0].length);
      continue;
    }
    tokens.push({ kind: kind === '{' ? 'variable_begin' : 'block_begin', value: '', line });
    advance(begin + 2 + sign.length);
    inside(kind === '{');
  }
  tokens.push({ kind: 'end', value: '', line });
  return tokens;

  function comment(from: number): void {
    const end = source.indexOf('#}', from);
    if (end < 0) fail('Missing end of comment tag');
    const sign = end > from ? source[end - 1] : '';
    advance(end + 2);
    if (sign === '-') advance(at + spaceLength(source, at));
    else if (sign !== '+' && source[at] === '\n') advance(at + 1);
  }

  function inside(isVariable: boolean): void {
    const stack: string[] = [];
    for (;;) {
      advance(at + spaceLength(source, at));
      if (at >= source.length) {
        fail(
          `unexpected end of template, expected '${isVariable ? 'end of print statement' : 'end of statement block'}'`,
        );
      }
      if (stack.length === 0) {
        const sign = source[at] === '-' || (source[at] === '+' && !isVariable) ? source[at] : '';
        if (source.startsWith(isVariable ? '}}' : '%}', at + sign.length)) {
          tokens.push({ kind: isVariable ? 'variable_end' : 'block_end', value: '', line });
          advance(at + sign.length + 2);
          if (sign === '-') advance(at + spaceLength(source, at));
          else if (!isVariable && sign === '' && source[at] === '\n') advance(at + 1);
          return;
        }
      }
      const [kind, found] = next();
      if (kind === 'operator') balance(stack, found);
      const value = kind === 'string' ? decodeEscapes(found.slice(1, -1)) : found;
      tokens.push({ kind, value, line });
      advance(at + found.length);
    }
  }

  function next(): [TokenKind, string] {
    for (const [kind, pattern] of PATTERNS) {
      const found = match(pattern);
      if (found) return [kind, found[0]];
    }
    throw fail(`unexpected char ${JSON.stringify(String.fromCodePoint(source.codePointAt(at)!))} at ${at}`);
  }

  function balance(stack: string[], operator: string): void {
    if (CLOSING[operator]) stack.push(CLOSING[operator]);
    else if (operator === ')' || operator === ']' || operator === '}') {
      const expected = stack.pop();
      if (expected === undefined) fail(`unexpected '${operator}'`);
      if (expected !== operator) fail(`unexpected '${operator}', expected '${expected}'`);
    }
  }

  function decodeEscapes(text: string): string {
    return text.replace(
      /\\(?:\n|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|([\s\S]))/g,
      (all, x, u, U, octal, char) => {
        if (all === '\\\n') return '';
        if (x ?? u ?? U) {
          const point = Number.parseInt(x ?? u ?? U, 16);
          return point > 0x10ffff ? fail(`illegal Unicode character ${all}`) : String.fromCodePoint(point);
        }
        if (octal) return String.fromCodePoint(Number.parseInt(octal, 8));
        if (char === 'x' || char === 'u' || char === 'U') fail(`truncated ${all} escape`);
        return ESCAPES[char] ?? all;
      },
    );
  }
}

const PATTERNS: readonly [TokenKind, RegExp][] = [
  ['float', FLOAT],
  ['integer', INTEGER],
  ['name', NAME],
  ['string', STRING],
  ['operator', OPERATOR],
];

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  b: '\b',
  f: '\f',
  v: '\v',
  a: '\x07',
  "'": "'",
  '"': '"',
  '\\': '\\',
};
