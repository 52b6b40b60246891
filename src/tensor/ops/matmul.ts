/** Products of matrices, with dense and with quantised weights, and with a choice of experts. */
import { ShapeError } from '../../errors.ts';
import { dtypes, isBlockType } from '../dtype.ts';
import { formatShape, type Shape, sameShape, sizeOf } from '../shape.ts';
import type { Tensor, TensorType } from '../tensor.ts';
import type { None, OpAttrs } from './attrs.ts';
import type { Numbers, OpRow, Value } from './row.ts';

interface ProductShape {
  readonly output: Shape;
  readonly inner: Shape[number];
}

function productShape(a: TensorType, b: TensorType, { transposeA, transposeB }: OpAttrs['matmul']): ProductShape {
  const describe = `${formatShape(a.shape)}${transposeA ? 'ᵀ' : ''} · ${formatShape(b.shape)}${transposeB ? 'ᵀ' : ''}`;
  const refuse = (problem: string) => new ShapeError('matmul', `${describe}: ${problem}`);
  if (a.shape.length < 2 || b.shape.length < 2) throw refuse('both need two dimensions or more');
  if (b.shape.length > 2 || transposeA) {
    if (!sameShape(a.shape.slice(0, -2), b.shape.slice(0, -2))) throw refuse('leading dimensions differ');
  }
  const [rows, innerA] = transposeA ? [a.shape.at(-1)!, a.shape.at(-2)!] : [a.shape.at(-2)!, a.shape.at(-1)!];
  const [innerB, columns] = transposeB ? [b.shape.at(-1)!, b.shape.at(-2)!] : [b.shape.at(-2)!, b.shape.at(-1)!];
  if (innerA !== innerB) throw refuse(`inner dimensions ${innerA} and ${innerB} differ`);
  return { output: [...a.shape.slice(0, -2), rows, columns], inner: innerA };
}

/** Which pairs of operand types there are kernels for. */
function checkTypes(op: string, a: TensorType, b: TensorType, transposeB: boolean): void {
  const weight = b.dtype !== 'f32';
  if (b.dtype === 'i32' || b.dtype === 'q8a') throw new ShapeError(op, `the right operand cannot be ${b.dtype}`);
  if (weight && !transposeB)
    throw new ShapeError(op, `a right operand of ${b.dtype} has to be transposed (rows are outputs)`);
  if (a.dtype === 'q8a' ? !isBlockType(b.dtype) : a.dtype !== 'f32') {
    throw new ShapeError(op, `there is no product of ${a.dtype} and ${b.dtype}`);
  }
}

/** y (M, N) += a (M, K) · b, in doubles, k ascending. Strides in elements. */
function accumulate(
  y: Float64Array,
  a: Numbers,
  b: Numbers,
  m: number,
  n: number,
  k: number,
  at: { y: number; a: number; aRow: number; aInner: number; b: number; bColumn: number; bInner: number },
): void {
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      let pa = at.a + i * at.aRow;
      let pb = at.b + j * at.bColumn;
      for (let l = 0; l < k; l++, pa += at.aInner, pb += at.bInner) sum += a[pa] * b[pb];
      y[at.y + i * n + j] += sum;
    }
  }
}

function product(
  a: Value,
  b: Value,
  { transposeA, transposeB }: OpAttrs['matmul'],
  output: readonly number[],
): Float64Array {
  const y = new Float64Array(sizeOf(output));
  const columns = output[output.length - 1];
  const inner = transposeA ? a.shape[a.shape.length - 2] : a.shape[a.shape.length - 1];
  const batched = b.shape.length > 2;
  const rows = batched || transposeA ? output[output.length - 2] : sizeOf(output.slice(0, -1));
  const batches = batched || transposeA ? sizeOf(output.slice(0, -2)) : 1;
  for (let batch = 0; batch < batches; batch++) {
    accumulate(y, a.data, b.data, rows, columns, inner, {
      y: batch * rows * columns,
      a: batch * rows * inner,
      aRow: transposeA ? 1 : inner,
      aInner: transposeA ? rows : 1,
      b: batched ? batch * columns * inner : 0,
      bColumn: transposeB ? inner : 1,
      bInner: transposeB ? 1 : columns,
    });
  }
  return y;
}

