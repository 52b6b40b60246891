/**
 * What a model costs before it is made: parameters by part, memory by purpose, arithmetic for each token. Nothing here allocates: counts
 * come from the decoder's list of parameters, and the memory of activations from compiling the training step of a few of its layers.
 */
import type { DecoderConfig } from '../models/config.ts';
import { type ParameterSpec, parameterSpecs } from '../models/parameters.ts';
import { wholeModel } from './learner.ts';
import { type StepSettings, trainingPlans } from './step.ts';
import { type NextTokenSettings, nextTokenTask } from './task.ts';
import { stateSpecs } from './update.ts';

/** Numbers that a model learns, by what they are for. */
export interface ParameterCounts {
  readonly total: number;
  readonly embeddings: number;
  readonly positions: number;
  /** Queries, keys, values, output, and sinks. */
  readonly attention: number;
  /** Of all experts, with routers. */
  readonly feed_forward: number;
  readonly norms: number;
  /** 0 where the head shares the embeddings. */
  readonly head: number;
  /** Without embeddings, positions and head: the N of Kaplan et al. 2020. */
  readonly non_embedding: number;
  /** Those that take part in one token: all but the experts that it does not pass. */
  readonly active: number;
}

/**
 * What of a run decides its cost. Unless given: one sequence of the decoder's whole context, one pass for each step, AdamW, float32, no
 * dropout, nothing recomputed.
 */
export interface EstimateOptions extends Partial<StepSettings & NextTokenSettings> {
  readonly dropout?: number;
  /** Bytes of the step's arena, where it is compiled already (`TrainingStep.arenaBytes`). */
  readonly arenaBytes?: number;
}

/** Bytes. */
export interface MemoryEstimate {
  readonly weights: number;
  readonly gradients: number;
  readonly optimizer: number;
  /** What a pass keeps for its gradients and needs on the way, with the rounded copies of weights that bfloat16 makes. */
  readonly activations: number;
  /** Of training: the sum of the four. */
  readonly total: number;
  /** Keys and values of one token, and of one sequence that fills the context, in 16 bits: generating needs them, training does not. */
  readonly kv_cache_per_token: number;
  readonly kv_cache: number;
}

/** Floating-point operations; a multiplication and an addition are two. */
export interface FlopsEstimate {
  /** The N of 6N: active parameters that are factors of products. A lookup is none; a shared head is one. */
  readonly parameters: number;
  /** Of one token forward and backward: 6N; attention, 12 L H D T with T the keys seen (Chowdhery et al. 2022, Appendix B); both. */
  readonly six_n: number;
  readonly attention: number;
  readonly per_token: number;
  /** What recomputation adds to one token, 0 without it. */
  readonly recompute: number;
}

const size = ({ shape }: ParameterSpec): number => shape.reduce((a, b) => a * b, 1);

/** Which part of the model a parameter belongs to. */
function partOf(name: string): 'embeddings' | 'positions' | 'attention' | 'feed_forward' | 'norms' | 'head' {
  if (name.startsWith('embed.')) return 'embeddings';
  if (name.startsWith('positions.')) return 'positions';
  if (name.startsWith('head.')) return 'head';
  if (/norm\d?\./i.test(name)) return 'norms';
  return name.includes('.attention.') ? 'attention' : 'feed_forward';
}

/** Count the parameters of a decoder. */
export function countParameters(decoder: DecoderConfig): ParameterCounts {
  const parts = { embeddings: 0, positions: 0, attention: 0, feed_forward: 0, norms: 0, head: 0 };
  let total = 0;
  let idle = 0;
  const unused = decoder.experts ? 1 - decoder.experts.per_token / decoder.experts.count : 0;
  for (const spec of parameterSpecs(decoder)) {
    const count = size(spec);
    total += count;
    parts[partOf(spec.name)] += count;
    if (spec.name.includes('.experts.')) idle += Math.round(count * unused);
  }
  const non_embedding = total - parts.embeddings - parts.positions - parts.head;
  return { total, ...parts, non_embedding, active: total - idle };
}

