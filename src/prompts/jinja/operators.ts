/** Arithmetic and subscripts, with Python's rules and Python's words when they fail. */
import { needInt } from './arguments.ts';
import { Failure, typeError, valueError } from './errors.ts';
import { concat, offsetOf, Str, substring } from './marked.ts';
import { boundMethod } from './methods.ts';
import { formatPercent } from './printf.ts';
import type { Runtime } from './runtime.ts';
import {
  compare,
  Dict,
  equal,
  Float,
  iterate,
  List,
  length,
  numeric,
  objectName,
  repr,
  Thing,
  typeName,
  Undefined,
  type Value,
} from './values.ts';

/** An integer result; Python's are unbounded, ours end at 2^53 and say so. */
function integer(value: number): number {
  if (!Number.isSafeInteger(value)) throw new Failure('OverflowError', 'the integer is larger than 2^53');
  return value === 0 ? 0 : value;
}

export function binary(operator: string, a: Value, b: Value, runtime: Runtime): Value {
  if (a instanceof Undefined) throw a.failure();
  if (operator === '%' && a instanceof Str) return formatPercent(a, b, runtime);
  if (b instanceof Undefined) throw b.failure();
  const x = numeric(a);
  const y = numeric(b);
  if (x !== null && y !== null) return arithmetic(operator, x, y, a instanceof Float || b instanceof Float);
  if (operator === '+') {
    if (a instanceof Str && b instanceof Str) return runtime.made(concat([a, b]));
    if (a instanceof List && b instanceof List && a.isTuple === b.isTuple) {
      runtime.budget.spend(a.items.length + b.items.length);
      return new List([...a.items, ...b.items], a.isTuple);
    }
    if (a instanceof Str) throw typeError(`can only concatenate str (not "${typeName(b)}") to str`);
    if (a instanceof List)
      throw typeError(`can only concatenate ${typeName(a)} (not "${typeName(b)}") to ${typeName(a)}`);
  }
  if (operator === '*') {
    if ((a instanceof Str || a instanceof List) && y !== null) return repeat(a, needInt('*', b), runtime);
    if ((b instanceof Str || b instanceof List) && x !== null) return repeat(b, needInt('*', a), runtime);
  }
  const name = operator === '**' ? '** or pow()' : operator;
  throw typeError(`unsupported operand type(s) for ${name}: '${typeName(a)}' and '${typeName(b)}'`);
}

function repeat(value: Str | List, times: number, runtime: Runtime): Value {
  const count = Math.max(0, times);
  if (value instanceof List) {
    runtime.budget.spend(value.items.length * count);
    return new List(Array.from({ length: count }, () => value.items).flat(), value.isTuple);
  }
  runtime.budget.text(value.text.length * count);
  runtime.budget.spend(value.text === '' ? 0 : count);
  return value.text === '' ? value : concat(Array.from({ length: count }, () => value));
}

function arithmetic(operator: string, x: number, y: number, isFloat: boolean): Value {
  const make = (value: number): Value => (isFloat ? new Float(value) : integer(value));
  switch (operator) {
    case '+':
      return make(x + y);
    case '-':
      return make(x - y);
    case '*':
      return make(x * y);
    case '/':
      if (y === 0) throw new Failure('ZeroDivisionError', 'division by zero');
      return new Float(x / y);
    case '//':
    case '%': {
      if (y === 0) throw new Failure('ZeroDivisionError', 'integer modulo by zero');
      const rest = x % y;
      const modulo = rest !== 0 && rest < 0 !== y < 0 ? rest + y : rest;
      return make(operator === '%' ? modulo : Math.round((x - modulo) / y));
    }
    case '**': {
      if (x === 0 && y < 0) throw new Failure('ZeroDivisionError', 'zero to a negative power');
      const power = x ** y;
      if (Number.isNaN(power) && !Number.isNaN(x) && !Number.isNaN(y))
        throw valueError('the power is not a real number');
      return isFloat || y < 0 ? new Float(power) : integer(power);
    }
    default:
      throw typeError(`unknown operator ${operator}`);
  }
}

export function negate(operator: '-' | '+', value: Value): Value {
  if (value instanceof Undefined) throw value.failure();
  const x = numeric(value);
  if (x === null) throw typeError(`bad operand type for unary ${operator}: '${typeName(value)}'`);
  const result = operator === '-' ? -x : x;
  return value instanceof Float ? new Float(result) : integer(result);
}

