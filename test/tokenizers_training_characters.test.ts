/** The training of character tokenizers. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { wellFormed } from '../src/tokenizers/bytes.ts';
import {
  charactersOf,
  tokenizerFromCharacters,
  tokenizerFromJsonText,
  trainCharacters,
} from '../src/tokenizers/index.ts';

it('gives each character its id, decodes exactly, and reads its own file', async () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1 });
  await fc.assert(
    fc.asyncProperty(fc.array(text, { minLength: 1 }), text, async (texts, other) => {
      const { json, tokenizer } = await trainCharacters(texts);
      const again = tokenizerFromJsonText(JSON.stringify(json));
      const all = wellFormed(texts.join(''));
      // A text that spells the unknown token is not of interest here.
      fc.pre(!all.includes('<unk>'));
      const plain = tokenizerFromCharacters(charactersOf(all));
      const ids = tokenizer.encodeIds(all);
      expect(Array.from(ids, (id) => id - 1)).toEqual(Array.from(plain.encodeIds(all)));
      expect(tokenizer.decode(ids)).toBe(all);
      expect(again.encodeIds(all)).toEqual(ids);
      const known = new Set(Array.from(all));
      const mapped = Array.from(tokenizer.encodeIds(other), (id) => id === 0);
      expect(mapped).toEqual(Array.from(other, (char) => !known.has(char)));
    }),
    { numRuns: 60 },
  );
});

it('is nanoGPT’s vocabulary without an unknown token', async () => {
  const { tokenizer, json } = await trainCharacters(['hello\n', 'world 12'], { unk_token: null });
  expect(tokenizer.vocabSize).toBe(charactersOf('hello\nworld 12').length);
  expect((json.model as { vocab: object }).vocab).toEqual(
    Object.fromEntries(charactersOf('hello\nworld 12').map((char, id) => [char, id])),
  );
  expect(tokenizer.special.unk).toBeUndefined();
});

it('keeps the most frequent characters where there is not room for all', async () => {
  const { tokenizer } = await trainCharacters(['aaabbbcc', 'ddd中'], { vocab_size: 5, special_tokens: ['</s>'] });
  expect(Array.from({ length: 5 }, (_, id) => tokenizer.idToToken(id))).toEqual(['<unk>', '</s>', 'a', 'b', 'd']);
  expect(Array.from(tokenizer.encodeIds('ac中d'))).toEqual([2, 0, 0, 4]);
});

it('takes characters outside the first plane, and special tokens with roles', async () => {
  const options = { special_tokens: ['<|endoftext|>'], roles: { eos_token: '<|endoftext|>' }, min_frequency: 2 };
  const { tokenizer } = await trainCharacters(['😀😀a', 'a中'], options);
  expect(tokenizer.vocabSize).toBe(4);
  expect(tokenizer.special).toMatchObject({ unk: 0, eos: 1 });
  expect(tokenizer.decode(tokenizer.encodeIds('a😀a'))).toBe('a😀a');
});

it('refuses what cannot be', async () => {
  await expect(trainCharacters([])).rejects.toThrow(/empty/);
  await expect(trainCharacters(['abc'], { vocab_size: 2, unk_token: null })).rejects.toThrow(
    /at least 3.*3.*0 special/,
  );
  await expect(trainCharacters(['abc'], { vocab_size: 1 })).rejects.toThrow(/vocab_size = 1/);
  await expect(trainCharacters(['abc'], { min_frequency: 2 })).rejects.toThrow(/min_frequency/);
  await expect(trainCharacters(['PK\u0003\u0004\0\0'])).rejects.toThrow(/binary/);
});