/** The arithmetic of one token in training, at sequences of `block_size` tokens. */
export function estimateFlops(
  decoder: DecoderConfig,
  { block_size = decoder.n_positions, recompute = false }: Pick<EstimateOptions, 'block_size' | 'recompute'> = {},
): FlopsEstimate {
  const { active, positions, embeddings, head } = countParameters(decoder);
  const parameters = active - positions - (decoder.tied ? 0 : embeddings);
  const { n_head, head_dim } = decoder.attention;
  const keys = decoder.layers.reduce(
    (sum, { window }) => sum + (window > 0 ? Math.min(window, block_size) : block_size),
    0,
  );
  const attention = 12 * n_head * head_dim * keys;
  const inLayers = parameters - (decoder.tied ? embeddings : head);
  return {
    parameters,
    six_n: 6 * parameters,
    attention,
    per_token: 6 * parameters + attention,
    recompute: recompute ? 2 * inLayers + attention / 3 : 0,
  };
}

/** The memory of training, by purpose, and of a sequence in the cache. */
export function estimateMemory(decoder: DecoderConfig, options: EstimateOptions = {}): MemoryEstimate {
  const settings = settingsOf(decoder, options);
  const specs = parameterSpecs(decoder);
  const bytes = (shapes: readonly Pick<ParameterSpec, 'shape'>[]) =>
    shapes.reduce((sum, { shape }) => sum + 4 * shape.reduce((a, b) => a * b, 1), 0);
  const weights = bytes(specs);
  const optimizer = bytes(specs.flatMap((spec) => stateSpecs(settings, spec)));
  // Sums of gradients have buffers of their own; those of a single pass lie in the arena.
  const arena = options.arenaBytes ?? estimateArena(decoder, settings);
  const activations = settings.gradient_accumulation_steps > 1 ? arena : Math.max(0, arena - weights);
  const { n_kv_head, head_dim } = decoder.attention;
  const kv_cache_per_token = 2 * 2 * decoder.layers.length * n_kv_head * head_dim;
  return {
    weights,
    gradients: weights,
    optimizer,
    activations,
    total: 2 * weights + optimizer + activations,
    kv_cache_per_token,
    kv_cache: kv_cache_per_token * decoder.n_positions,
  };
}

function settingsOf(
  decoder: DecoderConfig,
  { arenaBytes: _, ...given }: EstimateOptions,
): StepSettings & NextTokenSettings & { readonly dropout: number } {
  return {
    batch_size: 1,
    block_size: decoder.n_positions,
    gradient_accumulation_steps: 1,
    dropout: 0,
    seed: 0,
    optimizer: 'adamw',
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    momentum: 0.95,
    weight_decay: 0.1,
    grad_clip: 1,
    ...given,
  };
}

/** Numbers of layers whose step is compiled; from there memory grows by about the same for each. */
const FEW_LAYERS = 4;
const MORE_LAYERS = 6;

/** Bytes of the step's arena. */
function estimateArena(decoder: DecoderConfig, settings: ReturnType<typeof settingsOf>): number {
  const count = decoder.layers.length;
  const measure = (layers: number): number => {
    // Of all kinds of layers, in their order: banded ones, experts.
    const few = { ...decoder, layers: decoder.layers.slice(0, layers) };
    const { learn, update } = trainingPlans(nextTokenTask(wholeModel(few, settings.dropout), settings), settings);
    return learn.arenaBytes + (update?.arenaBytes ?? 0);
  };
  if (count <= MORE_LAYERS) return measure(count);
  const more = measure(MORE_LAYERS);
  const each = (more - measure(FEW_LAYERS)) / (MORE_LAYERS - FEW_LAYERS);
  return Math.ceil(more + (count - MORE_LAYERS) * each);
}
