/* Eight floats at a time, on any processor: GCC's vector extensions, with an instruction named only where the extensions have none.
 * The width is eight everywhere, also where registers are wider or narrower, so that sums have the same order everywhere. */
#ifndef INK_VEC_H
#define INK_VEC_H

#include "isa.h"

#if defined(__AVX2__) || defined(__F16C__) || defined(__FMA__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

typedef float v8f __attribute__((vector_size(32)));
typedef int32_t v8i __attribute__((vector_size(32)));
typedef uint32_t v8u __attribute__((vector_size(32)));

INK_INLINE v8f v8_load(const float *p) {
  v8f v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
INK_INLINE void v8_store(float *p, v8f v) { __builtin_memcpy(p, &v, sizeof v); }

/* The first n (1 to 7) elements; the others are `fill`. */
INK_INLINE v8f v8_load_part(const float *p, int64_t n, float fill) {
  v8f v = {fill, fill, fill, fill, fill, fill, fill, fill};
  for (int64_t i = 0; i < n; i++) v[i] = p[i];
  return v;
}
INK_INLINE void v8_store_part(float *p, v8f v, int64_t n) {
  for (int64_t i = 0; i < n; i++) p[i] = v[i];
}

INK_INLINE v8f v8_set(float x) { return (v8f){x, x, x, x, x, x, x, x}; }
INK_INLINE v8f v8_zero(void) { return (v8f){0}; }

/* a*b + c: one rounding where the processor has a fused multiply-add, two elsewhere. */
INK_INLINE v8f v8_fma(v8f a, v8f b, v8f c) {
#if defined(__FMA__)
  return (v8f)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  union { v8f v; float32x4_t h[2]; } x = {a}, y = {b}, z = {c};
  z.h[0] = vfmaq_f32(z.h[0], x.h[0], y.h[0]);
  z.h[1] = vfmaq_f32(z.h[1], x.h[1], y.h[1]);
  return z.v;
#else
  return a * b + c;
#endif
}
/* The same for one float. */
INK_INLINE float ink_fma(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

/* Lanes of a where the mask (-1 or 0) is set, else of b. */
INK_INLINE v8f v8_select(v8i mask, v8f a, v8f b) {
#if defined(__AVX2__)
  return (v8f)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)mask);
#else
  return (v8f)((mask & (v8i)a) | (~mask & (v8i)b));
#endif
}
/* The greater; the second where one is NaN. */
INK_INLINE v8f v8_max(v8f a, v8f b) { return v8_select((v8i)(a > b), a, b); }
INK_INLINE v8f v8_min(v8f a, v8f b) { return v8_select((v8i)(a < b), a, b); }
INK_INLINE v8f v8_abs(v8f a) { return (v8f)((v8i)a & 0x7fffffff); }

INK_INLINE v8f v8_sqrt(v8f a) {
#if defined(__AVX2__)
  return (v8f)_mm256_sqrt_ps((__m256)a);
#else
  v8f r;
  for (int i = 0; i < 8; i++) r[i] = __builtin_sqrtf(a[i]);
  return r;
#endif
}

/* The sum of the lanes in one fixed order. */
INK_INLINE float v8_sum(v8f a) {
  float x0 = a[0] + a[4], x1 = a[1] + a[5], x2 = a[2] + a[6], x3 = a[3] + a[7];
  return (x0 + x2) + (x1 + x3);
}
INK_INLINE float v8_top(v8f a) {
  float m = a[0];
  for (int i = 1; i < 8; i++) m = a[i] > m || a[i] != a[i] ? a[i] : m;
  return m;
}

#endif
