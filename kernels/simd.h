/* Vectors as wide as the processor's registers, for the matrix products, where a lane is an output column.
 *
 * INK_W lanes of 32 bits: 16 with AVX-512, 8 with AVX2, 4 elsewhere. Results do not depend on the width, because lanes never meet:
 * a sum runs along k inside one lane. (vec.h is for kernels that sum across lanes and therefore need one width everywhere.)
 *
 * Arithmetic is written with the vector extensions of GCC and Clang. The few operations they lack are the functions below, each with a
 * plain loop for the case that no instruction is named. Compiling with -DINK_EMULATE -DINK_W=16 -DINK_VNNI=1 takes all those loops, and
 * -DINK_AMX=1 the tiles of amx.h as well: so the logic of the widest variants runs on any machine (see test/). */
#ifndef INK_SIMD_H
#define INK_SIMD_H

#include <string.h>
#include "vec.h"

#ifdef INK_EMULATE
#define INK_SIMD_GENERIC 1
#elif defined(__AVX512F__) && defined(__AVX512BW__)
#define INK_SIMD_AVX512 1
#define INK_W 16
#elif defined(__AVX2__) && defined(__FMA__)
#define INK_SIMD_AVX2 1
#define INK_W 8
#elif defined(__aarch64__)
#define INK_SIMD_NEON 1
#define INK_W 4
#elif defined(__SSE2__)
#define INK_SIMD_SSE2 1
#define INK_W 4
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#define INK_SIMD_WASM 1
#define INK_W 4
#else
#define INK_SIMD_GENERIC 1
#define INK_W 4
#endif

#ifdef INK_SIMD_SSE2
#include <emmintrin.h>
#endif

/* Integer dot products of unsigned and signed bytes in one instruction. */
#ifndef INK_VNNI
#if defined(INK_SIMD_AVX512) && defined(__AVX512VNNI__)
#define INK_VNNI 1
#else
#define INK_VNNI 0
#endif
#endif

/* Tiles of bytes for the integer products of many rows (amx.h). */
#ifndef INK_AMX
#if INK_VNNI && defined(INK_SIMD_AVX512) && defined(__AMX_TILE__) && defined(__AMX_INT8__)
#define INK_AMX 1
#else
#define INK_AMX 0
#endif
#endif

/* Full unrolling of a loop whose bounds are known after inlining. */
#if defined(__clang__)
#define INK_UNROLL _Pragma("clang loop unroll(full)")
#else
#define INK_UNROLL _Pragma("GCC unroll 16")
#endif

/* Pins the order of additions: compilers reassociate integer sums, and then hold every summand of a tile at once, far more than there
 * are registers. */
#if defined(__x86_64__)
#define INK_KEEP(v) __asm__("" : "+v"(v))
#elif defined(__aarch64__)
#define INK_KEEP(v) __asm__("" : "+w"(v))
#else
#define INK_KEEP(v) (void)(v)
#endif

typedef float vf __attribute__((vector_size(INK_W * 4)));
typedef int32_t vi __attribute__((vector_size(INK_W * 4)));
typedef uint32_t vu __attribute__((vector_size(INK_W * 4)));
typedef int16_t vh __attribute__((vector_size(INK_W * 4)));
typedef int8_t vb __attribute__((vector_size(INK_W * 4)));
typedef uint8_t vub __attribute__((vector_size(INK_W * 4)));

INK_INLINE vf vf_load(const float *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}
INK_INLINE void vf_store(float *p, vf v) { memcpy(p, &v, sizeof v); }
INK_INLINE vu vu_load(const void *p) {
  vu v;
  memcpy(&v, p, sizeof v);
  return v;
}
INK_INLINE void vu_store(void *p, vu v) { memcpy(p, &v, sizeof v); }

INK_INLINE vf vf_set(float x) {
#if defined(INK_SIMD_AVX512)
  return (vf)_mm512_set1_ps(x);
#elif defined(INK_SIMD_AVX2)
  return (vf)_mm256_set1_ps(x);
#else
  vf v;
  for (int i = 0; i < INK_W; i++) v[i] = x;
  return v;
#endif
}
INK_INLINE vu vu_set(uint32_t x) {
#if defined(INK_SIMD_AVX512)
  return (vu)_mm512_set1_epi32((int)x);
#elif defined(INK_SIMD_AVX2)
  return (vu)_mm256_set1_epi32((int)x);
#else
  vu v;
  for (int i = 0; i < INK_W; i++) v[i] = x;
  return v;
#endif
}
/* The same four bytes in every lane. */
INK_INLINE vu vu_set_bytes(const void *p) {
  uint32_t x;
  memcpy(&x, p, 4);
  return vu_set(x);
}

