/**
 * The last ops of a training step: the size of the gradients, and the steps that change parameters and the optimiser's state in
 * place. The latter have an input `scale` (1), the factor of clipping on gradients; where it is not a finite number they change
 * nothing, so that a step whose gradients are NaN or infinite leaves the model as it was.
 */
import { ShapeError } from '../../errors.ts';
import { formatShape, sameShape } from '../shape.ts';
import type { TensorType } from '../tensor.ts';
import type { None, OpAttrs } from './attrs.ts';
import type { OpRow } from './row.ts';

/** `count` tensors of one f32 shape, a scale (1), and for some a vector of what changes from step to step. */
function check(op: string, inputs: readonly (TensorType | null)[], count: number, vector: number): TensorType {
  const [first] = inputs;
  const like = inputs.slice(0, count).every((x) => x!.dtype === 'f32' && sameShape(x!.shape, first!.shape));
  if (!like) {
    const shapes = inputs.slice(0, count).map((x) => `${x!.dtype}${formatShape(x!.shape)}`);
    throw new ShapeError(op, `needs f32 tensors of one shape, not ${shapes.join(', ')}`);
  }
  const rest = [1, vector].slice(0, inputs.length - count);
  rest.forEach((length, i) => {
    const x = inputs[count + i]!;
    if (x.dtype !== 'f32' || !sameShape(x.shape, [length])) {
      throw new ShapeError(op, `input ${count + i} has to be f32 (${length}), not ${x.dtype}${formatShape(x.shape)}`);
    }
  });
  return { dtype: 'f32', shape: first!.shape };
}

const noGradient = 'nothing is learnt through an optimiser';

export const optimizerRows = {
  adamw: {
    arity: [6, 6],
    infer: (inputs) => check('adamw', inputs, 4, 3),
    gradient: noGradient,
    reference([p, m, v, g, scale, rates], { beta1, beta2, eps, weightDecay }) {
      const factor = scale!.data[0];
      const [rate, correction1, correction2] = rates!.data;
      if (!Number.isFinite(factor)) return p!.data;
      for (let i = 0; i < p!.data.length; i++) {
        const grad = g!.data[i] * factor;
        m!.data[i] = beta1 * m!.data[i] + (1 - beta1) * grad;
        v!.data[i] = beta2 * v!.data[i] + (1 - beta2) * grad * grad;
        const step = m!.data[i] / correction1 / (Math.sqrt(v!.data[i] / correction2) + eps);
        p!.data[i] = p!.data[i] * (1 - rate * weightDecay) - rate * step;
      }
      return p!.data;
    },
    kernel: {
      opcode: 'adamw',
      // Both a factor and what it leaves of 1: the difference of float32 numbers would be less exact.
      floats: ({ beta1, beta2, eps, weightDecay }) => [beta1, 1 - beta1, beta2, 1 - beta2, eps, weightDecay],
    },
    mutates: [0, 1, 2],
  } satisfies OpRow<OpAttrs['adamw']>,

  momentum: {
    arity: [3, 3],
    infer: (inputs) => check('momentum', inputs, 2, 0),
    gradient: noGradient,
    reference([buffer, g, scale], { keep, take }) {
      const factor = scale!.data[0];
      if (!Number.isFinite(factor)) return buffer!.data;
      for (let i = 0; i < buffer!.data.length; i++) {
        buffer!.data[i] = keep * buffer!.data[i] + take * (g!.data[i] * factor);
      }
      return buffer!.data;
    },
    kernel: { opcode: 'momentum', floats: ({ keep, take }) => [keep, take] },
    mutates: [0],
  } satisfies OpRow<OpAttrs['momentum']>,

  descend: {
    arity: [4, 4],
    infer: (inputs) => check('descend', inputs, 2, 1),
    gradient: noGradient,
    reference([p, direction, scale, rates], { factor, weightDecay }) {
      const by = scale!.data[0];
      const rate = rates!.data[0];
      if (!Number.isFinite(by)) return p!.data;
      for (let i = 0; i < p!.data.length; i++) {
        p!.data[i] = p!.data[i] * (1 - rate * weightDecay) - rate * factor * by * direction!.data[i];
      }
      return p!.data;
    },
    kernel: { opcode: 'descend', floats: ({ factor, weightDecay }) => [factor, weightDecay] },
    mutates: [0],
  } satisfies OpRow<OpAttrs['descend']>,

  accumulate: {
    arity: [3, 3],
    infer: (inputs) => check('accumulate', inputs, 2, 0),
    gradient: noGradient,
    reference([total, x, keep]) {
      const before = keep!.data[0] !== 0;
      for (let i = 0; i < total!.data.length; i++) total!.data[i] = (before ? total!.data[i] : 0) + x!.data[i];
      return total!.data;
    },
    kernel: { opcode: 'accumulate' },
    mutates: [0],
  } satisfies OpRow<None>,

  sumSquares: {
    arity: [1, 16],
    infer(inputs) {
      const other = inputs.find((x) => x!.dtype !== 'f32');
      if (other) throw new ShapeError('sumSquares', `works on f32, not ${other.dtype}`);
      return { dtype: 'f32', shape: [1] };
    },
    gradient: ({ f, inputs, grad }) => inputs.map((x) => f.mul(f.affine(x!, 2, 0), grad)),
    reference(inputs) {
      let total = 0;
      for (const x of inputs) for (let i = 0; i < x!.data.length; i++) total += x!.data[i] * x!.data[i];
      return Float64Array.of(total);
    },
    kernel: { opcode: 'sumSquares' },
  } satisfies OpRow<None>,
} as const;
