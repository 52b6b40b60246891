/** The functions that every template may call. */
import { bind, needStr } from './arguments.ts';
import { Failure, typeError, valueError } from './errors.ts';
import { Str } from './marked.ts';
import { strftime } from './strftime.ts';
import { type Call, callable, Dict, iterate, List, Thing, toStr, typeName, Undefined, type Value } from './values.ts';

/** Longer ranges are refused, as in Jinja's sandbox. */
const MAX_RANGE = 100_000;

const range: Call = (runtime, args) => {
  if (args.length < 1 || args.length > 3) throw typeError(`range expected 1 to 3 arguments, got ${args.length}`);
  const numbers = args.map((value) => {
    if (value instanceof Undefined) throw value.failure();
    if (typeof value !== 'number' && typeof value !== 'boolean') {
      throw typeError(`'${typeName(value)}' object cannot be interpreted as an integer`);
    }
    return Number(value);
  });
  const [start, stop, step] = numbers.length === 1 ? [0, numbers[0], 1] : [numbers[0], numbers[1], numbers[2] ?? 1];
  if (step === 0) throw valueError('range() arg 3 must not be zero');
  const size = Math.max(0, Math.ceil((stop - start) / step));
  if (size > MAX_RANGE) {
    throw new Failure(
      'OverflowError',
      `Range too big. The sandbox blocks ranges larger than MAX_RANGE (${MAX_RANGE}).`,
    );
  }
  runtime.budget.spend(size);
  return new List(Array.from({ length: size }, (_, i) => start + i * step));
};

/** The entries of `dict(…)` and `namespace(…)`: a mapping or pairs, then keywords. */
function entries(name: string, ...[runtime, args, keywords]: Parameters<Call>): Dict {
  const dict = new Dict();
  if (args.length > 1) throw typeError(`${name} expected at most 1 argument, got ${args.length}`);
  if (args[0] instanceof Dict) for (const [key, value] of args[0].items()) dict.set(key, value);
  else if (args[0] !== undefined) {
    for (const pair of iterate(args[0], runtime)) {
      const [key, value, ...rest] = iterate(pair, runtime);
      if (key === undefined || value === undefined || rest.length > 0) throw valueError(`${name}: pairs are needed`);
      dict.set(key, value);
    }
  }
  for (const [key, value] of keywords) dict.set(new Str(key), value);
  runtime.budget.spend(dict.size);
  return dict;
}

const namespace: Call = (...call) => {
  const slots = new Map<string, Value>();
  for (const [key, value] of entries('namespace', ...call).items()) slots.set(needStr('namespace', key).text, value);
  return new Thing('jinja2.utils.Namespace', null, undefined, slots);
};

const cycler: Call = (_runtime, items) => {
  if (items.length === 0) throw typeError('at least one item has to be provided');
  let at = 0;
  return new Thing('jinja2.utils.Cycler', null, (name) => {
    if (name === 'current') return items[at];
    if (name === 'next') {
      return callable('method', () => {
        const current = items[at];
        at = (at + 1) % items.length;
        return current;
      });
    }
    if (name !== 'reset') return undefined;
    return callable('method', () => {
      at = 0;
      return null;
    });
  });
};

const joiner: Call = (_runtime, args, keywords) => {
  const [separator = new Str(', ')] = bind('joiner', ['sep'], 0, args, keywords);
  let used = false;
  return callable('jinja2.utils.Joiner', () => {
    const text = used ? separator : new Str('');
    used = true;
    return text;
  });
};

const raiseException: Call = (runtime, args) => {
  throw new Failure('TemplateError', args[0] === undefined ? '' : toStr(args[0], runtime).text);
};

const strftimeNow: Call = (runtime, args) => {
  const format = needStr('strftime_now', args[0] ?? new Undefined('strftime_now needs a format')).text;
  runtime.budget.text(format.length * 4);
  return new Str(strftime(runtime.now, format));
};

export const GLOBALS: ReadonlyMap<string, Value> = new Map(
  Object.entries({
    range,
    namespace,
    cycler,
    joiner,
    dict: (...call: Parameters<Call>) => entries('dict', ...call),
    raise_exception: raiseException,
    strftime_now: strftimeNow,
  }).map(([name, call]) => [name, callable('function', call)]),
);

/** Macros and recursive loops may be this deep. */
export const MAX_CALLS = 200;
