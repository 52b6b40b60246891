/** The attributes of every op: the part of an op's meaning that is fixed when the graph is built. */
import type { DType } from '../dtype.ts';
import type { Shape } from '../shape.ts';

export type None = Record<never, never>;

/** Element-wise ops of one operand. */
export const unaryOps = [
  'neg',
  'exp',
  'log',
  'sqrt',
  'rsqrt',
  'reciprocal',
  'abs',
  'square',
  'tanh',
  'sigmoid',
  'relu',
  'erf',
  'gelu',
  'geluTanh',
  'silu',
  'geluGrad',
  'geluTanhGrad',
  'siluGrad',
] as const;
export type UnaryOp = (typeof unaryOps)[number];

/** Element-wise ops of two operands, with broadcasting of trailing dimensions. `greater` gives 1 or 0. */
export const binaryOps = ['add', 'sub', 'mul', 'div', 'maximum', 'minimum', 'greater'] as const;
export type BinaryOp = (typeof binaryOps)[number];

/** One instruction of a fused element-wise program. Operands: `i < inputs` is an input, otherwise the result of instruction `i - inputs`. */
export interface ElementwiseInstruction {
  readonly op: UnaryOp | BinaryOp | 'affine' | 'clamp' | 'where';
  readonly operands: readonly number[];
  /** scale and shift of `affine`, bounds of `clamp`. */
  readonly scalars?: readonly [number, number];
}

/** How scores become an attention: see `attention` in functions.ts. */
export interface AttentionAttrs {
  /** Factor on q·k, 1/sqrt(D) in most models. */
  readonly scale: number;
  /** Keys visible to a query, itself included; 0 for all before it. */
  readonly window: number;
  /** Scores s become softcap * tanh(s / softcap); 0 for none (Gemma 2). */
  readonly softcap: number;
}

/** Of dense attention alone, which training uses. */
export interface DenseAttentionAttrs extends AttentionAttrs {
  /** Share of the weights that are set to 0 by random numbers, the others growing to make up for it; 0 unless given. */
  readonly dropout?: number;
}

export type UnaryAttrs = { readonly [K in UnaryOp]: None };
export type BinaryAttrs = { readonly [K in BinaryOp]: None };

export interface OpAttrs extends UnaryAttrs, BinaryAttrs {
  readonly affine: { readonly scale: number; readonly shift: number };
  readonly clamp: { readonly min: number; readonly max: number };
  readonly where: None;
  /** Made by the fusion pass only. */
  readonly fused: { readonly program: readonly ElementwiseInstruction[] };
  readonly cast: { readonly dtype: DType };

  readonly reshape: { readonly shape: Shape };
  /** The first input, not to be had before the second: what is computed from it is computed then, and not shared with what was before. */
  readonly hold: None;
  /** The input as a number like any other: no gradient goes back through it. */
  readonly detach: None;
  readonly permute: { readonly axes: readonly number[] };
  readonly slice: { readonly axis: number; readonly start: number; readonly end: number };
  readonly pad: { readonly axis: number; readonly before: number; readonly after: number };
  readonly concat: { readonly axis: number };
  readonly broadcastTo: { readonly shape: Shape };

  /** Sum over consecutive axes `from` … `to - 1`, which stay with length 1. */
  readonly sum: { readonly from: number; readonly to: number };
  /** The greatest of the last axis, which stays with length 1. */
  readonly max: None;
  readonly softmax: None;
  readonly logSoftmax: None;
  readonly normalize: { readonly kind: 'layer' | 'rms'; readonly eps: number; readonly weightOffset: number };
  readonly normalizeGrad: { readonly kind: 'layer' | 'rms'; readonly eps: number };

  readonly matmul: { readonly transposeA: boolean; readonly transposeB: boolean };
  readonly quantize8: None;
  readonly expertMatmul: { readonly transposeB: boolean };
  readonly expertOuter: { readonly experts: number };

  readonly gather: None;
  readonly scatterAdd: { readonly rows: number };
  readonly takeLast: None;
  readonly putLast: { readonly size: number };
  readonly topk: { readonly k: number };

  readonly crossEntropy: { readonly ignoreIndex: number };
  readonly crossEntropyGrad: { readonly ignoreIndex: number };

  readonly ropeTable: { readonly scale: number };
  readonly rope: { readonly interleaved: boolean; readonly inverse: boolean };

  readonly attention: DenseAttentionAttrs;
  readonly attentionGrad: DenseAttentionAttrs;
  readonly kvWrite: None;
  readonly pagedAttention: AttentionAttrs;

  readonly random: { readonly shape: Shape };

  /** `weightDecay` is decoupled: each step keeps 1 - rate * weightDecay of the parameter (Loshchilov and Hutter 2019). */
  readonly adamw: {
    readonly beta1: number;
    readonly beta2: number;
    readonly eps: number;
    readonly weightDecay: number;
  };
  /** The buffer becomes keep * buffer + take * gradient. */
  readonly momentum: { readonly keep: number; readonly take: number };
  /** `factor` is this parameter's own factor on the rate. */
  readonly descend: { readonly factor: number; readonly weightDecay: number };
  readonly accumulate: None;
  readonly sumSquares: None;
}

export type OpName = keyof OpAttrs;
