/** Every model of the golden set, made by Hugging Face transformers, on every backend. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createNativeBackend } from '../src/backends/native/backend.ts';
import { createReferenceBackend } from '../src/backends/reference/backend.ts';
import { Engine } from '../src/generation/engine.ts';
import { loadModel } from '../src/models/index.ts';
import { nativeStatus } from '../src/node/native_addon.ts';
import { MemorySource, readSafetensors, readSharded, readTorch } from '../src/weights/index.ts';

const shared = new URL('../../shared/golden/models/', import.meta.url).pathname;
const names = existsSync(shared)
  ? (JSON.parse(readFileSync(join(shared, 'index.json'), 'utf8')) as { name: string }[])
      .map(({ name }) => name)
      .filter((name) => !['llava', 'smolvlm'].includes(name))
  : [];

describe.skipIf(names.length === 0)('golden', () => {
  it.each(names)('%s', async (name) => {
    const dir = join(shared, name);
    const config = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8'));
    const expected = JSON.parse(readFileSync(join(dir, 'expected.json'), 'utf8'));
    const open = (file: string) => new MemorySource(file, readFileSync(join(dir, file)));
    const weights = existsSync(join(dir, 'model.safetensors'))
      ? readSafetensors(open('model.safetensors'))
      : existsSync(join(dir, 'pytorch_model.bin'))
        ? readTorch(open('pytorch_model.bin'))
        : readSharded(open('model.safetensors.index.json'), open);
    const model = loadModel(
      weights,
      config,
      process.env.NATIVE ? createNativeBackend(nativeStatus().addon!, { threads: 2 }) : createReferenceBackend(),
    );
    const engine = new Engine(model, { precision: 'exact' });
    const ids = expected.long.input_ids[0];
    const logits = await engine.logits(ids);
    const V = model.config.vocab_size;
    let worst = 0;
    expected.long.logits_positions.forEach((p: number, i: number) => {
      const rows = expected.long.logits[i][0].length ? expected.long.logits[i][0] : expected.long.logits[i];
      for (let j = 0; j < V; j++) worst = Math.max(worst, Math.abs(rows[j] - logits[p * V + j]));
    });
    console.log(name, worst);
    expect(worst).toBeLessThan(5e-5);
  });
});
