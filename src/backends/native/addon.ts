/** The native library as TypeScript sees it: the exports of kernels/addon.c. */

/** A thread pool, owned by the library. */
export interface NativePool {
  readonly brand: 'pool';
}

/** A loaded program, owned by the library. */
export interface NativeProgram {
  readonly brand: 'program';
}

/** Memory of the library's that JavaScript reads and writes piece by piece: it may be larger than any array. */
export interface NativeMemory {
  readonly brand: 'memory';
}

export interface NativeAddon {
  /** What it was built from. */
  readonly sourceHash: string;
  /** Instruction sets that run here, the preferred one first. */
  variants(): string[];
  processor(): string;
  /** Zeroed, page-aligned memory that is taken from the system when it is touched. */
  allocate(byteLength: number): ArrayBuffer;
  /** The bytes of a file, read when touched. Throws when it cannot be opened. */
  map(path: string): ArrayBuffer;
  /** The same without JavaScript's limit on arrays. Throws with the code INK_MEMORY where there is not so much. */
  createMemory(byteLength: number): NativeMemory;
  /** Throw for what is not inside the memory. */
  writeMemory(memory: NativeMemory, byteOffset: number, bytes: Uint8Array): void;
  readMemory(memory: NativeMemory, byteOffset: number, into: Uint8Array): void;
  createPool(threads: number, variant?: string): NativePool;
  poolThreads(pool: NativePool): number;
  poolVariant(pool: NativePool): string;
  closePool(pool: NativePool): void;
  /** Nanoseconds of one barrier. */
  measureBarrier(pool: NativePool, rounds: number): number;
  /** Throws when a word is not as it should be. */
  createProgram(words: Int32Array, slotBytes: Float64Array, dimMax: Int32Array): NativeProgram;
  bind(program: NativeProgram, slot: number, bytes: Uint8Array | NativeMemory): void;
  /** Nanoseconds that the kernels took. */
  run(pool: NativePool, program: NativeProgram, dims: Int32Array): Promise<number>;
}
