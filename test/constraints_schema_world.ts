/**
 * Schemas of the kinds that are in use, made by rule: parameters of function calls, components of OpenAPI documents, configuration files, messages and records.
 * Each comes with instances; whether those are valid is for a validator to say.
 */

import { readFileSync } from 'node:fs';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Schema = { [key: string]: unknown };

export interface WorldSchema {
  readonly kind: string;
  readonly schema: Schema;
}

/** A small generator of numbers (mulberry32), so that all is the same every time. */
export class Chance {
  constructor(private state: number) {}

  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  odds(p: number): boolean {
    return this.next() < p;
  }

  one<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  some<T>(list: readonly T[], min: number, max: number): T[] {
    const left = [...list];
    const count = Math.min(left.length, min + this.below(max - min + 1));
    return Array.from({ length: count }, () => left.splice(this.below(left.length), 1)[0]);
  }
}

const WORDS = [
  'id',
  'name',
  'title',
  'status',
  'email',
  'count',
  'price',
  'tags',
  'city',
  'country',
  'date',
  'limit',
  'query',
  'unit',
  'lang',
  'notes',
  'user_id',
  'createdAt',
  'is_active',
  'max-size',
  'x',
  'größe',
  '价格',
];
const VALUES = [
  'open',
  'closed',
  'pending',
  'celsius',
  'fahrenheit',
  'asc',
  'desc',
  'low',
  'medium',
  'high',
  'none',
  'all',
  'en',
  'de',
  'zh-CN',
  'on hold',
  '',
  '"quoted"',
  'a/b',
  'ü',
];

const PATTERNS: readonly Schema[] = [
  { pattern: '^[a-z0-9-]+$', examples: ['abc', 'a-1'] },
  { pattern: '^#[0-9a-fA-F]{6}$', examples: ['#00ff7F'] },
  { pattern: '^[A-Z]{2}$', examples: ['DE', 'FR'] },
  { pattern: '^[A-Z]{3}-\\d{4}$', examples: ['ABC-1234'] },
  { pattern: '^\\d{4}-\\d{2}-\\d{2}$', examples: ['2024-01-31'] },
  { pattern: '^(\\([0-9]{3}\\))?[0-9]{3}-[0-9]{4}$', examples: ['555-1212', '(888)555-1212'] },
  { pattern: '^v?(0|[1-9]\\d*)\\.(0|[1-9]\\d*)\\.(0|[1-9]\\d*)(?:-[\\w.]+)?$', examples: ['1.2.3', 'v0.10.0-rc.1'] },
  { pattern: '^\\S+@\\S+\\.\\S+$', examples: ['a@b.co'] },
  { pattern: '^https?://', examples: ['https://example.com/x'] },
  { pattern: '^(?!\\.)[\\w./-]+$', examples: ['src/index.ts'] },
  { pattern: '^[^\\s]+$', examples: ['word'], minLength: 1, maxLength: 255 },
  { pattern: '^[a-z][a-zA-Z0-9_]*$', examples: ['camelCase1'], maxLength: 64 },
  { pattern: '^arn:aws:[a-z0-9-]+:[a-z0-9-]*:\\d{12}:.+$', examples: ['arn:aws:iam::123456789012:role/x'] },
  { pattern: '^(?=.*[A-Z])(?=.*\\d).{8,64}$', examples: ['Passw0rdXY'] },
  { pattern: '^\\+[1-9]\\d{1,14}$', examples: ['+4915112345678'] },
  { pattern: '\\.json$', examples: ['a.json'] },
  { pattern: '^\\p{L}[\\p{L}\\p{N} ]*$', examples: ['Größe 1', '名'] },
];

const FORMATS: readonly Schema[] = [
  { format: 'date', examples: ['2024-02-29'] },
  { format: 'date-time', examples: ['2024-02-29T12:00:00Z', '2023-06-01T00:00:00.5+02:00'] },
  { format: 'time', examples: ['23:59:59Z'] },
  { format: 'email', examples: ['ada@example.org'] },
  { format: 'uri', examples: ['https://example.org/a?b=c#d', 'urn:x:y'] },
  { format: 'uuid', examples: ['123e4567-e89b-12d3-a456-426614174000'] },
  { format: 'ipv4', examples: ['192.168.0.1'] },
  { format: 'ipv6', examples: ['::1', '2001:db8::ff00:42:8329'] },
  { format: 'hostname', examples: ['www.example.org'] },
  { format: 'duration', examples: ['P1DT2H'] },
  { format: 'uri-reference', examples: ['../a/b'] },
  { format: 'json-pointer', examples: ['/a/0'] },
];

