/** Arrays without equal items. What an automaton cannot remember is refused; items of a short list of values are members, each of which comes at most once. */
import type { Expression } from '../grammar.ts';
import type { Keywords } from './keywords.ts';
import { onlyNumber } from './numbers.ts';
import type { Problem } from './problem.ts';
import type { ArrayShape } from './sets.ts';
import { NOTHING_WRITTEN, text } from './spelling.ts';
import type { Term } from './terms.ts';

const MOST_VALUES = 64;

/** At least one item. */
export function distinctItems(
  shape: ArrayShape,
  most: number,
  keywords: Keywords,
  comma: Expression,
  path: string,
): Expression | Problem | null {
  const values = shape.prefix.length === 0 && shape.contains.length === 0 ? valuesOf(shape.rest, keywords) : undefined;
  if (values === undefined || values.length > MOST_VALUES) {
    const reason =
      'can be enforced for items of a short list of values (enum, const, boolean, null) and for at most one item, not for these';
    return { path: `${path}/uniqueItems`, value: true, reason };
  }
  if (values.length === 0 || shape.min > values.length) return null;
  return {
    kind: 'members',
    named: values.map((value) => ({ key: text(value), value: NOTHING_WRITTEN, required: false })),
    others: [],
    separator: comma,
    min: Math.max(1, shape.min),
    max: Math.min(most, values.length),
  };
}

/** The texts of all values of a term, when they are few scalars. */
function valuesOf(term: Term, keywords: Keywords): string[] | undefined {
  const set = keywords.setOf(term);
  if (set.arrays.length + set.objects.length > 0) return undefined;
  const values = new Set<string>();
  if (set.null) values.add('null');
  if (set.booleans & 1) values.add('false');
  if (set.booleans & 2) values.add('true');
  for (const shape of set.numbers) {
    const value = onlyNumber(shape);
    if (value === undefined) return undefined;
    values.add(JSON.stringify(value));
  }
  for (const shape of set.strings) {
    if (shape.only === null) return undefined;
    for (const value of shape.only) values.add(JSON.stringify(value));
  }
  return [...values];
}
