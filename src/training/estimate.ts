/**
 * What a model costs before it is made: parameters by part, memory by purpose, arithmetic for each token. Nothing here allocates: counts
 * come from the decoder's list of parameters, and the memory of activations from compiling the step of a few of its layers.
 */
import type { DecoderConfig } from '../models/config.ts';
import { decoderHidden, decoderLogits } from '../models/decoder.ts';
import { type ParameterSpec, parameterSpecs } from '../models/parameters.ts';
import { compile } from '../tensor/compile.ts';
import { gradients } from '../tensor/gradients.ts';
import { f, type Tensor } from '../tensor/index.ts';

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

export type TrainingPrecision = 'float32' | 'bfloat16';

export interface EstimateOptions {
  /** Sequences in one pass; 1 unless given. */
  readonly batch_size?: number;
  /** Tokens of each; the decoder's context unless given. */
  readonly block_size?: number;
  /** `bfloat16` keeps float32 weights and adds copies of the matrices. */
  readonly precision?: TrainingPrecision;
  readonly optimizer?: 'adamw' | 'muon' | 'sgd';
  /** Compute the inside of each layer again for its gradient, and keep only what went in. */
  readonly recompute?: boolean;
  /** Bytes of activations when they are known, as from the compiled step, instead of estimated. */
  readonly activations?: number;
}

/** Bytes. */
export interface MemoryEstimate {
  readonly weights: number;
  readonly gradients: number;
  readonly optimizer: number;
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
  { block_size = decoder.n_positions, recompute = false }: EstimateOptions = {},
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
  const { precision = 'float32', optimizer = 'adamw' } = options;
  let parameters = 0;
  let matrices = 0;
  let ofMuon = 0;
  for (const spec of parameterSpecs(decoder)) {
    const count = size(spec);
    parameters += count;
    if (spec.shape.length < 2) continue;
    matrices += count;
    if (spec.name.startsWith('layers.')) ofMuon += count;
  }
  const weights = 4 * parameters + (precision === 'bfloat16' ? 2 * matrices : 0);
  const gradientBytes = 4 * parameters;
  // Mean and square of each gradient; of what Muon and SGD move, the mean alone.
  const single = optimizer === 'sgd' ? parameters : optimizer === 'muon' ? ofMuon : 0;
  const state = 8 * parameters - 4 * single;
  const activations = options.activations ?? estimateActivations(decoder, options);
  const { n_kv_head, head_dim } = decoder.attention;
  const kv_cache_per_token = 2 * 2 * decoder.layers.length * n_kv_head * head_dim;
  return {
    weights,
    gradients: gradientBytes,
    optimizer: state,
    activations,
    total: weights + gradientBytes + state + activations,
    kv_cache_per_token,
    kv_cache: kv_cache_per_token * decoder.n_positions,
  };
}

/** Numbers of layers whose step is compiled; from there memory grows by the same for each. */
const FEW_LAYERS = 4;
const MORE_LAYERS = 6;

/** Bytes that a pass keeps for its gradients and needs on the way. */
function estimateActivations(decoder: DecoderConfig, options: EstimateOptions): number {
  const { batch_size = 1, block_size = decoder.n_positions, recompute = false } = options;
  const count = decoder.layers.length;
  // By repetition where there are fewer: shapes are the same in all layers.
  const measure = (layers: number) => {
    const repeated = Array.from({ length: layers }, (_, i) => decoder.layers[i % count]);
    return passBytes({ ...decoder, layers: repeated }, batch_size, block_size);
  };
  const plain = count <= MORE_LAYERS ? measure(count) : undefined;
  if (plain !== undefined && !recompute) return plain;
  const few = measure(FEW_LAYERS);
  const more = measure(MORE_LAYERS);
  const each = (more - few) / (MORE_LAYERS - FEW_LAYERS);
  const all = plain ?? more + (count - MORE_LAYERS) * each;
  if (!recompute) return Math.ceil(all);
  // What enters each layer stays; one layer at a time is whole.
  const kept = 4 * batch_size * block_size * decoder.n_embd;
  return Math.ceil(Math.min(all, more - (MORE_LAYERS - 1) * each + count * kept));
}

/** The arena of forward and backward, where the gradient of a parameter leaves it as soon as it is known. */
function passBytes(decoder: DecoderConfig, batch: number, steps: number): number {
  const parameters = new Map<string, Tensor>();
  for (const { name, shape } of parameterSpecs(decoder)) parameters.set(name, f.parameter(name, 'f32', shape));
  const lookup = (name: string) => parameters.get(name);
  const ids = f.input('ids', 'i32', [batch, steps]);
  const positions = f.input('positions', 'i32', [batch, steps]);
  const targets = f.input('targets', 'i32', [batch, steps]);
  const hidden = decoderHidden(decoder, lookup, {
    ids,
    positions,
    attend: ({ q, k, v, sinks, attrs }) => f.attention(q, k, v, sinks, attrs),
  }); // (B, T, C)
  const loss = f.mean(f.crossEntropy(decoderLogits(decoder, lookup, hidden), targets));
  const sums = gradients(loss, [...parameters.values()]).map((gradient, i) => [`sum ${i}`, f.mean(gradient)] as const);
  return compile({ loss, ...Object.fromEntries(sums) }).arenaBytes;
}
