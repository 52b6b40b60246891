/** Rewards: functions of an answer, which GRPO makes greater. */
import { SettingError } from '../../errors.ts';

export interface RewardContext {
  /** The text of the prompt. */
  readonly prompt: string;
  /** The text of the answer, without special tokens. */
  readonly completion: string;
  /** What else the prompt's record says: the right answer, say. */
  readonly record: Readonly<Record<string, unknown>>;
  /** Tokens of the answer, with the one that ended it. */
  readonly ids: Int32Array;
  /** Whether it ended by itself and not by its length. */
  readonly finished: boolean;
}

export type RewardFunction = (context: RewardContext) => number | Promise<number>;

export interface Reward {
  /** Of its metric, `reward_<name>`: letters, digits and _. */
  readonly name: string;
  /** In the sum of all rewards. */
  readonly weight: number;
  readonly of: RewardFunction;
}

/** An expression of a setting. @throws SettingError for one that cannot be read. */
function expression(setting: string, pattern: RegExp | string): RegExp {
  if (pattern instanceof RegExp) {
    // With g or y an expression remembers where it was.
    return new RegExp(pattern.source, pattern.flags.replaceAll(/[gy]/g, ''));
  }
  try {
    return new RegExp(pattern, 'su');
  } catch (error) {
    throw new SettingError(setting, pattern, `is no expression: ${(error as Error).message}`);
  }
}

/** 1 where the answer has the form of an expression somewhere in it (with ^ and $, as a whole), else 0. */
export function formatReward(pattern: RegExp | string): RewardFunction {
  const form = expression('pattern', pattern);
  return ({ completion }) => (form.test(completion) ? 1 : 0);
}

export interface ExactMatchOptions {
  /** Of the record, with the right answer; `completion` or else `answer` unless given. */
  readonly field?: string;
  /** What counts of an answer, and of the right one where it matches too: its last match, of that the first group if there is one. All unless given. */
  readonly pattern?: RegExp | string;
  /** Whether 1,000 and 1000.0 are the same. Default false. */
  readonly as_number?: boolean;
}

/**
 * 1 where the answer says what the record says, but for space around it; else 0. An answer without a match says nothing.
 * @throws SettingError (when it is asked) for a record without the field.
 */
export function exactMatchReward({ field, pattern, as_number = false }: ExactMatchOptions = {}): RewardFunction {
  const form = pattern === undefined ? null : expression('pattern', pattern);
  const all = form && new RegExp(form.source, `${form.flags}g`);
  const extract = (text: string): string | null => {
    if (!all) return text.trim();
    const last = [...text.matchAll(all)].at(-1);
    return last ? (last[1] ?? last[0]).trim() : null;
  };
  const same = (a: string, b: string) => {
    if (!as_number) return a === b;
    const [x, y] = [numberOf(a), numberOf(b)];
    return x !== null && x === y;
  };
  return ({ completion, record }) => {
    const name = field ?? ('completion' in record ? 'completion' : 'answer');
    const truth = record[name];
    if (typeof truth !== 'string' && typeof truth !== 'number')
      throw new SettingError(
        'reward',
        name,
        'is a field of no text in a record: exact_match needs the right answer there',
      );
    const wanted = extract(String(truth)) ?? String(truth).trim();
    const said = extract(completion);
    return said !== null && same(said, wanted) ? 1 : 0;
  };
}

function numberOf(text: string): number | null {
  const plain = text.replaceAll(/[,$\s]/g, '');
  const value = Number(plain);
  return plain !== '' && Number.isFinite(value) ? value : null;
}

export interface LengthOptions {
  /** Tokens of an answer, with the one that ends it. */
  readonly min?: number;
  readonly max: number;
  /** How many tokens outside of that bring the reward down to 0; as many as `max` unless given. */
  readonly fall?: number;
}

/** 1 for answers of `min` to `max` tokens, falling on a line to 0 outside. @throws SettingError */
export function lengthReward({ min = 0, max, fall = max }: LengthOptions): RewardFunction {
  if (!(max >= 1 && max >= min)) throw new SettingError('max', max, 'must be at least 1, and not below min');
  if (!(fall > 0)) throw new SettingError('fall', fall, 'must be above 0');
  return ({ ids }) => {
    const outside = Math.max(0, min - ids.length, ids.length - max);
    return Math.max(0, 1 - outside / fall);
  };
}

const kinds = ['format', 'exact_match', 'length'] as const;

/** The built-in rewards as data: what a command line or a file says. */
export type RewardSpec = {
  readonly type: (typeof kinds)[number];
  readonly name?: string;
  readonly weight?: number;
  readonly pattern?: string;
} & Omit<ExactMatchOptions, 'pattern'> &
  Partial<LengthOptions>;

const fields: Readonly<Record<RewardSpec['type'], readonly string[]>> = {
  format: ['pattern'],
  exact_match: ['field', 'pattern', 'as_number'],
  length: ['min', 'max', 'fall'],
};

/** @throws SettingError for an unknown type, a field that is not of it, or one that cannot be. */
export function rewardOf(spec: RewardSpec): Reward {
  const { type, name = type, weight = 1 } = spec;
  if (!kinds.includes(type)) throw new SettingError('type', type, `must be one of ${kinds.join(', ')}`);
  for (const key of Object.keys(spec)) {
    if (!['type', 'name', 'weight', ...fields[type]].includes(key))
      throw new SettingError(key, spec[key as keyof RewardSpec], `is not a field of the reward ${type}`);
  }
  return { name, weight, of: functionOf(spec) };
}

function functionOf(spec: RewardSpec): RewardFunction {
  switch (spec.type) {
    case 'format':
      if (!spec.pattern) throw new SettingError('pattern', spec.pattern, 'has to be given: the form of a good answer');
      return formatReward(spec.pattern);
    case 'exact_match':
      return exactMatchReward(spec);
    case 'length':
      if (spec.max === undefined) throw new SettingError('max', spec.max, 'has to be given: tokens of a good answer');
      return lengthReward({ ...spec, max: spec.max });
  }
}

/** @throws SettingError for none, names that are not of letters, digits and _, or twice the same, and weights that are no numbers. */
export function checkRewards(rewards: readonly Reward[]): void {
  if (rewards.length === 0) throw new SettingError('rewards', 0, 'are none: what is a good answer?');
  for (const { name, weight } of rewards) {
    if (!/^\w+$/.test(name) || name === 'std')
      throw new SettingError('name', name, 'must be of letters, digits and _, and not std');
    if (rewards.filter((other) => other.name === name).length > 1)
      throw new SettingError('name', name, 'is the name of two rewards');
    if (!Number.isFinite(weight)) throw new SettingError('weight', weight, `of the reward ${name} must be a number`);
  }
}

/**
 * Each reward of an answer, in their order.
 * @throws SettingError for a reward that is no finite number, with its name and the answer.
 */
export async function rewardsOf(rewards: readonly Reward[], context: RewardContext): Promise<number[]> {
  const found = await Promise.all(rewards.map(({ of }) => of(context)));
  for (const [i, value] of found.entries()) {
    if (typeof value === 'number' && Number.isFinite(value)) continue;
    const shown = JSON.stringify(context.completion.slice(0, 80));
    throw new SettingError('reward', value, `is what ${rewards[i].name} gives to ${shown}: it has to be a number`);
  }
  return found;
}
