/** Word scrambling of GPT-3's paper (Brown et al. 2020, section 3.9.2): the letters of a word in disorder; the answer is the word. */
import { below, shuffled } from '../random.ts';
import type { Rule } from '../rules.ts';
import { WORDS } from './words.ts';

export const unscramblingKinds = [
  'cycle_letters',
  'anagrams1',
  'anagrams2',
  'random_insertion',
  'reversed_words',
] as const;

/**
 * `cycle_letters` turns the word by some letters; `anagrams1` mixes all letters but the first and the last, `anagrams2` all but the first two
 * and the last two; `random_insertion` puts a punctuation mark or a blank between letters; `reversed_words` reads it backwards.
 */
export const unscrambling: Rule = {
  options: {
    kind: { usual: 'cycle_letters', choices: unscramblingKinds },
    count: { usual: 1000, least: 1, most: 100_000 },
  },
  make({ kind, count }, random) {
    const words = shuffled(WORDS, random);
    return Array.from({ length: count }, (_, i) => {
      const answer = words[i % words.length];
      return { scrambled: scramble(answer, kind, random), answer };
    });
  },
};

export function scramble(word: string, kind: string, random: () => number): string {
  const letters = [...word];
  switch (kind) {
    case 'cycle_letters': {
      const by = 1 + below(random, letters.length - 1);
      return [...letters.slice(by), ...letters.slice(0, by)].join('');
    }
    case 'anagrams1':
      return mixed(letters, 1, random);
    case 'anagrams2':
      return mixed(letters, 2, random);
    case 'random_insertion': {
      const marks = '.,;:!?/-\'" ';
      return letters.map((letter, i) => (i === 0 ? letter : marks[below(random, marks.length)] + letter)).join('');
    }
    default:
      return letters.reverse().join('');
  }
}

/** All letters but some at both ends in another order; another one than theirs where the letters allow it. */
function mixed(letters: readonly string[], ends: number, random: () => number): string {
  const [head, middle, tail] = [letters.slice(0, ends), letters.slice(ends, -ends), letters.slice(-ends)];
  for (let attempt = 0; ; attempt++) {
    const order = shuffled(middle, random);
    if (attempt < 20 && order.join('') === middle.join('')) continue;
    return [...head, ...order, ...tail].join('');
  }
}
