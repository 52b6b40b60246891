/** A growing list of 32-bit integers: ids and offsets are collected here without one object a token. */
export class IntList {
  data: Int32Array;
  length = 0;

  constructor(capacity = 64) {
    this.data = new Int32Array(capacity);
  }

  push(value: number): void {
    if (this.length === this.data.length) this.reserve(this.length + 1);
    this.data[this.length++] = value;
  }

  pushAll(values: Int32Array): void {
    if (this.length + values.length > this.data.length) this.reserve(this.length + values.length);
    this.data.set(values, this.length);
    this.length += values.length;
  }

  /** A copy of the content, exactly as long as the list. */
  toArray(from = 0): Int32Array {
    return this.data.slice(from, this.length);
  }

  private reserve(wanted: number): void {
    const grown = new Int32Array(Math.max(wanted, this.data.length * 2));
    grown.set(this.data.subarray(0, this.length));
    this.data = grown;
  }
}
