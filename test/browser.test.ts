/** The WebAssembly backend trains in a browser, and its losses, weights and answers are those of Node's, to the bit. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openWasmBackend as openWebBackend, startTraining } from '../src/browser/index.ts';
import { generateAll } from '../src/generation/index.ts';
import { openModel } from '../src/node/open_model.ts';
import { openWasmBackend, wasmPath } from '../src/node/wasm_kernels.ts';
import { compile, f } from '../src/tensor/index.ts';
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

it('says where the module of kernels cannot be fetched', async () => {
  const server = createServer((_, response) => response.writeHead(404).end('nothing'));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const module = `http://127.0.0.1:${(server.address() as AddressInfo).port}/kernels.wasm`;
  await expect(openWebBackend({ module, threads: 1 })).rejects.toThrow(
    `${module} cannot be fetched: the server answers 404`,
  );
  await new Promise((resolve) => server.close(resolve));
  await expect(openWebBackend({ module, threads: 1 })).rejects.toThrow(`${module} cannot be fetched: `);
});

describe('where the host promises less than 4 GiB', () => {
  const { Memory } = WebAssembly;
  afterEach(() => {
    WebAssembly.Memory = Memory;
  });
  const promise = (pages: number) => {
    WebAssembly.Memory = class extends Memory {
      constructor(wanted: WebAssembly.MemoryDescriptor) {
        if (wanted.maximum! > pages) throw new RangeError('could not allocate memory');
        super(wanted);
      }
    };
  };

  it('the backend does with what it gets', async () => {
    promise(5000);
    const backend = openWasmBackend(2);
    const x = f.input('x', 'f32', [8]);
    const plan = backend.load(compile({ y: f.sum(x, 0) }), {});
    expect((await plan.run({ inputs: { x: new Float32Array(8).fill(2) } })).y[0]).toBe(16);
    expect(() => backend.allocate(2 ** 28)).toThrow(/WebAssembly memory: 268435456 bytes needed/);
    await backend.close();
  });

  it('and is refused with too little', () => {
    promise(100);
    expect(() => openWasmBackend(1)).toThrow('no WebAssembly memory: could not allocate memory');
  });
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
