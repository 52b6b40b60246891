/** The native backend: plans run by compiled kernels on threads of their own, off the JavaScript thread. */
import { CapacityError, EnvironmentError, ShapeError } from '../../errors.ts';
import type { Plan } from '../../tensor/plan.ts';
import { bindShape, type DimBindings, sizeOf } from '../../tensor/shape.ts';
import type { Backend, BackendBuffer, HostArray, LoadedPlan, RunArguments, RunResult } from '../backend.ts';
import { bindParameters, checkInputs, outputNames } from '../binding.ts';
import { encodeProgram } from '../program.ts';
import type { NativeAddon, NativeMemory, NativePool, NativeProgram } from './addon.ts';

class NativeBuffer implements BackendBuffer {
  constructor(readonly bytes: Uint8Array) {}

  get byteLength(): number {
    return this.bytes.byteLength;
  }
}

export interface NativeOptions {
  readonly threads: number;
  /** An instruction set among `addon.variants()`; the best one unless given. */
  readonly variant?: string;
}

export function createNativeBackend(addon: NativeAddon, { threads, variant }: NativeOptions): Backend {
  const pool = variant === undefined ? addon.createPool(threads) : addon.createPool(threads, variant);
  const host = new Host(addon, pool);
  return {
    info: { name: 'native', variant: addon.poolVariant(pool), threads: addon.poolThreads(pool) },
    allocate: (byteLength) => new NativeBuffer(host.memory(byteLength)),
    adopt: (bytes) => new NativeBuffer(bytes.byteOffset % 4 === 0 ? bytes : host.copyOf(bytes)),
    write: (buffer, offset, bytes) => host.write(own(buffer).bytes, offset, bytes),
    read: (buffer, offset, length) =>
      host.inTurn(async () => new Uint8Array(own(buffer).bytes.subarray(offset, offset + length))),
    copy(buffer, from, to, length) {
      void host.inTurn(async () => own(buffer).bytes.copyWithin(to, from, from + length));
    },
    load: (plan, parameters) => host.load(plan, bindParameters(plan, parameters).map(own)),
    close: () => host.inTurn(async () => addon.closePool(pool)),
  };
}

function own(buffer: BackendBuffer): NativeBuffer {
  if (!(buffer instanceof NativeBuffer)) throw new ShapeError('native backend', 'the buffer is of another backend');
  return buffer;
}

/** Address space of one piece; it becomes memory where it is touched. */
const SMALLEST_SLAB = 2 ** 20;
const LARGEST_SLAB = 512 * 2 ** 20;
/** Bytes of an array of JavaScript at most (V8, Node 20). */
const LARGEST_ARRAY = 2 ** 32;
const ALIGNMENT = 4096;

/** The library, its pool, and the order of everything that touches memory. */
class Host {
  private turn: Promise<unknown> = Promise.resolve();
  private slab = new Uint8Array(0);
  private used = 0;
  private waiting = 0;

  constructor(
    readonly addon: NativeAddon,
    readonly pool: NativePool,
  ) {}

  /** Do something after all that was asked before it. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    this.waiting++;
    const result = this.turn.then(work).finally(() => {
      this.waiting--;
    });
    this.turn = result.catch(() => {});
    return result;
  }

  /** At once where nothing runs, else in turn, with the bytes as they are now. */
  write(memory: Uint8Array, offset: number, bytes: Uint8Array): void {
    if (this.waiting === 0) memory.set(bytes, offset);
    else {
      const copy = bytes.slice();
      void this.inTurn(async () => memory.set(copy, offset));
    }
  }

  /**
   * Zeroed memory. Buffers are cut from a few large pieces of address space: the garbage collector is told of each piece of outside memory,
   * touched or not, and dozens of them make it collect again and again.
   */
  memory(byteLength: number): Uint8Array {
    if (byteLength > LARGEST_SLAB / 4) return this.allocate(byteLength);
    if (this.used + byteLength > this.slab.byteLength) {
      const grown = Math.max(2 * this.slab.byteLength, 4 * byteLength, SMALLEST_SLAB);
      this.slab = new Uint8Array(this.addon.allocate(Math.min(grown, LARGEST_SLAB)));
      this.used = 0;
    }
    const bytes = this.slab.subarray(this.used, this.used + byteLength);
    this.used += Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT;
    return bytes;
  }

