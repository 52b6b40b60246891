/** A schema document: where its subschemas are, and what its references mean. */

import { raise } from './problem.ts';
import type { Place } from './terms.ts';

export type Draft = '2020-12' | 'draft-07';

type Members = Readonly<Record<string, unknown>>;

const SINGLE = [
  'additionalItems',
  'additionalProperties',
  'contains',
  'else',
  'if',
  'items',
  'not',
  'propertyNames',
  'then',
  'unevaluatedItems',
  'unevaluatedProperties',
];
const LISTS = ['allOf', 'anyOf', 'items', 'oneOf', 'prefixItems'];
const MAPS = ['$defs', 'definitions', 'dependencies', 'dependentSchemas', 'patternProperties', 'properties'];

const DEEPEST = 200;
const MOST_PLACES = 50_000;
/** The base of documents that give none: a name that no reference of theirs can mean by chance. */
const NO_BASE = 'schema://document/';

export function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function own(members: Members, key: string): unknown {
  return Object.hasOwn(members, key) ? members[key] : undefined;
}

export class SchemaDocument {
  readonly root: Place;
  readonly draft: Draft;
  private readonly resources = new Map<string, Place>();
  private readonly anchors = new Map<string, Place>();
  private readonly dynamic = new Map<string, Place[]>();
  private readonly known = new Map<unknown, Place>();

  constructor(schema: unknown, draft?: Draft) {
    this.draft = draft ?? draftOf(schema);
    this.root = { schema, path: '#', base: NO_BASE };
    this.resources.set(NO_BASE, this.root);
    this.index();
    this.root = this.known.get(schema) ?? this.root;
  }

