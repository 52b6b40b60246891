/** The filters of Jinja that mean something for text: https://jinja.palletsprojects.com/en/stable/templates/#builtin-filters */
import { bind, intOr, needInt, needNumber, needStr } from './arguments.ts';
import { Failure, typeError, valueError } from './errors.ts';
import { dumps } from './json.ts';
import { PYTHON_SPACE } from './lexer.ts';
import { codePoints, concat, mapRuns, mapWhole, offsetOf, Str, substring } from './marked.ts';
import { capitalize, join, pad, pairs, replace, splitLines, strip } from './methods.ts';
import { binary } from './operators.ts';
import { formatPercent } from './printf.ts';
import type { Runtime } from './runtime.ts';
import {
  type Call,
  compare,
  Dict,
  equal,
  Float,
  iterate,
  List,
  length,
  numeric,
  toStr,
  truthy,
  typeName,
  Undefined,
  type Value,
} from './values.ts';

/** A filter whose parameters have names: the input comes first, the rest in the order of `names`. */
type Named = (input: Value, args: readonly (Value | undefined)[], runtime: Runtime) => Value;

function named(name: string, names: readonly string[], required: number, filter: Named): [string, Call] {
  return [
    name,
    (runtime, [input, ...args], keywords) => filter(input, bind(name, names, required, args, keywords), runtime),
  ];
}

/** A parameter or its default; not `??`, because null is a value of the language. */
const given = (value: Value | undefined, fallback: Value): Value => (value === undefined ? fallback : value);
const is = (value: Value | undefined): boolean => value !== undefined && truthy(value);

// Attributes of items

type Getter = (item: Value) => Value;

/** Reads `a.b.0` from an item; the attribute may also be an index. */
function getter(attribute: Value | undefined, runtime: Runtime, fallback?: Value): Getter {
  if (attribute === undefined || attribute === null) return (item) => item;
  const path: Value[] =
    attribute instanceof Str
      ? attribute.text.split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : new Str(part)))
      : [attribute];
  return (item) => {
    let value = item;
    for (const part of path) {
      runtime.budget.spend(1);
      value = runtime.language.item(value, part, runtime);
      if (value instanceof Undefined && fallback !== undefined) value = fallback;
    }
    return value;
  };
}

const ignoreCase = (value: Value): Value =>
  value instanceof Str ? mapWhole(value, (text) => text.toLowerCase()) : value;

function keyOf(attribute: Value | undefined, caseSensitive: Value | undefined, runtime: Runtime): Getter {
  const get = getter(attribute, runtime);
  return is(caseSensitive) ? get : (item) => ignoreCase(get(item));
}

/** A stable sort by keys that are worked out once. */
function sortBy(items: readonly Value[], key: Getter, reverse: boolean, runtime: Runtime): Value[] {
  const keyed = items.map((item) => ({ item, key: key(item) }));
  if (reverse) keyed.reverse();
  keyed.sort((a, b) => compare(a.key, b.key, '<', runtime));
  if (reverse) keyed.reverse();
  return keyed.map(({ item }) => item);
}

/** Several attributes, separated by commas, sort like a tuple. */
function sortKey(attribute: Value | undefined, caseSensitive: Value | undefined, runtime: Runtime): Getter {
  if (!(attribute instanceof Str) || !attribute.text.includes(',')) return keyOf(attribute, caseSensitive, runtime);
  const keys = attribute.text.split(',').map((part) => keyOf(new Str(part), caseSensitive, runtime));
  return (item) =>
    new List(
      keys.map((key) => key(item)),
      true,
    );
}

function extreme(name: string, sign: 1 | -1): [string, Call] {
  return named(name, ['case_sensitive', 'attribute'], 0, (input, [caseSensitive, attribute], runtime) => {
    const key = keyOf(attribute, caseSensitive, runtime);
    let best: Value | undefined;
    for (const item of iterate(input, runtime)) {
      if (best === undefined || compare(key(item), key(best), sign > 0 ? '>' : '<', runtime) * sign > 0) best = item;
    }
    return best !== undefined ? best : new Undefined('No aggregated item, sequence was empty.');
  });
}

