/** The meaning of JSON Schema's keywords: from a place in the document to the set of values that it allows. */

import { compare, decimalOf, ONE } from './decimal.ts';
import { isMembers, joined, own, type SchemaDocument } from './document.ts';
import { formatNumbers, formatStrings } from './formats.ts';
import { above, below, bothNumbers, type NumberShape, numberShape } from './numbers.ts';
import { patternStrings } from './patterns.ts';
import { type Problem, raise } from './problem.ts';
import {
  ANY_KEY,
  type ArrayShape,
  type Containing,
  type JsonSet,
  type KeyClass,
  type Named,
  NOTHING,
  type ObjectShape,
  Sets,
} from './sets.ts';
import {
  ANY_STRING,
  bothStrings,
  costOf,
  hasString,
  isCounted,
  otherStrings,
  type StringShape,
  textShape,
} from './strings.ts';
import { type Place, pathOf, type Term, Terms } from './terms.ts';
import { Unevaluated } from './unevaluated.ts';

type Members = Readonly<Record<string, unknown>>;

/** Thrown where a set is asked for while it is being worked out, by a question that may stay unanswered. */
class Unknown extends Error {}

const TYPES = ['null', 'boolean', 'object', 'array', 'number', 'string', 'integer'];
const DEEPEST_QUESTION = 6;
const DEEPEST = 300;

export class Keywords {
  readonly terms = new Terms();
  readonly sets: Sets;
  private readonly known = new Map<Term, JsonSet>();
  private readonly active = new Map<Term, number>();
  private readonly empty = new Map<Term, boolean>();
  private question = 0;

  constructor(
    readonly document: SchemaDocument,
    private readonly assertFormats: boolean,
  ) {
    this.sets = new Sets(this.terms, (term) => this.isEmpty(term));
  }

  /** The values that satisfy a term. */
  setOf(term: Term): JsonSet {
    const known = this.known.get(term);
    if (known !== undefined) return known;
    const since = this.active.get(term);
    if (since !== undefined) {
      if (since < this.question) throw new Unknown();
      const path = term.kind === 'place' ? term.place.path : '#';
      raise({ path, value: 'a schema', reason: 'refers to itself without a step into the value' });
    }
    if (this.active.size > DEEPEST)
      raise({ path: '#', value: 'a schema', reason: `nests deeper than ${DEEPEST} conditions` });
    this.active.set(term, this.question);
    try {
      const set = this.worked(term);
      this.known.set(term, set);
      return set;
    } finally {
      this.active.delete(term);
    }
  }

  /** Whether certainly no value satisfies a term; false where finding out would take too long. */
  isEmpty(term: Term): boolean {
    if (term === this.terms.yes) return false;
    if (term === this.terms.no) return true;
    const known = this.empty.get(term);
    if (known !== undefined) return known;
    if (this.active.has(term) || this.question >= DEEPEST_QUESTION) return false;
    this.question++;
    try {
      const empty = isEmptySet(this.setOf(term));
      this.empty.set(term, empty);
      return empty;
    } catch (error) {
      if (error instanceof Unknown) return false;
      throw error;
    } finally {
      this.question--;
    }
  }

  private worked(term: Term): JsonSet {
    switch (term.kind) {
      case 'true':
        return this.sets.everything;
      case 'false':
        return NOTHING;
      case 'value':
        return this.valueSet(term.value, term.path);
      case 'not':
        return this.sets.other(this.setOf(term.term), pathOf(term));
      case 'all':
        return term.terms.reduce((set, one) => this.sets.both(set, this.setOf(one), pathOf(one)), this.sets.everything);
      case 'place':
        return this.placeSet(term.place);
    }
  }

