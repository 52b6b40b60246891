/** Reverse-mode differentiation of graphs: the gradient is more graph. */
import { ShapeError } from '../errors.ts';
import { isBlockType } from './dtype.ts';
import * as f from './functions.ts';
import { rowOf } from './ops/table.ts';
import { dimMax } from './shape.ts';
import { type OpOrigin, reachable, Tensor } from './tensor.ts';

export interface GradientOptions {
  /**
   * Tensors on the way to the loss, in order: what lies before the last of them is not kept for the backward pass but computed
   * again from the one before it, when its turn comes (Chen et al. 2016). The same numbers, less memory, more arithmetic.
   */
  readonly recompute?: readonly Tensor[];
}

/**
 * The gradients of a scalar `loss` (one element) by each of `params`, each of its parameter's shape. A parameter that the loss does not
 * depend on gets zeros. Throws ShapeError when the path to a parameter leads through an op that has no gradient, and for a parameter
 * whose numbers cannot be moved: integers and blocks.
 */
export function gradients(loss: Tensor, params: readonly Tensor[], { recompute = [] }: GradientOptions = {}): Tensor[] {
  if (loss.shape.some((dim) => dimMax(dim) !== 1)) throw new ShapeError('gradients', 'the loss has to be one number');
  const fixed = params.find(({ dtype }) => dtype === 'i32' || isBlockType(dtype));
  if (fixed) throw new ShapeError('gradients', `${fixed} cannot be learnt: ${fixed.dtype} has no small steps`);
  const order = reachable([loss]);
  const needed = new Set<Tensor>(params);
  for (const tensor of order) if (tensor.inputs.some((input) => needed.has(input))) needed.add(tensor);

  const again = new Recomputation(recompute);
  const known = new Map<Tensor, Tensor>();
  known.set(loss, f.constant([1], loss.shape as number[]));
  for (const output of order.reverse()) {
    const grad = known.get(output);
    if (!grad || output.origin.kind !== 'op' || !needed.has(output)) continue;
    const { op, attrs, inputs } = output.origin;
    if (!inputs.some((input) => input && needed.has(input))) continue;
    const { gradient } = rowOf(op);
    if (typeof gradient === 'string') throw new ShapeError(op, `has no gradient: ${gradient}`);
    const seen = inputs.map((input) => input && again.of(input, grad));
    const parts = gradient({ inputs: seen, attrs, output: again.of(output, grad), grad, f });
    inputs.forEach((input, i) => {
      const part = parts[i];
      if (!input || !part || !needed.has(input)) return;
      const before = known.get(input);
      known.set(input, before ? f.add(before, part) : part);
    });
  }
  return params.map((param) => known.get(param) ?? f.broadcastTo(f.constant([0], []), param.shape));
}

/** The forward tensors as the backward pass sees them: kept, or computed again from the boundary before them. */
class Recomputation {
  private readonly boundaries: ReadonlySet<Tensor>;
  /** What is not kept: what the last boundary was made of, as far as it follows from an earlier one or from random numbers. */
  private readonly forgotten = new Set<Tensor>();
  private readonly copies = new Map<Tensor, Tensor>();

  constructor(boundaries: readonly Tensor[]) {
    this.boundaries = new Set(boundaries);
    for (const tensor of boundaries.length > 0 ? reachable([boundaries[boundaries.length - 1]]) : []) {
      if (this.boundaries.has(tensor) || tensor.origin.kind !== 'op') continue;
      const follows = tensor.inputs.some((input) => this.boundaries.has(input) || this.forgotten.has(input));
      if (follows || tensor.origin.op === 'random') this.forgotten.add(tensor);
    }
  }

  /** @param after the gradient whose turn it is: nothing is computed again before it is known. */
  of(tensor: Tensor, after: Tensor): Tensor {
    const root = this.copies.get(tensor);
    if (root || !this.forgotten.has(tensor)) return root ?? tensor;
    // Depth first without recursion: layers are chains of any length.
    const stack = [tensor];
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      const missing = top.inputs.filter((input) => this.forgotten.has(input) && !this.copies.has(input));
      if (missing.length > 0) {
        stack.push(...missing);
        continue;
      }
      stack.pop();
      if (this.copies.has(top)) continue;
      const { origin } = top as Tensor & { origin: OpOrigin };
      const inputs = origin.inputs.map((input) => input && this.source(input, origin.op, after));
      this.copies.set(top, new Tensor(top.dtype, top.shape, { ...origin, inputs } as OpOrigin));
    }
    return this.copies.get(tensor)!;
  }

  private source(input: Tensor, user: string, after: Tensor): Tensor {
    const copy = this.copies.get(input);
    if (copy) return copy;
    if (!this.boundaries.has(input) && user !== 'random') return input;
    const held = f.hold(input, after);
    this.copies.set(input, held);
    return held;
  }
}
