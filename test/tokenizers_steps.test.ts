/** Each kind of normalizer, pre-tokenizer and decoder against recordings of Hugging Face `tokenizers` (make_steps.py). */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { codePointOffsets, tokenizerFromJson } from '../src/tokenizers/index.ts';

const steps = JSON.parse(readFileSync(new URL('golden/tokenizers/steps.json', import.meta.url), 'utf8'));
const texts: string[] = steps.texts;

/** A short name for a configuration. */
function nameOf(...parts: readonly unknown[]): string {
  return parts
    .filter((part) => part !== null)
    .map((part) => JSON.stringify(part).replaceAll('"', ''))
    .join(' ')
    .slice(0, 160);
}

describe('normalizers and pre-tokenizers', () => {
  for (const { normalizer, pre_tokenizer, pieces } of steps.cases) {
    it(nameOf(normalizer, pre_tokenizer), () => {
      const tokenizer = tokenizerFromJson({
        normalizer,
        pre_tokenizer,
        decoder: null,
        model: { type: 'Unigram', unk_id: 0, vocab: [['<unk>', 0]], byte_fallback: false },
      });
      texts.forEach((text, i) => {
        const { tokens, offsets, ids } = tokenizer.encode(text);
        const points = codePointOffsets(text, offsets);
        const found = tokens.flatMap((token, k) => [token, points[k * 2], points[k * 2 + 1]]);
        expect.soft(found, JSON.stringify(text)).toEqual(pieces[i]);
        expect.soft([...tokenizer.encodeIds(text)]).toEqual([...ids]);
      });
    });
  }
});

describe('decoders, at once and token by token', () => {
  for (const { decoder, texts: wanted } of steps.decoding) {
    it(nameOf(decoder ?? 'none'), () => {
      const vocab = Object.fromEntries((steps.tokens as string[]).map((token, id) => [token, id]));
      const tokenizer = tokenizerFromJson({ decoder, model: { type: 'WordLevel', vocab, unk_token: '<unk>' } });
      (steps.lists as number[][]).forEach((ids, i) => {
        expect.soft(tokenizer.decode(ids), JSON.stringify(ids)).toBe(wanted[i]);
        const stream = tokenizer.stream();
        const parts = ids.map((id) => stream.push(id));
        expect.soft(parts.join('') + stream.end()).toBe(wanted[i]);
      });
    });
  }
});
