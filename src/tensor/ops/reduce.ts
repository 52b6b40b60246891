/** Sums, maxima and what is built from them row by row. A "row" is the last dimension. */
import { ShapeError } from '../../errors.ts';
import { formatShape, sameShape, sizeOf } from '../shape.ts';
import type { Tensor, TensorType } from '../tensor.ts';
import type { None, OpAttrs } from './attrs.ts';
import type { Numbers, OpRow, Value } from './row.ts';

function floats(op: string, x: TensorType): TensorType {
  if (x.dtype !== 'f32') throw new ShapeError(op, `works on f32, not ${x.dtype}`);
  if (x.shape.length === 0) throw new ShapeError(op, 'needs at least one dimension');
  return { dtype: 'f32', shape: x.shape };
}

/** Apply `f` to each row of `x`, writing the same row of the result. */
function eachRow(x: Value, f: (row: Numbers, result: Float64Array, index: number) => void): Float64Array {
  const length = x.shape[x.shape.length - 1];
  const { data } = x;
  const result = new Float64Array(data.length);
  for (let from = 0, i = 0; from < data.length; from += length, i++) {
    f(data.subarray(from, from + length), result.subarray(from, from + length), i);
  }
  return result;
}

function total(row: Numbers, term: (x: number) => number): number {
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += term(row[i]);
  return sum;
}

function greatestOf(row: Numbers): number {
  let greatest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < row.length; i++) greatest = Math.max(greatest, row[i]);
  return greatest;
}

function logSumExp(row: Numbers): number {
  const greatest = greatestOf(row);
  return greatest + Math.log(total(row, (x) => Math.exp(x - greatest)));
}

/** Mean (0 for rms) and reciprocal deviation of a row. */
export function moments(row: Numbers, kind: 'layer' | 'rms', eps: number): { mean: number; scale: number } {
  const n = row.length;
  const mean = kind === 'layer' ? total(row, (x) => x) / n : 0;
  const variance = total(row, (x) => (x - mean) * (x - mean)) / n;
  return { mean, scale: 1 / Math.sqrt(variance + eps) };
}

const kinds = { layer: 0, rms: 1 } as const;

