/**
 * Where every tensor lies. Views share the memory of what they view, results take over the memory of inputs that die, and what is
 * left is packed into one arena so that tensors alive at the same time never overlap.
 */
import { ShapeError } from '../../errors.ts';
import { byteLength, dtypes } from '../dtype.ts';
import { rowOf } from '../ops/table.ts';
import {
  ARENA_SLOT,
  type Plan,
  type PlanConstant,
  type PlanParameter,
  type PlanStep,
  type PlanTensor,
} from '../plan.ts';
import { dimMax, sameShape, sizeMax } from '../shape.ts';
import { reachable, type Tensor } from '../tensor.ts';
import { isOp, isView, type NamedTensors, type OpTensor } from './rebuild.ts';

const ALIGNMENT = 64;
/** As many dimensions as kernels know (kernels/ink.h). */
const MAX_RANK = 5;

/** A range of memory and the steps between which it must not be disturbed. */
interface Storage {
  readonly bytes: number;
  /** 0 for the arena, whose offset is chosen last; else the slot of a parameter. */
  readonly slot: number;
  offset: number;
  readonly from: number;
  to: number;
}

/** A tensor as bytes inside a storage. */
interface Place {
  readonly storage: Storage;
  readonly offset: number;
}

const FOREVER = Number.POSITIVE_INFINITY;

export function layOut(outputs: NamedTensors): Omit<Plan, 'dims'> {
  const order = reachable(Object.values(outputs));
  const steps = order.filter(isOp).filter((tensor) => !isView(tensor));
  const stepOf = new Map<Tensor, number>(steps.map((tensor, i) => [tensor, i]));
  const lastUse = lastUses(order, steps, outputs);

  const places = new Map<Tensor, Place>();
  const storages: Storage[] = [];
  const parameters: PlanParameter[] = [];
  const store = (tensor: Tensor, slot: number, from: number, to: number): void => {
    const storage = { bytes: bytesOf(tensor), slot, offset: 0, from, to };
    storages.push(storage);
    places.set(tensor, { storage, offset: 0 });
  };
  for (const tensor of order) {
    const { origin } = tensor;
    const end = lastUse.get(tensor) ?? 0;
    if (origin.kind === 'parameter') {
      parameters.push({ name: origin.name, dtype: tensor.dtype, shape: tensor.shape, slot: parameters.length + 1 });
      store(tensor, parameters.length, -1, FOREVER);
    } else if (origin.kind === 'constant') {
      store(tensor, ARENA_SLOT, -1, FOREVER);
    } else if (origin.kind === 'input') {
      store(tensor, ARENA_SLOT, -1, end);
    } else {
      const shared = sharedPlace(tensor as OpTensor, places, stepOf.get(tensor) ?? -1);
      if (shared) {
        places.set(tensor, shared);
        shared.storage.to = Math.max(shared.storage.to, end);
      } else {
        store(tensor, ARENA_SLOT, stepOf.get(tensor)!, end);
      }
    }
  }
  const arenaBytes = packArena(storages.filter(({ slot }) => slot === ARENA_SLOT));

  const index = new Map<Tensor, number>(order.map((tensor, i) => [tensor, i]));
  const tensors = order.map((tensor): PlanTensor => {
    const { storage, offset } = places.get(tensor)!;
    return { dtype: tensor.dtype, shape: tensor.shape, slot: storage.slot, offset: storage.offset + offset };
  });
  const constants = order.flatMap((tensor): PlanConstant[] =>
    tensor.origin.kind === 'constant' ? [{ tensor: index.get(tensor)!, data: tensor.origin.data }] : [],
  );
  return {
    tensors,
    parameters,
    constants,
    arenaBytes,
    steps: steps.map((tensor) => {
      const { op, attrs } = tensor.origin;
      const inputs = tensor.origin.inputs.map((input) => (input ? index.get(input)! : -1));
      return { op, attrs, inputs, output: index.get(tensor)!, barrier: true } as unknown as PlanStep;
    }),
    inputs: Object.fromEntries(
      order.flatMap((t) => (t.origin.kind === 'input' ? [[t.origin.name, index.get(t)!] as const] : [])),
    ),
    outputs: Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, index.get(tensor)!])),
  };
}

