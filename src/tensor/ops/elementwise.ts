/** Element-wise ops: each number of the result depends on one number of each operand. All run on one kernel, as programs. */
import { ShapeError } from '../../errors.ts';
import { broadcastShapes, formatShape, sizeOf } from '../shape.ts';
import type { Tensor, TensorType } from '../tensor.ts';
import type { BinaryOp, ElementwiseInstruction, None, OpAttrs, UnaryOp } from './attrs.ts';
import { elementwiseCodes } from './opcodes.ts';
import type { GradientArguments, KernelCall, Numbers, OpRow, Value } from './row.ts';

type Scalars = readonly [number, number];
type Evaluate = (a: number, b: number, c: number, scalars: Scalars) => number;

/** What every element-wise op computes. `gelu` is x·Φ(x); `geluTanh` its tanh form (Hendrycks & Gimpel 2016). */
const evaluate: Readonly<Record<ElementwiseInstruction['op'], Evaluate>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  maximum: (a, b) => (a > b || Number.isNaN(a) ? a : b),
  minimum: (a, b) => (a < b || Number.isNaN(a) ? a : b),
  greater: (a, b) => (a > b ? 1 : 0),
  where: (a, b, c) => (a !== 0 ? b : c),
  affine: (a, _b, _c, [scale, shift]) => a * scale + shift,
  clamp: (a, _b, _c, [low, high]) => (a < low ? low : a > high ? high : a),
  neg: (a) => -a,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  rsqrt: (a) => 1 / Math.sqrt(a),
  reciprocal: (a) => 1 / a,
  abs: Math.abs,
  square: (a) => a * a,
  tanh: Math.tanh,
  sigmoid: (a) => 1 / (1 + Math.exp(-a)),
  relu: (a) => (a > 0 ? a : Number.isNaN(a) ? a : 0),
  erf,
  gelu: (a) => 0.5 * a * (1 + erf(a * Math.SQRT1_2)),
  geluTanh: (a) => 0.5 * a * (1 + Math.tanh(SQRT_2_OVER_PI * (a + 0.044715 * a * a * a))),
  silu: (a) => a / (1 + Math.exp(-a)),
  // derivatives: beyond ±40 at their limits, also where the terms would be infinities times 0
  geluGrad(a) {
    if (Math.abs(a) > 40) return a > 0 ? 1 : 0;
    return 0.5 * (1 + erf(a * Math.SQRT1_2)) + (a * Math.exp(-0.5 * a * a)) / Math.sqrt(2 * Math.PI);
  },
  geluTanhGrad(a) {
    if (Math.abs(a) > 40) return a > 0 ? 1 : 0;
    const t = Math.tanh(SQRT_2_OVER_PI * (a + 0.044715 * a * a * a));
    return 0.5 * (1 + t) + 0.5 * a * (1 - t * t) * SQRT_2_OVER_PI * (1 + 3 * 0.044715 * a * a);
  },
  siluGrad(a) {
    if (Math.abs(a) > 800) return a > 0 ? 1 : 0;
    const s = 1 / (1 + Math.exp(-a));
    return s * (1 + a * (1 - s));
  },
};

const SQRT_2_OVER_PI = Math.sqrt(2 / Math.PI);

/** The error function to double precision: its Taylor series near 0, the continued fraction of erfc beyond. */
export function erf(x: number): number {
  if (Number.isNaN(x)) return x;
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = a;
    let sum = a;
    for (let n = 1; n < 80; n++) {
      term *= (-a * a) / n;
      const part = term / (2 * n + 1);
      sum += part;
      if (Math.abs(part) < 1e-18 * Math.abs(sum)) break;
    }
    return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 80; n >= 1; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction)));
}

/** For each element of `output`, the index of the element of `shape` that meets it. */
export function broadcastIndex(shape: readonly number[], output: readonly number[]): (flat: number) => number {
  if (sizeOf(shape) === sizeOf(output)) return (flat) => flat;
  if (sizeOf(shape) === 1) return () => 0;
  const rank = output.length;
  const strides = new Array<number>(rank).fill(0);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    const axis = rank - shape.length + i;
    strides[axis] = shape[i] === 1 ? 0 : stride;
    stride *= shape[i];
  }
  return (flat) => {
    let index = 0;
    for (let axis = rank - 1; axis >= 0; axis--) {
      index += (flat % output[axis]) * strides[axis];
      flat = Math.floor(flat / output[axis]);
    }
    return index;
  };
}