  private valueSet(value: unknown, path: string): JsonSet {
    const { terms } = this;
    if (value === null) return { ...NOTHING, null: true };
    switch (typeof value) {
      case 'boolean':
        return { ...NOTHING, booleans: value ? 2 : 1 };
      case 'number':
        return Number.isFinite(value) ? { ...NOTHING, numbers: [numberShape(value)] } : NOTHING;
      case 'string':
        return { ...NOTHING, strings: [textShape(new Set([value]))] };
    }
    if (Array.isArray(value)) {
      const prefix = value.map((item) => terms.value(item, path));
      const { length } = prefix;
      return { ...NOTHING, arrays: [{ ...this.sets.anyArray, prefix, rest: terms.no, min: length, max: length }] };
    }
    if (!isMembers(value)) return NOTHING;
    const named = new Map<string, Named>();
    for (const key of Object.keys(value)) named.set(key, { term: terms.value(value[key], path), required: true });
    const others: readonly KeyClass[] = [{ keys: ANY_KEY, term: terms.no }];
    return { ...NOTHING, objects: [{ ...this.sets.anyObject, named, others, min: named.size, max: named.size }] };
  }

  private placeSet(place: Place): JsonSet {
    const { sets, document } = this;
    const { schema, path } = place;
    if (!isMembers(schema))
      return raise({ path, value: schema, reason: 'is not a schema: an object or a boolean is needed' });
    if (own(schema, '$ref') !== undefined && document.draft === 'draft-07')
      return this.setOf(this.terms.place(document.reference(place, '$ref')));
    let set = this.typeSet(schema, path);
    const narrow = (other: JsonSet, keyword: string): void => {
      set = sets.both(set, other, joined(path, [keyword]));
    };
    if (own(schema, 'const') !== undefined) narrow(this.setOf(this.terms.value(own(schema, 'const'), path)), 'const');
    if (own(schema, 'enum') !== undefined) narrow(this.enumSet(schema, path), 'enum');
    set = {
      ...set,
      numbers: set.numbers.length === 0 ? set.numbers : this.numbers(set.numbers, schema, path),
      strings: set.strings.length === 0 ? set.strings : this.strings(set.strings, schema, path),
    };
    if (set.arrays.length > 0) {
      const arrays = this.arrays(place, schema);
      if (arrays !== sets.anyArray) narrow({ ...sets.everything, arrays: arrays === null ? [] : [arrays] }, 'items');
    }
    if (set.objects.length > 0) {
      const objects = this.objects(place, schema);
      if (objects !== sets.anyObject)
        narrow({ ...sets.everything, objects: objects === null ? [] : [objects] }, 'properties');
      for (const other of this.dependencies(place, schema)) narrow(other, 'dependencies');
    }
    for (const keyword of ['$ref', '$dynamicRef'] as const) {
      if (own(schema, keyword) !== undefined)
        narrow(this.setOf(this.terms.place(document.reference(place, keyword))), keyword);
    }
    for (const term of this.list(place, 'allOf')) narrow(this.setOf(term), 'allOf');
    const any = this.list(place, 'anyOf');
    if (any.length > 0) narrow(this.union(any, joined(path, ['anyOf'])), 'anyOf');
    const one = this.list(place, 'oneOf');
    if (one.length > 0) narrow(this.exactlyOne(one, joined(path, ['oneOf'])), 'oneOf');
    const not = this.child(place, 'not');
    if (not !== undefined) narrow(this.setOf(this.terms.not(not)), 'not');
    if (document.draft === '2020-12') {
      for (const keyword of ['unevaluatedItems', 'unevaluatedProperties'] as const) {
        if (own(schema, keyword) !== undefined) narrow(this.unevaluated(place, keyword), keyword);
      }
    }
    const condition = this.child(place, 'if');
    if (condition !== undefined) {
      const yes = this.child(place, 'then') ?? this.terms.yes;
      const no = this.child(place, 'else') ?? this.terms.yes;
      if (yes !== this.terms.yes || no !== this.terms.yes) {
        const first = this.setOf(this.terms.all([condition, yes]));
        narrow(sets.either(first, this.setOf(this.terms.all([this.terms.not(condition), no])), path), 'if');
      }
    }
    return set;
  }

