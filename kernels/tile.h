/* The tile of accumulators that all dense products are made of: INK_TILE_M rows of INK_TILE_N columns fill the registers, and an element of
 * it is one chain of multiply-adds over k ascending (README.md, "Order of sums"). */
#ifndef INK_TILE_H
#define INK_TILE_H

#include "simd.h"

#define INK_TILE_N (2 * INK_W)
#if defined(INK_SIMD_AVX512) || defined(INK_SIMD_NEON)
#define INK_TILE_M 12 /* 24 accumulators of 32 registers */
#else
#define INK_TILE_M 6 /* 12 of 16 */
#endif

/* acc[r] += a(r, k) * b[k] for k < length, where a(r, k) = a[r * a_row + k * a_k] and b has rows of INK_TILE_N. One of a_row and a_k is the
 * constant 1 where this is inlined. */
INK_INLINE void ink_tile_run(vf acc[INK_TILE_M][2], const float *a, int64_t a_row, int64_t a_k, const float *b, int64_t length) {
  for (int64_t k = 0; k < length; k++, a += a_k, b += INK_TILE_N) {
    const vf b0 = vf_load(b), b1 = vf_load(b + INK_W);
    INK_UNROLL
    for (int r = 0; r < INK_TILE_M; r++) {
      const vf x = vf_set(a[r * a_row]);
      acc[r][0] = vf_fma(x, b0, acc[r][0]);
      acc[r][1] = vf_fma(x, b1, acc[r][1]);
    }
  }
}

INK_INLINE void ink_tile_zero(vf acc[INK_TILE_M][2]) {
  INK_UNROLL
  for (int r = 0; r < INK_TILE_M; r++) acc[r][0] = acc[r][1] = (vf){0};
}
INK_INLINE void ink_tile_load(vf acc[INK_TILE_M][2], const float *y, int64_t stride) {
  INK_UNROLL
  for (int r = 0; r < INK_TILE_M; r++) {
    acc[r][0] = vf_load(y + r * stride);
    acc[r][1] = vf_load(y + r * stride + INK_W);
  }
}
INK_INLINE void ink_tile_store(const vf acc[INK_TILE_M][2], float *y, int64_t stride) {
  INK_UNROLL
  for (int r = 0; r < INK_TILE_M; r++) {
    vf_store(y + r * stride, acc[r][0]);
    vf_store(y + r * stride + INK_W, acc[r][1]);
  }
}

/* Rows of a matrix as columns: to[k * INK_TILE_N + j] = x[j * stride + k] for j < count (at most INK_TILE_N) and k < length, zeros in
 * the columns after. */
INK_INLINE void ink_tile_transpose(const float *x, int64_t stride, int count, int64_t length, float *to) {
  for (int g = 0; g < INK_TILE_N; g += INK_W) {
    int64_t k = 0;
    if (count - g >= INK_W) {
      const uint8_t *rows = (const uint8_t *)(x + g * stride);
      for (; k + 4 <= length; k += 4) {
        vu word[4];
        vu_load_words(rows + 4 * k, (ptrdiff_t)(4 * stride), word);
        INK_UNROLL
        for (int j = 0; j < 4; j++) vu_store(to + (k + j) * INK_TILE_N + g, word[j]);
      }
    }
    for (; k < length; k++) {
      for (int j = g; j < g + INK_W; j++) to[k * INK_TILE_N + j] = j < count ? x[j * stride + k] : 0.0f;
    }
  }
}

#endif
