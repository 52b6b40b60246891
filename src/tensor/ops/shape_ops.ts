/** Ops that move numbers without changing them. */
import { ShapeError } from '../../errors.ts';
import { dtypes, isBlockType } from '../dtype.ts';
import { broadcastShapes, fixedDim, formatShape, type Shape, sameShape, sameSize, sizeOf } from '../shape.ts';
import type { TensorType } from '../tensor.ts';
import type { None, OpAttrs } from './attrs.ts';
import { broadcastIndex } from './elementwise.ts';
import type { Numbers, OpRow, Value } from './row.ts';

const UNBOUNDED = 0x7fffffff;

/** An empty array of the same kind as a value's. */
function like(value: Value, length: number): Numbers {
  return value.data instanceof Int32Array ? new Int32Array(length) : new Float64Array(length);
}

function plain(op: string, input: TensorType): TensorType {
  if (input.dtype !== 'f32' && input.dtype !== 'i32')
    throw new ShapeError(op, `works on f32 and i32, not ${input.dtype}`);
  return input;
}

/** The stride of an axis, in elements; a number below -1 names the suffix product that a variable dimension is part of. */
function strideOf(shape: Shape, axis: number): number {
  let stride = 1;
  for (let i = axis + 1; i < shape.length; i++) {
    const dim = shape[i];
    if (typeof dim !== 'number') return -(axis + 2);
    stride *= dim;
  }
  return stride;
}

/** The fixed length of an axis of which a part is cut, or which is extended; what lies inside it has to be fixed too. */
function cuttable(op: string, shape: Shape, axis: number): number {
  const variable = shape.slice(axis + 1).find((dim) => typeof dim !== 'number');
  if (variable) throw new ShapeError(op, `axis ${axis} of ${formatShape(shape)} lies outside the variable ${variable}`);
  return fixedDim(op, shape[axis], axis);
}

function isCount(n: number): boolean {
  return Number.isInteger(n) && n >= 0;
}

/** Ints of the strided copy kernel: offset, strides, then the bounds inside which there is something to copy. */
function copyInts(offset: number, strides: number[], bounds: (readonly [number, number])[]): number[] {
  return [offset, ...strides, ...bounds.flat()];
}

function everywhere(rank: number): (readonly [number, number])[] {
  return Array.from({ length: rank }, () => [0, UNBOUNDED] as const);
}

export function checkAxis(op: string, axis: number, rank: number): void {
  if (!Number.isInteger(axis) || axis < 0 || axis >= rank) {
    throw new ShapeError(op, `axis ${axis} does not exist in a tensor of ${rank} dimensions`);
  }
}

/** (outer, axis, inner) of a bound shape. */
function around(shape: readonly number[], axis: number): { outer: number; inner: number } {
  return { outer: sizeOf(shape.slice(0, axis)), inner: sizeOf(shape.slice(axis + 1)) };
}

