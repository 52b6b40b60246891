/**
 * Sets of JSON values in one form: for each type a list of shapes, of which a value of that type fits at least one. The form is closed under
 * intersection and complement, up to what is marked as a problem.
 */
import { ANY_NUMBER, bothNumbers, type NumberShape, otherNumbers } from './numbers.ts';
import { type Problem, raise } from './problem.ts';
import { ANY_STRING, bothStrings, costOf, hasString, otherStrings, type StringShape } from './strings.ts';
import type { Term, Terms } from './terms.ts';

/** At least `min` and at most `max` items satisfy the term. */
export interface Containing {
  readonly term: Term;
  readonly min: number;
  readonly max: number;
}

export interface ArrayShape {
  readonly prefix: readonly Term[];
  /** What items after the prefix satisfy. */
  readonly rest: Term;
  readonly min: number;
  readonly max: number;
  readonly contains: readonly Containing[];
  readonly unique: boolean;
  readonly problem?: Problem;
}

export interface Named {
  readonly term: Term;
  readonly required: boolean;
}

/** Members whose keys are in one of the languages. */
export interface KeyClass {
  readonly keys: readonly StringShape[];
  readonly term: Term;
}

export interface ObjectShape {
  readonly named: ReadonlyMap<string, Named>;
  /** Classes of keys, disjoint, that together hold every key that has no name here (they may hold named ones too, which then do not count). */
  readonly others: readonly KeyClass[];
  /** For each, at least one member has a key of it and a value that satisfies its term. */
  readonly some: readonly KeyClass[];
  readonly min: number;
  readonly max: number;
  readonly problem?: Problem;
}

export interface JsonSet {
  readonly null: boolean;
  /** Bit 0: false, bit 1: true. */
  readonly booleans: number;
  readonly numbers: readonly NumberShape[];
  readonly strings: readonly StringShape[];
  readonly arrays: readonly ArrayShape[];
  readonly objects: readonly ObjectShape[];
}

export const NOTHING: JsonSet = { null: false, booleans: 0, numbers: [], strings: [], arrays: [], objects: [] };

export const ANY_KEY: readonly StringShape[] = [ANY_STRING];

const MOST_SHAPES = 1024;
const MOST_WORK = 60_000;

/** The algebra over one schema's terms. Work is counted, so that no schema takes it beyond about a second. */
export class Sets {
  readonly anyArray: ArrayShape;
  readonly anyObject: ObjectShape;
  readonly everything: JsonSet;
  private work = 0;

  constructor(
    readonly terms: Terms,
    /** Whether certainly no value satisfies a term. */
    private readonly isEmpty: (term: Term) => boolean,
  ) {
    this.anyArray = { prefix: [], rest: terms.yes, min: 0, max: Infinity, contains: [], unique: false };
    this.anyObject = {
      named: new Map(),
      others: [{ keys: ANY_KEY, term: terms.yes }],
      some: [],
      min: 0,
      max: Infinity,
    };
    this.everything = {
      null: true,
      booleans: 3,
      numbers: [ANY_NUMBER],
      strings: [ANY_STRING],
      arrays: [this.anyArray],
      objects: [this.anyObject],
    };
  }

  /** Counts one step of work. */
  step(path: string, cost = 1): void {
    this.work += cost;
    if (this.work > MOST_WORK) this.tooLarge(path);
  }

  private tooLarge(path: string): never {
    const reason =
      'combines too many alternatives to be worked out; fewer alternatives in allOf, anyOf, oneOf, not or dependencies would do';
    return raise({ path, value: 'this schema', reason });
  }

  both(a: JsonSet, b: JsonSet, path: string): JsonSet {
    if (a === this.everything) return b;
    if (b === this.everything) return a;
    if (a === b) return a;
    return {
      null: a.null && b.null,
      booleans: a.booleans & b.booleans,
      numbers: this.pairs(a.numbers, b.numbers, path, bothNumbers),
      strings: this.pairs(a.strings, b.strings, path, (x, y) => bothStrings(x, y, path)),
      arrays: this.pairs(a.arrays, b.arrays, path, (x, y) => this.bothArrays(x, y)),
      objects: this.pairs(a.objects, b.objects, path, (x, y) => this.bothObjects(x, y, path)),
    };
  }

