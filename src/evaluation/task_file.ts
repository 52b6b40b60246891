/** Task files: a JSON object, checked key by key, with its defaults filled in. */
import { FileFormatError } from '../errors.ts';
import { nearestNames } from '../nearest.ts';
import { filterArguments, matchOptions } from './filters.ts';
import { metricInfo, metricTable } from './metrics.ts';
import { ruleNames } from './rules.ts';
import type {
  DatasetFormat,
  DatasetSpec,
  FilterSpec,
  FilterStep,
  MetricSpec,
  OutputType,
  TaskDefinition,
} from './types.ts';

export const outputTypes: readonly OutputType[] = [
  'multiple_choice',
  'loglikelihood',
  'loglikelihood_rolling',
  'generate_until',
];
export const datasetFormats: readonly DatasetFormat[] = ['jsonl', 'json', 'csv', 'tsv', 'text'];

/** The keys of a task. */
export const taskKeys = [
  'name',
  'version',
  'output_type',
  'dataset',
  'description',
  'doc_to_text',
  'doc_to_target',
  'doc_to_choice',
  'target_delimiter',
  'num_fewshot',
  'fewshot_split',
  'fewshot_delimiter',
  'fewshot_sampler',
  'generation',
  'repeats',
  'filters',
  'metrics',
] as const;

/** New tokens of an answer unless the task says. */
const NEW_TOKENS = 256;

/** A value of a file together with how messages call its place. */
class Field {
  constructor(
    readonly value: unknown,
    private readonly file: string,
    readonly path: string,
  ) {}

  fail(problem: string, hint?: string): never {
    throw new FileFormatError(this.file, this.path, problem, hint);
  }

  get isGiven(): boolean {
    return this.value !== undefined && this.value !== null;
  }

  object(keys?: readonly string[]): Readonly<Record<string, Field>> {
    const { value } = this;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) this.fail('it has to be an object');
    const entries = Object.entries(value).map(([key, child]) => {
      const path = this.path === '' ? key : `${this.path}.${key}`;
      if (keys && !keys.includes(key)) {
        const near = nearestNames(key, keys, 1);
        const hint = near.length > 0 ? `Did you mean "${near[0]}"?` : `There are ${keys.join(', ')}`;
        throw new FileFormatError(this.file, path, `there is no key "${key}"`, hint);
      }
      return [key, new Field(child, this.file, path)] as const;
    });
    return Object.fromEntries(entries);
  }

  list(): Field[] {
    if (!Array.isArray(this.value)) this.fail('it has to be a list');
    return this.value.map((child, i) => new Field(child, this.file, `${this.path}[${i}]`));
  }

  text(): string {
    return typeof this.value === 'string' ? this.value : this.fail('it has to be a text');
  }

  texts(): string[] {
    return typeof this.value === 'string' ? [this.value] : this.list().map((one) => one.text());
  }

  whole(least: number, most: number): number {
    const { value } = this;
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
    return this.fail(`it has to be a whole number from ${least} to ${most}`);
  }

  choice<T extends string>(choices: readonly T[]): T {
    const found = choices.find((one) => one === this.value);
    return found ?? this.fail(`it has to be one of ${choices.join(', ')}`);
  }
}

/** @param file how messages call it. @throws FileFormatError with the key, and the nearest one that there is. */
export function parseTask(json: unknown, file: string): TaskDefinition {
  const task = new Field(json, file, '').object(taskKeys);
  const get = (key: (typeof taskKeys)[number]): Field => task[key] ?? new Field(undefined, file, key);
  const text = (key: (typeof taskKeys)[number], usual: string): string => (get(key).isGiven ? get(key).text() : usual);
  const need = (key: (typeof taskKeys)[number]): Field =>
    get(key).isGiven ? get(key) : get(key).fail('it is missing');
  const output_type = need('output_type').choice(outputTypes);
  const name = need('name').text();
  if (!/^[\p{L}\p{N}_.-]{1,100}$/u.test(name)) get('name').fail('it may have letters, digits, _, . and - alone');
  const isRolling = output_type === 'loglikelihood_rolling';
  const choice = output_type === 'multiple_choice' ? need('doc_to_choice') : get('doc_to_choice');
  const dataset = parseDataset(need('dataset'));
  const fewshot_split = get('fewshot_split');
  if (fewshot_split.isGiven && !dataset.rule && !Object.hasOwn(dataset.splits, fewshot_split.text()))
    fewshot_split.fail(`the dataset has no split "${fewshot_split.text()}"`);
  return {
    name,
    version: get('version').isGiven ? get('version').whole(0, 1e6) : 1,
    output_type,
    dataset,
    description: text('description', ''),
    doc_to_text: isRolling ? text('doc_to_text', '') : need('doc_to_text').text(),
    doc_to_target: isRolling ? text('doc_to_target', '{{ text }}') : need('doc_to_target').text(),
    doc_to_choice: !choice.isGiven ? null : typeof choice.value === 'string' ? choice.value : choice.texts(),
    target_delimiter: text('target_delimiter', ' '),
    fewshot: {
      split: fewshot_split.isGiven ? fewshot_split.text() : undefined,
      count: get('num_fewshot').isGiven ? get('num_fewshot').whole(0, 1000) : 0,
      delimiter: text('fewshot_delimiter', '\n\n'),
      sampler: get('fewshot_sampler').isGiven ? get('fewshot_sampler').choice(['random', 'first']) : 'random',
    },
    generation: parseGeneration(get('generation'), text('fewshot_delimiter', '\n\n')),
    repeats: get('repeats').isGiven ? get('repeats').whole(1, 1000) : 1,
    filters: get('filters').isGiven ? parseFilters(get('filters')) : [{ name: 'none', steps: [] }],
    metrics: get('metrics').isGiven ? parseMetrics(get('metrics'), output_type) : usualMetrics(output_type),
  };
}

