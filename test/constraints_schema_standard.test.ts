/** Schemas as values of the program: Zod 4, any Standard Schema, plain JSON Schema; and the types of what they let through. */
import { describe, expect, expectTypeOf, it } from 'vitest';
import { z } from 'zod';
import * as mini from 'zod/mini';
import { SettingError } from '../src/errors.ts';
import { schemaGrammar } from '../src/generation/constraints/schema/grammar.ts';
import { type InferOutput, type StandardSchema, schemaOf } from '../src/generation/constraints/schema/standard.ts';
import { Recogniser } from './constraints_recogniser.ts';

describe('schemaOf', () => {
  it('takes a Zod schema, closes its objects, and gives back its output', async () => {
    const person = z.object({
      name: z.string().min(1),
      age: z.number().int().nonnegative().optional(),
      role: z.enum(['reader', 'writer']).default('reader'),
    });
    const usable = schemaOf(person);
    expectTypeOf(usable.validate).returns.toEqualTypeOf<z.output<typeof person> | Promise<z.output<typeof person>>>();
    const grammar = schemaGrammar(usable.schema);
    expect(Recogniser.takes(grammar, '{"name":"Ada","age":36}')).toBe(true);
    expect(Recogniser.takes(grammar, '{"age":36,"name":"Ada","role":"writer"}')).toBe(true);
    expect(Recogniser.takes(grammar, '{"name":""}')).toBe(false);
    expect(Recogniser.takes(grammar, '{"name":"Ada","more":1}')).toBe(false);
    expect(await usable.validate({ name: 'Ada' })).toEqual({ name: 'Ada', role: 'reader' });
    expect(() => usable.validate({ name: '' })).toThrow(/value = .*name: /);
  });

  it('takes unions by a tag, recursion, tuples, records and intersections', () => {
    interface Tree {
      value: number;
      children?: Tree[] | undefined;
    }
    const tree: z.ZodType<Tree> = z.lazy(() => z.object({ value: z.number(), children: z.array(tree).optional() }));
    const event = z.discriminatedUnion('type', [
      z.object({ type: z.literal('key'), code: z.number().int().max(255) }),
      z.object({ type: z.literal('text'), text: z.string().regex(/^\w+$/) }),
    ]);
    const all = z.object({
      tree,
      event,
      pair: z.tuple([z.string(), z.boolean()]),
      table: z.record(z.string(), z.number()),
      both: z.intersection(z.object({ a: z.string() }), z.object({ b: z.null() })),
    });
    const grammar = schemaGrammar(schemaOf(all).schema);
    const value = {
      tree: { value: 1, children: [{ value: 2 }] },
      event: { type: 'key', code: 3 },
      pair: ['x', true],
      table: { q: 1.5 },
      both: { a: 'x', b: null },
    };
    expect(all.parse(value)).toEqual(value);
    expect(Recogniser.takes(grammar, JSON.stringify(value))).toBe(true);
    expect(Recogniser.takes(grammar, JSON.stringify({ ...value, event: { type: 'key', text: 'a' } }))).toBe(false);
    expect(Recogniser.takes(grammar, JSON.stringify({ ...value, event: { type: 'text', text: '-' } }))).toBe(false);
    expect(Recogniser.takes(grammar, JSON.stringify({ ...value, tree: { value: 1, children: [{}] } }))).toBe(false);
  });

  it('takes any Standard Schema that gives its JSON Schema, or beside it', async () => {
    const schema: StandardSchema<string, number> = {
      '~standard': {
        version: 1,
        vendor: 'own',
        validate: async (value) =>
          typeof value === 'string'
            ? { value: value.length }
            : { issues: [{ message: 'no text', path: ['a', { key: 0 }] }] },
      },
    };
    expect(() => schemaOf(schema)).toThrow(SettingError);
    expect(() => schemaOf(schema)).toThrow(/a schema of own.*give the JSON Schema as well/);
    const usable = schemaOf(schema, { type: 'string' });
    expectTypeOf<InferOutput<typeof schema>>().toEqualTypeOf<number>();
    expect(await usable.validate('abc')).toBe(3);
    await expect(usable.validate(7)).rejects.toThrow(/a\.0: no text/);
    // Zod Mini leaves the way to JSON Schema out.
    expect(() => schemaOf(mini.object({ a: mini.string() }))).toThrow(/give the JSON Schema as well/);
    expect(() => schemaOf(z.date())).toThrow(/cannot be written as a JSON Schema/);
  });

  it('takes a plain JSON Schema as it is', () => {
    const schema = { type: 'object', properties: { a: { type: 'integer' } } };
    expect(schemaOf(schema).schema).toBe(schema);
    expect(schemaOf(true).validate(7)).toBe(7);
    expectTypeOf<InferOutput<typeof schema>>().toEqualTypeOf<unknown>();
    for (const bad of [null, 'x', 7, []]) expect(() => schemaOf(bad as object)).toThrow(/is not a schema/);
  });
});
