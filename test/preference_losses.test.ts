/** The losses of DPO, IPO, ORPO and KTO against the papers' formulas in plain doubles, their gradients against differences. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { evaluate } from '../src/backends/reference/evaluate.ts';
import { f, gradients, type Tensor } from '../src/tensor/index.ts';
import {
  dpoLoss,
  ipoLoss,
  ktoLoss,
  logOdds,
  logRatioMargin,
  negLogSigmoid,
  oddsRatioLoss,
} from '../src/training/preference/losses.ts';

/** log(1 + e^x) by the library's own log1p. */
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const odds = (logP: number) => logP - Math.log(-Math.expm1(logP));

type Values = readonly (readonly number[])[];

/** A loss of tensors (P), its values and the gradients of their sum in double precision. */
function lookAt(values: Values, loss: (...x: Tensor[]) => Tensor) {
  const P = values[0].length;
  const inputs = values.map((_, i) => f.parameter(`x${i}`, 'f32', [P]));
  const given = new Map<Tensor, ArrayLike<number>>(inputs.map((tensor, i) => [tensor, Float64Array.from(values[i])]));
  const y = loss(...inputs);
  const grads = gradients(f.reshape(f.sum(y, 0), [1]), inputs);
  const found = evaluate([y, ...grads], given);
  return { value: [...found.get(y)!], grads: grads.map((grad) => [...found.get(grad)!]) };
}

/** One element by one, for the gradients by each input, by central differences of the plain formula. */
function check(values: Values, loss: (...x: Tensor[]) => Tensor, plain: (...x: number[]) => number, limit = 1e-6) {
  const { value, grads } = lookAt(values, loss);
  const at = (i: number) => values.map((x) => x[i]);
  value.forEach((found, i) => {
    const wanted = plain(...at(i));
    expect
      .soft(Math.abs(found - wanted), `value at ${at(i)}: ${found}, not ${wanted}`)
      .toBeLessThan(limit * Math.max(1, Math.abs(wanted)));
    grads.forEach((grad, which) => {
      const step = 1e-6 * Math.max(1e-3, Math.abs(values[which][i]));
      const moved = (by: number) => plain(...at(i).map((x, j) => (j === which ? x + by : x)));
      const difference = (moved(step) - moved(-step)) / (2 * step);
      expect
        .soft(Math.abs(grad[i] - difference), `gradient ${which} at ${at(i)}: ${grad[i]}, not ${difference}`)
        .toBeLessThan(1e-4 * Math.max(1, Math.abs(difference)));
    });
  });
}

const numbers = (min: number, max: number, inputs: number) =>
  fc
    .array(fc.tuple(...Array.from({ length: inputs }, () => fc.double({ min, max, noNaN: true }))), {
      minLength: 1,
      maxLength: 8,
    })
    .map((rows) => Array.from({ length: inputs }, (_, i) => rows.map((row) => row[i])));

describe('-log sigmoid', () => {
  it('is log(1 + e^-x)', () => {
    fc.assert(
      fc.property(numbers(-30, 30, 1), (values) => check(values, negLogSigmoid, (x) => softplus(-x))),
      { numRuns: 30 },
    );
  });

  it('has the gradient -1/2 at 0 and no overflow far from it', () => {
    const { value, grads } = lookAt([[0, -1000, 1000, -1e30]], negLogSigmoid);
    expect(value).toEqual(
      [Math.fround(Math.LN2), 1000, 0, 1e30].map((x, i) => (i === 0 ? expect.closeTo(Math.LN2, 12) : x)),
    );
    expect(grads[0]).toEqual([-0.5, -1, expect.closeTo(0, 12), -1]);
  });
});

describe('log odds', () => {
  it('is log(p / (1 - p)), near certainty too', () => {
    const values = [[-1e-5, -1e-3, -0.01, -0.5, -Math.LN2, -1, -5, -40]];
    check(values, logOdds, odds);
  });

  it('is finite for what is certain', () => {
    const { value, grads } = lookAt([[0, -1e-9, -200]], logOdds);
    expect(value[0]).toBeCloseTo(-Math.log(1e-6), 3);
    expect(value[1]).toBe(value[0]);
    expect(value[2]).toBeCloseTo(-200, 9);
    for (const grad of grads[0]) expect(Number.isFinite(grad)).toBe(true);
  });
});

describe('losses', () => {
  const pairs = (...x: Tensor[]) =>
    [
      { chosen: x[0], rejected: x[1] },
      { chosen: x[2], rejected: x[3] },
    ] as const;
  const margin = (pc: number, pr: number, rc: number, rr: number) => pc - rc - (pr - rr);

  it.each([
    [0.1, 0],
    [0.5, 0.2],
  ])('DPO with beta %d and label smoothing %d', (beta, smoothing) => {
    const plain = (...x: [number, number, number, number] | number[]) => {
      const z = beta * margin(x[0], x[1], x[2], x[3]);
      return (1 - smoothing) * softplus(-z) + smoothing * softplus(z);
    };
    fc.assert(
      fc.property(numbers(-60, 0, 4), (values) =>
        check(values, (...x) => dpoLoss(logRatioMargin(...pairs(...x)), beta, smoothing), plain),
      ),
      { numRuns: 20 },
    );
  });

  it('IPO', () => {
    const beta = 0.1;
    fc.assert(
      fc.property(numbers(-6, 0, 4), (values) =>
        check(
          values,
          (...x) => ipoLoss(logRatioMargin(...pairs(...x)), beta),
          (...x) => (margin(x[0], x[1], x[2], x[3]) - 1 / (2 * beta)) ** 2,
        ),
      ),
      { numRuns: 20 },
    );
  });

  it('ORPO', () => {
    fc.assert(
      fc.property(numbers(-8, -1e-3, 2), (values) =>
        check(
          values,
          (chosen, rejected) => oddsRatioLoss({ chosen, rejected }).loss,
          (chosen, rejected) => softplus(odds(rejected) - odds(chosen)),
        ),
      ),
      { numRuns: 20 },
    );
  });

  it('KTO: 1 - sigmoid(beta (r - z)) of what is desirable, 1 - sigmoid(beta (z - r)) of what is not', () => {
    const beta = 0.1;
    const kl = 1.5;
    for (const sign of [1, -1]) {
      fc.assert(
        fc.property(numbers(-40, 40, 1), (values) => {
          const signs = f.constant(
            values[0].map(() => sign),
            [values[0].length],
          );
          check(
            values,
            (ratio) => ktoLoss(ratio, f.constant([kl], [1]), signs, beta),
            (ratio) => 1 - sigmoid(beta * (sign > 0 ? ratio - kl : kl - ratio)),
          );
        }),
        { numRuns: 20 },
      );
    }
  });
});
