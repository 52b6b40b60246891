/** JSON Schemas as grammars: what they take and leave, tried with a recogniser that knows nothing of schemas. */
import { describe, expect, it } from 'vitest';
import { jsonGrammar, schemaGrammar } from '../src/generation/constraints/schema/grammar.ts';
import { Recogniser } from './constraints_recogniser.ts';

function takes(schema: unknown, text: string): boolean {
  return Recogniser.takes(schemaGrammar(schema), text);
}

describe('schemas as grammars', () => {
  it('takes objects with members in any order, and demands the required ones', () => {
    const schema = {
      type: 'object',
      properties: {
        name: { type: 'string', maxLength: 3 },
        age: { type: 'integer', minimum: 0 },
        tags: { type: 'array', items: { enum: ['a', 'b'] } },
      },
      required: ['name'],
      additionalProperties: false,
    };
    for (const text of [
      '{"name":"abc"}',
      '{"age":7,"name":"\\u00e9"}',
      '{"tags": ["a", "b"], "name": "x", "age": 0}',
      '{\n  "name": "x",\n  "tags": [\n    "a"\n  ]\n}',
    ]) {
      expect(takes(schema, text), text).toBe(true);
    }
    for (const text of [
      '{}',
      '{"age":7}',
      '{"name":"abcd"}',
      '{"name":"a","name":"b"}',
      '{"name":"a","x":1}',
      '{"name":"a","age":-1}',
      '{"name":"a","tags":["c"]}',
      '{"name":"a",}',
    ]) {
      expect(takes(schema, text), text).toBe(false);
    }
  });

  it('follows references that lead back', () => {
    const schema = {
      $ref: '#/$defs/tree',
      $defs: {
        tree: {
          type: 'object',
          properties: { left: { anyOf: [{ $ref: '#/$defs/tree' }, { type: 'null' }] }, value: { type: 'number' } },
          required: ['value'],
          additionalProperties: false,
        },
      },
    };
    expect(takes(schema, '{"value":1.5,"left":{"left":null,"value":-2e3}}')).toBe(true);
    expect(takes(schema, '{"value":1.5,"left":{"left":null}}')).toBe(false);
  });

  it('takes any JSON', () => {
    const grammar = jsonGrammar();
    for (const value of [null, true, -1.5e-9, 'a"\\\n\u2028😀', [], [1, [2]], {}, { a: { b: [null] }, '': 0 }]) {
      for (const indent of [0, 2])
        expect(Recogniser.takes(grammar, JSON.stringify(value, null, indent)), JSON.stringify(value)).toBe(true);
    }
    for (const text of ['', '{', '[1,]', '01', '"\n"', 'nul', '{"a" 1}', '{a:1}', '1.', '"\\ud800"']) {
      expect(Recogniser.takes(grammar, text), text).toBe(false);
    }
  });
});
