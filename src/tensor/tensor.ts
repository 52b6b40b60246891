/**
 * Symbolic tensors. A `Tensor` is a node of a graph: a dtype, a shape and how it comes to be — no data. Model code builds them with
 * the functions of `functions.ts`; `gradients` extends the graph; `compile` turns it into a `Plan`.
 */
import type { DType } from './dtype.ts';
import type { OpAttrs, OpName } from './ops/attrs.ts';
import { formatShape, type Shape } from './shape.ts';

/** What is known of a tensor without running anything. */
export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Where a tensor comes from. */
export type Origin =
  /** Written by the caller before each run. */
  | { readonly kind: 'input'; readonly name: string }
  /** Lives in a buffer that the caller binds once: weights, optimiser state, KV cache. */
  | { readonly kind: 'parameter'; readonly name: string }
  /** Known when the graph is built; part of the plan. Numbers are stored as the tensor's dtype. */
  | { readonly kind: 'constant'; readonly data: Float32Array | Int32Array }
  | OpOrigin;

/** The result of an op. */
export type OpOrigin = {
  [K in OpName]: {
    readonly kind: 'op';
    readonly op: K;
    readonly attrs: OpAttrs[K];
    /** In the order of the op's row; an optional input that is absent is null. */
    readonly inputs: readonly (Tensor | null)[];
  };
}[OpName];

let count = 0;

export class Tensor implements TensorType {
  /** Creation order; inputs always have smaller numbers, so sorting by it is a topological order. */
  readonly id: number = count++;

  constructor(
    readonly dtype: DType,
    readonly shape: Shape,
    readonly origin: Origin,
  ) {}

  get rank(): number {
    return this.shape.length;
  }

  /** The inputs that are there of the op that makes this tensor; none for sources. */
  get inputs(): readonly Tensor[] {
    return this.origin.kind === 'op' ? this.origin.inputs.filter((input) => input !== null) : [];
  }

  toString(): string {
    const what = this.origin.kind === 'op' ? this.origin.op : this.origin.kind;
    return `%${this.id} ${what} ${this.dtype}${formatShape(this.shape)}`;
  }
}

/** Every tensor that `outputs` depend on, themselves included, inputs before users. */
export function reachable(outputs: readonly Tensor[]): Tensor[] {
  const seen = new Set<Tensor>();
  const stack = [...outputs];
  for (let tensor = stack.pop(); tensor; tensor = stack.pop()) {
    if (seen.has(tensor)) continue;
    seen.add(tensor);
    stack.push(...tensor.inputs);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}
