/**
 * The narrow waist: what the rest of Inkstone asks of a machine. A backend moves bytes and runs plans; it knows nothing of models,
 * gradients, tokens or files. Everything above imports this file and none of the implementations.
 */
import type { Plan } from '../tensor/plan.ts';
import type { DimBindings } from '../tensor/shape.ts';

/** Memory that belongs to a backend. It is freed when nothing refers to it any more. */
export interface BackendBuffer {
  readonly byteLength: number;
}

export type HostArray = Float32Array | Int32Array | Uint8Array | Uint16Array;

/** One run's arguments. */
export interface RunArguments {
  /** A value for each dimension variable of the plan, by name. */
  readonly dims?: DimBindings;
  /** A dense row-major array for each input of the plan, by name. */
  readonly inputs?: Readonly<Record<string, HostArray>>;
  /** Which outputs to bring back; when absent, all but those that lie in parameters or are not f32 or i32. */
  readonly outputs?: readonly string[];
}

/** Outputs by name, copied out of the backend: the caller's to keep. `i32` tensors come as Int32Array, `f32` as Float32Array. */
export type RunResult = Readonly<Record<string, Float32Array | Int32Array>>;

/** A plan with its buffers bound, ready to run. */
export interface LoadedPlan {
  readonly plan: Plan;
  /** Run once. Runs of one backend are carried out one after another in the order of the calls. Rejects with RangeError for a bad binding. */
  run(args: RunArguments): Promise<RunResult>;
  /** Seconds that the runs so far have spent in kernels; absent where the backend has no clock there. */
  readonly kernelSeconds?: number;
}

/** What a backend is, for `doctor` and for reports. */
export interface BackendInfo {
  readonly name: 'reference' | 'native' | 'wasm';
  /** The instruction set in use: "avx2", "wasm_simd", "typescript". */
  readonly variant: string;
  readonly threads: number;
}

export interface Backend {
  readonly info: BackendInfo;
  /** Zeroed memory, aligned to 64 bytes where the host allows. */
  allocate(byteLength: number): BackendBuffer;
  /** A buffer with these bytes: in place where the backend can use the caller's memory (which must then not change), else a copy. */
  adopt(bytes: Uint8Array): BackendBuffer;
  /** Copy bytes into a buffer. Takes effect before the next run that is called. */
  write(buffer: BackendBuffer, byteOffset: number, bytes: Uint8Array): void;
  /** Copy bytes out of a buffer, after all runs called so far. */
  read(buffer: BackendBuffer, byteOffset: number, byteLength: number): Promise<Uint8Array>;
  /** Copy within one buffer (the ranges must not overlap), after all runs called so far and before later ones. */
  copy(buffer: BackendBuffer, fromByte: number, toByte: number, byteLength: number): void;
  /** Bind a buffer to each parameter of a plan, by name. Throws ShapeError when one is missing or too small. */
  load(plan: Plan, parameters: Readonly<Record<string, BackendBuffer>>): LoadedPlan;
  /** Stop threads and free memory. Nothing of this backend may be used afterwards. */
  close(): Promise<void>;
}
