/* Attention of a few queries to a block of positions: what dense and paged attention share.
 *
 * The arithmetic of one query, whatever is computed beside it:
 * - positions fall into chunks of ATTEND_CHUNK and these into blocks of ATTEND_BLOCK, counted from position 0;
 * - a score is the dot product in eight partial sums over the head's width, times the scale;
 * - within a chunk, softmax runs online from block to block (Milakov and Gimelshein 2018): greatest score, sum and weighted values
 *   are brought to a new greatest score before a block is added;
 * - chunks are merged in ascending order. */
#ifndef INK_ATTEND_H
#define INK_ATTEND_H

#include "convert.h"
#include "mathv.h"

#define ATTEND_BLOCK 64
#define ATTEND_CHUNK 256
#define ATTEND_QUERIES 32 /* at most, at once */

INK_INLINE v8f v8_from_f16(const uint16_t *p) {
#if defined(__F16C__)
  return (v8f)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
#else
  typedef uint16_t v8h __attribute__((vector_size(16)));
  v8h h;
  __builtin_memcpy(&h, p, sizeof h);
  const v8u wide = __builtin_convertvector(h, v8u);
  const v8u sign = (wide & 0x8000u) << 16, rest = wide & 0x7fffu;
  const v8u finite = (v8u)((v8f)(rest << 13) * 0x1p112f);
  const v8u special = (rest << 13) | 0x7f800000u | ((v8u)(rest > 0x7c00u) & 0x400000u);
  const v8u large = (v8u)(rest >= 0x7c00u);
  return (v8f)(sign | (large & special) | (~large & finite));
#endif
}

/* Eight numbers of a row of float32 or (half) float16, or the first n of them and zeros. */
INK_INLINE v8f row_load(const void *row, int64_t at, int half) {
  return half ? v8_from_f16((const uint16_t *)row + at) : v8_load((const float *)row + at);
}
INK_INLINE v8f row_load_part(const void *row, int64_t at, int64_t n, int half) {
  if (!half) return v8_load_part((const float *)row + at, n, 0.0f);
  v8f v = v8_zero();
  for (int64_t i = 0; i < n; i++) v[i] = ink_from_f16(((const uint16_t *)row)[at + i]);
  return v;
}

