/* float16 and bfloat16, one at a time and INK_W at a time.
 *
 * Every function gives the same bits on every processor: narrowing rounds to nearest even, denormals are kept, a NaN keeps its sign and
 * upper payload and becomes quiet (what F16C and ARM instructions do). */
#ifndef INK_CONVERT_H
#define INK_CONVERT_H

#include "simd.h"

INK_INLINE uint32_t ink_float_bits(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  return u;
}
INK_INLINE float ink_bits_float(uint32_t u) {
  float x;
  memcpy(&x, &u, 4);
  return x;
}

INK_INLINE float ink_from_f16(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = h & 0x7fffu;
  if (rest >= 0x7c00u) return ink_bits_float(sign | 0x7f800000u | (rest & 0x3ffu) << 13 | (rest > 0x7c00u ? 0x400000u : 0));
  /* the exponent's bias by a multiplication, which is exact and makes denormals normal */
  return ink_bits_float(sign | ink_float_bits(ink_bits_float(rest << 13) * 0x1p112f));
}
INK_INLINE uint16_t ink_to_f16(float x) {
  uint32_t u = ink_float_bits(x), sign = u >> 16 & 0x8000u, rest = u & 0x7fffffffu;
  if (rest > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (rest >> 13 & 0x3ffu));
  if (rest >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and more round to infinity */
  if (rest < 0x38800000u) {                                   /* a denormal: adding 0.5 rounds at bit 2^-24 */
    return (uint16_t)(sign | (ink_float_bits(ink_bits_float(rest) + 0.5f) - 0x3f000000u));
  }
  return (uint16_t)(sign | ((rest - 0x38000000u + 0xfffu + (rest >> 13 & 1)) >> 13));
}

INK_INLINE float ink_from_bf16(uint16_t h) { return ink_bits_float((uint32_t)h << 16); }
INK_INLINE uint16_t ink_to_bf16(float x) {
  uint32_t u = ink_float_bits(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u);
  return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

/* The float16 in the low 16 bits of each lane; the high bits are zero. */
INK_INLINE vf vf_from_f16(vu h) {
#if defined(INK_SIMD_AVX512)
  return (vf)_mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)h));
#elif defined(INK_SIMD_AVX2)
  __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32((__m256i)h, (__m256i)h), 0x08);
  return (vf)_mm256_cvtph_ps(_mm256_castsi256_si128(packed));
#else
  vu sign = (h & 0x8000u) << 16, rest = h & 0x7fffu;
  vu finite = (vu)((vf)(rest << 13) * 0x1p112f);
  vu special = (rest << 13) | 0x7f800000u | ((vu)(rest > 0x7c00u) & 0x400000u);
  vu large = (vu)(rest >= 0x7c00u);
  return (vf)(sign | (large & special) | (~large & finite));
#endif
}
/* The float16 in the low and in the high 16 bits of each lane. */
INK_INLINE void vf_from_f16_pair(vu pair, vf *low, vf *high) {
#if defined(INK_SIMD_AVX2)
  __m256i packed = _mm256_packus_epi32((__m256i)(pair & 0xffffu), (__m256i)(pair >> 16));
  packed = _mm256_permute4x64_epi64(packed, 0xd8);
  *low = (vf)_mm256_cvtph_ps(_mm256_castsi256_si128(packed));
  *high = (vf)_mm256_cvtph_ps(_mm256_extracti128_si256(packed, 1));
#else
  *low = vf_from_f16(pair & 0xffffu);
  *high = vf_from_f16(pair >> 16);
#endif
}

/* Whole rows. */
INK_INLINE void ink_widen_f16(const uint16_t *x, float *y, int64_t n) {
  int64_t i = 0;
#if defined(INK_SIMD_AVX2) || defined(INK_SIMD_AVX512)
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i))));
#endif
  for (; i < n; i++) y[i] = ink_from_f16(x[i]);
}
INK_INLINE void ink_narrow_f16(const float *x, uint16_t *y, int64_t n) {
  int64_t i = 0;
#if defined(INK_SIMD_AVX2) || defined(INK_SIMD_AVX512)
  for (; i + 8 <= n; i += 8) {
    _mm_storeu_si128((__m128i *)(y + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
  }
#endif
  for (; i < n; i++) y[i] = ink_to_f16(x[i]);
}
INK_INLINE void ink_widen_bf16(const uint16_t *x, float *y, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] = ink_from_bf16(x[i]);
}
INK_INLINE void ink_narrow_bf16(const float *x, uint16_t *y, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] = ink_to_bf16(x[i]);
}

#endif
