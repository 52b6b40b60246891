/** Grammars and texts that are meant to be slow, large or deep: each is compiled or refused within a second. */
import { describe, expect, it } from 'vitest';
import { CapacityError, SettingError } from '../src/errors.ts';
import { choicesGrammar } from '../src/generation/constraints/choices.ts';
import { afterMarker } from '../src/generation/constraints/constraint_marker.ts';
import { compileGrammar } from '../src/generation/constraints/engine.ts';
import { parseGbnf } from '../src/generation/constraints/gbnf.ts';
import type { Expression, Grammar } from '../src/generation/constraints/grammar.ts';
import type { ConstraintState, ConstraintVocabulary } from '../src/generation/constraints/types.ts';

const utf8 = (text: string) => new TextEncoder().encode(text);

/** All bytes, and some longer tokens; the last one is special. */
function vocabularyOf(more: readonly string[]): ConstraintVocabulary {
  const list: (Uint8Array | null)[] = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  list.push(...more.map(utf8), null);
  return { size: list.length, bytesOf: (token) => list[token] };
}
const vocabulary = vocabularyOf([
  'aa',
  'aaaa',
  'aaaaaaaa',
  '[[',
  ']]',
  '[[[[[[[[',
  ']]]]]]]]',
  '"a',
  '",',
  'é',
  '春江',
]);

function write(state: ConstraintState, text: string): void {
  for (const byte of utf8(text)) expect(state.accept(byte)).toBe(true);
}
function allows(state: ConstraintState, text: string): boolean {
  return state.fork().acceptBytes(utf8(text));
}
/** The text is taken; anything that is slower than the tests' own limit is an error. */
function within(seconds: number, work: () => void): void {
  const start = performance.now();
  work();
  expect(performance.now() - start).toBeLessThan(1000 * seconds);
}
const start = (text: string) => compileGrammar(parseGbnf(text), vocabulary).start();
// On a free core all take less than one second; other work runs beside the tests.
const SECOND = 12;

describe('counts are not written out', () => {
  it('of ten to the ninth', () => {
    within(SECOND, () => {
      const state = start('root ::= "x" [a-c]{1000000000} "y"');
      write(state, `x${'abc'.repeat(200)}`);
      expect(state.canEnd).toBe(false);
      expect(allows(state, 'y')).toBe(false);
      expect(state.mask()[0x61 >> 5] & (1 << (0x61 & 31))).not.toBe(0);
    });
  });
  it('of what may be empty', () => {
    within(SECOND, () => {
      const state = start('root ::= ("a"?){1000000000} "b"');
      expect(allows(state, 'b')).toBe(true);
      write(state, 'a'.repeat(300));
      expect(allows(state, 'ab')).toBe(true);
      state.mask();
    });
  });
  it('to the exact end', () => {
    const state = start('root ::= "<" ([a-z] | "é"){3,5} ">"');
    write(state, '<ab');
    expect(allows(state, '>')).toBe(false);
    write(state, 'c');
    expect(allows(state, '>')).toBe(true);
    expect(allows(state, 'aa>')).toBe(true);
    expect(state.fork().accept(257)).toBe(false);
    write(state, 'é');
    expect((state.mask()[256 >> 5] >>> (256 & 31)) & 1).toBe(0);
    expect(allows(state, 'éa')).toBe(false);
    expect([...state.forced()]).toEqual([]);
    write(state, 'é');
    expect([...state.forced()]).toEqual([...utf8('>')]);
    write(state, '>');
    expect(state.mustEnd).toBe(true);
  });
});

