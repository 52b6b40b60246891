/** The WebAssembly backend: its module is of these sources, its memory is reused, it works without shared memory. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
// @ts-expect-error plain JavaScript, for the build alone
import { wasmHash } from '../kernels/wasm/sources.mjs';
import { Heap } from '../src/backends/wasm/heap.ts';
import { createMemory, withUnsharedMemory } from '../src/backends/wasm/module.ts';
import { openWasmBackend, wasmPath } from '../src/node/wasm_kernels.ts';
import { compile, f } from '../src/tensor/index.ts';

const bytes = readFileSync(wasmPath);

function sumPlan() {
  const x = f.input('x', 'f32', [1000]);
  return compile({ y: f.exp(f.sum(x, 0)) });
}

describe('prebuilt/kernels.wasm', () => {
  it('was built from the sources of this tree (else: npm install && node build.mjs in kernels/wasm)', () => {
    const [section] = WebAssembly.Module.customSections(new WebAssembly.Module(bytes), 'inkstone.source');
    expect(new TextDecoder().decode(section)).toBe(wasmHash());
  });

  it('can import memory that is not shared', () => {
    const module = new WebAssembly.Module(withUnsharedMemory(bytes) as BufferSource);
    const env = { memory: createMemory(false), ink_report: () => {} };
    expect(new WebAssembly.Instance(module, { env }).exports.ink_wasm_run).toBeTypeOf('function');
    expect(() => withUnsharedMemory(bytes.subarray(0, 40))).toThrow('imports no memory');
  });
});

describe('the heap', () => {
  it('gives zeroed blocks, takes them back and joins them', () => {
    const memory = createMemory(true);
    const heap = new Heap(memory, 1000);
    const blocks = [100, 64, 5000].map((size) => heap.allocate(size));
    expect(blocks).toEqual([1024, 1152, 1216]);
    new Uint8Array(memory.buffer, 1024, 5000).fill(7);
    heap.release(blocks[0]);
    heap.release(blocks[2]);
    heap.release(blocks[1]);
    heap.release(blocks[1]);
    expect(heap.allocate(5000)).toBe(1024);
    expect(new Uint8Array(memory.buffer, 1024, 5000).every((byte) => byte === 0)).toBe(true);
    expect(() => heap.allocate(2 ** 33)).toThrow('WebAssembly memory');
  });
});

describe('runs', () => {
  it.each([1, 2, 3])('follow each other in the order of the calls, with %i threads', async (threads) => {
    const backend = openWasmBackend(threads);
    const plan = backend.load(sumPlan(), {});
    const results = await Promise.all(
      [0, 1, 2, 3].map((value) => plan.run({ inputs: { x: new Float32Array(1000).fill(value / 1000) } })),
    );
    results.forEach(({ y }, value) => {
      expect(y[0]).toBeCloseTo(Math.exp(value), 3);
    });
    await backend.close();
    await expect(plan.run({ inputs: { x: new Float32Array(1000) } })).rejects.toThrow('closed');
  });

  it('refuses bad bindings and goes on', async () => {
    const backend = openWasmBackend(2);
    const plan = backend.load(sumPlan(), {});
    await expect(plan.run({ inputs: { x: new Float32Array(3) } })).rejects.toThrow(RangeError);
    expect((await plan.run({ inputs: { x: new Float32Array(1000) } })).y[0]).toBe(1);
    await backend.close();
  });

  it('leave the process free to end while workers wait', () => {
    const script = `
      const { Worker } = require('node:worker_threads');
      const { readFileSync } = require('node:fs');
      const memory = new WebAssembly.Memory({ initial: 200, maximum: 65536, shared: true });
      const module = new WebAssembly.Module(readFileSync(${JSON.stringify(wasmPath)}));
      const { exports } = new WebAssembly.Instance(module, { env: { memory, ink_report() {} } });
      const context = 1 << 20;
      exports.ink_wasm_init(context, 1, 2 << 20);
      const worker = new Worker(\`const { workerData: w } = require('node:worker_threads');
        const { exports } = new WebAssembly.Instance(w.module, { env: { memory: w.memory, ink_report() {} } });
        exports.ink_wasm_work(w.context, 0);\`, { eval: true, workerData: { module, memory, context } });
      worker.on('online', () => { worker.unref(); setTimeout(() => {}, 100); });
    `;
    expect(spawnSync(process.execPath, ['-e', script], { timeout: 20_000 }).status).toBe(0);
  });
});
