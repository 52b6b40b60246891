/** What kind of record a file holds: told by its fields, the same for all records of a file. */
import { SettingError } from '../../errors.ts';
import { type DataRecord, fieldList } from './record.ts';

/** Formats by name: the fields that a record of it must have. Where several fit, the first. */
export type FormatTable = Readonly<Record<string, readonly string[]>>;

export const supervisedFormats = {
  messages: ['messages'],
  sharegpt: ['conversations'],
  alpaca: ['instruction', 'output'],
  prompt: ['prompt', 'completion'],
  question: ['question', 'answer'],
  text: ['text'],
} as const;

export const preferenceFormats = {
  sharegpt: ['conversations', 'chosen', 'rejected'],
  messages: ['messages', 'chosen', 'rejected'],
  alpaca: ['instruction', 'chosen', 'rejected'],
  prompt: ['prompt', 'chosen', 'rejected'],
  question: ['question', 'chosen', 'rejected'],
  pair: ['chosen', 'rejected'],
} as const;

export const labelledFormats = {
  prompt: ['prompt', 'completion', 'label'],
  alpaca: ['instruction', 'output', 'label'],
  messages: ['messages', 'label'],
  sharegpt: ['conversations', 'label'],
} as const;

export const promptFormats = {
  messages: ['messages'],
  sharegpt: ['conversations'],
  prompt: ['prompt'],
  instruction: ['instruction'],
  question: ['question'],
} as const;

export const taskFormats = {
  multiple_choice: ['choices'],
  endings: ['endings'],
  entailment: ['premise', 'hypothesis'],
  similarity: ['text1', 'text2'],
  sentences: ['sentence1', 'sentence2'],
  classification: ['text'],
  sentence: ['sentence'],
} as const;

/** Every name of a field that some format knows. */
export const knownFields: ReadonlySet<string> = new Set([
  ...[supervisedFormats, preferenceFormats, labelledFormats, promptFormats, taskFormats].flatMap((table) =>
    Object.values<readonly string[]>(table).flat(),
  ),
  ...['label', 'input', 'system', 'tools', 'answer', 'answerKey', 'context', 'ctx'],
]);

/** Tells the format of each record, and that the records of a file have one. */
export class FormatDetector<Name extends string> {
  private readonly ofFile = new Map<string, { readonly format: Name; readonly line: number }>();

  /**
   * @param format the only one there may be, when it is known.
   * @throws SettingError for a format that is not in the table.
   */
  constructor(
    private readonly table: Readonly<Record<Name, readonly string[]>>,
    private readonly format?: Name,
  ) {
    if (format !== undefined && !Object.hasOwn(table, format)) {
      throw new SettingError('format', format, `must be one of ${Object.keys(table).join(', ')}`);
    }
  }

  /** The formats that were found, in the order in which they were. */
  get found(): readonly Name[] {
    return [...new Set([...this.ofFile.values()].map(({ format }) => format))];
  }

  /** @throws FileFormatError for a record of no format, or of another than those before it. */
  formatOf(record: DataRecord): Name {
    const { file, line } = record.origin;
    const before = this.ofFile.get(file);
    const wanted = this.format ?? before?.format;
    if (wanted !== undefined && this.fits(record, wanted)) {
      if (before === undefined) this.ofFile.set(file, { format: wanted, line });
      const first = this.format === undefined ? this.firstOf(record) : wanted;
      if (first === wanted) return wanted;
      throw mixed(record, first ?? wanted, before);
    }
    if (this.format !== undefined) throw this.missing(record, this.format);
    const own = this.firstOf(record);
    if (own === undefined && before !== undefined) throw this.missing(record, before.format);
    if (own === undefined) throw this.unknown(record);
    if (before !== undefined) throw mixed(record, own, before);
    this.ofFile.set(file, { format: own, line });
    return own;
  }

  private missing(record: DataRecord, format: Name): Error {
    const field = this.table[format].find((name) => !record.has(name))!;
    return record.error(field, `is missing, which the format "${format}" needs; there ${fieldList(record.values)}`);
  }

  private fits(record: DataRecord, format: Name): boolean {
    return this.table[format].every((field) => record.has(field));
  }

  private firstOf(record: DataRecord): Name | undefined {
    return (Object.keys(this.table) as Name[]).find((format) => this.fits(record, format));
  }

  private unknown(record: DataRecord): Error {
    const kinds = Object.values<readonly string[]>(this.table).map((fields) => `{${fields.join(', ')}}`);
    const pairs = record.has('chosen') && record.has('rejected');
    return record.error(
      null,
      `it is no record of a known kind: there ${fieldList(record.values)}; known are ${[...new Set(kinds)].join(' ')}`,
      pairs
        ? 'These are preference pairs: choose an objective that learns from them, such as dpo'
        : 'Rename its fields or say which they are',
    );
  }
}

function mixed(record: DataRecord, own: string, before: { format: string; line: number } | undefined): Error {
  return record.error(
    null,
    `it is a record of the kind "${own}", but line ${before?.line ?? 1} is of the kind "${before?.format ?? own}"`,
    'One file has one kind of record: part them, or name the format',
  );
}