/* The sums of eight vectors, each in the same order. */
INK_INLINE v8f v8_sums(const v8f a[8]) {
#if defined(__AVX2__)
  const __m256 s01 = _mm256_hadd_ps((__m256)a[0], (__m256)a[1]), s23 = _mm256_hadd_ps((__m256)a[2], (__m256)a[3]);
  const __m256 s45 = _mm256_hadd_ps((__m256)a[4], (__m256)a[5]), s67 = _mm256_hadd_ps((__m256)a[6], (__m256)a[7]);
  const __m256 low = _mm256_hadd_ps(s01, s23), high = _mm256_hadd_ps(s45, s67);
  return (v8f)_mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
#elif defined(__clang__)
  v8f s[4], t[2];
  for (int i = 0; i < 4; i++) {
    s[i] = __builtin_shufflevector(a[2 * i], a[2 * i + 1], 0, 8, 2, 10, 4, 12, 6, 14) +
           __builtin_shufflevector(a[2 * i], a[2 * i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (int i = 0; i < 2; i++) {
    t[i] = __builtin_shufflevector(s[2 * i], s[2 * i + 1], 0, 1, 8, 9, 4, 5, 12, 13) +
           __builtin_shufflevector(s[2 * i], s[2 * i + 1], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  return __builtin_shufflevector(t[0], t[1], 0, 1, 2, 3, 8, 9, 10, 11) + __builtin_shufflevector(t[0], t[1], 4, 5, 6, 7, 12, 13, 14, 15);
#else
  v8f r;
  for (int i = 0; i < 8; i++) r[i] = v8_sum(a[i]);
  return r;
#endif
}

/* Dot products of Q queries with K rows, Q*K = 8, in the order q0k0 q0k1 … q1k0 …. Q and K are constants where this is inlined. */
INK_INLINE v8f dots(const float *const *q, const void *const *rows, int64_t width, const int Q, const int K, int half) {
  v8f sum[8] = {v8_zero(), v8_zero(), v8_zero(), v8_zero(), v8_zero(), v8_zero(), v8_zero(), v8_zero()};
  int64_t d = 0;
  for (; d + 8 <= width; d += 8) {
    v8f x[8];
    for (int j = 0; j < K; j++) x[j] = row_load(rows[j], d, half);
    for (int i = 0; i < Q; i++) {
      const v8f y = v8_load(q[i] + d);
      for (int j = 0; j < K; j++) sum[i * K + j] = v8_fma(y, x[j], sum[i * K + j]);
    }
  }
  if (d < width) {
    for (int i = 0; i < Q; i++) {
      const v8f y = v8_load_part(q[i] + d, width - d, 0.0f);
      for (int j = 0; j < K; j++) sum[i * K + j] = v8_fma(y, row_load_part(rows[j], d, width - d, half), sum[i * K + j]);
    }
  }
  return v8_sums(sum);
}

/* scores[i][s] = q[i]·rows[s] for s in [from, to), which are multiples of 8; rows past the last position may be any readable rows. */
INK_INLINE void score_block(const float *const *q, int count, const void *const *rows, int from, int to, int64_t width,
                            float *const *scores, int half) {
  int i = 0;
  for (; i + 2 <= count; i += 2) {
    for (int s = from; s < to; s += 4) {
      float pair[8];
      v8_store(pair, dots(q + i, rows + s, width, 2, 4, half));
      __builtin_memcpy(scores[i] + s, pair, 16);
      __builtin_memcpy(scores[i + 1] + s, pair + 4, 16);
    }
  }
  if (i < count) {
    for (int s = from; s < to; s += 8) v8_store(scores[i] + s, dots(q + i, rows + s, width, 1, 8, half));
  }
}

/* y[i][d] = fma over s in [from, to) of w[i][s * w_step] * rows[s][d], for Q results and V vectors from d on. */
INK_INLINE void weigh_tile(float *const *y, const float *const *w, int64_t w_step, const void *const *rows, int64_t from, int64_t to,
                           int64_t d, const int Q, const int V, int half) {
  v8f sum[8];
  for (int i = 0; i < Q; i++) {
    for (int v = 0; v < V; v++) sum[i * V + v] = v8_load(y[i] + d + 8 * v);
  }
  for (int64_t s = from; s < to; s++) {
    v8f x[8];
    for (int v = 0; v < V; v++) x[v] = row_load(rows[s], d + 8 * v, half);
    for (int i = 0; i < Q; i++) {
      const v8f factor = v8_set(w[i][s * w_step]);
      for (int v = 0; v < V; v++) sum[i * V + v] = v8_fma(factor, x[v], sum[i * V + v]);
    }
  }
  for (int i = 0; i < Q; i++) {
    for (int v = 0; v < V; v++) v8_store(y[i] + d + 8 * v, sum[i * V + v]);
  }
}
INK_INLINE void weigh_rest(float *y, const float *w, int64_t w_step, const void *const *rows, int64_t from, int64_t to, int64_t d,
                           int64_t n, int half) {
  v8f sum = v8_load_part(y + d, n, 0.0f);
  for (int64_t s = from; s < to; s++) sum = v8_fma(v8_set(w[s * w_step]), row_load_part(rows[s], d, n, half), sum);
  v8_store_part(y + d, sum, n);
}

/* The same for a whole head's width and 1 or 2 results. */
INK_INLINE void weigh_one(float *const *y, const float *const *w, int64_t w_step, const void *const *rows, int64_t from, int64_t to,
                          int64_t width, int half) {
  int64_t d = 0;
  for (; d + 64 <= width; d += 64) weigh_tile(y, w, w_step, rows, from, to, d, 1, 8, half);
  for (; d + 32 <= width; d += 32) weigh_tile(y, w, w_step, rows, from, to, d, 1, 4, half);
  for (; d + 8 <= width; d += 8) weigh_tile(y, w, w_step, rows, from, to, d, 1, 1, half);
  if (d < width) weigh_rest(y[0], w[0], w_step, rows, from, to, d, width - d, half);
}
INK_INLINE void weigh_two(float *const *y, const float *const *w, int64_t w_step, const void *const *rows, int64_t from, int64_t to,
                          int64_t width, int half) {
  int64_t d = 0;
  for (; d + 32 <= width; d += 32) weigh_tile(y, w, w_step, rows, from, to, d, 2, 4, half);
  for (; d + 8 <= width; d += 8) weigh_tile(y, w, w_step, rows, from, to, d, 2, 1, half);
  if (d < width) {
    for (int i = 0; i < 2; i++) weigh_rest(y[i], w[i], w_step, rows, from, to, d, width - d, half);
  }
}

/* Where the running softmax of one query stands. */
typedef struct {
  float top, sum;
  float *values; /* (width): the weighted values, not yet divided by the sum */
} attend_state;

INK_INLINE void attend_clear(attend_state *state, int64_t width) {
  state->top = -__builtin_inff();
  state->sum = 0.0f;
  for (int64_t d = 0; d < width; d++) state->values[d] = 0.0f;
}

/* How much a sum that was taken relative to `from` weighs relative to `to`. */
INK_INLINE float attend_factor(float from, float to) { return from == to ? 1.0f : ink_exp(from - to); }

/* The positions [lo[i], hi[i]) of a block (numbers inside the block) that each query sees, added to its state. `keys` and `values` are
 * 64 rows; scores is work space. `kept`, unless it is NULL, says which weights count among the values (-1, else 0); all count in the sum. */
INK_INLINE void attend_block(attend_state *states, const float *const *q, int count, const int *lo, const int *hi,
                             const void *const *keys, const void *const *values, int64_t width, float scale, float softcap,
                             float (*scores)[ATTEND_BLOCK], const int32_t (*kept)[ATTEND_BLOCK], int half) {
  int first = ATTEND_BLOCK, last = 0;
  float *score_rows[ATTEND_QUERIES];
  for (int i = 0; i < count; i++) {
    score_rows[i] = scores[i];
    if (lo[i] >= hi[i]) continue;
    first = lo[i] < first ? lo[i] : first;
    last = hi[i] > last ? hi[i] : last;
  }
  if (first >= last) return;
  score_block(q, count, keys, first & ~7, (last + 7) & ~7, width, score_rows, half);
  const v8i lane = {0, 1, 2, 3, 4, 5, 6, 7};
  for (int i = 0; i < count; i++) {
    if (lo[i] >= hi[i]) continue;
    v8f top = v8_set(-__builtin_inff());
    for (int s = 0; s < ATTEND_BLOCK; s += 8) {
      const v8i position = lane + s;
      v8f x = v8_set(-__builtin_inff());
      if (s + 8 > lo[i] && s < hi[i]) {
        x = v8_load(scores[i] + s) * scale;
        if (softcap > 0.0f) x = softcap * v8_tanh(x / softcap);
        x = v8_select((v8i)(position >= lo[i]) & (v8i)(position < hi[i]), x, v8_set(-__builtin_inff()));
        top = v8_max(x, top);
      }
      v8_store(scores[i] + s, x);
    }
    const float block_top = v8_top(top), new_top = block_top > states[i].top ? block_top : states[i].top;
    const float factor = attend_factor(states[i].top, new_top);
    v8f sum = v8_zero();
    for (int s = 0; s < ATTEND_BLOCK; s += 8) {
      if (s + 8 <= lo[i] || s >= hi[i]) continue; /* their weights are zero */
      const v8f weight = v8_exp(v8_load(scores[i] + s) - new_top);
      sum += weight;
      v8_store(scores[i] + s, kept ? (v8f)((v8i)weight & (v8i)v8_load((const float *)(const void *)(kept[i] + s))) : weight);
    }
    states[i].sum = states[i].sum * factor + v8_sum(sum);
    states[i].top = new_top;
    if (factor != 1.0f) for (int64_t d = 0; d < width; d++) states[i].values[d] *= factor;
  }
  for (int i = 0; i < count;) {
    float *y[2] = {states[i].values, i + 1 < count ? states[i + 1].values : NULL};
    const float *w[2] = {scores[i], i + 1 < count ? scores[i + 1] : NULL};
    if (i + 1 < count && lo[i] == lo[i + 1] && hi[i] == hi[i + 1]) {
      if (lo[i] < hi[i]) weigh_two(y, w, 1, values, lo[i], hi[i], width, half);
      i += 2;
    } else {
      if (lo[i] < hi[i]) weigh_one(y, w, 1, values, lo[i], hi[i], width, half);
      i++;
    }
  }
}

/* Add the state of the next chunk to what came before. */
INK_INLINE void attend_merge(attend_state *total, const attend_state *chunk, int64_t width) {
  const float top = chunk->top > total->top ? chunk->top : total->top;
  const float a = attend_factor(total->top, top), b = attend_factor(chunk->top, top);
  total->sum = total->sum * a + chunk->sum * b;
  total->top = top;
  for (int64_t d = 0; d < width; d++) total->values[d] = total->values[d] * a + chunk->values[d] * b;
}

/* The result: values over the sum, with a sink's score in it if there is one. A query that saw nothing gives zeros. */
INK_INLINE void attend_finish(attend_state *state, const float *sink, int64_t width, float *y) {
  if (sink) {
    const float top = *sink > state->top ? *sink : state->top;
    const float a = attend_factor(state->top, top);
    state->sum = state->sum * a + attend_factor(*sink, top);
    for (int64_t d = 0; d < width; d++) state->values[d] *= a;
  }
  const float factor = state->sum == 0.0f ? 0.0f : 1.0f / state->sum;
  for (int64_t d = 0; d < width; d++) y[d] = state->values[d] * factor;
}

#endif
