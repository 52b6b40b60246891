/** From a graph to a plan: precision, sharing, fusion; then every tensor gets its place and every step its barrier. */
import { ShapeError } from '../errors.ts';
import { rowOf } from './ops/table.ts';
import { planBarriers } from './passes/barriers.ts';
import { fuse } from './passes/fuse.ts';
import { layOut } from './passes/layout.ts';
import { applyPrecision, type Precision } from './passes/precision.ts';
import { isOp, isView, type NamedTensors } from './passes/rebuild.ts';
import { share } from './passes/share.ts';
import type { Plan } from './plan.ts';
import { DimVar } from './shape.ts';
import { reachable, type Tensor } from './tensor.ts';

export interface CompileOptions {
  /** `exact` unless given: see passes/precision.ts. */
  readonly precision?: Precision;
  /** Whether ops may be fused; true unless given. False shows every op of the graph as a step of its own. */
  readonly fuse?: boolean;
}

/**
 * Compile the graph under `outputs`. Ops that change a parameter in place (`kvWrite`) belong among the outputs, or the
 * change is not made; whoever wants the changed tensor uses the op's result. Throws ShapeError when two inputs or parameters
 * share a name, and when a tensor that is changed in place is used by an op made later, or is itself an output: whoever reads it
 * then would see the change or not by chance. Ops made before the change read what was there before it.
 */
export function compile(outputs: NamedTensors, options: CompileOptions = {}): Plan {
  checkNames(outputs);
  checkChanges(outputs);
  let graph = share(applyPrecision(share(outputs), options.precision ?? 'exact'));
  if (options.fuse !== false) {
    graph = fuse(graph);
    checkChanges(graph);
  }
  const dims = dimensionVariables(graph);
  return planBarriers({ dims, ...layOut(graph) });
}

function checkNames(outputs: NamedTensors): void {
  const names = new Set<string>();
  for (const { origin } of reachable(Object.values(outputs))) {
    if (origin.kind !== 'input' && origin.kind !== 'parameter') continue;
    if (names.has(origin.name)) throw new ShapeError('compile', `two tensors are named "${origin.name}"`);
    names.add(origin.name);
  }
}

function checkChanges(outputs: NamedTensors): void {
  const tensors = reachable(Object.values(outputs));
  /** The last that reads a tensor's memory as it is: the greatest id of its users, and of users of its views. */
  const lastReader = new Map<Tensor, number>();
  const read = (tensor: Tensor, reader: number) =>
    lastReader.set(tensor, Math.max(lastReader.get(tensor) ?? -1, reader));
  for (const tensor of Object.values(outputs)) read(tensor, Number.POSITIVE_INFINITY);
  for (const tensor of tensors.reverse()) {
    if (!isOp(tensor)) continue;
    if (isView(tensor)) read(tensor.inputs[0], lastReader.get(tensor) ?? -1);
    else for (const input of tensor.inputs) read(input, tensor.id);
  }
  for (const tensor of tensors) {
    if (!isOp(tensor)) continue;
    const { op, inputs } = tensor.origin;
    for (const which of rowOf(op).mutates ?? []) {
      let target: Tensor | null = inputs[which];
      while (target) {
        if (target.origin.kind === 'constant') throw new ShapeError(op, `${target} cannot be changed`);
        const twice = inputs.filter((input) => input === target).length > 1;
        if (twice || lastReader.get(target)! > tensor.id) {
          throw new ShapeError(op, `${target} is changed in place and used elsewhere; use the result of ${op}`);
        }
        target = target.origin.kind === 'op' && target.origin.op === 'reshape' ? target.origin.inputs[0] : null;
      }
    }
  }
}

function dimensionVariables(outputs: NamedTensors): DimVar[] {
  const dims = new Map<string, DimVar>();
  for (const { shape } of reachable(Object.values(outputs))) {
    for (const dim of shape) {
      if (!(dim instanceof DimVar)) continue;
      if ((dims.get(dim.name) ?? dim) !== dim)
        throw new ShapeError('compile', `two dimensions are named "${dim.name}"`);
      dims.set(dim.name, dim);
    }
  }
  return [...dims.values()];
}
