/**
 * The one list of op cases, with three consumers: ops_backends.test.ts compares every backend with the reference, ops_gradients.test.ts
 * compares gradients with finite differences, bench/ops.mjs measures.
 *
 * To add an op: give it an entry here (the type `OpCases` demands it) with
 * - `tolerance`: how far a compiled kernel may be from the reference; `exact` for what only moves numbers or counts;
 * - `cases`: its inputs, attributes, and odd sizes — 0 where that is legal, 1, primes, tails around vectors of 8, 16 and 32, several blocks
 *   for block types, bounded variables with several values;
 * - `learn(…)` for the inputs that have a gradient, with numbers away from kinks;
 * - `rows` when axis 0 of some inputs and of the result are rows that must not see each other: such a case also runs in batches;
 * - `bench`: sizes as a small model has them, with the floating-point operations of one run.
 */
import type { DType } from '../src/tensor/dtype.ts';
import type {
  AttentionAttrs,
  BinaryOp,
  ElementwiseInstruction,
  OpAttrs,
  OpName,
  UnaryOp,
} from '../src/tensor/ops/attrs.ts';
import { type DimBindings, DimVar, type Shape } from '../src/tensor/shape.ts';
import {
  avoiding,
  below,
  between,
  bit,
  distinct,
  type Fill,
  list,
  normal,
  scaled,
  shuffled,
  signed,
} from './op_data.ts';

export interface CaseInput {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly fill: Fill;
  /** Whether the gradient by it is checked. */
  readonly learn: boolean;
  /** Whether the op gets `quantize8` of it. */
  readonly quantized?: boolean;
}

interface CaseWith<A> {
  readonly inputs: readonly (CaseInput | null)[];
  readonly attrs: A;
  /** Values of the dimension variables, one run for each; a single run without any when absent. */
  readonly dims?: readonly DimBindings[];
  /** The inputs whose axis 0 is the axis of independent rows. */
  readonly rows?: readonly number[];
  readonly tolerance?: Tolerance;
  /** Floating-point operations of a run: for `bench`. */
  readonly flops?: number;
}

/** |result - reference| <= relative * |reference| + row * max |reference of the row| + absolute. */
export type Tolerance = { readonly relative?: number; readonly row?: number; readonly absolute?: number } | 'exact';

interface EntryWith<A> {
  readonly tolerance: Tolerance;
  readonly cases: readonly CaseWith<A>[];
  readonly bench: readonly CaseWith<A>[];
}

export type OpCase<K extends OpName> = CaseWith<OpAttrs[K]>;
export type OpEntry<K extends OpName> = EntryWith<OpAttrs[K]>;

export type OpCases = { readonly [K in OpName]: OpEntry<K> };

const given = (shape: Shape, fill: Fill = normal): CaseInput => ({ dtype: 'f32', shape, fill, learn: false });
const learn = (shape: Shape, fill: Fill = normal): CaseInput => ({ dtype: 'f32', shape, fill, learn: true });
const ids = (shape: Shape, fill: Fill): CaseInput => ({ dtype: 'i32', shape, fill, learn: false });
const weight = (dtype: DType, shape: Shape, fill: Fill = normal): CaseInput => ({ dtype, shape, fill, learn: false });
/** Activations as blocks of signed bytes. */
const bytes = (shape: Shape, fill: Fill = normal): CaseInput => ({ ...given(shape, fill), quantized: true });

const blockTypes = [
  'q4_0',
  'q4_1',
  'q5_0',
  'q5_1',
  'q8_0',
  'q2_k',
  'q3_k',
  'q4_k',
  'q5_k',
  'q6_k',
  'iq4_nl',
  'iq4_xs',
  'mxfp4',
] as const satisfies readonly DType[];
const wide: ReadonlySet<DType> = new Set(['q2_k', 'q3_k', 'q4_k', 'q5_k', 'q6_k', 'iq4_xs']);
/** Two and three blocks, so that a block boundary lies inside every row. */
const innerOf = (dtype: DType): number => (wide.has(dtype) ? 512 : 96);

const n9 = new DimVar('n', 9);
const nTo = (...values: readonly number[]): DimBindings[] => values.map((n) => ({ n }));

/** Sums of many terms of both signs: errors grow with the terms, not with the result. */
const sums: Tolerance = { row: 4e-6, absolute: 4e-6 };
const once: Tolerance = { relative: 1.2e-7, absolute: 1e-38 };

// ---------------------------------------------------------------------------------------------------------------------- element-wise

const specials = list(
  0,
  -0,
  1,
  -1,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  Number.NaN,
  1e30,
  -1e30,
  1e-30,
  88.5,
  -88.5,
  104,
  -104,
  0.5,
  -3,
  12,
);

function unary<K extends UnaryOp>(tolerance: Tolerance, fill: Fill = normal, special = true): OpEntry<K> {
  return {
    tolerance,
    cases: [
      { inputs: [learn([1], fill)], attrs: {} },
      { inputs: [learn([], fill)], attrs: {} },
      { inputs: [given([0, 5], fill)], attrs: {} },
      { inputs: [learn([7], fill)], attrs: {} },
      { inputs: [learn([3, 33], fill)], attrs: {}, rows: [0] },
      { inputs: [learn([2, 3, 31], fill)], attrs: {} },
      { inputs: [given([2, 1031], fill)], attrs: {} },
      { inputs: [given([n9, 5], fill)], attrs: {}, dims: nTo(9, 1, 0, 4) },
      ...(special ? [{ inputs: [given([17], specials)], attrs: {} }] : []),
      { inputs: [given([513], (i, u, shape) => 30 * fill(i, u, shape))], attrs: {} },
    ],
    bench: [{ inputs: [given([512, 1536], fill)], attrs: {}, flops: 512 * 1536 }],
  };
}

function binary<K extends BinaryOp>(tolerance: Tolerance, a: Fill = normal, b: Fill = normal): OpEntry<K> {
  const pair = (left: Shape, right: Shape) => ({ inputs: [learn(left, a), learn(right, b)], attrs: {} });
  return {
    tolerance,
    cases: [
      { ...pair([3, 17], [3, 17]), rows: [0, 1] },
      { ...pair([3, 17], [17]), rows: [0] },
      pair([4, 1], [1, 5]),
      pair([2, 3, 4], [1]),
      pair([1], [3, 31]),
      pair([], [5]),
      pair([], []),
      pair([2, 1, 5], [2, 3, 1]),
      pair([2, 1, 3, 1, 2], [3, 1, 4, 1]),
      pair([1, 7], [5, 7]),
      { inputs: [given([0, 4], a), given([4], b)], attrs: {} },
      { inputs: [given([5, 263], a), given([263], b)], attrs: {} },
      { inputs: [given([67, 9], a), given([67, 1], b)], attrs: {} },
      { inputs: [given([n9, 8], a), given([8], b)], attrs: {}, dims: nTo(0, 1, 5, 9) },
      { inputs: [given([3, n9, 2], a), given([n9, 1], b)], attrs: {}, dims: nTo(1, 5, 9) },
      { inputs: [given([17], specials), given([17, 1], specials)], attrs: {} },
    ],
    bench: [
      { inputs: [given([512, 576], a), given([512, 576], b)], attrs: {}, flops: 512 * 576 },
      { inputs: [given([512, 576], a), given([576], b)], attrs: {}, flops: 512 * 576 },
    ],
  };
}

/** Numbers that stay apart from those of `normal` with overwhelming chance, and from each other's kinks. */
const apart: Fill = (i, u, shape) => normal(i, (stream) => u(stream + 5), shape) + (u(9) < 0.5 ? 3 : -3);

