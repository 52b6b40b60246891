/** The model that ships with the project: what is in models/ is what the card says, and Chinese text goes to it. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { generateAll } from '../src/generation/generate.ts';
import { DEFAULT_MODEL, defaultModelFor, openModel } from '../src/node/open_model.ts';

it('is chosen for Chinese texts alone', () => {
  expect(defaultModelFor(['春江潮水连海平，'])).toBe('tang');
  expect(defaultModelFor(['Once upon a time'])).toBe(DEFAULT_MODEL);
  expect(defaultModelFor(['GPT 是一种语言模型'])).toBe('tang');
  expect(defaultModelFor(['a long English text with 中 in it'])).toBe(DEFAULT_MODEL);
  expect(defaultModelFor(['123'])).toBe(DEFAULT_MODEL);
});

it('writes verse: a form that is asked for is kept, at twenty seeds', async () => {
  const model = await openModel('tang', { offline: true });
  let whole = 0;
  const answers = await generateAll(model, '【七绝】', { num_return_sequences: 20, seed: 5 });
  for (const { text } of answers) {
    const [, ...lines] = text.trim().split('\n');
    const verses = lines
      .join('')
      .split(/[，。！？；]/)
      .filter(Boolean);
    if (verses.length === 4 && verses.every((verse) => [...verse].length === 7)) whole++;
  }
  // A model that had learned nothing of form would keep it never.
  expect(whole).toBeGreaterThanOrEqual(12);
  await model.close();
}, 60_000);

const poems = new URL('../../shared/data/text/tang-poems.txt', import.meta.url);
it.skipIf(!existsSync(poems))(
  'prefers poems to their lines turned round (needs ../shared/data/text)',
  async () => {
    const model = await openModel('tang', { offline: true, precision: 'exact' });
    const score = async (text: string): Promise<number> => {
      const ids = [...model.tokenizer!.encodeIds(text)];
      const sequence = model.engine.sequence(ids);
      const [{ logits }] = await model.engine.step([{ sequence, logits: 'all' }]);
      const V = model.config.vocab_size;
      let total = 0;
      for (let t = 0; t + 1 < ids.length; t++) {
        const row = logits.subarray(t * V, (t + 1) * V);
        const top = row.reduce((a, b) => Math.max(a, b));
        total += row[ids[t + 1]] - top - Math.log(row.reduce((sum, x) => sum + Math.exp(x - top), 0));
      }
      sequence.free();
      return total;
    };
    // Lines whose characters are the same in both scripts.
    const lines = (readFileSync(poems, 'utf8').match(/^[\u4e00-\u9fff]{5}，[\u4e00-\u9fff]{5}。$/gm) ?? [])
      .filter((_, i) => i % 997 === 0)
      .slice(0, 40);
    let right = 0;
    for (const line of lines) {
      const turned = `${[...line.slice(0, 5)].reverse().join('')}，${[...line.slice(6, 11)].reverse().join('')}。`;
      if ((await score(line)) > (await score(turned))) right++;
    }
    expect(lines.length).toBe(40);
    expect(right).toBeGreaterThanOrEqual(30);
    await model.close();
  },
  60_000,
);
