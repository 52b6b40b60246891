/** The arithmetic of GPT-3's paper (Brown et al. 2020, section 3.9.1): questions in words, operands uniform. */
import { below } from '../random.ts';
import type { Rule } from '../rules.ts';
import type { Document } from '../types.ts';

export const arithmeticKinds = ['2da', '2ds', '3da', '3ds', '2dm', '1dc'] as const;

/**
 * `2da` and `3da` addition, `2ds` and `3ds` subtraction (the difference may be negative), operands from 0 to 99 or 999; `2dm` multiplication
 * of two such numbers of two digits; `1dc` one digit with two operations, parentheses around the last two operands.
 */
export const arithmetic: Rule = {
  options: {
    kind: { usual: '2da', choices: arithmeticKinds },
    count: { usual: 2000, least: 1, most: 100_000 },
  },
  make({ kind, count }, random) {
    return Array.from({ length: count }, () => document(kind, random));
  },
};

function document(kind: string, random: () => number): Document {
  const number = (digits: number): number => below(random, 10 ** digits);
  switch (kind) {
    case '2da':
    case '3da':
      return sum(number(Number(kind[0])), 'plus', number(Number(kind[0])));
    case '2ds':
    case '3ds':
      return sum(number(Number(kind[0])), 'minus', number(Number(kind[0])));
    case '2dm':
      return sum(number(2), 'times', number(2));
    default: {
      const [a, b, c] = [number(1), number(1), number(1)];
      const signs = ['+', '-', '*'];
      const [first, second] = [signs[below(random, 3)], signs[below(random, 3)]];
      return {
        question: `What is ${a}${first}(${b}${second}${c})?`,
        answer: String(apply(a, first, apply(b, second, c))),
      };
    }
  }
}

function sum(a: number, word: 'plus' | 'minus' | 'times', b: number): Document {
  const sign = { plus: '+', minus: '-', times: '*' }[word];
  return { question: `What is ${a} ${word} ${b}?`, answer: String(apply(a, sign, b)) };
}

function apply(a: number, sign: string, b: number): number {
  return sign === '+' ? a + b : sign === '-' ? a - b : a * b;
}
