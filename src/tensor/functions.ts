/** The functions that build graphs: one for each op, and a few made of several. */
import { ShapeError } from '../errors.ts';
import type { DType } from './dtype.ts';
import type { AttentionAttrs, DenseAttentionAttrs, OpAttrs, OpName } from './ops/attrs.ts';
import { opTable, rowOf } from './ops/table.ts';
import { fixedDim, type Shape, sameShape, sizeOf } from './shape.ts';
import { type OpOrigin, Tensor } from './tensor.ts';

/** A tensor that the caller writes before each run. */
export function input(name: string, dtype: 'f32' | 'i32', shape: Shape): Tensor {
  return new Tensor(dtype, shape, { kind: 'input', name });
}

/** A tensor in a buffer that the caller binds once. */
export function parameter(name: string, dtype: DType, shape: Shape): Tensor {
  return new Tensor(dtype, shape, { kind: 'parameter', name });
}

/** Numbers that are part of the plan. An Int32Array makes an i32 tensor, anything else f32. */
export function constant(data: ArrayLike<number>, shape: readonly number[]): Tensor {
  const copy = data instanceof Int32Array ? data.slice() : Float32Array.from(data);
  if (copy.length !== sizeOf(shape)) throw new ShapeError('constant', `${copy.length} numbers do not fill (${shape})`);
  return new Tensor(copy instanceof Int32Array ? 'i32' : 'f32', shape, { kind: 'constant', data: copy });
}

/** A tensor made by an op. Throws ShapeError when the op cannot take the inputs. */
export function apply<K extends OpName>(op: K, inputs: readonly (Tensor | null)[], attrs: OpAttrs[K]): Tensor {
  const {
    arity: [least, most],
    optional,
  } = opTable[op];
  const missing = inputs.slice(0, least).some((tensor, i) => !tensor && i !== optional);
  if (inputs.length < least || inputs.length > most || missing) {
    throw new ShapeError(op, `takes ${least === most ? least : `${least} to ${most}`} inputs, got ${inputs.length}`);
  }
  const type = rowOf(op).infer(inputs, attrs);
  const origin = { kind: 'op', op, attrs, inputs: inputs.map((tensor) => tensor ?? null) };
  return new Tensor(type.dtype, type.shape, origin as unknown as OpOrigin);
}

export const add = (a: Tensor, b: Tensor): Tensor => apply('add', [a, b], {});
export const sub = (a: Tensor, b: Tensor): Tensor => apply('sub', [a, b], {});
export const mul = (a: Tensor, b: Tensor): Tensor => apply('mul', [a, b], {});
export const div = (a: Tensor, b: Tensor): Tensor => apply('div', [a, b], {});
export const maximum = (a: Tensor, b: Tensor): Tensor => apply('maximum', [a, b], {});
export const minimum = (a: Tensor, b: Tensor): Tensor => apply('minimum', [a, b], {});
/** 1 where a > b, else 0. */
export const greater = (a: Tensor, b: Tensor): Tensor => apply('greater', [a, b], {});
/** `a` where condition is not 0, else `b`. */
export const where = (condition: Tensor, a: Tensor, b: Tensor): Tensor => apply('where', [condition, a, b], {});
/** x * scale + shift. */
export const affine = (x: Tensor, scale: number, shift: number): Tensor => apply('affine', [x], { scale, shift });
export const clamp = (x: Tensor, min: number, max: number): Tensor => apply('clamp', [x], { min, max });
export const neg = (x: Tensor): Tensor => apply('neg', [x], {});
export const exp = (x: Tensor): Tensor => apply('exp', [x], {});
export const log = (x: Tensor): Tensor => apply('log', [x], {});
export const sqrt = (x: Tensor): Tensor => apply('sqrt', [x], {});
export const rsqrt = (x: Tensor): Tensor => apply('rsqrt', [x], {});
export const reciprocal = (x: Tensor): Tensor => apply('reciprocal', [x], {});
export const abs = (x: Tensor): Tensor => apply('abs', [x], {});
export const square = (x: Tensor): Tensor => apply('square', [x], {});
export const tanh = (x: Tensor): Tensor => apply('tanh', [x], {});
export const sigmoid = (x: Tensor): Tensor => apply('sigmoid', [x], {});
export const relu = (x: Tensor): Tensor => apply('relu', [x], {});
export const erf = (x: Tensor): Tensor => apply('erf', [x], {});
export const gelu = (x: Tensor): Tensor => apply('gelu', [x], {});
export const geluTanh = (x: Tensor): Tensor => apply('geluTanh', [x], {});
export const silu = (x: Tensor): Tensor => apply('silu', [x], {});
/** Derivatives: what `gelu`, `geluTanh` and `silu` change by for a small change of x. */
export const geluGrad = (x: Tensor): Tensor => apply('geluGrad', [x], {});
export const geluTanhGrad = (x: Tensor): Tensor => apply('geluTanhGrad', [x], {});
export const siluGrad = (x: Tensor): Tensor => apply('siluGrad', [x], {});
export const cast = (x: Tensor, dtype: DType): Tensor => (x.dtype === dtype ? x : apply('cast', [x], { dtype }));

