/** Precision: where activations may be rounded so that products are cheaper. */
import { dtypes, isBlockType } from '../dtype.ts';
import * as f from '../functions.ts';
import { apply } from '../functions.ts';
import type { Tensor } from '../tensor.ts';
import { type NamedTensors, rebuild } from './rebuild.ts';

/**
 * - `exact`: activations are float32 everywhere; quantised weights are widened.
 * - `fast`: activations that meet quantised weights become blocks of signed bytes, so that products are of integers.
 */
export const precisions = ['exact', 'fast'] as const;
export type Precision = (typeof precisions)[number];

export function applyPrecision(outputs: NamedTensors, precision: Precision): NamedTensors {
  if (precision === 'exact') return outputs;
  return rebuild(outputs, (old, inputs) => {
    const { op, attrs } = old.origin;
    if (op !== 'matmul' && op !== 'expertMatmul') return null;
    const [x, weight, ...rest] = inputs as readonly [Tensor, Tensor, ...(Tensor | null)[]];
    const whole = (x.shape.at(-1) as number) % dtypes.q8a.block === 0;
    const transposed = 'transposeA' in attrs && attrs.transposeA; // its rows are not the rows of the product
    if (!isBlockType(weight.dtype) || x.dtype !== 'f32' || !whole || transposed) return null;
    return apply(op, [f.quantize8(x), weight, ...rest], attrs as never);
  });
}
