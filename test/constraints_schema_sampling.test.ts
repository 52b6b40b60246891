/** Texts written by chance through the engine's masks: each that ends is JSON, and ajv finds it valid. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SettingError } from '../src/errors.ts';
import { compileGrammar } from '../src/generation/constraints/engine.ts';
import { schemaGrammar } from '../src/generation/constraints/schema/grammar.ts';
import type { Constraint, ConstraintState, ConstraintVocabulary } from '../src/generation/constraints/types.ts';
import { Chance, worldSchemas } from './constraints_schema_world.ts';

/** All bytes, and what a tokenizer would have learned from JSON and prose; some tokens end inside a character. */
const TOKENS: Uint8Array[] = (() => {
  const encoder = new TextEncoder();
  const texts =
    '{"|":|": |", "|","|"}|"]|}}|]]|},{|[]|{}|[{|null|true|false|\n|\n  |\n    |  |  "|, |: | the| and|ing|er|value|name|type|id|12|00|2024|-0|.5|1e|e+|e-|\\"|\\n|\\u00|\\ud83d|ü|字|😀|https://|@example|.org|-01|T12:|:00Z|aa|ab'.split(
      '|',
    );
  const whole = texts.map((text) => encoder.encode(text));
  return [
    ...Array.from({ length: 256 }, (_, i) => Uint8Array.of(i)),
    ...whole,
    encoder.encode('a😀').subarray(0, 3),
    Uint8Array.of(0x98, 0x80, 0x22),
  ];
})();
const VOCABULARY: ConstraintVocabulary = { size: TOKENS.length, bytesOf: (token) => TOKENS[token] };
/** What brings a text to its end, in this order. */
const CLOSING = Array.from('"}]leurt01na:-TZMPA@./ ').map((text) => text.charCodeAt(0));
const FREE = 50;
const MOST = 500;

function writes(state: ConstraintState, text: string): boolean {
  return new TextEncoder().encode(text).every((byte) => state.accept(byte));
}

/** Every name that some object must have, with what stands around it. */
function namesIn(schema: unknown): string[] {
  const names = new Set<string>();
  JSON.stringify(schema, (key, value) => {
    if (key === 'required' && Array.isArray(value)) for (const name of value) names.add(`${JSON.stringify(name)}:`);
    if (key === 'enum' || key === 'dependentRequired')
      for (const name of JSON.stringify(value).match(/"[^"]*"/g) ?? []) names.add(`${name}:`);
    return value;
  });
  return [...names];
}

/** @returns undefined when the text did not come to an end in time. */
function written(constraint: Constraint, chance: Chance, names: readonly string[]): string | undefined {
  const bytes: number[] = [];
  const state = constraint.start();
  for (let step = 0; step < MOST; step++) {
    if (state.canEnd && (state.mustEnd || step > FREE || chance.odds(0.1)))
      return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
    const mask = state.mask();
    const allowed: number[] = [];
    for (let t = 0; t < TOKENS.length; t++) if ((mask[t >> 5] >>> (t & 31)) & 1) allowed.push(t);
    expect(allowed.length, 'a text that can go nowhere').toBeGreaterThan(0);
    if (step > FREE && !allowed.includes(CLOSING[1])) {
      // An object that cannot be closed lacks a member.
      const name = names.find((one) => writes(state.fork(), one));
      if (name !== undefined && writes(state, name)) {
        bytes.push(...new TextEncoder().encode(name));
        continue;
      }
    }
    const closing = step > FREE ? CLOSING.find((t) => allowed.includes(t)) : undefined;
    const token = closing !== undefined && chance.odds(0.95) ? closing : chance.one(allowed);
    expect(state.accept(token)).toBe(true);
    bytes.push(...TOKENS[token]);
  }
  return undefined;
}

const key = fc.constantFrom('a', 'b', 'c', 'name', 'x-y', 'ü', '"');
const scalar: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    { type: 'string' },
    { type: 'integer' },
    { type: 'number' },
    { type: 'boolean' },
    { type: 'null' },
    { type: ['string', 'null'] },
  ),
  fc.record({ type: fc.constant('string'), minLength: fc.nat(4), maxLength: fc.integer({ min: 4, max: 9 }) }),
  fc.record({
    type: fc.constant('string'),
    pattern: fc.constantFrom('^[a-c]+$', 'b', '^(a|bc)*$', '^\\w{2,5}$', '^[^a]$', '\\d$', '^(?=.*x)\\w+$'),
    maxLength: fc.constantFrom(5, 20),
  }),
  fc.record({
    type: fc.constant('string'),
    format: fc.constantFrom(
      'date',
      'time',
      'date-time',
      'ipv4',
      'ipv6',
      'uuid',
      'duration',
      'json-pointer',
      'uri-reference',
    ),
  }),
  fc.record({
    type: fc.constant('integer'),
    minimum: fc.integer({ min: -150, max: 20 }),
    maximum: fc.integer({ min: 20, max: 12_345 }),
  }),
  fc.record({
    type: fc.constant('number'),
    minimum: fc.double({ min: -9, max: 0, noNaN: true }),
    exclusiveMaximum: fc.double({ min: 0.1, max: 1e9, noNaN: true }),
  }),
  fc.record({
    type: fc.constant('number'),
    exclusiveMinimum: fc.constantFrom(0, 1.5, -3),
    not: fc.constant({ const: 2 }),
  }),
  fc.record({ type: fc.constant('integer'), multipleOf: fc.constantFrom(2, 3, 10, 7) }),
  fc.record({
    enum: fc.uniqueArray(fc.constantFrom<unknown>(1, 'a', null, true, 2.5, 'é', [], { a: 1 }), {
      minLength: 1,
      maxLength: 4,
      comparator: 'IsStrictlyEqual',
    }),
  }),
);
const { schema } = fc.letrec<{ schema: unknown }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 3, depthIdentifier: 's' },
    { weight: 3, arbitrary: scalar },
    {
      weight: 3,
      arbitrary: fc.record(
        {
          type: fc.constant('object'),
          properties: fc.dictionary(key, tie('schema'), { maxKeys: 4 }),
          required: fc.uniqueArray(key, { maxLength: 2 }),
          additionalProperties: fc.oneof(fc.boolean(), tie('schema')),
          maxProperties: fc.integer({ min: 3, max: 6 }),
        },
        { requiredKeys: ['type', 'properties'] },
      ),
    },
    {
      weight: 2,
      arbitrary: fc.record(
        {
          type: fc.constant('array'),
          items: tie('schema'),
          minItems: fc.nat(2),
          maxItems: fc.integer({ min: 2, max: 4 }),
        },
        { requiredKeys: ['type', 'items'] },
      ),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        prefixItems: fc.array(tie('schema'), { minLength: 1, maxLength: 3 }),
        items: fc.oneof(fc.constant(false), tie('schema')),
        type: fc.constant('array'),
      }),
    },
    { weight: 1, arbitrary: fc.record({ anyOf: fc.array(tie('schema'), { minLength: 1, maxLength: 3 }) }) },
    { weight: 1, arbitrary: fc.record({ oneOf: fc.array(tie('schema'), { minLength: 2, maxLength: 3 }) }) },
    { weight: 1, arbitrary: fc.record({ allOf: fc.array(tie('schema'), { minLength: 2, maxLength: 2 }) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constantFrom('string', 'object', 'integer'), not: tie('schema') }) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.dictionary(key, scalar, { minKeys: 1, maxKeys: 1 }), key, tie('schema'))
        .map(([properties, name, otherwise]) => ({
          type: 'object',
          ...Object.fromEntries([
            ['if', { properties }],
            ['then', { required: [name] }],
            ['else', otherwise],
          ]),
        })),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant('object'),
        patternProperties: fc.dictionary(fc.constantFrom('^a', 'x', '^[a-c]$'), tie('schema'), { maxKeys: 2 }),
        propertyNames: fc.record({ maxLength: fc.constant(3) }),
        additionalProperties: tie('schema'),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ type: fc.constant('array'), items: scalar, contains: scalar, maxItems: fc.constant(4) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant('object'),
        dependentRequired: fc.dictionary(key, fc.tuple(key), { maxKeys: 2 }),
        properties: fc.dictionary(key, scalar, { maxKeys: 3 }),
      }),
    },
  ),
}));