/* a*b + c: one rounding where the processor has a fused multiply-add, two elsewhere. */
INK_INLINE vf vf_fma(vf a, vf b, vf c) {
#if defined(INK_SIMD_AVX512)
  return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(INK_SIMD_AVX2)
  return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(INK_SIMD_NEON)
  return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#elif defined(__FMA__) || defined(__aarch64__)
  for (int i = 0; i < INK_W; i++) c[i] = ink_fma(a[i], b[i], c[i]);
  return c;
#else
  return a * b + c; /* as ink_fma there: two roundings */
#endif
}

INK_INLINE vf vf_from_int(vi v) { return __builtin_convertvector(v, vf); }
INK_INLINE vf vf_from_uint(vu v) { return __builtin_convertvector((vi)v, vf); } /* of values below 2^31 */

/* Interleave pairs of 32 or 64 bits of the low or high half of every 16 bytes. */
#if defined(INK_SIMD_AVX512)
INK_INLINE vu vu_zip_lo32(vu a, vu b) { return (vu)_mm512_unpacklo_epi32((__m512i)a, (__m512i)b); }
INK_INLINE vu vu_zip_hi32(vu a, vu b) { return (vu)_mm512_unpackhi_epi32((__m512i)a, (__m512i)b); }
INK_INLINE vu vu_zip_lo64(vu a, vu b) { return (vu)_mm512_unpacklo_epi64((__m512i)a, (__m512i)b); }
INK_INLINE vu vu_zip_hi64(vu a, vu b) { return (vu)_mm512_unpackhi_epi64((__m512i)a, (__m512i)b); }
#elif defined(INK_SIMD_AVX2)
INK_INLINE vu vu_zip_lo32(vu a, vu b) { return (vu)_mm256_unpacklo_epi32((__m256i)a, (__m256i)b); }
INK_INLINE vu vu_zip_hi32(vu a, vu b) { return (vu)_mm256_unpackhi_epi32((__m256i)a, (__m256i)b); }
INK_INLINE vu vu_zip_lo64(vu a, vu b) { return (vu)_mm256_unpacklo_epi64((__m256i)a, (__m256i)b); }
INK_INLINE vu vu_zip_hi64(vu a, vu b) { return (vu)_mm256_unpackhi_epi64((__m256i)a, (__m256i)b); }
#elif INK_W == 4
INK_INLINE vu vu_zip_lo32(vu a, vu b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
INK_INLINE vu vu_zip_hi32(vu a, vu b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }
INK_INLINE vu vu_zip_lo64(vu a, vu b) { return __builtin_shufflevector(a, b, 0, 1, 4, 5); }
INK_INLINE vu vu_zip_hi64(vu a, vu b) { return __builtin_shufflevector(a, b, 2, 3, 6, 7); }
#else
INK_INLINE vu vu_zip(vu a, vu b, int from, int group) {
  vu v;
  for (int i = 0; i < INK_W; i++) {
    int within = i % 4, source = i - within + from + within / (2 * group) * group + within % group;
    v[i] = within / group % 2 ? b[source] : a[source];
  }
  return v;
}
INK_INLINE vu vu_zip_lo32(vu a, vu b) { return vu_zip(a, b, 0, 1); }
INK_INLINE vu vu_zip_hi32(vu a, vu b) { return vu_zip(a, b, 2, 1); }
INK_INLINE vu vu_zip_lo64(vu a, vu b) { return vu_zip(a, b, 0, 2); }
INK_INLINE vu vu_zip_hi64(vu a, vu b) { return vu_zip(a, b, 2, 2); }
#endif

/* 16 bytes of INK_W/4 rows that lie `apart` bytes from one another, side by side. */
INK_INLINE vu vu_load_quarters(const uint8_t *p, ptrdiff_t apart) {
#if defined(INK_SIMD_AVX512)
  __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)p));
  v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(p + apart)), 1);
  v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(p + 2 * apart)), 2);
  return (vu)_mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(p + 3 * apart)), 3);
