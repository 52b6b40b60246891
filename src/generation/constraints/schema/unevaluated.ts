/**
 * What `unevaluatedProperties` and `unevaluatedItems` leave alone: what the keywords beside them look at, where they apply. A value is judged by the ways in which
 * branches can apply to it: if it passes with some of those that do, it passes with all, for each only takes members and items away from what is left.
 */
import { isMembers, own, type SchemaDocument } from './document.ts';
import type { Place, Term, Terms } from './terms.ts';

/** What is looked at when some terms hold. */
export interface Evaluated {
  readonly terms: readonly Term[];
  /** All members, or all items, are looked at. */
  readonly all: boolean;
  readonly names: readonly string[];
  /** Patterns of names. */
  readonly patterns: readonly string[];
  /** So many first items. */
  readonly first: number;
  /** Items that satisfy one of these schemas. */
  readonly contains: readonly unknown[];
}

const NOTHING: Evaluated = { terms: [], all: false, names: [], patterns: [], first: 0, contains: [] };
const MOST_WAYS = 64;
const DEEPEST = 16;

type Members = Readonly<Record<string, unknown>>;

export class Unevaluated {
  constructor(
    private readonly document: SchemaDocument,
    private readonly terms: Terms,
    private readonly of: 'members' | 'items',
  ) {}

  /** The ways for a place, its own `unevaluated…` left out. @returns undefined when there are too many. */
  ways(place: Place): readonly Evaluated[] | undefined {
    try {
      return this.below(place, 0, true);
    } catch (error) {
      if (error instanceof TooMany) return undefined;
      throw error;
    }
  }

  private below(place: Place, depth: number, outermost = false): readonly Evaluated[] {
    const { schema } = place;
    if (!isMembers(schema) || depth > DEEPEST) return [NOTHING];
    let ways: readonly Evaluated[] = [this.own(schema, outermost)];
    const add = (more: readonly Evaluated[]): void => {
      if (more.length === 1 && more[0] === NOTHING) return;
      ways = ways.flatMap((one) => more.map((other) => both(one, other)));
      if (ways.length > MOST_WAYS) throw new TooMany();
    };
    const branch = (...keys: string[]): Place => this.document.at(place, ...keys);
    /** A branch that applies when its own terms hold. */
    const when = (at: Place, ...terms: Term[]): Evaluated[] => {
      const inner = this.below(at, depth + 1).filter((way) => way !== NOTHING);
      return inner.map((way) => ({ ...way, terms: [...terms, ...way.terms] }));
    };
    for (const keyword of ['$ref', '$dynamicRef'] as const) {
      if (own(schema, keyword) !== undefined) add(this.below(this.document.reference(place, keyword), depth + 1));
    }
    for (const i of keysOf(own(schema, 'allOf'))) add(this.below(branch('allOf', i), depth + 1));
    for (const i of keysOf(own(schema, 'anyOf'))) {
      const at = branch('anyOf', i);
      add([NOTHING, ...when(at, this.terms.place(at))]);
    }
    const one = keysOf(own(schema, 'oneOf')).flatMap((i) => {
      const at = branch('oneOf', i);
      return when(at, this.terms.place(at));
    });
    if (one.length > 0) add([NOTHING, ...one]);
    if (own(schema, 'if') !== undefined) {
      const condition = this.terms.place(branch('if'));
      const yes = this.below(branch('if'), depth + 1).flatMap((way) =>
        (own(schema, 'then') === undefined ? [NOTHING] : this.below(branch('then'), depth + 1)).map((then) =>
          both(way, then),
        ),
      );
      const no = own(schema, 'else') === undefined ? [] : when(branch('else'), this.terms.not(condition));
      add([NOTHING, ...yes.map((way) => ({ ...way, terms: [condition, ...way.terms] })), ...no]);
    }
    const dependent = own(schema, 'dependentSchemas');
    if (isMembers(dependent)) {
      for (const key of Object.keys(dependent)) {
        const present = this.terms.place({
          schema: { type: 'object', required: [key] },
          path: place.path,
          base: place.base,
        });
        add([NOTHING, ...when(branch('dependentSchemas', key), present)]);
      }
    }
    return ways;
  }

  private own(schema: Members, outermost: boolean): Evaluated {
    const has = (keyword: string): boolean => own(schema, keyword) !== undefined;
    if (this.of === 'members') {
      const names = isMembers(own(schema, 'properties')) ? Object.keys(own(schema, 'properties') as Members) : [];
      const matched = own(schema, 'patternProperties');
      const patterns = isMembers(matched) ? Object.keys(matched) : [];
      const all = has('additionalProperties') || (!outermost && has('unevaluatedProperties'));
      return names.length + patterns.length === 0 && !all ? NOTHING : { ...NOTHING, all, names, patterns };
    }
    const prefix = own(schema, 'prefixItems');
    const first = Array.isArray(prefix) ? prefix.length : 0;
    const all = has('items') || (!outermost && has('unevaluatedItems'));
    const contains = has('contains') ? [own(schema, 'contains')] : [];
    return first === 0 && !all && contains.length === 0 ? NOTHING : { ...NOTHING, all, first, contains };
  }
}

class TooMany extends Error {}

function keysOf(list: unknown): string[] {
  return Array.isArray(list) ? [...list.keys()].map(String) : [];
}

function both(a: Evaluated, b: Evaluated): Evaluated {
  if (a === NOTHING) return b;
  if (b === NOTHING) return a;
  return {
    terms: [...a.terms, ...b.terms],
    all: a.all || b.all,
    names: [...a.names, ...b.names],
    patterns: [...a.patterns, ...b.patterns],
    first: Math.max(a.first, b.first),
    contains: [...a.contains, ...b.contains],
  };
}
