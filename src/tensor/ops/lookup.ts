/** Ops that pick numbers by index: embeddings, choices along a row, the greatest of a row. Also random numbers, which depend on an index alone. */
import { ShapeError } from '../../errors.ts';
import { isBlockType } from '../dtype.ts';
import { fixedDim, formatShape, sameShape, sizeOf } from '../shape.ts';
import type { Tensor, TensorType } from '../tensor.ts';
import type { None, OpAttrs } from './attrs.ts';
import type { OpRow } from './row.ts';

function indices(op: string, ids: TensorType): TensorType {
  if (ids.dtype !== 'i32') throw new ShapeError(op, `indices are i32, not ${ids.dtype}`);
  return ids;
}

/** Check that x is (N…, E) and idx (N…, k). */
function rowsAgree(op: string, x: TensorType, idx: TensorType): void {
  indices(op, idx);
  if (x.shape.length === 0 || idx.shape.length === 0) throw new ShapeError(op, 'works on rows, not on single numbers');
  if (x.dtype !== 'f32' || !sameShape(x.shape.slice(0, -1), idx.shape.slice(0, -1))) {
    throw new ShapeError(op, `rows of ${x.dtype}${formatShape(x.shape)} and of ${formatShape(idx.shape)} differ`);
  }
}

export const lookupRows = {
  gather: {
    arity: [2, 2],
    infer([table, ids]) {
      if (table!.dtype === 'i32' || table!.dtype === 'q8a')
        throw new ShapeError('gather', `does not read ${table!.dtype}`);
      if (table!.shape.length < (isBlockType(table!.dtype) ? 2 : 1))
        throw new ShapeError('gather', `${table!.dtype}${formatShape(table!.shape)} has no rows`);
      return { dtype: 'f32', shape: [...indices('gather', ids!).shape, ...table!.shape.slice(1)] };
    },
    gradient({ f, inputs, grad }) {
      const [table, ids] = inputs as [Tensor, Tensor];
      return [f.scatterAdd(grad, ids, fixedDim('gather', table.shape[0], 0)), null];
    },
    reference([table, ids]) {
      const length = sizeOf(table!.shape.slice(1));
      const result = new Float64Array(ids!.data.length * length);
      ids!.data.forEach((id, i) => {
        if (id < 0 || id >= table!.shape[0]) result.fill(Number.NaN, i * length, (i + 1) * length);
        else result.set(table!.data.subarray(id * length, (id + 1) * length), i * length);
      });
      return result;
    },
    kernel: { opcode: 'gather' },
  } satisfies OpRow<None>,

  scatterAdd: {
    arity: [2, 2],
    infer([g, ids], { rows }) {
      const lead = indices('scatterAdd', ids!).shape.length;
      if (g!.dtype !== 'f32' || !sameShape(g!.shape.slice(0, lead), ids!.shape)) {
        throw new ShapeError(
          'scatterAdd',
          `${g!.dtype}${formatShape(g!.shape)} does not begin with ${formatShape(ids!.shape)}`,
        );
      }
      return { dtype: 'f32', shape: [rows, ...g!.shape.slice(lead)] };
    },
    gradient: ({ f, inputs, grad }) => [f.gather(grad, inputs[1]!), null],
    reference([g, ids], _attrs, output) {
      const result = new Float64Array(sizeOf(output));
      const length = sizeOf(output.slice(1));
      ids!.data.forEach((id, row) => {
        if (id < 0 || id >= output[0]) return;
        for (let i = 0; i < length; i++) result[id * length + i] += g!.data[row * length + i];
      });
      return result;
    },
    kernel: { opcode: 'scatterAdd' },
  } satisfies OpRow<OpAttrs['scatterAdd']>,

  takeLast: {
    arity: [2, 2],
    infer([x, idx]) {
      rowsAgree('takeLast', x!, idx!);
      return { dtype: 'f32', shape: idx!.shape };
    },
    gradient({ f, inputs, grad }) {
      return [f.putLast(grad, inputs[1]!, inputs[0]!.shape.at(-1) as number), null];
    },
    reference([x, idx]) {
      const [size, k] = [x!.shape.at(-1)!, idx!.shape.at(-1)!];
      return Float64Array.from(idx!.data, (index, i) => x!.data[Math.floor(i / k) * size + index] ?? Number.NaN);
    },
    kernel: { opcode: 'takeLast' },
  } satisfies OpRow<None>,

  putLast: {
    arity: [2, 2],
    infer([g, idx], { size }) {
      rowsAgree('putLast', g!, idx!);
      return { dtype: 'f32', shape: g!.shape.with(-1, size) };
    },
    gradient: ({ f, inputs, grad }) => [f.takeLast(grad, inputs[1]!), null],
    reference([g, idx], { size }, output) {
      const k = idx!.shape.at(-1)!;
      const result = new Float64Array(sizeOf(output));
      idx!.data.forEach((index, i) => {
        if (index >= 0 && index < size) result[Math.floor(i / k) * size + index] += g!.data[i];
      });
      return result;
    },
    kernel: { opcode: 'putLast' },
  } satisfies OpRow<OpAttrs['putLast']>,

  topk: {
    arity: [1, 1],
    infer([x], { k }) {
      const size = x!.shape.at(-1);
      if (x!.dtype !== 'f32' || typeof size !== 'number' || !Number.isInteger(k) || k < 1 || k > size) {
        throw new ShapeError('topk', `cannot take ${k} of ${x!.dtype}${formatShape(x!.shape)}`);
      }
      return { dtype: 'i32', shape: x!.shape.with(-1, k) };
    },
    gradient: 'a choice is constant almost everywhere; gradients flow through takeLast',
    reference([x], { k }) {
      const size = x!.shape.at(-1)!;
      const result = new Int32Array((x!.data.length / size) * k);
      for (let row = 0; row * size < x!.data.length; row++) {
        const data = x!.data.subarray(row * size, (row + 1) * size);
        const order = Array.from({ length: size }, (_, i) => i).sort((a, b) => data[b] - data[a] || a - b);
        result.set(order.slice(0, k), row * k);
      }
      return result;
    },
    kernel: { opcode: 'topk' },
  } satisfies OpRow<OpAttrs['topk']>,

  random: {
    arity: [1, 1],
    infer([key], { shape }) {
      if (key!.dtype !== 'i32' || !sameShape(key!.shape, [4])) throw new ShapeError('random', 'the key is i32 (4)');
      return { dtype: 'f32', shape };
    },
    gradient: 'random numbers depend on the key alone',
    reference([key], _attrs, output) {
      const [k0, k1, c2, c3] = key!.data;
      return Float64Array.from({ length: sizeOf(output) }, (_, i) => {
        return (philox([i >>> 2, 0, c2, c3], [k0, k1])[i & 3] >>> 8) * 2 ** -24;
      });
    },
    kernel: { opcode: 'random' },
  } satisfies OpRow<OpAttrs['random']>,
} as const;

/** Philox4x32-10 (Salmon et al. 2011): four random words from a counter and a key. */
export function philox(counter: readonly number[], key: readonly number[]): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0);
    const high1 = multiplyHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2);
    [c0, c1, c2, c3] = [high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0];
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
}

/** The high 32 bits of the product of two unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const [al, ah, bl, bh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = ah * bl + ((al * bl) >>> 16);
  const cross = al * bh + (middle & 0xffff);
  return (ah * bh + Math.floor(middle / 65536) + Math.floor(cross / 65536)) | 0;
}
