/**
 * A compiled graph: a flat list of steps over tensors whose every byte has a place. It holds no data but constants, names no
 * backend, and can be run by any of them as often as wanted, with other values of its dimension variables each time.
 */
import type { DType } from './dtype.ts';
import type { OpAttrs, OpName } from './ops/attrs.ts';
import type { DimVar, Shape } from './shape.ts';

/** The arena is slot 0; every parameter has a slot of its own, in the order of `Plan.parameters`. */
export const ARENA_SLOT = 0;

export interface PlanTensor {
  readonly dtype: DType;
  readonly shape: Shape;
  /** The buffer it lies in. */
  readonly slot: number;
  /** Bytes from the start of the slot. */
  readonly offset: number;
}

export type PlanStep = {
  [K in OpName]: {
    readonly op: K;
    readonly attrs: OpAttrs[K];
    /** Indices into `Plan.tensors`; -1 for an optional input that is absent. */
    readonly inputs: readonly number[];
    readonly output: number;
    /** All threads must have finished the steps before this one. */
    readonly barrier: boolean;
  };
}[OpName];

/** A buffer that the caller binds when the plan is loaded. */
export interface PlanParameter {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly slot: number;
}

export interface PlanConstant {
  readonly tensor: number;
  readonly data: Float32Array | Int32Array;
}

export interface Plan {
  readonly dims: readonly DimVar[];
  readonly tensors: readonly PlanTensor[];
  readonly steps: readonly PlanStep[];
  readonly parameters: readonly PlanParameter[];
  readonly constants: readonly PlanConstant[];
  /** Tensors written before each run, by name. They lie in the arena. */
  readonly inputs: Readonly<Record<string, number>>;
  /** Tensors read after each run, by name. */
  readonly outputs: Readonly<Record<string, number>>;
  /** Bytes that activations, inputs, outputs and constants take when every variable is at its maximum. */
  readonly arenaBytes: number;
}