  /** Finds every subschema, with its base address. Without recursion: documents may be hostile. */
  private index(): void {
    const waiting: { place: Place; depth: number }[] = [{ place: this.root, depth: 0 }];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { schema, path } = next.place;
      if (!isMembers(schema) || this.known.has(schema)) continue;
      if (next.depth > DEEPEST) {
        const reason = `nests deeper than ${DEEPEST} schemas`;
        raise({ path: `${path.slice(0, 60)}…`, value: 'a schema', reason });
      }
      if (this.known.size > MOST_PLACES)
        raise({ path: '#', value: 'a schema', reason: `has more than ${MOST_PLACES} subschemas` });
      const place = this.identified(schema, path, next.place.base);
      this.known.set(schema, place);
      const depth = next.depth + 1;
      const add = (value: unknown, ...keys: string[]): void => {
        if (isMembers(value))
          waiting.push({ place: { schema: value, path: joined(path, keys), base: place.base }, depth });
      };
      for (const key of SINGLE) add(own(schema, key), key);
      for (const key of LISTS) {
        const list = own(schema, key);
        if (Array.isArray(list)) for (const [i, item] of list.entries()) add(item, key, String(i));
      }
      for (const key of MAPS) {
        const map = own(schema, key);
        if (isMembers(map)) for (const name of Object.keys(map)) add(map[name], key, name);
      }
    }
  }

  /** A place with the base that its own `$id` gives, entered under its names. */
  private identified(schema: Members, path: string, outer: string): Place {
    let base = outer;
    const id = own(schema, '$id');
    const ignored = this.draft === 'draft-07' && own(schema, '$ref') !== undefined;
    const anchors: string[] = [];
    if (typeof id === 'string' && !ignored) {
      if (id.startsWith('#')) {
        if (this.draft === 'draft-07' && id.length > 1) anchors.push(id.slice(1));
      } else {
        base = withoutFragment(resolved(id, outer) ?? outer);
        this.resources.set(base, { schema, path, base });
        const fragment = id.indexOf('#');
        if (this.draft === 'draft-07' && fragment >= 0 && fragment < id.length - 1)
          anchors.push(id.slice(fragment + 1));
      }
    }
    const place = { schema, path, base };
    const anchor = own(schema, '$anchor');
    const dynamicAnchor = own(schema, '$dynamicAnchor');
    if (typeof anchor === 'string') anchors.push(anchor);
    if (typeof dynamicAnchor === 'string') {
      anchors.push(dynamicAnchor);
      this.dynamic.set(dynamicAnchor, [...(this.dynamic.get(dynamicAnchor) ?? []), place]);
    }
    for (const name of anchors) if (!this.anchors.has(`${base}#${name}`)) this.anchors.set(`${base}#${name}`, place);
    return place;
  }

  /** The place of a subschema that stands in another. */
  at(parent: Place, ...keys: string[]): Place {
    let schema: unknown = parent.schema;
    for (const key of keys) schema = Array.isArray(schema) ? schema[Number(key)] : own(schema as Members, key);
    const known = isMembers(schema) ? this.known.get(schema) : undefined;
    return known ?? { schema, path: joined(parent.path, keys), base: parent.base };
  }

  /** What `$ref` (or `$dynamicRef`) at a place means. */
  reference(from: Place, keyword: '$ref' | '$dynamicRef'): Place {
    const value = own(from.schema as Members, keyword);
    const path = `${from.path}/${keyword}`;
    if (typeof value !== 'string') return raise({ path, value, reason: 'is not a reference: a string is needed' });
    const target = this.find(value, from.base);
    if (target === undefined) {
      const reason =
        'names nothing in this document; references to other documents are not followed: put the schema under $defs';
      return raise({ path, value, reason });
    }
    if (keyword === '$dynamicRef') {
      const anchor = isMembers(target.schema) ? own(target.schema, '$dynamicAnchor') : undefined;
      const fragment = value.slice(value.indexOf('#') + 1);
      if (anchor === fragment && (this.dynamic.get(fragment)?.length ?? 0) > 1) {
        const reason =
          'means different schemas on different ways through the document, which is not followed: use $ref';
        return raise({ path, value, reason });
      }
    }
    return target;
  }

  private find(reference: string, base: string): Place | undefined {
    const absolute = resolved(reference, base);
    if (absolute === undefined) return undefined;
    const hash = absolute.indexOf('#');
    const address = hash < 0 ? absolute : absolute.slice(0, hash);
    const fragment = hash < 0 ? '' : decoded(absolute.slice(hash + 1));
    const resource = this.resources.get(address);
    if (resource === undefined) return undefined;
    if (fragment === '') return isMembers(resource.schema) ? (this.known.get(resource.schema) ?? resource) : resource;
    if (!fragment.startsWith('/')) return this.anchors.get(`${address}#${fragment}`);
    let schema: unknown = resource.schema;
    let path = resource.path;
    let here = resource.base;
    for (const token of fragment.slice(1).split('/')) {
      const key = token.replaceAll('~1', '/').replaceAll('~0', '~');
      if (Array.isArray(schema)) {
        if (!/^(0|[1-9]\d*)$/.test(key) || Number(key) >= schema.length) return undefined;
        schema = schema[Number(key)];
      } else if (isMembers(schema) && Object.hasOwn(schema, key)) schema = schema[key];
      else return undefined;
      path = joined(path, [key]);
      here = (isMembers(schema) && this.known.get(schema)?.base) || here;
    }
    if (typeof schema === 'boolean') return { schema, path, base: here };
    if (!isMembers(schema)) return undefined;
    return this.known.get(schema) ?? { schema, path, base: here };
  }
}

function draftOf(schema: unknown): Draft {
  const name = isMembers(schema) ? own(schema, '$schema') : undefined;
  if (typeof name !== 'string') return '2020-12';
  return /draft-0?[3-7]\b/.test(name) ? 'draft-07' : '2020-12';
}

export function joined(path: string, keys: readonly string[]): string {
  return [path, ...keys.map((key) => encodeURI(key.replaceAll('~', '~0').replaceAll('/', '~1')))].join('/');
}

function resolved(reference: string, base: string): string | undefined {
  if (reference.startsWith('#') || reference === '') return base + reference;
  try {
    return new URL(reference, base).href;
  } catch {
    return undefined;
  }
}

function withoutFragment(address: string): string {
  const hash = address.indexOf('#');
  return hash < 0 ? address : address.slice(0, hash);
}

function decoded(fragment: string): string {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}
