/** Positions and attention: rotary embeddings, causal attention over whole sequences, and attention over a paged cache. */
import { ShapeError } from '../../errors.ts';
import { formatShape, type Shape, sameShape, sizeMax, sizeOf } from '../shape.ts';
import type { Tensor, TensorType } from '../tensor.ts';
import type { AttentionAttrs, DenseAttentionAttrs, None, OpAttrs } from './attrs.ts';
import { philox } from './lookup.ts';
import type { OpRow, Value } from './row.ts';

type Types = readonly (TensorType | null)[];

function isCacheType({ dtype }: TensorType): boolean {
  return dtype === 'f32' || dtype === 'f16';
}

function checkHeads(op: string, heads: Shape[number], groups: Shape[number]): void {
  if (typeof heads !== 'number' || typeof groups !== 'number' || heads % groups !== 0) {
    throw new ShapeError(op, `${heads} query heads cannot share ${groups} key heads`);
  }
}

function checkSinks(op: string, sinks: TensorType | null | undefined, heads: Shape[number]): void {
  if (sinks && (sinks.dtype !== 'f32' || !sameShape(sinks.shape, [heads]))) {
    throw new ShapeError(op, `sinks are f32 (${heads}), not ${sinks.dtype}${formatShape(sinks.shape)}`);
  }
}

/** What dense attention may have besides: the first keys and the key of dropout. */
function checkExtras(op: string, q: TensorType, [firstKey, key]: Types, { dropout = 0 }: DenseAttentionAttrs): void {
  if (firstKey && (firstKey.dtype !== 'i32' || !sameShape(firstKey.shape, q.shape.slice(0, 2)))) {
    throw new ShapeError(op, `first keys are i32 (B,T), not ${firstKey.dtype}${formatShape(firstKey.shape)}`);
  }
  if (key && (key.dtype !== 'i32' || !sameShape(key.shape, [4]))) throw new ShapeError(op, 'the key is i32 (4)');
  if (!(dropout >= 0 && dropout < 1)) throw new ShapeError(op, `dropout is a share below 1, not ${dropout}`);
  if (dropout > 0 && !key) throw new ShapeError(op, 'dropout needs a key');
}

function inferAttention(op: string, [q, k, v, sinks]: Types): TensorType {
  if ([q, k, v].some((t) => t!.dtype !== 'f32')) throw new ShapeError(op, 'works on f32');
  if (q!.shape.length !== 4 || k!.shape.length !== 4 || !sameShape(k!.shape, v!.shape)) {
    throw new ShapeError(
      op,
      `q (B,T,H,D), k and v (B,S,G,D); got ${[q, k, v].map((t) => formatShape(t!.shape)).join(', ')}`,
    );
  }
  if (q!.shape[0] !== k!.shape[0] || q!.shape[3] !== k!.shape[3])
    throw new ShapeError(op, 'batch or head width differ');
  const [queries, keys] = [q!.shape[1], k!.shape[1]];
  if (typeof queries === 'number' && typeof keys === 'number' && queries > keys)
    throw new ShapeError(op, `${queries} queries are more than the ${keys} keys they end with`);
  checkHeads(op, q!.shape[2], k!.shape[2]);
  checkSinks(op, sinks, q!.shape[2]);
  return { dtype: 'f32', shape: q!.shape };
}

/** Softmax weights of one query's `scores` (replaced by them), with a sink's score if there is one. Returns the sink's weight. */
function weigh(scores: Float64Array, sink: number | undefined): number {
  const greatest = scores.reduce((a, b) => Math.max(a, b), sink ?? Number.NEGATIVE_INFINITY);
  let total = sink === undefined ? 0 : Math.exp(sink - greatest);
  const sinkTerm = total;
  for (let i = 0; i < scores.length; i++) {
    scores[i] = Math.exp(scores[i] - greatest);
    total += scores[i];
  }
  for (let i = 0; i < scores.length; i++) scores[i] /= total;
  return sinkTerm / total;
}

/** The score of a query and a key from their scaled product, and the derivative of that map. */
function cap(score: number, softcap: number): { value: number; slope: number } {
  if (softcap === 0) return { value: score, slope: 1 };
  const t = Math.tanh(score / softcap);
  return { value: softcap * t, slope: 1 - t * t };
}

/** A query of dense attention: where it lies, which keys it sees. */
interface Query {
  /** Of its first element. */
  readonly at: number;
  readonly head: number;
  readonly first: number;
  readonly last: number;
  /** Where a key's first element lies. */
  key(s: number): number;
  /** What dropout makes of the weight of key s: a factor. */
  kept(s: number): number;
}

