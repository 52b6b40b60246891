/** A needle in a haystack (Kamradt 2023): a fact at some depth of a long text, asked for at its end. Text and fact are made by rule. */
import { below, shuffled } from '../random.ts';
import type { Rule } from '../rules.ts';
import type { Document } from '../types.ts';

const SUBJECTS = ['the ferryman', 'a gardener', 'the old clerk', 'my neighbour', 'the miller', 'a young sailor'];
const VERBS = ['mended', 'carried', 'painted', 'counted', 'looked for', 'spoke of', 'forgot', 'sold'];
const OBJECTS = ['a wooden boat', 'three lanterns', 'the garden gate', 'some letters', 'a blue jar', 'the long ladder'];
const TIMES = ['in the morning', 'before the rain', 'after supper', 'on market day', 'at low tide', 'in the autumn'];
const CITIES = ['Lisbon', 'Kyoto', 'Bergen', 'Quito', 'Tunis', 'Riga', 'Hanoi', 'Perth', 'Oslo', 'Lima'];

/** `lengths` are of the haystack in words, `depths` in percent of it; `count` questions for each pair. */
export const needle: Rule = {
  options: {
    lengths: { usual: [100, 200, 400, 800], least: 10, most: 1_000_000 },
    depths: { usual: [0, 25, 50, 75, 100], least: 0, most: 100 },
    count: { usual: 5, least: 1, most: 1000 },
  },
  make({ lengths, depths, count }, random) {
    return Array.from({ length: count }, () =>
      lengths.flatMap((length) => depths.map((depth) => document(length, depth, random))),
    ).flat();
  },
};

function document(length: number, depth: number, random: () => number): Document {
  const sentences: string[] = [];
  const ends: number[] = [];
  const pick = (list: readonly string[]): string => list[below(random, list.length)];
  for (let words = 0; words < length; ) {
    const text = `${pick(TIMES)} ${pick(SUBJECTS)} ${pick(VERBS)} ${pick(OBJECTS)}.`;
    sentences.push(text[0].toUpperCase() + text.slice(1));
    words += text.split(' ').length;
    ends.push(words);
  }
  const [city] = shuffled(CITIES, random, 1);
  const answer = String(10_000 + below(random, 90_000));
  const total = ends[ends.length - 1];
  const at = depth === 0 ? 0 : ends.findIndex((end) => end >= (total * depth) / 100) + 1;
  sentences.splice(at, 0, `The magic number of ${city} is ${answer}.`);
  return { haystack: sentences.join(' '), city, answer, length, depth };
}