  either(a: JsonSet, b: JsonSet, path: string): JsonSet {
    if (a === this.everything || b === this.everything) return this.everything;
    const set: JsonSet = {
      null: a.null || b.null,
      booleans: a.booleans | b.booleans,
      numbers: joined(a.numbers, b.numbers, (shape) => shape === ANY_NUMBER),
      strings: joinedStrings(joined(a.strings, b.strings, (shape) => shape === ANY_STRING)),
      arrays: joined(a.arrays, b.arrays, (shape) => shape === this.anyArray),
      objects: joined(a.objects, b.objects, (shape) => shape === this.anyObject),
    };
    this.step(path);
    if (set.objects.length > MOST_SHAPES || set.arrays.length > MOST_SHAPES) this.tooLarge(path);
    return set;
  }

  other(a: JsonSet, path: string): JsonSet {
    return {
      null: !a.null,
      booleans: 3 & ~a.booleans,
      numbers: this.without(a.numbers, ANY_NUMBER, path, otherNumbers, bothNumbers),
      strings: this.without(
        a.strings,
        ANY_STRING,
        path,
        (shape) => otherStrings(shape, path),
        (x, y) => bothStrings(x, y, path),
      ),
      arrays: this.without(
        a.arrays,
        this.anyArray,
        path,
        (shape) => this.otherArrays(shape, path),
        (x, y) => this.bothArrays(x, y),
      ),
      objects: this.without(
        a.objects,
        this.anyObject,
        path,
        (shape) => this.otherObjects(shape),
        (x, y) => this.bothObjects(x, y, path),
      ),
    };
  }

  private without<T>(
    shapes: readonly T[],
    all: T,
    path: string,
    other: (shape: T) => readonly T[],
    both: (a: T, b: T) => T | null,
  ): readonly T[] {
    let left: readonly T[] = [all];
    for (const shape of shapes) {
      if (shape === all) return [];
      left = this.pairs(left, other(shape), path, both);
    }
    return left;
  }

  private pairs<T>(as: readonly T[], bs: readonly T[], path: string, both: (a: T, b: T) => T | null): readonly T[] {
    const result: T[] = [];
    for (const a of as) {
      for (const b of bs) {
        const shape = a === b ? a : both(a, b);
        this.step(path, shape === null ? 0.3 : 1);
        if (shape !== null && !result.includes(shape)) result.push(shape);
        if (result.length > MOST_SHAPES) this.tooLarge(path);
      }
    }
    return result;
  }

  /** @returns null where certainly no array fits. */
  bothArrays(a: ArrayShape, b: ArrayShape): ArrayShape | null {
    if (a === this.anyArray) return b;
    if (b === this.anyArray) return a;
    const prefix: Term[] = [];
    const length = Math.max(a.prefix.length, b.prefix.length);
    for (let i = 0; i < length; i++) prefix.push(this.terms.all([a.prefix[i] ?? a.rest, b.prefix[i] ?? b.rest]));
    const contains = [...a.contains];
    for (const one of b.contains) {
      if (!contains.some((two) => two.term === one.term && two.min === one.min && two.max === one.max))
        contains.push(one);
    }
    return this.array({
      prefix,
      rest: this.terms.all([a.rest, b.rest]),
      min: Math.max(a.min, b.min),
      max: Math.min(a.max, b.max),
      contains,
      unique: a.unique || b.unique,
      problem: a.problem ?? b.problem,
    });
  }

  /** Bounds made as tight as the items allow. */
  array(shape: ArrayShape): ArrayShape | null {
    let max = shape.max;
    for (let i = 0; i < shape.prefix.length && i < max; i++) if (this.isEmpty(shape.prefix[i])) max = i;
    if (max > shape.prefix.length && this.isEmpty(shape.rest)) max = shape.prefix.length;
    if (shape.min > max) return null;
    const prefix = shape.prefix.length > max ? shape.prefix.slice(0, max) : shape.prefix;
    let min = shape.min;
    for (const one of shape.contains) {
      min = Math.max(min, one.min);
      if (one.min > one.max || one.min > max || (one.min > 0 && this.isEmpty(one.term))) return null;
    }
    return min > max ? null : { ...shape, prefix, min, max };
  }