it('counts and wide classes: every mask is what the bytes allow', () => {
  const list = [
    'ab',
    'abc',
    'abcdef',
    'abcdefghijkl',
    'a"',
    'ab"',
    'abc",',
    'a"x',
    'abcdef",',
    'é"',
    'éa',
    '",',
    '"',
    '\\na',
    'a\\',
    'z',
  ];
  const own = vocabularyOf(list);
  for (const range of ['{1,6}', '{0,3}', '{3,7}', '{2,1000}', '{0,1000000}', '{4}', '{40,60}']) {
    const grammar = parseGbnf(`root ::= ("\\"" ([^"\\\\] | "\\\\" [nt"])${range} "\\"" ","?)+`);
    const state = compileGrammar(grammar, own).start();
    const seen: number[] = [];
    let pick = 7;
    for (let i = 0; i < 60; i++) {
      const mask = state.mask().slice();
      const tokens = [];
      for (let token = 0; token < own.size; token++) {
        const may = state.fork().accept(token);
        expect.soft((mask[token >> 5] >>> (token & 31)) & 1, `${range} ${seen}: ${token}`).toBe(may ? 1 : 0);
        if (may && (token >= 256 || token === 0x22 || token === 0x61)) tokens.push(token);
      }
      if (tokens.length === 0) break;
      pick = (pick * 31 + 17) % 1009;
      const token = tokens[pick % tokens.length];
      seen.push(token);
      expect(state.accept(token)).toBe(true);
    }
    expect(seen.length).toBeGreaterThan(5);
  }
});

describe('ambiguity', () => {
  it('merges', () => {
    within(SECOND, () => {
      const state = start('root ::= s\ns ::= s s | "a"');
      write(state, 'a'.repeat(150));
      expect(state.canEnd).toBe(true);
      state.mask();
    });
  });
  it('of two stacks at each step', () => {
    within(SECOND, () => {
      const state = start('root ::= "a" root "b" | "a" root "c" | "d"');
      write(state, `${'a'.repeat(400)}d${'bc'.repeat(200)}`);
      expect(state.canEnd).toBe(true);
      expect(state.mustEnd).toBe(true);
    });
  });
  it('of counts', () => {
    within(SECOND, () => {
      const state = start('root ::= ("a" | "aa" | "aaa"){0,1000000}');
      write(state, 'a'.repeat(200));
      state.mask();
      expect(state.canEnd).toBe(true);
    });
  });
  it('without a bound is an error, not a hang', () => {
    within(2 * SECOND, () => {
      const state = start('root ::= s s s\ns ::= s s | s s s | "" | "a" s | s "a" | "a"');
      try {
        for (let i = 0; i < 150; i++) state.accept(0x61);
      } catch (error) {
        expect(error).toBeInstanceOf(CapacityError);
      }
    });
  });
});

describe('left recursion', () => {
  it('direct, through others, and behind what may be empty', () => {
    for (const text of [
      'root ::= root "+" n | n\nn ::= [0-9]+',
      'root ::= sum\nsum ::= pair n | n\npair ::= sum "+"\nn ::= [0-9]+',
      'root ::= e\ne ::= o e "+" n | n\no ::= "-"?\nn ::= [0-9]+',
    ]) {
      const state = start(text);
      write(state, '1+22+3');
      expect(state.canEnd).toBe(true);
      expect(allows(state, '+')).toBe(true);
      expect(allows(state, '+4+5')).toBe(true);
      expect(allows(state, '++')).toBe(false);
    }
  });
  it('without an end is refused with the rule', () => {
    expect(() => start('root ::= root "a"')).toThrow(SettingError);
    expect(() => start('root ::= a\na ::= b\nb ::= a')).toThrow(/root/);
  });
  it('of nothing but itself besides an end', () => {
    const state = start('root ::= a | "x"\na ::= b\nb ::= a | root | "y"');
    expect(allows(state, 'x')).toBe(true);
    expect(allows(state, 'y')).toBe(true);
    expect(allows(state, 'xy')).toBe(false);
  });
});

