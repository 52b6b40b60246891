/** What every pass is made of: copy a graph, changing nodes on the way. */
import type { OpOrigin } from '../tensor.ts';
import { reachable, Tensor } from '../tensor.ts';

export type NamedTensors = Readonly<Record<string, Tensor>>;

/** A tensor that an op makes. */
export type OpTensor = Tensor & { readonly origin: OpOrigin };

export function isOp(tensor: Tensor): tensor is OpTensor {
  return tensor.origin.kind === 'op';
}

/** Ops whose result is their first input's memory: a reshape, a cut along the outermost dimension, a `hold`, a `detach`. */
export function isView({ origin: { op, attrs } }: OpTensor): boolean {
  return op === 'reshape' || op === 'hold' || op === 'detach' || (op === 'slice' && attrs.axis === 0);
}

/**
 * A copy of the graph under `outputs` in which each op's result is replaced by what `change` makes of it. `change` gets the old
 * tensor and its inputs as they are after their own change, and returns null to keep the op as it is.
 */
export function rebuild(
  outputs: NamedTensors,
  change: (old: OpTensor, inputs: readonly (Tensor | null)[]) => Tensor | null,
): NamedTensors {
  const now = new Map<Tensor, Tensor>();
  for (const old of reachable(Object.values(outputs))) {
    if (old.origin.kind !== 'op') {
      now.set(old, old);
      continue;
    }
    const inputs = old.origin.inputs.map((input) => input && now.get(input)!);
    now.set(old, change(old as OpTensor, inputs) ?? withInputs(old as OpTensor, inputs));
  }
  return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, now.get(tensor)!]));
}

/** The same op on other inputs of the same types. The tensor itself when they are the same inputs. */
export function withInputs(old: OpTensor, inputs: readonly (Tensor | null)[]): Tensor {
  if (inputs.every((input, i) => input === old.origin.inputs[i])) return old;
  return new Tensor(old.dtype, old.shape, { ...old.origin, inputs } as OpOrigin);
}

/** How often each tensor is used, as an input or as an output of the whole. */
export function countUses(outputs: NamedTensors): Map<Tensor, number> {
  const uses = new Map<Tensor, number>();
  const count = (tensor: Tensor) => uses.set(tensor, (uses.get(tensor) ?? 0) + 1);
  for (const tensor of reachable(Object.values(outputs))) tensor.inputs.forEach(count);
  Object.values(outputs).forEach(count);
  return uses;
}