const swiglu: readonly ElementwiseInstruction[] = [
  { op: 'silu', operands: [0] },
  { op: 'mul', operands: [2, 1] },
];
/** Everything at once, with results used several times. */
const mixture: readonly ElementwiseInstruction[] = [
  { op: 'add', operands: [0, 1] }, // 3
  { op: 'clamp', operands: [3], scalars: [-1, 1.5] }, // 4
  { op: 'greater', operands: [3, 4] }, // 5
  { op: 'affine', operands: [4], scalars: [0.5, -2] }, // 6
  { op: 'where', operands: [5, 6, 3] }, // 7
  { op: 'tanh', operands: [7] }, // 8
  { op: 'mul', operands: [8, 8] }, // 9
  { op: 'sub', operands: [9, 2] }, // 10
  { op: 'maximum', operands: [10, 3] }, // 11
  { op: 'gelu', operands: [11] }, // 12
];
const longest: readonly ElementwiseInstruction[] = Array.from({ length: 24 }, (_, i) =>
  i === 0 ? { op: 'square', operands: [0] } : { op: 'affine', operands: [i], scalars: [i % 2 ? 0.5 : 2, 0.25] },
);
const twelve: readonly ElementwiseInstruction[] = Array.from({ length: 11 }, (_, i) => ({
  op: i % 3 === 2 ? ('mul' as const) : ('add' as const),
  operands: [i === 0 ? 0 : 11 + i, i + 1],
}));

/** The second moments are positive; rates are those of step 3. */
const adamwCase = (shape: readonly number[], scale: number): OpCase<'adamw'> => ({
  inputs: [
    given(shape),
    given(shape),
    given(shape, (i, u, of) => 0.01 + Math.abs(normal(i, u, of))),
    given(shape),
    given([1], list(scale)),
    given([3], list(0.01, 1 - 0.9 ** 3, 1 - 0.95 ** 3)),
  ],
  attrs: { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 },
});
/** Two roundings of numbers near 1. */
const once2: Tolerance = { relative: 2e-7, absolute: 2e-7 };

// --------------------------------------------------------------------------------------------------------------------------- matrices

function matmulCase(
  [m, k, n]: readonly [number, number, number],
  options: {
    lead?: readonly number[];
    both?: boolean;
    ta?: boolean;
    tb?: boolean;
    bias?: boolean;
    residual?: boolean;
  } = {},
): OpCase<'matmul'> {
  const { lead = [], both = false, ta = false, tb = false, bias = false, residual = false } = options;
  const inputs: (CaseInput | null)[] = [
    learn([...lead, ...(ta ? [k, m] : [m, k])]),
    learn([...(both ? lead : []), ...(tb ? [n, k] : [k, n])]),
  ];
  if (bias || residual) inputs.push(bias ? learn([n]) : null);
  if (residual) inputs.push(learn([...lead, m, n]));
  const rows = both || ta || lead.length > 0 ? undefined : residual ? [0, 3] : [0];
  return { inputs, attrs: { transposeA: ta, transposeB: tb }, rows };
}

/** x (rows, K) times weights (columns, K) of a type, with float and with byte activations. */
function weightCases(dtype: DType): OpCase<'matmul'>[] {
  const k = innerOf(dtype);
  const attrs = { transposeA: false, transposeB: true };
  const isBlock = dtype !== 'f16' && dtype !== 'bf16';
  const inner = isBlock ? [k] : [k, 1, 7, 35];
  const cases: OpCase<'matmul'>[] = inner.flatMap((K) => [
    { inputs: [learn([1, K]), weight(dtype, [5, K])], attrs },
    { inputs: [learn([3, K]), weight(dtype, [33, K])], attrs, rows: [0] },
    { inputs: [given([2, 9, K]), weight(dtype, [16, K]), given([16])], attrs },
  ]);
  cases.push({
    inputs: [given([n9, k]), weight(dtype, [7, k]), null, given([n9, 7])],
    attrs,
    dims: nTo(9, 0, 1, 6),
  });
  if (isBlock) {
    cases.push(
      { inputs: [bytes([1, k]), weight(dtype, [5, k])], attrs },
      { inputs: [bytes([5, k]), weight(dtype, [33, k]), given([33])], attrs, rows: [0] },
      { inputs: [bytes([3, k], scaled(40)), weight(dtype, [1, k])], attrs },
      { inputs: [bytes([n9, k]), weight(dtype, [18, k])], attrs, dims: nTo(9, 0, 1, 6) },
    );
  }
  return cases;
}

function expertCases(dtype: DType): OpCase<'expertMatmul'>[] {
  const k = innerOf(dtype);
  const attrs = { transposeB: true };
  const choice = ids([5, 2], distinct(4));
  const cases: OpCase<'expertMatmul'>[] = [
    { inputs: [learn([5, k]), weight(dtype, [4, 7, k]), choice], attrs, rows: [0, 2] },
    { inputs: [given([5, 2, k]), weight(dtype, [4, 3, k]), choice], attrs, rows: [0, 2] },
  ];
  if (dtype !== 'f16' && dtype !== 'bf16') {
    cases.push(
      { inputs: [bytes([5, k]), weight(dtype, [4, 7, k]), choice], attrs, rows: [0, 2] },
      { inputs: [bytes([5, 2, k]), weight(dtype, [4, 9, k]), choice], attrs, rows: [0, 2] },
    );
  }
  return cases;
}

// -------------------------------------------------------------------------------------------------------------------------- attention

interface AttentionShape {
  readonly b: number;
  readonly t: number;
  readonly s: number;
  readonly h: number;
  readonly g: number;
  readonly d: number;
}
const plain = { scale: 0.5, window: 0, softcap: 0 } as const satisfies AttentionAttrs;

function attentionInputs({ b, t, s, h, g, d }: AttentionShape, sinks: boolean, one = learn): (CaseInput | null)[] {
  return [one([b, t, h, d]), one([b, s, g, d]), one([b, s, g, d]), ...(sinks ? [one([h])] : [])];
}
const attentionShapes: readonly (readonly [AttentionShape, boolean, AttentionAttrs])[] = [
  [{ b: 1, t: 1, s: 1, h: 1, g: 1, d: 1 }, false, plain],
  [{ b: 2, t: 5, s: 5, h: 2, g: 2, d: 3 }, false, plain],
  [{ b: 1, t: 7, s: 7, h: 4, g: 2, d: 8 }, true, plain],
  [{ b: 2, t: 3, s: 11, h: 6, g: 2, d: 5 }, true, { scale: 0.4, window: 4, softcap: 0 }],
  [{ b: 1, t: 9, s: 9, h: 3, g: 1, d: 4 }, false, { scale: 0.4, window: 3, softcap: 2 }],
  [{ b: 1, t: 4, s: 20, h: 2, g: 1, d: 16 }, true, { scale: 0.25, window: 1, softcap: 5 }],
];
/** Larger, without gradients: heads wider than a vector, keys past a tile. */
const attentionLarge: readonly (readonly [AttentionShape, boolean, AttentionAttrs])[] = [
  [{ b: 1, t: 70, s: 70, h: 3, g: 3, d: 33 }, false, { ...plain, scale: 0.2 }],
  [{ b: 2, t: 17, s: 131, h: 4, g: 1, d: 64 }, true, { scale: 0.125, window: 37, softcap: 30 }],
];

/** For the gradient: several blocks of queries, and keys too many for a thread's memory. */
const attentionBlocks: readonly (readonly [AttentionShape, boolean, AttentionAttrs])[] = [
  [{ b: 2, t: 97, s: 97, h: 2, g: 2, d: 16 }, false, { scale: 0.25, window: 0, softcap: 0 }],
  [{ b: 1, t: 150, s: 153, h: 4, g: 1, d: 20 }, true, { scale: 0.2, window: 37, softcap: 3 }],
  [{ b: 1, t: 3, s: 2600, h: 1, g: 1, d: 128 }, true, { scale: 0.1, window: 0, softcap: 0 }],
];

