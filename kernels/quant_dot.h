/* Exact integer dot products of codes and signed bytes: one instruction set's way each.
 *
 * ink_dot_tile(code, quads, kind, rows, groups, x, sum): code[g][i] holds elements 4i … 4i+3 of INK_W columns (quant_unpack.h), x[r] the
 * same elements of activation row r, and sum[r][g] becomes Σ code*x over 4*quads elements, for every bit pattern of the codes and
 * x from -127 to 127. All bounds are constants after inlining. */
#ifndef INK_QUANT_DOT_H
#define INK_QUANT_DOT_H

#include "quant.h"

/* The tile of products that the registers hold. */
#ifdef INK_SIMD_AVX2
#define INK_TILE_ROWS 3
#else
#define INK_TILE_ROWS 4
#endif
#define INK_TILE_GROUPS 2

#if INK_VNNI
INK_INLINE vi ink_dot_unsigned(vi sum, vub code, vu x) {
#ifdef INK_SIMD_AVX512
  return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)code, (__m512i)x);
#else
  vb bytes = (vb)x;
  for (int i = 0; i < 4 * INK_W; i++) sum[i / 4] += (int32_t)code[i] * bytes[i];
  return sum;
#endif
}

INK_INLINE void ink_dot_tile(const vub *const *code, int quads, enum ink_code kind, int rows, int groups, const int8_t *const *x,
                             vi sum[INK_TILE_ROWS][INK_TILE_GROUPS]) {
  (void)kind; /* signed bytes are stored plus 128 */
  INK_UNROLL
  for (int r = 0; r < rows; r++) {
    INK_UNROLL
    for (int g = 0; g < groups; g++) sum[r][g] = (vi){0};
  }
  INK_UNROLL
  for (int i = 0; i < quads; i++) {
    INK_UNROLL
    for (int r = 0; r < rows; r++) {
      vu bytes = vu_set_bytes(x[r] + 4 * i);
      INK_UNROLL
      for (int g = 0; g < groups; g++) sum[r][g] = ink_dot_unsigned(sum[r][g], code[g][i], bytes);
    }
  }
}

#elif defined(INK_SIMD_AVX2) || defined(INK_SIMD_AVX512)
/* maddubs multiplies unsigned by signed bytes and adds pairs into saturating 16 bits. */
#ifdef INK_SIMD_AVX512
INK_INLINE vh ink_pairs_unsigned(vub code, vu x) { return (vh)_mm512_maddubs_epi16((__m512i)code, (__m512i)x); }
INK_INLINE vi ink_pairs_of_pairs(vh pairs) { return (vi)_mm512_madd_epi16((__m512i)pairs, _mm512_set1_epi16(1)); }
INK_INLINE vub ink_magnitude(vub code) { return (vub)_mm512_abs_epi8((__m512i)code); }
INK_INLINE vu ink_with_sign_of(vu x, vub code) {
  __m512i negative = _mm512_sub_epi8(_mm512_setzero_si512(), (__m512i)x);
  return (vu)_mm512_mask_mov_epi8((__m512i)x, _mm512_movepi8_mask((__m512i)code), negative);
}
#else
INK_INLINE vh ink_pairs_unsigned(vub code, vu x) { return (vh)_mm256_maddubs_epi16((__m256i)code, (__m256i)x); }
INK_INLINE vi ink_pairs_of_pairs(vh pairs) { return (vi)_mm256_madd_epi16((__m256i)pairs, _mm256_set1_epi16(1)); }
INK_INLINE vub ink_magnitude(vub code) { return (vub)_mm256_abs_epi8((__m256i)code); }
INK_INLINE vu ink_with_sign_of(vu x, vub code) { return (vu)_mm256_sign_epi8((__m256i)x, (__m256i)code); }
#endif

/* How many quads of products of unsigned codes fit 16 bits: 2*15*127 * 8 = 30480, 2*31*127 * 4 = 31496, 2*63*127 * 2 = 32004. */
INK_INLINE int ink_quads_in_16_bits(enum ink_code kind) { return kind == INK_CODE_4BIT ? 8 : kind == INK_CODE_5BIT ? 4 : 2; }

INK_INLINE void ink_dot_tile(const vub *const *code, int quads, enum ink_code kind, int rows, int groups, const int8_t *const *x,
                             vi sum[INK_TILE_ROWS][INK_TILE_GROUPS]) {
  if (kind == INK_CODE_BYTE) { /* |code| is at most 128, which unsigned bytes hold, and 2*128*127 fits 16 bits */
    INK_UNROLL
    for (int i = 0; i < quads; i++) {
      vub magnitude[INK_TILE_GROUPS];
      INK_UNROLL
      for (int g = 0; g < groups; g++) magnitude[g] = ink_magnitude(code[g][i]);
      INK_UNROLL
      for (int r = 0; r < rows; r++) {
        vu bytes = vu_set_bytes(x[r] + 4 * i);
        INK_UNROLL
        for (int g = 0; g < groups; g++) {
          vi part = ink_pairs_of_pairs(ink_pairs_unsigned(magnitude[g], ink_with_sign_of(bytes, code[g][i])));
          sum[r][g] = i ? sum[r][g] + part : part;
          INK_KEEP(sum[r][g]);
        }
      }
    }
    return;
  }
  int run = ink_quads_in_16_bits(kind) < quads ? ink_quads_in_16_bits(kind) : quads;
  INK_UNROLL
  for (int start = 0; start < quads; start += run) {
    vh pairs[INK_TILE_ROWS][INK_TILE_GROUPS];
    INK_UNROLL
    for (int i = start; i < start + run; i++) {
      INK_UNROLL
      for (int r = 0; r < rows; r++) {
        vu bytes = vu_set_bytes(x[r] + 4 * i);
        INK_UNROLL
        for (int g = 0; g < groups; g++) {
          vh part = ink_pairs_unsigned(code[g][i], bytes);
          pairs[r][g] = i > start ? pairs[r][g] + part : part;
          INK_KEEP(pairs[r][g]);
        }
      }
    }
    INK_UNROLL
    for (int r = 0; r < rows; r++) {
      INK_UNROLL
      for (int g = 0; g < groups; g++) {
        vi part = ink_pairs_of_pairs(pairs[r][g]);
        sum[r][g] = start ? sum[r][g] + part : part;
      }
    }
  }
}

