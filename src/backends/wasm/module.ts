/** The WebAssembly module as TypeScript sees it: the exports of kernels/wasm/host.c, and its memory. */
import { EnvironmentError, FileFormatError } from '../../errors.ts';

/** Addresses are numbers of bytes from the start of the memory. */
export interface WasmExports {
  readonly __stack_pointer: WebAssembly.Global;
  /** The first address that is not the module's own. */
  readonly __heap_base: WebAssembly.Global;
  ink_wasm_context_bytes(): number;
  ink_wasm_thread_bytes(threads: number): number;
  ink_wasm_init(context: number, threads: number, memory: number): void;
  ink_wasm_program_bytes(words: number, count: number): number;
  ink_wasm_load(
    context: number,
    program: number,
    words: number,
    count: number,
    slotBytes: number,
    dimMax: number,
  ): number;
  /** The address of a zero-ended text, or 0. */
  ink_wasm_error(context: number): number;
  ink_wasm_error_step(context: number): number;
  ink_wasm_error_tensor(context: number): number;
  ink_wasm_run(context: number, program: number, slots: number, dims: number): number;
  ink_wasm_post(context: number, program: number, slots: number, dims: number): void;
  ink_wasm_stop(context: number): void;
}

export const PAGE_BYTES = 65536;
export const MAX_PAGES = 65536;
const INITIAL_PAGES = 32;
/** 128 MiB. */
const LEAST_PAGES = 2048;

/** Whether threads can share memory here: always in Node, in browsers on pages that are cross-origin isolated. */
export function canShareMemory(): boolean {
  return typeof SharedArrayBuffer !== 'undefined';
}

/**
 * Memory that grows to 4 GiB, or to as much as the host promises: a shared one cannot move, so its addresses are taken at once, and
 * browsers of telephones have no 4 GiB of them.
 * @throws EnvironmentError where not even `LEAST_PAGES` are to be had.
 */
export function createMemory(shared: boolean): WebAssembly.Memory {
  for (let maximum = MAX_PAGES; ; maximum /= 2) {
    try {
      return new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum, shared });
    } catch (error) {
      if (maximum <= LEAST_PAGES) throw new EnvironmentError(`no WebAssembly memory: ${(error as Error).message}`);
    }
  }
}

export function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  report: (refused: number) => void,
): WasmExports {
  const instance = new WebAssembly.Instance(module, { env: { memory, ink_report: report } });
  return instance.exports as unknown as WasmExports;
}

/**
 * The same module importing memory that is not shared, for pages that may not share any: one bit of the memory import says which. Atomic
 * instructions work on either, as long as no thread waits.
 *
 * @throws FileFormatError where the bytes are no such module.
 */
export function withUnsharedMemory(bytes: Uint8Array): Uint8Array {
  const reader = new Reader(bytes, 8);
  while (reader.at < bytes.length) {
    const section = reader.byte();
    const end = reader.number() + reader.at;
    if (section !== 2) {
      reader.at = end;
      continue;
    }
    for (let imports = reader.number(); imports > 0; imports--) {
      reader.skip(reader.number()); // module
      reader.skip(reader.number()); // name
      const kind = reader.byte();
      if (kind === 0) {
        reader.number(); // type of a function
      } else if (kind === 2) {
        const copy = bytes.slice();
        copy[reader.at] &= ~2;
        return copy;
      } else {
        break;
      }
    }
    break;
  }
  throw new FileFormatError('kernels.wasm', 'imports', 'the module imports no memory');
}

/** Reads the little of the binary format that is needed here. Past the end everything is zero. */
class Reader {
  constructor(
    private readonly bytes: Uint8Array,
    public at: number,
  ) {}

  byte(): number {
    return this.bytes[this.at++] ?? 0;
  }

  /** An unsigned LEB128 number. */
  number(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) break;
    }
    return value;
  }

  skip(count: number): void {
    this.at += count;
  }
}
