/** What ops give, against numbers that NumPy computed from the formulas (test/oracles/make_tensor_values.py), on every backend. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { evaluate } from '../src/backends/reference/evaluate.ts';
import { apply } from '../src/tensor/functions.ts';
import { compile, f, type OpName, type Tensor } from '../src/tensor/index.ts';
import { compiled, reference } from './backends.ts';
import { type OpEntry, opCases } from './op_cases.ts';

interface KnownValue {
  readonly op: OpName;
  readonly attrs: object;
  readonly inputs: readonly { dtype: 'f32' | 'i32'; shape: number[]; data: (number | string)[] }[];
  readonly output: readonly (number | string)[];
}

const file = new URL('./golden/tensor/values.json', import.meta.url);
const values = JSON.parse(readFileSync(file, 'utf8')) as KnownValue[];
/** JSON has no infinities: they are written "inf". */
const number = (x: number | string): number => (typeof x === 'number' ? x : Number(x.replace('inf', 'Infinity')));

function graphOf({ op, attrs, inputs }: KnownValue): { y: Tensor; tensors: Tensor[] } {
  const tensors = inputs.map(({ dtype, shape }, i) => f.input(`x${i}`, dtype, shape));
  return { y: f.cast(apply(op, tensors, attrs as never), op === 'topk' ? 'i32' : 'f32'), tensors };
}

function check(actual: ArrayLike<number>, known: KnownValue, limit: (wanted: number, top: number) => number): void {
  const wanted = known.output.map(number);
  expect(actual.length).toBe(wanted.length);
  const top = wanted.reduce((most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most), 0);
  wanted.forEach((x, i) => {
    if (actual[i] === x) return;
    const where = `${known.op} ${JSON.stringify(known.attrs)} element ${i}: ${actual[i]}, not ${x}`;
    expect(Math.abs(actual[i] - x), where).toBeLessThanOrEqual(limit(x, top));
  });
}

describe('known values', () => {
  it('are those of the definitions, in double precision', () => {
    for (const known of values) {
      const { y, tensors } = graphOf(known);
      const given = new Map(tensors.map((tensor, i) => [tensor, known.inputs[i].data.map(number)]));
      check(evaluate([y], given).get(y)!, known, (x, top) => 1e-13 * top + 1e-12 * Math.abs(x));
    }
  });

  describe.each([reference, ...compiled])('on $name', ({ missing, make }) => {
    it.skipIf(missing)('are those numbers, rounded', async () => {
      const backend = make(2);
      for (const known of values) {
        const { y } = graphOf(known);
        const inputs = known.inputs.map(({ dtype, data }, i) => {
          const Kind = dtype === 'i32' ? Int32Array : Float32Array;
          return [`x${i}`, Kind.from(data.map(number))] as const;
        });
        const result = await backend.load(compile({ y }), {}).run({ inputs: Object.fromEntries(inputs) });
        const { tolerance } = opCases[known.op] as OpEntry<OpName>;
        const { relative = 0, row = 0, absolute = 0 } = tolerance === 'exact' ? {} : tolerance;
        const rounding = tolerance === 'exact' ? 0 : 2 ** -24;
        check(result.y, known, (x, top) => (relative + rounding) * Math.abs(x) + row * top + absolute);
      }
      await backend.close();
    });
  });
});
