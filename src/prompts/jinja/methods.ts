/**
 * The methods that strings, lists, tuples, dictionaries and numbers offer to a template: those of Python that change
 * nothing. The changing ones are refused with the words of Jinja's immutable sandbox.
 */
import { bind, intOr, needInt, needStr } from './arguments.ts';
import { Failure, typeError, valueError } from './errors.ts';
import { formatBraces } from './format.ts';
import { trimEnd, trimStart } from './lexer.ts';
import { codePoints, concat, mapWhole, offsetOf, replaceText, Str, substring } from './marked.ts';
import type { Runtime } from './runtime.ts';
import {
  type Call,
  callable,
  Dict,
  equal,
  Float,
  iterate,
  List,
  type Thing,
  typeName,
  Undefined,
  type Value,
} from './values.ts';

type Method<T> = (self: T, runtime: Runtime, args: readonly Value[], keywords: ReadonlyMap<string, Value>) => Value;

const CHANGING: Readonly<Record<string, readonly string[]>> = {
  list: ['append', 'clear', 'extend', 'insert', 'pop', 'remove', 'reverse', 'sort'],
  dict: ['clear', 'pop', 'popitem', 'setdefault', 'update'],
};

/** The method `name` bound to `self`, or `undefined` when there is none. */
export function boundMethod(self: Value, name: string): Value | undefined {
  if (CHANGING[typeName(self)]?.includes(name)) {
    return new Undefined(`access to attribute '${name}' of '${typeName(self)}' object is unsafe.`, 'SecurityError');
  }
  if (self instanceof Str) return method(STR.get(name), self);
  if (self instanceof List) return method(LIST.get(name), self);
  if (self instanceof Dict) return method(DICT.get(name), self);
  if (self instanceof Float && name === 'is_integer') return callable('method', () => Number.isInteger(self.value));
  return undefined;
}

function method<T>(found: Method<T> | undefined, self: T): Thing | undefined {
  if (!found) return undefined;
  const call: Call = (runtime, args, keywords) => found(self, runtime, args, keywords);
  return callable('builtin_function_or_method', call);
}

// Strings

export function strip(s: Str, characters: Value | undefined, left: boolean, right: boolean): Str {
  let start = 0;
  let end = s.text.length;
  if (characters === undefined || characters === null) {
    if (left) start = end - trimStart(s.text).length;
    if (right) end = Math.max(start, trimEnd(s.text).length);
  } else {
    const set = new Set(needStr('strip', characters).text);
    const points = [...s.text];
    let i = 0;
    let j = points.length;
    while (left && i < j && set.has(points[i])) start += points[i++].length;
    while (right && j > i && set.has(points[j - 1])) end -= points[--j].length;
  }
  return start === 0 && end === s.text.length ? s : substring(s, start, end);
}

const WORD = /\p{L}+/gu;
const upperFirst = (word: string): string => {
  const first = String.fromCodePoint(word.codePointAt(0) ?? 0);
  return word === '' ? '' : first.toUpperCase() + word.slice(first.length).toLowerCase();
};
export const capitalize = (text: string): string => upperFirst(text);
const title = (text: string): string => text.replace(WORD, upperFirst);

export function split(s: Str, separator: Value | undefined, limit: number, runtime: Runtime): Str[] {
  const parts: Str[] = [];
  const left = limit < 0 ? Number.POSITIVE_INFINITY : limit;
  runtime.budget.text(s.text.length);
  if (separator === undefined || separator === null) {
    let at = s.text.length - trimStart(s.text).length;
    const end = trimEnd(s.text).length;
    while (at < end) {
      if (parts.length >= left) {
        parts.push(substring(s, at));
        break;
      }
      let stop = at;
      while (stop < end && trimStart(s.text[stop]) !== '') stop++;
      parts.push(substring(s, at, stop));
      at = stop;
      while (at < end && trimStart(s.text[at]) === '') at++;
    }
    runtime.budget.spend(parts.length * (1 + s.marks.length));
    return parts;
  }
  const by = needStr('split', separator).text;
  if (by === '') throw valueError('empty separator');
  runtime.search(s.text, by);
  let at = 0;
  while (parts.length < left) {
    const found = s.text.indexOf(by, at);
    if (found < 0) break;
    runtime.budget.spend(1 + s.marks.length);
    parts.push(substring(s, at, found));
    at = found + by.length;
  }
  parts.push(substring(s, at));
  return parts;
}

