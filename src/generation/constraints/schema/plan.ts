/**
 * Which terms a grammar needs, and which of them any finite value satisfies: a schema that asks for itself in itself without end has none, and what has none
 * must not be begun.
 */
import type { Expression } from '../grammar.ts';
import { ONE } from './decimal.ts';
import type { Keywords } from './keywords.ts';
import { numbersExpression } from './number-text.ts';
import type { NumberShape } from './numbers.ts';
import { type Problem, raise, type Tolerance } from './problem.ts';
import type { ArrayShape, Containing, KeyClass, ObjectShape } from './sets.ts';
import { choice, oneOfTexts, text } from './spelling.ts';
import { stringsExpression } from './string-text.ts';
import { bothStrings, hasString, isAnyString } from './strings.ts';
import { pathOf, type Term, type Terms } from './terms.ts';

/** What the values of one term are written as. */
export interface Values {
  /** null, booleans, numbers and strings. */
  readonly scalars: Expression | null;
  readonly arrays: readonly ArrayShape[];
  readonly objects: readonly ObjectShape[];
  /** Where the term stands, for messages. */
  readonly path: string;
}

const MOST_TERMS = 20_000;
/** Terms of `contains` on one array that are counted side by side. */
export const MOST_CONTAINS = 3;

/** Every way in which an item can satisfy some of the terms and not the others: bit i of the number of a way stands for term i. */
export function kindsOf(contains: readonly Containing[], terms: Terms): Term[][] {
  return Array.from({ length: 1 << contains.length }, (_, kind) =>
    contains.map((one, i) => ((kind >> i) & 1 ? one.term : terms.not(one.term))),
  );
}

/** Wider, and without what has no spelling; whole numbers stay whole. */
function withoutSteps(shape: NumberShape): NumberShape {
  const whole = shape.multiple !== null && shape.multiple.exponent >= 0;
  return { ...shape, multiple: whole ? ONE : null, not: [] };
}

export class Plan {
  private readonly values = new Map<Term, Values>();
  private readonly finite = new Set<Term>();

  constructor(
    private readonly keywords: Keywords,
    root: Term,
    private readonly tolerate: Tolerance,
  ) {
    const waiting = [root];
    for (let term = waiting.pop(); term !== undefined; term = waiting.pop()) {
      if (this.values.has(term) || term === keywords.terms.no) continue;
      if (this.values.size > MOST_TERMS)
        raise({ path: '#', value: 'a schema', reason: `combines to more than ${MOST_TERMS} schemas` });
      const values = this.valuesOf(term);
      this.values.set(term, values);
      waiting.push(...this.children(values));
    }
    this.settle();
  }

  of(term: Term): Values {
    return this.values.get(term)!;
  }

  /** Whether some finite value satisfies the term. */
  has(term: Term): boolean {
    return this.finite.has(term);
  }

  private valuesOf(term: Term): Values {
    const { keywords } = this;
    const set = keywords.setOf(term);
    const path = pathOf(term);
    const parts: Expression[] = [];
    if (set.null) parts.push(text('null'));
    if (set.booleans > 0) parts.push(oneOfTexts(['false', 'true'].filter((_, i) => (set.booleans >> i) & 1)));
    let numbers = numbersExpression(set.numbers);
    if (typeof numbers === 'string') {
      this.tolerate({ path: `${path}/multipleOf`, value: 'a number', reason: numbers });
      numbers = numbersExpression(set.numbers.map(withoutSteps)) as Expression | null;
    }
    if (numbers !== null) parts.push(numbers);
    const strings = stringsExpression(set.strings, path, this.tolerate);
    if (strings !== null) parts.push(strings);
    const arrays = set.arrays.map((shape) => {
      if (shape.contains.length === 0 || shape.max === 0) return shape;
      return { ...shape, contains: shape.contains.filter((one) => one.min > 0 || one.max < Infinity) };
    });
    return {
      scalars: parts.length === 0 ? null : choice(parts),
      arrays,
      objects: set.objects.flatMap((shape) => this.obliged(shape, path)),
      path,
    };
  }

