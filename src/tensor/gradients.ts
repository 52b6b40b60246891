/** Reverse-mode differentiation of graphs: the gradient is more graph. */
import { ShapeError } from '../errors.ts';
import { isBlockType } from './dtype.ts';
import * as f from './functions.ts';
import { rowOf } from './ops/table.ts';
import { dimMax } from './shape.ts';
import { reachable, type Tensor } from './tensor.ts';

/**
 * The gradients of a scalar `loss` (one element) by each of `params`, each of its parameter's shape. A parameter that the loss does not
 * depend on gets zeros. Throws ShapeError when the path to a parameter leads through an op that has no gradient, and for a parameter
 * whose numbers cannot be moved: integers and blocks.
 */
export function gradients(loss: Tensor, params: readonly Tensor[]): Tensor[] {
  if (loss.shape.some((dim) => dimMax(dim) !== 1)) throw new ShapeError('gradients', 'the loss has to be one number');
  const fixed = params.find(({ dtype }) => dtype === 'i32' || isBlockType(dtype));
  if (fixed) throw new ShapeError('gradients', `${fixed} cannot be learnt: ${fixed.dtype} has no small steps`);
  const order = reachable([loss]);
  const needed = new Set<Tensor>(params);
  for (const tensor of order) if (tensor.inputs.some((input) => needed.has(input))) needed.add(tensor);

  const known = new Map<Tensor, Tensor>();
  known.set(loss, f.constant([1], loss.shape as number[]));
  for (const output of order.reverse()) {
    const grad = known.get(output);
    if (!grad || output.origin.kind !== 'op' || !needed.has(output)) continue;
    const { op, attrs, inputs } = output.origin;
    if (!inputs.some((input) => input && needed.has(input))) continue;
    const { gradient } = rowOf(op);
    if (typeof gradient === 'string') throw new ShapeError(op, `has no gradient: ${gradient}`);
    const parts = gradient({ inputs, attrs, output, grad, f });
    inputs.forEach((input, i) => {
      const part = parts[i];
      if (!input || !part || !needed.has(input)) return;
      const before = known.get(input);
      known.set(input, before ? f.add(before, part) : part);
    });
  }
  return params.map((param) => known.get(param) ?? f.broadcastTo(f.constant([0], []), param.shape));
}