function text(c: Chance): Schema {
  return c.one<() => Schema>([
    () => ({ type: 'string' }),
    () => ({ type: 'string', description: 'Some text.', maxLength: c.one([1, 10, 100, 5000]) }),
    () => ({ type: 'string', minLength: 1 }),
    () => ({ type: 'string', enum: c.some(VALUES, 1, 6) }),
    () => ({ type: 'string', ...c.one(PATTERNS) }),
    () => ({ type: 'string', ...c.one(FORMATS) }),
    () => ({ const: c.one(VALUES) }),
    () => ({ enum: c.some(VALUES, 2, 5), default: 'low' }),
  ])();
}

function number(c: Chance): Schema {
  return c.one<() => Schema>([
    () => ({ type: 'integer' }),
    () => ({ type: 'number' }),
    () => ({ type: 'integer', minimum: c.one([0, 1, -10]), maximum: c.one([10, 100, 65535]) }),
    () => ({ type: 'number', minimum: 0, maximum: 1 }),
    () => ({ type: 'number', exclusiveMinimum: 0 }),
    () => ({ type: 'number', minimum: -90, maximum: 90 }),
    () => ({ type: 'integer', multipleOf: c.one([2, 5, 100]) }),
    () => ({ type: 'number', minimum: 0, multipleOf: c.one([0.5, 0.25]) }),
    () => ({ type: 'integer', format: c.one(['int32', 'int64']) }),
    () => ({ type: 'integer', exclusiveMinimum: 0, exclusiveMaximum: 1000 }),
    () => ({ enum: [1, 2, 3.5, -1] }),
    () => ({ type: 'integer', minimum: 0 }),
  ])();
}

function scalar(c: Chance): Schema {
  return c.one([
    text,
    text,
    number,
    () => ({ type: 'boolean' }),
    () => ({ type: ['string', 'null'] }),
    () => ({ anyOf: [number(c), { type: 'null' }] }),
  ])(c);
}

function list(c: Chance, item: Schema): Schema {
  return { type: 'array', items: item, ...c.one([{}, { minItems: 1 }, { maxItems: 5 }, { minItems: 1, maxItems: 3 }]) };
}

function record(c: Chance, depth: number, strict = c.odds(0.5)): Schema {
  const names = c.some(WORDS, 1, 7);
  const properties: Schema = {};
  for (const name of names) properties[name] = value(c, depth, strict);
  const required = strict && c.odds(0.6) ? names : c.some(names, 0, names.length);
  return {
    type: 'object',
    properties,
    ...(required.length > 0 ? { required } : {}),
    ...(strict ? { additionalProperties: false } : c.odds(0.2) ? { additionalProperties: scalar(c) } : {}),
  };
}

function value(c: Chance, depth: number, strict?: boolean): Schema {
  if (depth <= 0 || c.odds(0.6)) return scalar(c);
  return c.odds(0.5) ? record(c, depth - 1, strict) : list(c, value(c, depth - 1, strict));
}

/** Kinds with a fixed frame: templates in which `$make`, `$one`, `$some`, `$odds`, `$maybe` and `$either` stand for what differs from schema to schema. */
const TEMPLATES: Readonly<Record<string, unknown>> = JSON.parse(
  readFileSync(new URL('./golden/constraints/world.json', import.meta.url), 'utf8'),
);

