/**
 * The inputs of task heads: structured inputs as one row of tokens each, so that a language model reads them as it read
 * texts (Radford et al. 2018, section 3.3 and figure 1).
 *
 *   classification   [start, text, extract]
 *   entailment       [start, premise, delimiter, hypothesis, extract]
 *   similarity       both orders of [start, text1, delimiter, text2, extract]
 *   multiple choice  [start, context, delimiter, choice, extract] for each choice
 */
import { SettingError } from '../../errors.ts';
import type { Tokenizer } from '../../tokenizers/index.ts';
import type { TaskExample } from './example.ts';
import { FormatDetector, taskFormats } from './formats.ts';
import { type DataRecord, type FieldNames, kindOf } from './record.ts';
import { checkTruncation, type Truncation } from './truncation.ts';

export type TaskFormat = keyof typeof taskFormats;
export type TaskKind = 'classification' | 'entailment' | 'similarity' | 'multiple_choice';

const KIND: Readonly<Record<TaskFormat, TaskKind>> = {
  multiple_choice: 'multiple_choice',
  endings: 'multiple_choice',
  entailment: 'entailment',
  similarity: 'similarity',
  sentences: 'similarity',
  classification: 'classification',
  sentence: 'classification',
};

/** The ids that stand around the texts. They may be tokens added to the vocabulary, which no text becomes. */
export interface TaskTokens {
  readonly start: number;
  readonly delimiter: number;
  readonly extract: number;
}

export interface TaskOptions {
  readonly tokens: TaskTokens;
  readonly format?: TaskFormat;
  readonly fields?: FieldNames;
  /** Tokens of the longest sequence: a longer one loses the end of its longest text (`refuse`: an error). Default none. */
  readonly block_size?: number;
  readonly truncation?: Extract<Truncation, 'right' | 'refuse'>;
  /** Names of the classes by number. Without them they are those that the records have. */
  readonly labels?: readonly string[];
  /** How found classes are numbered. Default `sorted`: by number where all are numbers, else by code units. */
  readonly label_order?: 'sorted' | 'first_seen';
}

export interface TaskExamples {
  readonly examples: readonly TaskExample[];
  readonly kind: TaskKind;
  /** Names of the classes by number; for multiple choice the numbers of the choices. */
  readonly labels: readonly string[];
  /** Sequences in each example. */
  readonly sequences: number;
  /** Examples of which a text lost its end. */
  readonly cut: number;
  /** Tokens of the longest sequence before anything was cut. */
  readonly longest: number;
}

/** A record on the way: the texts of each of its sequences, and the name or number of its class. */
interface Draft {
  readonly record: DataRecord;
  readonly texts: readonly (readonly string[])[];
  readonly label: string | number;
}

/**
 * Examples for a task head.
 * @throws FileFormatError with file, line and field for a record that is none; SettingError for options that cannot be.
 */
export function taskExamples(records: Iterable<DataRecord>, tokenizer: Tokenizer, options: TaskOptions): TaskExamples {
  const { tokens, block_size = Number.MAX_SAFE_INTEGER, truncation = 'right' } = options;
  for (const [name, id] of Object.entries(tokens)) {
    if (!Number.isInteger(id) || id < 0) throw new SettingError(name, id, 'must be a token: a whole number from 0');
  }
  checkTruncation(truncation, block_size);
  const formats = new FormatDetector(taskFormats, options.format);
  const drafts: Draft[] = [];
  let kind: TaskKind | undefined;
  for (const given of records) {
    const record = options.fields ? given.renamed(options.fields) : given;
    const format = formats.formatOf(record);
    kind ??= KIND[format];
    if (kind !== KIND[format]) throw record.error(null, `it is for ${KIND[format]}, but those before it for ${kind}`);
    drafts.push(draftOf(record, format));
  }
  if (kind === undefined) throw new SettingError('data', 0, 'has no records');
  const numbering = numberingOf(drafts, options);
  const sequences = drafts[0].texts.length;
  let [cut, longest] = [0, 0];
  const examples = drafts.map(({ record, texts, label }): TaskExample => {
    if (texts.length !== sequences) {
      throw record.error(null, `it has ${texts.length} choices, but the first record has ${sequences}`);
    }
    const rows = texts.map((parts) => parts.map((part) => tokenizer.encodeIds(part, { add_special_tokens: false })));
    const full = Math.max(...rows.map(lengthOf));
    longest = Math.max(longest, full);
    if (full > block_size) {
      if (truncation === 'refuse') throw record.error(null, `it has ${full} tokens, but the window has ${block_size}`);
      cut++;
    }
    const number = typeof label === 'number' ? label : numbering(label, record);
    return {
      sequences: rows.map((parts) => assemble(shortened(parts, block_size, record), tokens)),
      label: number,
      origin: record.origin,
    };
  });
  const isChoice = kind === 'multiple_choice';
  const labels = isChoice ? Array.from({ length: sequences }, (_, i) => String(i)) : numbering.labels;
  return { examples, kind, labels, sequences, cut, longest };
}

function draftOf(record: DataRecord, format: TaskFormat): Draft {
  const pair = (a: string, b: string) => [record.filledText(a), record.filledText(b)];
  if (format === 'classification' || format === 'sentence') {
    const text = record.filledText(format === 'sentence' ? 'sentence' : 'text');
    return { record, texts: [[text]], label: labelOf(record) };
  }
  if (format === 'entailment') return { record, texts: [pair('premise', 'hypothesis')], label: labelOf(record) };
  if (format === 'similarity' || format === 'sentences') {
    const [a, b] = format === 'similarity' ? pair('text1', 'text2') : pair('sentence1', 'sentence2');
    return {
      record,
      texts: [
        [a, b],
        [b, a],
      ],
      label: labelOf(record),
    };
  }
  return choicesOf(record, format === 'endings' ? 'endings' : 'choices');
}

