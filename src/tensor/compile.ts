/** From a graph to a plan: precision, sharing, fusion; then every tensor gets its place and every step its barrier. */
import { ShapeError } from '../errors.ts';
import { rowOf } from './ops/table.ts';
import { planBarriers } from './passes/barriers.ts';
import { fuse } from './passes/fuse.ts';
import { layOut } from './passes/layout.ts';
import { applyPrecision, type Precision } from './passes/precision.ts';
import { countUses, type NamedTensors } from './passes/rebuild.ts';
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
 * share a name, and when a tensor that is changed in place is used a second time: which of the two came first would be chance.
 */
export function compile(outputs: NamedTensors, options: CompileOptions = {}): Plan {
  checkNames(outputs);
  checkChanges(outputs);
  let graph = share(applyPrecision(share(outputs), options.precision ?? 'exact'));
  if (options.fuse !== false) graph = fuse(graph);
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
  const uses = countUses(outputs);
  for (const { origin } of reachable(Object.values(outputs))) {
    if (origin.kind !== 'op') continue;
    const { mutates } = rowOf(origin.op);
    let target: Tensor | null = mutates === undefined ? null : origin.inputs[mutates];
    while (target) {
      if (target.origin.kind === 'constant') throw new ShapeError(origin.op, `${target} cannot be changed`);
      if (uses.get(target)! > 1) {
        throw new ShapeError(
          origin.op,
          `${target} is changed in place and used elsewhere; use the result of ${origin.op}`,
        );
      }
      target = target.origin.kind === 'op' && target.origin.op === 'reshape' ? target.origin.inputs[0] : null;
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
