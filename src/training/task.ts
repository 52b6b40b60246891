/**
 * A task: what a step learns, what stays as it is, and the number that is made small. The step knows nothing else of what it trains, so
 * pre-training, fine-tuning under adapters, preferences and heads are tasks of one machine.
 */
import type { ParameterLookup } from '../models/decoder.ts';
import type { Tensor } from '../tensor/index.ts';
import { type Batch, IGNORED } from './data/index.ts';
import type { Learner } from './learner.ts';
import { batchInputs, nextTokenObjective, type Objective } from './objective.ts';

/** Data of a batch, by the names of the plan's inputs. */
export type TaskInputs = Readonly<Record<string, Int32Array | Float32Array>>;

/** @typeParam B what one pass is fed. */
export interface TrainingTask<B = Batch> extends Omit<Learner, 'pass'> {
  /** Whether `measured` is a mean of -log P, of which a perplexity can be told. */
  readonly isLikelihood: boolean;
  /**
   * The graph of a batch whose things each count for `weight` (see `inputs`).
   * @param keys (places, 4) i32 of the random numbers of dropout; null without.
   * @param isMeasure whether nothing will be learnt from it.
   */
  objective(parameter: ParameterLookup, keys: Tensor | null, isMeasure: boolean): Objective;
  /** How many things a mean is of: targets, pairs, examples. */
  count(batch: B): number;
  /** @param weight of each of these things in all sums. */
  inputs(batch: B, weight: number): TaskInputs;
}

export interface NextTokenSettings {
  readonly batch_size: number;
  readonly block_size: number;
  /** Whether a token sees all before it in its window, or only those of its own document. Default true. */
  readonly cross_document_attention?: boolean;
  readonly label_smoothing?: number;
  readonly z_loss?: number;
}

/** The likelihood of text, or of the tokens of it that are to be learned. */
export function nextTokenTask({ pass, ...learner }: Learner, settings: NextTokenSettings): TrainingTask {
  const { label_smoothing, z_loss } = settings;
  return {
    ...learner,
    isLikelihood: true,
    // What is measured is the likelihood itself: smoothing is for learning.
    objective: (parameter, keys, isMeasure) =>
      nextTokenObjective(learner.config, parameter, batchInputs(settings), {
        ...pass(parameter, keys),
        ...(isMeasure ? {} : { label_smoothing, z_loss }),
      }),
    count: ({ targets }) => countTargets(targets),
    inputs: (batch, weight) => batchData(batch, weight, settings),
  };
}

/** Targets that are to be learned. */
export function countTargets(targets: Int32Array): number {
  let count = 0;
  for (const target of targets) if (target !== IGNORED) count++;
  return count;
}

/** A batch as inputs of a plan, with one weight for every target that counts. */
export function batchData(
  { tokens, targets, positions, documents, block_size }: Batch,
  weight: number,
  { cross_document_attention = true }: Pick<NextTokenSettings, 'cross_document_attention'>,
): TaskInputs {
  // Loops: the threads wait for this, and `from` with a function takes ten times as long.
  const weights = new Float32Array(targets.length);
  for (let i = 0; i < weights.length; i++) weights[i] = targets[i] === IGNORED ? 0 : weight;
  return {
    tokens,
    targets,
    weights,
    positions: positions ?? countUp(tokens.length, block_size),
    ...(cross_document_attention ? {} : { first_keys: firstKeys(documents, tokens.length, block_size) }),
  };
}

/** 0 … block_size - 1, again and again. */
export function countUp(count: number, block_size: number): Int32Array {
  const positions = new Int32Array(count);
  for (let i = 0; i < count; i++) positions[i] = i % block_size;
  return positions;
}

/** The first position of each one's document in its window. */
function firstKeys(documents: Int32Array | undefined, count: number, block_size: number): Int32Array {
  const first = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const t = i % block_size;
    if (t > 0 && documents) first[i] = documents[i] === documents[i - 1] ? first[i - 1] : t;
  }
  return first;
}