  private typeSet(schema: Members, path: string): JsonSet {
    const type = own(schema, 'type');
    if (type === undefined) return this.sets.everything;
    const names: unknown[] = Array.isArray(type) ? type : [type];
    for (const name of names) {
      if (typeof name !== 'string' || !TYPES.includes(name))
        raise({ path: `${path}/type`, value: type, reason: `is not a type: ${TYPES.join(', ')}` });
    }
    const all = this.sets.everything;
    const integers: NumberShape = { ...all.numbers[0], multiple: ONE };
    return {
      null: names.includes('null'),
      booleans: names.includes('boolean') ? 3 : 0,
      numbers: names.includes('number') ? all.numbers : names.includes('integer') ? [integers] : [],
      strings: names.includes('string') ? all.strings : [],
      arrays: names.includes('array') ? all.arrays : [],
      objects: names.includes('object') ? all.objects : [],
    };
  }

  private enumSet(schema: Members, path: string): JsonSet {
    const values = own(schema, 'enum');
    if (!Array.isArray(values)) return raise({ path: `${path}/enum`, value: values, reason: 'is not a list' });
    const texts = new Set<string>(values.filter((value) => typeof value === 'string'));
    let set: JsonSet = texts.size === 0 ? NOTHING : { ...NOTHING, strings: [textShape(texts)] };
    const numbers = new Set<number>(values.filter((value) => typeof value === 'number'));
    set = { ...set, numbers: [...numbers].map(numberShape) };
    for (const value of values) {
      if (typeof value === 'string' || typeof value === 'number') continue;
      set = this.sets.either(set, this.setOf(this.terms.value(value, path)), path);
    }
    return set;
  }

  private numbers(shapes: readonly NumberShape[], schema: Members, path: string): readonly NumberShape[] {
    const result: NumberShape[] = [];
    const limits: NumberShape[] = [];
    const limit = (keyword: string, make: (value: number) => NumberShape | null): void => {
      const value = own(schema, keyword);
      if (value === undefined) return;
      if (typeof value !== 'number' || !Number.isFinite(value))
        raise({ path: `${path}/${keyword}`, value, reason: 'is not a number' });
      const shape = make(value as number);
      if (shape === null) limits.push({ ...free, low: ONE, high: { digits: 0n, exponent: 0 } });
      else limits.push(shape);
    };
    const free: NumberShape = { low: null, high: null, multiple: null, not: [] };
    limit('minimum', (value) => ({ ...free, low: decimalOf(value) }));
    limit('maximum', (value) => ({ ...free, high: decimalOf(value) }));
    limit('exclusiveMinimum', (value) => {
      const low = above(decimalOf(value));
      return low === null ? null : { ...free, low };
    });
    limit('exclusiveMaximum', (value) => {
      const high = below(decimalOf(value));
      return high === null ? null : { ...free, high };
    });
    limit('multipleOf', (value) => {
      if (value <= 0) raise({ path: `${path}/multipleOf`, value, reason: 'is not above 0' });
      return { ...free, multiple: decimalOf(value) };
    });
    if (this.assertFormats) limits.push(...formatNumbers(own(schema, 'format')));
    for (const shape of shapes) {
      const narrowed = limits.reduce<NumberShape | null>(
        (one, other) => (one === null ? null : bothNumbers(one, other)),
        shape,
      );
      if (
        narrowed !== null &&
        !(narrowed.low !== null && narrowed.high !== null && compare(narrowed.low, narrowed.high) > 0)
      )
        result.push(narrowed);
    }
    return result;
  }