function run(
  op: ElementwiseInstruction['op'],
  operands: readonly Value[],
  output: readonly number[],
  scalars: Scalars = [0, 0],
): Float64Array {
  const result = new Float64Array(sizeOf(output));
  const f = evaluate[op];
  const [a, b, c] = operands;
  const at = operands.map((operand) => broadcastIndex(operand.shape, output));
  for (let i = 0; i < result.length; i++) {
    result[i] = f(a.data[at[0](i)], b ? b.data[at[1](i)] : 0, c ? c.data[at[2](i)] : 0, scalars);
  }
  return result;
}

function inferBroadcast(op: string, inputs: readonly (TensorType | null)[]): TensorType {
  let shape = inputs[0]!.shape;
  for (const input of inputs) {
    if (input!.dtype !== 'f32') throw new ShapeError(op, `works on f32, not ${input!.dtype}; cast it first`);
    const joined = broadcastShapes(shape, input!.shape);
    if (!joined) {
      throw new ShapeError(op, `shapes ${inputs.map((t) => formatShape(t!.shape)).join(' and ')} do not broadcast`);
    }
    shape = joined;
  }
  return { dtype: 'f32', shape };
}

/** The kernel call of a program of `instructions`. */
function programInts(instructions: readonly ElementwiseInstruction[]): number[] {
  const words = instructions.flatMap(({ op, operands }) => [
    elementwiseCodes[op],
    operands[0],
    operands[1] ?? -1,
    operands[2] ?? -1,
  ]);
  return [instructions.length, ...words];
}

function single(op: ElementwiseInstruction['op'], operands: number, scalars?: Scalars): ElementwiseInstruction {
  return { op, operands: Array.from({ length: operands }, (_, i) => i), scalars };
}

function kernel<A>(instructions: (attrs: A) => readonly ElementwiseInstruction[]): KernelCall<A> {
  return {
    opcode: 'elementwise',
    ints: (attrs) => programInts(instructions(attrs)),
    floats: (attrs) => instructions(attrs).flatMap(({ scalars = [0, 0] }) => [...scalars]),
  };
}

function row<A>(
  op: Exclude<ElementwiseInstruction['op'], 'fused'>,
  operands: number,
  gradient: OpRow<A>['gradient'],
  scalars: (attrs: A) => Scalars | undefined = () => undefined,
): OpRow<A> {
  return {
    arity: [operands, operands],
    infer: (inputs) => inferBroadcast(op, inputs),
    gradient,
    reference: (inputs, attrs, output) => run(op, inputs as Value[], output, scalars(attrs)),
    kernel: kernel((attrs) => [single(op, operands, scalars(attrs))]),
    inPlace: 'all',
  };
}

/** A unary op whose derivative `d(x, y)` is built from the input and the result. */
function unary(
  op: UnaryOp,
  derivative: (f: GradientArguments<None>['f'], x: Tensor, y: Tensor) => Tensor,
): OpRow<None> {
  return row<None>(op, 1, ({ f, inputs, output, grad }) => [f.mul(grad, derivative(f, inputs[0]!, output))]);
}

/** A binary op whose gradients, before broadcasting is undone, are `d`. */
function binary(
  op: BinaryOp,
  derivative: (f: GradientArguments<None>['f'], grad: Tensor, a: Tensor, b: Tensor) => readonly [Tensor, Tensor],
): OpRow<None> {
  return row<None>(op, 2, ({ f, inputs, grad }) => {
    const [a, b] = inputs as [Tensor, Tensor];
    const [da, db] = derivative(f, grad, a, b);
    return [f.sumTo(da, a.shape), f.sumTo(db, b.shape)];
  });
}

