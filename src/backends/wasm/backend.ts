/**
 * The WebAssembly backend: the C kernels in a module with SIMD, for browsers and for machines without the native library. With one
 * thread a run happens where it is called; with more, workers do it and the caller goes on.
 */
import { EnvironmentError, SettingError, ShapeError } from '../../errors.ts';
import type { Plan } from '../../tensor/plan.ts';
import { bindShape, type DimBindings, sizeOf } from '../../tensor/shape.ts';
import type { Backend, BackendBuffer, HostArray, LoadedPlan, RunArguments, RunResult } from '../backend.ts';
import { bindParameters, checkInputs, outputNames } from '../binding.ts';
import { encodeProgram } from '../program.ts';
import { Heap } from './heap.ts';
import { canShareMemory, createMemory, instantiate, type WasmExports, withUnsharedMemory } from './module.ts';
import { type SpawnWorker, type WasmWorker, workerScript } from './workers.ts';

const STACK_BYTES = 1 << 18;
export const MAX_WASM_THREADS = 64;

export interface WasmOptions {
  /** The bytes of prebuilt/kernels.wasm. */
  readonly module: Uint8Array;
  readonly threads?: number;
  /** How to make a worker; needed for more than one thread. */
  readonly spawn?: SpawnWorker;
}

class WasmBuffer implements BackendBuffer {
  constructor(
    readonly at: number,
    readonly byteLength: number,
  ) {}
}

/**
 * @throws SettingError for a thread count that cannot be; EnvironmentError where threads are asked for and memory cannot be shared
 *   (pages that are not cross-origin isolated) or nothing makes workers.
 */
export function createWasmBackend({ module, threads = 1, spawn }: WasmOptions): Backend {
  if (!Number.isInteger(threads) || threads < 1 || threads > MAX_WASM_THREADS) {
    throw new SettingError('threads', threads, `has to be a whole number from 1 to ${MAX_WASM_THREADS} for wasm`);
  }
  if (threads > 1 && !(spawn && canShareMemory())) {
    throw new EnvironmentError('more than one thread needs shared memory (a cross-origin isolated page) and workers');
  }
  const host = new Host(module, threads, spawn);
  return {
    info: { name: 'wasm', variant: 'wasm_simd', threads },
    allocate: (byteLength) => host.allocate(byteLength),
    adopt(bytes) {
      const buffer = host.allocate(bytes.byteLength);
      host.bytes(buffer.at, bytes.byteLength).set(bytes);
      return buffer;
    },
    write: (buffer, offset, bytes) => host.write(own(buffer), offset, bytes),
    read: (buffer, offset, length) => host.inTurn(async () => new Uint8Array(host.range(own(buffer), offset, length))),
    copy(buffer, from, to, length) {
      void host.inTurn(async () => {
        host.range(own(buffer), to, length).set(host.range(own(buffer), from, length));
      });
    },
    load: (plan, parameters) => host.load(plan, bindParameters(plan, parameters).map(own)),
    close: () => host.close(),
  };
}

function own(buffer: BackendBuffer): WasmBuffer {
  if (!(buffer instanceof WasmBuffer)) throw new ShapeError('wasm backend', 'the buffer is of another backend');
  return buffer;
}

interface Settle {
  resolve(): void;
  reject(error: Error): void;
}

/** The module, its memory and threads, and the order of everything that touches memory. */
class Host {
  private readonly memory: WebAssembly.Memory;
  private readonly exports: WasmExports;
  private readonly heap: Heap;
  private readonly context: number;
  private readonly workers: WasmWorker[] = [];
  /** Frees what JavaScript no longer refers to. */
  private readonly registry = new FinalizationRegistry<readonly number[]>((blocks) => {
    for (const at of blocks) this.heap.release(at);
  });
  private turn: Promise<unknown> = Promise.resolve();
  private waiting = 0;
  /** The run that workers are at. */
  private running: Settle | null = null;
  private failure: Error | null = null;

