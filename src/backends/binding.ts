/** What every backend checks before it runs anything. */
import { ShapeError } from '../errors.ts';
import { byteLength } from '../tensor/dtype.ts';
import { ARENA_SLOT, type Plan } from '../tensor/plan.ts';
import { bindDim, bindShape, type DimBindings, formatShape, sizeMax, sizeOf } from '../tensor/shape.ts';
import type { BackendBuffer, HostArray } from './backend.ts';

/** The buffer of each parameter, in the order of their slots. Throws ShapeError for one that is missing or too small. */
export function bindParameters(plan: Plan, buffers: Readonly<Record<string, BackendBuffer>>): BackendBuffer[] {
  return plan.parameters.map(({ name, dtype, shape }) => {
    const buffer = buffers[name];
    const needed = byteLength(dtype, sizeMax(shape));
    if (!buffer) throw new ShapeError('load', `parameter "${name}" ${dtype}${formatShape(shape)} has no buffer`);
    if (buffer.byteLength < needed) {
      throw new ShapeError('load', `parameter "${name}" needs ${needed} bytes, its buffer has ${buffer.byteLength}`);
    }
    return buffer;
  });
}

/**
 * The outputs that a run brings back: those asked for, or all that are numbers in the arena. Throws RangeError for one that the plan
 * does not have, that lies in a parameter (whose buffer the caller has), or that is not f32 or i32.
 */
export function outputNames(plan: Plan, wanted?: readonly string[]): readonly string[] {
  const problem = (name: string): string | null => {
    if (!Object.hasOwn(plan.outputs, name)) return `the plan has no output "${name}"`;
    const { dtype, slot } = plan.tensors[plan.outputs[name]];
    if (slot !== ARENA_SLOT) return `output "${name}" lies in a parameter: read its buffer`;
    return dtype === 'f32' || dtype === 'i32' ? null : `output "${name}" is ${dtype}: cast it to f32`;
  };
  if (!wanted) return Object.keys(plan.outputs).filter((name) => problem(name) === null);
  for (const name of wanted) {
    const text = problem(name);
    if (text !== null) throw new RangeError(text);
  }
  return wanted;
}

/** Throws RangeError for a dimension out of bounds, and for an input that is missing, unknown or of another size or kind than the plan's. */
export function checkInputs(plan: Plan, inputs: Readonly<Record<string, HostArray>>, dims: DimBindings): void {
  for (const dim of plan.dims) bindDim(dim, dims);
  for (const name of Object.keys(inputs)) {
    if (!Object.hasOwn(plan.inputs, name)) throw new RangeError(`the plan has no input "${name}"`);
  }
  for (const [name, index] of Object.entries(plan.inputs)) {
    const { dtype, shape } = plan.tensors[index];
    const data = inputs[name];
    const size = sizeOf(bindShape(shape, dims));
    const kind = dtype === 'i32' ? Int32Array : Float32Array;
    if (!(data instanceof kind) || data.length !== size) {
      throw new RangeError(`input "${name}" needs ${size} numbers of ${dtype}, got ${data ? data.length : 'none'}`);
    }
  }
}
