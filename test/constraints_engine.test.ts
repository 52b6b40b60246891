/** The engine of structured output against the plain definition of a language, on random grammars. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SettingError } from '../src/errors.ts';
import { compileGrammar } from '../src/generation/constraints/engine.ts';
import type { Expression, Grammar } from '../src/generation/constraints/grammar.ts';
import type { ConstraintVocabulary } from '../src/generation/constraints/types.ts';
import { recogniser } from './constraints_engine_recogniser.ts';

const utf8 = (text: string) => new TextEncoder().encode(text);
const bytes = (text: string): Expression => ({ kind: 'bytes', bytes: utf8(text) });

/** Tokens of one to three bytes, also such that begin and end inside characters; the last ones are special. */
const ALPHABET = [0x61, 0x62, 0x63, 0xc3, 0xa9, 0xaa];
function toyVocabulary(): ConstraintVocabulary {
  const list: (Uint8Array | null)[] = [];
  for (const x of ALPHABET) {
    list.push(Uint8Array.of(x));
    for (const y of ALPHABET) list.push(Uint8Array.of(x, y));
  }
  for (const x of [0x61, 0x62, 0xa9])
    for (const y of ALPHABET) for (const z of ALPHABET) list.push(Uint8Array.of(x, y, z));
  list.push(utf8('aaaa'), utf8('abab'), utf8('éé'), utf8('ab'), new Uint8Array(0), null, null);
  return { size: list.length, bytesOf: (token) => list[token] };
}
const vocabulary = toyVocabulary();

/** The tokens whose bit is set. */
function allowed(mask: Uint32Array): number[] {
  const list: number[] = [];
  for (let t = 0; t < 32 * mask.length; t++) if ((mask[t >> 5] >>> (t & 31)) & 1) list.push(t);
  return list;
}

const word = fc.constantFrom('a', 'b', 'c', 'ab', 'ba', 'é', 'ê', '', 'aab').map(bytes);
const characters = fc
  .constantFrom<[number, number][]>(
    [[0x61, 0x7a]],
    [
      [0x41, 0x7e],
      [0xc0, 0xff],
    ],
    [[0x61, 0x62]],
    [
      [0x63, 0x63],
      [0xe9, 0xea],
    ],
    [[0xe9, 0xe9]],
    [
      [0x61, 0x61],
      [0xd7fe, 0xd801],
    ],
    [],
  )
  .map((ranges): Expression => ({ kind: 'characters', ranges }));
const automaton = fc
  .tuple(
    fc.array(fc.array(fc.integer({ min: -1, max: 2 }), { minLength: 4, maxLength: 4 }), { minLength: 3, maxLength: 3 }),
    fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 3, maxLength: 3 }),
  )
  .map(([edges, final]): Expression => {
    const next = new Int32Array(768).fill(-1);
    edges.forEach((row, state) => {
      row.forEach((target, i) => {
        next[256 * state + [0x61, 0x62, 0xc3, 0xa9][i]] = target;
      });
    });
    return { kind: 'automaton', automaton: { next, final: Uint8Array.from(final) } };
  });
const bound = fc.constantFrom(0, 1, 2, 3, 5);
const { expression } = fc.letrec<{ expression: Expression; leaf: Expression }>((tie) => ({
  leaf: fc.oneof(
    word,
    word,
    characters,
    automaton,
    fc.constantFrom('x', 'y', 'z').map((name): Expression => ({ kind: 'rule', name })),
  ),
  expression: fc.oneof(
    { depthSize: 'small', maxDepth: 3 },
    tie('leaf'),
    fc.array(tie('expression'), { maxLength: 3 }).map((items): Expression => ({ kind: 'sequence', items })),
    fc.array(tie('expression'), { maxLength: 3 }).map((items): Expression => ({ kind: 'choice', items })),
    fc
      .tuple(tie('expression'), bound, fc.constantFrom(0, 1, 2, 4, Number.POSITIVE_INFINITY), fc.option(tie('leaf')))
      .map(([item, min, extra, separator]): Expression => {
        const max = min + extra;
        return separator === null ? { kind: 'repeat', item, min, max } : { kind: 'repeat', item, min, max, separator };
      }),
    fc
      .record({
        keys: fc.uniqueArray(fc.constantFrom('a', 'ab', 'b', 'é', 'bc'), { minLength: 0, maxLength: 3 }),
        values: fc.array(tie('leaf'), { minLength: 3, maxLength: 3 }),
        required: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
        other: fc.option(tie('leaf')),
        min: fc.constantFrom(0, 0, 1, 2),
        extra: fc.constantFrom(0, 1, Number.POSITIVE_INFINITY),
      })
      .map(
        ({ keys, values, required, other, min, extra }): Expression => ({
          kind: 'members',
          named: keys.map((key, i) => ({ key: bytes(`${key}c`), value: values[i], required: required[i] })),
          others: other === null ? [] : [{ key: bytes('êc'), value: other }],
          separator: bytes('b'),
          min,
          max: min + extra,
        }),
      ),
  ),
}));
const grammar = fc
  .record({ x: expression, y: expression, z: expression })
  .map((rules): Grammar => ({ rules: new Map(Object.entries(rules)), start: 'x' }));

const RUNS = Number(process.env.INKSTONE_FUZZ ?? 1);

describe('random grammars', () => {
  it('masks, ends and tokens are those of the definition', () => {
    let compared = 0;
    fc.assert(
      fc.property(grammar, fc.array(fc.nat(), { minLength: 4, maxLength: 4 }), (g, picks) => {
        const plain = recogniser(g);
        if (!plain.productive) {
          expect(() => compileGrammar(g, vocabulary)).toThrow(SettingError);
          return;
        }
        const state = compileGrammar(g, vocabulary).start();
        let text: number[] = [];
        for (const pick of picks) {
          expect(state.canEnd).toBe(plain.accepts(text));
          const wanted: number[] = [];
          for (let token = 0; token < vocabulary.size; token++) {
            const own = vocabulary.bytesOf(token);
            if (own !== null && own.length > 0 && plain.opens([...text, ...own])) wanted.push(token);
          }
          expect(allowed(state.mask())).toEqual(wanted);
          compared++;
          if (state.mustEnd) expect(wanted).toEqual([]);
          const forced = state.forced();
          for (let i = 0; i < forced.length; i++) {
            const before = [...text, ...forced.subarray(0, i)];
            expect(plain.accepts(before)).toBe(false);
            for (const byte of ALPHABET) if (byte !== forced[i]) expect(plain.opens([...before, byte])).toBe(false);
          }
          const fork = state.fork();
          const wrong = [...Array(vocabulary.size).keys()].find((token) => !wanted.includes(token));
          if (wrong !== undefined) expect(fork.accept(wrong)).toBe(false);
          expect(allowed(fork.mask())).toEqual(wanted);
          if (wanted.length === 0) break;
          const token = wanted[pick % wanted.length];
          expect(state.accept(token)).toBe(true);
          text = [...text, ...vocabulary.bytesOf(token)!];
        }
      }),
      { numRuns: 100 * RUNS },
    );
    expect(compared).toBeGreaterThan(100);
  });
});