  constructor(bytes: Uint8Array, threads: number, spawn: SpawnWorker | undefined) {
    const shared = canShareMemory();
    const module = new WebAssembly.Module((shared ? bytes : withUnsharedMemory(bytes)) as BufferSource);
    this.memory = createMemory(shared);
    this.exports = instantiate(module, this.memory, () => {});
    this.heap = new Heap(this.memory, this.exports.__heap_base.value as number);
    this.context = this.heap.allocate(this.exports.ink_wasm_context_bytes());
    this.exports.ink_wasm_init(this.context, threads, this.heap.allocate(this.exports.ink_wasm_thread_bytes(threads)));
    for (let index = 0; threads > 1 && index < threads; index++)
      this.workers.push(this.startWorker(module, index, spawn!));
  }

  private startWorker(module: WebAssembly.Module, index: number, spawn: SpawnWorker): WasmWorker {
    const worker = spawn(workerScript);
    const stack = this.heap.allocate(STACK_BYTES) + STACK_BYTES;
    worker.onMessage((refused) => this.settle(refused === 0 ? null : this.error()));
    worker.onError((error) => {
      this.failure ??= new EnvironmentError(`a worker of the wasm backend ended: ${error.message}`);
      this.settle(this.failure);
    });
    worker.postMessage({ module, memory: this.memory, context: this.context, index, stack });
    worker.keepAlive(false);
    return worker;
  }

  private settle(error: Error | null): void {
    const run = this.running;
    this.running = null;
    this.workers[0].keepAlive(false);
    if (error) run?.reject(error);
    else run?.resolve();
  }

  /** What the module says of the last program or run that it refused. */
  private error(): RangeError {
    const at = this.exports.ink_wasm_error(this.context);
    const memory = new Uint8Array(this.memory.buffer);
    const text = new TextDecoder().decode(memory.slice(at, memory.indexOf(0, at)));
    const step = this.exports.ink_wasm_error_step(this.context);
    const tensor = this.exports.ink_wasm_error_tensor(this.context);
    return new RangeError(step >= 0 ? `step ${step}: ${text}` : tensor >= 0 ? `tensor ${tensor}: ${text}` : text);
  }

  /** Do something after all that was asked before it. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    this.waiting++;
    const result = this.turn.then(work).finally(() => {
      this.waiting--;
    });
    this.turn = result.catch(() => {});
    return result;
  }

  bytes(at: number, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, at, length);
  }

  range({ at, byteLength }: WasmBuffer, offset: number, length: number): Uint8Array {
    if (!(offset >= 0 && length >= 0 && offset + length <= byteLength)) {
      throw new RangeError(`bytes ${offset}…${offset + length} are not inside a buffer of ${byteLength}`);
    }
    return this.bytes(at + offset, length);
  }

  allocate(byteLength: number): WasmBuffer {
    const buffer = new WasmBuffer(this.heap.allocate(byteLength), byteLength);
    this.registry.register(buffer, [buffer.at]);
    return buffer;
  }

  write(buffer: WasmBuffer, offset: number, bytes: Uint8Array): void {
    const target = this.range(buffer, offset, bytes.byteLength);
    if (this.waiting === 0) target.set(bytes);
    else {
      const copy = bytes.slice();
      void this.inTurn(async () => this.range(buffer, offset, copy.byteLength).set(copy));
    }
  }

  /** A copy of these numbers in the module's memory. */
  private place(data: Int32Array | Uint32Array | BigUint64Array): number {
    const at = this.heap.allocate(data.byteLength);
    this.bytes(at, data.byteLength).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return at;
  }

