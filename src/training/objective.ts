/**
 * Objectives: functions from a decoder to the number that training makes small. The next-token likelihood is the principle of the whole
 * line of models: L(θ) = Σ_t log P(x_t | x_<t; θ) (Radford et al. 2018, equation 1), here as a weighted sum of -log P.
 */
import { decoderLogits, type ParameterLookup } from '../models/decoder.ts';
import type { DecoderConfig } from '../models/index.ts';
import { f, type Tensor } from '../tensor/index.ts';
import { IGNORED } from './data/index.ts';
import { type Pass, type RowTensors, trainingStates } from './learner.ts';

/** What a batch is, as tensors: all (B, T). */
export interface BatchTensors extends RowTensors {
  readonly targets: Tensor;
  /** What each target counts for in the sum; 0 where it is ignored. */
  readonly weights: Tensor;
}

export interface ObjectiveOptions extends Pass {
  /** Weight of the uniform distribution in the target (Szegedy et al. 2016); 0 unless given. */
  readonly label_smoothing?: number;
  /** Weight of log² Z, which keeps logits near 0 (Chowdhery et al. 2022); 0 unless given. */
  readonly z_loss?: number;
}

export interface Objective {
  /** What is reported: (1). Of a likelihood, the weighted sum of -log P, in nats. */
  readonly measured: Tensor;
  /** What is made small: (1). The same, or that with label smoothing and z-loss. */
  readonly loss: Tensor;
  /** What else is told of a step, by name: (1) each. */
  readonly metrics?: Readonly<Record<string, Tensor>>;
  /** The sum entering each layer, in order: where recomputation can start from. */
  readonly boundaries: readonly Tensor[];
}

/** The batch's tensors as inputs of a graph. */
export function batchInputs({
  batch_size,
  block_size,
  cross_document_attention = true,
}: {
  readonly batch_size: number;
  readonly block_size: number;
  readonly cross_document_attention?: boolean;
}): BatchTensors {
  const shape = [batch_size, block_size];
  return {
    tokens: f.input('tokens', 'i32', shape),
    targets: f.input('targets', 'i32', shape),
    weights: f.input('weights', 'f32', shape),
    positions: f.input('positions', 'i32', shape),
    firstKeys: cross_document_attention ? null : f.input('first_keys', 'i32', shape),
  };
}

/** Next-token likelihood of a batch under a decoder. */
export function nextTokenObjective(
  config: DecoderConfig,
  parameter: ParameterLookup,
  batch: BatchTensors,
  { label_smoothing = 0, z_loss = 0, ...pass }: ObjectiveOptions = {},
): Objective {
  const { hidden, boundaries } = trainingStates(config, parameter, batch, pass); // (B, T, C)
  const logits = decoderLogits(config, parameter, hidden, pass.maps); // (B, T, V)
  const losses = f.crossEntropy(logits, batch.targets, IGNORED); // (B, T)
  const total = (x: Tensor) => f.reshape(f.sum(f.mul(x, batch.weights), 0, 2), [1]);
  const measured = total(losses);
  if (label_smoothing === 0 && z_loss === 0) return { measured, loss: measured, boundaries };

  const logP = f.logSoftmax(logits); // (B, T, V)
  let shaped = losses;
  if (label_smoothing > 0) {
    const V = config.vocab_size;
    const spread = f.affine(f.reshape(f.sum(logP, 2), losses.shape), -1 / V, 0); // mean -log P over the vocabulary
    shaped = f.add(f.affine(shaped, 1 - label_smoothing, 0), f.affine(spread, label_smoothing, 0));
  }
  if (z_loss > 0) {
    const first = (x: Tensor) => f.reshape(f.slice(x, 2, 0, 1), losses.shape);
    const logZ = f.sub(first(logits), first(logP)); // (B, T)
    shaped = f.add(shaped, f.affine(f.square(logZ), z_loss, 0));
  }
  return { measured, loss: total(shaped), boundaries };
}