#elif defined(INK_SIMD_AVX2)
  __m256i v = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)p));
  return (vu)_mm256_inserti128_si256(v, _mm_loadu_si128((const __m128i *)(p + apart)), 1);
#elif INK_W == 4
  (void)apart;
  return vu_load(p);
#else
  vu v;
  for (int i = 0; i < INK_W / 4; i++) memcpy((uint8_t *)&v + 16 * i, p + i * apart, 16);
  return v;
#endif
}

/* Four 32-bit words of INK_W rows, transposed: lane r of word[j] is word j of row r, found at p + r*stride. */
INK_INLINE void vu_load_words(const uint8_t *p, ptrdiff_t stride, vu word[4]) {
  vu a = vu_load_quarters(p, 4 * stride), b = vu_load_quarters(p + stride, 4 * stride);
  vu c = vu_load_quarters(p + 2 * stride, 4 * stride), d = vu_load_quarters(p + 3 * stride, 4 * stride);
  vu ab0 = vu_zip_lo32(a, b), ab1 = vu_zip_hi32(a, b), cd0 = vu_zip_lo32(c, d), cd1 = vu_zip_hi32(c, d);
  word[0] = vu_zip_lo64(ab0, cd0);
  word[1] = vu_zip_hi64(ab0, cd0);
  word[2] = vu_zip_lo64(ab1, cd1);
  word[3] = vu_zip_hi64(ab1, cd1);
}

/* One 32-bit word, 16-bit half or byte of each of INK_W rows. */
INK_INLINE vu vu_load_column32(const uint8_t *p, ptrdiff_t stride) {
  uint32_t x[INK_W];
  INK_UNROLL
  for (int i = 0; i < INK_W; i++) memcpy(&x[i], p + i * stride, 4);
#if defined(INK_SIMD_AVX2)
  return (vu)_mm256_setr_epi32((int)x[0], (int)x[1], (int)x[2], (int)x[3], (int)x[4], (int)x[5], (int)x[6], (int)x[7]);
#else
  return vu_load(x);
#endif
}
INK_INLINE vu vu_load_column16(const uint8_t *p, ptrdiff_t stride) {
  vu v;
  INK_UNROLL
  for (int i = 0; i < INK_W; i++) {
    uint16_t x;
    memcpy(&x, p + i * stride, 2);
    v[i] = x;
  }
  return v;
}
INK_INLINE vu vu_load_column8(const uint8_t *p, ptrdiff_t stride) {
  vu v;
  INK_UNROLL
  for (int i = 0; i < INK_W; i++) v[i] = p[i * stride];
  return v;
}

/* table[index] for bytes; every index is below 16. */
INK_INLINE vub vub_lookup(const uint8_t table[16], vub index) {
#if defined(INK_SIMD_AVX512)
  return (vub)_mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)table)), (__m512i)index);
#elif defined(INK_SIMD_AVX2)
  return (vub)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table)), (__m256i)index);
#elif defined(INK_SIMD_NEON)
  return (vub)vqtbl1q_u8(vld1q_u8(table), (uint8x16_t)index);
#elif defined(INK_SIMD_WASM)
  return (vub)wasm_i8x16_swizzle(wasm_v128_load(table), (v128_t)index);
#else
  vub v;
  for (int i = 0; i < 4 * INK_W; i++) v[i] = table[index[i]];
  return v;
#endif
}

/* Byte `which` of each lane in all four bytes of the lane. */
INK_INLINE vu vu_repeat_byte(vu v, int which) {
#if defined(INK_SIMD_AVX512)
  return (vu)_mm512_shuffle_epi8((__m512i)v, _mm512_add_epi32(_mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0), _mm512_set1_epi8((char)which)));
#elif defined(INK_SIMD_AVX2)
  __m256i lanes = _mm256_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c, 0, 0x04040404, 0x08080808, 0x0c0c0c0c);
  return (vu)_mm256_shuffle_epi8((__m256i)v, _mm256_add_epi32(lanes, _mm256_set1_epi8((char)which)));
#else
  v = v >> (8 * which) & 255u;
  v |= v << 8;
  return v | v << 16;
#endif
}

/* Ask for the cache line at p, which may lie outside of any object. */
INK_INLINE void ink_prefetch(const void *p) { __builtin_prefetch(p, 0, 3); }

#endif
