/* Sums, maxima and exponentials along one row. The order of every sum depends on the row's length alone. */
#ifndef INK_ROWS_H
#define INK_ROWS_H

#include "mathv.h"

/* A sum keeps 32 partial sums over at most this many numbers, then goes on in double precision. */
#define INK_ROW_BLOCK 2048

/* The sum over a row of `expression`, a function of x (eight numbers) that is 0 for `pad`. Lanes past the end see `pad`. */
#define INK_ROW_SUM(total, row, n, pad, expression) \
  do { \
    (total) = 0; \
    for (int64_t block_ = 0; block_ < (n); block_ += INK_ROW_BLOCK) { \
      const int64_t end_ = (n) - block_ < INK_ROW_BLOCK ? (n) : block_ + INK_ROW_BLOCK; \
      v8f part_[4] = {v8_zero(), v8_zero(), v8_zero(), v8_zero()}; \
      int64_t i_ = block_; \
      for (; i_ + 32 <= end_; i_ += 32) { \
        for (int k_ = 0; k_ < 4; k_++) { \
          const int64_t at = i_ + 8 * k_; \
          const v8f x = v8_load((row) + at); \
          part_[k_] += (expression); \
        } \
      } \
      for (int k_ = 0; i_ < end_; i_ += 8, k_++) { \
        const int64_t at = i_; \
        (void)at; \
        const v8f x = i_ + 8 <= end_ ? v8_load((row) + i_) : v8_load_part((row) + i_, end_ - i_, pad); \
        part_[k_] += (expression); \
      } \
      (total) += (double)v8_sum((part_[0] + part_[1]) + (part_[2] + part_[3])); \
    } \
  } while (0)

INK_INLINE double ink_row_sum(const float *row, int64_t n) {
  double total;
  INK_ROW_SUM(total, row, n, 0.0f, x);
  return total;
}
INK_INLINE double ink_row_square_sum(const float *row, int64_t n, float shift) {
  double total;
  INK_ROW_SUM(total, row, n, shift, (x - shift) * (x - shift));
  return total;
}
/* Σ e^(x - shift) */
INK_INLINE double ink_row_exp_sum(const float *row, int64_t n, float shift) {
  double total;
  INK_ROW_SUM(total, row, n, -__builtin_inff(), v8_exp(x - shift));
  return total;
}

/* The greatest number of a row; NaN where there is one; -infinity for an empty row. */
INK_INLINE float ink_row_max(const float *row, int64_t n) {
  v8f m = v8_set(-__builtin_inff());
  v8i odd = {0};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const v8f x = v8_load(row + i);
    odd |= (v8i)(x != x);
    m = v8_max(x, m);
  }
  if (i < n) {
    const v8f x = v8_load_part(row + i, n - i, -__builtin_inff());
    odd |= (v8i)(x != x);
    m = v8_max(x, m);
  }
  float top = m[0];
  int any = odd[0];
  for (int k = 1; k < 8; k++) {
    top = m[k] > top ? m[k] : top;
    any |= odd[k];
  }
  return any ? __builtin_nanf("") : top;
}

/* y = expression of x (eight numbers at index `at`) for a whole row; y may be the row itself. */
#define INK_ROW_MAP(y, row, n, expression) \
  do { \
    int64_t at = 0; \
    for (; at + 8 <= (n); at += 8) { \
      const v8f x = v8_load((row) + at); \
      v8_store((y) + at, (expression)); \
    } \
    if (at < (n)) { \
      const v8f x = v8_load_part((row) + at, (n) - at, 0.0f); \
      v8_store_part((y) + at, (expression), (n) - at); \
    } \
  } while (0)

/* Eight numbers of another array of the row's length at `at`. */
INK_INLINE v8f ink_row_at(const float *row, int64_t at, int64_t n) {
  return at + 8 <= n ? v8_load(row + at) : v8_load_part(row + at, n - at, 0.0f);
}

#endif
