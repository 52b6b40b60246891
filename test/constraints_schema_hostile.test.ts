/** Schemas that mean harm, and schemas that are wrong: an answer within a second, or an error that names the place. */
import { expect, it } from 'vitest';
import { SettingError } from '../src/errors.ts';
import { regexGrammar } from '../src/generation/constraints/regular/grammar.ts';
import { schemaGrammar } from '../src/generation/constraints/schema/grammar.ts';
import { Recogniser } from './constraints_recogniser.ts';

function nested(depth: number, around: (inner: unknown) => unknown): unknown {
  let schema: unknown = { type: 'string' };
  for (let i = 0; i < depth; i++) schema = around(schema);
  return schema;
}

function list<T>(length: number, item: (i: number) => T): T[] {
  return Array.from({ length }, (_, i) => item(i));
}

const many = Object.fromEntries(list(5000, (i) => [`k${i}`, { type: 'string', minLength: i % 3 }]));
const circle: Record<string, unknown> = { type: 'object', properties: {} };
(circle.properties as Record<string, unknown>).self = circle;

const HOSTILE: Readonly<Record<string, unknown>> = {
  '60,000 levels of items': nested(60_000, (inner) => ({ items: inner })),
  '60,000 levels of allOf': nested(60_000, (inner) => ({ allOf: [inner] })),
  '60,000 levels of not': nested(60_000, (inner) => ({ not: inner })),
  '150 levels of required members': nested(150, (inner) => ({ properties: { a: inner }, required: ['a'] })),
  '150 levels of anyOf': nested(150, (inner) => ({ anyOf: [inner, { type: 'null' }] })),
  'an object in itself': circle,
  'maxLength 10^9': { type: 'string', maxLength: 1e9, minLength: 1e8 },
  'maxLength 10^9 and a pattern': { pattern: '^[a-z]+$', maxLength: 1e9 },
  'maxItems 10^9': { type: 'array', items: { type: 'null' }, maxItems: 1e9, minItems: 1e8 },
  'contains 10^9': { contains: { const: 1 }, minContains: 1e8, maxContains: 1e9 },
  'a product of anyOf': {
    allOf: list(12, (i) => ({
      anyOf: list(6, (j) => ({ type: 'object', properties: { [`k${i}`]: { const: j } }, required: [`k${i}`] })),
    })),
  },
  'a product of dependencies': { dependentRequired: Object.fromEntries(list(30, (i) => [`a${i}`, [`b${i}`]])) },
  'a large object, negated': { not: { type: 'object', properties: many, required: Object.keys(many) } },
  'a large object': { type: 'object', properties: many },
  '300 variants': {
    oneOf: list(300, (i) => ({
      type: 'object',
      properties: { t: { const: `v${i}` }, x: { type: 'integer' } },
      required: ['t'],
    })),
  },
  '300 variants without a tag': {
    oneOf: list(300, (i) => ({ type: 'object', properties: { [`v${i}`]: { type: 'string' } } })),
  },
  '20,000 values': { enum: list(20_000, (i) => `value-${i}`) },
  'nested repeats': { pattern: '^(a+)+$' },
  'a pattern of too many states': { pattern: '(.*a.{40}){5}' },
  'a large count': { pattern: '^.{0,100000}$' },
  '40 patterns of names': {
    patternProperties: Object.fromEntries(list(40, (i) => [`a.*${i}`, { type: 'string', minLength: i }])),
  },
  '20 patterns at once': { allOf: list(20, (i) => ({ pattern: `${i}.*x` })) },
  'the smallest number': { minimum: 5e-324, maximum: 5e-324 },
};

