/** What ops refuse while a graph is built, with a message that names the op and the shapes. */
import { describe, expect, it } from 'vitest';
import { ShapeError } from '../src/errors.ts';
import { apply } from '../src/tensor/functions.ts';
import {
  DimVar,
  type DType,
  f,
  gradients,
  type OpAttrs,
  type OpName,
  type Shape,
  type Tensor,
} from '../src/tensor/index.ts';
import { binaryOps, unaryOps } from '../src/tensor/ops/attrs.ts';

const t = (dtype: DType, ...shape: Shape): Tensor => f.parameter('p', dtype, shape);
const x = (...shape: Shape): Tensor => t('f32', ...shape);
const i = (...shape: Shape): Tensor => t('i32', ...shape);
const n = new DimVar('n', 4);
const q8a = (...shape: Shape): Tensor => f.quantize8(x(...shape));

/** Inputs, attributes, and what the message has to say. */
type Refusal<K extends OpName> = readonly [inputs: readonly (Tensor | null)[], attrs: OpAttrs[K], message: RegExp];

const unary: readonly Refusal<'neg'>[] = [
  [[], {}, /takes 1 inputs, got 0/],
  [[x(1), x(1)], {}, /takes 1 inputs, got 2/],
  [[null], {}, /takes 1 inputs/],
  [[i(3)], {}, /works on f32, not i32; cast it first/],
  [[t('f16', 3)], {}, /works on f32, not f16/],
];
const binary: readonly Refusal<'add'>[] = [
  [[x(3)], {}, /takes 2 inputs, got 1/],
  [[x(3), x(4)], {}, /shapes \(3\) and \(4\) do not broadcast/],
  [[x(3, 1), x(2, 1)], {}, /do not broadcast/],
  [[x(n), x(4)], {}, /shapes \(n<=4\) and \(4\) do not broadcast/],
  [[x(n), x(new DimVar('n', 4))], {}, /do not broadcast/],
  [[x(3), i(3)], {}, /works on f32, not i32/],
];
const none = { transposeA: false, transposeB: false };
const byRows = { transposeA: false, transposeB: true };
const attention = { scale: 1, window: 0, softcap: 0 };
const heads = [x(1, 3, 4, 8), x(1, 3, 4, 8), x(1, 3, 4, 8)] as const;
const adam = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0 };
const layer = { kind: 'layer', eps: 1e-5, weightOffset: 0 } as const;

type Refusals = { readonly [K in OpName]: readonly Refusal<K>[] };
const same = <L extends readonly string[], T>(names: L, list: T) =>
  Object.fromEntries(names.map((name) => [name, list])) as Record<L[number], T>;

