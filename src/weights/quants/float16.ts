/**
 * The small floating-point formats: IEEE binary16, bfloat16 and the two 8-bit formats (Micikevicius et al., "FP8
 * Formats for Deep Learning", 2022). Conversions from float32 round to nearest, ties to even, and keep NaN a NaN.
 */

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** The float32 that the binary16 pattern `half` means. */
export function f16ToF32(half: number): number {
  return f16Values()[half];
}

let f16Table: Float32Array | undefined;

/** All 65,536 binary16 values, by pattern: block decoders look scales up here. */
export function f16Values(): Float32Array {
  if (f16Table) return f16Table;
  const bits = new Uint32Array(0x10000);
  const table = new Float32Array(bits.buffer);
  for (let half = 0; half < 0x8000; half++) {
    const exponent = half >> 10;
    const fraction = half & 0x3ff;
    if (exponent === 0) table[half] = fraction * 2 ** -24;
    else if (exponent === 31) bits[half] = 0x7f800000 | (fraction << 13);
    else bits[half] = ((exponent + 112) << 23) | (fraction << 13);
    bits[half + 0x8000] = bits[half] | 0x80000000;
  }
  f16Table = table;
  return table;
}

/** The binary16 pattern nearest to the float32 `value`; beyond 65,520 it is infinity. */
export function f32ToF16(value: number): number {
  scratch[0] = value;
  const bits = scratchBits[0];
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x7f800000) return sign | 0x7c00 | (magnitude > 0x7f800000 ? 0x200 | ((bits >>> 13) & 0x1ff) : 0);
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    const lifted = magnitude - 0x38000000;
    return sign | ((lifted + 0xfff + ((lifted >>> 13) & 1)) >>> 13);
  }
  // Subnormal halves count in steps of 2^-24. Adding and taking away 0.5 makes the hardware round float32 at just
  // that step, ties to even, because the spacing of float32 in [0.5, 1) is 2^-24.
  const size = sign ? -scratch[0] : scratch[0];
  return sign | ((Math.fround(size + 0.5) - 0.5) * 2 ** 24);
}

/** The bfloat16 pattern nearest to the float32 `value`. */
export function f32ToBf16(value: number): number {
  scratch[0] = value;
  const bits = scratchBits[0];
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) / 0x10000) & 0xffff;
}

function tableOf8(exponentBits: number, bias: number, special: (pattern: number) => number | undefined): Float32Array {
  const table = new Float32Array(256);
  const fractionBits = 7 - exponentBits;
  for (let pattern = 0; pattern < 256; pattern++) {
    const exponent = (pattern & 0x7f) >> fractionBits;
    const fraction = (pattern & ((1 << fractionBits) - 1)) / (1 << fractionBits);
    const size = exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias);
    table[pattern] = (pattern & 0x80 ? -1 : 1) * (special(pattern & 0x7f) ?? size);
  }
  return table;
}

/** Values of E4M3 (no infinities, NaN at 0x7f), by pattern. */
export function f8E4m3Values(): Float32Array {
  return tableOf8(4, 7, (pattern) => (pattern === 0x7f ? Number.NaN : undefined));
}

/** Values of E5M2 (like binary16), by pattern. */
export function f8E5m2Values(): Float32Array {
  return tableOf8(5, 15, (pattern) =>
    pattern === 0x7c ? Number.POSITIVE_INFINITY : pattern > 0x7c ? Number.NaN : undefined,
  );
}