/** The name of a class: a text, a number or a truth value. */
function labelOf(record: DataRecord): string {
  const value = record.value('label');
  if (typeof value === 'string' && value !== '') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (value === undefined) throw record.error('label', 'is missing: it names the class');
  throw record.error('label', `is not a text or a number but ${value === '' ? 'empty' : kindOf(value)}`);
}

function choicesOf(record: DataRecord, field: string): Draft {
  const contexts = ['context', 'ctx', 'question'].filter((name) => record.has(name));
  if (contexts.length === 0) throw record.error('question', 'is missing: a question or a context comes before choices');
  const context = contexts.map((name) => record.filledText(name)).join('\n');
  const { texts, names } = choiceTexts(record, field);
  if (texts.length < 2) throw record.error(field, `has ${texts.length} choices: there must be two or more`);
  const answer = ['answer', 'answerKey', 'label'].find((name) => record.has(name));
  if (answer === undefined) throw record.error('answer', 'is missing: it says which choice is right');
  return {
    record,
    texts: texts.map((text) => [context, text]),
    label: rightChoice(record, answer, texts, names),
  };
}

/** A list of texts, or two lists: `text` and the `label` of each. */
function choiceTexts(record: DataRecord, field: string): { texts: string[]; names: string[] } {
  const value = record.value(field);
  const lists = typeof value === 'object' && value !== null && 'text' in value ? value : { text: value };
  const { text, label } = lists as { text: unknown; label?: unknown };
  const isTexts = (list: unknown): list is string[] => Array.isArray(list) && list.every((x) => typeof x === 'string');
  if (!isTexts(text)) throw record.error(field, `is not a list of texts but ${kindOf(text)}`);
  if (label !== undefined && !(isTexts(label) && label.length === text.length)) {
    throw record.error(field, 'has a "label" that is not one text for each choice');
  }
  const letters = text.map((_, i) => String.fromCharCode(65 + i));
  return { texts: text, names: label ?? letters };
}

/** The number of the right choice: given as its number from 0, its name (A, B …), or its text. */
function rightChoice(record: DataRecord, field: string, texts: readonly string[], names: readonly string[]): number {
  const value = record.value(field);
  const found =
    typeof value === 'number'
      ? value
      : [
          names.indexOf(String(value)),
          texts.indexOf(String(value)),
          /^\d+$/.test(String(value)) ? Number(value) : -1,
        ].find((index) => index >= 0);
  if (found !== undefined && Number.isInteger(found) && found >= 0 && found < texts.length) return found;
  const shown = JSON.stringify(value)?.slice(0, 60);
  throw record.error(field, `is ${shown}: it must be a choice's number (0 to ${texts.length - 1}), name or text`);
}

interface Numbering {
  (label: string, record: DataRecord): number;
  readonly labels: readonly string[];
}

function numberingOf(drafts: readonly Draft[], { labels, label_order = 'sorted' }: TaskOptions): Numbering {
  if (label_order !== 'sorted' && label_order !== 'first_seen') {
    throw new SettingError('label_order', label_order, 'must be "sorted" or "first_seen"');
  }
  const seen = [...new Set(drafts.map(({ label }) => label).filter((label) => typeof label === 'string'))];
  const isNumbers = seen.every((label) => label.trim() !== '' && Number.isFinite(Number(label)));
  const byValue = (a: string, b: string) => (isNumbers ? Number(a) - Number(b) : a < b ? -1 : 1);
  const names = labels ?? (label_order === 'sorted' ? seen.sort(byValue) : seen);
  const numbers = new Map(names.map((name, i) => [name, i]));
  const numberOf = (label: string, record: DataRecord) => {
    const number = numbers.get(label);
    if (number !== undefined) return number;
    const known = names.slice(0, 20).join(', ');
    throw record.error('label', `is ${JSON.stringify(label.slice(0, 60))}, which is no class: known are ${known}`);
  };
  return Object.assign(numberOf, { labels: names });
}

/** Tokens of a sequence of texts with what stands around them. */
const lengthOf = (parts: readonly Int32Array[]) => parts.reduce((sum, { length }) => sum + length, parts.length + 1);

/** Texts that fit: the longest loses from its end until they do, so that none is lost whole while another is long. */
function shortened(parts: readonly Int32Array[], block_size: number, record: DataRecord): readonly Int32Array[] {
  let over = lengthOf(parts) - block_size;
  if (over <= 0) return parts;
  if (block_size < 2 * parts.length + 1) throw record.error(null, `no text fits a window of ${block_size} tokens`);
  const lengths = parts.map(({ length }) => length);
  while (over > 0) {
    const longest = lengths.indexOf(Math.max(...lengths));
    const next = Math.max(1, ...lengths.filter((length) => length < lengths[longest]));
    const take = Math.min(over, Math.max(1, lengths[longest] - next));
    lengths[longest] -= take;
    over -= take;
  }
  return parts.map((part, i) => part.subarray(0, lengths[i]));
}

function assemble(parts: readonly Int32Array[], { start, delimiter, extract }: TaskTokens): Int32Array {
  const ids = new Int32Array(lengthOf(parts));
  let at = 0;
  for (const [i, part] of parts.entries()) {
    ids[at++] = i === 0 ? start : delimiter;
    ids.set(part, at);
    at += part.length;
  }
  ids[at] = extract;
  return ids;
}