  load(plan: Plan, parameters: readonly WasmBuffer[]): LoadedPlan {
    const { exports, context } = this;
    const arena = this.heap.allocate(plan.arenaBytes);
    const words = encodeProgram(plan);
    const wordsAt = this.place(words);
    const size = exports.ink_wasm_program_bytes(wordsAt, words.length);
    if (size === 0) throw new ShapeError('wasm backend', 'the plan is too large for one program');
    const program = this.heap.allocate(size >>> 0);
    const slotBytes = BigUint64Array.from([plan.arenaBytes, ...parameters.map((p) => p.byteLength)], BigInt);
    const slotBytesAt = this.place(slotBytes);
    const dimMax = this.place(Int32Array.from(plan.dims, ({ max }) => max));
    const refused = exports.ink_wasm_load(context, program, wordsAt, words.length, slotBytesAt, dimMax);
    for (const at of [wordsAt, slotBytesAt, dimMax]) this.heap.release(at);
    if (refused) {
      this.heap.release(program);
      this.heap.release(arena);
      throw this.error();
    }
    const slots = this.place(Uint32Array.from([arena, ...parameters.map(({ at }) => at)]));
    const dims = this.heap.allocate(plan.dims.length * 4);
    for (const { tensor, data } of plan.constants) this.store(arena + plan.tensors[tensor].offset, data);
    const loaded = new WasmPlan(this, plan, parameters, { arena, program, slots, dims });
    this.registry.register(loaded, [arena, program, slots, dims]);
    return loaded;
  }

  private start(program: number, slots: number, dims: number): Promise<void> {
    if (this.failure) return Promise.reject(this.failure);
    if (this.workers.length === 0) {
      const refused = this.exports.ink_wasm_run(this.context, program, slots, dims);
      return refused ? Promise.reject(this.error()) : Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      this.running = { resolve, reject };
      this.workers[0].keepAlive(true);
      this.exports.ink_wasm_post(this.context, program, slots, dims);
    });
  }

  async run({ plan, places }: WasmPlan, { dims = {}, inputs = {}, outputs }: RunArguments): Promise<RunResult> {
    checkInputs(plan, inputs, dims);
    const names = outputNames(plan, outputs);
    const { arena, program, slots } = places;
    for (const [name, index] of Object.entries(plan.inputs))
      this.store(arena + plan.tensors[index].offset, inputs[name]);
    this.store(
      places.dims,
      Int32Array.from(plan.dims, ({ name }) => dims[name]),
    );
    await this.start(program, slots, places.dims);
    return Object.fromEntries(names.map((name) => [name, this.output(plan, name, arena, dims)]));
  }

  private store(at: number, data: HostArray): void {
    this.bytes(at, data.byteLength).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }

  private output(plan: Plan, name: string, arena: number, dims: DimBindings): Float32Array | Int32Array {
    const { dtype, shape, offset } = plan.tensors[plan.outputs[name]];
    const Kind = dtype === 'f32' ? Float32Array : Int32Array;
    return new Kind(this.memory.buffer, arena + offset, sizeOf(bindShape(shape, dims))).slice();
  }

  async close(): Promise<void> {
    await this.inTurn(async () => {
      this.failure ??= new EnvironmentError('the backend is closed');
      this.exports.ink_wasm_stop(this.context);
      await Promise.all(this.workers.map((worker) => worker.terminate()));
    });
  }
}

/** Where a loaded plan lies in the module's memory. */
interface Places {
  readonly arena: number;
  readonly program: number;
  readonly slots: number;
  readonly dims: number;
}

/** A plan in the module's memory, with the buffers that have to stay as long as it does. */
class WasmPlan implements LoadedPlan {
  /** Runs that are not over: the plan must not be freed before. */
  private readonly pending = new Set<Promise<RunResult>>();

  constructor(
    private readonly host: Host,
    readonly plan: Plan,
    readonly parameters: readonly WasmBuffer[],
    readonly places: Places,
  ) {}

  async run(args: RunArguments): Promise<RunResult> {
    const result = this.host.inTurn(() => this.host.run(this, args));
    this.pending.add(result);
    try {
      return await result;
    } finally {
      this.pending.delete(result);
    }
  }
}