  private otherArrays(shape: ArrayShape, path: string): ArrayShape[] {
    const { terms, anyArray } = this;
    if (shape.problem !== undefined) return [{ ...anyArray, problem: shape.problem }];
    const result: ArrayShape[] = [];
    if (shape.min > 0) result.push({ ...anyArray, max: shape.min - 1 });
    if (shape.max < Infinity) result.push({ ...anyArray, min: shape.max + 1 });
    shape.prefix.forEach((term, i) => {
      const wrong = terms.not(term);
      if (wrong === terms.no) return;
      const prefix = [...new Array<Term>(i).fill(terms.yes), wrong];
      result.push({ ...anyArray, prefix, min: i + 1 });
    });
    const wrong = terms.not(shape.rest);
    if (wrong === terms.yes) result.push({ ...anyArray, min: shape.prefix.length + 1 });
    else if (wrong !== terms.no) {
      const problem: Problem | undefined =
        shape.prefix.length === 0 ? undefined : { path, value: 'items after a prefix', reason: 'cannot be negated' };
      result.push({ ...anyArray, contains: [{ term: wrong, min: 1, max: Infinity }], problem });
    }
    for (const one of shape.contains) {
      if (one.min > 0) result.push({ ...anyArray, contains: [{ term: one.term, min: 0, max: one.min - 1 }] });
      if (one.max < Infinity) {
        result.push({ ...anyArray, contains: [{ term: one.term, min: one.max + 1, max: Infinity }] });
      }
    }
    if (shape.unique) {
      result.push({ ...anyArray, min: 2, problem: { path, value: 'uniqueItems', reason: 'cannot be negated' } });
    }
    return result.map((one) => this.array(one)).filter((one) => one !== null);
  }

  /** What a key's value must satisfy. */
  termOf(shape: ObjectShape, key: string): Term {
    const named = shape.named.get(key);
    if (named !== undefined) return named.term;
    for (const one of shape.others) if (one.keys.some((keys) => hasString(keys, key))) return one.term;
    return this.terms.no;
  }

  /** @returns null where certainly no object fits. */
  bothObjects(a: ObjectShape, b: ObjectShape, path: string): ObjectShape | null {
    if (a === this.anyObject) return b;
    if (b === this.anyObject) return a;
    // What tells variants apart is looked at first: most pairs of a union end here.
    for (const [key, mine] of a.named) {
      const yours = b.named.get(key);
      if (yours === undefined || !(mine.required || yours.required) || mine.term === yours.term) continue;
      if (this.isEmpty(this.terms.all([mine.term, yours.term]))) return null;
    }
    const named = new Map<string, Named>();
    for (const key of [...a.named.keys(), ...b.named.keys()]) {
      if (named.has(key)) continue;
      const required = (a.named.get(key)?.required ?? false) || (b.named.get(key)?.required ?? false);
      const term = this.terms.all([this.termOf(a, key), this.termOf(b, key)]);
      if (required && this.isEmpty(term)) return null;
      named.set(key, { term, required });
    }
    this.step(path, named.size / 4);
    return this.object({
      named,
      others: this.bothClasses(a.others, b.others, path),
      some: [...a.some, ...b.some],
      min: Math.max(a.min, b.min),
      max: Math.min(a.max, b.max),
      problem: a.problem ?? b.problem,
    });
  }

  bothClasses(as: readonly KeyClass[], bs: readonly KeyClass[], path: string): readonly KeyClass[] {
    if (isOpen(as, this.terms)) return bs;
    if (isOpen(bs, this.terms)) return as;
    const byTerm = new Map<Term, StringShape[]>();
    for (const a of as) {
      for (const b of bs) {
        const keys = this.keysOfBoth(a.keys, b.keys, path);
        if (keys.length === 0) continue;
        const term = this.terms.all([a.term, b.term]);
        const known = byTerm.get(term);
        if (known === undefined) byTerm.set(term, [...keys]);
        else known.push(...keys);
      }
    }
    return [...byTerm].map(([term, keys]) => ({ term, keys: joinedStrings(keys) }));
  }