/** Dense attention inside documents, and with weights dropped: small, in several blocks, and in sequences too long for tiles. */
function denseCases(one: typeof learn): [(CaseInput | null)[], OpAttrs['attention']][] {
  const key = ids([4], list(3, 1, 4, 1));
  const documents = ({ b, t }: AttentionShape, length: number, ahead = 0) =>
    ids([b, t], (i) => ahead + Math.floor(((i % t) + Math.floor(i / t) * 3) / length) * length - Math.floor(i / t) * 3);
  const inputs = (shape: AttentionShape, sinks: boolean, firstKey: CaseInput | null, random: CaseInput | null) => [
    ...attentionInputs(shape, sinks, shape.t > 20 ? given : one),
    ...(sinks ? [] : [null]),
    firstKey,
    random,
  ];
  const small = { b: 2, t: 9, s: 9, h: 4, g: 2, d: 5 };
  const more = { b: 2, t: 5, s: 14, h: 2, g: 1, d: 8 };
  const blocks = { b: 2, t: 150, s: 150, h: 2, g: 1, d: 20 };
  const long = { b: 1, t: 70, s: 2600, h: 2, g: 1, d: 128 };
  return [
    [inputs(small, false, documents(small, 4), null), plain],
    [inputs(small, true, documents(small, 3), null), { scale: 0.4, window: 3, softcap: 2 }],
    // first keys in no order, before the first key and after the last that is seen
    [inputs(small, false, ids([2, 9], list(0, -7, 2, 1, 4, 9, 3, 40, 2)), null), plain],
    [inputs(more, true, documents(more, 2, 9), null), { ...plain, window: 6 }],
    [inputs(small, false, null, key), { ...plain, dropout: 0.3 }],
    [inputs(small, true, documents(small, 5), key), { scale: 0.4, window: 4, softcap: 2, dropout: 0.5 }],
    [inputs(more, true, null, key), { ...plain, dropout: 0.75 }],
    [inputs(small, false, null, key), plain],
    [inputs(blocks, false, documents(blocks, 37), null), plain],
    [
      inputs(
        blocks,
        false,
        ids([2, 150], (i) => (i * 53) % 150),
        null,
      ),
      { ...plain, scale: 0.2 },
    ],
    [inputs(blocks, true, documents(blocks, 61), key), { scale: 0.2, window: 50, softcap: 3, dropout: 0.1 }],
    [inputs(blocks, false, null, key), { ...plain, scale: 0.2, dropout: 0.2 }],
    [inputs(long, true, documents(long, 33, 2530), null), { ...plain, scale: 0.1 }],
    [inputs(long, false, null, key), { ...plain, scale: 0.1, softcap: 4, dropout: 0.25 }],
  ];
}

const [pages, pageSize, longestTable] = [13, 4, 5];

function pagedCase(
  { h, g, d, sinks = false, cache = 'f32' }: { h: number; g: number; d: number; sinks?: boolean; cache?: DType },
  attrs: AttentionAttrs,
): OpCase<'pagedAttention'> {
  return {
    inputs: [
      given([6, h, d]),
      weight(cache, [pages, g, pageSize, d]),
      weight(cache, [pages, g, pageSize, d]),
      ids([2, longestTable], list(...shuffled(pages, 5).slice(0, 2 * longestTable))),
      ids([6], list(0, 1, 1, 0, 1, 0)),
      ids([6], list(0, 19, 7, 3, 8, 12)),
      ...(sinks ? [given([h])] : []),
    ],
    attrs,
    rows: [0, 4, 5],
  };
}

const ropeFrequencies: Fill = (i, _u, [half]) => 10000 ** (-i / half);
const angles = (shape: Shape): CaseInput => given(shape, (i, _u, [, r]) => table(i, r ?? 1));
/** Cosines and sines of one angle, so that rotations keep lengths. */
const table = (i: number, width: number): number => {
  const [row, column] = [Math.floor(i / width), i % width];
  const half = width / 2;
  const angle = row * 0.7 + (column % half) * 0.3 + 0.1;
  return column < half ? Math.cos(angle) : Math.sin(angle);
};

// --------------------------------------------------------------------------------------------------------------------------- the list

const away = avoiding([0]);
const positive = between(0.3, 4);