it.each(Object.entries(HOSTILE))('%s', (_, schema) => {
  const start = performance.now();
  try {
    schemaGrammar(schema);
  } catch (error) {
    expect(error).toBeInstanceOf(SettingError);
    expect((error as SettingError).message).toMatch(/^schema #/);
    expect((error as SettingError).message.length).toBeLessThan(500);
  }
  // The bound is a second; other work may have the processor as well.
  expect(performance.now() - start).toBeLessThan(3000);
});

it.each<[unknown, RegExp]>([
  [{ $ref: '#' }, /schema # .*refers to itself/],
  [
    { $defs: { a: { $ref: '#/$defs/b' }, b: { allOf: [{ $ref: '#/$defs/a' }] } }, $ref: '#/$defs/a' },
    /refers to itself/,
  ],
  [{ type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }, /schema # .*no value at all/],
  [
    { properties: { 'a/b': { type: 'array', items: { type: 'string' }, uniqueItems: true } } },
    /schema #\/properties\/a~1b\/uniqueItems = true/,
  ],
  [{ properties: { a: { pattern: '(x)\\1' } } }, /schema #\/properties\/a\/pattern = "\(x\)\\\\1": refers back/],
  [{ properties: { a: { format: 'regex' } } }, /schema #\/properties\/a\/format = "regex"/],
  [{ minProperties: 3 }, /schema #\/minProperties = 3/],
  [{ $ref: 'https://example.org/other.json' }, /schema #\/\$ref = "https:.*names nothing in this document/],
  [{ type: 'integer', multipleOf: 7919 }, /schema #\/multipleOf/],
  [{ minimum: Number.NaN }, /schema #\/minimum = NaN/],
  [{ minLength: -1 }, /schema #\/minLength = -1/],
  [{ type: 'text' }, /schema #\/type = "text"/],
  [{ properties: { a: 5 } }, /schema #\/properties\/a = 5: is not a schema/],
  [null, /is not a schema/],
  ['x', /is not a schema/],
  [[], /is not a schema/],
  [false, /no value at all/],
])('%j is refused by name', (schema, message) => {
  expect(() => schemaGrammar(schema)).toThrow(SettingError);
  expect(() => schemaGrammar(schema)).toThrow(message);
});

it('does not refuse what cannot occur', () => {
  // The pattern is of strings, and there are none.
  expect(Recogniser.takes(schemaGrammar({ type: 'integer', pattern: '(x)\\1' }), '7')).toBe(true);
  expect(Recogniser.takes(schemaGrammar({ type: 'array', items: {}, uniqueItems: true, maxItems: 1 }), '[{}]')).toBe(
    true,
  );
});

it('tells the caller who asks what does not bind', () => {
  const told: string[] = [];
  const schema = {
    type: 'object',
    properties: {
      a: { type: 'array', items: { type: 'string' }, uniqueItems: true },
      b: { format: 'regex', maxLength: 2 },
    },
    minProperties: 2,
  };
  const grammar = schemaGrammar(schema, { unenforced: (path) => told.push(path) });
  expect(told.sort()).toEqual(['#/minProperties', '#/properties/a/uniqueItems', '#/properties/b/format']);
  expect(Recogniser.takes(grammar, '{"a":["x","x"],"b":"("}')).toBe(true);
  expect(Recogniser.takes(grammar, '{"a":["x"],"b":"abc"}')).toBe(false);
});

it('keeps names that JavaScript treats apart', () => {
  const schema: unknown = JSON.parse(
    '{"properties":{"__proto__":{"type":"string"},"constructor":{"type":"null"}},"required":["__proto__"],"additionalProperties":false}',
  );
  const grammar = schemaGrammar(schema);
  expect(Recogniser.takes(grammar, '{"__proto__":"x","constructor":null}')).toBe(true);
  expect(Recogniser.takes(grammar, '{"constructor":null}')).toBe(false);
  expect(Recogniser.takes(grammar, '{"__proto__":"x","toString":1}')).toBe(false);
});

it('makes grammars of regular expressions', () => {
  expect(Recogniser.takes(regexGrammar('\\d{3}-[a-zé]+'), '123-é')).toBe(true);
  expect(Recogniser.takes(regexGrammar('\\d{3}-[a-zé]+'), 'x123-é')).toBe(false);
  expect(Recogniser.takes(regexGrammar('b', 'search'), 'abc\n')).toBe(true);
  expect(Recogniser.takes(regexGrammar('^a.{0,100000}b$'), 'axxb')).toBe(true);
  expect(() => regexGrammar('a(?<=b)')).toThrow(/regex = .*looks behind/);
  expect(() => regexGrammar('[]')).toThrow(/matches no text/);
});