/** What `map`, `select` and their like go through: Jinja does not ask whether a false value could be iterated. */
const itemsOf = (input: Value, runtime: Runtime): readonly Value[] => (truthy(input) ? iterate(input, runtime) : []);

/** `select`, `reject` and their forms for attributes. */
function selecting(name: string, keep: boolean, byAttribute: boolean): [string, Call] {
  return [
    name,
    (runtime, [input, ...args], keywords) => {
      if (byAttribute && args.length === 0) throw typeError('Missing parameter for attribute name');
      const get: Getter = byAttribute ? getter(args[0], runtime) : (item) => item;
      const [testName, ...rest] = byAttribute ? args.slice(1) : args;
      const test = testName === undefined ? null : needTest(needStr(name, testName).text, runtime);
      const passes = (item: Value): boolean =>
        test ? truthy(test(runtime, [get(item), ...rest], keywords)) : truthy(get(item));
      return new List(itemsOf(input, runtime).filter((item) => passes(item) === keep));
    },
  ];
}

export function needTest(name: string, runtime: Runtime): Call {
  const test = runtime.language.tests.get(name);
  if (!test) throw new Failure('TemplateSyntaxError', `No test named '${name}'.`);
  return test;
}

export function needFilter(name: string, runtime: Runtime): Call {
  const filter = runtime.language.filters.get(name);
  if (!filter) throw new Failure('TemplateSyntaxError', `No filter named '${name}'.`);
  return filter;
}

// Text

/** A filter that turns a text into a text. */
const text =
  (change: (s: Str) => Str): Named =>
  (input, _args, runtime) => {
    const s = toStr(input, runtime);
    runtime.budget.text(s.text.length);
    return runtime.made(change(s));
  };

