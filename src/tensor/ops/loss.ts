/** The loss of likelihood training. */
import { ShapeError } from '../../errors.ts';
import { formatShape, sameShape } from '../shape.ts';
import type { Tensor, TensorType } from '../tensor.ts';
import type { OpAttrs } from './attrs.ts';
import type { OpRow } from './row.ts';

function check(op: string, logits: TensorType, targets: TensorType): void {
  if (logits.dtype !== 'f32' || targets.dtype !== 'i32' || !sameShape(logits.shape.slice(0, -1), targets.shape)) {
    throw new ShapeError(
      op,
      `targets ${targets.dtype}${formatShape(targets.shape)} do not fit logits ${formatShape(logits.shape)}`,
    );
  }
}

function rowLogSumExp(row: ArrayLike<number>): number {
  let greatest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < row.length; i++) greatest = Math.max(greatest, row[i]);
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += Math.exp(row[i] - greatest);
  return greatest + Math.log(sum);
}

export const lossRows = {
  crossEntropy: {
    arity: [2, 2],
    infer([logits, targets]) {
      check('crossEntropy', logits!, targets!);
      return { dtype: 'f32', shape: targets!.shape };
    },
    gradient({ f, inputs, attrs, grad }) {
      const [logits, targets] = inputs as [Tensor, Tensor];
      return [f.crossEntropyGrad(logits, targets, grad, attrs.ignoreIndex), null];
    },
    reference([logits, targets], { ignoreIndex }) {
      const v = logits!.shape.at(-1)!;
      return Float64Array.from(targets!.data, (target, row) => {
        if (target === ignoreIndex) return 0;
        const scores = logits!.data.subarray(row * v, (row + 1) * v);
        return rowLogSumExp(scores) - (scores[target] ?? Number.NaN);
      });
    },
    kernel: { opcode: 'crossEntropy', ints: ({ ignoreIndex }) => [ignoreIndex] },
  } satisfies OpRow<OpAttrs['crossEntropy']>,

  crossEntropyGrad: {
    arity: [3, 3],
    infer([logits, targets, grad]) {
      check('crossEntropyGrad', logits!, targets!);
      if (grad!.dtype !== 'f32' || !sameShape(grad!.shape, targets!.shape))
        throw new ShapeError('crossEntropyGrad', 'one gradient for each target');
      return { dtype: 'f32', shape: logits!.shape };
    },
    gradient: 'second derivatives are not needed',
    reference([logits, targets, grad], { ignoreIndex }) {
      const v = logits!.shape.at(-1)!;
      const result = new Float64Array(logits!.data.length);
      targets!.data.forEach((target, row) => {
        if (target === ignoreIndex) return;
        const scores = logits!.data.subarray(row * v, (row + 1) * v);
        const total = rowLogSumExp(scores);
        for (let i = 0; i < v; i++) {
          result[row * v + i] = grad!.data[row] * (Math.exp(scores[i] - total) - (i === target ? 1 : 0));
        }
      });
      return result;
    },
    kernel: { opcode: 'crossEntropyGrad', ints: ({ ignoreIndex }) => [ignoreIndex] },
    inPlace: [0],
  } satisfies OpRow<OpAttrs['crossEntropyGrad']>,
} as const;