/** Call `f` for each (batch, query, head) of dense attention. */
function eachQuery(
  q: Value,
  k: Value,
  [firstKey, key]: readonly (Value | null | undefined)[],
  { window, dropout = 0 }: DenseAttentionAttrs,
  f: (query: Query) => void,
): void {
  const [batches, steps, heads, width] = q.shape;
  const [, keys, groups] = k.shape;
  const random = key && dropout > 0 ? key.data : null;
  const [share, words] = [Math.fround(dropout), Math.ceil(keys / 4)];
  for (let b = 0; b < batches; b++) {
    for (let t = 0; t < steps; t++) {
      const last = keys - steps + t;
      const near = window > 0 ? Math.max(0, last - window + 1) : 0;
      const first = Math.max(near, firstKey ? firstKey.data[b * steps + t] : 0);
      for (let h = 0; h < heads; h++) {
        const g = Math.floor(h / (heads / groups));
        f({
          at: ((b * steps + t) * heads + h) * width,
          head: h,
          first,
          last,
          key: (s) => ((b * keys + s) * groups + g) * width,
          kept(s) {
            if (!random) return 1;
            const counter = ((b * heads + h) * steps + t) * words + Math.floor(s / 4);
            const word = philox(
              [counter | 0, Math.floor(counter / 2 ** 32), random[2], random[3]],
              [random[0], random[1]],
            )[s % 4];
            return (word >>> 8) * 2 ** -24 > share ? 1 / (1 - dropout) : 0;
          },
        });
      }
    }
  }
}

function dot(a: ArrayLike<number>, i: number, b: ArrayLike<number>, j: number, n: number): number {
  let sum = 0;
  for (let d = 0; d < n; d++) sum += a[i + d] * b[j + d];
  return sum;
}

const attentionInts = ({ window }: AttentionAttrs) => [window];
const attentionFloats = ({ scale, softcap }: AttentionAttrs) => [scale, softcap];
const denseFloats = ({ scale, softcap, dropout = 0 }: DenseAttentionAttrs) => [scale, softcap, dropout];

