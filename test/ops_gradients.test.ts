/** Gradients against central finite differences, in double precision. */
import { describe, expect, it } from 'vitest';
import { evaluate } from '../src/backends/reference/evaluate.ts';
import { apply } from '../src/tensor/functions.ts';
import { f, gradients, type Tensor } from '../src/tensor/index.ts';
import { opTable } from '../src/tensor/ops/table.ts';
import { bindShape } from '../src/tensor/shape.ts';
import { type AnyCase, allCases } from './op_cases.ts';
import { dataOf, uniformAt } from './op_data.ts';

const STEP = 1e-5;
/** Elements of each input that are moved: all of a small one, a spread of a large one. */
const MOST = 24;

function check(one: AnyCase, seed: number): void {
  const dims = one.dims.at(-1)!;
  const given = new Map<Tensor, ArrayLike<number>>();
  const operands = one.inputs.map((operand, i) => {
    if (!operand) return null;
    const shape = bindShape(operand.shape, dims);
    // weights keep their type: gradients have to pass them on the way to what is learnt
    const tensor = f.parameter(`x${i}`, operand.dtype, shape);
    given.set(tensor, Float64Array.from(dataOf(operand.dtype, shape, operand.fill, seed * 100 + i).numbers));
    return tensor;
  });
  const learnt = operands.filter((tensor, i): tensor is Tensor => tensor !== null && one.inputs[i]!.learn);
  const y = apply(one.op, operands, one.attrs as never);
  const size = (y.shape as number[]).reduce((a, b) => a * b, 1);
  const direction = f.constant(
    Array.from({ length: size }, (_, i) => uniformAt(seed, i) * 2 - 1),
    y.shape as number[],
  );
  const loss = f.reshape(f.sum(f.reshape(f.mul(y, direction), [size]), 0), [1]);
  const grads = gradients(loss, learnt);
  const values = evaluate(grads, given);
  const lossAt = () => evaluate([loss], given).get(loss)![0];
  learnt.forEach((tensor, which) => {
    const numbers = given.get(tensor) as Float64Array;
    const stride = Math.max(1, Math.floor(numbers.length / MOST));
    for (let i = 0; i < numbers.length; i += stride) {
      const before = numbers[i];
      const step = STEP * Math.max(1, Math.abs(before));
      numbers[i] = before + step;
      const above = lossAt();
      numbers[i] = before - step;
      const below = lossAt();
      numbers[i] = before;
      const difference = (above - below) / (2 * step);
      const analytic = values.get(grads[which])![i];
      const limit = 2e-6 * Math.max(1, Math.abs(difference), Math.abs(above) * 1e-2);
      expect
        .soft(
          Math.abs(analytic - difference),
          `${one.name}: input ${which}, element ${i}: ${analytic} against ${difference}`,
        )
        .toBeLessThan(limit);
    }
  });
}

const differentiable = allCases().filter(
  ({ op, inputs }) => typeof opTable[op].gradient !== 'string' && inputs.some((x) => x?.learn),
);

describe('gradients', () => {
  const ops = [...new Set(differentiable.map(({ op }) => op))];
  it.each(ops)('%s', (op) => {
    differentiable.filter((one) => one.op === op).forEach(check);
  });

  it('every op has a checked gradient or a reason why not', () => {
    for (const [op, { gradient }] of Object.entries(opTable)) {
      if (typeof gradient === 'string') expect(gradient.length, op).toBeGreaterThan(10);
      // Rounding has no difference quotient, and a detached number is not to have one; the next tests say what their gradients are.
      else if (op !== 'cast' && op !== 'detach') expect(ops, op).toContain(op);
    }
  });

  it('passes through a cast', () => {
    const x = f.input('x', 'f32', [3]);
    const loss = f.reshape(f.sum(f.mul(f.cast(f.cast(x, 'bf16'), 'f32'), f.constant([1, 2, 3], [3])), 0), [1]);
    const [grad] = gradients(loss, [x]);
    expect([...evaluate([grad], new Map([[x, [4, 5, 6]]])).get(grad)!]).toEqual([1, 2, 3]);
  });

  it('stops at a detached number', () => {
    const x = f.input('x', 'f32', [3]);
    const loss = f.reshape(f.sum(f.mul(x, f.detach(f.square(x))), 0), [1]);
    const [grad] = gradients(loss, [x]);
    expect([...evaluate([grad], new Map([[x, [1, 2, 3]]])).get(grad)!]).toEqual([1, 4, 9]);
  });

  it('refuses a path without a gradient, and says why', () => {
    const x = f.input('x', 'f32', [2, 4]);
    const loss = f.reshape(f.sum(f.max(x), 0, 2), [1]);
    expect(() => gradients(loss, [x])).toThrow(/max: has no gradient/);
  });
});