#else
/* Codes and bytes as signed 16-bit numbers, whose products are added in pairs: `low` and `high` hold elements 0+1 and 2+3 of the lower
 * and of the upper two columns. Codes of up to 6 bits are also valid signed bytes. */
typedef struct {
  vi low, high;
} ink_pair_sums;

#if defined(INK_SIMD_NEON) && defined(__ARM_FEATURE_DOTPROD)
INK_INLINE ink_pair_sums ink_add_products(ink_pair_sums sum, vub code, vu x) {
  sum.low = (vi)vdotq_s32((int32x4_t)sum.low, (int8x16_t)code, (int8x16_t)x);
  return sum;
}
INK_INLINE vi ink_total(ink_pair_sums sum) { return sum.low; }
#elif defined(INK_SIMD_NEON)
INK_INLINE ink_pair_sums ink_add_products(ink_pair_sums sum, vub code, vu x) {
  int8x16_t a = (int8x16_t)code, b = (int8x16_t)x;
  sum.low = (vi)vpadalq_s16((int32x4_t)sum.low, vmull_s8(vget_low_s8(a), vget_low_s8(b)));
  sum.high = (vi)vpadalq_s16((int32x4_t)sum.high, vmull_high_s8(a, b));
  return sum;
}
INK_INLINE vi ink_total(ink_pair_sums sum) { return (vi)vpaddq_s32((int32x4_t)sum.low, (int32x4_t)sum.high); }
#elif defined(INK_SIMD_SSE2)
INK_INLINE __m128i ink_low_16(__m128i bytes) { return _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8); }
INK_INLINE __m128i ink_high_16(__m128i bytes) { return _mm_srai_epi16(_mm_unpackhi_epi8(bytes, bytes), 8); }
INK_INLINE ink_pair_sums ink_add_products(ink_pair_sums sum, vub code, vu x) {
  __m128i four = ink_low_16((__m128i)x); /* x is the same in every lane */
  sum.low += (vi)_mm_madd_epi16(ink_low_16((__m128i)code), four);
  sum.high += (vi)_mm_madd_epi16(ink_high_16((__m128i)code), four);
  return sum;
}
INK_INLINE vi ink_total(ink_pair_sums sum) {
  return __builtin_shufflevector(sum.low, sum.high, 0, 2, 4, 6) + __builtin_shufflevector(sum.low, sum.high, 1, 3, 5, 7);
}
#elif defined(INK_SIMD_WASM)
INK_INLINE ink_pair_sums ink_add_products(ink_pair_sums sum, vub code, vu x) {
  v128_t a = (v128_t)code, four = wasm_i16x8_extend_low_i8x16((v128_t)x);
  sum.low += (vi)wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(a), four);
  sum.high += (vi)wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(a), four);
  return sum;
}
INK_INLINE vi ink_total(ink_pair_sums sum) {
  return __builtin_shufflevector(sum.low, sum.high, 0, 2, 4, 6) + __builtin_shufflevector(sum.low, sum.high, 1, 3, 5, 7);
}
#else
INK_INLINE ink_pair_sums ink_add_products(ink_pair_sums sum, vub code, vu x) {
  vb a = (vb)code, b = (vb)x;
  for (int i = 0; i < 4 * INK_W; i++) sum.low[i / 4] += (int32_t)a[i] * b[i];
  return sum;
}
INK_INLINE vi ink_total(ink_pair_sums sum) { return sum.low; }
#endif

INK_INLINE void ink_dot_tile(const vub *const *code, int quads, enum ink_code kind, int rows, int groups, const int8_t *const *x,
                             vi sum[INK_TILE_ROWS][INK_TILE_GROUPS]) {
  (void)kind;
  INK_UNROLL
  for (int r = 0; r < rows; r++) {
    INK_UNROLL
    for (int g = 0; g < groups; g++) {
      ink_pair_sums pairs = {{0}, {0}};
      INK_UNROLL
      for (int i = 0; i < quads; i++) pairs = ink_add_products(pairs, code[g][i], vu_set_bytes(x[r] + 4 * i));
      sum[r][g] = ink_total(pairs);
    }
  }
}
#endif

#endif