  /** Memory of its own. @throws CapacityError for more than an array of JavaScript holds. */
  private allocate(byteLength: number): Uint8Array {
    if (byteLength <= LARGEST_ARRAY) return new Uint8Array(this.addon.allocate(byteLength));
    const [needed, most] = [byteLength, LARGEST_ARRAY].map((bytes) => Number((bytes / 1e9).toPrecision(3)));
    throw new CapacityError(
      'memory in one piece',
      needed,
      most,
      'GB',
      'Fewer rows in one run need less: a smaller batch',
    );
  }

  copyOf(bytes: Uint8Array): Uint8Array {
    const copy = this.allocate(bytes.byteLength);
    copy.set(bytes);
    return copy;
  }

  /** @throws EnvironmentError where the system has not the memory. */
  private arenaOf(plan: Plan): Arena {
    try {
      return new Arena(this.addon, this.addon.createMemory(plan.arenaBytes));
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'INK_MEMORY') throw error;
      const needed = Number((plan.arenaBytes / 1e9).toPrecision(3));
      throw new EnvironmentError(
        `the system does not give the ${needed} GB of memory that one plan needs. Fewer rows in one run need less: a smaller batch`,
      );
    }
  }

  load(plan: Plan, parameters: readonly NativeBuffer[]): LoadedPlan {
    const arena = this.arenaOf(plan);
    const slots = [arena.memory, ...parameters.map(({ bytes }) => bytes)];
    const slotBytes = Float64Array.of(plan.arenaBytes, ...parameters.map(({ byteLength }) => byteLength));
    const dimMax = Int32Array.from(plan.dims, ({ max }) => max);
    const program = this.addon.createProgram(encodeProgram(plan), slotBytes, dimMax);
    slots.forEach((memory, slot) => {
      this.addon.bind(program, slot, memory);
    });
    for (const { tensor, data } of plan.constants) arena.write(plan.tensors[tensor].offset, data);
    return new NativePlan(this, plan, program, arena);
  }
}

/** The memory of a plan's own tensors. What JavaScript wants of it is copied in and out. */
class Arena {
  constructor(
    private readonly addon: NativeAddon,
    readonly memory: NativeMemory,
  ) {}

  write(offset: number, { buffer, byteOffset, byteLength }: HostArray): void {
    this.addon.writeMemory(this.memory, offset, new Uint8Array(buffer, byteOffset, byteLength));
  }

  read(offset: number, into: HostArray): void {
    this.addon.readMemory(this.memory, offset, new Uint8Array(into.buffer, into.byteOffset, into.byteLength));
  }
}

class NativePlan implements LoadedPlan {
  private nanoseconds = 0;

  constructor(
    private readonly host: Host,
    readonly plan: Plan,
    private readonly program: NativeProgram,
    private readonly arena: Arena,
  ) {}

  get kernelSeconds(): number {
    return this.nanoseconds / 1e9;
  }

  run(args: RunArguments): Promise<RunResult> {
    return this.host.inTurn(() => this.start(args));
  }

  private async start({ dims = {}, inputs = {}, outputs }: RunArguments): Promise<RunResult> {
    const { plan, program, arena } = this;
    const { addon, pool } = this.host;
    checkInputs(plan, inputs, dims);
    const names = outputNames(plan, outputs);
    for (const [name, index] of Object.entries(plan.inputs)) arena.write(plan.tensors[index].offset, inputs[name]);
    const values = Int32Array.from(plan.dims, ({ name }) => dims[name]);
    this.nanoseconds += await addon.run(pool, program, values);
    return Object.fromEntries(names.map((name) => [name, this.output(name, dims)]));
  }

  private output(name: string, dims: DimBindings): Float32Array | Int32Array {
    const { dtype, shape, offset } = this.plan.tensors[this.plan.outputs[name]];
    const Kind = dtype === 'f32' ? Float32Array : Int32Array;
    const values = new Kind(sizeOf(bindShape(shape, dims)));
    this.arena.read(offset, values);
    return values;
  }
}