/** (R, last): a tensor with its leading dimensions made one. */
function flatten(f: GradientFunctions, x: Tensor): Tensor {
  return x.rank === 2 ? x : f.reshape(x, [sizeOf(x.shape.slice(0, -1) as number[]), x.shape.at(-1)!]);
}
type GradientFunctions = typeof import('../functions.ts');

export const matmulRows = {
  matmul: {
    arity: [2, 4],
    infer([a, b, bias, residual], attrs) {
      const { output } = productShape(a!, b!, attrs);
      checkTypes('matmul', a!, b!, attrs.transposeB);
      if (a!.dtype !== 'f32' && attrs.transposeA)
        throw new ShapeError('matmul', `${a!.dtype} rows cannot be transposed`);
      if (bias && (bias.dtype !== 'f32' || !sameShape(bias.shape, [output.at(-1)!]))) {
        throw new ShapeError('matmul', `bias ${formatShape(bias.shape)} does not fit ${formatShape(output)}`);
      }
      if (residual && (residual.dtype !== 'f32' || !sameShape(residual.shape, output))) {
        throw new ShapeError('matmul', `residual ${formatShape(residual.shape)} does not fit ${formatShape(output)}`);
      }
      return { dtype: 'f32', shape: output };
    },
    gradient({ f, inputs, attrs: { transposeA, transposeB }, grad }) {
      const [a, weight, bias, residual] = inputs as [Tensor, Tensor, Tensor | null, Tensor | null];
      const b = f.cast(weight, 'f32'); // products by columns are of f32 alone
      const rest = [bias && f.sumTo(grad, bias.shape), residual && grad];
      const byA = transposeA ? f.matmul(b, grad, transposeB, true) : f.matmul(grad, b, false, !transposeB);
      const rows = b.rank === 2 && !transposeA;
      const left = rows ? flatten(f, a) : a;
      const right = rows ? flatten(f, grad) : grad;
      const byB = transposeB ? f.matmul(right, left, true, transposeA) : f.matmul(left, right, !transposeA, false);
      return [byA, byB, ...rest];
    },
    reference([a, b, bias, residual], attrs, output) {
      const y = product(a!, b!, attrs, output);
      const columns = output[output.length - 1];
      if (bias) for (let i = 0; i < y.length; i++) y[i] += bias.data[i % columns];
      if (residual) for (let i = 0; i < y.length; i++) y[i] += residual.data[i];
      return y;
    },
    kernel: { opcode: 'matmul', ints: ({ transposeA, transposeB }) => [Number(transposeA), Number(transposeB)] },
    inPlace: [3],
  } satisfies OpRow<OpAttrs['matmul']>,

  quantize8: {
    arity: [1, 1],
    infer([x]) {
      const length = x!.shape.at(-1);
      if (x!.dtype !== 'f32' || typeof length !== 'number' || length % dtypes.q8a.block !== 0) {
        throw new ShapeError(
          'quantize8',
          `needs f32 rows of whole blocks of 32, not ${x!.dtype}${formatShape(x!.shape)}`,
        );
      }
      return { dtype: 'q8a', shape: x!.shape };
    },
    gradient: 'activations are quantised only where nothing is learnt',
    reference([x]) {
      const result = new Float64Array(x!.data.length);
      for (let from = 0; from < result.length; from += 32) {
        const block = x!.data.subarray(from, from + 32);
        let greatest = 0;
        for (let i = 0; i < 32; i++) greatest = Math.max(greatest, Math.abs(block[i]));
        const d = Math.fround(greatest / 127);
        const inverse = d > 0 ? Math.fround(1 / d) : 0;
        for (let i = 0; i < 32; i++) {
          const scaled = Math.fround(block[i] * inverse);
          result[from + i] = d * Math.sign(scaled) * Math.floor(Math.abs(scaled) + 0.5);
        }
      }
      return result;
    },
    kernel: { opcode: 'quantize8' },
  } satisfies OpRow<None>,

  expertMatmul: {
    arity: [3, 3],
    infer([x, w, idx], { transposeB }) {
      const [n, k] = idx!.shape;
      const refuse = (problem: string) => new ShapeError('expertMatmul', problem);
      if (idx!.dtype !== 'i32' || idx!.shape.length !== 2) throw refuse('the experts of a row are i32 (N, k)');
      if (w!.shape.length !== 3) throw refuse(`weights are (E, O, K), not ${formatShape(w!.shape)}`);
      const inner = x!.shape.at(-1);
      const [output, innerW] = transposeB ? [w!.shape[1], w!.shape[2]] : [w!.shape[2], w!.shape[1]];
      const fits = x!.shape.length === 2 ? x!.shape[0] === n : x!.shape[0] === n && x!.shape[1] === k;
      if (!fits || inner !== innerW || x!.shape.length > 3) {
        throw refuse(
          `${formatShape(x!.shape)} does not fit weights ${formatShape(w!.shape)} and experts ${formatShape(idx!.shape)}`,
        );
      }
      checkTypes('expertMatmul', x!, w!, transposeB);
      return { dtype: 'f32', shape: [n, k, output] };
    },
    gradient({ f, inputs, attrs, grad }) {
      const [x, weight, idx] = inputs as [Tensor, Tensor, Tensor];
      const w = f.cast(weight, 'f32');
      const each = f.expertMatmul(grad, w, idx, !attrs.transposeB); // (N, k, K)
      const byX = x.rank === 3 ? each : f.reshape(f.sum(each, 1), x.shape);
      const outer = f.expertOuter(grad, x, idx, w.shape[0] as number); // (E, O, K)
      return [byX, attrs.transposeB ? outer : f.permute(outer, [0, 2, 1]), null];
    },
    reference([x, w, idx], { transposeB }, output) {
      const [n, k, columns] = output;
      const inner = x!.shape[x!.shape.length - 1];
      const y = new Float64Array(n * k * columns);
      for (let row = 0; row < n * k; row++) {
        accumulate(y, x!.data, w!.data, 1, columns, inner, {
          y: row * columns,
          a: (x!.shape.length === 3 ? row : Math.floor(row / k)) * inner,
          aRow: 0,
          aInner: 1,
          b: idx!.data[row] * columns * inner,
          bColumn: transposeB ? inner : 1,
          bInner: transposeB ? 1 : columns,
        });
      }
      return y;
    },
    kernel: { opcode: 'expertMatmul', ints: ({ transposeB }) => [Number(transposeB)] },
  } satisfies OpRow<OpAttrs['expertMatmul']>,

  expertOuter: {
    arity: [3, 3],
    infer([dy, x, idx], { experts }) {
      const [g, rows, choice] = [dy!.shape, x!.shape, idx!.shape];
      const fits = choice.length === 2 && g.length === 3 && (rows.length === 2 || rows.length === 3);
      if (
        !fits ||
        !sameShape(g.slice(0, 2), choice) ||
        !sameShape(rows.slice(0, -1), choice.slice(0, rows.length - 1))
      ) {
        throw new ShapeError(
          'expertOuter',
          `gradients ${formatShape(g)}, rows ${formatShape(rows)} and experts ${formatShape(choice)} do not fit`,
        );
      }
      if (dy!.dtype !== 'f32' || x!.dtype !== 'f32' || idx!.dtype !== 'i32')
        throw new ShapeError('expertOuter', 'works on f32 and the i32 numbers of experts');
      return { dtype: 'f32', shape: [experts, g[2], rows.at(-1)!] };
    },
    gradient: 'second derivatives are not needed',
    reference([dy, x, idx], _attrs, output) {
      const [, o, k] = output;
      const perRow = dy!.shape[1];
      const y = new Float64Array(sizeOf(output));
      for (let row = 0; row < idx!.data.length; row++) {
        const from = (x!.shape.length === 3 ? row : Math.floor(row / perRow)) * k;
        for (let i = 0; i < o; i++) {
          for (let j = 0; j < k; j++) y[(idx!.data[row] * o + i) * k + j] += dy!.data[row * o + i] * x!.data[from + j];
        }
      }
      return y;
    },
    kernel: { opcode: 'expertOuter' },
  } satisfies OpRow<OpAttrs['expertOuter']>,
} as const;
