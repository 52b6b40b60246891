/** Random graphs for property tests: recipes that fast-check can draw and shrink, and the graphs that they make. */
import fc from 'fast-check';
import { f, type Tensor } from '../src/tensor/index.ts';
import type { Dim } from '../src/tensor/shape.ts';
import { type Data, dataOf, normal, scaled } from './op_data.ts';

/** Width of all rows: one block of most quantised types. */
export const WIDTH = 32;

/** One op of a recipe: its operands are counted back from the newest tensor, modulo their number. */
export interface Ingredient {
  readonly kind: (typeof kinds)[number];
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

export interface Recipe {
  readonly ops: readonly Ingredient[];
  /** Which tensors are outputs, counted like operands. */
  readonly outputs: readonly number[];
}

const unaries = ['tanh', 'sigmoid', 'gelu', 'relu', 'silu', 'neg', 'abs'] as const;
const kinds = [
  ...unaries,
  ...unaries,
  'add',
  'add',
  'sub',
  'mul',
  'maximum',
  'affine',
  'clamp',
  'where',
  'product',
  'product',
  'quantised',
  'projection',
  'normalize',
  'softmax',
  'sum',
  'reshape',
  'halves',
  'rotate',
  'transpose',
] as const;

const index = fc.nat({ max: 11 });
export const recipes: fc.Arbitrary<Recipe> = fc.record({
  ops: fc.array(fc.record({ kind: fc.constantFrom(...kinds), a: index, b: index, c: index }), {
    minLength: 1,
    maxLength: 24,
  }),
  outputs: fc.array(index, { minLength: 1, maxLength: 3 }),
});

export interface Graph {
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
}

/** The graph of a recipe, over rows (R, WIDTH). All its functions change slowly, so that rounding stays rounding. */
export function cook({ ops, outputs }: Recipe, R: Dim): Graph {
  const x = f.input('x', 'f32', [R, WIDTH]);
  const y = f.input('y', 'f32', [R, WIDTH]);
  const column = f.input('column', 'f32', [R, 1]);
  const vector = f.parameter('vector', 'f32', [WIDTH]);
  const square = f.parameter('square', 'f32', [WIDTH, WIDTH]);
  const blocks = f.parameter('blocks', 'q8_0', [WIDTH, WIDTH]);
  const few = f.constant(
    Array.from({ length: WIDTH }, (_, i) => (i % 5) - 2),
    [WIDTH],
  );
  const pool: Tensor[] = [few, vector, column, y, x];
  const full = (tensor: Tensor) => (tensor.rank === 2 && tensor.shape[1] === WIDTH ? tensor : f.add(tensor, x)); // (R, WIDTH)
  for (const { kind, a, b, c } of ops) {
    const [p, q, r] = [a, b, c].map((back) => pool[pool.length - 1 - (back % pool.length)]);
    pool.push(grow(kind, [p, q, r], c));
  }
  function grow(kind: Ingredient['kind'], [p, q, r]: Tensor[], c: number): Tensor {
    switch (kind) {
      case 'add':
      case 'sub':
      case 'maximum':
        return f[kind](p, q);
      case 'mul':
        return f.mul(p, f.tanh(q));
      case 'affine':
        return f.affine(p, 0.75, c - 5);
      case 'clamp':
        return f.clamp(p, -1, c / 4);
      case 'where':
        return f.where(few, p, q);
      case 'product':
        return f.matmul(full(p), square, false, c % 2 === 0);
      case 'quantised':
        return f.matmul(full(p), blocks, false, true);
      case 'projection':
        // the residual is, once in a while, the left operand
        return f.add(f.add(f.matmul(full(p), square), vector), full(c % 3 ? q : p));
      case 'normalize':
        return f.normalize(full(p), c % 2 ? vector : null, null, {
          kind: c % 3 ? 'rms' : 'layer',
          eps: 0.1,
          weightOffset: 0,
        });
      case 'softmax':
        return f.softmax(p);
      case 'sum':
        return f.affine(f.sum(full(p), 1), 1 / WIDTH, 0);
      case 'reshape':
        return f.reshape(f.tanh(f.reshape(full(p), [R, 4, WIDTH / 4])), [R, WIDTH]);
      case 'halves': {
        const [left, right] = [f.slice(full(p), 1, 0, 16), f.slice(full(q), 1, 16, WIDTH)];
        return f.concat(c % 2 ? [left, right] : [right, left], 1);
      }
      case 'rotate': {
        if (typeof R !== 'number') return f.add(r, p);
        const rows = full(p);
        return f.concat([f.slice(rows, 0, 1, R), f.slice(rows, 0, 0, 1)], 0);
      }
      case 'transpose':
        return f.permute(f.affine(f.permute(full(p), [1, 0]), 0.5, 1), [1, 0]);
      default:
        return f[kind](p);
    }
  }
  const chosen = outputs.map((back, i) => [`out${i}`, pool[pool.length - 1 - (back % pool.length)]] as const);
  return { outputs: Object.fromEntries(chosen), inputs: [x, y, column], parameters: [vector, square, blocks] };
}

/** Numbers for the parameters of a graph, by name. */
export function parameterData({ parameters }: Graph): Record<string, Data> {
  return Object.fromEntries(
    parameters.map((tensor, i) => [
      nameOf(tensor),
      dataOf(tensor.dtype, tensor.shape as number[], scaled(tensor.rank > 1 ? WIDTH ** -0.5 : 1), 500 + i),
    ]),
  );
}

/** Numbers for the inputs of a graph with `rows` rows, by name. */
export function inputData({ inputs }: Graph, rows: number, seed: number): Record<string, Float32Array> {
  return Object.fromEntries(
    inputs.map((tensor, i) => {
      const shape = tensor.shape.map((dim) => (typeof dim === 'number' ? dim : rows));
      return [nameOf(tensor), dataOf('f32', shape, normal, seed * 10 + i).numbers as Float32Array];
    }),
  );
}

export function nameOf({ origin }: Tensor): string {
  return origin.kind === 'input' || origin.kind === 'parameter' ? origin.name : '';
}