const refusals: Refusals = {
  ...same(unaryOps, unary),
  ...same(binaryOps, binary),
  affine: [[[i(3)], { scale: 1, shift: 0 }, /not i32/]],
  clamp: [[[i(3)], { min: 1, max: 2 }, /not i32/]],
  where: [[[x(3), x(3), x(2)], {}, /\(3\) and \(3\) and \(2\) do not broadcast/]],
  fused: [[[x(3), x(2)], { program: [{ op: 'add', operands: [0, 1] }] }, /do not broadcast/]],
  cast: [
    [[x(32)], { dtype: 'q4_0' }, /does not make q4_0/],
    [[x(32)], { dtype: 'i32' }, /does not make i32/],
    [[q8a(32)], { dtype: 'f32' }, /does not make f32 of q8a/],
    [[t('q4_0', 32)], { dtype: 'f16' }, /does not make f16 of q4_0/],
    [[i(3)], { dtype: 'bf16' }, /does not make bf16 of i32/],
  ],
  reshape: [
    [[x(3, 4)], { shape: [5] }, /\(3, 4\) does not hold as many elements as \(5\)/],
    [[x(n, 2)], { shape: [8] }, /\(n<=4, 2\) does not hold/],
    [[t('q4_0', 2, 64)], { shape: [4, 32] }, /rows of q4_0 cannot be cut/],
  ],
  hold: [[[x(3)], {}, /takes 2 inputs, got 1/]],
  detach: [[[], {}, /takes 1 inputs, got 0/]],
  permute: [
    [[x(3, 4)], { axes: [0, 0] }, /\[0,0\] is not an order of the 2 axes/],
    [[x(3, 4)], { axes: [1] }, /not an order/],
    [[x(3, 4)], { axes: [1, 2] }, /not an order/],
    [[t('f16', 3, 4)], { axes: [1, 0] }, /works on f32 and i32, not f16/],
  ],
  slice: [
    [[x(3, 4)], { axis: 2, start: 0, end: 1 }, /axis 2 does not exist in a tensor of 2 dimensions/],
    [[x(3, 4)], { axis: -1, start: 0, end: 1 }, /axis -1 does not exist/],
    [[x(3, 4)], { axis: 1, start: 3, end: 5 }, /3…5 is not inside axis 1 of \(3, 4\)/],
    [[x(3, 4)], { axis: 1, start: -1, end: 2 }, /not inside/],
    [[x(3, 4)], { axis: 1, start: 2, end: 1 }, /not inside/],
    [[x(3, 4)], { axis: 1, start: 0.5, end: 2 }, /not inside/],
    [[x(n, 4)], { axis: 0, start: 0, end: 1 }, /axis 0 is the variable n/],
    [[x(4, n)], { axis: 0, start: 1, end: 2 }, /axis 0 of \(4, n<=4\) lies outside the variable n/],
    [[t('q4_0', 3, 32)], { axis: 0, start: 0, end: 1 }, /not q4_0/],
  ],
  pad: [
    [[x(3)], { axis: 1, before: 0, after: 0 }, /axis 1 does not exist/],
    [[x(3)], { axis: 0, before: -1, after: 0 }, /cannot add -1 before and 0 after/],
    [[x(3)], { axis: 0, before: 0, after: 0.5 }, /cannot add/],
    [[x(n)], { axis: 0, before: 1, after: 1 }, /is the variable n/],
    [[x(2, n)], { axis: 0, before: 1, after: 1 }, /outside the variable n/],
  ],
  concat: [
    [[], { axis: 0 }, /takes 1 to 16 inputs, got 0/],
    [Array.from({ length: 17 }, () => x(1)), { axis: 0 }, /got 17/],
    [[x(3, 4), x(3, 5)], { axis: 0 }, /f32\(3, 4\) and f32\(3, 5\) differ off axis 0/],
    [[x(3), i(3)], { axis: 0 }, /f32\(3\) and i32\(3\) differ/],
    [[x(n), x(2)], { axis: 0 }, /is the variable n/],
    [[x(3), x(3)], { axis: 1 }, /axis 1 does not exist/],
  ],
  broadcastTo: [
    [[x(3)], { shape: [4] }, /\(3\) does not broadcast to \(4\)/],
    [[x(3)], { shape: [1] }, /does not broadcast/],
    [[x(2, 3)], { shape: [3] }, /does not broadcast/],
  ],

  sum: [
    [[x(3)], { from: 0, to: 2 }, /axes 0…2 are not in \(3\)/],
    [[x(3)], { from: 0, to: 0 }, /axes 0…0/],
    [[x()], { from: 0, to: 0 }, /needs at least one dimension/],
    [[i(3)], { from: 0, to: 1 }, /works on f32, not i32/],
  ],
  max: [[[x()], {}, /needs at least one dimension/]],
  softmax: [[[i(3)], {}, /works on f32, not i32/]],
  logSoftmax: [[[x()], {}, /needs at least one dimension/]],
  normalize: [
    [[x(3, 4), x(3)], layer, /weight \(3\) does not fit rows of \(3, 4\)/],
    [[x(3, 4), null, x(4, 1)], layer, /does not fit rows/],
    [[x(3, 4), t('f16', 4)], layer, /does not fit/],
    [[i(4)], layer, /works on f32/],
  ],
  normalizeGrad: [
    [[x(3, 4), x(4)], { kind: 'rms', eps: 1 }, /needs two f32 tensors of one shape/],
    [[x(3), i(3)], { kind: 'rms', eps: 1 }, /f32/],
  ],

  matmul: [
    [[x(3), x(3, 4)], none, /\(3\) · \(3, 4\): both need two dimensions/],
    [[x(2, 3), x(4, 5)], none, /\(2, 3\) · \(4, 5\): inner dimensions 3 and 4 differ/],
    [[x(2, 3), x(3, 5)], byRows, /\(2, 3\) · \(3, 5\)ᵀ: inner dimensions 3 and 5/],
    [[x(2, 3, 4), x(3, 4, 5)], none, /leading dimensions differ/],
    [[x(2, 4, 3), x(4, 5)], { transposeA: true, transposeB: false }, /leading dimensions differ/],
    [[x(2, 32), t('q4_0', 32, 32)], none, /a right operand of q4_0 has to be transposed/],
    [[x(2, 32), i(4, 32)], byRows, /cannot be i32/],
    [[x(2, 32), q8a(4, 32)], byRows, /cannot be q8a/],
    [[q8a(2, 32), x(4, 32)], byRows, /no product of q8a and f32/],
    [[q8a(2, 32), t('f16', 4, 32)], byRows, /no product of q8a and f16/],
    [[t('f16', 2, 32), x(4, 32)], byRows, /no product of f16 and f32/],
    [[q8a(32, 32), t('q4_0', 4, 32)], { transposeA: true, transposeB: true }, /q8a rows cannot be transposed/],
    [[x(2, 3), x(3, 5), x(4)], none, /bias \(4\) does not fit \(2, 5\)/],
    [[x(2, 3), x(3, 5), null, x(5)], none, /residual \(5\) does not fit \(2, 5\)/],
    [[x(2, 3), x(3, n)], byRows, /inner dimensions 3 and n<=4 differ/],
  ],
  quantize8: [
    [[x(33)], {}, /whole blocks of 32, not f32\(33\)/],
    [[x()], {}, /whole blocks/],
    [[x(2, new DimVar('m', 64))], {}, /whole blocks/],
    [[i(32)], {}, /not i32/],
  ],
  expertMatmul: [
    [[x(5, 8), x(4, 6, 8), x(5, 2)], { transposeB: true }, /the experts of a row are i32/],
    [[x(5, 8), x(6, 8), i(5, 2)], { transposeB: true }, /weights are \(E, O, K\), not \(6, 8\)/],
    [[x(5, 8), x(4, 6, 7), i(5, 2)], { transposeB: true }, /\(5, 8\) does not fit weights \(4, 6, 7\)/],
    [[x(4, 8), x(4, 6, 8), i(5, 2)], { transposeB: true }, /does not fit/],
    [[x(5, 3, 8), x(4, 6, 8), i(5, 2)], { transposeB: true }, /does not fit/],
    [[x(5, 32), t('q4_0', 4, 32, 32), i(5, 2)], { transposeB: false }, /has to be transposed/],
    [[q8a(5, 32), x(4, 6, 32), i(5, 2)], { transposeB: true }, /no product of q8a and f32/],
  ],
  expertOuter: [
    [
      [x(5, 2, 6), x(4, 7), i(5, 2)],
      { experts: 4 },
      /gradients \(5, 2, 6\), rows \(4, 7\) and experts \(5, 2\) do not fit/,
    ],
    [[x(5, 6), x(5, 7), i(5, 2)], { experts: 4 }, /do not fit/],
    [[x(5, 2, 6), x(5, 7), i(5)], { experts: 4 }, /do not fit/],
    [[x(5, 2, 6), x(5, 7), x(5, 2)], { experts: 4 }, /i32 numbers of experts/],
  ],

  gather: [
    [[x(4, 3), x(2)], {}, /indices are i32, not f32/],
    [[i(4, 3), i(2)], {}, /does not read i32/],
    [[x(), i(2)], {}, /has no rows/],
    [[t('q4_0', 32), i(2)], {}, /q4_0\(32\) has no rows/],
  ],
  scatterAdd: [
    [[x(3, 4), i(2)], { rows: 5 }, /f32\(3, 4\) does not begin with \(2\)/],
    [[i(2, 4), i(2)], { rows: 5 }, /i32\(2, 4\)/],
    [[x(2), x(2)], { rows: 5 }, /indices are i32/],
  ],
  takeLast: [
    [[x(3, 4), i(2, 1)], {}, /rows of f32\(3, 4\) and of \(2, 1\) differ/],
    [[x(3, 4), x(3, 1)], {}, /indices are i32/],
    [[x(), i()], {}, /rows, not on single numbers/],
  ],
  putLast: [
    [[x(3, 4), i(2, 4)], { size: 9 }, /differ/],
    [[i(3, 4), i(3, 4)], { size: 9 }, /rows of i32/],
  ],
  topk: [
    [[x(3, 4)], { k: 5 }, /cannot take 5 of f32\(3, 4\)/],
    [[x(3, 4)], { k: 0 }, /cannot take 0/],
    [[x(3, 4)], { k: 1.5 }, /cannot take 1.5/],
    [[i(4)], { k: 1 }, /of i32/],
    [[x(n)], { k: 1 }, /cannot take/],
  ],

  crossEntropy: [
    [[x(3, 4), i(2)], { ignoreIndex: 0 }, /targets i32\(2\) do not fit logits \(3, 4\)/],
    [[x(3, 4), x(3)], { ignoreIndex: 0 }, /targets f32/],
  ],
  crossEntropyGrad: [[[x(3, 4), i(3), x(4)], { ignoreIndex: 0 }, /one gradient for each target/]],

  ropeTable: [
    [[x(3), x(4)], { scale: 1 }, /i32 positions and f32 frequencies/],
    [[i(3), x(4, 1)], { scale: 1 }, /frequencies/],
  ],
  rope: [
    [[x(3, 2, 8), x(4, 8)], { interleaved: false, inverse: false }, /a table \(4, 8\) does not fit \(3, 2, 8\)/],
    [[x(3, 2, 8), x(3, 10)], { interleaved: false, inverse: false }, /does not fit/],
    [[x(3, 2, 8), x(3, 7)], { interleaved: false, inverse: false }, /does not fit/],
    [[i(3, 2, 8), x(3, 8)], { interleaved: false, inverse: false }, /works on f32/],
  ],
  attention: [
    [[x(2, 3, 4), x(2, 3, 4), x(2, 3, 4)], attention, /q \(B,T,H,D\), k and v \(B,S,G,D\)/],
    [[x(1, 3, 4, 8), x(1, 3, 4, 8), x(1, 4, 4, 8)], attention, /got \(1, 3, 4, 8\), \(1, 3, 4, 8\), \(1, 4, 4, 8\)/],
    [[x(1, 3, 4, 8), x(2, 3, 4, 8), x(2, 3, 4, 8)], attention, /batch or head width differ/],
    [[x(1, 3, 4, 8), x(1, 3, 3, 8), x(1, 3, 3, 8)], attention, /4 query heads cannot share 3 key heads/],
    [[x(1, 3, 4, 8), x(1, 2, 4, 8), x(1, 2, 4, 8)], attention, /3 queries are more than the 2 keys/],
    [[x(1, 3, 4, 8), x(1, 3, 4, 8), x(1, 3, 4, 8), x(3)], attention, /sinks are f32 \(4\), not f32\(3\)/],
    [[x(1, 3, 4, 8), t('f16', 1, 3, 4, 8), t('f16', 1, 3, 4, 8)], attention, /works on f32/],
    [[...heads, null, i(3, 1)], attention, /first keys are i32 \(B,T\), not i32\(3, 1\)/],
    [[...heads, null, x(1, 3)], attention, /first keys are i32 \(B,T\), not f32\(1, 3\)/],
    [[...heads, null, null, i(3)], { ...attention, dropout: 0.1 }, /the key is i32 \(4\)/],
    [[...heads, null, null, i(4)], { ...attention, dropout: 1 }, /dropout is a share below 1, not 1/],
    [heads, { ...attention, dropout: 0.1 }, /dropout needs a key/],
  ],
  attentionGrad: [
    [[x(1, 3, 4, 8), x(1, 3, 4, 8), x(1, 3, 4, 8), null, x(1, 3, 4, 7)], attention, /dy has the shape of q/],
    [[x(n, 3, 4, 8), x(n, 3, 4, 8), x(n, 3, 4, 8), null, x(n, 3, 4, 8)], attention, /needs fixed shapes/],
    [[x(1, 3, 4, 8), null, x(1, 3, 4, 8), null, x(1, 3, 4, 8)], attention, /takes 5 to 7 inputs/],
  ],
  kvWrite: [
    [[x(5, 2, 4, 3), x(3, 2, 4), i(3)], {}, /\(3, 2, 4\) does not fit a cache f32\(5, 2, 4, 3\)/],
    [[t('bf16', 5, 2, 4, 3), x(3, 2, 3), i(3)], {}, /a cache bf16/],
    [[x(5, 2, 4, 3), i(3, 2, 3), i(3)], {}, /does not fit/],
    [[x(5, 2, 4, 3), x(3, 2, 3), x(3)], {}, /does not fit/],
  ],
  pagedAttention: [
    [[x(3, 2, 8), x(4, 2, 8), x(4, 2, 8), i(1, 4), i(3), i(3)], attention, /q \(N,H,D\) and caches \(P,G,S,D\)/],
    [[x(3, 2, 8), x(4, 2, 4, 8), x(4, 2, 4, 8), i(4), i(3), i(3)], attention, /tables \(R,M\)/],
    [
      [x(3, 2, 8), x(4, 2, 4, 8), x(4, 2, 4, 8), i(1, 4), i(2), i(3)],
      attention,
      /each row of q has a sequence and a position/,
    ],
    [[x(3, 2, 8), x(4, 2, 4, 7), x(4, 2, 4, 7), i(1, 4), i(3), i(3)], attention, /head widths differ/],
    [[x(3, 3, 8), x(4, 2, 4, 8), x(4, 2, 4, 8), i(1, 4), i(3), i(3)], attention, /3 query heads cannot share 2/],
    [[x(3, 2, 8), x(4, 2, 4, 8), t('f16', 4, 2, 4, 8), i(1, 4), i(3), i(3)], attention, /caches of f32 and f16/],
    [[x(3, 2, 8), t('bf16', 4, 2, 4, 8), t('bf16', 4, 2, 4, 8), i(1, 4), i(3), i(3)], attention, /caches of bf16/],
    [[x(3, 2, 8), x(4, 2, 4, 8), x(4, 2, 4, 8), i(1, 4), i(3), i(3), x(3)], attention, /sinks are f32 \(2\)/],
  ],

  random: [
    [[i(3)], { shape: [2] }, /the key is i32 \(4\)/],
    [[x(4)], { shape: [2] }, /the key is i32/],
  ],

  adamw: [
    [[x(3), x(3), x(4), x(3), x(1), x(3)], adam, /f32 tensors of one shape, not f32\(3\), f32\(3\), f32\(4\)/],
    [[t('bf16', 3), x(3), x(3), x(3), x(1), x(3)], adam, /not bf16\(3\)/],
    [[x(3), x(3), x(3), x(3), x(2), x(3)], adam, /input 4 has to be f32 \(1\), not f32\(2\)/],
    [[x(3), x(3), x(3), x(3), x(1), x(2)], adam, /input 5 has to be f32 \(3\), not f32\(2\)/],
  ],
  momentum: [
    [[x(3), x(2), x(1)], { keep: 0.9, take: 1 }, /one shape/],
    [[x(3), x(3), x(3)], { keep: 0.9, take: 1 }, /input 2 has to be f32 \(1\)/],
  ],
  descend: [[[x(3), x(3), x(1), i(1)], { factor: 1, weightDecay: 0 }, /input 3 has to be f32 \(1\), not i32\(1\)/]],
  sumSquares: [[[x(3), i(3)], {}, /works on f32, not i32/]],
  accumulate: [[[x(3), x(1, 3), x(1)], {}, /one shape, not f32\(3\), f32\(1, 3\)/]],
};

describe('refused while the graph is built', () => {
  it.each(Object.entries(refusals) as [OpName, readonly Refusal<OpName>[]][])('%s', (op, list) => {
    for (const [inputs, attrs, message] of list) {
      const build = () => apply(op, inputs, attrs);
      expect(build, `${op} of ${inputs.join(' and ')}`).toThrow(ShapeError);
      expect(build).toThrow(message);
      expect(build).toThrow(new RegExp(`^${op}: `));
    }
  });

  it('functions of several ops', () => {
    expect(() => f.constant([1, 2], [3])).toThrow(/constant: 2 numbers do not fill \(3\)/);
    expect(() => f.mean(x(n, 2))).toThrow(/mean: axis 0 is the variable n/);
    expect(() => gradients(x(2), [])).toThrow(/gradients: the loss has to be one number/);
    expect(() => gradients(f.mean(x(2)), [t('q4_0', 32)])).toThrow(/gradients: .*q4_0\(32\) cannot be learnt/);
    expect(() => gradients(f.mean(x(2)), [i(2)])).toThrow(/cannot be learnt/);
  });
});
