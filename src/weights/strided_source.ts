/** A tensor whose elements do not lie in row-major order, as if they did: they are gathered when they are asked for. */

import { type ByteSource, checkRange } from './source.ts';

/** The elements of a strided view, in row-major order. Each `bytes` gathers the whole tensor, which is then let go. */
export class StridedSource implements ByteSource {
  readonly name: string;
  readonly size: number;

  /**
   * @param offset of the first element, in bytes.
   * @param elementBytes of one element.
   * @param strides in elements, not negative; the caller has checked that shape and strides stay inside `base`.
   */
  constructor(
    private readonly base: ByteSource,
    private readonly offset: number,
    private readonly elementBytes: number,
    private readonly shape: readonly number[],
    private readonly strides: readonly number[],
  ) {
    this.name = base.name;
    this.size = shape.reduce((product, dimension) => product * dimension, elementBytes);
  }

  bytes(offset: number, length: number): Uint8Array {
    checkRange(this, offset, length);
    return length === 0 ? new Uint8Array(0) : this.gather().subarray(offset, offset + length);
  }

  private gather(): Uint8Array {
    const { elementBytes, shape, strides } = this;
    let span = 1;
    for (const [i, dimension] of shape.entries()) span += (dimension - 1) * strides[i];
    const from = this.base.bytes(this.offset, span * elementBytes);
    const to = new Uint8Array(this.size);
    const index: number[] = shape.map(() => 0);
    let element = 0;
    for (let at = 0; at < to.length; at += elementBytes) {
      const start = element * elementBytes;
      for (let i = 0; i < elementBytes; i++) to[at + i] = from[start + i];
      for (let d = shape.length - 1; d >= 0; d--) {
        element += strides[d];
        if (++index[d] < shape[d]) break;
        element -= strides[d] * shape[d];
        index[d] = 0;
      }
    }
    return to;
  }
}