describe('depth', () => {
  it('of the text: 60,000 brackets', () => {
    within(SECOND, () => {
      const state = start('root ::= value\nvalue ::= "[" (value ("," value)*)? "]" ws | "1" ws\nws ::= [ ]*');
      const depth = 60_000;
      for (let i = 0; i < depth; i++) if (!state.acceptBytes(utf8('['))) throw new Error(`at ${i}`);
      state.mask();
      expect(state.canEnd).toBe(false);
      for (let i = 0; i < depth; i++) if (!state.acceptBytes(utf8(']'))) throw new Error(`at ${i}`);
      expect(state.canEnd).toBe(true);
      expect(allows(state, ']')).toBe(false);
    });
  });
  it('of the grammar: 60,000 groups, sequences, repeats and rules', () => {
    within(2 * SECOND, () => {
      let inner: Expression = { kind: 'bytes', bytes: utf8('a') };
      for (let i = 0; i < 20_000; i++) {
        inner = { kind: 'sequence', items: [inner, { kind: 'bytes', bytes: utf8('b') }] };
        inner = { kind: 'choice', items: [inner, { kind: 'bytes', bytes: utf8('c') }] };
        inner = { kind: 'repeat', item: inner, min: 1, max: 1 };
      }
      const state = compileGrammar({ rules: new Map([['root', inner]]), start: 'root' }, vocabulary).start();
      write(state, `a${'b'.repeat(100)}`);
    });
    within(2 * SECOND, () => {
      const rules = new Map<string, Expression>();
      const count = 60_000;
      for (let i = 0; i < count; i++) {
        rules.set(`r${i}`, {
          kind: 'choice',
          items: [
            { kind: 'rule', name: `r${i + 1}` },
            { kind: 'sequence', items: [{ kind: 'rule', name: `r${i + 1}` }] },
          ],
        });
      }
      rules.set(`r${count}`, { kind: 'bytes', bytes: utf8('a') });
      const state = compileGrammar({ rules, start: 'r0' }, vocabulary).start();
      write(state, 'a');
      expect(state.canEnd).toBe(true);
    });
    within(SECOND, () => {
      const depth = 60_000;
      start(`root ::= ${'('.repeat(depth)}"a"${')*'.repeat(depth)}`);
    });
  });
  it('a text of 100,000 items does not slow down', () => {
    within(SECOND, () => {
      const state = start('root ::= item list\nlist ::= "," item list | ""\nitem ::= "a"');
      for (let i = 0; i < 50_000; i++) state.acceptBytes(utf8(i === 0 ? 'a' : ',a'));
      expect(state.canEnd).toBe(true);
    });
  });
});

describe('size', () => {
  it('one expression at many places is not copied', () => {
    within(SECOND, () => {
      let inner: Expression = { kind: 'bytes', bytes: utf8('abcdefgh') };
      for (let i = 0; i < 200; i++) inner = { kind: 'sequence', items: [inner, inner] };
      const state = compileGrammar({ rules: new Map([['root', inner]]), start: 'root' }, vocabulary).start();
      write(state, 'abcdefgh'.repeat(10));
      expect(state.canEnd).toBe(false);
    });
  });
  it('huge classes and many choices', () => {
    within(SECOND, () => {
      const ranges = Array.from({ length: 20_000 }, (_, i): [number, number] => [40 * i, 40 * i + 20]);
      const grammar: Grammar = {
        rules: new Map([['root', { kind: 'repeat', item: { kind: 'characters', ranges }, min: 1, max: 1e9 }]]),
        start: 'root',
      };
      const state = compileGrammar(grammar, vocabulary).start();
      state.mask();
      expect(allows(state, String.fromCodePoint(40 * 800 + 3))).toBe(true);
      expect(allows(state, String.fromCodePoint(40 * 800 + 30))).toBe(false);
    });
    within(2 * SECOND, () => {
      const state = compileGrammar(
        choicesGrammar(Array.from({ length: 20_000 }, (_, i) => `choice ${i * 7}`)),
        vocabulary,
      ).start();
      state.mask();
      write(state, 'choice 7');
      expect(state.canEnd).toBe(true);
      expect(state.mustEnd).toBe(false);
    });
  });
  it('an object of 2,000 members', () => {
    within(2 * SECOND, () => {
      const named = Array.from({ length: 2000 }, (_, i) => ({
        key: { kind: 'bytes' as const, bytes: utf8(`k${i};`) },
        value: { kind: 'bytes' as const, bytes: utf8('v') },
        required: i % 2 === 0,
      }));
      const separator: Expression = { kind: 'bytes', bytes: utf8(',') };
      const members: Expression = {
        kind: 'members',
        named,
        others: [],
        separator,
        min: 0,
        max: Number.POSITIVE_INFINITY,
      };
      const state = compileGrammar({ rules: new Map([['root', members]]), start: 'root' }, vocabulary).start();
      for (let i = 0; i < 2000; i++) {
        if (!state.acceptBytes(utf8(`${i === 0 ? '' : ','}k${(i * 7) % 2000};v`))) throw new Error(`member ${i}`);
        if (i < 1990) expect(state.canEnd).toBe(false);
      }
      expect(state.canEnd).toBe(true);
      expect(state.mustEnd).toBe(true);
      expect(allows(state, ',')).toBe(false);
    });
  });
});

