/** The WebAssembly backend trains in a browser, and its losses, weights and answers are those of Node's, to the bit. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { startTraining } from '../src/browser/index.ts';
import { generateAll } from '../src/generation/index.ts';
import { openModel } from '../src/node/open_model.ts';
import { openWasmBackend, wasmPath } from '../src/node/wasm_kernels.ts';
import { findChromium, type PageCase, runPages } from './browser/chromium.ts';
import { generation, type Learned, learn, prompt } from './browser/learn.ts';

const cases = {
  'on a page, with one thread': { threads: 1, isolated: true, worker: false },
  'on a page, with two threads': { threads: 2, isolated: true, worker: false },
  'in a worker, with two threads': { threads: 2, isolated: true, worker: true },
  'on a page that may not share memory': { threads: 1, isolated: false, worker: false },
  'is refused threads on such a page': { threads: 2, isolated: false, worker: false },
} satisfies Record<string, PageCase>;

const chromium = findChromium();
const PATIENCE = 100_000;

it('a run in memory ends with files that are a model', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'inkstone-browser-'));
  try {
    const { ids, text } = await learn(openWasmBackend(2), (files) => {
      for (const [name, content] of files) writeFileSync(join(folder, name), content);
    });
    const model = await openModel(folder, { backend: 'wasm', threads: 1, precision: 'exact' });
    const [answer] = await generateAll(model, prompt, generation);
    expect(answer).toMatchObject({ ids, text });
    await model.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it.each([
  [{ fields: { vocab_size: 5 } }, /vocab_size = 5: is less than/],
  [{ fields: { block_size: 1000, batch_size: 1 } }, /block_size.*tokens/s],
  [{ model: 'gpt3-175b' }, /memory: .* GB needed, 4.29 available/],
  [{ texts: [] }, /empty|no text/],
])('a run in memory is refused before it begins: %o', async (own, message) => {
  const backend = openWasmBackend(1);
  await expect(startTraining({ texts: ['to be or not to be '.repeat(50)], backend, ...own })).rejects.toThrow(message);
  await backend.close();
});

describe.skipIf(chromium === null)('20 steps in headless Chromium (needs chromium or CHROME_PATH)', () => {
  let node: Learned;
  const results: Record<string, unknown> = {};

  beforeAll(async () => {
    node = await learn(openWasmBackend(1));
    const answers = await runPages(chromium!, wasmPath, Object.values(cases), PATIENCE);
    for (const [i, name] of Object.keys(cases).entries()) results[name] = answers[i];
  }, PATIENCE + 20_000);

  it('learn in Node', () => {
    expect(node.losses).toHaveLength(20);
    expect(node.losses[19]).toBeLessThan(0.8 * node.losses[0]);
    expect(node.evaluations).toHaveLength(2);
    expect(node.ids).toHaveLength(24);
  });

  it.each(Object.keys(cases).slice(0, 4))('%s', (name) => {
    const { threads } = cases[name as keyof typeof cases];
    expect(results[name]).toEqual({ ...node, backend: `wasm wasm_simd ${threads}` });
  });

  it('is refused threads on such a page', ({ task }) => {
    expect(results[task.name]).toMatchObject({
      error: expect.stringMatching(/EnvironmentError.*cross-origin isolated/),
    });
  });
});