function splitFromRight(s: Str, separator: Value | undefined, limit: number, runtime: Runtime): Str[] {
  if (limit < 0) return split(s, separator, -1, runtime);
  const parts: Str[] = [];
  if (separator === undefined || separator === null) {
    let end = trimEnd(s.text).length;
    const start = s.text.length - trimStart(s.text).length;
    while (end > start) {
      if (parts.length >= limit) {
        parts.push(substring(s, 0, end));
        break;
      }
      let at = end;
      while (at > start && trimStart(s.text[at - 1]) !== '') at--;
      parts.push(substring(s, at, end));
      end = at;
      while (end > start && trimStart(s.text[end - 1]) === '') end--;
    }
    return parts.reverse();
  }
  const by = needStr('rsplit', separator).text;
  if (by === '') throw valueError('empty separator');
  runtime.search(s.text, by);
  let end = s.text.length;
  while (parts.length < limit) {
    const found = end >= by.length ? s.text.lastIndexOf(by, end - by.length) : -1;
    if (found < 0) break;
    runtime.budget.spend(1 + s.marks.length);
    parts.push(substring(s, found + by.length, end));
    end = found;
  }
  parts.push(substring(s, 0, end));
  return parts.reverse();
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the separators are line boundaries in Python
const LINE_END = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g;

export function splitLines(s: Str, keepEnds: boolean): Str[] {
  const lines: Str[] = [];
  let at = 0;
  for (const found of s.text.matchAll(LINE_END)) {
    lines.push(substring(s, at, keepEnds ? found.index + found[0].length : found.index));
    at = found.index + found[0].length;
  }
  if (at < s.text.length) lines.push(substring(s, at));
  return lines;
}

/** Fills up to `width` code points with `fill`. */
export function pad(s: Str, width: number, fill: string, align: '<' | '>' | '^', runtime: Runtime): Str {
  const missing = width - codePoints(s.text);
  if (missing <= 0) return s;
  runtime.budget.text(missing * fill.length);
  // Python's str.center puts the odd space on the left exactly when width is odd as well.
  const left = align === '<' ? 0 : align === '>' ? missing : Math.floor(missing / 2) + (missing & width & 1);
  return concat([fill.repeat(left), s, fill.repeat(missing - left)]);
}

function find(s: Str, runtime: Runtime, args: readonly Value[], fromRight: boolean): number {
  const needle = needStr('find', args[0]).text;
  const size = codePoints(s.text);
  const bound = (value: Value | undefined, fallback: number): number => {
    const at = intOr('find', value, fallback);
    return Math.max(0, Math.min(size, at < 0 ? at + size : at));
  };
  const from = bound(args[1], 0);
  const to = bound(args[2], size);
  if (from > to) return -1;
  runtime.search(s.text, needle);
  const start = offsetOf(s.text, from);
  const window = s.text.slice(start, offsetOf(s.text, to));
  const found = fromRight ? window.lastIndexOf(needle) : window.indexOf(needle);
  return found < 0 ? -1 : codePoints(s.text.slice(0, start + found));
}

function startsOrEnds(s: Str, runtime: Runtime, args: readonly Value[], ends: boolean): boolean {
  const affixes = args[0] instanceof List ? args[0].items : [args[0]];
  const at = (value: Value | undefined, fallback: number): number => {
    const index = intOr('startswith', value, fallback);
    return offsetOf(s.text, index < 0 ? Math.max(0, index + codePoints(s.text)) : index);
  };
  const text = args.length > 1 ? s.text.slice(at(args[1], 0), at(args[2], s.text.length)) : s.text;
  return affixes.some((affix) => {
    const { text: other } = needStr(ends ? 'endswith' : 'startswith', affix);
    runtime.budget.text(other.length);
    return ends ? text.endsWith(other) : text.startsWith(other);
  });
}

function partition(s: Str, runtime: Runtime, args: readonly Value[], fromRight: boolean): List {
  const separator = needStr('partition', args[0]);
  if (separator.text === '') throw valueError('empty separator');
  runtime.search(s.text, separator.text);
  const found = fromRight ? s.text.lastIndexOf(separator.text) : s.text.indexOf(separator.text);
  const empty = new Str('');
  if (found < 0) return new List(fromRight ? [empty, empty, s] : [s, empty, empty], true);
  const end = found + separator.text.length;
  return new List([substring(s, 0, found), substring(s, found, end), substring(s, end)], true);
}

export function join(separator: Str, items: readonly Value[], runtime: Runtime): Str {
  const parts: Str[] = [];
  items.forEach((item, i) => {
    if (!(item instanceof Str)) throw typeError(`sequence item ${i}: expected str instance, ${typeName(item)} found`);
    if (i > 0) parts.push(separator);
    runtime.budget.text(separator.text.length + item.text.length);
    parts.push(item);
  });
  return runtime.made(concat(parts));
}

export function replace(s: Str, old: Value, by: Value, count: number, runtime: Runtime): Str {
  const from = needStr('replace', old).text;
  const to = needStr('replace', by);
  runtime.search(s.text, from);
  const most = from === '' ? s.text.length + 1 : Math.floor(s.text.length / from.length);
  if (to.text.length * most > 1 << 24) runtime.budget.text(s.text.length * to.text.length);
  runtime.budget.spend(s.marks.length + (count < 0 ? most : Math.min(count, most)) / 8);
  return runtime.made(replaceText(s, from, to, count));
}

/** A method of `(text) => text` that works on the whole string. */
const whole =
  (change: (text: string) => string): Method<Str> =>
  (s, runtime) =>
    runtime.made(mapWhole(s, change));
/** A method that asks whether all characters match; false for the empty string. */
const all =
  (pattern: RegExp): Method<Str> =>
  (s, runtime) => {
    runtime.budget.text(s.text.length);
    return pattern.test(s.text);
  };
const aligned =
  (name: string, align: '<' | '>' | '^'): Method<Str> =>
  (s, runtime, args) =>
    pad(s, needInt(name, args[0]), args[1] === undefined ? ' ' : needStr(name, args[1]).text, align, runtime);
const stripping =
  (left: boolean, right: boolean): Method<Str> =>
  (s, runtime, args) => {
    runtime.budget.text(s.text.length);
    return strip(s, args[0], left, right);
  };

const STR: ReadonlyMap<string, Method<Str>> = new Map<string, Method<Str>>([
  ['upper', whole((text) => text.toUpperCase())],
  ['lower', whole((text) => text.toLowerCase())],
  ['casefold', whole((text) => text.toLowerCase().replaceAll('ß', 'ss'))],
  ['title', whole(title)],
  ['capitalize', whole(capitalize)],
  [
    'swapcase',
    whole((text) =>
      text.replace(/\p{Lu}|\p{Ll}/gu, (c) => (c === c.toUpperCase() ? c.toLowerCase() : c.toUpperCase())),
    ),
  ],
  ['strip', stripping(true, true)],
  ['lstrip', stripping(true, false)],
  ['rstrip', stripping(false, true)],
  ['ljust', aligned('ljust', '<')],
  ['rjust', aligned('rjust', '>')],
  ['center', aligned('center', '^')],
  [
    'zfill',
    (s, runtime, args) => {
      const sign = /^[+-]/.test(s.text) ? 1 : 0;
      const digits = pad(substring(s, sign), needInt('zfill', args[0]) - sign, '0', '>', runtime);
      return concat([substring(s, 0, sign), digits]);
    },
  ],
  [
    'split',
    (s, runtime, args, keywords) => {
      const [separator, limit] = bind('split', ['sep', 'maxsplit'], 0, args, keywords);
      return new List(split(s, separator, intOr('split', limit, -1), runtime));
    },
  ],
  [
    'rsplit',
    (s, runtime, args, keywords) => {
      const [separator, limit] = bind('rsplit', ['sep', 'maxsplit'], 0, args, keywords);
      runtime.budget.text(s.text.length);
      return new List(splitFromRight(s, separator, intOr('rsplit', limit, -1), runtime));
    },
  ],
  [
    'splitlines',
    (s, runtime, args, keywords) => {
      const [keep] = bind('splitlines', ['keepends'], 0, args, keywords);
      const lines = splitLines(s, keep === true || (typeof keep === 'number' && keep !== 0));
      runtime.budget.spend(s.text.length / 16 + lines.length * (1 + s.marks.length));
      return new List(lines);
    },
  ],
  ['partition', (s, runtime, args) => partition(s, runtime, args, false)],
  ['rpartition', (s, runtime, args) => partition(s, runtime, args, true)],
  [
    'replace',
    (s, runtime, args, keywords) => {
      const [old, by, count] = bind('replace', ['old', 'new', 'count'], 2, args, keywords);
      return replace(s, old!, by!, intOr('replace', count, -1), runtime);
    },
  ],
  [
    'join',
    (s, runtime, args) => {
      if (args.length !== 1) throw typeError(`str.join() takes exactly one argument (${args.length} given)`);
      return join(s, iterate(args[0], runtime), runtime);
    },
  ],
  ['startswith', (s, runtime, args) => startsOrEnds(s, runtime, args, false)],
  ['endswith', (s, runtime, args) => startsOrEnds(s, runtime, args, true)],
  ['find', (s, runtime, args) => find(s, runtime, args, false)],
  ['rfind', (s, runtime, args) => find(s, runtime, args, true)],
  ['index', (s, runtime, args) => foundOrFail(find(s, runtime, args, false))],
  ['rindex', (s, runtime, args) => foundOrFail(find(s, runtime, args, true))],
  [
    'count',
    (s, runtime, args) => {
      const needle = needStr('count', args[0]).text;
      runtime.search(s.text, needle);
      return needle === '' ? codePoints(s.text) + 1 : s.text.split(needle).length - 1;
    },
  ],
  [
    'removeprefix',
    (s, _runtime, args) => {
      const affix = needStr('removeprefix', args[0]).text;
      return s.text.startsWith(affix) ? substring(s, affix.length) : s;
    },
  ],
  [
    'removesuffix',
    (s, _runtime, args) => {
      const affix = needStr('removesuffix', args[0]).text;
      return affix !== '' && s.text.endsWith(affix) ? substring(s, 0, s.text.length - affix.length) : s;
    },
  ],
  ['format', (s, runtime, args, keywords) => formatBraces(s, args, keywords, runtime)],
  ['isalpha', all(/^\p{L}+$/u)],
  ['isalnum', all(/^[\p{L}\p{N}]+$/u)],
  ['isdigit', all(/^[\p{Nd}\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u2080-\u2089]+$/u)],
  ['isdecimal', all(/^\p{Nd}+$/u)],
  ['isnumeric', all(/^\p{N}+$/u)],
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is what is asked for
  ['isascii', all(/^[\x00-\x7f]*$/)],
  ['isspace', (s) => s.text !== '' && trimStart(s.text) === ''],
  ['isupper', (s) => s.text !== s.text.toLowerCase() && s.text === s.text.toUpperCase()],
  ['islower', (s) => s.text !== s.text.toUpperCase() && s.text === s.text.toLowerCase()],
  ['istitle', (s) => /\p{L}/u.test(s.text) && s.text === title(s.text)],
]);

function foundOrFail(index: number): number {
  if (index < 0) throw valueError('substring not found');
  return index;
}

// Containers

const LIST: ReadonlyMap<string, Method<List>> = new Map<string, Method<List>>([
  ['count', (list, runtime, args) => list.items.filter((item) => equal(item, args[0], runtime)).length],
  [
    'index',
    (list, runtime, args) => {
      const index = list.items.findIndex((item) => equal(item, args[0], runtime));
      if (index < 0) throw valueError('the value is not in the list');
      return index;
    },
  ],
  ['copy', (list) => list],
]);

const DICT: ReadonlyMap<string, Method<Dict>> = new Map<string, Method<Dict>>([
  [
    'get',
    (dict, _runtime, args) => {
      if (args.length < 1 || args.length > 2) throw typeError(`get expected 1 or 2 arguments, got ${args.length}`);
      const value = dict.get(args[0]);
      return value === undefined ? (args[1] ?? null) : value;
    },
  ],
  ['items', (dict, runtime) => pairs(dict, runtime)],
  [
    'keys',
    (dict, runtime) => {
      runtime.budget.spend(dict.size);
      return new List(dict.keys());
    },
  ],
  [
    'values',
    (dict, runtime) => {
      runtime.budget.spend(dict.size);
      return new List(dict.items().map(([, value]) => value));
    },
  ],
  ['copy', (dict) => dict],
  [
    'fromkeys',
    () => {
      throw new Failure('SecurityError', "access to attribute 'fromkeys' of 'dict' object is unsafe.");
    },
  ],
]);

/** The (key, value) tuples of a dictionary. */
export function pairs(dict: Dict, runtime: Runtime): List {
  runtime.budget.spend(dict.size);
  return new List(dict.items().map(([key, value]) => new List([key, value], true)));
}