  private strings(shapes: readonly StringShape[], schema: Members, path: string): readonly StringShape[] {
    const min = count(schema, 'minLength', path) ?? 0;
    const max = count(schema, 'maxLength', path) ?? Infinity;
    let limits: readonly StringShape[] = [{ ...ANY_STRING, min, max }];
    const narrow = (others: readonly StringShape[], keyword: string): void => {
      limits = limits.flatMap((one) =>
        others.map((other) => bothStrings(one, other, `${path}/${keyword}`)).filter((shape) => shape !== null),
      );
    };
    if (min > max) limits = [];
    const pattern = own(schema, 'pattern');
    if (pattern !== undefined) narrow([patternStrings(pattern, `${path}/pattern`)], 'pattern');
    const format = own(schema, 'format');
    if (this.assertFormats && format !== undefined) {
      const strings = formatStrings(format, `${path}/format`);
      if (strings !== undefined) narrow([strings], 'format');
    }
    if (
      limits.length === 1 &&
      min === 0 &&
      max === Infinity &&
      pattern === undefined &&
      limits[0].language === null &&
      limits[0].only === null &&
      limits[0].problem === undefined &&
      limits[0].source === null
    )
      return shapes;
    return shapes.flatMap((shape) =>
      limits.map((one) => bothStrings(shape, one, path)).filter((both) => both !== null),
    );
  }

  private arrays(place: Place, schema: Members): ArrayShape | null {
    const { sets, terms, document } = this;
    const { path } = place;
    let rest: Term | undefined;
    let prefix: Term[] = [];
    const items = own(schema, 'items');
    if (Array.isArray(items)) {
      prefix = items.map((_, i) => terms.place(document.at(place, 'items', String(i))));
      rest = this.child(place, 'additionalItems');
    } else {
      if (document.draft === '2020-12') prefix = this.list(place, 'prefixItems');
      rest = this.child(place, 'items');
    }
    if (prefix.length > 500) raise({ path: `${path}/prefixItems`, value: prefix.length, reason: 'is longer than 500' });
    const contains: Containing[] = [];
    const contained = this.child(place, 'contains');
    if (contained !== undefined) {
      const modern = document.draft === '2020-12';
      const min = (modern ? count(schema, 'minContains', path) : undefined) ?? 1;
      const max = (modern ? count(schema, 'maxContains', path) : undefined) ?? Infinity;
      contains.push({ term: contained, min, max });
    }
    const min = count(schema, 'minItems', path) ?? 0;
    const max = count(schema, 'maxItems', path) ?? Infinity;
    const unique = own(schema, 'uniqueItems') === true;
    if (
      rest === undefined &&
      prefix.length === 0 &&
      contains.length === 0 &&
      min === 0 &&
      max === Infinity &&
      !unique
    ) {
      return sets.anyArray;
    }
    return sets.array({ prefix, rest: rest ?? terms.yes, min, max, contains, unique });
  }