// Steps are exact decimals to us; ajv's divisions are doubles.
const ajv = new Ajv2020({ strict: false, multipleOfPrecision: 6 });
(addFormats as unknown as (ajv: unknown) => void)(ajv);

/** Writes two texts by one schema, when it is accepted. */
function tried(value: unknown, chance: Chance, count: Record<'accepted' | 'refused' | 'ended' | 'cut', number>): void {
  const validate = ajv.compile(value as object);
  ajv.removeSchema();
  let constraint: Constraint;
  try {
    constraint = compileGrammar(schemaGrammar(value), VOCABULARY);
  } catch (error) {
    if (!(error instanceof SettingError)) throw error;
    count.refused++;
    return;
  }
  count.accepted++;
  const names = namesIn(value);
  for (let i = 0; i < 2; i++) {
    const text = written(constraint, chance, names);
    if (text === undefined) {
      count.cut++;
      continue;
    }
    count.ended++;
    const parsed: unknown = JSON.parse(text);
    if (!validate(parsed))
      throw new Error(`${JSON.stringify(value)} wrote ${text}: ${JSON.stringify(validate.errors?.[0])}`);
  }
}

it('writes valid JSON by random schemas and by those in use', { timeout: 3_600_000 }, () => {
  const chance = new Chance(5);
  const count = { accepted: 0, refused: 0, ended: 0, cut: 0 };
  fc.assert(
    fc.property(schema, (value) => tried(value, chance, count)),
    { numRuns: Number(process.env.CONSTRAINTS_SCHEMAS ?? 200) },
  );
  // `email` is wider for us than for ajv-formats in nothing, `hostname` in one: the length of all labels together.
  for (const { schema: value } of worldSchemas(23, 3).filter((one) => !/draft-07/.test(JSON.stringify(one.schema))))
    tried(value, chance, count);
  process.stdout.write(`random schemas: ${JSON.stringify(count)}\n`);
  expect(count.accepted).toBeGreaterThan(150);
  expect(count.ended).toBeGreaterThan(count.cut * 10);
});
