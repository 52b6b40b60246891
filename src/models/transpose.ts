/** Matrices on their way between files and the decoder's layout. */

/** Swaps the last two dimensions of row-major elements of `shape` (two dimensions or more), as bit patterns. */
export function transposeLast<T extends Uint16Array | Uint32Array>(from: T, shape: readonly number[]): T {
  const [rows, columns] = shape.slice(-2);
  const to = new (from.constructor as new (length: number) => T)(from.length);
  const size = rows * columns;
  for (let base = 0; base < from.length; base += size) {
    // In tiles, so that neither side strides through memory.
    for (let r0 = 0; r0 < rows; r0 += 32) {
      for (let c0 = 0; c0 < columns; c0 += 32) {
        for (let r = r0; r < Math.min(r0 + 32, rows); r++) {
          for (let c = c0; c < Math.min(c0 + 32, columns); c++) to[base + c * rows + r] = from[base + r * columns + c];
        }
      }
    }
  }
  return to;
}
