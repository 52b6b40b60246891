/** Handing out the memory of the module: zeroed blocks at multiples of 64 bytes, first fit, neighbours joined when freed. */
import { CapacityError } from '../../errors.ts';
import { MAX_PAGES, PAGE_BYTES } from './module.ts';

const ALIGNMENT = 64;

interface Block {
  at: number;
  bytes: number;
}

export class Heap {
  /** Free blocks, by address. */
  private readonly free: Block[] = [];
  private readonly sizes = new Map<number, number>();
  /** Everything from here on was never used, so it is zero. */
  private fresh: number;

  constructor(
    private readonly memory: WebAssembly.Memory,
    base: number,
  ) {
    this.fresh = roundUp(base);
  }

  /** @throws CapacityError beyond the 4 GiB that a module can address, or where the host gives no more. */
  allocate(byteLength: number): number {
    const bytes = Math.max(ALIGNMENT, roundUp(byteLength));
    const index = this.free.findIndex((block) => block.bytes >= bytes);
    const at = index < 0 ? this.extend(bytes) : this.take(index, bytes);
    this.sizes.set(at, bytes);
    return at;
  }

  release(at: number): void {
    const bytes = this.sizes.get(at);
    if (bytes === undefined) return;
    this.sizes.delete(at);
    let index = this.free.findIndex((block) => block.at > at);
    if (index < 0) index = this.free.length;
    this.free.splice(index, 0, { at, bytes });
    this.join(index);
    if (index > 0) this.join(index - 1);
  }

  private join(index: number): void {
    const [block, next] = [this.free[index], this.free[index + 1]];
    if (!next || block.at + block.bytes !== next.at) return;
    block.bytes += next.bytes;
    this.free.splice(index + 1, 1);
  }

  private take(index: number, bytes: number): number {
    const block = this.free[index];
    const at = block.at;
    block.at += bytes;
    block.bytes -= bytes;
    if (block.bytes === 0) this.free.splice(index, 1);
    new Uint8Array(this.memory.buffer, at, bytes).fill(0);
    return at;
  }

  private extend(bytes: number): number {
    const at = this.fresh;
    const end = at + bytes;
    const missing = Math.ceil((end - this.memory.buffer.byteLength) / PAGE_BYTES);
    const limit = MAX_PAGES * PAGE_BYTES;
    if (end > limit) throw full(bytes, limit - at);
    if (missing > 0) {
      try {
        this.memory.grow(missing);
      } catch {
        throw full(bytes, this.memory.buffer.byteLength - at);
      }
    }
    this.fresh = end;
    return at;
  }
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function full(bytes: number, free: number): CapacityError {
  return new CapacityError('WebAssembly memory', bytes, free, 'bytes', 'A module addresses 4 GiB at most.');
}
