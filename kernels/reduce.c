/* SUM over consecutive axes, MAX of rows. */
#include "rows.h"

/* A sum longer than this is cut into parts of this length, which threads share. */
#define PART ((int64_t)1 << 16)
/* Rows that one partial sum over rows takes in, before it is added to the sum of those before it. */
enum { COLUMN_BLOCK = 64 };

/* Σ over m of x[m * inner + i] for the `vectors` eights from i on; `lanes` of the last one are wanted. */
INK_INLINE void sum_eights(const float *x, float *y, int64_t middle, int64_t inner, const int vectors, int64_t lanes) {
  v8f total[8], part[8];
  for (int v = 0; v < vectors; v++) total[v] = v8_zero();
  for (int64_t block = 0; block < middle; block += COLUMN_BLOCK) {
    const int64_t end = block + COLUMN_BLOCK < middle ? block + COLUMN_BLOCK : middle;
    for (int v = 0; v < vectors; v++) part[v] = v8_zero();
    for (int64_t m = block; m < end; m++) {
      const float *row = x + m * inner;
      for (int v = 0; v < vectors; v++) {
        part[v] += v < vectors - 1 || lanes == 8 ? v8_load(row + 8 * v) : v8_load_part(row + 8 * v, lanes, 0.0f);
      }
    }
    for (int v = 0; v < vectors; v++) total[v] += part[v];
  }
  for (int v = 0; v < vectors - 1; v++) v8_store(y + 8 * v, total[v]);
  if (lanes == 8) v8_store(y + 8 * (vectors - 1), total[vectors - 1]);
  else v8_store_part(y + 8 * (vectors - 1), total[vectors - 1], lanes);
}

/* The same for i in [from, to). */
static void sum_columns(const float *x, float *y, int64_t middle, int64_t inner, int64_t from, int64_t to) {
  int64_t i = from;
  for (; i + 64 <= to; i += 64) sum_eights(x + i, y + i, middle, inner, 8, 8);
  for (; i + 16 <= to; i += 16) sum_eights(x + i, y + i, middle, inner, 2, 8);
  for (; i < to; i += 8) sum_eights(x + i, y + i, middle, inner, 1, to - i < 8 ? to - i : 8);
}

/* One long row: parts by all threads, then their sum in order. */
static void sum_long_row(const float *x, float *y, int64_t n, const ink_worker *worker) {
  double *parts = (double *)(void *)worker->shared;
  const int64_t count = (n + PART - 1) / PART;
  int64_t from, to;
  ink_share(worker, count, 1, &from, &to);
  for (int64_t i = from; i < to; i++) parts[i] = ink_row_sum(x + i * PART, n - i * PART < PART ? n - i * PART : PART);
  ink_barrier(worker);
  if (worker->index == 0) {
    double total = 0;
    for (int64_t i = 0; i < count; i++) total += parts[i];
    *y = (float)total;
  }
  ink_barrier(worker); /* before another step uses the shared memory */
}

void INK_NAME(ink_sum)(const ink_step *step, const ink_worker *worker) {
  const ink_tensor *in = step->input[0];
  const float *x = in->data;
  float *y = step->output->data;
  int64_t outer = 1, middle = 1, inner = 1, from, to;
  for (int k = 0; k < in->rank; k++) {
    int64_t *part = k < step->ints[0] ? &outer : k < step->ints[1] ? &middle : &inner;
    *part *= in->dim[k];
  }
  if (inner == 1) {
    if (middle > 4 * PART && outer < 4 && (uint64_t)(middle / PART + 1) * sizeof(double) <= INK_SHARED) {
      ink_barrier(worker);
      for (int64_t o = 0; o < outer; o++) sum_long_row(x + o * middle, y + o, middle, worker);
      return;
    }
    ink_share(worker, outer, 1, &from, &to);
    for (int64_t o = from; o < to; o++) {
      if (middle <= 4 * PART) {
        y[o] = (float)ink_row_sum(x + o * middle, middle);
        continue;
      }
      double total = 0; /* in the parts of sum_long_row, so that the result is the same */
      for (int64_t i = 0; i < middle; i += PART) total += ink_row_sum(x + o * middle + i, middle - i < PART ? middle - i : PART);
      y[o] = (float)total;
    }
    return;
  }
  const int64_t strips = (inner + 15) / 16;
  ink_share(worker, outer * strips, 1, &from, &to);
  for (int64_t unit = from; unit < to;) {
    const int64_t o = unit / strips, first = unit % strips;
    const int64_t last = to - unit < strips - first ? first + to - unit : strips;
    sum_columns(x + o * middle * inner, y + o * inner, middle, inner, first * 16, last * 16 < inner ? last * 16 : inner);
    unit += last - first;
  }
}

void INK_NAME(ink_max)(const ink_step *step, const ink_worker *worker) {
  const float *x = step->input[0]->data;
  float *y = step->output->data;
  const int64_t length = ink_last(step->input[0]);
  int64_t from, to;
  ink_share(worker, ink_rows(step->input[0]), 1, &from, &to);
  for (int64_t row = from; row < to; row++) y[row] = ink_row_max(x + row * length, length);
}
