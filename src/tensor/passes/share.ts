/** Common subexpressions: what is computed twice from the same inputs is computed once. */
import { rowOf } from '../ops/table.ts';
import type { Tensor } from '../tensor.ts';
import { type NamedTensors, rebuild, withInputs } from './rebuild.ts';

/** JSON writes infinities and NaN as null, and -0 as 0. */
function exactly(_key: string, value: unknown): unknown {
  return typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0))
    ? `number ${Object.is(value, -0) ? '-0' : value}`
    : value;
}

export function share(outputs: NamedTensors): NamedTensors {
  const seen = new Map<string, Tensor>();
  return rebuild(outputs, (old, inputs) => {
    const { op, attrs } = old.origin;
    if (rowOf(op).mutates) return null;
    const key = `${op} ${JSON.stringify(attrs, exactly)} ${inputs.map((input) => input?.id ?? '-').join(' ')}`;
    const tensor = seen.get(key) ?? withInputs(old, inputs);
    seen.set(key, tensor);
    return tensor;
  });
}
