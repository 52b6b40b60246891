/** The WebAssembly backend in Node: the module from the package's files, threads from `worker_threads`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Backend } from '../backends/backend.ts';
import { createWasmBackend } from '../backends/wasm/backend.ts';
import type { SpawnWorker } from '../backends/wasm/workers.ts';
import { packageRoot } from './native_addon.ts';

export const wasmPath = join(packageRoot, 'prebuilt', 'kernels.wasm');

const spawnNodeWorker: SpawnWorker = (script) => {
  const prelude = `const { parentPort } = require('node:worker_threads');
const receive = (f) => parentPort.once('message', f);
const send = (m) => parentPort.postMessage(m);
`;
  const worker = new Worker(prelude + script, { eval: true, execArgv: [], name: 'inkstone' });
  return {
    postMessage: (message) => worker.postMessage(message),
    onMessage: (listener) => worker.on('message', listener),
    onError: (listener) => worker.on('error', listener),
    keepAlive: (yes) => (yes ? worker.ref() : worker.unref()),
    terminate: async () => {
      await worker.terminate();
    },
  };
};

/** @throws what `readFileSync` throws where the package has no module, and what `createWasmBackend` throws. */
export function openWasmBackend(threads: number): Backend {
  return createWasmBackend({ module: readFileSync(wasmPath), threads, spawn: spawnNodeWorker });
}
