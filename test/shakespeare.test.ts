/** The second model that ships: its loss is what its card says. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { openModel } from '../src/node/open_model.ts';
import { logProbabilities } from './decoding_model.ts';

const text = fileURLToPath(new URL('../../shared/data/text/tinyshakespeare.txt', import.meta.url));

it.skipIf(!existsSync(text))('reads held-out text as well as its card says (needs ../shared/data/text)', async () => {
  const model = await openModel('shakespeare', { offline: true });
  const ids = Array.from(model.tokenizer!.encodeIds(readFileSync(text, 'utf8')));
  const held = ids.slice(Math.floor(ids.length * 0.9));
  const V = model.config.vocab_size;
  let sum = 0;
  let count = 0;
  for (let at = 0; at < 24 * 256; at += 256) {
    const window = held.slice(at, at + 257);
    const logits = await model.engine.logits(window.slice(0, -1));
    window.slice(1).forEach((id, t) => {
      sum -= logProbabilities(logits.subarray(t * V, (t + 1) * V))[id];
      count++;
    });
  }
  // 1.468 over all 435 windows; these 24 differ from it by what texts differ.
  expect(sum / count).toBeLessThan(1.55);
  expect(sum / count).toBeGreaterThan(1.3);
  await model.close();
});
