/** Backends: where plans run. */
export type { Backend, BackendBuffer, BackendInfo, HostArray, LoadedPlan, RunArguments, RunResult } from './backend.ts';
export type { NativeAddon } from './native/addon.ts';
export { createNativeBackend, type NativeOptions } from './native/backend.ts';
export { encodeProgram } from './program.ts';
export { createReferenceBackend } from './reference/backend.ts';
export { evaluate } from './reference/evaluate.ts';
export { createWasmBackend, type WasmOptions } from './wasm/backend.ts';
export { type SpawnWorker, spawnWebWorker, type WasmWorker } from './wasm/workers.ts';
