/** The values of the template language: Python's, as far as a template can tell. */
import { Failure, typeError } from './errors.ts';
import { codePoints, concat, mapRuns, Str } from './marked.ts';
import type { Runtime } from './runtime.ts';

/** `number` is an integer here; fractions are `Float`, because Python prints 5 and 5.0 differently. */
export type Value = null | boolean | number | Float | Str | List | Dict | Undefined | Thing;

export class Float {
  constructor(readonly value: number) {}
}

/** A list or a tuple. */
export class List {
  constructor(
    readonly items: readonly Value[],
    readonly isTuple = false,
  ) {}
}

/** A dictionary in insertion order. Lookups go through a text made from the key, never through JavaScript properties. */
export class Dict {
  private readonly entries = new Map<string, readonly [Value, Value]>();

  get(key: Value): Value | undefined {
    return this.entries.get(hash(key))?.[1];
  }

  set(key: Value, value: Value): void {
    const text = hash(key);
    this.entries.set(text, [this.entries.get(text)?.[0] ?? key, value]);
  }

  get size(): number {
    return this.entries.size;
  }

  items(): (readonly [Value, Value])[] {
    return [...this.entries.values()];
  }

  keys(): Value[] {
    return this.items().map(([key]) => key);
  }
}

/** A missing value: prints as nothing, and fails with its own reason when something is asked of it. */
export class Undefined {
  constructor(
    readonly reason: string,
    readonly errorType: 'UndefinedError' | 'SecurityError' = 'UndefinedError',
  ) {}

  failure(): Failure {
    return new Failure(this.errorType, this.reason);
  }
}

export type Call = (runtime: Runtime, args: readonly Value[], keywords: ReadonlyMap<string, Value>) => Value;

/** Anything else: functions, bound methods, macros, loops, namespaces. */
export class Thing {
  constructor(
    readonly typeName: string,
    readonly call: Call | null,
    readonly attribute: (name: string) => Value | undefined = () => undefined,
    /** Present on namespaces: the values that `{% set ns.x = … %}` changes. */
    readonly slots: Map<string, Value> | null = null,
  ) {}
}

export const callable = (typeName: string, call: Call): Thing => new Thing(typeName, call);

function hash(key: Value): string {
  if (key === null) return 'None';
  if (typeof key === 'number' || typeof key === 'boolean') return `n${Number(key)}`;
  if (key instanceof Float) return `n${key.value}`;
  if (key instanceof Str) return `s${key.text}`;
  if (key instanceof List && key.isTuple) return `t${key.items.map((item) => JSON.stringify(hash(item))).join()}`;
  throw typeError(`unhashable type: '${typeName(key)}'`);
}

export function typeName(value: Value): string {
  if (value === null) return 'NoneType';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number') return 'int';
  if (value instanceof Float) return 'float';
  if (value instanceof Str) return 'str';
  if (value instanceof List) return value.isTuple ? 'tuple' : 'list';
  if (value instanceof Dict) return 'dict';
  return value instanceof Undefined ? 'Undefined' : value.typeName;
}

/** How Jinja names an object whose attribute is missing. */
export const objectName = (value: Value): string => (value === null ? 'None' : `${typeName(value)} object`);

export function truthy(value: Value): boolean {
  if (value === null || value instanceof Undefined) return false;
  if (typeof value === 'boolean') return value;
  if (typeof value === 'number') return value !== 0;
  if (value instanceof Float) return value.value !== 0;
  if (value instanceof Str) return value.text !== '';
  if (value instanceof List) return value.items.length > 0;
  return value instanceof Dict ? value.size > 0 : true;
}

/** The number behind an int, a float or a bool. */
export function numeric(value: Value): number | null {
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return Number(value);
  return value instanceof Float ? value.value : null;
}

export function equal(a: Value, b: Value, runtime: Runtime, depth = 0): boolean {
  runtime.budget.spend(1);
  if (depth > 200) throw new Failure('Limit', 'values nested deeper than 200 levels cannot be compared');
  if (a === b) return true;
  const x = numeric(a);
  if (x !== null) return x === numeric(b);
  if (a instanceof Str) {
    runtime.budget.text(a.text.length);
    return b instanceof Str && a.text === b.text;
  }
  if (a instanceof Undefined) return b instanceof Undefined;
  if (a instanceof List && b instanceof List) {
    return (
      a.isTuple === b.isTuple &&
      a.items.length === b.items.length &&
      a.items.every((item, i) => equal(item, b.items[i], runtime, depth + 1))
    );
  }
  if (a instanceof Dict && b instanceof Dict) {
    return (
      a.size === b.size &&
      a.items().every(([key, value]) => {
        const other = b.get(key);
        return other !== undefined && equal(value, other, runtime, depth + 1);
      })
    );
  }
  return false;
}