  private keysOfBoth(as: readonly StringShape[], bs: readonly StringShape[], path: string): readonly StringShape[] {
    const keys = this.pairs(as, bs, path, (x, y) => bothStrings(x, y, path));
    for (const shape of keys) this.step(path, costOf(shape));
    return keys;
  }

  /** @returns null where certainly no object fits. */
  object(shape: ObjectShape): ObjectShape | null {
    let required = 0;
    let possible = 0;
    for (const { required: must, term } of shape.named.values()) {
      if (must) required++;
      if (term !== this.terms.no) possible++;
      else if (must) return null;
    }
    const closed = shape.others.every((one) => one.term === this.terms.no);
    const most = closed ? Math.min(shape.max, possible) : shape.max;
    if (shape.min > most || required > most) return null;
    return shape.min >= required ? shape : { ...shape, min: required };
  }

  private otherObjects(shape: ObjectShape): ObjectShape[] {
    const { terms, anyObject } = this;
    if (shape.problem !== undefined) return [{ ...anyObject, problem: shape.problem }];
    const result: ObjectShape[] = [];
    let required = 0;
    for (const [key, { term, required: must }] of shape.named) {
      if (must) {
        required++;
        result.push({ ...anyObject, named: new Map([[key, { term: terms.no, required: false }]]) });
      }
      const wrong = terms.not(term);
      if (wrong !== terms.no)
        result.push({ ...anyObject, named: new Map([[key, { term: wrong, required: true }]]), min: 1 });
    }
    // A shape's own lower bound may only repeat what its required members say.
    if (shape.min > required) result.push({ ...anyObject, max: shape.min - 1 });
    if (shape.max < Infinity) result.push({ ...anyObject, min: shape.max + 1 });
    const names = new Set(shape.named.keys());
    for (const { keys, term } of shape.others) {
      const wrong = terms.not(term);
      if (wrong === terms.no) continue;
      const free: StringShape[] = [];
      for (const one of keys) {
        const left = names.size === 0 ? one : bothStrings(one, { ...ANY_STRING, not: names }, '');
        if (left !== null) free.push(left);
      }
      if (free.length > 0) result.push({ ...anyObject, some: [{ keys: free, term: wrong }], min: 1 });
    }
    for (const { keys, term } of shape.some) {
      // None of these keys may have such a value; keys outside are free.
      result.push({ ...anyObject, others: this.classesWith(keys, terms.not(term)) });
    }
    return result;
  }

  /** All keys, those of a language with a term of their own. */
  classesWith(keys: readonly StringShape[], term: Term, path = ''): readonly KeyClass[] {
    let outside: readonly StringShape[] = ANY_KEY;
    for (const one of keys) outside = this.keysOfBoth(outside, otherStrings(one, path), path);
    const classes: KeyClass[] = [{ keys, term }];
    if (outside.length > 0) classes.push({ keys: outside, term: this.terms.yes });
    return classes;
  }
}

function isOpen(classes: readonly KeyClass[], terms: Terms): boolean {
  return classes.length === 1 && classes[0].keys === ANY_KEY && classes[0].term === terms.yes;
}

function joined<T>(as: readonly T[], bs: readonly T[], isAll: (shape: T) => boolean): readonly T[] {
  if (as.length === 0 || as === bs) return bs;
  if (bs.length === 0) return as;
  const all = as.find(isAll) ?? bs.find(isAll);
  if (all !== undefined) return [all];
  return [...new Set([...as, ...bs])];
}

/** Lists of texts become one list. */
function joinedStrings(shapes: readonly StringShape[]): readonly StringShape[] {
  const lists = shapes.filter((shape) => shape.only !== null && shape.problem === undefined);
  if (lists.length < 2) return shapes;
  const texts = new Set<string>();
  for (const list of lists) for (const text of list.only!) texts.add(text);
  return [...shapes.filter((shape) => !lists.includes(shape)), { ...ANY_STRING, only: texts }];
}