export function reshape(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : apply('reshape', [x], { shape });
}
/** x, once `after` is known: see `OpAttrs.hold`. */
export const hold = (x: Tensor, after: Tensor): Tensor => apply('hold', [x, after], {});
/** x for whom gradients are taken as for a constant. */
export const detach = (x: Tensor): Tensor => apply('detach', [x], {});
export const permute = (x: Tensor, axes: readonly number[]): Tensor => apply('permute', [x], { axes });
export const slice = (x: Tensor, axis: number, start: number, end: number): Tensor =>
  apply('slice', [x], { axis, start, end });
export const pad = (x: Tensor, axis: number, before: number, after: number): Tensor =>
  apply('pad', [x], { axis, before, after });
export const concat = (parts: readonly Tensor[], axis: number): Tensor => apply('concat', parts, { axis });
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : apply('broadcastTo', [x], { shape });
}

/** Sum over axes `from` … `to - 1` (one axis without `to`), which stay with length 1. */
export const sum = (x: Tensor, from: number, to: number = from + 1): Tensor => apply('sum', [x], { from, to });
export const max = (x: Tensor): Tensor => apply('max', [x], {});
export const softmax = (x: Tensor): Tensor => apply('softmax', [x], {});
export const logSoftmax = (x: Tensor): Tensor => apply('logSoftmax', [x], {});

/** The mean of all elements, as a tensor of shape (1). Throws ShapeError where a dimension is variable: its count is part of the graph. */
export function mean(x: Tensor): Tensor {
  const size = sizeOf(x.shape.map((dim, axis) => fixedDim('mean', dim, axis)));
  return affine(reshape(sum(x, 0, x.rank), [1]), 1 / size, 0);
}

/** Sum over the axes that broadcasting `shape` to x's shape repeated: the gradient of broadcasting. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  const missing = x.rank - shape.length;
  let result = x;
  for (let from = 0; from < x.rank; ) {
    const repeated = (axis: number) => axis < missing || (shape[axis - missing] === 1 && x.shape[axis] !== 1);
    let to = from;
    while (to < x.rank && repeated(to)) to++;
    if (to > from) result = sum(result, from, to);
    from = to + 1;
  }
  return reshape(result, shape);
}

/** Rows brought to mean 0 and variance 1 (`layer`) or mean square 1 (`rms`), then * (weight + weightOffset) + bias. */
export function normalize(x: Tensor, weight: Tensor | null, bias: Tensor | null, attrs: OpAttrs['normalize']): Tensor {
  return apply('normalize', [x, weight, bias], attrs);
}
export function normalizeGrad(x: Tensor, grad: Tensor, attrs: OpAttrs['normalizeGrad']): Tensor {
  return apply('normalizeGrad', [x, grad], { kind: attrs.kind, eps: attrs.eps });
}

/** a · b, either of them transposed in its last two dimensions. A rank-2 b meets every row of a. */
export function matmul(a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor {
  return apply('matmul', [a, b], { transposeA, transposeB });
}

/** x (…, K) times a weight (O, K), plus a bias (O) if there is one: (…, O). */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor | null): Tensor {
  const y = matmul(x, weight, false, true);
  return bias ? add(y, bias) : y;
}

export const quantize8 = (x: Tensor): Tensor => apply('quantize8', [x], {});

/** x (N,K) or (N,k,K) times the matrices of w (E,O,K) that idx (N,k) names: (N,k,O). */
export function expertMatmul(x: Tensor, w: Tensor, idx: Tensor, transposeB: boolean): Tensor {
  return apply('expertMatmul', [x, w, idx], { transposeB });
}
export function expertOuter(dy: Tensor, x: Tensor, idx: Tensor, experts: number): Tensor {
  return apply('expertOuter', [dy, x, idx], { experts });
}

/** Rows of a table (V, …) by ids (…), as f32. */
export const gather = (table: Tensor, ids: Tensor): Tensor => apply('gather', [table, ids], {});
export const scatterAdd = (grad: Tensor, ids: Tensor, rows: number): Tensor =>
  apply('scatterAdd', [grad, ids], { rows });
export const takeLast = (x: Tensor, idx: Tensor): Tensor => apply('takeLast', [x, idx], {});
export const putLast = (grad: Tensor, idx: Tensor, size: number): Tensor => apply('putLast', [grad, idx], { size });
/** Indices of the k greatest of each row, in descending order. */
export const topk = (x: Tensor, k: number): Tensor => apply('topk', [x], { k });

