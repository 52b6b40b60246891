/** One seeded stream of random numbers, and what mutations of every format need. */

/** mulberry32: a small stream of 32-bit random numbers, repeatable from its seed. */
export function randomStream(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
}

/** A number from 0 up to but not including `n`. */
export const below = (random, n) => (n > 0 ? random() % n : 0);
export const pick = (random, list) => list[below(random, list.length)];

/** Numbers that break arithmetic: edges of integer types, powers of two, the file's own size. */
export const edges = (size) => [
  0,
  1,
  2,
  7,
  8,
  31,
  32,
  127,
  255,
  256,
  0x7fff,
  0xffff,
  0x7fffffff,
  0x80000000,
  0xffffffff,
  size - 1,
  size,
  size + 1,
  size * 2,
];

export function concat(...parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** `value` as `size` little-endian bytes. */
export function bytesOf(size, value) {
  const out = new Uint8Array(size);
  for (let i = 0, rest = BigInt.asUintN(64, BigInt(value)); i < size; i++, rest >>= 8n) out[i] = Number(rest & 255n);
  return out;
}
