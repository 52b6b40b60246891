/** Choosing a backend on this machine. */
import { existsSync } from 'node:fs';
import type { Backend } from '../backends/backend.ts';
import { createNativeBackend } from '../backends/native/backend.ts';
import { createReferenceBackend } from '../backends/reference/backend.ts';
import { MAX_WASM_THREADS } from '../backends/wasm/backend.ts';
import { EnvironmentError, SettingError } from '../errors.ts';
import { defaultThreads, nativeStatus } from './native_addon.ts';
import { openWasmBackend, wasmPath } from './wasm_kernels.ts';

export const backendNames = ['native', 'wasm', 'reference'] as const;
export type BackendName = (typeof backendNames)[number];

export interface BackendOptions {
  /** The best that works here unless given. */
  readonly backend?: string;
  readonly threads?: number;
}

/** @throws SettingError for a backend or thread count that cannot be; EnvironmentError when the one asked for is not there. */
export function openBackend({ backend, threads = defaultThreads() }: BackendOptions = {}): Backend {
  if (!Number.isInteger(threads) || threads < 1 || threads > 256) {
    throw new SettingError('threads', threads, 'has to be a whole number from 1 to 256');
  }
  const { addon, tried } = nativeStatus();
  if (backend === 'reference') return createReferenceBackend();
  if (backend === 'wasm') return openWasmBackend(threads);
  if (backend !== undefined && backend !== 'native')
    throw new SettingError('backend', backend, `has to be one of ${backendNames.join(', ')}`);
  if (addon) return createNativeBackend(addon, { threads, variant: process.env.INKSTONE_ISA });
  if (backend === 'native')
    throw new EnvironmentError(`the native library is not there:\n${tried.map((line) => `  - ${line}`).join('\n')}`);
  if (existsSync(wasmPath)) return openWasmBackend(Math.min(threads, MAX_WASM_THREADS));
  return createReferenceBackend();
}