  /** Every term that writing these values may need. */
  private children(values: Values): Term[] {
    const { terms } = this.keywords;
    const found: Term[] = [];
    for (const shape of values.arrays) {
      found.push(...shape.prefix, shape.rest);
      if (shape.contains.length === 0 || shape.contains.length > MOST_CONTAINS) continue;
      for (const item of new Set([...shape.prefix, shape.rest])) {
        for (const { term } of shape.contains) found.push(terms.all([item, term]));
        for (const kind of kindsOf(shape.contains, terms)) found.push(terms.all([item, ...kind]));
      }
    }
    for (const shape of values.objects) {
      for (const { term } of shape.named.values()) found.push(term);
      for (const { term } of shape.others) found.push(term);
    }
    return found;
  }

  /** The least set of terms of which each has a value made of values of others in the set. */
  private settle(): void {
    for (let grown = true; grown; ) {
      grown = false;
      for (const [term, values] of this.values) {
        if (this.finite.has(term)) continue;
        if (
          values.scalars !== null ||
          values.arrays.some((shape) => this.arrayHas(shape)) ||
          values.objects.some((shape) => this.objectHas(shape))
        ) {
          this.finite.add(term);
          grown = true;
        }
      }
    }
  }

  /** How many items an array can have at most, by what items there are. */
  most(shape: ArrayShape): number {
    for (let i = 0; i < shape.prefix.length; i++) if (!this.has(shape.prefix[i])) return Math.min(shape.max, i);
    return this.has(shape.rest) ? shape.max : Math.min(shape.max, shape.prefix.length);
  }

  arrayHas(shape: ArrayShape): boolean {
    const most = this.most(shape);
    if (most < shape.min) return false;
    return shape.contains.every(({ term, min }) => {
      if (min === 0) return true;
      return [...shape.prefix, shape.rest].some((item) => this.has(this.keywords.terms.all([item, term])));
    });
  }

  objectHas(shape: ObjectShape): boolean {
    let possible = 0;
    for (const { term, required } of shape.named.values()) {
      if (this.has(term)) possible++;
      else if (required) return false;
    }
    return possible >= shape.min || shape.others.some((one) => this.has(one.term));
  }

  /** Demands for some member, as demands for a named one. */
  private obliged(shape: ObjectShape, path: string): ObjectShape[] {
    const { sets, terms } = this.keywords;
    let shapes = [{ ...shape, some: [] as readonly KeyClass[] }];
    for (const need of shape.some) {
      shapes = shapes.flatMap((one) => {
        sets.step(path, 4);
        const ways: ObjectShape[] = [];
        let everyMember = true;
        for (const [key, named] of one.named) {
          if (named.term === terms.no) continue;
          if (!need.keys.some((keys) => hasString(keys, key))) {
            everyMember = false;
            continue;
          }
          const term = terms.all([named.term, need.term]);
          if (term !== named.term) everyMember = false;
          if (this.keywords.isEmpty(term)) continue;
          ways.push({ ...one, named: new Map([...one.named, [key, { term, required: true }]]) });
        }
        let outside: Problem | undefined;
        for (const other of one.others) {
          if (other.term === terms.no) continue;
          const within = other.keys.some((keys) => need.keys.some((these) => bothStrings(keys, these, path) !== null));
          const all = need.keys.some((keys) => isAnyString(keys)) || need.keys === other.keys;
          const term = terms.all([other.term, need.term]);
          if (!all || term !== other.term) everyMember = false;
          if (within && !this.keywords.isEmpty(term)) {
            outside = {
              path,
              value: 'a schema',
              reason:
                'asks for some member without a name of its own, which is not supported (it comes from a negated additionalProperties or patternProperties)',
            };
          }
        }
        if (outside === undefined)
          return ways.map((way) => sets.object(way)).filter((way) => way !== null) as typeof shapes;
        // Any member at all will do.
        if (everyMember) return [{ ...one, min: Math.max(1, one.min) }];
        return [{ ...one, problem: one.problem ?? outside }];
      });
    }
    return shapes;
  }
}