export const shapeRows = {
  reshape: {
    arity: [1, 1],
    infer([x], { shape }) {
      if (!sameSize(x!.shape, shape)) {
        throw new ShapeError(
          'reshape',
          `${formatShape(x!.shape)} does not hold as many elements as ${formatShape(shape)}`,
        );
      }
      if (isBlockType(x!.dtype) && x!.shape.at(-1) !== shape.at(-1)) {
        throw new ShapeError('reshape', `rows of ${x!.dtype} cannot be cut`);
      }
      return { dtype: x!.dtype, shape };
    },
    gradient: ({ f, inputs, grad }) => [f.reshape(grad, inputs[0]!.shape)],
    reference: ([x]) => x!.data.slice(),
    kernel: 'view',
  } satisfies OpRow<OpAttrs['reshape']>,

  hold: {
    arity: [2, 2],
    infer: ([x]) => ({ dtype: x!.dtype, shape: x!.shape }),
    gradient: ({ grad }) => [grad, null],
    reference: ([x]) => x!.data.slice(),
    kernel: 'view',
  } satisfies OpRow<None>,

  detach: {
    arity: [1, 1],
    infer: ([x]) => ({ dtype: x!.dtype, shape: x!.shape }),
    gradient: () => [null],
    reference: ([x]) => x!.data.slice(),
    kernel: 'view',
  } satisfies OpRow<None>,

  permute: {
    arity: [1, 1],
    infer([x], { axes }) {
      const { dtype, shape } = plain('permute', x!);
      if ([...axes].sort((a, b) => a - b).some((axis, i) => axis !== i) || axes.length !== shape.length) {
        throw new ShapeError(
          'permute',
          `[${axes}] is not an order of the ${shape.length} axes of ${formatShape(shape)}`,
        );
      }
      return { dtype, shape: axes.map((axis) => shape[axis]) };
    },
    gradient: ({ f, attrs, grad }) => [
      f.permute(
        grad,
        attrs.axes.map((_, i) => attrs.axes.indexOf(i)),
      ),
    ],
    reference([x], { axes }, output) {
      const result = like(x!, x!.data.length);
      const strides = axes.map((axis) => sizeOf(x!.shape.slice(axis + 1)));
      for (let flat = 0; flat < result.length; flat++) {
        let rest = flat;
        let from = 0;
        for (let i = output.length - 1; i >= 0; i--) {
          from += (rest % output[i]) * strides[i];
          rest = Math.floor(rest / output[i]);
        }
        result[flat] = x!.data[from];
      }
      return result;
    },
    kernel: {
      opcode: 'stridedCopy',
      ints: ({ axes }, [x]) =>
        copyInts(
          0,
          axes.map((axis) => strideOf(x!.shape, axis)),
          everywhere(axes.length),
        ),
    },
  } satisfies OpRow<OpAttrs['permute']>,

  slice: {
    arity: [1, 1],
    infer([x], { axis, start, end }) {
      const { dtype, shape } = plain('slice', x!);
      checkAxis('slice', axis, shape.length);
      const length = cuttable('slice', shape, axis);
      if (!(isCount(start) && isCount(end) && start <= end && end <= length)) {
        throw new ShapeError('slice', `${start}…${end} is not inside axis ${axis} of ${formatShape(shape)}`);
      }
      return { dtype, shape: shape.with(axis, end - start) };
    },
    gradient({ f, inputs, attrs, grad }) {
      const length = inputs[0]!.shape[attrs.axis] as number;
      return [f.pad(grad, attrs.axis, attrs.start, length - attrs.end)];
    },
    reference([x], { axis, start, end }) {
      const { outer, inner } = around(x!.shape, axis);
      const result = like(x!, outer * (end - start) * inner);
      for (let o = 0; o < outer; o++) {
        const from = (o * x!.shape[axis] + start) * inner;
        result.set(x!.data.subarray(from, from + (end - start) * inner), o * (end - start) * inner);
      }
      return result;
    },
    kernel: {
      opcode: 'stridedCopy',
      ints({ axis, start }, [x], output) {
        const strides = output.shape.map((_, i) => strideOf(x!.shape, i));
        return copyInts(start * strides[axis], strides, everywhere(output.shape.length));
      },
    },
  } satisfies OpRow<OpAttrs['slice']>,

  pad: {
    arity: [1, 1],
    infer([x], { axis, before, after }) {
      const { dtype, shape } = plain('pad', x!);
      checkAxis('pad', axis, shape.length);
      const length = cuttable('pad', shape, axis);
      if (!isCount(before) || !isCount(after))
        throw new ShapeError('pad', `cannot add ${before} before and ${after} after`);
      return { dtype, shape: shape.with(axis, length + before + after) };
    },
    gradient({ f, inputs, attrs, grad }) {
      const length = inputs[0]!.shape[attrs.axis] as number;
      return [f.slice(grad, attrs.axis, attrs.before, attrs.before + length)];
    },
    reference([x], { axis, before, after }) {
      const { outer, inner } = around(x!.shape, axis);
      const length = x!.shape[axis];
      const result = like(x!, outer * (length + before + after) * inner);
      for (let o = 0; o < outer; o++) {
        const rows = x!.data.subarray(o * length * inner, (o + 1) * length * inner);
        result.set(rows, (o * (length + before + after) + before) * inner);
      }
      return result;
    },
    kernel: {
      opcode: 'stridedCopy',
      ints({ axis, before }, [x], output) {
        const strides = output.shape.map((_, i) => strideOf(x!.shape, i));
        const bounds = everywhere(strides.length).with(axis, [before, before + (x!.shape[axis] as number)]);
        return copyInts(-before * strides[axis], strides, bounds);
      },
    },
  } satisfies OpRow<OpAttrs['pad']>,

  concat: {
    arity: [1, 16],
    infer(inputs, { axis }) {
      const { dtype, shape } = plain('concat', inputs[0]!);
      checkAxis('concat', axis, shape.length);
      let length = 0;
      for (const input of inputs) {
        if (input!.dtype !== dtype || !sameShape(input!.shape.with(axis, 0), shape.with(axis, 0))) {
          throw new ShapeError(
            'concat',
            `${inputs.map((t) => t!.dtype + formatShape(t!.shape)).join(' and ')} differ off axis ${axis}`,
          );
        }
        length += fixedDim('concat', input!.shape[axis], axis);
      }
      return { dtype, shape: shape.with(axis, length) };
    },
    gradient({ f, inputs, attrs, grad }) {
      let start = 0;
      return inputs.map((input) => {
        const end = start + (input!.shape[attrs.axis] as number);
        const part = f.slice(grad, attrs.axis, start, end);
        start = end;
        return part;
      });
    },
    reference(inputs, { axis }, output) {
      const result = like(inputs[0]!, sizeOf(output));
      const { outer, inner } = around(output, axis);
      let start = 0;
      for (const input of inputs) {
        const length = input!.shape[axis] * inner;
        for (let o = 0; o < outer; o++) {
          result.set(input!.data.subarray(o * length, (o + 1) * length), o * output[axis] * inner + start);
        }
        start += length;
      }
      return result;
    },
    kernel: { opcode: 'concat', ints: ({ axis }) => [axis] },
  } satisfies OpRow<OpAttrs['concat']>,

  broadcastTo: {
    arity: [1, 1],
    infer([x], { shape }) {
      const { dtype, shape: from } = plain('broadcastTo', x!);
      const joined = broadcastShapes(from, shape);
      if (!joined || !sameShape(joined, shape)) {
        throw new ShapeError('broadcastTo', `${formatShape(from)} does not broadcast to ${formatShape(shape)}`);
      }
      return { dtype, shape };
    },
    gradient: ({ f, inputs, grad }) => [f.sumTo(grad, inputs[0]!.shape)],
    reference([x], _attrs, output) {
      const at = broadcastIndex(x!.shape, output);
      const result = like(x!, sizeOf(output));
      for (let i = 0; i < result.length; i++) result[i] = x!.data[at(i)];
      return result;
    },
    kernel: {
      opcode: 'stridedCopy',
      ints({ shape }, [x]) {
        const missing = shape.length - x!.shape.length;
        const strides = shape.map((_, i) =>
          i < missing || x!.shape[i - missing] === 1 ? 0 : strideOf(x!.shape, i - missing),
        );
        return copyInts(0, strides, everywhere(shape.length));
      },
    },
  } satisfies OpRow<OpAttrs['broadcastTo']>,

  cast: {
    arity: [1, 1],
    infer([x], { dtype }) {
      if (dtypes[dtype].block > 1 || dtype === 'i32') throw new ShapeError('cast', `does not make ${dtype}`);
      const toFloat16 = dtype !== 'f32';
      if (x!.dtype === 'q8a' || (toFloat16 && (isBlockType(x!.dtype) || x!.dtype === 'i32'))) {
        throw new ShapeError('cast', `does not make ${dtype} of ${x!.dtype}`);
      }
      return { dtype, shape: x!.shape };
    },
    gradient: ({ f, inputs, grad }) => [inputs[0]!.dtype === 'i32' ? null : f.cast(grad, 'f32')],
    reference: ([x], { dtype }) => Float64Array.from(x!.data, dtype === 'f32' ? Math.fround : rounders[dtype]),
    kernel: { opcode: 'cast' },
  } satisfies OpRow<OpAttrs['cast']>,
} as const;

const rounders: Readonly<Record<string, (x: number) => number>> = { f16: roundToF16, bf16: roundToBf16 };

/** The nearest half-precision number, ties to even; beyond its range, infinity. */
export function roundToF16(x: number): number {
  const a = Math.abs(x);
  if (!(a > 0) || a === Number.POSITIVE_INFINITY) return x;
  const exponent = Math.max(Math.floor(Math.log2(a)), -14);
  const step = 2 ** (exponent - 10);
  const rounded = roundHalfEven(a / step) * step;
  return Math.sign(x) * (rounded >= 65520 ? Number.POSITIVE_INFINITY : rounded);
}

const word = new Float32Array(1);
const bits = new Uint32Array(word.buffer);

/** The nearest bfloat16 number, ties to even. */
export function roundToBf16(x: number): number {
  word[0] = x;
  if (Number.isNaN(word[0])) return x;
  bits[0] = (bits[0] + 0x7fff + ((bits[0] >>> 16) & 1)) & 0xffff0000;
  return word[0];
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
