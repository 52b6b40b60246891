/** Reading a config.json that may say anything: every value is checked, and an error names the file, the key and what it held. */
import { FileFormatError } from '../errors.ts';

interface Kinds {
  number: number;
  string: string;
  boolean: boolean;
}

/** Numbers beyond this are not sizes of anything that could be loaded. */
const LARGEST = 1e12;

export class ConfigReader {
  constructor(
    private readonly values: Readonly<Record<string, unknown>>,
    private readonly file: string,
    private readonly path = '',
  ) {}

  /** The value of the first of `keys` that is there (null counts as absent). */
  optional<K extends keyof Kinds>(keys: string | readonly string[], kind: K): Kinds[K] | undefined {
    for (const key of typeof keys === 'string' ? [keys] : keys) {
      const value = Object.hasOwn(this.values, key) ? this.values[key] : undefined;
      if (value === undefined || value === null) continue;
      const finite = typeof value !== 'number' || (Number.isFinite(value) && Math.abs(value) <= LARGEST);
      if (typeof value !== kind || !finite) throw this.refuse(key, value, `has to be a ${kind}`);
      return value as Kinds[K];
    }
    return undefined;
  }

  number(keys: string | readonly string[]): number {
    return this.optional(keys, 'number') ?? this.missing(keys);
  }

  /** A whole number from 1 up: a size. */
  size(keys: string | readonly string[], fallback?: number): number {
    const value = this.optional(keys, 'number') ?? fallback ?? this.missing(keys);
    if (!Number.isInteger(value) || value < 1)
      throw this.refuse(String(keys), value, 'has to be a whole number from 1 up');
    return value;
  }

  numbers(key: string, length: number): number[] {
    const value = this.values[key];
    if (!Array.isArray(value) || value.length !== length || value.some((x) => typeof x !== 'number' || !(x > 0))) {
      throw this.refuse(key, value, `has to be ${length} numbers above 0`);
    }
    return value;
  }

  strings(key: string): string[] | undefined {
    const value = this.values[key];
    if (value === undefined || value === null) return undefined;
    if (!Array.isArray(value) || value.some((x) => typeof x !== 'string'))
      throw this.refuse(key, value, 'has to be names');
    return value;
  }

  /** Whatever is at a key, for those whose shape varies. */
  raw(key: string): unknown {
    return Object.hasOwn(this.values, key) ? this.values[key] : undefined;
  }

  /** A nested object, or null when it is absent. */
  object(key: string): ConfigReader | null {
    const value = this.raw(key);
    if (value === undefined || value === null) return null;
    if (typeof value !== 'object' || Array.isArray(value)) throw this.refuse(key, value, 'has to be an object');
    return new ConfigReader(value as Record<string, unknown>, this.file, `${this.path}${key}.`);
  }

  refuse(key: string, value: unknown, problem: string): FileFormatError {
    const shown = JSON.stringify(value) ?? String(value);
    return new FileFormatError(this.file, this.path + key, `${shown.slice(0, 80)} ${problem}`);
  }

  private missing(keys: string | readonly string[]): never {
    const names = typeof keys === 'string' ? keys : keys.join(' or ');
    throw new FileFormatError(this.file, this.path + names, 'is missing');
  }
}
