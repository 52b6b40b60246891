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

describe('patterns within bounds of length', () => {
  it('count what an automaton would have to spell out', () => {
    for (const [schema, yes, no] of [
      [
        { pattern: '^ab[0-9]*$', maxLength: 50_000, minLength: 5 },
        ['ab123', `ab${'0'.repeat(200)}`],
        ['ab12', 'b123456'],
      ],
      [{ pattern: '^(?:xy){0,90000}-$', maxLength: 7 }, ['-', 'xyxyxy-'], ['xyxyxyxy-', 'xyx-']],
      [{ pattern: '^a.{0,100000}$', maxLength: 100_001 }, ['a', 'axyz😀'], ['', 'b']],
      [{ pattern: '^a{0,100000}$|^b{7000,}$', maxLength: 3 }, ['aaa', ''], ['aaaa', 'b']],
      [{ pattern: 'abc', maxLength: 3 }, ['abc'], ['abcd', 'ab']],
    ] as const) {
      for (const one of yes)
        expect(takes({ type: 'string', ...schema }, JSON.stringify(one)), `${schema.pattern} ${one}`).toBe(true);
      for (const one of no)
        expect(takes({ type: 'string', ...schema }, JSON.stringify(one)), `${schema.pattern} ${one}`).toBe(false);
    }
    expect(() => schemaGrammar({ pattern: '^[a-z]*(?::[a-z]+)*$', maxLength: 100_000 })).toThrow(
      /schema #\/pattern = .*bounds of length/,
    );
  });
});
