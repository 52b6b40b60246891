/** Graphs evaluated node by node in double precision: the definition that gradients are checked against, and a way to see any value. */

import type { Numbers, Value } from '../../tensor/ops/row.ts';
import { rowOf } from '../../tensor/ops/table.ts';
import { bindShape, type DimBindings, sizeOf } from '../../tensor/shape.ts';
import { reachable, type Tensor } from '../../tensor/tensor.ts';

/**
 * The numbers of every tensor under `outputs`, from those of the inputs and parameters in `given`, which stay as they are: what an op
 * changes in place is its result. Throws RangeError when an input is missing or of the wrong length.
 */
export function evaluate(
  outputs: readonly Tensor[],
  given: ReadonlyMap<Tensor, ArrayLike<number>>,
  dims: DimBindings = {},
): Map<Tensor, Numbers> {
  const values = new Map<Tensor, Value>();
  for (const tensor of reachable(outputs)) {
    const shape = bindShape(tensor.shape, dims);
    values.set(tensor, { dtype: tensor.dtype, shape, data: numbersOf(tensor, shape, values, given) });
  }
  return new Map([...values].map(([tensor, { data }]) => [tensor, data]));
}

function numbersOf(
  tensor: Tensor,
  shape: readonly number[],
  values: ReadonlyMap<Tensor, Value>,
  given: ReadonlyMap<Tensor, ArrayLike<number>>,
): Numbers {
  const { origin } = tensor;
  if (origin.kind === 'op') {
    const inputs = origin.inputs.map((input) => input && values.get(input)!);
    return rowOf(origin.op).reference(inputs, origin.attrs, shape);
  }
  const data = origin.kind === 'constant' ? origin.data : given.get(tensor);
  if (!data || data.length !== sizeOf(shape)) {
    throw new RangeError(`${tensor} needs ${sizeOf(shape)} numbers, got ${data?.length ?? 'none'}`);
  }
  return tensor.dtype === 'i32' ? Int32Array.from(data) : Float64Array.from(data);
}
