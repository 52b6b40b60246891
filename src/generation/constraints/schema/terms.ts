/**
 * Conditions on a value, as expressions over places of the schema. Equal terms are one object, so what is known of a term is computed once, and a schema
 * that refers to itself gives finitely many.
 */

/** A place in the schema document where a schema stands. */
export interface Place {
  readonly schema: unknown;
  /** JSON pointer as a fragment, for messages: "#/properties/a". */
  readonly path: string;
  /** The base address that references at this place are resolved against. */
  readonly base: string;
}

export type Term =
  | { readonly id: number; readonly kind: 'true' | 'false' }
  | { readonly id: number; readonly kind: 'place'; readonly place: Place }
  /** Exactly this value. */
  | { readonly id: number; readonly kind: 'value'; readonly value: unknown; readonly path: string }
  | { readonly id: number; readonly kind: 'all'; readonly terms: readonly Term[] }
  | { readonly id: number; readonly kind: 'not'; readonly term: Term };

export class Terms {
  readonly yes: Term = { id: 0, kind: 'true' };
  readonly no: Term = { id: 1, kind: 'false' };
  private count = 2;
  private readonly places = new Map<unknown, Map<string, Term>>();
  private readonly others = new Map<string, Term>();

  /** How many there are: a measure of the work to come. */
  get size(): number {
    return this.count;
  }

  place(place: Place): Term {
    if (place.schema === true) return this.yes;
    if (place.schema === false) return this.no;
    let of = this.places.get(place.schema);
    if (of === undefined) {
      of = new Map();
      this.places.set(place.schema, of);
    }
    let term = of.get(place.base);
    if (term === undefined) {
      term = { id: this.count++, kind: 'place', place };
      of.set(place.base, term);
    }
    return term;
  }

  value(value: unknown, path: string): Term {
    return this.interned(`=${JSON.stringify(value)}`, (id) => ({ id, kind: 'value', value, path }));
  }

  not(term: Term): Term {
    if (term.kind === 'not') return term.term;
    if (term === this.yes) return this.no;
    if (term === this.no) return this.yes;
    return this.interned(`!${term.id}`, (id) => ({ id, kind: 'not', term }));
  }

  all(terms: readonly Term[]): Term {
    const flat = new Set<Term>();
    for (const term of terms) {
      if (term.kind === 'all') for (const inner of term.terms) flat.add(inner);
      else if (term === this.no) return this.no;
      else if (term !== this.yes) flat.add(term);
    }
    for (const term of flat) if (term.kind === 'not' && flat.has(term.term)) return this.no;
    if (flat.size <= 1) return flat.values().next().value ?? this.yes;
    const sorted = [...flat].sort((a, b) => a.id - b.id);
    return this.interned(`&${sorted.map((term) => term.id).join()}`, (id) => ({ id, kind: 'all', terms: sorted }));
  }

  any(terms: readonly Term[]): Term {
    return this.not(this.all(terms.map((term) => this.not(term))));
  }

  private interned(key: string, make: (id: number) => Term): Term {
    let term = this.others.get(key);
    if (term === undefined) {
      term = make(this.count++);
      this.others.set(key, term);
    }
    return term;
  }
}

/** The place in the schema that a term comes from, for messages. */
export function pathOf(term: Term): string {
  if (term.kind === 'place') return term.place.path;
  if (term.kind === 'value') return term.path;
  if (term.kind === 'not') return pathOf(term.term);
  return term.kind === 'all' ? pathOf(term.terms[0]) : '#';
}
