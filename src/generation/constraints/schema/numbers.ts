/**
 * Sets of numbers as schemas describe them. Bounds are inclusive decimals: readers round a text to the nearest double, which keeps order, so a text within
 * inclusive bounds stays within them; an exclusive bound is the inclusive one at the neighbouring double.
 */
import {
  ceilingMultiple,
  compare,
  type Decimal,
  decimalOf,
  doubleOf,
  isMultiple,
  leastCommonMultiple,
  nextDown,
  nextUp,
} from './decimal.ts';
import type { Problem } from './problem.ts';

export interface NumberShape {
  /** Inclusive; null where there is none. */
  readonly low: Decimal | null;
  readonly high: Decimal | null;
  /** All values are multiples of it. */
  readonly multiple: Decimal | null;
  /** No value is a multiple of any of these. */
  readonly not: readonly Decimal[];
  readonly problem?: Problem;
}

export const ANY_NUMBER: NumberShape = { low: null, high: null, multiple: null, not: [] };

export function below(bound: Decimal): Decimal | null {
  const next = nextDown(doubleOf(bound));
  return Number.isFinite(next) ? decimalOf(next) : null;
}

export function above(bound: Decimal): Decimal | null {
  const next = nextUp(doubleOf(bound));
  return Number.isFinite(next) ? decimalOf(next) : null;
}

/** @returns null where no number is in both. */
export function bothNumbers(a: NumberShape, b: NumberShape): NumberShape | null {
  const low = a.low === null ? b.low : b.low === null ? a.low : compare(a.low, b.low) >= 0 ? a.low : b.low;
  const high = a.high === null ? b.high : b.high === null ? a.high : compare(a.high, b.high) <= 0 ? a.high : b.high;
  const multiple =
    a.multiple === null ? b.multiple : b.multiple === null ? a.multiple : leastCommonMultiple(a.multiple, b.multiple);
  const not = [...a.not];
  for (const step of b.not) if (!not.some((other) => compare(other, step) === 0)) not.push(step);
  if (low !== null && high !== null) {
    if (compare(low, high) > 0) return null;
    if (multiple !== null && compare(ceilingMultiple(low, multiple), high) > 0) return null;
    if (compare(low, high) === 0 && not.some((step) => isMultiple(low, step))) return null;
  }
  if (multiple !== null && not.some((step) => isMultiple(multiple, step))) return null;
  return { low, high, multiple, not, problem: a.problem ?? b.problem };
}

/** The numbers that a shape leaves out. */
export function otherNumbers(shape: NumberShape): NumberShape[] {
  if (shape.problem !== undefined) return [{ ...ANY_NUMBER, problem: shape.problem }];
  const others: NumberShape[] = [];
  if (shape.low !== null) {
    const high = below(shape.low);
    if (high !== null) others.push({ ...ANY_NUMBER, high });
  }
  if (shape.high !== null) {
    const low = above(shape.high);
    if (low !== null) others.push({ ...ANY_NUMBER, low });
  }
  if (shape.multiple !== null) others.push({ ...ANY_NUMBER, not: [shape.multiple] });
  for (const step of shape.not) others.push({ ...ANY_NUMBER, multiple: step });
  return others;
}

export function numberShape(value: number): NumberShape {
  const decimal = decimalOf(value);
  return { low: decimal, high: decimal, multiple: null, not: [] };
}

/** The one value of a shape, or undefined. */
export function onlyNumber(shape: NumberShape): number | undefined {
  if (shape.low === null || shape.high === null || compare(shape.low, shape.high) !== 0) return undefined;
  return doubleOf(shape.low);
}
