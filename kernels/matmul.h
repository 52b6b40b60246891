/* What the kernels of matrix products share: the description of one product, and of a part of it.
 *
 *   y (M, N) = a (M, K) · b (K, N) + bias (N) + residual (M, N)
 *
 * Every kernel computes any rectangle of y, and an element's bits do not depend on the rectangle: for each element one chain over k
 * ascending (README.md, "Order of sums"). So threads, tiles and experts are only a question of who computes which rectangle. */
#ifndef INK_MATMUL_H
#define INK_MATMUL_H

#include "quant.h"

typedef struct {
  int64_t m, n, k;
  /* a: rows of lda elements. With transpose_a a row is an index of k, otherwise of m; a_row maps that index to the row (NULL: itself). */
  const void *a;
  int32_t a_type, transpose_a;
  int64_t lda;
  const int32_t *a_row;
  /* b: rows of ldb elements. With transpose_b a row is an index of n, otherwise of k, mapped by b_row (NULL: itself). */
  const void *b;
  int32_t b_type, transpose_b;
  int64_t ldb;
  const int32_t *b_row;
  const float *bias, *residual; /* or NULL; residual has y's layout and may be y */
  float *y;                     /* rows of n elements */
  const int32_t *y_row;         /* maps m to the row of y (NULL: itself) */
  int32_t resume;               /* the chains start from y's values: y += a · b */
} ink_product;

/* Rows m0 … m1-1 and columns n0 … n1-1 of y. */
typedef struct {
  int64_t m0, m1, n0, n1;
} ink_rect;

typedef void (*ink_product_kernel)(const ink_product *p, ink_rect part, uint8_t *scratch);

/* Bytes at the start of a thread's scratch that a product uses; the rest is its caller's. */
#define INK_PRODUCT_SCRATCH ((size_t)3 << 20)

/* Any product; the ones below are its cases. */
void INK_NAME(ink_product_any)(const ink_product *p, ink_rect part, uint8_t *scratch);
/* Activations in blocks of bytes with weights of a block type: integer products. */
void INK_NAME(ink_product_int8)(const ink_product *p, ink_rect part, uint8_t *scratch);
/* Up to INK_FEW_ROWS rows: b is read once, in the order it lies. */
void INK_NAME(ink_product_few)(const ink_product *p, ink_rect part, uint8_t *scratch);
/* Many rows: tiles of packed panels. */
void INK_NAME(ink_product_many)(const ink_product *p, ink_rect part, uint8_t *scratch);

#define INK_FEW_ROWS 4

INK_INLINE int64_t ink_mapped(const int32_t *map, int64_t i) { return map ? map[i] : i; }

/* The product divided among threads: this thread's rectangle of it. */
void INK_NAME(ink_product_share)(const ink_product *p, const ink_worker *worker);

/* INK_W columns, and which of them are wanted: lanes first … first+count-1 are columns column … column+count-1. For a transposed b,
 * `data` and `stride` say where the row of each lane lies. */
typedef struct {
  const uint8_t *data;
  ptrdiff_t stride;
  int64_t column;
  int first, count;
} ink_columns;

/* The columns from `column` on, at most INK_W and below `end`. At the end of a transposed b the lanes start further up and the first ones
 * go unused; of fewer than INK_W rows one at a time is taken, in all lanes. So nothing outside b is read. */
INK_INLINE ink_columns ink_columns_at(const ink_product *p, int64_t column, int64_t end) {
  int64_t bytes = ink_row_bytes(p->b_type, p->ldb), start = column, count = end - column < INK_W ? end - column : INK_W;
  ptrdiff_t stride = (ptrdiff_t)bytes;
  if (!p->transpose_b) return (ink_columns){NULL, 0, column, 0, (int)count};
  if (p->n < INK_W) {
    stride = 0;
    count = 1;
  } else if (column + INK_W > p->n) {
    start = p->n - INK_W;
  }
  return (ink_columns){(const uint8_t *)p->b + start * bytes, stride, column, (int)(column - start), (int)count};
}

/* The end of every product: the chain's value, then + bias, then + residual, for `count` lanes from `first` on. */
INK_INLINE void ink_store_lanes(const ink_product *p, int64_t row, int64_t column, vf value, int first, int count) {
  int64_t at = ink_mapped(p->y_row, row) * p->n + column;
  if (count == INK_W) {
    if (p->bias) value = value + vf_load(p->bias + column);
    if (p->residual) value = value + vf_load(p->residual + at);
    vf_store(p->y + at, value);
    return;
  }
  float lane[INK_W];
  vf_store(lane, value);
  for (int i = 0; i < count; i++) {
    float x = lane[first + i];
    if (p->bias) x = x + p->bias[column + i];
    if (p->residual) x = x + p->residual[at + i];
    p->y[at + i] = x;
  }
}

#endif
