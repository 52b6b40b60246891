/** The bytes of a tokenizer's tokens. */
import type { Tokenizer } from '../../tokenizers/index.ts';
import type { ConstraintVocabulary } from './types.ts';

const known = new WeakMap<Tokenizer, ConstraintVocabulary>();

/**
 * What each token writes in the middle of a text: byte-level tokens their bytes, `▁` and `</w>` a space, `<0x0A>` its byte. Tokens with a role (special
 * ones, beginning, end, unknown, padding) and ids without a token write nothing. One object a tokenizer, so that what is built from it is built once.
 */
export function constraintVocabulary(tokenizer: Tokenizer): ConstraintVocabulary {
  let vocabulary = known.get(tokenizer);
  if (vocabulary !== undefined) return vocabulary;
  const roles = new Set(Object.values(tokenizer.special));
  const size = tokenizer.vocabSize;
  const bytes: (Uint8Array | null)[] = [];
  for (let id = 0; id < size; id++) {
    const own = roles.has(id) || tokenizer.isSpecial(id) ? null : tokenizer.tokenBytes(id);
    bytes.push(own === null || own.length === 0 ? null : own);
  }
  vocabulary = { size, bytesOf: (token) => bytes[token] ?? null };
  known.set(tokenizer, vocabulary);
  return vocabulary;
}
