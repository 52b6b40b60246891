/** A plan as compiled code reads it: an array of 32-bit words. kernels/program.c is the other side and checks every word. */
import { dtypes } from '../tensor/dtype.ts';
import { opcodes } from '../tensor/ops/opcodes.ts';
import { rowOf } from '../tensor/ops/table.ts';
import type { Plan, PlanStep, PlanTensor } from '../tensor/plan.ts';

export const PROGRAM_MAGIC = 0x314b4e49; // "INK1", little-endian
export const PROGRAM_VERSION = 1;
const MAX_RANK = 5;

/**
 * Words: magic, version, number of dimension variables, slots, tensors, steps; then the tensors (dtype, slot, 64-bit offset, rank,
 * five dimensions: >= 0 a constant, -1 - v the variable v); then the steps (words of the step, opcode, flags, inputs, output, ints,
 * floats as their bits; bit 0 of the flags is the barrier).
 */
export function encodeProgram(plan: Plan): Int32Array {
  const words = [PROGRAM_MAGIC, PROGRAM_VERSION];
  words.push(plan.dims.length, plan.parameters.length + 1, plan.tensors.length, plan.steps.length);
  for (const tensor of plan.tensors) words.push(...encodeTensor(plan, tensor));
  for (const step of plan.steps) words.push(...encodeStep(plan, step));
  return Int32Array.from(words);
}

function encodeTensor(plan: Plan, { dtype, shape, slot, offset }: PlanTensor): number[] {
  if (shape.length > MAX_RANK) throw new RangeError(`tensors have at most ${MAX_RANK} dimensions, not ${shape.length}`);
  const dims = shape.map((dim) => (typeof dim === 'number' ? dim : -1 - plan.dims.indexOf(dim)));
  while (dims.length < MAX_RANK) dims.push(1);
  return [dtypes[dtype].code, slot, (offset % 2 ** 32) | 0, Math.floor(offset / 2 ** 32), shape.length, ...dims];
}

function encodeStep(plan: Plan, { op, attrs, inputs, output, barrier }: PlanStep): number[] {
  const { kernel } = rowOf(op);
  if (kernel === 'view') throw new RangeError(`${op} is a view and has no step`);
  const types = inputs.map((input) => (input < 0 ? null : plan.tensors[input]));
  const ints = kernel.ints?.(attrs, types, plan.tensors[output]) ?? [];
  const floats = new Float32Array(kernel.floats?.(attrs) ?? []);
  const words = [opcodes[kernel.opcode], Number(barrier), inputs.length, ...inputs, output];
  words.push(ints.length, ...ints, floats.length, ...new Int32Array(floats.buffer));
  return [words.length + 1, ...words];
}
