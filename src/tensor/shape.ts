/**
 * Shapes whose dimensions are numbers or bounded variables. A variable (rows in this step, sequences in this step) is bound at
 * each run; memory is planned for its `max`.
 */

import { ShapeError } from '../errors.ts';

/** A dimension known only when a plan runs: between 0 and `max`. Variables are equal when they are the same object. */
export class DimVar {
  constructor(
    readonly name: string,
    readonly max: number,
  ) {}

  toString(): string {
    return `${this.name}<=${this.max}`;
  }
}

export type Dim = number | DimVar;
export type Shape = readonly Dim[];

/** A dimension that has to be a number. Throws ShapeError for a variable. */
export function fixedDim(op: string, dim: Dim, axis: number): number {
  if (typeof dim !== 'number')
    throw new ShapeError(op, `axis ${axis} is the variable ${dim.name}; it needs a fixed length`);
  return dim;
}

/** The values of the dimension variables in one run, by name. */
export type DimBindings = Readonly<Record<string, number>>;

export function dimMax(dim: Dim): number {
  return typeof dim === 'number' ? dim : dim.max;
}

/** Elements of a shape when every variable takes its maximum. */
export function sizeMax(shape: Shape): number {
  return shape.reduce<number>((product, dim) => product * dimMax(dim), 1);
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** The shape with its variables replaced by their values. Throws RangeError for a value outside its bounds. */
export function bindShape(shape: Shape, bindings: DimBindings): number[] {
  return shape.map((dim) => (typeof dim === 'number' ? dim : bindDim(dim, bindings)));
}

export function bindDim(dim: DimVar, bindings: DimBindings): number {
  const value = bindings[dim.name];
  if (value === undefined || !Number.isInteger(value) || value < 0 || value > dim.max) {
    throw new RangeError(`dimension ${dim.name} = ${value}: must be an integer between 0 and ${dim.max}`);
  }
  return value;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

export function formatShape(shape: Shape): string {
  return `(${shape.map(String).join(', ')})`;
}

/** The product of the dimensions as (constant, variables), to compare sizes that hold variables. */
function factors(shape: Shape): { constant: number; variables: DimVar[] } {
  let constant = 1;
  const variables: DimVar[] = [];
  for (const dim of shape) {
    if (typeof dim === 'number') constant *= dim;
    else variables.push(dim);
  }
  return { constant, variables: variables.sort((a, b) => (a.name < b.name ? -1 : 1)) };
}

/** Whether two shapes hold the same number of elements whatever the variables are. */
export function sameSize(a: Shape, b: Shape): boolean {
  const left = factors(a);
  const right = factors(b);
  return left.constant === right.constant && sameShape(left.variables, right.variables);
}

/** The shape of an element-wise result: trailing dimensions agree or are 1. Null when they do not. */
export function broadcastShapes(a: Shape, b: Shape): Shape | null {
  const rank = Math.max(a.length, b.length);
  const out: Dim[] = [];
  for (let i = 0; i < rank; i++) {
    const left = a[a.length - rank + i] ?? 1;
    const right = b[b.length - rank + i] ?? 1;
    if (left === right || right === 1) out.push(left);
    else if (left === 1) out.push(right);
    else return null;
  }
  return out;
}