export const elementwiseRows = {
  add: binary('add', (_f, grad) => [grad, grad]),
  sub: binary('sub', (f, grad) => [grad, f.neg(grad)]),
  mul: binary('mul', (f, grad, a, b) => [f.mul(grad, b), f.mul(grad, a)]),
  div: binary('div', (f, grad, a, b) => [f.div(grad, b), f.neg(f.div(f.mul(grad, a), f.square(b)))]),
  maximum: binary('maximum', (f, grad, a, b) => [
    f.mul(grad, f.greater(a, b)),
    f.sub(grad, f.mul(grad, f.greater(a, b))),
  ]),
  minimum: binary('minimum', (f, grad, a, b) => [
    f.mul(grad, f.greater(b, a)),
    f.sub(grad, f.mul(grad, f.greater(b, a))),
  ]),
  greater: row<None>('greater', 2, 'a comparison is constant almost everywhere'),
  where: row<None>('where', 3, ({ f, inputs, grad }) => {
    const [condition, a, b] = inputs as [Tensor, Tensor, Tensor];
    const zero = f.constant([0], []);
    return [null, f.sumTo(f.where(condition, grad, zero), a.shape), f.sumTo(f.where(condition, zero, grad), b.shape)];
  }),
  affine: row<OpAttrs['affine']>(
    'affine',
    1,
    ({ f, grad, attrs }) => [f.affine(grad, attrs.scale, 0)],
    ({ scale, shift }) => [scale, shift],
  ),
  clamp: row<OpAttrs['clamp']>(
    'clamp',
    1,
    ({ f, inputs, grad, attrs }) => {
      const x = inputs[0]!;
      const inside = f.mul(f.greater(x, f.constant([attrs.min], [])), f.greater(f.constant([attrs.max], []), x));
      return [f.mul(grad, inside)];
    },
    ({ min, max }) => [min, max],
  ),
  neg: row<None>('neg', 1, ({ f, grad }) => [f.neg(grad)]),
  exp: unary('exp', (_f, _x, y) => y),
  log: unary('log', (f, x) => f.reciprocal(x)),
  sqrt: unary('sqrt', (f, _x, y) => f.affine(f.reciprocal(y), 0.5, 0)),
  rsqrt: unary('rsqrt', (f, x, y) => f.affine(f.div(y, x), -0.5, 0)),
  reciprocal: unary('reciprocal', (f, _x, y) => f.neg(f.square(y))),
  abs: unary('abs', (f, x) => f.sub(f.greater(x, f.constant([0], [])), f.greater(f.constant([0], []), x))),
  square: unary('square', (f, x) => f.affine(x, 2, 0)),
  tanh: unary('tanh', (f, _x, y) => f.affine(f.square(y), -1, 1)),
  sigmoid: unary('sigmoid', (f, _x, y) => f.mul(y, f.affine(y, -1, 1))),
  relu: unary('relu', (f, x) => f.greater(x, f.constant([0], []))),
  erf: unary('erf', (f, x) => f.affine(f.exp(f.neg(f.square(x))), 2 / Math.sqrt(Math.PI), 0)),
  gelu: unary('gelu', (f, x) => f.geluGrad(x)),
  geluTanh: unary('geluTanh', (f, x) => f.geluTanhGrad(x)),
  silu: unary('silu', (f, x) => f.siluGrad(x)),
  geluGrad: unary('geluGrad', (f, x) => {
    const square = f.square(x);
    const density = f.affine(f.exp(f.affine(square, -0.5, 0)), 1 / Math.sqrt(2 * Math.PI), 0);
    return f.mul(density, f.affine(square, -1, 2));
  }),
  geluTanhGrad: unary('geluTanhGrad', (f, x) => {
    const square = f.square(x);
    const t = f.tanh(f.mul(f.affine(x, SQRT_2_OVER_PI, 0), f.affine(square, 0.044715, 1)));
    const inner = f.affine(square, 3 * 0.044715 * SQRT_2_OVER_PI, SQRT_2_OVER_PI);
    const bend = f.sub(f.affine(x, 3 * 0.044715 * SQRT_2_OVER_PI, 0), f.mul(t, f.square(inner)));
    return f.mul(f.affine(f.square(t), -1, 1), f.add(inner, f.mul(x, bend)));
  }),
  siluGrad: unary('siluGrad', (f, x) => {
    const s = f.sigmoid(x);
    return f.mul(f.mul(s, f.affine(s, -1, 1)), f.affine(f.mul(x, f.affine(s, -2, 1)), 1, 2));
  }),
  fused: {
    arity: [1, 12],
    infer: (inputs) => inferBroadcast('fused', inputs),
    gradient: 'fusion happens after gradients are taken',
    reference(inputs, { program }, output) {
      const values: Value[] = [...(inputs as Value[])];
      let data: Numbers = new Float64Array(0);
      for (const { op, operands, scalars } of program) {
        data = run(
          op,
          operands.map((i) => values[i]),
          output,
          scalars,
        );
        values.push({ dtype: 'f32', shape: output, data });
      }
      return data;
    },
    kernel: kernel(({ program }) => program),
    inPlace: 'all',
  } satisfies OpRow<OpAttrs['fused']>,
} as const;