  private objects(place: Place, schema: Members): ObjectShape | null {
    const { sets, terms, document } = this;
    const { path } = place;
    const properties = members(schema, 'properties', path);
    const patterns = members(schema, 'patternProperties', path);
    const required = names(own(schema, 'required'), `${path}/required`);
    const additional = this.child(place, 'additionalProperties');
    let problem: Problem | undefined;
    const left = additional ?? terms.yes;

    // Keys without a name of their own: split by the patterns that they match.
    const matchers: { keys: StringShape; term: Term }[] = [];
    let classes: { keys: readonly StringShape[]; matched: readonly Term[] | null }[] = [
      { keys: ANY_KEY, matched: null },
    ];
    for (const source of Object.keys(patterns)) {
      const at = joined(path, ['patternProperties', source]);
      const keys = patternStrings(source, at);
      if (keys.problem !== undefined || isCounted(keys)) {
        problem ??= keys.problem ?? {
          path: at,
          value: source,
          reason: 'has too many repetitions for the name of a property',
        };
        continue;
      }
      const term = terms.place(document.at(place, 'patternProperties', source));
      matchers.push({ keys, term });
      const outside = otherStrings(keys, at);
      classes = classes.flatMap(({ keys: these, matched }) => {
        const within = these.map((one) => bothStrings(one, keys, at)).filter((shape) => shape !== null);
        const without = these.flatMap((one) =>
          outside.map((other) => bothStrings(one, other, at)).filter((shape) => shape !== null),
        );
        for (const shape of [...within, ...without]) sets.step(at, costOf(shape));
        return [
          { keys: within, matched: [...(matched ?? []), term] },
          { keys: without, matched },
        ].filter((part) => part.keys.length > 0);
      });
    }
    const others = classes.map(({ keys, matched }) => ({ keys, term: matched === null ? left : terms.all(matched) }));
    const named = new Map<string, Named>();
    const add = (key: string, term: Term | undefined): void => {
      const matched = matchers.filter((one) => hasString(one.keys, key)).map((one) => one.term);
      if (term !== undefined) matched.push(term);
      named.set(key, { term: matched.length === 0 ? left : terms.all(matched), required: required.has(key) });
    };
    for (const key of Object.keys(properties)) add(key, terms.place(document.at(place, 'properties', key)));
    for (const key of required) if (!named.has(key)) add(key, undefined);

    const min = count(schema, 'minProperties', path) ?? 0;
    const max = count(schema, 'maxProperties', path) ?? Infinity;
    let shape: ObjectShape | null = sets.anyObject;
    if (
      named.size > 0 ||
      additional !== undefined ||
      matchers.length > 0 ||
      min > 0 ||
      max < Infinity ||
      problem !== undefined
    ) {
      shape = sets.object({ named, others, some: [], min, max, problem });
      for (const { required: must, term } of named.values()) if (must && this.isEmpty(term)) return null;
    }
    const name = this.child(place, 'propertyNames');
    if (shape === null || name === undefined) return shape;
    const keys = this.setOf(name).strings;
    if (keys.some((one) => isCounted(one) || one.problem !== undefined)) {
      const reason =
        keys.find((one) => one.problem !== undefined)?.problem?.reason ??
        'has too many repetitions for the name of a property';
      return { ...shape, problem: shape.problem ?? { path: `${path}/propertyNames`, value: 'a pattern', reason } };
    }
    let outside: readonly StringShape[] = ANY_KEY;
    for (const one of keys) {
      outside = outside.flatMap((free) =>
        otherStrings(one, path)
          .map((other) => bothStrings(free, other, path))
          .filter((both) => both !== null),
      );
    }
    const allowed: KeyClass[] = [
      { keys, term: terms.yes },
      { keys: outside, term: terms.no },
    ];
    return sets.bothObjects(shape, { ...sets.anyObject, others: allowed.filter((one) => one.keys.length > 0) }, path);
  }

  /** dependentRequired, dependentSchemas and their older form: each a choice between absence and consequence. */
  private dependencies(place: Place, schema: Members): JsonSet[] {
    const { sets, terms, document } = this;
    const { path } = place;
    const result: JsonSet[] = [];
    const depend = (key: string, needed: ReadonlySet<string>, term: Term): void => {
      const absent: ObjectShape = { ...sets.anyObject, named: new Map([[key, { term: terms.no, required: false }]]) };
      const named = new Map<string, Named>([[key, { term: terms.yes, required: true }]]);
      for (const name of needed) named.set(name, { term: terms.yes, required: true });
      const present: JsonSet = { ...sets.everything, objects: [{ ...sets.anyObject, named, min: named.size }] };
      const consequence = sets.both(present, this.setOf(term), path);
      result.push({ ...sets.everything, objects: [absent, ...consequence.objects] });
    };
    const requirements = members(schema, 'dependentRequired', path);
    for (const key of Object.keys(requirements))
      depend(key, names(requirements[key], joined(path, ['dependentRequired', key])), terms.yes);
    for (const keyword of ['dependentSchemas', 'dependencies']) {
      const map = members(schema, keyword, path);
      for (const key of Object.keys(map)) {
        if (keyword === 'dependencies' && Array.isArray(map[key]))
          depend(key, names(map[key], joined(path, [keyword, key])), terms.yes);
        else depend(key, new Set(), terms.place(document.at(place, keyword, key)));
      }
    }
    return result;
  }

