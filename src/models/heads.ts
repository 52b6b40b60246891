/**
 * Task heads of GPT-1 (Radford et al. 2018, sections 3.2 and 3.3): a linear map from the state at the extract token, the last of a
 * sequence, to scores of classes. Its weight is `score.weight`, as Hugging Face's classifiers name it; there is no bias.
 */
import { SettingError } from '../errors.ts';
import { f, type Tensor } from '../tensor/index.ts';
import type { DecoderConfig } from './config.ts';
import type { ParameterSpec } from './parameters.ts';

/**
 * `classification` and `entailment` read one sequence; `similarity` adds the states of two, a pair in both orders; `multiple_choice` gives each of
 * several sequences one score, and the softmax is over them.
 */
export const headKinds = ['classification', 'entailment', 'similarity', 'multiple_choice'] as const;
export type HeadKind = (typeof headKinds)[number];

export interface HeadShape {
  readonly kind: HeadKind;
  /** Classes; the most choices that an example has. */
  readonly classes: number;
}

export const HEAD_WEIGHT = 'score.weight';

/** Classes that a head may have. */
const MOST_CLASSES = 65536;

/** The parameter of a head: `score.weight` (classes, C), or (1, C) of multiple choice. @throws SettingError */
export function headSpec({ n_embd: C }: Pick<DecoderConfig, 'n_embd'>, { kind, classes }: HeadShape): ParameterSpec {
  if (!headKinds.includes(kind)) throw new SettingError('head', kind, `is not one of ${headKinds.join(', ')}`);
  if (!Number.isInteger(classes) || classes < 2 || classes > MOST_CLASSES) {
    throw new SettingError('classes', classes, `must be a whole number from 2 to ${MOST_CLASSES}`);
  }
  return { name: HEAD_WEIGHT, shape: [kind === 'multiple_choice' ? 1 : classes, C] };
}

/** Sequences of an example. */
export function sequencesOf({ kind, classes }: HeadShape): number {
  if (kind === 'multiple_choice') return classes;
  return kind === 'similarity' ? 2 : 1;
}

/**
 * Scores (E, classes) of examples whose states at the extract tokens are (E, S, C).
 * @param absent (E, S): of multiple choice, what is added to the scores: 0, or a very negative number where there is no such choice.
 */
export function headLogits(
  { kind, classes }: HeadShape,
  weight: Tensor,
  states: Tensor,
  absent: Tensor | null,
): Tensor {
  const [E, , C] = states.shape;
  if (kind !== 'multiple_choice') {
    return f.linear(f.reshape(kind === 'similarity' ? f.sum(states, 1) : states, [E, C]), weight); // (E, classes)
  }
  const scores = f.reshape(f.linear(states, weight), [E, classes]);
  return absent ? f.add(scores, absent) : scores;
}