function usualMetrics(type: OutputType): MetricSpec[] {
  return metricTable.filter(({ types }) => types.includes(type)).map(({ name }) => ({ metric: name }));
}

function parseDataset(field: Field): DatasetSpec {
  if (typeof field.value === 'string') return { splits: { test: [field.value] }, split: 'test' };
  const { rule, splits, split, format, columns, source } = field.object([
    'rule',
    'splits',
    'split',
    'format',
    'columns',
    'source',
  ]);
  if (rule) {
    if (splits) splits.fail('a dataset has either a rule or files');
    const { name } = rule.object();
    if (!name) rule.fail('its name is missing');
    name.choice(ruleNames);
    return { rule: rule.value as DatasetSpec['rule'], splits: {}, split: split ? split.text() : 'test' };
  }
  if (!splits) field.fail('it needs "splits": {"test": "file.jsonl"}, or a "rule"');
  const files = Object.fromEntries(Object.entries(splits.object()).map(([key, one]) => [key, one.texts()]));
  const names = Object.keys(files);
  if (names.length === 0) splits.fail('it has no split');
  const scored = split ? split.choice(names) : names.includes('test') ? 'test' : names[0];
  return {
    splits: files,
    split: scored,
    ...(format ? { format: format.choice(datasetFormats) } : {}),
    ...(columns ? { columns: columns.texts() } : {}),
    ...(source ? { source: source.text() } : {}),
  };
}

function parseGeneration(field: Field, delimiter: string): TaskDefinition['generation'] {
  if (!field.isGiven) return { until: [delimiter], max_new_tokens: NEW_TOKENS, settings: {} };
  const { until, max_new_tokens, ...settings } = field.object();
  return {
    until: until ? until.texts() : [delimiter],
    max_new_tokens: max_new_tokens ? max_new_tokens.whole(1, 1e6) : NEW_TOKENS,
    settings: Object.fromEntries(Object.entries(settings).map(([key, { value }]) => [key, value])),
  };
}

function parseFilters(field: Field): FilterSpec[] {
  const specs = field.list().map((one): FilterSpec => {
    const { name, steps } = one.object(['name', 'steps']);
    if (!name || !steps) one.fail('it needs "name" and "steps"');
    return { name: name.text(), steps: steps.list().map(parseStep) };
  });
  if (specs.length === 0) field.fail('it is empty: leave it out for answers as they are');
  return specs;
}

function parseStep(field: Field): FilterStep {
  if (typeof field.value === 'string') return { function: field.choice(functionNames) };
  const given = field.object().function;
  if (!given) field.fail('"function" is missing');
  const name = given.choice(functionNames);
  const { pattern, group_select } = field.object(['function', ...filterArguments[name]]);
  if (name === 'regex') {
    if (!pattern) field.fail('"pattern" is missing');
    pattern.text();
    group_select?.whole(-1000, 1000);
  }
  return { ...(field.value as object), function: name };
}

const functionNames = Object.keys(filterArguments) as FilterStep['function'][];

function parseMetrics(field: Field, type: OutputType): MetricSpec[] {
  const usable = metricTable.filter(({ types }) => types.includes(type)).map(({ name }) => name);
  return field.list().map((one): MetricSpec => {
    const isName = typeof one.value === 'string';
    const metric = isName ? one : one.object().metric;
    if (!metric) one.fail('"metric" is missing');
    const name = metric.text();
    if (!usable.includes(name)) {
      const [near] = nearestNames(name, usable, 1);
      const problem = metricInfo(name) ? `${type} has no metric "${name}"` : `there is no metric "${name}"`;
      metric.fail(problem, near ? `Did you mean "${near}"?` : `There are ${usable.join(', ')}`);
    }
    if (isName) return { metric: name };
    const options = one.object(['metric', ...(name === 'exact_match' ? matchOptions : [])]);
    for (const [key, option] of Object.entries(options)) {
      if (key === 'regexes_to_ignore') option.texts();
      else if (key !== 'metric' && typeof option.value !== 'boolean') option.fail('it has to be true or false');
    }
    return { ...(one.value as object), metric: name };
  });
}