const TITLE_PIECE = new RegExp(`[^-${PYTHON_SPACE}({\\[<]+`, 'gu');
const title = (s: string): string => s.replace(TITLE_PIECE, capitalize);
const HTML: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', "'": '&#39;', '"': '&#34;' };
const escapeHtml = text((s) => mapRuns(s, (run) => run.replace(/[&<>'"]/g, (char) => HTML[char])));

/** Without tags and comments, white space collapsed; in one pass, whatever is left open. */
function stripTags(all: string): string {
  let out = '';
  let at = 0;
  let hasComments = true;
  for (;;) {
    const open = all.indexOf('<', at);
    if (open < 0) break;
    out += all.slice(at, open);
    const commentEnd = hasComments && all.startsWith('<!--', open) ? all.indexOf('-->', open + 4) : -2;
    if (commentEnd === -1) hasComments = false;
    const [tag] =
      commentEnd >= 0 ? [all.slice(open, commentEnd + 3)] : (/^<[^<>]*>/.exec(all.slice(open, open + 4096)) ?? ['']);
    if (tag === '') out += '<';
    at = open + Math.max(1, tag.length);
  }
  return (out + all.slice(at)).trim().replace(/\s+/g, ' ');
}

function urlQuote(run: string, safe: string): string {
  let out = '';
  for (const byte of new TextEncoder().encode(run)) {
    const char = String.fromCharCode(byte);
    const keep = byte < 0x80 && (/[A-Za-z0-9_.~-]/.test(char) || safe.includes(char));
    out += keep ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

const urlencode: Named = (input, _args, runtime) => {
  const quote = (value: Value, safe: string): Str =>
    mapWhole(toStr(value, runtime), (run) => {
      const quoted = urlQuote(run, safe);
      return safe === '' ? quoted.replaceAll('%20', '+') : quoted;
    });
  if (input instanceof Str || !(input instanceof Dict || input instanceof List)) return runtime.made(quote(input, '/'));
  const entries = input instanceof Dict ? pairs(input, runtime).items : input.items;
  const parts: Str[] = entries.flatMap((entry, i) => {
    const [key, value] = iterate(entry, runtime);
    return [new Str(i > 0 ? '&' : ''), quote(key, ''), new Str('='), quote(given(value, null), '')];
  });
  return runtime.made(concat(parts));
};

const indent: Named = (input, [width, first, blank], runtime) => {
  const by =
    width instanceof Str ? width : new Str(' '.repeat(Math.max(0, Math.min(1 << 16, intOr('indent', width, 4)))));
  const source = concat([toStr(input, runtime), '\n']);
  const lines = splitLines(source, false);
  runtime.budget.spend(lines.length * (1 + source.marks.length));
  runtime.budget.text(lines.length * by.text.length);
  const parts: (Str | string)[] = is(first) ? [by] : [];
  lines.forEach((line, i) => {
    if (i > 0) parts.push('\n', is(blank) || line.text !== '' ? by : '');
    parts.push(line);
  });
  return runtime.made(concat(parts));
};

const truncate: Named = (input, [size, killWords, ending, leeway], runtime) => {
  const s = toStr(input, runtime);
  const limit = intOr('truncate', size, 255);
  const end = ending === undefined ? new Str('...') : needStr('truncate', ending);
  if (codePoints(s.text) <= limit + intOr('truncate', leeway, 5)) return s;
  let cut = offsetOf(s.text, Math.max(0, limit - codePoints(end.text)));
  if (!is(killWords)) {
    const space = s.text.slice(0, cut).lastIndexOf(' ');
    if (space >= 0) cut = space;
  }
  return concat([substring(s, 0, cut), end]);
};

// Numbers

/** Python's round: to even when exactly half way. */
function roundHalfEven(value: number, digits: number): number {
  const scale = 10 ** Math.abs(digits);
  const scaled = digits >= 0 ? value * scale : value / scale;
  if (!Number.isFinite(scaled)) return value;
  const floor = Math.floor(scaled);
  const isTie = scaled - floor === 0.5 && (digits <= 0 || floor / scale + 0.5 / scale === value);
  const rounded = isTie
    ? floor + (floor % 2 === 0 ? 0 : 1)
    : digits > 0
      ? Number(value.toFixed(Math.min(100, digits))) * scale
      : Math.round(scaled);
  return digits > 0 && !isTie
    ? Number(value.toFixed(Math.min(100, digits)))
    : digits >= 0
      ? rounded / scale
      : rounded * scale;
}

const round: Named = (input, [precision, method]) => {
  const value = needNumber('round', input);
  const digits = intOr('round', precision, 0);
  if (Math.abs(digits) > 100) throw valueError(`precision ${digits} is larger than 100`);
  const how = method === undefined ? 'common' : needStr('round', method).text;
  if (how === 'common') {
    const rounded = roundHalfEven(value, digits);
    return input instanceof Float ? new Float(rounded) : rounded;
  }
  if (how !== 'ceil' && how !== 'floor') throw new Failure('TemplateError', 'method must be common, ceil or floor');
  return new Float((how === 'ceil' ? Math.ceil : Math.floor)(value * 10 ** digits) / 10 ** digits);
};

const toInt: Named = (input, [fallback, base]) => {
  const other = given(fallback, 0);
  if (input instanceof Str) {
    const radix = intOr('int', base, 10);
    const clean = input.text.trim().replaceAll('_', '').toLowerCase();
    const digits = clean.replace(
      radix === 16 ? /^([-+]?)0x/ : radix === 8 ? /^([-+]?)0o/ : radix === 2 ? /^([-+]?)0b/ : /^([-+]?)(?=x)/,
      '$1',
    );
    const allowed = '0123456789abcdefghijklmnopqrstuvwxyz'.slice(0, radix);
    const isInteger = new RegExp(`^[-+]?[${allowed}]+$`).test(digits);
    const value = isInteger ? Number.parseInt(digits, radix) : Math.trunc(decimal(clean) ?? Number.NaN);
    return Number.isSafeInteger(value) ? value + 0 : other;
  }
  const value = numeric(input);
  return value !== null && Number.isFinite(value) ? Math.trunc(value) + 0 : other;
};

const toFloat: Named = (input, [fallback]) => {
  const value = input instanceof Str ? decimal(input.text.trim()) : numeric(input);
  return value === null ? given(fallback, new Float(0)) : new Float(value);
};

function decimal(s: string): number | null {
  if (s.length > 400) return null;
  if (/^[-+]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)(e[-+]?\d+)?$/i.test(s)) return Number(s.replaceAll('_', ''));
  const special = /^([-+]?)(inf|infinity|nan)$/i.exec(s);
  if (!special) return null;
  return special[2].toLowerCase() === 'nan' ? Number.NaN : special[1] === '-' ? -Infinity : Infinity;
}

// Sequences

const batch: Named = (input, [size, fill], runtime) => {
  const count = needInt('batch', size!);
  if (count < 1) throw valueError('batch needs a positive size');
  const items = iterate(input, runtime);
  const batches: List[] = [];
  for (let at = 0; at < items.length; at += count) {
    const part = items.slice(at, at + count);
    runtime.budget.spend(count);
    if (fill !== undefined && fill !== null) while (part.length < count) part.push(fill);
    batches.push(new List(part));
  }
  return new List(batches);
};

const slices: Named = (input, [count, fill], runtime) => {
  const items = iterate(input, runtime);
  const parts = needInt('slice', count!);
  if (parts < 1) throw valueError('slice needs a positive count');
  runtime.budget.spend(parts);
  const each = Math.floor(items.length / parts);
  const longer = items.length % parts;
  let at = 0;
  return new List(
    Array.from({ length: parts }, (_, i) => {
      const part = items.slice(at, at + each + (i < longer ? 1 : 0));
      at += part.length;
      if (fill !== undefined && fill !== null && i >= longer && longer > 0) part.push(fill);
      return new List(part);
    }),
  );
};

const groupby: Named = (input, [attribute, fallback, caseSensitive], runtime) => {
  const get = getter(attribute, runtime, fallback);
  const key: Getter = is(caseSensitive) ? get : (item) => ignoreCase(get(item));
  const groups: { key: Value; name: Value; items: Value[] }[] = [];
  for (const item of sortBy(iterate(input, runtime), key, false, runtime)) {
    const last = groups.at(-1);
    if (last && equal(last.key, key(item), runtime)) last.items.push(item);
    else groups.push({ key: key(item), name: get(item), items: [item] });
  }
  return new List(groups.map(({ name, items }) => new Group(name, new List(items))));
};

/** The (grouper, list) tuple of `groupby`, whose parts also have names. */
export class Group extends List {
  constructor(
    readonly grouper: Value,
    readonly list: List,
  ) {
    super([grouper, list], true);
  }
}

const unique: Named = (input, [caseSensitive, attribute], runtime) => {
  const key = keyOf(attribute, caseSensitive, runtime);
  const seen = new Dict();
  return new List(
    iterate(input, runtime).filter((item) => {
      const value = key(item);
      if (seen.get(value) !== undefined) return false;
      seen.set(value, true);
      return true;
    }),
  );
};

const dictsort: Named = (input, [caseSensitive, by, reverse], runtime) => {
  if (!(input instanceof Dict)) throw typeError(`'${typeName(input)}' object has no items`);
  const position = by === undefined ? 'key' : needStr('dictsort', by).text;
  if (position !== 'key' && position !== 'value')
    throw new Failure('TemplateError', 'You can only sort by either "key" or "value"');
  const key = keyOf(position === 'key' ? 0 : 1, caseSensitive, runtime);
  return new List(sortBy(pairs(input, runtime).items, key, is(reverse), runtime));
};

function edge(input: Value, last: boolean, runtime: Runtime): Value {
  const items = iterate(input, runtime);
  return (last ? items.at(-1) : items[0]) ?? missingEdge(items, last);
}

/** `null` is a real item, an empty sequence has none. */
function missingEdge(items: readonly Value[], last: boolean): Value {
  return items.length > 0 ? null : new Undefined(`No ${last ? 'last' : 'first'} item, sequence was empty.`);
}

const mapFilter: Call = (runtime, [input, ...args], keywords) => {
  if (args.length === 0 && keywords.has('attribute')) {
    const get = getter(keywords.get('attribute'), runtime, keywords.get('default'));
    for (const name of keywords.keys()) {
      if (name !== 'attribute' && name !== 'default') throw typeError(`Unexpected keyword argument '${name}'`);
    }
    return new List(itemsOf(input, runtime).map(get));
  }
  if (args.length === 0) throw typeError('map requires a filter argument');
  const filter = needFilter(needStr('map', args[0]).text, runtime);
  return new List(itemsOf(input, runtime).map((item) => filter(runtime, [item, ...args.slice(1)], keywords)));
};

const tojson: Named = (input, [ensureAscii, indentBy, separators, sortKeys], runtime) => {
  let level: string | null = null;
  if (indentBy instanceof Str) level = indentBy.text;
  else if (indentBy !== undefined && indentBy !== null)
    level = ' '.repeat(Math.max(0, Math.min(1000, needInt('tojson', indentBy))));
  let [itemSeparator, keySeparator] = level === null ? [', ', ': '] : [',', ': '];
  if (separators !== undefined && separators !== null) {
    const given = iterate(separators, runtime);
    if (given.length !== 2) throw valueError('separators must be a pair');
    [itemSeparator, keySeparator] = given.map((part) => needStr('tojson', part).text);
  }
  return dumps(
    input,
    { ensureAscii: is(ensureAscii), indent: level, itemSeparator, keySeparator, sortKeys: is(sortKeys) },
    runtime,
  );
};

const count: Named = (input) => length(input);
const defaults: Named = (input, [fallback, boolean]) =>
  input instanceof Undefined || (is(boolean) && !truthy(input)) ? given(fallback, new Str('')) : input;
const asText: Named = (input, _args, runtime) => toStr(input, runtime);

export const FILTERS: ReadonlyMap<string, Call> = new Map<string, Call>([
  named('abs', [], 0, (input) => {
    const value = Math.abs(needNumber('abs', input));
    return input instanceof Float ? new Float(value) : value;
  }),
  named('attr', ['name'], 1, (input, [name], runtime) => {
    const found = runtime.language.attribute(input, needStr('attr', name!).text);
    return input instanceof Dict && input.get(name!) === found
      ? new Undefined(`'dict object' has no attribute '${needStr('attr', name!).text}'`)
      : found;
  }),
  named('batch', ['linecount', 'fill_with'], 1, batch),
  named(
    'capitalize',
    [],
    0,
    text((s) => mapWhole(s, capitalize)),
  ),
  named('center', ['width'], 0, (input, [width], runtime) => {
    const s = toStr(input, runtime);
    return pad(s, intOr('center', width, 80), ' ', '^', runtime);
  }),
  named('count', [], 0, count),
  named('length', [], 0, count),
  named('default', ['default_value', 'boolean'], 0, defaults),
  named('d', ['default_value', 'boolean'], 0, defaults),
  named('dictsort', ['case_sensitive', 'by', 'reverse'], 0, dictsort),
  named('e', [], 0, escapeHtml),
  named('escape', [], 0, escapeHtml),
  named('forceescape', [], 0, escapeHtml),
  named('first', [], 0, (input, _args, runtime) => edge(input, false, runtime)),
  named('last', [], 0, (input, _args, runtime) => edge(input, true, runtime)),
  named('float', ['default'], 0, toFloat),
  [
    'format',
    (runtime, [input, ...args], keywords) => {
      if (args.length > 0 && keywords.size > 0)
        throw typeError("can't handle positional and keyword arguments at the same time");
      const dict = new Dict();
      for (const [name, value] of keywords) dict.set(new Str(name), value);
      return formatPercent(toStr(input, runtime), keywords.size > 0 ? dict : new List(args, true), runtime);
    },
  ],
  named('groupby', ['attribute', 'default', 'case_sensitive'], 1, groupby),
  named('indent', ['width', 'first', 'blank'], 0, indent),
  named('int', ['default', 'base'], 0, toInt),
  named('items', [], 0, (input, _args, runtime) => {
    if (input instanceof Undefined) return new List([]);
    if (!(input instanceof Dict)) throw typeError('Can only get item pairs from a mapping.');
    return pairs(input, runtime);
  }),
  named('join', ['d', 'attribute'], 0, (input, [separator, attribute], runtime) => {
    const get = getter(attribute, runtime);
    const by = separator === undefined ? new Str('') : toStr(separator, runtime);
    return join(
      by,
      iterate(input, runtime).map((item) => toStr(get(item), runtime)),
      runtime,
    );
  }),
  named('list', [], 0, (input, _args, runtime) => new List(iterate(input, runtime))),
  named(
    'lower',
    [],
    0,
    text((s) => mapWhole(s, (all) => all.toLowerCase())),
  ),
  named(
    'upper',
    [],
    0,
    text((s) => mapWhole(s, (all) => all.toUpperCase())),
  ),
  ['map', mapFilter],
  extreme('max', 1),
  extreme('min', -1),
  selecting('select', true, false),
  selecting('reject', false, false),
  selecting('selectattr', true, true),
  selecting('rejectattr', false, true),
  named('replace', ['old', 'new', 'count'], 2, (input, [old, by, limit], runtime) =>
    replace(toStr(input, runtime), toStr(old!, runtime), toStr(by!, runtime), intOr('replace', limit, -1), runtime),
  ),
  named('reverse', [], 0, (input, _args, runtime) => {
    const items = [...iterate(input, runtime)].reverse();
    return input instanceof Str ? concat(items as Str[]) : new List(items);
  }),
  named('round', ['precision', 'method'], 0, round),
  named('safe', [], 0, asText),
  named('slice', ['slices', 'fill_with'], 1, slices),
  named(
    'sort',
    ['reverse', 'case_sensitive', 'attribute'],
    0,
    (input, [reverse, caseSensitive, attribute], runtime) =>
      new List(sortBy(iterate(input, runtime), sortKey(attribute, caseSensitive, runtime), is(reverse), runtime)),
  ),
  named('string', [], 0, asText),
  named(
    'striptags',
    [],
    0,
    text((s) => mapWhole(s, stripTags)),
  ),
  named('sum', ['attribute', 'start'], 0, (input, [attribute, start], runtime) => {
    const get = getter(attribute, runtime);
    return iterate(input, runtime).reduce<Value>(
      (total, item) => binary('+', total, get(item), runtime),
      given(start, 0),
    );
  }),
  named(
    'title',
    [],
    0,
    text((s) => mapWhole(s, title)),
  ),
  named('tojson', ['ensure_ascii', 'indent', 'separators', 'sort_keys'], 0, tojson),
  named('trim', ['chars'], 0, (input, [characters], runtime) => {
    const s = toStr(input, runtime);
    runtime.budget.text(s.text.length);
    return strip(s, characters, true, true);
  }),
  named('truncate', ['length', 'killwords', 'end', 'leeway'], 0, truncate),
  named('unique', ['case_sensitive', 'attribute'], 0, unique),
  named('urlencode', [], 0, urlencode),
  named('wordcount', [], 0, (input, _args, runtime) => {
    const s = toStr(input, runtime);
    runtime.budget.text(s.text.length);
    return s.text.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0;
  }),
]);