export const opCases: OpCases = {
  neg: unary('exact'),
  exp: unary({ relative: 2e-6, absolute: 1e-37 }),
  log: unary({ relative: 1e-6, absolute: 2e-7 }, positive),
  sqrt: unary(once, positive),
  rsqrt: unary({ relative: 3e-7 }, positive),
  reciprocal: unary(once, signed(0.3, 3)),
  abs: unary('exact', away),
  square: unary(once),
  tanh: unary({ relative: 2e-6, absolute: 1e-30 }),
  sigmoid: unary({ relative: 2e-6, absolute: 1e-37 }),
  relu: unary('exact', away),
  erf: unary({ relative: 2e-6, absolute: 1e-30 }),
  gelu: unary({ relative: 3e-6, absolute: 3e-7 }),
  geluTanh: unary({ relative: 3e-6, absolute: 3e-7 }),
  silu: unary({ relative: 2e-6, absolute: 1e-36 }),

  add: binary(once),
  sub: binary(once),
  mul: binary(once),
  div: binary(once, normal, signed(0.3, 3)),
  maximum: binary('exact', normal, apart),
  minimum: binary('exact', normal, apart),
  greater: binary('exact', normal, apart),

  affine: {
    tolerance: { relative: 3e-7, absolute: 3e-7 },
    cases: [
      { inputs: [learn([1])], attrs: { scale: 2, shift: 0 } },
      { inputs: [learn([])], attrs: { scale: -1.5, shift: 4 } },
      { inputs: [learn([3, 33])], attrs: { scale: 0.1, shift: -7.3 }, rows: [0] },
      { inputs: [learn([17])], attrs: { scale: 0, shift: 1 } },
      { inputs: [given([n9, 31])], attrs: { scale: -2, shift: 0.5 }, dims: nTo(0, 1, 9) },
      { inputs: [given([17], specials)], attrs: { scale: 3, shift: Number.NEGATIVE_INFINITY } },
      { inputs: [given([1031])], attrs: { scale: 1 / 3, shift: 1e-3 } },
    ],
    bench: [{ inputs: [given([512, 1536])], attrs: { scale: 0.5, shift: 1 }, flops: 2 * 512 * 1536 }],
  },
  clamp: {
    tolerance: 'exact',
    cases: [
      { inputs: [learn([5, 31], avoiding([-1, 0.5]))], attrs: { min: -1, max: 0.5 }, rows: [0] },
      { inputs: [learn([], avoiding([-1, 0.5]))], attrs: { min: -1, max: 0.5 } },
      { inputs: [learn([13], away)], attrs: { min: 0, max: Number.POSITIVE_INFINITY } },
      { inputs: [given([17], specials)], attrs: { min: -2, max: 3 } },
      { inputs: [given([n9])], attrs: { min: 0, max: 1 }, dims: nTo(0, 1, 9) },
    ],
    bench: [{ inputs: [given([512, 1536])], attrs: { min: -7, max: 7 }, flops: 512 * 1536 }],
  },
  where: {
    tolerance: 'exact',
    cases: [
      { inputs: [given([3, 17], bit), learn([3, 17]), learn([3, 17])], attrs: {}, rows: [0, 1, 2] },
      { inputs: [given([3, 17], bit), learn([17]), learn([1])], attrs: {}, rows: [0] },
      { inputs: [given([4, 1], bit), learn([1, 5]), learn([4, 5])], attrs: {} },
      { inputs: [given([]), learn([]), learn([3])], attrs: {} },
      { inputs: [given([17], specials), given([17], specials), given([1], specials)], attrs: {} },
      { inputs: [given([n9, 1], bit), given([n9, 33]), given([33])], attrs: {}, dims: nTo(0, 1, 7) },
    ],
    bench: [{ inputs: [given([512, 576], bit), given([512, 576]), given([512, 576])], attrs: {}, flops: 512 * 576 }],
  },
  fused: {
    tolerance: { relative: 6e-6, absolute: 3e-6 },
    cases: [
      { inputs: [given([3, 31]), given([3, 31])], attrs: { program: swiglu }, rows: [0, 1] },
      { inputs: [given([5, 67]), given([67]), given([5, 1])], attrs: { program: mixture }, rows: [0, 2] },
      { inputs: [given([1]), given([2, 1, 8]), given([3, 1])], attrs: { program: mixture } },
      { inputs: [given([n9, 40]), given([40]), given([1])], attrs: { program: mixture }, dims: nTo(0, 1, 8, 9) },
      { inputs: [given([70], scaled(0.1))], attrs: { program: longest } },
      {
        inputs: Array.from({ length: 12 }, (_, i) => given(i % 2 ? [3, 11] : [11])),
        attrs: { program: twelve },
      },
      { inputs: [given([0, 3]), given([3])], attrs: { program: swiglu } },
    ],
    bench: [
      { inputs: [given([512, 1536]), given([512, 1536])], attrs: { program: swiglu }, flops: 2 * 512 * 1536 },
      { inputs: [given([1, 1536]), given([1, 1536])], attrs: { program: swiglu }, flops: 2 * 1536 },
    ],
  },
  cast: {
    tolerance: 'exact',
    cases: [
      { inputs: [given([3, 33])], attrs: { dtype: 'f16' } },
      { inputs: [given([3, 33])], attrs: { dtype: 'bf16' } },
      {
        // halves of a unit in the last place, subnormals, the largest half and what is beyond
        inputs: [
          given(
            [14],
            list(
              1.00048828125,
              1.00146484375,
              65504,
              65519,
              65520,
              1e-8,
              5.97e-8,
              6.1e-5,
              -0,
              3e-8,
              -70000,
              0,
              2049,
              2051,
            ),
          ),
        ],
        attrs: { dtype: 'f16' },
      },
      {
        inputs: [given([8], list(1.00390625, 1.01171875, 3.4e38, -0, 1e-40, 257, 259, Number.POSITIVE_INFINITY))],
        attrs: { dtype: 'bf16' },
      },
      { inputs: [ids([4, 5], below(1000))], attrs: { dtype: 'f32' } },
      { inputs: [ids([5], list(16777217, 16777219, -16777217, 2147483647, -2147483648))], attrs: { dtype: 'f32' } },
      { inputs: [weight('f16', [3, 37])], attrs: { dtype: 'f32' } },
      { inputs: [weight('bf16', [3, 37])], attrs: { dtype: 'f32' } },
      { inputs: [weight('f16', [37])], attrs: { dtype: 'bf16' } },
      { inputs: [weight('bf16', [37])], attrs: { dtype: 'f16' } },
      ...blockTypes.map((dtype) => ({
        inputs: [weight(dtype, [3, innerOf(dtype)])],
        attrs: { dtype: 'f32' as const },
      })),
      { inputs: [given([n9, 3])], attrs: { dtype: 'f16' }, dims: nTo(0, 1, 9) },
    ],
    bench: [
      { inputs: [given([512, 1536])], attrs: { dtype: 'bf16' } },
      { inputs: [weight('q4_0', [576, 1536])], attrs: { dtype: 'f32' } },
    ],
  },

  reshape: {
    tolerance: 'exact',
    cases: [
      { inputs: [learn([3, 4])], attrs: { shape: [2, 6] } },
      { inputs: [learn([1])], attrs: { shape: [] } },
      { inputs: [learn([2, 3, 4])], attrs: { shape: [24] } },
      { inputs: [ids([6], below(9))], attrs: { shape: [3, 2] } },
      { inputs: [given([n9, 6])], attrs: { shape: [n9, 2, 3] }, dims: nTo(0, 1, 9) },
      { inputs: [given([0, 4])], attrs: { shape: [4, 0] } },
    ],
    bench: [],
  },
  hold: {
    tolerance: 'exact',
    cases: [
      { inputs: [learn([3, 5]), given([2])], attrs: {} },
      { inputs: [given([n9, 5]), given([1])], attrs: {}, dims: nTo(0, 9) },
    ],
    bench: [],
  },
  permute: {
    tolerance: 'exact',
    cases: [
      { inputs: [learn([5])], attrs: { axes: [0] } },
      { inputs: [learn([3, 7])], attrs: { axes: [1, 0] } },
      { inputs: [learn([33, 65])], attrs: { axes: [1, 0] } },
      { inputs: [learn([2, 3, 5, 4])], attrs: { axes: [0, 2, 1, 3] } },
      { inputs: [given([3, 2, 4, 2, 5])], attrs: { axes: [4, 2, 0, 3, 1] } },
      { inputs: [ids([4, 3, 2], below(99))], attrs: { axes: [2, 0, 1] } },
      { inputs: [given([0, 3])], attrs: { axes: [1, 0] } },
      { inputs: [given([n9, 3, 4])], attrs: { axes: [1, 0, 2] }, dims: nTo(0, 1, 9) },
      { inputs: [given([2, n9, 4])], attrs: { axes: [2, 0, 1] }, dims: nTo(1, 5, 9) },
      { inputs: [given([3, 2, n9])], attrs: { axes: [2, 1, 0] }, dims: nTo(1, 5, 9) },
    ],
    bench: [{ inputs: [given([512, 9, 64])], attrs: { axes: [1, 0, 2] } }],
  },
  slice: {
    tolerance: 'exact',
    cases: [
      { inputs: [learn([7])], attrs: { axis: 0, start: 2, end: 6 } },
      { inputs: [learn([5, 6])], attrs: { axis: 0, start: 1, end: 4 } },
      { inputs: [learn([3, 9])], attrs: { axis: 1, start: 4, end: 9 }, rows: [0] },
      { inputs: [learn([2, 5, 3])], attrs: { axis: 1, start: 1, end: 3 } },
      { inputs: [given([2, 5])], attrs: { axis: 1, start: 2, end: 2 } },
      { inputs: [ids([4, 6], below(50))], attrs: { axis: 1, start: 3, end: 6 } },
      { inputs: [given([n9, 8])], attrs: { axis: 1, start: 3, end: 8 }, dims: nTo(0, 1, 9) },
      { inputs: [given([2, n9, 6])], attrs: { axis: 2, start: 1, end: 4 }, dims: nTo(0, 1, 9) },
    ],
    bench: [{ inputs: [given([512, 1728])], attrs: { axis: 1, start: 576, end: 1152 } }],
  },
  pad: {
    tolerance: 'exact',
    cases: [
      { inputs: [learn([3])], attrs: { axis: 0, before: 2, after: 1 } },
      { inputs: [learn([3, 5])], attrs: { axis: 1, before: 0, after: 4 }, rows: [0] },
      { inputs: [learn([2, 3, 4])], attrs: { axis: 1, before: 1, after: 2 } },
      { inputs: [given([2, 0])], attrs: { axis: 1, before: 1, after: 2 } },
      { inputs: [ids([4, 3], below(50))], attrs: { axis: 0, before: 1, after: 0 } },
      { inputs: [given([n9, 8])], attrs: { axis: 1, before: 3, after: 8 }, dims: nTo(0, 1, 9) },
    ],
    bench: [{ inputs: [given([512, 576])], attrs: { axis: 1, before: 64, after: 64 } }],
  },
  concat: {
    tolerance: 'exact',
    cases: [
      { inputs: [learn([3])], attrs: { axis: 0 } },
      { inputs: [learn([3]), learn([5])], attrs: { axis: 0 } },
      { inputs: [learn([2, 3]), learn([2, 1]), learn([2, 9])], attrs: { axis: 1 }, rows: [0, 1, 2] },
      { inputs: [learn([2, 3, 4]), learn([2, 2, 4])], attrs: { axis: 1 } },
      { inputs: [ids([2, 3], below(9)), ids([1, 3], below(9))], attrs: { axis: 0 } },
      { inputs: [given([2, 0]), given([2, 3])], attrs: { axis: 1 } },
      { inputs: [given([n9, 3]), given([n9, 5])], attrs: { axis: 1 }, dims: nTo(0, 1, 9) },
      { inputs: Array.from({ length: 16 }, (_, i) => given([2, i])), attrs: { axis: 1 } },
    ],
    bench: [{ inputs: [given([512, 64]), given([512, 512])], attrs: { axis: 1 } }],
  },
  broadcastTo: {
    tolerance: 'exact',
    cases: [
      { inputs: [learn([1])], attrs: { shape: [7] } },
      { inputs: [learn([])], attrs: { shape: [2, 3] } },
      { inputs: [learn([5])], attrs: { shape: [3, 5] } },
      { inputs: [learn([3, 1])], attrs: { shape: [3, 33] } },
      { inputs: [learn([2, 1, 3, 1])], attrs: { shape: [2, 4, 3, 2] } },
      { inputs: [learn([2, 1, 3])], attrs: { shape: [4, 2, 2, 3] } },
      { inputs: [ids([3, 1], below(9))], attrs: { shape: [3, 4] } },
      { inputs: [given([1, 6])], attrs: { shape: [n9, 6] }, dims: nTo(0, 1, 9) },
      { inputs: [given([n9, 1])], attrs: { shape: [n9, 5] }, dims: nTo(0, 1, 9) },
    ],
    bench: [{ inputs: [given([1, 576])], attrs: { shape: [512, 576] } }],
  },

  sum: {
    tolerance: sums,
    cases: [
      { inputs: [learn([1])], attrs: { from: 0, to: 1 } },
      { inputs: [learn([3, 0])], attrs: { from: 1, to: 2 } },
      ...[7, 8, 9, 31, 65, 1000].map((n) => ({ inputs: [learn([3, n])], attrs: { from: 1, to: 2 }, rows: [0] })),
      { inputs: [given([2, 4099])], attrs: { from: 1, to: 2 } },
      { inputs: [learn([37, 5])], attrs: { from: 0, to: 1 } },
      { inputs: [given([300, 70])], attrs: { from: 0, to: 1 } },
      { inputs: [learn([3, 5, 7])], attrs: { from: 1, to: 2 } },
      { inputs: [learn([3, 5, 7])], attrs: { from: 0, to: 3 } },
      { inputs: [learn([3, 5, 7, 2])], attrs: { from: 1, to: 3 } },
      { inputs: [given([n9, 12])], attrs: { from: 0, to: 1 }, dims: nTo(0, 1, 9) },
      { inputs: [given([n9, 12])], attrs: { from: 1, to: 2 }, dims: nTo(0, 1, 9) },
    ],
    bench: [
      { inputs: [given([512, 576])], attrs: { from: 1, to: 2 }, flops: 512 * 576 },
      { inputs: [given([512, 576])], attrs: { from: 0, to: 1 }, flops: 512 * 576 },
    ],
  },
  max: {
    tolerance: 'exact',
    cases: [
      { inputs: [given([1])], attrs: {} },
      ...[7, 8, 33, 1000].map((n) => ({ inputs: [given([3, n])], attrs: {}, rows: [0] })),
      { inputs: [given([2, 3, 17], scaled(1, -50))], attrs: {} },
      { inputs: [given([2, 5], list(Number.NEGATIVE_INFINITY))], attrs: {} },
      { inputs: [given([n9, 12])], attrs: {}, dims: nTo(0, 1, 9) },
    ],
    bench: [{ inputs: [given([512, 576])], attrs: {}, flops: 512 * 576 }],
  },
  softmax: {
    tolerance: { relative: 1e-5, absolute: 1e-37 },
    cases: [
      { inputs: [learn([1])], attrs: {} },
      { inputs: [learn([3, 1])], attrs: {} },
      ...[2, 5, 8, 33].map((n) => ({ inputs: [learn([3, n])], attrs: {}, rows: [0] })),
      { inputs: [learn([2, 3, 17])], attrs: {} },
      { inputs: [given([5, 1003], scaled(8))], attrs: {} },
      { inputs: [given([2, 0])], attrs: {} },
      { inputs: [given([2, 6], list(1, Number.NEGATIVE_INFINITY, 3, 4, Number.NEGATIVE_INFINITY, 100))], attrs: {} },
      { inputs: [given([2, 19], list(Number.NEGATIVE_INFINITY))], attrs: {} },
      { inputs: [given([2, 9], list(80000, 79999, -80000))], attrs: {} },
      { inputs: [given([n9, 12])], attrs: {}, dims: nTo(0, 1, 9) },
    ],
    bench: [{ inputs: [given([64, 49152])], attrs: {}, flops: 64 * 49152 }],
  },
  logSoftmax: {
    tolerance: { relative: 1e-6, absolute: 3e-6 },
    cases: [
      { inputs: [learn([1])], attrs: {} },
      ...[2, 5, 8, 33].map((n) => ({ inputs: [learn([3, n])], attrs: {}, rows: [0] })),
      { inputs: [learn([2, 3, 17])], attrs: {} },
      { inputs: [given([5, 1003], scaled(8))], attrs: {} },
      { inputs: [given([2, 6], list(1, Number.NEGATIVE_INFINITY, 3, 4, Number.NEGATIVE_INFINITY, 100))], attrs: {} },
      { inputs: [given([2, 9], list(80000, 79999, -80000))], attrs: {} },
      { inputs: [given([n9, 12])], attrs: {}, dims: nTo(0, 1, 9) },
    ],
    bench: [{ inputs: [given([64, 49152])], attrs: {}, flops: 64 * 49152 }],
  },
  normalize: {
    tolerance: { relative: 2e-6, row: 2e-6, absolute: 1e-6 },
    cases: (['layer', 'rms'] as const).flatMap((kind): OpCase<'normalize'>[] => {
      const attrs = { kind, eps: 1e-5, weightOffset: 0 };
      return [
        { inputs: [learn([3, 5])], attrs, rows: [0] },
        { inputs: [learn([3, 33]), learn([33])], attrs, rows: [0] },
        { inputs: [learn([2, 2, 16]), learn([16]), learn([16])], attrs },
        { inputs: [learn([4, 7]), null, learn([7])], attrs, rows: [0] },
        { inputs: [learn([4, 64]), learn([64]), learn([64])], attrs: { ...attrs, weightOffset: 1 }, rows: [0] },
        { inputs: [given([2, 1]), given([1])], attrs },
        {
          inputs: [given([3, 1000], scaled(1, kind === 'layer' ? 30 : 0)), given([1000])],
          attrs,
          tolerance: { row: 2e-5 },
        },
        { inputs: [given([3, 8], list(0)), given([8])], attrs: { ...attrs, eps: 1e-6 } },
        { inputs: [given([n9, 40]), given([40])], attrs, dims: nTo(0, 1, 9) },
      ];
    }),
    bench: [
      {
        inputs: [given([512, 576]), given([576])],
        attrs: { kind: 'rms', eps: 1e-5, weightOffset: 0 },
        flops: 4 * 512 * 576,
      },
      { inputs: [given([1, 576]), given([576])], attrs: { kind: 'rms', eps: 1e-5, weightOffset: 0 }, flops: 4 * 576 },
    ],
  },
  normalizeGrad: {
    tolerance: { relative: 2e-6, row: 6e-6, absolute: 3e-6 },
    cases: (['layer', 'rms'] as const).flatMap((kind): OpCase<'normalizeGrad'>[] => {
      const attrs = { kind, eps: 1e-5 };
      return [
        { inputs: [given([3, 5]), given([3, 5])], attrs, rows: [0, 1] },
        { inputs: [given([2, 3, 33]), given([2, 3, 33])], attrs },
        { inputs: [given([2, 1000]), given([2, 1000])], attrs },
        { inputs: [given([n9, 17]), given([n9, 17])], attrs, dims: nTo(0, 1, 9) },
      ];
    }),
    bench: [
      { inputs: [given([512, 576]), given([512, 576])], attrs: { kind: 'rms', eps: 1e-5 }, flops: 8 * 512 * 576 },
    ],
  },

  matmul: {
    tolerance: sums,
    cases: [
      matmulCase([1, 1, 1]),
      matmulCase([1, 7, 5]),
      matmulCase([3, 5, 7], { tb: true }),
      matmulCase([17, 33, 65]),
      matmulCase([17, 33, 65], { tb: true }),
      matmulCase([17, 33, 65], { ta: true }),
      matmulCase([6, 9, 31], { ta: true, tb: true }),
      matmulCase([64, 31, 129], { tb: true }),
      matmulCase([2, 259, 16], { tb: true }),
      matmulCase([13, 300, 48]),
      matmulCase([3, 4, 5], { lead: [2, 3] }),
      matmulCase([3, 4, 5], { lead: [2, 3], tb: true, bias: true }),
      matmulCase([3, 4, 5], { lead: [2], both: true }),
      matmulCase([7, 9, 4], { lead: [2, 2], both: true, tb: true }),
      matmulCase([7, 9, 4], { lead: [3], both: true, ta: true }),
      matmulCase([7, 9, 4], { lead: [3], both: true, ta: true, tb: true, residual: true }),
      matmulCase([5, 8, 6], { bias: true }),
      matmulCase([5, 8, 33], { tb: true, bias: true }),
      matmulCase([5, 8, 6], { residual: true }),
      matmulCase([9, 40, 17], { tb: true, bias: true, residual: true }),
      matmulCase([4, 0, 3], { tb: true, bias: true }),
      matmulCase([0, 4, 3], { tb: true }),
      matmulCase([4, 3, 0]),
      {
        inputs: [given([n9, 40]), given([33, 40]), given([33]), given([n9, 33])],
        attrs: { transposeA: false, transposeB: true },
        dims: nTo(9, 0, 1, 8),
      },
      {
        inputs: [given([2, n9, 7]), given([7, 5])],
        attrs: { transposeA: false, transposeB: false },
        dims: nTo(0, 1, 9),
      },
      { inputs: [given([12, n9]), given([12, 7])], attrs: { transposeA: true, transposeB: false }, dims: nTo(1, 9) },
      ...(['f16', 'bf16', ...blockTypes] as const).flatMap(weightCases),
    ],
    bench: [
      ...[1, 8, 512].flatMap((m) =>
        (['f32', 'bf16', 'q4_0', 'q8_0', 'q4_k', 'q6_k'] as const).map((dtype): OpCase<'matmul'> => {
          const k = 1536;
          return {
            inputs: [given([m, k]), weight(dtype, [576, k])],
            attrs: { transposeA: false, transposeB: true },
            flops: 2 * m * k * 576,
          };
        }),
      ),
      ...[1, 8, 512].flatMap((m) =>
        (['q4_0', 'q4_1', 'q8_0', 'q4_k', 'q6_k'] as const).map(
          (dtype): OpCase<'matmul'> => ({
            inputs: [bytes([m, 1536]), weight(dtype, [576, 1536])],
            attrs: { transposeA: false, transposeB: true },
            flops: 2 * m * 1536 * 576,
          }),
        ),
      ),
      ...[1024, 2048].map(
        (n): OpCase<'matmul'> => ({
          inputs: [given([n, n]), given([n, n])],
          attrs: { transposeA: false, transposeB: false },
          flops: 2 * n ** 3,
        }),
      ),
    ],
  },
  quantize8: {
    tolerance: 'exact',
    cases: [
      { inputs: [given([1, 32])], attrs: {} },
      { inputs: [given([5, 96], scaled(20))], attrs: {}, rows: [0] },
      { inputs: [given([2, 3, 64])], attrs: {} },
      { inputs: [given([2, 64], list(0))], attrs: {} },
      { inputs: [given([1, 64], list(127, 0.5, -0.5, 1.5, -1.5, 2.5))], attrs: {} },
      { inputs: [given([n9, 64])], attrs: {}, dims: nTo(0, 1, 9) },
    ],
    bench: [{ inputs: [given([512, 1536])], attrs: {} }],
  },
  expertMatmul: {
    tolerance: sums,
    cases: [
      {
        inputs: [learn([5, 7]), learn([4, 6, 7]), ids([5, 2], distinct(4))],
        attrs: { transposeB: true },
        rows: [0, 2],
      },
      {
        inputs: [learn([5, 7]), learn([4, 7, 6]), ids([5, 2], distinct(4))],
        attrs: { transposeB: false },
        rows: [0, 2],
      },
      {
        inputs: [learn([3, 2, 9]), learn([3, 5, 9]), ids([3, 2], below(3))],
        attrs: { transposeB: true },
        rows: [0, 2],
      },
      {
        inputs: [learn([3, 2, 9]), learn([3, 9, 5]), ids([3, 2], below(3))],
        attrs: { transposeB: false },
        rows: [0, 2],
      },
      { inputs: [learn([1, 33]), learn([1, 17, 33]), ids([1, 1], list(0))], attrs: { transposeB: true } },
      {
        inputs: [given([40, 33]), given([3, 17, 33]), ids([40, 2], below(3))],
        attrs: { transposeB: true },
        rows: [0, 2],
      },
      {
        inputs: [given([n9, 40]), given([5, 18, 40]), ids([n9, 3], distinct(5))],
        attrs: { transposeB: true },
        dims: nTo(0, 1, 9),
      },
      ...(['f16', 'bf16', ...blockTypes] as const).flatMap(expertCases),
    ],
    bench: [1, 64].map((n) => ({
      inputs: [given([n, 512]), weight('q8_0', [8, 1024, 512]), ids([n, 2], distinct(8))],
      attrs: { transposeB: true },
      flops: 2 * n * 2 * 512 * 1024,
    })),
  },
  expertOuter: {
    tolerance: sums,
    cases: [
      { inputs: [given([5, 2, 6]), given([5, 7]), ids([5, 2], distinct(4))], attrs: { experts: 4 } },
      { inputs: [given([5, 2, 6]), given([5, 2, 7]), ids([5, 2], below(3))], attrs: { experts: 3 } },
      { inputs: [given([30, 3, 17]), given([30, 33]), ids([30, 3], below(5))], attrs: { experts: 7 } },
      {
        inputs: [given([n9, 2, 6]), given([n9, 7]), ids([n9, 2], distinct(4))],
        attrs: { experts: 4 },
        dims: nTo(0, 1, 9),
      },
    ],
    bench: [
      {
        inputs: [given([64, 2, 256]), given([64, 512]), ids([64, 2], distinct(8))],
        attrs: { experts: 8 },
        flops: 2 * 64 * 2 * 512 * 256,
      },
    ],
  },

  gather: {
    tolerance: 'exact',
    cases: [
      { inputs: [learn([7, 5]), ids([3], list(6, 0, 6))], attrs: {}, rows: [1] },
      { inputs: [learn([7]), ids([4], below(7))], attrs: {}, rows: [1] },
      { inputs: [learn([7, 3, 2]), ids([2, 3], below(7))], attrs: {} },
      { inputs: [learn([7, 33]), ids([], list(3))], attrs: {} },
      { inputs: [given([7, 5]), ids([4], list(-1, 7, 2147483647, 3))], attrs: {} },
      { inputs: [given([7, 5]), ids([0], list(0))], attrs: {} },
      { inputs: [given([40, 96]), ids([n9], below(40))], attrs: {}, dims: nTo(0, 1, 9) },
      ...(['f16', 'bf16', ...blockTypes] as const).map(
        (dtype): OpCase<'gather'> => ({
          inputs: [weight(dtype, [11, innerOf(dtype)]), ids([5], below(11))],
          attrs: {},
          rows: [1],
        }),
      ),
    ],
    bench: [
      { inputs: [weight('f32', [4096, 576]), ids([512], below(4096))], attrs: {} },
      { inputs: [weight('q8_0', [4096, 576]), ids([512], below(4096))], attrs: {} },
    ],
  },
  scatterAdd: {
    tolerance: sums,
    cases: [
      { inputs: [learn([3, 5]), ids([3], list(6, 0, 6))], attrs: { rows: 7 } },
      { inputs: [learn([2, 3, 4]), ids([2, 3], below(5))], attrs: { rows: 5 } },
      { inputs: [learn([9]), ids([9], below(4))], attrs: { rows: 6 } },
      { inputs: [given([40, 33]), ids([40], below(7))], attrs: { rows: 9 } },
      { inputs: [given([4, 5]), ids([4], list(-1, 7, 2147483647, 3))], attrs: { rows: 7 } },
      { inputs: [given([n9, 5]), ids([n9], below(7))], attrs: { rows: 7 }, dims: nTo(0, 1, 9) },
    ],
    bench: [{ inputs: [given([512, 576]), ids([512], below(4096))], attrs: { rows: 4096 }, flops: 512 * 576 }],
  },
  takeLast: {
    tolerance: 'exact',
    cases: [
      { inputs: [learn([3, 7]), ids([3, 2], below(7))], attrs: {}, rows: [0, 1] },
      { inputs: [learn([2, 2, 5]), ids([2, 2, 1], below(5))], attrs: {} },
      { inputs: [learn([9]), ids([4], list(2, 2, 0, 8))], attrs: {} },
      { inputs: [given([n9, 7]), ids([n9, 3], below(7))], attrs: {}, dims: nTo(0, 1, 9) },
    ],
    bench: [{ inputs: [given([512, 576]), ids([512, 8], below(576))], attrs: {} }],
  },
  putLast: {
    tolerance: sums,
    cases: [
      { inputs: [learn([3, 2]), ids([3, 2], distinct(7))], attrs: { size: 7 }, rows: [0, 1] },
      { inputs: [learn([2, 2, 1]), ids([2, 2, 1], below(5))], attrs: { size: 5 } },
      { inputs: [learn([4]), ids([4], list(2, 2, 0, 8))], attrs: { size: 9 } },
      { inputs: [given([n9, 3]), ids([n9, 3], below(7))], attrs: { size: 7 }, dims: nTo(0, 1, 9) },
    ],
    bench: [{ inputs: [given([512, 8]), ids([512, 8], below(576))], attrs: { size: 576 } }],
  },
  topk: {
    tolerance: 'exact',
    cases: [
      { inputs: [given([3, 7])], attrs: { k: 1 }, rows: [0] },
      { inputs: [given([3, 7])], attrs: { k: 7 } },
      { inputs: [given([2, 2, 65])], attrs: { k: 8 } },
      { inputs: [given([4, 33], below(5))], attrs: { k: 9 }, rows: [0] },
      { inputs: [given([2, 9], list(0, -0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1))], attrs: { k: 6 } },
      { inputs: [given([1, 1000])], attrs: { k: 50 } },
      { inputs: [given([n9, 12])], attrs: { k: 4 }, dims: nTo(0, 1, 9) },
    ],
    bench: [
      { inputs: [given([64, 128])], attrs: { k: 8 } },
      { inputs: [given([8, 49152])], attrs: { k: 50 } },
    ],
  },

  crossEntropy: {
    tolerance: { relative: 2e-6, absolute: 5e-6 },
    cases: [
      { inputs: [learn([3, 7]), ids([3], below(7))], attrs: { ignoreIndex: -100 }, rows: [0, 1] },
      { inputs: [learn([2, 3, 33]), ids([2, 3], list(4, -100, 32, 0, -100, 7))], attrs: { ignoreIndex: -100 } },
      { inputs: [learn([5]), ids([], list(2))], attrs: { ignoreIndex: -100 } },
      { inputs: [learn([4, 1]), ids([4], list(0))], attrs: { ignoreIndex: -1 } },
      { inputs: [given([3, 1003], scaled(10)), ids([3], below(1003))], attrs: { ignoreIndex: 5 } },
      { inputs: [given([n9, 12]), ids([n9], below(12))], attrs: { ignoreIndex: 0 }, dims: nTo(0, 1, 9) },
    ],
    bench: [{ inputs: [given([64, 49152]), ids([64], below(49152))], attrs: { ignoreIndex: -100 }, flops: 64 * 49152 }],
  },
  crossEntropyGrad: {
    tolerance: { relative: 1e-5, absolute: 1e-6 },
    cases: [
      { inputs: [given([3, 7]), ids([3], below(7)), given([3])], attrs: { ignoreIndex: -100 }, rows: [0, 1, 2] },
      {
        inputs: [given([2, 3, 33]), ids([2, 3], list(4, -100, 32, 0, -100, 7)), given([2, 3])],
        attrs: { ignoreIndex: -100 },
      },
      { inputs: [given([3, 1003], scaled(10)), ids([3], below(1003)), given([3])], attrs: { ignoreIndex: 5 } },
      { inputs: [given([n9, 12]), ids([n9], below(12)), given([n9])], attrs: { ignoreIndex: 0 }, dims: nTo(0, 1, 9) },
    ],
    bench: [
      {
        inputs: [given([64, 49152]), ids([64], below(49152)), given([64])],
        attrs: { ignoreIndex: -100 },
        flops: 64 * 49152,
      },
    ],
  },

  ropeTable: {
    tolerance: { absolute: 1e-6 },
    cases: [
      { inputs: [ids([5], list(0, 1, 2, 77, 4095)), given([1], list(1))], attrs: { scale: 1 }, rows: [0] },
      {
        inputs: [ids([6], list(0, 1, 100, 8191, 131071, 1048575)), given([16], ropeFrequencies)],
        attrs: { scale: 1 },
        rows: [0],
      },
      { inputs: [ids([2, 3], below(2048)), given([33], ropeFrequencies)], attrs: { scale: 1.2 } },
      { inputs: [ids([n9], below(4096)), given([8], ropeFrequencies)], attrs: { scale: 1 }, dims: nTo(0, 1, 9) },
    ],
    bench: [{ inputs: [ids([512], below(2048)), given([32], ropeFrequencies)], attrs: { scale: 1 } }],
  },
  rope: {
    tolerance: { row: 2e-7, absolute: 3e-7 },
    cases: [true, false].flatMap((interleaved) =>
      [true, false].flatMap((inverse): OpCase<'rope'>[] => {
        const attrs = { interleaved, inverse };
        return [
          { inputs: [learn([3, 2, 8]), angles([3, 8])], attrs, rows: [0, 1] },
          { inputs: [learn([3, 2, 9]), angles([3, 6])], attrs, rows: [0, 1] },
          { inputs: [learn([2, 3, 1, 2]), given([2, 3, 2])], attrs },
          { inputs: [given([5, 3, 66]), angles([5, 34])], attrs, rows: [0, 1] },
          { inputs: [given([n9, 2, 32]), angles([n9, 32])], attrs, dims: nTo(0, 1, 9) },
        ];
      }),
    ),
    bench: [
      {
        inputs: [given([512, 9, 64]), angles([512, 64])],
        attrs: { interleaved: false, inverse: false },
        flops: 3 * 512 * 576,
      },
    ],
  },
  attention: {
    tolerance: { row: 5e-6, absolute: 2e-6 },
    cases: [
      ...attentionShapes.map(([shape, sinks, attrs]) => ({
        inputs: attentionInputs(shape, sinks),
        attrs,
        rows: [0, 1, 2],
      })),
      ...attentionLarge.map(([shape, sinks, attrs]) => ({ inputs: attentionInputs(shape, sinks, given), attrs })),
      { inputs: [given([n9, 3, 4, 8]), given([n9, 5, 2, 8]), given([n9, 5, 2, 8])], attrs: plain, dims: nTo(0, 1, 9) },
      { inputs: [given([1, n9, 2, 8]), given([1, n9, 2, 8]), given([1, n9, 2, 8])], attrs: plain, dims: nTo(0, 1, 9) },
      {
        inputs: attentionInputs({ b: 1, t: 6, s: 6, h: 2, g: 2, d: 8 }, false, (s) => given(s, scaled(12))),
        attrs: plain,
      },
    ],
    bench: [
      {
        inputs: attentionInputs({ b: 1, t: 512, s: 512, h: 9, g: 3, d: 64 }, false, given),
        attrs: { scale: 0.125, window: 0, softcap: 0 },
        flops: 2 * 512 * 512 * 576,
      },
    ],
  },
  attentionGrad: {
    tolerance: { row: 1e-5, absolute: 1e-5 },
    cases: [...attentionShapes, ...attentionLarge, ...attentionBlocks].map(([shape, sinks, attrs]) => ({
      inputs: [
        ...attentionInputs(shape, sinks, given),
        ...(sinks ? [] : [null]),
        given([shape.b, shape.t, shape.h, shape.d]),
      ],
      attrs,
    })),
    bench: [
      {
        inputs: [
          ...attentionInputs({ b: 1, t: 256, s: 256, h: 9, g: 3, d: 64 }, false, given),
          null,
          given([1, 256, 9, 64]),
        ],
        attrs: { scale: 0.125, window: 0, softcap: 0 },
        flops: 5 * 256 * 256 * 576,
      },
    ],
  },
  adamw: {
    tolerance: { relative: 1e-6, absolute: 1e-7 },
    cases: [[1], [7], [16], [3, 37], [5, 263]].flatMap((shape) =>
      [0.5, Number.NaN, Number.POSITIVE_INFINITY].map((scale) => adamwCase(shape, scale)),
    ),
    bench: [adamwCase([576, 1536], 0.5)],
  },
  momentum: {
    tolerance: once2,
    cases: [[1], [7], [3, 37]].flatMap((shape) =>
      [0.5, Number.NaN].map((scale) => ({
        inputs: [given(shape), given(shape), given([1], list(scale))],
        attrs: { keep: 0.9, take: 0.25 },
      })),
    ),
    bench: [],
  },
  descend: {
    tolerance: once2,
    cases: [[1], [7], [3, 37]].flatMap((shape) =>
      [0.5, Number.NEGATIVE_INFINITY].map((scale) => ({
        inputs: [given(shape), given(shape), given([1], list(scale)), given([1], list(0.01))],
        attrs: { factor: 1.5, weightDecay: 0.1 },
      })),
    ),
    bench: [],
  },
  accumulate: {
    tolerance: 'exact',
    cases: [[1], [7], [3, 37]].flatMap((shape) =>
      [1, 0].map((keep) => ({ inputs: [given(shape), given(shape), given([1], list(keep))], attrs: {} })),
    ),
    bench: [],
  },
  sumSquares: {
    tolerance: { relative: 1e-6 },
    cases: [
      { inputs: [learn([1])], attrs: {} },
      { inputs: [learn([3, 37]), learn([5]), learn([2, 2, 2])], attrs: {} },
      { inputs: [given([0, 4]), given([300, 211])], attrs: {} },
      { inputs: Array.from({ length: 16 }, (_, i) => given([i + 1, 1031])), attrs: {} },
    ],
    bench: [{ inputs: [given([576, 1536])], attrs: {}, flops: 2 * 576 * 1536 }],
  },
  kvWrite: {
    tolerance: 'exact',
    cases: (['f32', 'f16'] as const).flatMap((cache): OpCase<'kvWrite'>[] => [
      { inputs: [weight(cache, [5, 2, 4, 3]), given([3, 2, 3]), ids([3], list(18, 0, 7))], attrs: {} },
      { inputs: [weight(cache, [5, 2, 4, 3]), given([4, 2, 3]), ids([4], list(-1, 19, -5, 2))], attrs: {} },
      { inputs: [weight(cache, [2, 1, 1, 33]), given([1, 1, 33]), ids([1], list(1))], attrs: {} },
      {
        inputs: [weight(cache, [5, 3, 4, 8]), given([n9, 3, 8]), ids([n9], list(...shuffled(20, 3).slice(0, 9)))],
        attrs: {},
        dims: nTo(0, 1, 9),
      },
    ]),
    bench: [
      {
        inputs: [
          weight('f16', [64, 3, 16, 64]),
          given([512, 3, 64]),
          ids([512], list(...shuffled(1024, 3).slice(0, 512))),
        ],
        attrs: {},
      },
    ],
  },
  pagedAttention: {
    tolerance: { row: 5e-6, absolute: 2e-6 },
    cases: [
      pagedCase({ h: 2, g: 2, d: 3 }, plain),
      pagedCase({ h: 6, g: 2, d: 8, sinks: true }, plain),
      pagedCase({ h: 4, g: 1, d: 33 }, { scale: 0.3, window: 5, softcap: 0 }),
      pagedCase({ h: 4, g: 2, d: 16, sinks: true }, { scale: 0.3, window: 1, softcap: 4 }),
      pagedCase({ h: 3, g: 3, d: 64, cache: 'f16' }, { scale: 0.125, window: 0, softcap: 0 }),
      pagedCase({ h: 4, g: 2, d: 8, cache: 'f16', sinks: true }, { scale: 0.3, window: 6, softcap: 3 }),
      {
        inputs: [
          given([n9, 4, 16]),
          weight('f16', [pages, 2, pageSize, 16]),
          weight('f16', [pages, 2, pageSize, 16]),
          ids([3, 4], list(...shuffled(pages, 8).slice(0, 12))),
          ids([n9], list(2, 2, 2, 0, 1, 0, 0, 1, 2)),
          ids([n9], list(3, 4, 5, 15, 0, 6, 7, 1, 6)),
        ],
        attrs: plain,
        dims: nTo(0, 1, 7, 9),
      },
    ],
    bench: [1, 8, 64].map((n) => ({
      inputs: [
        given([n, 9, 64]),
        weight('f16', [64, 3, 16, 64]),
        weight('f16', [64, 3, 16, 64]),
        ids([1, 64], list(...shuffled(64, 4))),
        ids([n], list(0)),
        ids([n], between(900, 1023)),
      ],
      attrs: { scale: 0.125, window: 0, softcap: 0 },
      flops: 4 * n * 960 * 576,
    })),
  },

  random: {
    tolerance: 'exact',
    cases: [
      { inputs: [ids([4], list(1, 2, 3, 4))], attrs: { shape: [1] } },
      { inputs: [ids([4], list(0))], attrs: { shape: [3, 7] } },
      { inputs: [ids([4], list(-1, -2147483648, 2147483647, -559038737))], attrs: { shape: [5, 33] } },
      { inputs: [ids([4], list(7, 8, 9, 10))], attrs: { shape: [n9, 5] }, dims: nTo(0, 1, 9) },
    ],
    bench: [{ inputs: [ids([4], list(1, 2, 3, 4))], attrs: { shape: [512, 576] } }],
  },
  // last, so that the other cases keep their numbers
  geluGrad: unary({ relative: 3e-6, absolute: 3e-7 }),
  geluTanhGrad: unary({ relative: 3e-6, absolute: 3e-7 }),
  siluGrad: unary({ relative: 3e-6, absolute: 3e-7 }),
  detach: {
    tolerance: 'exact',
    cases: [
      { inputs: [given([3, 5])], attrs: {} },
      { inputs: [given([n9, 5])], attrs: {}, dims: nTo(0, 9) },
    ],
    bench: [],
  },
};