  private unevaluated(place: Place, keyword: 'unevaluatedItems' | 'unevaluatedProperties'): JsonSet {
    const { sets, terms, document } = this;
    const left = own(place.schema as Members, keyword);
    const members = keyword === 'unevaluatedProperties';
    const path = joined(place.path, [keyword]);
    const ways = new Unevaluated(document, terms, members ? 'members' : 'items').ways(place);
    if (ways === undefined) {
      const problem: Problem = { path, value: left, reason: 'depends on too many combinations of branches' };
      return members
        ? { ...sets.everything, objects: [{ ...sets.anyObject, problem }] }
        : { ...sets.everything, arrays: [{ ...sets.anyArray, problem }] };
    }
    const results = ways.map((way) => {
      const free: Record<string, unknown> = members
        ? {
            properties: Object.fromEntries(way.names.map((name) => [name, true])),
            patternProperties: Object.fromEntries(way.patterns.map((source) => [source, true])),
            additionalProperties: left,
          }
        : {
            prefixItems: new Array(way.first).fill(true),
            items: way.contains.length === 0 ? left : { anyOf: [left, ...way.contains] },
          };
      const rest = way.all ? terms.yes : terms.place({ schema: free, path: place.path, base: place.base });
      return terms.all([...way.terms, rest]);
    });
    return this.union([...new Set(results)], path);
  }

  private union(terms: readonly Term[], path: string): JsonSet {
    return terms.reduce((set, term) => this.sets.either(set, this.setOf(term), path), NOTHING);
  }

  private exactlyOne(list: readonly Term[], path: string): JsonSet {
    const { sets, terms } = this;
    const parts = list.map((term) => this.setOf(term));
    let result = NOTHING;
    const meeting = parts.map((part, i) => parts.map((other, j) => j < i && !isEmptySet(sets.both(part, other, path))));
    parts.forEach((part, i) => {
      let alone = part;
      list.forEach((other, j) => {
        if (i === j || !(meeting[i][j] || meeting[j][i]) || isEmptySet(alone)) return;
        alone = sets.both(alone, this.setOf(terms.not(other)), path);
      });
      result = sets.either(result, alone, path);
    });
    return result;
  }

  /** The terms of a keyword that holds a list of schemas. */
  private list(place: Place, keyword: string): Term[] {
    const list = own(place.schema as Members, keyword);
    if (list === undefined) return [];
    if (!Array.isArray(list))
      return raise({ path: `${place.path}/${keyword}`, value: list, reason: 'is not a list of schemas' });
    return list.map((_, i) => this.terms.place(this.document.at(place, keyword, String(i))));
  }

  private child(place: Place, keyword: string): Term | undefined {
    if (own(place.schema as Members, keyword) === undefined) return undefined;
    return this.terms.place(this.document.at(place, keyword));
  }
}

export function isEmptySet(set: JsonSet): boolean {
  return (
    !set.null &&
    set.booleans === 0 &&
    set.numbers.length + set.strings.length + set.arrays.length + set.objects.length === 0
  );
}

function count(schema: Members, keyword: string, path: string): number | undefined {
  const value = own(schema, keyword);
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0)
    raise({ path: `${path}/${keyword}`, value, reason: 'is not a count: a whole number of at least 0 is needed' });
  return value as number;
}

function members(schema: Members, keyword: string, path: string): Record<string, unknown> {
  const value = own(schema, keyword);
  if (value === undefined) return {};
  if (!isMembers(value)) return raise({ path: `${path}/${keyword}`, value, reason: 'is not an object' });
  return { ...value };
}

function names(value: unknown, path: string): ReadonlySet<string> {
  if (value === undefined) return new Set();
  if (!Array.isArray(value) || value.some((name) => typeof name !== 'string'))
    raise({ path, value, reason: 'is not a list of names' });
  return new Set(value as string[]);
}
