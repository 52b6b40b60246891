/** The backends that this machine has, for tests that run on each of them. */
import type { Backend } from '../src/backends/backend.ts';
import { createNativeBackend } from '../src/backends/native/backend.ts';
import { createReferenceBackend } from '../src/backends/reference/backend.ts';
import { nativeStatus } from '../src/node/native_addon.ts';
import { openWasmBackend } from '../src/node/wasm_kernels.ts';

export interface BackendChoice {
  readonly name: string;
  /** Why it cannot be used here, or null. */
  readonly missing: string | null;
  make(threads?: number): Backend;
}

const { addon, tried } = nativeStatus();

export const reference: BackendChoice = { name: 'reference', missing: null, make: createReferenceBackend };

export const wasm: BackendChoice = { name: 'wasm', missing: null, make: (threads = 2) => openWasmBackend(threads) };

const native: readonly BackendChoice[] = addon
  ? addon.variants().map((variant) => ({
      name: `native ${variant}`,
      missing: null,
      make: (threads = 2) => createNativeBackend(addon, { threads, variant }),
    }))
  : [
      {
        name: 'native',
        missing: `no native library: ${tried.join('; ')}`,
        make: () => {
          throw new Error('no native library');
        },
      },
    ];

/** Compiled backends: one for each instruction set that runs here, and WebAssembly. */
export const compiled: readonly BackendChoice[] = [...native, wasm];
