/** Reading the arguments of a call as Python binds them. */
import { typeError } from './errors.ts';
import { Str } from './marked.ts';
import { numeric, typeName, Undefined, type Value } from './values.ts';

/**
 * Values for the parameters `names` in order; `undefined` where nothing was given and none is required.
 * @throws TypeError for an argument too many, an unknown keyword, or one of the first `required` that is missing.
 */
export function bind(
  callee: string,
  names: readonly string[],
  required: number,
  args: readonly Value[],
  keywords: ReadonlyMap<string, Value>,
): (Value | undefined)[] {
  if (args.length > names.length) {
    throw typeError(`${callee}() takes at most ${names.length} arguments (${args.length} given)`);
  }
  const bound: (Value | undefined)[] = names.map((_, i) => args[i]);
  for (const [name, value] of keywords) {
    const i = names.indexOf(name);
    if (i < 0) throw typeError(`${callee}() got an unexpected keyword argument '${name}'`);
    if (i < args.length) throw typeError(`${callee}() got multiple values for argument '${name}'`);
    bound[i] = value;
  }
  for (let i = 0; i < required; i++) {
    if (bound[i] === undefined) throw typeError(`${callee}() missing required argument: '${names[i]}'`);
  }
  return bound;
}

export function needStr(callee: string, value: Value): Str {
  if (value instanceof Str) return value;
  if (value instanceof Undefined) throw value.failure();
  throw typeError(`${callee}: expected str, got ${typeName(value)}`);
}

export function needInt(callee: string, value: Value): number {
  if (typeof value === 'number' || typeof value === 'boolean') return Number(value);
  if (value instanceof Undefined) throw value.failure();
  throw typeError(`${callee}: '${typeName(value)}' object cannot be interpreted as an integer`);
}

export function needNumber(callee: string, value: Value): number {
  const number = numeric(value);
  if (number !== null) return number;
  if (value instanceof Undefined) throw value.failure();
  throw typeError(`${callee}: a number is needed, not '${typeName(value)}'`);
}

/** An optional integer. */
export const intOr = (callee: string, value: Value | undefined, fallback: number): number =>
  value === undefined || value === null ? fallback : needInt(callee, value);