/** -log softmax(logits)[target] for each target; 0 where the target is `ignoreIndex`. */
export function crossEntropy(logits: Tensor, targets: Tensor, ignoreIndex = -100): Tensor {
  return apply('crossEntropy', [logits, targets], { ignoreIndex });
}
export function crossEntropyGrad(logits: Tensor, targets: Tensor, grad: Tensor, ignoreIndex: number): Tensor {
  return apply('crossEntropyGrad', [logits, targets, grad], { ignoreIndex });
}

/** Cosines, then sines, of position * frequency, times `scale`: (…, R). */
export function ropeTable(positions: Tensor, freqs: Tensor, scale = 1): Tensor {
  return apply('ropeTable', [positions, freqs], { scale });
}
/** Rotate the first R of each head of x (…, H, D) by a table (…, R). */
export function rope(x: Tensor, table: Tensor, interleaved: boolean, inverse = false): Tensor {
  return apply('rope', [x, table], { interleaved, inverse });
}

/** What dense attention may be given besides queries, keys and values. */
export interface AttentionExtras {
  /** (H): one more score of each head, without a value. */
  readonly sinks?: Tensor | null;
  /** (B,T) i32: the first key that each query may see; all before it unless given. */
  readonly firstKey?: Tensor | null;
  /** (4) i32: of the random numbers by which weights are dropped. */
  readonly key?: Tensor | null;
}

/**
 * Causal attention: q (B,T,H,D) over k, v (B,S,G,D). Query t is the (S-T+t)-th position. The weight of (b,h,t,s) is dropped where element
 * (b,h,t,s) of `random(key, (B,H,T,S rounded up to 4))` is not above `attrs.dropout`.
 */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { sinks = null, firstKey = null, key = null }: AttentionExtras,
  attrs: DenseAttentionAttrs,
): Tensor {
  return apply('attention', [q, k, v, sinks, ...(firstKey || key ? [firstKey, key] : [])], attrs);
}
export function attentionGrad(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  dy: Tensor,
  { sinks = null, firstKey = null, key = null }: AttentionExtras,
  attrs: DenseAttentionAttrs,
): Tensor {
  return apply('attentionGrad', [q, k, v, sinks, dy, ...(firstKey || key ? [firstKey, key] : [])], attrs);
}

/** Write x (N,G,D) into a cache (P,G,S,D) at `slots` = page * S + offset, in place; a negative slot is skipped. */
export const kvWrite = (cache: Tensor, x: Tensor, slots: Tensor): Tensor => apply('kvWrite', [cache, x, slots], {});

/** Attention of rows q (N,H,D), each at its position in its sequence, over cached keys and values (P,G,S,D). */
export function pagedAttention(
  q: Tensor,
  cache: { readonly k: Tensor; readonly v: Tensor },
  at: { readonly tables: Tensor; readonly rows: Tensor; readonly positions: Tensor },
  sinks: Tensor | null,
  attrs: AttentionAttrs,
): Tensor {
  return apply('pagedAttention', [q, cache.k, cache.v, at.tables, at.rows, at.positions, sinks], attrs);
}

/** A step of AdamW: changes p, m and v in place. `rates` (3) are the learning rate and 1 - beta1^t, 1 - beta2^t of step t. */
export function adamw(
  state: { readonly p: Tensor; readonly m: Tensor; readonly v: Tensor },
  grad: Tensor,
  scale: Tensor,
  rates: Tensor,
  attrs: OpAttrs['adamw'],
): Tensor {
  return apply('adamw', [state.p, state.m, state.v, grad, scale, rates], attrs);
}
/** Blend a gradient into a buffer in place. */
export function momentum(buffer: Tensor, grad: Tensor, scale: Tensor, attrs: OpAttrs['momentum']): Tensor {
  return apply('momentum', [buffer, grad, scale], attrs);
}
/** Step a parameter down a direction in place. */
export function descend(p: Tensor, direction: Tensor, scale: Tensor, rate: Tensor, attrs: OpAttrs['descend']): Tensor {
  return apply('descend', [p, direction, scale, rate], attrs);
}
/** Add x to a total in place, or start the total with x where `keep` (1) is 0. */
export const accumulate = (total: Tensor, x: Tensor, keep: Tensor): Tensor => apply('accumulate', [total, x, keep], {});

/** The sum of the squares of all elements of all tensors, as a tensor of shape (1). */
export function sumSquares(tensors: readonly Tensor[]): Tensor {
  const most = opTable.sumSquares.arity[1];
  let total: Tensor | null = null;
  for (let i = 0; i < tensors.length; i += most) {
    const part = apply('sumSquares', tensors.slice(i, i + most), {});
    total = total ? add(total, part) : part;
  }
  return total ?? constant([0], [1]);
}

/** Uniform numbers in [0, 1): a pure function of key (4) i32 and the index of the element. */
export const random = (key: Tensor, shape: Shape): Tensor => apply('random', [key], { shape });
