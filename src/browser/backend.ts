/** The WebAssembly backend in a browser: the module by `fetch`, threads from `Worker`. */
import type { Backend } from '../backends/backend.ts';
import { createWasmBackend, MAX_WASM_THREADS } from '../backends/wasm/backend.ts';
import { canShareMemory } from '../backends/wasm/module.ts';
import { spawnWebWorker } from '../backends/wasm/workers.ts';
import { EnvironmentError } from '../errors.ts';

export interface WebBackendOptions {
  /** Where kernels.wasm is, or its bytes. Unless given it is looked for where the package has it, a place that bundlers understand. */
  readonly module?: string | URL | Uint8Array;
  /** One for each core unless given, and one alone on pages that are not cross-origin isolated. With one, runs block their thread. */
  readonly threads?: number;
}

/**
 * Works on pages and in workers.
 * @throws EnvironmentError where the module cannot be fetched, or where more than one thread is asked for on a page that is not
 *   cross-origin isolated (headers COOP and COEP); SettingError for a thread count that cannot be.
 */
export async function openWasmBackend(options: WebBackendOptions = {}): Promise<Backend> {
  const { module = new URL('../../prebuilt/kernels.wasm', import.meta.url), threads = usualThreads() } = options;
  const bytes = module instanceof Uint8Array ? module : await fetchBytes(module);
  return createWasmBackend({ module: bytes, threads, spawn: spawnWebWorker });
}

function usualThreads(): number {
  return canShareMemory() ? Math.min(navigator.hardwareConcurrency, MAX_WASM_THREADS) : 1;
}

async function fetchBytes(from: string | URL): Promise<Uint8Array> {
  let response: Response;
  try {
    response = await fetch(from);
  } catch (error) {
    throw new EnvironmentError(`${from} cannot be fetched: ${(error as Error).message}`);
  }
  if (!response.ok) {
    const hint = 'serve prebuilt/kernels.wasm of the package there, or say where it is (`module`)';
    throw new EnvironmentError(`${from} cannot be fetched: the server answers ${response.status}; ${hint}`);
  }
  return new Uint8Array(await response.arrayBuffer());
}
