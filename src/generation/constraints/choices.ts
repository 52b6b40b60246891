/** One of several texts, as a grammar. */
import { SettingError } from '../../errors.ts';
import type { Grammar } from './grammar.ts';

/** The grammar whose texts are those of the list. */
export function choicesGrammar(list: readonly string[]): Grammar {
  if (!Array.isArray(list) || list.length === 0) throw new SettingError('choices', list, 'must be a list of texts');
  const encoder = new TextEncoder();
  const items = [...new Set(list)].map((text) => {
    if (typeof text !== 'string') throw new SettingError('choices', text, 'must be a text');
    return { kind: 'bytes' as const, bytes: encoder.encode(text) };
  });
  return { rules: new Map([['root', { kind: 'choice', items }]]), start: 'root' };
}
