/** Examples set apart for validation. */
import { SettingError } from '../../errors.ts';
import type { Tokenizer } from '../../tokenizers/index.ts';
import type { TextCounts } from '../data/index.ts';
import { Permutation } from '../data/permutation.ts';
import type { Example, LabelledExample, PreferenceExample, PromptExample, TaskExample } from './example.ts';

export type AnyExample = Example | PreferenceExample | LabelledExample | PromptExample | TaskExample;

export interface SplitResult<E> {
  readonly train: readonly E[];
  readonly validation: readonly E[];
  /** Examples that are the same as one before them, token for token. They are on its side. */
  readonly duplicates: number;
}

/** The stream of the permutation that chooses. */
const SPLIT = 0x7e000002;

/**
 * Parts examples by seed: `fraction` of the different ones, rounded, and at least one where there are two or more, are
 * for validation. Both sides keep the order of the examples.
 * @param fraction from 0 to below 1.
 * @throws SettingError
 */
export function splitExamples<E extends AnyExample>(
  examples: readonly E[],
  { fraction, seed }: { readonly fraction: number; readonly seed: number },
): SplitResult<E> {
  if (!(fraction >= 0 && fraction < 1)) throw new SettingError('fraction', fraction, 'must be from 0 to below 1');
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new SettingError('seed', seed, 'must be a whole number from 0 to 2^53 - 1');
  }
  const groups = new Map<number, number>();
  const groupOf = examples.map((example) => {
    const key = exampleKey(example);
    const group = groups.get(key) ?? groups.size;
    groups.set(key, group);
    return group;
  });
  const count = groups.size;
  const least = fraction > 0 && count > 1 ? 1 : 0;
  const wanted = Math.min(Math.max(least, Math.round(count * fraction)), Math.max(0, count - 1));
  const order = new Permutation(Math.max(1, count), seed, SPLIT, 0);
  const isValidation = Array.from({ length: count }, (_, group) => order.at(group) < wanted);
  const side = (validation: boolean) => examples.filter((_, i) => isValidation[groupOf[i]] === validation);
  return { train: side(false), validation: side(true), duplicates: examples.length - count };
}

/** How many examples of `validation` are also in `train`, token for token. */
export function countShared(train: readonly AnyExample[], validation: readonly AnyExample[]): number {
  const known = new Set(train.map(exampleKey));
  return validation.filter((example) => known.has(exampleKey(example))).length;
}

/**
 * What the learned tokens of examples stand for: losses in bits per byte and per character come from it. `documents` are
 * the examples.
 */
export function learnedCounts(examples: readonly Example[], tokenizer: Pick<Tokenizer, 'tokenBytes'>): TextCounts {
  let [tokens, bytes, characters] = [0, 0, 0];
  const known = new Map<number, readonly [number, number]>();
  for (const { ids, learn } of examples) {
    for (let i = 1; i < ids.length; i++) {
      if (learn[i] !== 1) continue;
      let counts = known.get(ids[i]);
      if (counts === undefined) {
        const of = tokenizer.tokenBytes(ids[i]);
        // In UTF-8 every character has one byte that is no continuation.
        counts = [of.length, of.reduce((sum, byte) => sum + ((byte & 0xc0) === 0x80 ? 0 : 1), 0)];
        known.set(ids[i], counts);
      }
      tokens++;
      bytes += counts[0];
      characters += counts[1];
    }
  }
  return { tokens, documents: examples.length, bytes, characters };
}

/** 53 bits of a hash (FNV-1a over words, twice) of all the ids of an example. */
export function exampleKey(example: AnyExample): number {
  let [a, b] = [0x811c9dc5, 0x5bd1e995];
  const add = (word: number) => {
    a = Math.imul(a ^ word, 0x01000193);
    b = Math.imul((b ^ word ^ (b >>> 15)) + 0x2545f491, 0x2c1b3c6d);
    a ^= a >>> 13;
  };
  const addAll = (ids: Int32Array) => {
    add(ids.length);
    for (const id of ids) add(id);
  };
  const parts: readonly unknown[] = 'sequences' in example ? example.sequences : Object.values({ ...example });
  for (const part of parts) if (part instanceof Int32Array) addAll(part);
  return (a >>> 0) * 2 ** 21 + ((b >>> 0) & 0x1fffff);
}