/** `<`, `<=`, `>`, `>=`, `==`, `!=`, `in`, `not in`. */
export function relation(operator: string, a: Value, b: Value, runtime: Runtime): boolean {
  switch (operator) {
    case '==':
      return equal(a, b, runtime);
    case '!=':
      return !equal(a, b, runtime);
    case 'in':
      return contains(b, a, runtime);
    case 'not in':
      return !contains(b, a, runtime);
    case '<':
      return compare(a, b, operator, runtime) < 0;
    case '<=':
      return compare(a, b, operator, runtime) <= 0;
    case '>':
      return compare(a, b, operator, runtime) > 0;
    default:
      return compare(a, b, operator, runtime) >= 0;
  }
}

export function contains(container: Value, item: Value, runtime: Runtime): boolean {
  if (container instanceof Str) {
    if (item instanceof Undefined) throw item.failure();
    if (!(item instanceof Str)) throw typeError(`'in <string>' requires string as left operand, not ${typeName(item)}`);
    runtime.search(container.text, item.text);
    return container.text.includes(item.text);
  }
  if (container instanceof Dict) return container.get(item) !== undefined;
  if (container instanceof List || container instanceof Undefined) {
    return iterate(container, runtime).some((other) => equal(other, item, runtime));
  }
  throw typeError(`argument of type '${typeName(container)}' is not iterable`);
}

// Subscripts

/** `object.name`: what the object offers first, then its items. */
export function attribute(object: Value, name: string): Value {
  if (object instanceof Undefined) throw object.failure();
  if (object instanceof Thing) {
    const slot = object.slots?.get(name);
    const value = slot === undefined ? object.attribute(name) : slot;
    if (value !== undefined) return value;
  } else {
    const method = boundMethod(object, name);
    if (method !== undefined) return method;
    if (object instanceof Dict) {
      const value = object.get(new Str(name));
      if (value !== undefined) return value;
    }
  }
  return missing(object, name);
}

/** `object[index]`: its items first, then what the object offers. */
export function item(object: Value, index: Value, runtime: Runtime): Value {
  if (object instanceof Undefined) throw object.failure();
  if (object instanceof Dict) {
    const hashable = !(index instanceof Dict) && !(index instanceof List && !index.isTuple);
    const value = hashable ? object.get(index) : undefined;
    if (value !== undefined) return value;
  } else if (
    (object instanceof Str || object instanceof List) &&
    (typeof index === 'number' || typeof index === 'boolean')
  ) {
    const size = length(object);
    const at = Number(index) < 0 ? Number(index) + size : Number(index);
    if (at >= 0 && at < size) {
      if (object instanceof List) return object.items[at];
      runtime.budget.text(object.text.length);
      const from = offsetOf(object.text, at);
      return substring(object, from, from + (object.text.codePointAt(from)! > 0xffff ? 2 : 1));
    }
  }
  if (index instanceof Str) {
    if (object instanceof Thing) return attribute(object, index.text);
    return boundMethod(object, index.text) ?? missing(object, index.text);
  }
  return new Undefined(`${objectName(object)} has no element ${repr(index, runtime).text}`);
}

function missing(object: Value, name: string): Undefined {
  if (name.startsWith('__')) {
    return new Undefined(`access to attribute '${name}' of '${typeName(object)}' object is unsafe.`, 'SecurityError');
  }
  return new Undefined(`'${objectName(object)}' has no attribute '${name}'`);
}

/** `object[start:stop:step]` of a string, list or tuple. */
export function slice(object: Value, bounds: readonly (Value | undefined)[], runtime: Runtime): Value {
  if (object instanceof Undefined) throw object.failure();
  if (!(object instanceof Str || object instanceof List)) {
    return new Undefined(`${objectName(object)} has no element slice`);
  }
  const [start, stop, step] = bounds.map((bound) =>
    bound === undefined || bound === null ? null : needInt('slice', bound),
  );
  const by = step ?? 1;
  if (by === 0) throw valueError('slice step cannot be zero');
  const size = length(object);
  const clamp = (bound: number | null, whenAbsent: number): number => {
    if (bound === null) return whenAbsent;
    const at = bound < 0 ? bound + size : bound;
    return by > 0 ? Math.min(Math.max(at, 0), size) : Math.min(Math.max(at, -1), size - 1);
  };
  const from = clamp(start, by > 0 ? 0 : size - 1);
  const to = clamp(stop, by > 0 ? size : -1);
  if (object instanceof Str && by === 1) {
    const s = object;
    runtime.budget.text(s.text.length);
    return from < to ? substring(s, offsetOf(s.text, from), offsetOf(s.text, to)) : new Str('');
  }
  const source = object instanceof Str ? runtime.characters(object) : object.items;
  const picked: Value[] = [];
  for (let i = from; by > 0 ? i < to : i > to; i += by) picked.push(source[i]);
  runtime.budget.spend(picked.length);
  return object instanceof Str ? concat(picked as Str[]) : new List(picked, object.isTuple);
}
