/** Regular expressions as automata, against JavaScript's own matching. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Automaton } from '../src/generation/constraints/grammar.ts';
import { byteAutomaton, RAW, SPELT_AS_JSON } from '../src/generation/constraints/regular/bytes.ts';
import { compileExpression } from '../src/generation/constraints/regular/determinise.ts';
import {
  accepts,
  complement,
  difference,
  intersection,
  isEmpty,
  lengths,
  ofLength,
  ofTexts,
  statesOf,
  textsOf,
  union,
} from '../src/generation/constraints/regular/dfa.ts';
import { PatternProblem } from '../src/generation/constraints/regular/problem.ts';
import { javascriptClass, others } from '../src/generation/constraints/regular/ranges.ts';

function runs(automaton: Automaton, text: string): boolean {
  let state = 0;
  for (const byte of new TextEncoder().encode(text)) {
    state = automaton.next[state * 256 + byte];
    if (state < 0) return false;
  }
  return automaton.final[state] === 1;
}

const ALPHABET = ['a', 'b', 'c', 'A', '1', '_', ' ', '\n', '-', 'é', '字', '😀', '\u2028'];
const text = fc.array(fc.constantFrom(...ALPHABET), { maxLength: 8 }).map((parts) => parts.join(''));
const { expression } = fc.letrec<{ expression: string; sequence: string; item: string; atom: string }>((tie) => ({
  expression: fc.array(tie('sequence'), { minLength: 1, maxLength: 2 }).map((ways) => ways.join('|')),
  sequence: fc.array(tie('item'), { maxLength: 3 }).map((items) => items.join('')),
  item: fc.oneof(
    { weight: 3, arbitrary: tie('atom') },
    { weight: 1, arbitrary: fc.constantFrom('^', '$', '\\b', '\\B') },
    {
      weight: 2,
      arbitrary: fc
        .tuple(tie('atom'), fc.constantFrom('*', '+', '?', '{2}', '{0,2}', '{1,}', '*?', '+?'))
        .map((pair) => pair.join('')),
    },
  ),
  atom: fc.oneof(
    { maxDepth: 1, depthIdentifier: 'e' },
    fc.constantFrom(
      'a',
      'b',
      '.',
      '\\d',
      '\\w',
      '\\W',
      '\\s',
      '[a-c]',
      '[^a]',
      '[\\w-]',
      '\\p{L}',
      '\\P{L}',
      'é',
      '😀',
      '\\u{1F600}',
      '\\u5b57',
      '\\n',
      '[\\s\\S]',
      '\\-',
    ),
    tie('expression').map((inner) => `(${inner})`),
    tie('expression').map((inner) => `(?:${inner})`),
  ),
}));

describe('expressions as automata', () => {
  it('agree with JavaScript, searching and whole, on code points and on bytes', () => {
    fc.assert(
      fc.property(expression, fc.array(text, { minLength: 5, maxLength: 12 }), (source, texts) => {
        // A backslash before "-" is the one thing taken that the u flag refuses.
        const plain = source.replaceAll('\\-', '-');
        const search = compileExpression(source, 'search');
        const whole = compileExpression(source, 'whole');
        const bytes = byteAutomaton(search, RAW);
        for (const one of texts) {
          const expected = new RegExp(plain, 'u').test(one);
          expect(accepts(search, one), `${source} in ${JSON.stringify(one)}`).toBe(expected);
          expect(runs(bytes, one)).toBe(expected);
          expect(accepts(whole, one), `${source} is ${JSON.stringify(one)}`).toBe(
            new RegExp(`^(?:${plain})$`, 'u').test(one),
          );
        }
      }),
      { numRuns: 150 },
    );
  });

  it('understand look-aheads in the outermost sequence', () => {
    for (const [source, yes, no] of [
      ['^(?=.*[A-Z])(?=.*\\d).{4,8}$', ['aA1x', '1Abc'], ['aaa1', 'AAAA', 'A1', 'A1bbbbbbb']],
      ['^(?!\\.)[\\w.]+$', ['a.b'], ['.a', '']],
      ['^(?!.*--)[a-z-]+$', ['a-b'], ['a--b']],
      ['a(?=b)', ['xab'], ['ac', 'ba']],
      ['a(?!b)', ['ab a', 'a'], ['ab']],
      ['^(?!(?:con|nul)$)\\w+$', ['cons', 'a'], ['con', 'nul']],
      ['^(?=a)\\w$|^(?!a)\\w\\w$', ['a', 'bc'], ['b', 'ac']],
    ] as const) {
      const dfa = compileExpression(source, 'search');
      for (const one of yes) expect(accepts(dfa, one), `${source} ${one}`).toBe(new RegExp(source, 'u').test(one));
      for (const one of yes) expect(accepts(dfa, one), `${source} ${one}`).toBe(true);
      for (const one of no) expect(accepts(dfa, one), `${source} ${one}`).toBe(false);
    }
  });

  it('refuse by name what is not regular, and malformed ones', () => {
    for (const [source, reason] of [
      ['(a)\\1', /back/],
      ['(?<x>a)\\k<x>', /back/],
      ['(?<=a)b', /behind/],
      ['(?:(?=a)b)+', /look-ahead/],
      ['(', /end/],
      ['a)', /unmatched/],
      ['*', /repeat/],
      ['[b-a]', /order/],
      ['a{2,1}', /count/],
      ['\\p{Nonsense}', /property/],
      ['\\q', /escape/],
      ['a**', /repeat/],
    ] as const) {
      expect(() => compileExpression(source, 'search'), source).toThrow(PatternProblem);
      expect(() => compileExpression(source, 'search'), source).toThrow(reason);
    }
  });

  it('refuse within a second what would be too large', () => {
    for (const source of [
      '(.*a.{30}){5}',
      '(a{1000}){1000}',
      '((((a?){50}){50}){50}){50}',
      `${'('.repeat(5000)}a`,
      '(a|b)*a(a|b){20}',
      '.{0,100000}',
      'a'.repeat(30_000),
      `(${'\\p{L}|'.repeat(500)}x){200}`,
    ]) {
      const start = performance.now();
      expect(() => compileExpression(source, 'whole'), source.slice(0, 30)).toThrow(PatternProblem);
      expect(performance.now() - start, source.slice(0, 30)).toBeLessThan(3000);
    }
    // What makes backtracking catastrophic is nothing here.
    for (const source of [
      '^(a+)+$',
      '^(a|a)*$',
      '^(a|aa)+$',
      '(.*)*x',
      '^([a-zA-Z0-9])(([\\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}(([a-z]{2,3})|([a-z]{2,3}[.]{1}[a-z]{2,3}))$',
    ]) {
      expect(statesOf(compileExpression(source, 'search'))).toBeLessThan(100);
    }
  });
});

describe('the algebra of automata', () => {
  it('is that of sets', () => {
    fc.assert(
      fc.property(expression, expression, fc.array(text, { minLength: 5, maxLength: 10 }), (left, right, texts) => {
        const a = compileExpression(left, 'whole');
        const b = compileExpression(right, 'whole');
        const sets = [intersection(a, b), union(a, b), difference(a, b), complement(a)];
        for (const one of texts) {
          const x = accepts(a, one);
          const y = accepts(b, one);
          expect(sets.map((set) => accepts(set, one))).toEqual([x && y, x || y, x && !y, !x]);
        }
        expect(isEmpty(intersection(a, complement(a)))).toBe(true);
        expect(isEmpty(complement(union(a, complement(a))))).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  it('knows lengths and lists', () => {
    const dfa = compileExpression('^(?:a|bc|def?)$', 'search');
    expect(lengths(dfa)).toEqual({ min: 1, max: 3 });
    expect(textsOf(dfa, 10)?.sort()).toEqual(['a', 'bc', 'de', 'def']);
    expect(textsOf(dfa, 3)).toBeUndefined();
    expect(lengths(compileExpression('a', 'search'))).toEqual({ min: 1, max: Infinity });
    expect(textsOf(intersection(ofTexts(['a', '😀😀', 'abc']), ofLength(2, 3)), 10)?.sort()).toEqual(['abc', '😀😀']);
  });

  it('has the tables of JavaScript', () => {
    for (const source of ['\\p{L}', '\\p{Script=Han}', '\\p{White_Space}', '\\p{Any}', '\\p{Cn}']) {
      const set = javascriptClass(source);
      const pattern = new RegExp(source, 'u');
      const inside = (code: number): boolean => {
        for (let i = 0; i < set.length; i += 2) if (code >= set[i] && code <= set[i + 1]) return true;
        return false;
      };
      const wrong: number[] = [];
      for (let code = 0; code < 0x110000; code += code < 0x3000 ? 1 : 97) {
        if (code >= 0xd800 && code < 0xe000) continue;
        if (inside(code) !== pattern.test(String.fromCodePoint(code))) wrong.push(code);
      }
      expect(wrong, source).toEqual([]);
      expect(others(others(set))).toEqual(set);
    }
  });
});

describe('JSON strings of a language', () => {
  it('are spelt as writers spell them, and read back into the language', () => {
    const spell = (value: string): string[] => {
      const plain = JSON.stringify(value);
      const ascii = plain.replace(
        /[\u007f-\uffff]/g,
        (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
      );
      return [plain, ascii, ascii.replace(/\\u[0-9a-f]{4}/g, (unit) => `\\u${unit.slice(2).toUpperCase()}`)];
    };
    fc.assert(
      fc.property(expression, fc.array(text, { minLength: 5, maxLength: 10 }), (source, texts) => {
        const dfa = compileExpression(source, 'search');
        const automaton = byteAutomaton(dfa, { ...SPELT_AS_JSON, unicode: 'all' });
        for (const one of texts) {
          for (const spelt of spell(one)) expect(runs(automaton, spelt), `${source} ${spelt}`).toBe(accepts(dfa, one));
        }
      }),
      { numRuns: 100 },
    );
  });

  it('never hold what JSON does not', () => {
    const automaton = byteAutomaton(compileExpression('', 'search'), SPELT_AS_JSON);
    for (const bad of ['"', '""x', '"\n"', '"\\x"', '"\\u12"', '"\\ud800"', '"\\ud800\\u0041"', '"\\udc00"'])
      expect(runs(automaton, bad), bad).toBe(false);
    for (const good of ['""', '"\\/"', '"\\ud83d\\ude00"', '"\\u0000"', '"😀"', '"\u007f"'])
      expect(runs(automaton, good), good).toBe(true);
  });
});
