/** From a graph to a plan: precision, sharing, fusion; then every tensor gets its place and every step its barrier. */
import { ShapeError } from '../errors.ts';
import { planBarriers } from './passes/barriers.ts';
import { fuse } from './passes/fuse.ts';
import { layOut } from './passes/layout.ts';
import { applyPrecision, type Precision } from './passes/precision.ts';
import type { NamedTensors } from './passes/rebuild.ts';
import { share } from './passes/share.ts';
import type { Plan } from './plan.ts';
import { DimVar } from './shape.ts';
import { reachable } from './tensor.ts';

export interface CompileOptions {
  /** `exact` unless given: see passes/precision.ts. */
  readonly precision?: Precision;
  /** Whether ops may be fused; true unless given. False shows every op of the graph as a step of its own. */
  readonly fuse?: boolean;
}

/**
 * Compile the graph under `outputs`. Ops that change a parameter in place (`kvWrite`) belong among the outputs, or the
 * change is not made. Throws ShapeError when two inputs or parameters share a name.
 */
export function compile(outputs: NamedTensors, options: CompileOptions = {}): Plan {
  checkNames(outputs);
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
