/** What `unevaluatedProperties` and `unevaluatedItems` leave alone: what the keywords beside them always look at. */
import { isMembers, own, type SchemaDocument } from './document.ts';
import type { Place } from './terms.ts';

export interface EvaluatedMembers {
  /** All members are looked at. */
  readonly all: boolean;
  readonly names: ReadonlySet<string>;
  readonly patterns: ReadonlySet<string>;
}

const CONDITIONAL = ['anyOf', 'oneOf', 'if', 'dependentSchemas', 'not'];

/** The place itself and those that allOf and $ref put beside it; a string when some of it depends on the value. */
function beside(document: SchemaDocument, place: Place, relevant: (schema: Place) => boolean): Place[] | string {
  const found: Place[] = [];
  const waiting = [place];
  const seen = new Set<unknown>();
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { schema } = next;
    if (!isMembers(schema) || seen.has(schema)) continue;
    seen.add(schema);
    found.push(next);
    for (const keyword of CONDITIONAL) {
      if (own(schema, keyword) === undefined || keyword === 'not') continue;
      if (reaches(document, next, keyword, relevant))
        return `depends on which of ${keyword} applies, which is not followed; name the properties beside it`;
    }
    const list = own(schema, 'allOf');
    if (Array.isArray(list)) for (const i of list.keys()) waiting.push(document.at(next, 'allOf', String(i)));
    for (const keyword of ['$ref', '$dynamicRef'] as const) {
      if (own(schema, keyword) !== undefined) waiting.push(document.reference(next, keyword));
    }
  }
  return found;
}

/** Whether a conditional keyword looks at members or items at all. */
function reaches(
  document: SchemaDocument,
  place: Place,
  keyword: string,
  relevant: (place: Place) => boolean,
): boolean {
  const waiting: Place[] = [];
  const open = (from: Place, name: string): void => {
    const value = own(from.schema as Record<string, unknown>, name);
    if (Array.isArray(value)) for (const i of value.keys()) waiting.push(document.at(from, name, String(i)));
    else if (name === 'dependentSchemas' && isMembers(value))
      for (const key of Object.keys(value)) waiting.push(document.at(from, name, key));
    else if (isMembers(value)) waiting.push(document.at(from, name));
  };
  open(place, keyword);
  if (keyword === 'if') for (const name of ['then', 'else']) open(place, name);
  const seen = new Set<unknown>();
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (!isMembers(next.schema) || seen.has(next.schema)) continue;
    seen.add(next.schema);
    if (relevant(next)) return true;
    for (const name of ['allOf', 'anyOf', 'oneOf', 'if', 'then', 'else', 'dependentSchemas']) open(next, name);
    for (const name of ['$ref', '$dynamicRef'] as const) {
      if (own(next.schema, name) !== undefined) waiting.push(document.reference(next, name));
    }
  }
  return false;
}

function has(place: Place, keywords: readonly string[]): boolean {
  return keywords.some((keyword) => own(place.schema as Record<string, unknown>, keyword) !== undefined);
}

const MEMBERS = ['properties', 'patternProperties', 'additionalProperties', 'unevaluatedProperties'];
const ITEMS = ['items', 'prefixItems', 'contains', 'unevaluatedItems'];

/** @returns a string that says why not, when it cannot be told without a value. */
export function evaluatedMembers(document: SchemaDocument, place: Place): EvaluatedMembers | string {
  const places = beside(document, place, (one) => has(one, MEMBERS));
  if (typeof places === 'string') return places;
  const names = new Set<string>();
  const patterns = new Set<string>();
  let all = false;
  for (const one of places) {
    const schema = one.schema as Record<string, unknown>;
    const named = own(schema, 'properties');
    if (isMembers(named)) for (const key of Object.keys(named)) names.add(key);
    const matched = own(schema, 'patternProperties');
    if (isMembers(matched)) for (const key of Object.keys(matched)) patterns.add(key);
    if (own(schema, 'additionalProperties') !== undefined) all = true;
    if (one !== place && one.schema !== place.schema && own(schema, 'unevaluatedProperties') !== undefined) all = true;
  }
  return { all, names, patterns };
}

/** How many first items are looked at (Infinity: all); a string that says why not, when it cannot be told without a value. */
export function evaluatedItems(document: SchemaDocument, place: Place): number | string {
  const places = beside(document, place, (one) => has(one, ITEMS));
  if (typeof places === 'string') return places;
  let first = 0;
  for (const one of places) {
    const schema = one.schema as Record<string, unknown>;
    const prefix = own(schema, 'prefixItems');
    if (Array.isArray(prefix)) first = Math.max(first, prefix.length);
    if (own(schema, 'items') !== undefined) return Infinity;
    if (own(schema, 'contains') !== undefined) return 'depends on which items contains finds, which is not followed';
    if (one.schema !== place.schema && own(schema, 'unevaluatedItems') !== undefined) return Infinity;
  }
  return first;
}
