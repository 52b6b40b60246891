/** The tests of Jinja (`x is …`): https://jinja.palletsprojects.com/en/stable/templates/#builtin-tests */
import { needInt, needStr } from './arguments.ts';
import { Failure, typeError } from './errors.ts';
import { Str } from './marked.ts';
import { relation } from './operators.ts';
import type { Runtime } from './runtime.ts';
import { type Call, Dict, Float, List, numeric, Thing, toStr, Undefined, type Value } from './values.ts';

function test(name: string, holds: (value: Value, runtime: Runtime) => boolean): [string, Call] {
  return [
    name,
    (runtime, args) => {
      if (args.length !== 1) throw typeError(`test '${name}' takes no arguments (${args.length - 1} given)`);
      return holds(args[0], runtime);
    },
  ];
}

function withArgument(
  names: readonly string[],
  holds: (a: Value, b: Value, runtime: Runtime) => boolean,
): [string, Call][] {
  return names.map((name) => [
    name,
    (runtime, args) => {
      if (args.length !== 2) throw typeError(`test '${name}' takes one argument (${args.length - 1} given)`);
      return holds(args[0], args[1], runtime);
    },
  ]);
}

const comparing = (operator: string, ...names: string[]): [string, Call][] =>
  withArgument([operator, ...names], (a, b, runtime) => relation(operator, a, b, runtime));
const isIterable = (value: Value): boolean =>
  value instanceof Str || value instanceof List || value instanceof Dict || value instanceof Undefined;

export const TESTS: ReadonlyMap<string, Call> = new Map<string, Call>([
  test('boolean', (value) => typeof value === 'boolean'),
  test('callable', (value) => value instanceof Thing && value.call !== null),
  test('defined', (value) => !(value instanceof Undefined)),
  test('undefined', (value) => value instanceof Undefined),
  test('even', (value) => needInt('even', value) % 2 === 0),
  test('odd', (value) => needInt('odd', value) % 2 !== 0),
  test('true', (value) => value === true),
  test('false', (value) => value === false),
  test('none', (value) => value === null),
  test('integer', (value) => typeof value === 'number'),
  test('float', (value) => value instanceof Float),
  test('number', (value) => numeric(value) !== null),
  test('string', (value) => value instanceof Str),
  test('mapping', (value) => value instanceof Dict),
  test('iterable', isIterable),
  test('sequence', isIterable),
  test('escaped', () => false),
  test('lower', (value, runtime) => isCase(value, (text) => text.toLowerCase(), runtime)),
  test('upper', (value, runtime) => isCase(value, (text) => text.toUpperCase(), runtime)),
  test('filter', (value, runtime) => runtime.language.filters.has(needStr('filter', value).text)),
  test('test', (value, runtime) => runtime.language.tests.has(needStr('test', value).text)),
  ...withArgument(['divisibleby'], (a, b) => {
    const by = needInt('divisibleby', b);
    if (by === 0) throw new Failure('ZeroDivisionError', 'integer modulo by zero');
    return needInt('divisibleby', a) % by === 0;
  }),
  ...withArgument(['sameas'], (a, b) => a === b || (a instanceof Str && b instanceof Str && a.text === b.text)),
  ...comparing('==', 'eq', 'equalto'),
  ...comparing('!=', 'ne'),
  ...comparing('<', 'lt', 'lessthan'),
  ...comparing('<=', 'le'),
  ...comparing('>', 'gt', 'greaterthan'),
  ...comparing('>=', 'ge'),
  ...comparing('in'),
]);

/** `str.islower` and `str.isupper`: at least one cased letter, and none of the other case. */
function isCase(value: Value, change: (text: string) => string, runtime: Runtime): boolean {
  if (value instanceof Undefined) throw value.failure();
  const { text } = toStr(value, runtime);
  runtime.budget.text(text.length);
  return text === change(text) && text.toLowerCase() !== text.toUpperCase();
}