export const attentionRows = {
  ropeTable: {
    arity: [2, 2],
    infer([positions, freqs]) {
      const half = freqs!.shape[0];
      if (
        positions!.dtype !== 'i32' ||
        freqs!.dtype !== 'f32' ||
        freqs!.shape.length !== 1 ||
        typeof half !== 'number'
      ) {
        throw new ShapeError('ropeTable', 'needs i32 positions and f32 frequencies (R/2)');
      }
      return { dtype: 'f32', shape: [...positions!.shape, 2 * half] };
    },
    gradient: 'positions are not learnt',
    reference([positions, freqs], { scale }) {
      const half = freqs!.data.length;
      const result = new Float64Array(positions!.data.length * 2 * half);
      positions!.data.forEach((position, row) => {
        for (let i = 0; i < half; i++) {
          // float32, as models are trained: at large positions the rounding of the angle is part of the model
          const angle = Math.fround(position * freqs!.data[i]);
          result[row * 2 * half + i] = Math.cos(angle) * scale;
          result[row * 2 * half + half + i] = Math.sin(angle) * scale;
        }
      });
      return result;
    },
    kernel: { opcode: 'ropeTable', floats: ({ scale }) => [scale] },
  } satisfies OpRow<OpAttrs['ropeTable']>,

  /** Rotary position embedding (Su et al. 2021). */
  rope: {
    arity: [2, 2],
    infer([x, table]) {
      const [width, rotary] = [x!.shape.at(-1), table!.shape.at(-1)];
      const leads = x!.shape.length >= 2 && sameShape(x!.shape.slice(0, -2), table!.shape.slice(0, -1));
      if (x!.dtype !== 'f32' || table!.dtype !== 'f32') throw new ShapeError('rope', 'works on f32');
      if (!leads || typeof width !== 'number' || typeof rotary !== 'number' || rotary > width || rotary % 2) {
        throw new ShapeError('rope', `a table ${formatShape(table!.shape)} does not fit ${formatShape(x!.shape)}`);
      }
      return { dtype: 'f32', shape: x!.shape };
    },
    gradient: ({ f, inputs, attrs, grad }) => [f.rope(grad, inputs[1]!, attrs.interleaved, !attrs.inverse), null],
    reference([x, table], { interleaved, inverse }) {
      const [heads, width] = x!.shape.slice(-2);
      const half = table!.shape.at(-1)! / 2;
      const result = Float64Array.from(x!.data);
      for (let row = 0; row * width < result.length; row++) {
        const angles = Math.floor(row / heads) * 2 * half;
        for (let i = 0; i < half; i++) {
          const first = row * width + (interleaved ? 2 * i : i);
          const second = interleaved ? first + 1 : first + half;
          const cos = table!.data[angles + i];
          const sin = table!.data[angles + half + i] * (inverse ? -1 : 1);
          result[first] = x!.data[first] * cos - x!.data[second] * sin;
          result[second] = x!.data[second] * cos + x!.data[first] * sin;
        }
      }
      return result;
    },
    kernel: { opcode: 'rope', ints: ({ interleaved, inverse }) => [Number(interleaved), Number(inverse)] },
    inPlace: [0],
  } satisfies OpRow<OpAttrs['rope']>,

  attention: {
    arity: [3, 6],
    infer(inputs, attrs) {
      const result = inferAttention('attention', inputs);
      checkExtras('attention', inputs[0]!, inputs.slice(4), attrs);
      return result;
    },
    gradient({ f, inputs, attrs, grad }) {
      const [q, k, v] = inputs as [Tensor, Tensor, Tensor];
      const [sinks = null, firstKey = null, key = null] = inputs.slice(3);
      const flat = f.attentionGrad(q, k, v, grad, { sinks, firstKey, key }, attrs);
      let start = 0;
      const parts = [q, k, v, sinks].map((part) => {
        if (!part) return null;
        const end = start + sizeMax(part.shape);
        const gradient = f.reshape(f.slice(flat, 0, start, end), part.shape);
        start = end;
        return gradient;
      });
      return [...parts, null, null].slice(0, inputs.length);
    },
    reference([q, k, v, sinks, ...extras], attrs) {
      const { scale, softcap } = attrs;
      const width = q!.shape[3];
      const result = new Float64Array(q!.data.length);
      eachQuery(q!, k!, extras, attrs, ({ at, head, first, last, key, kept }) => {
        const scores = new Float64Array(Math.max(0, last - first + 1));
        for (let s = first; s <= last; s++) {
          scores[s - first] = cap(scale * dot(q!.data, at, k!.data, key(s), width), softcap).value;
        }
        weigh(scores, sinks?.data[head]);
        for (let s = first; s <= last; s++) {
          const weight = scores[s - first] * kept(s);
          for (let d = 0; d < width; d++) result[at + d] += weight * v!.data[key(s) + d];
        }
      });
      return result;
    },
    kernel: { opcode: 'attention', ints: attentionInts, floats: denseFloats },
  } satisfies OpRow<DenseAttentionAttrs>,

  attentionGrad: {
    arity: [5, 7],
    optional: 3,
    infer([q, k, v, sinks, dy, ...extras], attrs) {
      inferAttention('attentionGrad', [q, k, v, sinks]);
      checkExtras('attentionGrad', q!, extras, attrs);
      if (dy!.dtype !== 'f32' || !sameShape(q!.shape, dy!.shape))
        throw new ShapeError('attentionGrad', 'dy has the shape of q');
      const shapes = [q, k, v, sinks].flatMap((t) => (t ? [t.shape] : []));
      if (shapes.flat().some((dim) => typeof dim !== 'number'))
        throw new ShapeError('attentionGrad', 'needs fixed shapes');
      return { dtype: 'f32', shape: [shapes.reduce((sum, shape) => sum + sizeMax(shape), 0)] };
    },
    gradient: 'second derivatives are not needed',
    reference([q, k, v, sinks, dy, ...extras], attrs, [size]) {
      const { scale, softcap } = attrs;
      const width = q!.shape[3];
      const result = new Float64Array(size);
      const dq = result.subarray(0, q!.data.length);
      const dk = result.subarray(dq.length, dq.length + k!.data.length);
      const dv = result.subarray(dq.length + dk.length, dq.length + 2 * dk.length);
      const dsinks = result.subarray(dq.length + 2 * dk.length);
      eachQuery(q!, k!, extras, attrs, ({ at, head, first, last, key, kept }) => {
        const n = Math.max(0, last - first + 1);
        const slopes = new Float64Array(n);
        const p = new Float64Array(n);
        for (let i = 0; i < n; i++) {
          const { value, slope } = cap(scale * dot(q!.data, at, k!.data, key(first + i), width), softcap);
          p[i] = value;
          slopes[i] = slope;
        }
        const sinkWeight = weigh(p, sinks?.data[head]);
        const factors = Float64Array.from(p, (_, i) => kept(first + i));
        const dp = Float64Array.from(p, (_, i) => factors[i] * dot(dy!.data, at, v!.data, key(first + i), width));
        const mean = dot(dp, 0, p, 0, n);
        if (sinks) dsinks[head] -= sinkWeight * mean;
        for (let i = 0; i < n; i++) {
          const row = key(first + i);
          const ds = p[i] * (dp[i] - mean) * slopes[i] * scale;
          for (let d = 0; d < width; d++) {
            dv[row + d] += factors[i] * p[i] * dy!.data[at + d];
            dq[at + d] += ds * k!.data[row + d];
            dk[row + d] += ds * q!.data[at + d];
          }
        }
      });
      return result;
    },
    kernel: { opcode: 'attentionGrad', ints: attentionInts, floats: denseFloats },
  } satisfies OpRow<DenseAttentionAttrs>,

  kvWrite: {
    arity: [3, 3],
    infer([cache, x, slots]) {
      const fits =
        cache!.shape.length === 4 &&
        sameShape([...slots!.shape, cache!.shape[1], cache!.shape[3]], x!.shape) &&
        slots!.shape.length === 1;
      if (!fits || x!.dtype !== 'f32' || slots!.dtype !== 'i32' || !isCacheType(cache!)) {
        throw new ShapeError(
          'kvWrite',
          `${formatShape(x!.shape)} does not fit a cache ${cache!.dtype}${formatShape(cache!.shape)}`,
        );
      }
      return { dtype: cache!.dtype, shape: cache!.shape };
    },
    gradient: 'the cache serves generation only; training uses `attention`',
    reference([cache, x, slots]) {
      const data = cache!.data as Float32Array;
      const [, groups, pageSize, width] = cache!.shape;
      slots!.data.forEach((slot, n) => {
        if (slot < 0) return;
        const page = Math.floor(slot / pageSize);
        for (let g = 0; g < groups; g++) {
          const to = ((page * groups + g) * pageSize + (slot % pageSize)) * width;
          data.set((x!.data as Float32Array).subarray((n * groups + g) * width, (n * groups + g + 1) * width), to);
        }
      });
      return data;
    },
    kernel: { opcode: 'kvWrite' },
    mutates: [0],
  } satisfies OpRow<None>,

  pagedAttention: {
    arity: [6, 7],
    infer([q, kCache, vCache, tables, rows, positions, sinks]) {
      const op = 'pagedAttention';
      if (q!.shape.length !== 3 || kCache!.shape.length !== 4 || !sameShape(kCache!.shape, vCache!.shape)) {
        throw new ShapeError(op, 'needs q (N,H,D) and caches (P,G,S,D)');
      }
      if ([tables, rows, positions].some((t) => t!.dtype !== 'i32') || tables!.shape.length !== 2) {
        throw new ShapeError(op, 'tables (R,M), rows (N) and positions (N) are i32');
      }
      if (q!.dtype !== 'f32' || kCache!.dtype !== vCache!.dtype || !isCacheType(kCache!)) {
        throw new ShapeError(op, `no kernel for ${q!.dtype} over caches of ${kCache!.dtype} and ${vCache!.dtype}`);
      }
      if ([rows, positions].some((t) => !sameShape(t!.shape, q!.shape.slice(0, 1))))
        throw new ShapeError(op, 'each row of q has a sequence and a position');
      if (q!.shape[2] !== kCache!.shape[3]) throw new ShapeError(op, 'head widths differ');
      checkHeads(op, q!.shape[1], kCache!.shape[1]);
      checkSinks(op, sinks, q!.shape[1]);
      return { dtype: 'f32', shape: q!.shape };
    },
    gradient: 'the cache serves generation only; training uses `attention`',
    reference([q, kCache, vCache, tables, rows, positions, sinks], { scale, window, softcap }) {
      const [n, heads, width] = q!.shape;
      const [, groups, pageSize] = kCache!.shape;
      const result = new Float64Array(sizeOf(q!.shape));
      const pages = tables!.shape[1];
      for (let row = 0; row < n; row++) {
        const last = positions!.data[row];
        const first = window > 0 ? Math.max(0, last - window + 1) : 0;
        for (let h = 0; h < heads; h++) {
          const g = Math.floor(h / (heads / groups));
          const query = (row * heads + h) * width;
          const key = (s: number) => {
            const page = tables!.data[rows!.data[row] * pages + Math.floor(s / pageSize)];
            return ((page * groups + g) * pageSize + (s % pageSize)) * width;
          };
          const scores = new Float64Array(Math.max(0, last - first + 1));
          for (let s = first; s <= last; s++) {
            scores[s - first] = cap(scale * dot(q!.data, query, kCache!.data, key(s), width), softcap).value;
          }
          weigh(scores, sinks?.data[h]);
          for (let s = first; s <= last; s++) {
            for (let d = 0; d < width; d++) result[query + d] += scores[s - first] * vCache!.data[key(s) + d];
          }
        }
      }
      return result;
    },
    kernel: { opcode: 'pagedAttention', ints: attentionInts, floats: attentionFloats },
  } satisfies OpRow<AttentionAttrs>,
} as const;