function filled(template: unknown, c: Chance): unknown {
  if (Array.isArray(template)) {
    return template.flatMap((item) =>
      isSchema(item) && '$some' in item ? (filled(item, c) as unknown[]) : [filled(item, c)],
    );
  }
  if (!isSchema(template)) return template;
  if ('$odds' in template) return c.odds(Number(template.$odds));
  if ('$some' in template) {
    const list = template.$some === 'values' ? VALUES : (template.$some as string[]);
    return c.some(list, Number(template.from), Number(template.to));
  }
  if ('$make' in template) {
    const depth = Number(template.depth ?? 0);
    const strict = template.strict as boolean | undefined;
    switch (template.$make) {
      case 'number':
        return number(c);
      case 'record':
        return record(c, depth, strict);
      case 'value':
        return value(c, depth, strict);
      case 'list':
        return list(c, filled(template.item, c) as Schema);
      default:
        return scalar(c);
    }
  }
  let result: Schema = {};
  for (const [key, inner] of Object.entries(template)) {
    if (key === '$one') {
      const picked = inner === 'patterns' ? c.one(PATTERNS) : filled(c.one(inner as unknown[]), c);
      if (!isSchema(picked)) return picked;
      result = { ...result, ...picked };
    } else if (key.startsWith('$maybe')) {
      const { p, add } = inner as { p: number; add: Schema };
      if (c.odds(p)) result = { ...result, ...(filled(add, c) as Schema) };
    } else result[key === '$either' ? c.one(['anyOf', 'oneOf']) : key] = filled(inner, c);
  }
  return result;
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const KINDS: Readonly<Record<string, (c: Chance) => Schema>> = {
  'function call': (c) => ({ ...record(c, 2), description: 'Parameters' }),
  'strict function call': (c) => record(c, 3, true),
  'union by a tag': (c) => {
    const tags = c.some(
      VALUES.filter((word) => word !== ''),
      2,
      6,
    );
    const variants = tags.map((tag) => {
      const body = record(c, 1);
      const type = c.odds(0.7) ? { const: tag } : { type: 'string', enum: [tag] };
      const required = ['type', ...((body.required as string[] | undefined) ?? [])];
      return { ...body, properties: { type, ...(body.properties as Schema) }, required };
    });
    const union = c.one(['anyOf', 'oneOf']);
    if (c.odds(0.5)) return { [union]: variants };
    const event = {
      [union]: variants.map((_, i) => ({ $ref: `#/$defs/v${i}` })),
      discriminator: { propertyName: 'type' },
    };
    const $defs = Object.fromEntries(variants.map((variant, i) => [`v${i}`, variant]));
    return { type: 'object', properties: { event }, required: ['event'], additionalProperties: false, $defs };
  },
  'calls of one of several tools': (c) => ({
    anyOf: c.some(WORDS, 2, 4).map((name) => ({
      type: 'object',
      properties: { name: { const: name }, arguments: record(c, 1) },
      required: ['name', 'arguments'],
      additionalProperties: false,
    })),
  }),
  ...Object.fromEntries(
    Object.entries(TEMPLATES).map(([kind, template]) => [kind, (c: Chance) => filled(template, c) as Schema]),
  ),
};

/** `count` schemas, the kinds in turn. */
export function worldSchemas(count: number, seed: number): WorldSchema[] {
  const chance = new Chance(seed);
  const kinds = Object.keys(KINDS);
  return Array.from({ length: count }, (_, i) => ({
    kind: kinds[i % kinds.length],
    schema: KINDS[kinds[i % kinds.length]](chance),
  }));
}

/** A value meant to be valid: most are. */
export function instanceOf(schema: unknown, root: Schema, c: Chance, depth = 6): Json {
  if (schema === true || schema === undefined) return c.one<Json>([null, 1, 'x', [], {}]);
  if (typeof schema !== 'object' || schema === null) return null;
  const s = schema as Schema;
  if (Array.isArray(s.examples) && c.odds(0.9)) return c.one(s.examples as Json[]);
  if ('const' in s) return s.const as Json;
  if (Array.isArray(s.enum)) return c.one(s.enum as Json[]);
  if (typeof s.$ref === 'string') return instanceOf(resolve(s.$ref, root), root, c, depth - 1);
  for (const keyword of ['anyOf', 'oneOf']) {
    if (Array.isArray(s[keyword])) {
      const { [keyword]: ways, ...rest } = s;
      return instanceOf(
        merged(rest, c.one(depth > 0 ? (ways as Schema[]) : (ways as Schema[]).slice(0, 1))),
        root,
        c,
        depth,
      );
    }
  }
  if (Array.isArray(s.allOf)) {
    const { allOf, ...rest } = s;
    const parts = (allOf as Schema[]).map((part) =>
      typeof part.$ref === 'string' ? (resolve(part.$ref, root) as Schema) : part,
    );
    return instanceOf(parts.reduce(merged, rest), root, c, depth);
  }
  const type = Array.isArray(s.type)
    ? c.one(s.type as string[])
    : (s.type ??
      (s.properties || s.required || s.patternProperties
        ? 'object'
        : s.items
          ? 'array'
          : s.pattern
            ? 'string'
            : 'integer'));
  switch (type) {
    case 'null':
      return null;
    case 'boolean':
      return c.odds(0.5);
    case 'integer':
    case 'number': {
      const low = Number(s.minimum ?? (s.exclusiveMinimum !== undefined ? Number(s.exclusiveMinimum) + 1 : -5));
      const high = Number(
        s.maximum ?? (s.exclusiveMaximum !== undefined ? Number(s.exclusiveMaximum) - 1 : low + 1000),
      );
      const step = Number(s.multipleOf ?? 1);
      const whole = Math.ceil((low + c.next() * (high - low)) / step) * step;
      return type === 'number' && s.multipleOf === undefined && c.odds(0.5) ? low + c.next() * (high - low) : whole;
    }
    case 'string': {
      const min = Number(s.minLength ?? 0);
      const max = Math.min(Number(s.maxLength ?? 12), min + 12);
      const letters = Array.from('abz AZ09_-."\\/\n\té字😀');
      return Array.from({ length: min + c.below(max - min + 1) }, () => c.one(letters)).join('');
    }
    case 'array': {
      const min = Number(s.minItems ?? 0);
      const max = Math.min(Number(s.maxItems ?? min + 3), min + 3);
      const count = depth > 0 ? min + c.below(max - min + 1) : min;
      const prefix = (s.prefixItems as unknown[] | undefined) ?? [];
      return Array.from({ length: count }, (_, i) => instanceOf(prefix[i] ?? s.items, root, c, depth - 1));
    }
    default: {
      const value: { [key: string]: Json } = {};
      const properties = (s.properties as Schema | undefined) ?? {};
      const required = (s.required as string[] | undefined) ?? [];
      const names = Object.keys(properties);
      for (const name of c.some(names, 0, names.length))
        if (depth > 0 || required.includes(name)) value[name] = instanceOf(properties[name], root, c, depth - 1);
      for (const name of required) value[name] ??= instanceOf(properties[name], root, c, depth - 1);
      const others = s.propertyNames === undefined ? WORDS : ['de', 'en', 'fr'];
      if (typeof s.additionalProperties === 'object' && depth > 0)
        for (const name of c.some(others, 0, 2)) value[name] ??= instanceOf(s.additionalProperties, root, c, depth - 1);
      return value;
    }
  }
}

function merged(a: Schema, b: Schema): Schema {
  const both = { ...a, ...b };
  if (a.properties && b.properties) both.properties = { ...(a.properties as Schema), ...(b.properties as Schema) };
  if (Array.isArray(a.required) && Array.isArray(b.required)) both.required = [...a.required, ...b.required];
  return both;
}

function resolve(reference: string, root: Schema): unknown {
  if (!reference.startsWith('#/')) return { type: 'string' };
  return reference
    .slice(2)
    .split('/')
    .reduce<unknown>((at, key) => (at as Schema | undefined)?.[key], root);
}

/** A value with one thing changed: most are invalid. */
export function mutationOf(value: Json, c: Chance): Json {
  const copy = structuredClone(value);
  const places: { parent: Json[] | { [key: string]: Json }; key: string | number }[] = [];
  const holder: { [key: string]: Json } = { value: copy };
  const walk = (parent: Json[] | { [key: string]: Json }, key: string | number): void => {
    places.push({ parent, key });
    const inner = (parent as { [key: string | number]: Json })[key];
    if (Array.isArray(inner)) {
      for (const i of inner.keys()) walk(inner, i);
    } else if (typeof inner === 'object' && inner !== null) for (const name of Object.keys(inner)) walk(inner, name);
  };
  walk(holder, 'value');
  const { parent, key } = c.one(places);
  const at = parent as { [key: string | number]: Json };
  const old = at[key];
  if (c.odds(0.25) && parent !== holder) {
    if (Array.isArray(parent)) parent.splice(Number(key), 1);
    else delete at[key];
  } else if (typeof old === 'object' && old !== null && !Array.isArray(old) && c.odds(0.5))
    old[c.one([...WORDS, 'extra', 'x-y', '_p', '0'])] = c.one<Json>([1, 'x', null, true]);
  else if (Array.isArray(old) && c.odds(0.6))
    old.push(old.length > 0 && c.odds(0.5) ? structuredClone(old[0]) : c.one<Json>([1, 'x', null, {}]));
  else if (typeof old === 'number')
    at[key] = c.one([old + 0.5, -old, old * 1e6 + 1, 0, old + 1, String(old), 1e12, null]);
  else if (typeof old === 'string')
    at[key] = c.one<Json>([
      `${old}!`,
      Array.from(old).slice(1).join(''),
      '',
      old.toUpperCase(),
      ` ${old}`,
      old.repeat(30),
      7,
      null,
      [old],
    ]);
  else at[key] = c.one<Json>([null, true, 0, 'text', [], {}]);
  return holder.value;
}