export const reduceRows = {
  sum: {
    arity: [1, 1],
    infer([x], { from, to }) {
      const { shape } = floats('sum', x!);
      if (!(from >= 0 && from < to && to <= shape.length)) {
        throw new ShapeError('sum', `axes ${from}…${to} are not in ${formatShape(shape)}`);
      }
      return { dtype: 'f32', shape: shape.map((dim, i) => (i >= from && i < to ? 1 : dim)) };
    },
    gradient: ({ f, inputs, grad }) => [f.broadcastTo(grad, inputs[0]!.shape)],
    reference([x], { from, to }, output) {
      const outer = sizeOf(x!.shape.slice(0, from));
      const middle = sizeOf(x!.shape.slice(from, to));
      const inner = sizeOf(x!.shape.slice(to));
      const result = new Float64Array(sizeOf(output));
      for (let o = 0; o < outer; o++) {
        for (let m = 0; m < middle; m++) {
          for (let i = 0; i < inner; i++) result[o * inner + i] += x!.data[(o * middle + m) * inner + i];
        }
      }
      return result;
    },
    kernel: { opcode: 'sum', ints: ({ from, to }) => [from, to] },
  } satisfies OpRow<OpAttrs['sum']>,

  max: {
    arity: [1, 1],
    infer: ([x]) => ({ dtype: 'f32', shape: floats('max', x!).shape.with(-1, 1) }),
    gradient: 'not needed in training; use softmax or logSoftmax',
    reference([x], _attrs, output) {
      const length = x!.shape[x!.shape.length - 1];
      const result = new Float64Array(sizeOf(output)).fill(Number.NEGATIVE_INFINITY);
      for (let i = 0; i < x!.data.length; i++) {
        const r = Math.floor(i / length);
        result[r] = Math.max(result[r], x!.data[i]);
      }
      return result;
    },
    kernel: { opcode: 'max' },
  } satisfies OpRow<None>,

  softmax: {
    arity: [1, 1],
    infer: ([x]) => floats('softmax', x!),
    gradient({ f, output, grad }) {
      const along = f.sum(f.mul(grad, output), output.rank - 1);
      return [f.mul(output, f.sub(grad, along))];
    },
    reference: ([x]) =>
      eachRow(x!, (row, result) => {
        const norm = logSumExp(row);
        for (let i = 0; i < row.length; i++) result[i] = Math.exp(row[i] - norm);
      }),
    kernel: { opcode: 'softmax' },
    inPlace: [0],
  } satisfies OpRow<None>,

  logSoftmax: {
    arity: [1, 1],
    infer: ([x]) => floats('logSoftmax', x!),
    gradient({ f, output, grad }) {
      return [f.sub(grad, f.mul(f.exp(output), f.sum(grad, output.rank - 1)))];
    },
    reference: ([x]) =>
      eachRow(x!, (row, result) => {
        const norm = logSumExp(row);
        for (let i = 0; i < row.length; i++) result[i] = row[i] - norm;
      }),
    kernel: { opcode: 'logSoftmax' },
    inPlace: [0],
  } satisfies OpRow<None>,

  /** Layer normalisation (Ba et al. 2016) and root-mean-square normalisation (Zhang & Sennrich 2019). */
  normalize: {
    arity: [1, 3],
    infer([x, w, b]) {
      const { shape } = floats('normalize', x!);
      for (const vector of [w, b]) {
        if (vector && (vector.dtype !== 'f32' || !sameShape(vector.shape, [shape[shape.length - 1]]))) {
          throw new ShapeError(
            'normalize',
            `weight ${formatShape(vector.shape)} does not fit rows of ${formatShape(shape)}`,
          );
        }
      }
      return { dtype: 'f32', shape };
    },
    gradient({ f, inputs, attrs, grad }) {
      const [x, w, b] = inputs as [Tensor, Tensor | null, Tensor | null];
      const scaled = w ? f.mul(grad, f.affine(w, 1, attrs.weightOffset)) : grad;
      const plainRows = f.normalize(x, null, null, { ...attrs, weightOffset: 0 });
      return [
        f.normalizeGrad(x, scaled, attrs),
        w && f.sumTo(f.mul(grad, plainRows), w.shape),
        b && f.sumTo(grad, b.shape),
      ];
    },
    reference: ([x, w, b], { kind, eps, weightOffset }) =>
      eachRow(x!, (row, result) => {
        const { mean, scale } = moments(row, kind, eps);
        for (let i = 0; i < row.length; i++) {
          result[i] = (row[i] - mean) * scale * (w ? w.data[i] + weightOffset : 1) + (b ? b.data[i] : 0);
        }
      }),
    kernel: {
      opcode: 'normalize',
      ints: ({ kind }) => [kinds[kind]],
      floats: ({ eps, weightOffset }) => [eps, weightOffset],
    },
    inPlace: [0],
  } satisfies OpRow<OpAttrs['normalize']>,

  normalizeGrad: {
    arity: [2, 2],
    infer([x, g]) {
      if (g!.dtype !== 'f32' || !sameShape(x!.shape, g!.shape))
        throw new ShapeError('normalizeGrad', 'needs two f32 tensors of one shape');
      return floats('normalizeGrad', x!);
    },
    gradient: 'second derivatives are not needed',
    reference: ([x, g], { kind, eps }) =>
      eachRow(x!, (row, result, r) => {
        const n = row.length;
        const grad = g!.data.subarray(r * n, (r + 1) * n);
        const { mean, scale } = moments(row, kind, eps);
        let gradSum = 0;
        let gradDot = 0;
        for (let i = 0; i < n; i++) {
          gradSum += grad[i];
          gradDot += grad[i] * (row[i] - mean) * scale;
        }
        const shift = kind === 'layer' ? gradSum / n : 0;
        for (let i = 0; i < n; i++) {
          result[i] = scale * (grad[i] - shift - (row[i] - mean) * scale * (gradDot / n));
        }
      }),
    kernel: { opcode: 'normalizeGrad', ints: ({ kind }) => [kinds[kind]], floats: ({ eps }) => [eps] },
    inPlace: [1],
  } satisfies OpRow<OpAttrs['normalizeGrad']>,
} as const;