function bytesOf(tensor: Tensor): number {
  const { block } = dtypes[tensor.dtype];
  if (tensor.rank > MAX_RANK) throw new ShapeError('compile', `${tensor}: more than ${MAX_RANK} dimensions`);
  const last = tensor.shape.length > 0 ? dimMax(tensor.shape.at(-1)!) : 1;
  if (last % block !== 0) throw new ShapeError('compile', `${tensor}: rows are not whole blocks of ${block}`);
  return byteLength(tensor.dtype, sizeMax(tensor.shape));
}

/** The step after which nobody reads a tensor or a view of it. */
function lastUses(order: readonly Tensor[], steps: readonly OpTensor[], outputs: NamedTensors): Map<Tensor, number> {
  const last = new Map<Tensor, number>();
  const use = (tensor: Tensor, at: number) => last.set(tensor, Math.max(last.get(tensor) ?? 0, at));
  for (const tensor of Object.values(outputs)) use(tensor, FOREVER);
  steps.forEach((step, at) => {
    use(step, at);
    for (const input of step.inputs) use(input, at);
  });
  for (const tensor of [...order].reverse()) {
    if (isOp(tensor) && isView(tensor)) use(tensor.inputs[0], last.get(tensor) ?? 0);
  }
  return last;
}

/** The memory an op's result shares with an input, if it does. */
function sharedPlace(tensor: OpTensor, places: ReadonlyMap<Tensor, Place>, step: number): Place | null {
  const { op, attrs, inputs } = tensor.origin;
  const row = rowOf(op);
  if (isView(tensor)) {
    const { storage, offset } = places.get(inputs[0]!)!;
    if (op !== 'slice') return { storage, offset };
    const rest = sizeMax(inputs[0]!.shape.slice(1));
    return { storage, offset: offset + byteLength(tensor.dtype, attrs.start * rest) };
  }
  if (row.mutates) return places.get(inputs[row.mutates[0]]!)!;
  const candidates = row.inPlace === 'all' ? inputs.map((_, i) => i) : (row.inPlace ?? []);
  for (const i of candidates) {
    const input = inputs[i];
    if (input && canTakeOver(tensor, i, row.inPlace === 'all', places, step)) return places.get(input)!;
  }
  return null;
}

function canTakeOver(
  tensor: OpTensor,
  which: number,
  elementwise: boolean,
  places: ReadonlyMap<Tensor, Place>,
  step: number,
): boolean {
  const { inputs } = tensor.origin;
  const input = inputs[which]!;
  const { storage, offset } = places.get(input)!;
  const fits =
    tensor.dtype === input.dtype && sameShape(tensor.shape, input.shape) && storage.bytes === bytesOf(tensor);
  if (!fits || offset !== 0 || storage.slot !== ARENA_SLOT || storage.to !== step) return false;
  // Another input in the same memory is harmless only where element i meets element i: x·W + x may not be written over x.
  return inputs.every(
    (other, i) =>
      !other ||
      i === which ||
      places.get(other)!.storage !== storage ||
      (elementwise && sameShape(other.shape, input.shape)),
  );
}

/** Give each storage an offset: the largest first, each at the lowest place free during its life. Returns the bytes needed. */
function packArena(storages: readonly Storage[]): number {
  const placed: Storage[] = [];
  let total = 0;
  for (const storage of [...storages].sort((a, b) => b.bytes - a.bytes || a.from - b.from)) {
    const alive = placed.filter(({ from, to }) => from <= storage.to && storage.from <= to);
    alive.sort((a, b) => a.offset - b.offset);
    let offset = 0;
    for (const other of alive) {
      if (offset + storage.bytes <= other.offset) break;
      offset = Math.max(offset, align(other.offset + other.bytes));
    }
    storage.offset = offset;
    placed.push(storage);
    total = Math.max(total, align(offset + storage.bytes));
  }
  return total;
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}