/** Negative, zero or positive, as Python orders numbers, strings (by code point) and sequences. */
export function compare(a: Value, b: Value, operator: string, runtime: Runtime): number {
  runtime.budget.spend(1);
  if (a instanceof Undefined) throw a.failure();
  if (b instanceof Undefined) throw b.failure();
  const x = numeric(a);
  const y = numeric(b);
  if (x !== null && y !== null) return x < y ? -1 : x > y ? 1 : x === y ? 0 : Number.NaN;
  if (a instanceof Str && b instanceof Str) {
    runtime.budget.text(Math.min(a.text.length, b.text.length));
    return comparePoints(a.text, b.text);
  }
  if (a instanceof List && b instanceof List && a.isTuple === b.isTuple) {
    for (let i = 0; i < Math.min(a.items.length, b.items.length); i++) {
      if (!equal(a.items[i], b.items[i], runtime)) return compare(a.items[i], b.items[i], operator, runtime);
    }
    return a.items.length - b.items.length;
  }
  throw typeError(`'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
}

function comparePoints(a: string, b: string): number {
  let i = 0;
  while (i < a.length && i < b.length && a[i] === b[i]) i++;
  // Step back to the start of a pair, so that code points are compared and not halves.
  if (i > 0 && i < a.length && i < b.length && a.charCodeAt(i - 1) >> 10 === 0x36) i--;
  return (a.codePointAt(i) ?? -1) - (b.codePointAt(i) ?? -1);
}

/** A list of what `for` would see. */
export function iterate(value: Value, runtime: Runtime): readonly Value[] {
  if (value instanceof List) {
    runtime.budget.spend(value.items.length / 4);
    return value.items;
  }
  if (value instanceof Dict) {
    runtime.budget.spend(value.size);
    return value.keys();
  }
  if (value instanceof Str) return runtime.characters(value);
  if (value instanceof Undefined) {
    if (value.errorType === 'SecurityError') throw value.failure();
    return [];
  }
  throw typeError(`'${typeName(value)}' object is not iterable`);
}

/** @throws TypeError for what has no length. */
export function length(value: Value): number {
  if (value instanceof Str) return codePoints(value.text);
  if (value instanceof List) return value.items.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof Undefined) return 0;
  throw typeError(`object of type '${typeName(value)}' has no len()`);
}

// Printing

/** `str(value)`. */
export function toStr(value: Value, runtime: Runtime): Str {
  if (value instanceof Str) return value;
  if (value instanceof Undefined) return new Str('');
  return repr(value, runtime);
}

/** `repr(value)`. */
export function repr(value: Value, runtime: Runtime, depth = 0): Str {
  runtime.budget.spend(1);
  if (depth > 200) throw new Failure('Limit', 'values nested deeper than 200 levels cannot be printed');
  if (value === null) return new Str('None');
  if (typeof value === 'boolean') return new Str(value ? 'True' : 'False');
  if (typeof value === 'number') return new Str(String(value));
  if (value instanceof Float) return new Str(floatText(value.value));
  if (value instanceof Undefined) return new Str('Undefined');
  if (value instanceof Str) {
    runtime.budget.text(value.text.length);
    return reprStr(value);
  }
  if (value instanceof List) {
    const parts: (Str | string)[] = [value.isTuple ? '(' : '['];
    value.items.forEach((item, i) => {
      if (i > 0) parts.push(', ');
      parts.push(repr(item, runtime, depth + 1));
    });
    parts.push(value.isTuple ? (value.items.length === 1 ? ',)' : ')') : ']');
    return concat(parts);
  }
  if (value instanceof Dict) {
    const parts: (Str | string)[] = ['{'];
    value.items().forEach(([key, item], i) => {
      parts.push(i > 0 ? ', ' : '', repr(key, runtime, depth + 1), ': ', repr(item, runtime, depth + 1));
    });
    return concat([...parts, '}']);
  }
  return new Str(value.slots ? '<Namespace>' : `<${value.typeName}>`);
}

function reprStr(s: Str): Str {
  const quote = s.text.includes("'") && !s.text.includes('"') ? '"' : "'";
  const escaped = mapRuns(s, (text) =>
    text.replace(UNPRINTABLE, (char) => {
      if (char === "'") return quote === "'" ? "\\'" : char;
      const short = SHORT_ESCAPES[char];
      if (short) return short;
      const point = char.codePointAt(0)!;
      if (point < 0x100) return `\\x${point.toString(16).padStart(2, '0')}`;
      return point < 0x10000
        ? `\\u${point.toString(16).padStart(4, '0')}`
        : `\\U${point.toString(16).padStart(8, '0')}`;
    }),
  );
  return concat([quote, escaped, quote]);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these are escaped by Python's repr
const UNPRINTABLE = /[\\'\x00-\x1f\x7f-\xa0\xad]|(?! )[\p{Z}\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}]/gu;
const SHORT_ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Python's `repr` of a float: the shortest digits that give the number back. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (Object.is(value, -0)) return '-0.0';
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e16 || size < 1e-4)) {
    const [digits, exponent] = value.toExponential().split('e');
    return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, '0')}`;
  }
  const text = String(value);
  return text.includes('.') ? text : `${text}.0`;
}