/** Cases that came later, after all others for the same reason. */
const laterCases: { readonly [K in OpName]?: readonly OpCase<K>[] } = {
  attention: denseCases(learn).map(([inputs, attrs]) => ({ inputs, attrs })),
  attentionGrad: denseCases(given).map(([[q, k, v, sinks, ...extras], attrs]) => ({
    inputs: [q, k, v, sinks, q, ...extras],
    attrs,
  })),
  random: [{ inputs: [ids([4], list(11, 12, 13, 14))], attrs: { shape: [3, 1000] } }],
};

/** Every case with the name of its op, for loops that treat all ops alike. */
export interface AnyCase {
  readonly op: OpName;
  readonly name: string;
  readonly tolerance: Tolerance;
  readonly inputs: readonly (CaseInput | null)[];
  readonly attrs: OpAttrs[OpName];
  readonly dims: readonly DimBindings[];
  readonly rows?: readonly number[];
  readonly flops?: number;
}

export function allCases(which: 'cases' | 'bench' = 'cases'): AnyCase[] {
  const named = (op: OpName, list: readonly OpCase<OpName>[]) => {
    const entry = opCases[op] as OpEntry<OpName>;
    return list.map((one): AnyCase => {
      const { inputs, attrs, dims = [{}], rows, flops, tolerance = entry.tolerance } = one;
      return { op, name: `${op} ${describe(one)}`, tolerance, inputs, attrs, dims, rows, flops };
    });
  };
  const first = (Object.keys(opCases) as OpName[]).flatMap((op) => named(op, (opCases[op] as OpEntry<OpName>)[which]));
  if (which === 'bench') return first;
  const later = (Object.keys(laterCases) as OpName[]).flatMap((op) =>
    named(op, laterCases[op] as readonly OpCase<OpName>[]),
  );
  return [...first, ...later];
}

function describe({ inputs, attrs }: OpCase<OpName>): string {
  const operands = inputs.map((x) => (x ? `${x.quantized ? 'q8a' : x.dtype}(${x.shape.map(String).join(',')})` : '-'));
  const settings = Object.entries(attrs).map(
    ([key, value]) => `${key}=${key === 'program' ? (value as []).length : value}`,
  );
  return [...operands, ...settings].join(' ');
}
