/**
 * Tokens on disk. A row of tokens is a set of files in one folder: `<name>-00000.bin` … with the tokens (uint16 where
 * the vocabulary has at most 65,536 tokens, else uint32), `<name>.idx` with the position of each document's first token
 * and `<name>.marks` with triples (position, bytes and characters of the text before it), both float64. All numbers are
 * little endian.
 */
import { createHash, type Hash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync, type Stats, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { FileFormatError } from '../errors.ts';
import { MarkWriter, type TokenisedText } from '../training/data/corpus.ts';
import { checkTokens, type TokenSource } from '../training/data/token_source.ts';
import type { TokenPiece } from '../training/data/tokenise.ts';
import { hashFile } from './checksum.ts';

export type TokenDtype = 'uint16' | 'uint32';

/** A file of a row of tokens. */
export interface ShardFile {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** What the index of a folder says of a row of tokens. */
export interface ShardSet {
  readonly tokens: number;
  readonly documents: number;
  readonly bytes: number;
  readonly characters: number;
  /** How many are the tokenizer's unknown token. */
  readonly unknown: number;
  /** In order; all but the last have the same size. */
  readonly shards: readonly ShardFile[];
  readonly idx: ShardFile;
  readonly marks: ShardFile;
}

/** 128 MiB of uint16. */
const SHARD_TOKENS = 1 << 26;

/** Writes a row of tokens, piece by piece. */
export class ShardWriter {
  private readonly shards: ShardFile[] = [];
  private readonly shardTokens: number;
  private readonly starts: ArrayFile<Float64Array>;
  private readonly marks = new MarkWriter();
  private shard: ArrayFile<Uint16Array | Uint32Array> | undefined;
  private tokens = 0;
  private documents = 0;
  private bytes = 0;
  private characters = 0;
  private unknown = 0;

  constructor(
    private readonly folder: string,
    private readonly name: string,
    private readonly dtype: TokenDtype,
    shardTokens?: number,
  ) {
    this.shardTokens = shardTokens ?? SHARD_TOKENS;
    this.starts = new ArrayFile(folder, `${name}.idx`, new Float64Array(1 << 13));
  }

  push({ ids, begins, bytes, characters, unknown }: TokenPiece): void {
    this.unknown += unknown;
    this.marks.before(this.tokens, this.bytes, this.characters);
    if (begins) {
      this.starts.push([this.tokens]);
      this.documents++;
    }
    for (let at = 0; at < ids.length; ) {
      const room = this.shardTokens - (this.tokens % this.shardTokens);
      const some = ids.subarray(at, at + room);
      this.shard ??= this.nextShard();
      this.shard.push(some);
      at += some.length;
      this.tokens += some.length;
      if (some.length === room) this.endShard();
    }
    this.bytes += bytes;
    this.characters += characters;
  }

  finish(): ShardSet {
    this.endShard();
    const idx = this.starts.finish();
    const marks = new ArrayFile(this.folder, `${this.name}.marks`, new Float64Array(1 << 10));
    marks.push(this.marks.marks);
    const { tokens, documents, bytes, characters, unknown, shards } = this;
    return { tokens, documents, bytes, characters, unknown, shards, idx, marks: marks.finish() };
  }

  /** Closes what is open, when the work ends before `finish`. */
  abandon(): void {
    this.shard?.close();
    this.starts.close();
  }

  private nextShard(): ArrayFile<Uint16Array | Uint32Array> {
    const buffer = this.dtype === 'uint16' ? new Uint16Array(1 << 18) : new Uint32Array(1 << 18);
    return new ArrayFile(this.folder, `${this.name}-${String(this.shards.length).padStart(5, '0')}.bin`, buffer);
  }

  private endShard(): void {
    if (this.shard !== undefined) this.shards.push(this.shard.finish());
    this.shard = undefined;
  }
}

/** A file of numbers, written through a buffer and hashed. */
class ArrayFile<A extends Uint16Array | Uint32Array | Float64Array> {
  private descriptor: number;
  private readonly hash: Hash = createHash('sha256');
  private filled = 0;
  private bytes = 0;

  constructor(
    folder: string,
    private readonly file: string,
    private readonly buffer: A,
  ) {
    this.descriptor = openSync(join(folder, file), 'w');
  }

  push(numbers: ArrayLike<number>): void {
    const { buffer } = this;
    for (let at = 0; at < numbers.length; ) {
      const count = Math.min(numbers.length - at, buffer.length - this.filled);
      for (let i = 0; i < count; i++) buffer[this.filled + i] = numbers[at + i];
      this.filled += count;
      at += count;
      if (this.filled === buffer.length) this.flush();
    }
  }

  finish(): ShardFile {
    this.flush();
    this.close();
    return { file: this.file, bytes: this.bytes, sha256: this.hash.digest('hex') };
  }

  close(): void {
    if (this.descriptor >= 0) closeSync(this.descriptor);
    this.descriptor = -1;
  }

  private flush(): void {
    const bytes = Buffer.from(this.buffer.buffer, 0, this.filled * this.buffer.BYTES_PER_ELEMENT);
    this.hash.update(bytes);
    for (let done = 0; done < bytes.length; ) done += writeSync(this.descriptor, bytes, done);
    this.bytes += bytes.length;
    this.filled = 0;
  }
}

/** So many files of a row of tokens are open at once. */
const OPEN_FILES = 64;
/** The places of documents are kept in memory up to so many bytes of them, and read one by one beyond. */
const STARTS_IN_MEMORY = 16 << 20;

/** Tokens of shards, read by position; the operating system's page cache is what keeps them in memory. */
export class ShardTokens implements TokenSource {
  readonly length: number;
  readonly documents: number;
  private readonly width: number;
  private readonly perShard: number;
  private readonly open = new Map<string, number>();
  private scratch = Buffer.alloc(0);
  private readonly known = new Map<string, string>();
  private starts: Float64Array | undefined;

  constructor(
    private readonly folder: string,
    private readonly set: ShardSet,
    dtype: TokenDtype,
  ) {
    this.length = set.tokens;
    this.documents = set.documents;
    this.width = dtype === 'uint16' ? 2 : 4;
    this.perShard = set.shards.length > 0 ? set.shards[0].bytes / this.width : 1;
    for (const { file, bytes } of [...set.shards, set.idx, set.marks]) {
      const facts = statSync(join(folder, file));
      if (facts.size !== bytes) throw this.replaced(file);
      this.known.set(file, identity(facts));
    }
  }

  read(position: number, into: Int32Array): void {
    checkTokens(this, position, into.length);
    for (let done = 0; done < into.length; ) {
      const shard = Math.floor((position + done) / this.perShard);
      const from = (position + done) % this.perShard;
      const count = Math.min(into.length - done, this.perShard - from);
      const bytes = this.bytes(this.set.shards[shard].file, from * this.width, count * this.width);
      const tokens = this.width === 2 ? new Uint16Array(bytes, 0, count) : new Int32Array(bytes, 0, count);
      into.set(tokens, done);
      done += count;
    }
  }

  documentStart(index: number): number {
    const { file, bytes } = this.set.idx;
    if (bytes > STARTS_IN_MEMORY) return new Float64Array(this.bytes(file, index * 8, 8), 0, 1)[0];
    this.starts ??= new Float64Array(this.bytes(file, 0, bytes).slice(0, bytes));
    return this.starts[index];
  }

  /** All marks: they are few. */
  marks(): Float64Array {
    const { file, bytes } = this.set.marks;
    return new Float64Array(this.bytes(file, 0, bytes).slice(0, bytes));
  }

  close(): void {
    for (const descriptor of this.open.values()) closeSync(descriptor);
    this.open.clear();
  }

  /** A part of a file, at the beginning of an array that the next call uses again. */
  private bytes(file: string, offset: number, length: number): ArrayBuffer {
    if (this.scratch.length < length) this.scratch = Buffer.from(new ArrayBuffer(Math.max(length, 1 << 14)));
    const descriptor = this.descriptor(file);
    for (let done = 0; done < length; ) {
      const read = readSync(descriptor, this.scratch, done, length - done, offset + done);
      if (read === 0) {
        const hint = 'Start again: damaged shards are made anew';
        throw new FileFormatError(join(this.folder, file), `offset ${offset + done}`, 'the file became shorter', hint);
      }
      done += read;
    }
    return this.scratch.buffer as ArrayBuffer;
  }

  private descriptor(file: string): number {
    const known = this.open.get(file);
    if (known !== undefined) {
      this.open.delete(file);
      this.open.set(file, known);
      return known;
    }
    if (this.open.size >= OPEN_FILES) {
      const [oldest, descriptor] = this.open.entries().next().value!;
      closeSync(descriptor);
      this.open.delete(oldest);
    }
    const descriptor = openSync(join(this.folder, file), 'r');
    this.open.set(file, descriptor);
    if (identity(fstatSync(descriptor)) !== this.known.get(file)) throw this.replaced(file);
    return descriptor;
  }

  private replaced(file: string): FileFormatError {
    const hint = 'Give each run whose data differs a cache folder of its own, and start again';
    return new FileFormatError(join(this.folder, file), '', 'another process made it anew', hint);
  }
}

/** Tells a file from another one that has its name. */
const identity = ({ ino, size, mtimeMs }: Stats) => `${ino} ${size} ${mtimeMs}`;

/** A row of tokens on disk with what its text was. */
export function shardText(folder: string, set: ShardSet, dtype: TokenDtype): TokenisedText & { source: ShardTokens } {
  const source = new ShardTokens(folder, set, dtype);
  const { bytes, characters, unknown } = set;
  return { source, bytes, characters, unknown, marks: source.marks() };
}

/**
 * What is wrong with the files of a row of tokens; undefined when they are whole.
 * @param content false looks at sizes alone.
 */
export async function damageOf(
  folder: string,
  set: ShardSet,
  content: boolean,
  options: { signal?: AbortSignal; onBytes?: (count: number) => void } = {},
): Promise<string | undefined> {
  for (const { file, bytes, sha256 } of [...set.shards, set.idx, set.marks]) {
    const path = join(folder, file);
    const size = sizeOf(path);
    if (size !== bytes) return `${path} ${size === undefined ? 'is not there' : `has ${size} bytes, not ${bytes}`}`;
    if (!content) continue;
    const hash = await hashFile(createHash('sha256'), path, options.signal, options.onBytes);
    if (hash.digest('hex') !== sha256) return `the content of ${path} has changed (SHA-256)`;
  }
  return undefined;
}

function sizeOf(path: string): number | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch {
    return undefined;
  }
  const { size } = fstatSync(descriptor);
  closeSync(descriptor);
  return size;
}
