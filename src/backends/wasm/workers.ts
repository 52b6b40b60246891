/** Threads of the WebAssembly backend: workers over one memory. The host says how a worker is made. */

/** A worker of the host: `worker_threads` in Node, `Worker` in a browser. */
export interface WasmWorker {
  postMessage(message: unknown): void;
  onMessage(listener: (message: unknown) => void): void;
  onError(listener: (error: Error) => void): void;
  /** Whether the worker keeps the process alive; nothing to do where there is no such thing. */
  keepAlive(yes: boolean): void;
  terminate(): Promise<void>;
}

/**
 * Start a worker that runs `script`, plain JavaScript with two functions that the host defines before it: `receive(f)` calls f with the
 * first message that arrives, `send(m)` posts a message back.
 */
export type SpawnWorker = (script: string) => WasmWorker;

/** What a worker runs: its share of every run, until it is stopped. It waits inside the module, not in its event loop. */
export const workerScript = `receive(({ module, memory, context, index, stack }) => {
  const env = { memory, ink_report: (refused) => send(refused) };
  const { exports } = new WebAssembly.Instance(module, { env });
  exports.__stack_pointer.value = stack;
  exports.ink_wasm_work(context, index);
});`;

/** The event of a worker that did not even start has no message. */
const NOT_LOADED = 'its script was not loaded; a Content-Security-Policy has to allow workers from blob:';

/** The spawn function of browsers. */
export const spawnWebWorker: SpawnWorker = (script) => {
  const prelude = 'const receive = (f) => { onmessage = (e) => f(e.data); }; const send = (m) => postMessage(m);\n';
  const url = URL.createObjectURL(new Blob([prelude + script], { type: 'text/javascript' }));
  const worker = new Worker(url);
  URL.revokeObjectURL(url);
  return {
    postMessage: (message) => worker.postMessage(message),
    onMessage: (listener) => worker.addEventListener('message', ({ data }) => listener(data)),
    onError: (listener) =>
      worker.addEventListener('error', ({ message }) => listener(new Error(message || NOT_LOADED))),
    keepAlive: () => {},
    terminate: async () => worker.terminate(),
  };
};
