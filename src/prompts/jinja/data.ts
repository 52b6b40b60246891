import { typeError, valueError } from './errors.ts';
import { EMPTY, FROM_USER, Str } from './marked.ts';
import { Dict, Float, List, Undefined, type Value } from './values.ts';

/** Wraps the JSON-like data of a caller in the values of the language. */
export class DataReader {
  /** Characters and items read so far. */
  size = 0;

  /** @param tag given to every text: where it came from. */
  read(value: unknown, tag = FROM_USER, depth = 0): Value {
    if (depth > 200) throw valueError('the data nests deeper than 200 levels');
    this.size++;
    switch (typeof value) {
      case 'undefined':
        return new Undefined('the value is not given');
      case 'boolean':
        return value;
      case 'string':
        this.size += value.length;
        return value === '' ? EMPTY : Str.tagged(value, tag);
      case 'number':
        return Number.isSafeInteger(value) && !Object.is(value, -0) ? value : new Float(value);
      case 'bigint':
        if (!Number.isSafeInteger(Number(value))) throw valueError(`the integer ${value} is larger than 2^53`);
        return Number(value);
      case 'object':
        if (value === null) return null;
        if (Array.isArray(value)) return new List(value.map((child) => this.read(child, tag, depth + 1)));
        return this.dict(value, tag, depth);
      default:
        throw typeError(`a ${typeof value} cannot be given to a template`);
    }
  }

  private dict(value: object, tag: number, depth: number): Dict {
    const dict = new Dict();
    for (const [key, child] of Object.entries(value)) {
      if (child === undefined) continue;
      this.size += key.length;
      dict.set(Str.tagged(key, tag), this.read(child, tag, depth + 1));
    }
    return dict;
  }
}