describe('choices', () => {
  it('are the texts of the list', () => {
    const state = compileGrammar(choicesGrammar(['yes', 'yesterday', 'no', '春江']), vocabulary).start();
    write(state, 'y');
    expect(new TextDecoder().decode(state.forced())).toBe('es');
    write(state, 'es');
    expect([state.canEnd, state.mustEnd]).toEqual([true, false]);
    expect(() => choicesGrammar([])).toThrow(SettingError);
  });
});

describe('after a marker', () => {
  const answer = compileGrammar(choicesGrammar(['aa!', 'b']), vocabulary);
  it('the constraint begins, also inside a token', () => {
    const more = vocabularyOf(['>>aa', '>>c', 'x>', 'x>>', 'x>>aa!', '>>>b', 'aa']);
    const state = afterMarker(compileGrammar(choicesGrammar(['aa!', 'b']), more), '>>', more).start();
    const bit = (token: number) => (state.mask()[token >> 5] >>> (token & 31)) & 1;
    expect(Array.from({ length: 256 }, (_, byte) => bit(byte)).every((one) => one === 1)).toBe(true);
    // >>aa yes, >>c no, x> yes, x>> yes, x>>aa! yes, >>>b no (the marker ends after two), aa yes, special no
    expect([256, 257, 258, 259, 260, 261, 262, 263].map(bit)).toEqual([1, 0, 1, 1, 1, 0, 1, 0]);
    expect(state.canEnd).toBe(false);
    expect(state.accept(257)).toBe(false);
    expect(state.accept(258)).toBe(true);
    expect(bit(0x3e)).toBe(1);
    expect(bit(256)).toBe(0); // > then >>aa: the marker ends after the first byte
    expect(state.fork().accept(256)).toBe(false);
    const other = state.fork();
    expect(state.accept(0x3e)).toBe(true);
    expect([0x61, 0x62, 0x63].map(bit)).toEqual([1, 1, 0]);
    expect(state.accept(0x62)).toBe(true);
    expect([state.canEnd, state.mustEnd]).toEqual([true, true]);
    expect(other.accept(0x41)).toBe(true);
    expect(other.canEnd).toBe(false);
  });
  it('a special token may be the marker', () => {
    const special = vocabulary.size - 1;
    const state = afterMarker(answer, '</think>', vocabulary, [special]).start();
    expect((state.mask()[special >> 5] >>> (special & 31)) & 1).toBe(1);
    expect(state.accept(special)).toBe(true);
    expect(state.accept(special)).toBe(false);
    expect(allows(state, 'b')).toBe(true);
    expect(allows(state, 'c')).toBe(false);
    expect(() => afterMarker(answer, '', vocabulary)).toThrow(SettingError);
  });
});
