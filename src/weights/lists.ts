/**
 * Long lists of a file's metadata, kept as they lie in the file: a vocabulary is a hundred thousand texts, and as JavaScript values they cost
 * more time than all else that opening a model takes. What needs values asks for them; what builds tables reads the bytes.
 */
import { FileFormatError } from '../errors.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A list of texts in UTF-8: text `i` is `bytes[starts[i], ends[i])`. */
export class TextList {
  constructor(
    /** Of the file, and the place of the list in it: used in messages. */
    private readonly name: string,
    private readonly where: string,
    readonly bytes: Uint8Array,
    readonly starts: Uint32Array,
    readonly ends: Uint32Array,
  ) {}

  get length(): number {
    return this.starts.length;
  }

  /** @throws FileFormatError when the bytes are not UTF-8. */
  at(i: number): string {
    const { bytes, starts, ends } = this;
    const [start, end] = [starts[i], ends[i]];
    let k = start;
    while (k < end && bytes[k] < 128) k++;
    // Most are short and ASCII: calling the decoder for each would take most of the time.
    if (k === end && end - start <= 24)
      return String.fromCharCode.apply(null, bytes.subarray(start, end) as unknown as number[]);
    try {
      return utf8.decode(bytes.subarray(start, end));
    } catch {
      throw new FileFormatError(this.name, this.where, `the ${end - start} bytes of element ${i} are not UTF-8`);
    }
  }

  toArray(): string[] {
    return Array.from({ length: this.length }, (_, i) => this.at(i));
  }
}

export type NumberList =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array;

/** A map some of whose values are made when they are first asked for. */
export class LazyMap<K, V> extends Map<K, V> {
  private readonly makers = new Map<K, () => V>();

  /** Put a value that `make` will make, at most once unless it throws. */
  defer(key: K, make: () => V): void {
    super.set(key, undefined as V);
    this.makers.set(key, make);
  }

  override get(key: K): V | undefined {
    const make = this.makers.get(key);
    if (make) {
      super.set(key, make());
      this.makers.delete(key);
    }
    return super.get(key);
  }

  override forEach(each: (value: V, key: K, map: Map<K, V>) => void): void {
    for (const [key, value] of this) each(value, key, this);
  }

  override *entries(): MapIterator<[K, V]> {
    for (const key of this.keys()) yield [key, this.get(key) as V];
  }

  override *values(): MapIterator<V> {
    for (const key of this.keys()) yield this.get(key) as V;
  }

  override [Symbol.iterator](): MapIterator<[K, V]> {
    return this.entries();
  }
}
