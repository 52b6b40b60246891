/** Inkstone in a browser: the backend and training in memory. Everything else is that of the core: `inkstone/generation` and the others. */
export { openWasmBackend, type WebBackendOptions } from './backend.ts';
export { type BrowserRun, type BrowserTraining, startTraining } from './train.ts';
