/** Vocabularies of SentencePiece, as GGUF carries them, against sentencepiece itself (make_sentencepiece.py). */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { tokenizerFromGguf } from '../src/tokenizers/index.ts';

const json = (name: string) => JSON.parse(readFileSync(new URL(`golden/tokenizers/${name}`, import.meta.url), 'utf8'));
const texts: string[] = json('texts.json');

describe('SentencePiece from GGUF metadata', () => {
  for (const { cases, ...keys } of json('sentencepiece.json').models) {
    it(`${keys.model}, ${keys.add_space_prefix ? 'with' : 'without'} a space in front`, () => {
      const metadata = new Map<string, unknown>([['tokenizer.ggml.unknown_token_id', 0]]);
      for (const [key, value] of Object.entries(keys)) metadata.set(`tokenizer.ggml.${key}`, value);
      const tokenizer = tokenizerFromGguf({ name: 'small.gguf', metadata });
      (cases as [number[], string][]).forEach(([ids, decoded], i) => {
        const found = tokenizer.encodeIds(texts[i], { add_special_tokens: false });
        expect.soft([...found], JSON.stringify(texts[i])).toEqual(ids);
        expect.soft([...tokenizer.encode(texts[i], { add_special_tokens: false }).ids]).toEqual(ids);
        expect.soft(tokenizer.decode(ids), JSON.stringify(texts[i])).toBe(decoded);
      });
    });
  }
});
