/** One record of a data file: fields with values that nobody has checked. */
import { nearestNames } from '../../nearest.ts';
import { type Origin, recordError } from './example.ts';

/** Names of fields as the data has them, by the names used here: `{ prompt: 'question' }`. */
export type FieldNames = Readonly<Record<string, string>>;

export class DataRecord {
  constructor(
    readonly origin: Origin,
    readonly values: Readonly<Record<string, unknown>>,
    private readonly names: FieldNames = {},
  ) {}

  /** The same record with other names for its fields. */
  renamed(names: FieldNames): DataRecord {
    return new DataRecord(this.origin, this.values, names);
  }

  /** True where there is a value other than null. */
  has(field: string): boolean {
    const value = this.value(field);
    return value !== undefined && value !== null;
  }

  /** The value as it is; undefined where there is none. */
  value(field: string): unknown {
    const name = this.nameOf(field);
    return Object.hasOwn(this.values, name) ? this.values[name] : undefined;
  }

  /** @throws FileFormatError where it is missing or no string. */
  text(field: string): string {
    const value = this.value(field);
    if (typeof value === 'string') return value;
    if (value !== undefined) throw this.error(field, `is not a string but ${kindOf(value)}`);
    const near = nearestNames(this.nameOf(field), Object.keys(this.values).slice(0, 50));
    const meant = near.length > 0 ? `. Is it "${near[0]}"?` : '';
    throw this.error(field, `is missing; there ${fieldList(this.values)}${meant}`);
  }

  /** A string with something in it. @throws FileFormatError */
  filledText(field: string): string {
    const text = this.text(field);
    if (text.trim() !== '') return text;
    throw this.error(field, 'is empty: there is nothing to learn from it', 'Fill it or leave the record out');
  }

  /** Empty where it is missing or null. @throws FileFormatError where it is no string. */
  optionalText(field: string): string {
    return this.has(field) ? this.text(field) : '';
  }

  /** An error that names the record and the field. `field` null: the record as a whole. */
  error(field: string | null, problem: string, hint = ''): Error {
    return recordError(this.origin, field === null ? null : this.nameOf(field), problem, hint);
  }

  private nameOf(field: string): string {
    return Object.hasOwn(this.names, field) ? this.names[field] : field;
  }
}

/** What a value is, for messages. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  return typeof value === 'object' ? 'an object' : typeof value;
}

/** `are "a", "b"`: the fields of a record, for messages. */
export function fieldList(values: Readonly<Record<string, unknown>>): string {
  const names = Object.keys(values);
  if (names.length === 0) return 'are no fields';
  const shown = names.slice(0, 20).map((name) => JSON.stringify(name.slice(0, 60)));
  return `${names.length === 1 ? 'is' : 'are'} ${shown.join(', ')}${names.length > 20 ? ', …' : ''}`;
}
