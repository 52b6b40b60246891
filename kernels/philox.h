/* Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011) for eight counters at a time. */
#ifndef INK_PHILOX_H
#define INK_PHILOX_H

#include "vec.h"

/* The halves of the 64-bit products of eight numbers and one. */
INK_INLINE void v8_multiply_wide(v8u a, uint32_t factor, v8u *high, v8u *low) {
#if defined(__AVX2__)
  const __m256i m = _mm256_set1_epi32((int)factor);
  const __m256i even = _mm256_mul_epu32((__m256i)a, m), odd = _mm256_mul_epu32(_mm256_srli_epi64((__m256i)a, 32), m);
  *low = (v8u)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
  *high = (v8u)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
#else
  for (int i = 0; i < 8; i++) {
    const uint64_t product = (uint64_t)a[i] * factor;
    (*high)[i] = (uint32_t)(product >> 32);
    (*low)[i] = (uint32_t)product;
  }
#endif
}

/* The words 4*at … 4*at + 31 of the sequence of a key: word i is word i%4 of counter (i/4, key[2], key[3]), the first of 64 bits. */
INK_INLINE void philox_words(const uint32_t key[4], uint64_t at, v8u words[4]) {
  /* lanes in the order in which the transposition below leaves them */
  const v8u lane = {0, 2, 4, 6, 1, 3, 5, 7};
  const v8u zero = {0};
  v8u c0 = zero + (uint32_t)at + lane;
  v8u c1 = zero + (uint32_t)(at >> 32) - (v8u)(c0 < zero + (uint32_t)at); /* a comparison gives -1 */
  v8u c2 = zero + key[2], c3 = zero + key[3];
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++) {
    v8u high0, low0, high2, low2;
    v8_multiply_wide(c0, 0xD2511F53u, &high0, &low0);
    v8_multiply_wide(c2, 0xCD9E8D57u, &high2, &low2);
    c0 = high2 ^ c1 ^ k0;
    c1 = low2;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
#if defined(__AVX2__)
  const __m256i a = _mm256_unpacklo_epi32((__m256i)c0, (__m256i)c1), b = _mm256_unpacklo_epi32((__m256i)c2, (__m256i)c3);
  const __m256i c = _mm256_unpackhi_epi32((__m256i)c0, (__m256i)c1), d = _mm256_unpackhi_epi32((__m256i)c2, (__m256i)c3);
  words[0] = (v8u)_mm256_unpacklo_epi64(a, b);
  words[1] = (v8u)_mm256_unpackhi_epi64(a, b);
  words[2] = (v8u)_mm256_unpacklo_epi64(c, d);
  words[3] = (v8u)_mm256_unpackhi_epi64(c, d);
#else
  for (int i = 0; i < 4; i++) words[i] = (v8u){c0[i], c1[i], c2[i], c3[i], c0[4 + i], c1[4 + i], c2[4 + i], c3[4 + i]};
#endif
}

#endif
