/* STRIDED_COPY and CONCAT: numbers moved, not changed. */
#include "isa.h"
#include "program.h"

#include <string.h>

/* count numbers from x, `stride` apart, to y. */
static void copy_run(const uint32_t *x, int64_t stride, uint32_t *y, int64_t count) {
  if (stride == 1) {
    memcpy(y, x, (size_t)count * 4);
  } else if (stride == 0) {
    const uint32_t value = *x;
    for (int64_t i = 0; i < count; i++) y[i] = value;
  } else {
    for (int64_t i = 0; i < count; i++) y[i] = x[i * stride];
  }
}

enum { TILE = 16 };

/* The transposition of matrices, the one copy whose reads would all miss: y (…, rows, columns) where neighbours along `rows`, not along
 * `columns`, are neighbours in x. Done in tiles that stay in the cache. */
static void copy_transposed(const uint32_t *x, int64_t stride, uint32_t *y, int64_t rows, int64_t columns) {
  for (int64_t r = 0; r < rows; r += TILE) {
    const int64_t r_end = r + TILE < rows ? r + TILE : rows;
    for (int64_t c = 0; c < columns; c += TILE) {
      const int64_t c_end = c + TILE < columns ? c + TILE : columns;
      for (int64_t i = r; i < r_end; i++) {
        for (int64_t j = c; j < c_end; j++) y[i * columns + j] = x[j * stride + i];
      }
    }
  }
}

typedef struct {
  int64_t length[INK_MAX_RANK], stride[INK_MAX_RANK], lo[INK_MAX_RANK], hi[INK_MAX_RANK];
} box;

/* y's rows [from, to) of the last dimension. */
static void copy_rows(const uint32_t *x, uint32_t *y, const box *b, int rank, int64_t offset, int64_t from, int64_t to) {
  const int last = rank - 1;
  const int64_t width = b->length[last];
  for (int64_t row = from; row < to; row++) {
    int64_t rest = row, at = offset;
    int inside = 1;
    for (int k = last - 1; k >= 0; k--) {
      const int64_t i = rest % b->length[k];
      rest /= b->length[k];
      inside &= i >= b->lo[k] && i < b->hi[k];
      at += i * b->stride[k];
    }
    uint32_t *const out = y + row * width;
    const int64_t lo = inside ? b->lo[last] : width, hi = inside ? b->hi[last] : width;
    if (lo > 0) memset(out, 0, (size_t)lo * 4);
    if (hi > lo) copy_run(x + at + lo * b->stride[last], b->stride[last], out + lo, hi - lo);
    if (hi < width) memset(out + hi, 0, (size_t)(width - hi) * 4);
  }
}

void INK_NAME(ink_strided_copy)(const ink_step *step, const ink_worker *worker) {
  const ink_tensor *x = step->input[0], *y = step->output;
  const int64_t size = ink_size(y);
  if (size == 0) return;
  /* At least two dimensions; a long vector is cut, so that every thread has a part of it. */
  box b;
  int rank = y->rank, whole = 1;
  for (int k = 0; k < rank; k++) {
    const int64_t lo = step->ints[1 + rank + 2 * k], hi = step->ints[2 + rank + 2 * k];
    b.length[k] = y->dim[k];
    b.stride[k] = ink_copy_stride(step, k);
    b.hi[k] = hi < 0 ? 0 : hi < y->dim[k] ? hi : y->dim[k];
    b.lo[k] = lo < 0 ? 0 : lo < b.hi[k] ? lo : b.hi[k];
    whole &= b.lo[k] == 0 && b.hi[k] == y->dim[k];
  }
  const uint32_t *const from = x->data;
  uint32_t *const to = y->data;
  int64_t first, end;
  if (rank <= 1) {
    const int64_t stride = rank ? b.stride[0] : 0, lo = rank ? b.lo[0] : 0, hi = rank ? b.hi[0] : 1;
    ink_share(worker, size, 1024, &first, &end);
    for (int64_t i = first; i < end && i < lo; i++) to[i] = 0;
    const int64_t a = first > lo ? first : lo, z = end < hi ? end : hi;
    if (a < z) copy_run(from + step->ints[0] + a * stride, stride, to + a, z - a);
    for (int64_t i = first > hi ? first : hi; i < end; i++) to[i] = 0;
    return;
  }
  const int last = rank - 1;
  if (whole && b.stride[last] > 1 && b.stride[last - 1] == 1) {
    const int64_t tiles = (b.length[last - 1] + TILE - 1) / TILE, matrix = b.length[last - 1] * b.length[last];
    ink_share(worker, size / matrix * tiles, 1, &first, &end);
    for (int64_t unit = first; unit < end; unit++) {
      int64_t rest = unit / tiles, at = step->ints[0];
      const int64_t outer = rest, row = unit % tiles * TILE;
      for (int k = last - 2; k >= 0; k--) {
        at += rest % b.length[k] * b.stride[k];
        rest /= b.length[k];
      }
      const int64_t rows = b.length[last - 1] - row < TILE ? b.length[last - 1] - row : TILE;
      copy_transposed(from + at + row, b.stride[last], to + outer * matrix + row * b.length[last], rows, b.length[last]);
    }
    return;
  }
  const int64_t width = b.length[last];
  ink_share(worker, size / width, width < 256 ? 256 / width : 1, &first, &end);
  copy_rows(from, to, &b, rank, step->ints[0], first, end);
}

void INK_NAME(ink_concat)(const ink_step *step, const ink_worker *worker) {
  const ink_tensor *y = step->output;
  const int axis = step->ints[0];
  int64_t inner = 1, from, to;
  for (int k = axis + 1; k < y->rank; k++) inner *= y->dim[k];
  const int64_t row = y->dim[axis] * inner;
  ink_share(worker, ink_size(y), 256, &from, &to);
  if (from >= to) return;
  /* y is rows of parts: copy what of each part lies in [from, to) */
  for (int64_t outer = from / row; outer * row < to; outer++) {
    int64_t start = outer * row;
    for (int i = 0; i < step->input_count; i++) {
      const int64_t length = step->input[i]->dim[axis] * inner;
      const int64_t a = from > start ? from : start, z = to < start + length ? to : start + length;
      if (a < z) memcpy((uint32_t *)y->data + a, (const uint32_t *)step->input[i]->data + outer * length + (a - start), (size_t)(z - a) * 4);
      start += length;
    }
  }
}
