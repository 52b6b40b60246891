/** Documents made by a rule and a seed: arithmetic, word unscrambling, a needle in a haystack. */
import { FileFormatError } from '../errors.ts';
import { nearestNames } from '../nearest.ts';
import { stream } from './random.ts';
import { arithmetic } from './rules/arithmetic.ts';
import { needle } from './rules/needle.ts';
import { unscrambling } from './rules/unscrambling.ts';
import type { DatasetSpec, Document } from './types.ts';

/** An option of a rule: its value unless given, and the least and greatest; of a list, of each of its items. */
export interface RuleOption {
  readonly usual: number | string | readonly number[];
  readonly least?: number;
  readonly most?: number;
  readonly choices?: readonly string[];
}

/** The options of all rules; each sees those it declares. */
export interface RuleOptions {
  readonly kind: string;
  readonly count: number;
  readonly lengths: readonly number[];
  readonly depths: readonly number[];
}

export interface Rule {
  readonly options: Readonly<Record<string, RuleOption>>;
  /** @param random numbers in [0, 1). */
  make(options: RuleOptions, random: () => number): Document[];
}

const rules: Readonly<Record<string, Rule>> = { arithmetic, word_unscrambling: unscrambling, needle };

export const ruleNames: readonly string[] = Object.keys(rules);

/**
 * The documents of a split; those of another split come from other random numbers.
 * @throws FileFormatError for an option that is unknown or out of bounds.
 */
export function makeDocuments(dataset: DatasetSpec, split: string, seed: number, where: string): Document[] {
  const { name, ...given } = dataset.rule!;
  const rule = rules[name];
  const options: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(given)) {
    const option = rule.options[key];
    const place = `dataset.rule.${key}`;
    if (!option) {
      const keys = Object.keys(rule.options);
      const [near] = nearestNames(key, keys, 1);
      const hint = near ? `Did you mean "${near}"?` : `There are ${keys.join(', ')}`;
      throw new FileFormatError(where, place, `there is no key "${key}"`, hint);
    }
    const problem = problemOf(value, option);
    if (problem) throw new FileFormatError(where, place, problem);
    options[key] = value;
  }
  for (const [key, { usual }] of Object.entries(rule.options)) options[key] ??= usual;
  const random = stream(seed, `${name} ${split} ${options.kind ?? ''}`);
  return rule.make(options as unknown as RuleOptions, random);
}

function problemOf(value: unknown, { usual, least = 0, most = 1e6, choices }: RuleOption): string | undefined {
  if (choices) return choices.includes(String(value)) ? undefined : `it has to be one of ${choices.join(', ')}`;
  if (typeof usual === 'string') return typeof value === 'string' ? undefined : 'it has to be a text';
  const isInside = (one: unknown): boolean => typeof one === 'number' && one >= least && one <= most;
  if (Array.isArray(usual)) {
    const isList = Array.isArray(value) && value.length > 0 && value.length <= 100 && value.every(isInside);
    return isList ? undefined : `it has to be a list of up to 100 numbers from ${least} to ${most}`;
  }
  return isInside(value) && Number.isInteger(value)
    ? undefined
    : `it has to be a whole number from ${least} to ${most}`;
}
