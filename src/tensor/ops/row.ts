/** What it takes to be an op: the type of one row of the op table. */
import type { DType } from '../dtype.ts';
import type * as functions from '../functions.ts';
import type { Tensor, TensorType } from '../tensor.ts';
import type { OpcodeName } from './opcodes.ts';

/** Numbers as a reference implementation reads them: doubles in `evaluate`, float32 in the reference backend; block types come decoded. */
export type Numbers = Float64Array | Float32Array | Int32Array;

/** A tensor with its numbers, as reference implementations see it. */
export interface Value {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Numbers;
}

export interface GradientArguments<A> {
  readonly inputs: readonly (Tensor | null)[];
  readonly attrs: A;
  /** The tensor whose gradient is known. */
  readonly output: Tensor;
  /** The gradient of the loss by `output`, of its shape. */
  readonly grad: Tensor;
  /** The functions to build the answer from. Handed in, so that rows do not import them. */
  readonly f: typeof functions;
}

/** How an op looks to compiled kernels. Ints and floats are those of kernels/README.md. */
export interface KernelCall<A> {
  readonly opcode: OpcodeName;
  ints?(attrs: A, inputs: readonly (TensorType | null)[], output: TensorType): number[];
  floats?(attrs: A): number[];
}

export interface OpRow<A> {
  /** How many inputs there are at least and at most. Those past the least may be absent. */
  readonly arity: readonly [number, number];
  /** An input before the last ones that may be absent all the same. */
  readonly optional?: number;
  /** Dtype and shape of the result. Throws ShapeError for inputs that the op cannot take. */
  infer(inputs: readonly (TensorType | null)[], attrs: A): TensorType;
  /** The gradient by each input (null: none flows there), or the reason why there is none. */
  readonly gradient: ((args: GradientArguments<A>) => readonly (Tensor | null)[]) | string;
  /** The definition of the op: sums in double precision, one number after another. */
  reference(inputs: readonly (Value | null)[], attrs: A, output: readonly number[]): Numbers;
  /** The compiled kernel; `view` when the result is the first input's memory under another shape. */
  readonly kernel: KernelCall<A> | 'view';
  /** The inputs that the op changes in place; the result is the memory of the first. */
  readonly mutates?: readonly number[];
  /** Inputs whose memory the result may take over when nothing else needs them: each element is read before it is written. */
  readonly inPlace?: readonly number[] | 'all';
}
