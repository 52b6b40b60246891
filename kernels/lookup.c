/* Numbers picked and placed by index. An index from outside its range reads NaN and writes nothing. */
#include "isa.h"

#include <string.h>

void INK_NAME(ink_take_last)(const ink_step *step, const ink_worker *worker) {
  const float *x = step->input[0]->data;
  const int32_t *idx = step->input[1]->data;
  float *y = step->output->data;
  const int64_t size = ink_last(step->input[0]), k = ink_last(step->output);
  int64_t from, to;
  ink_share(worker, ink_size(step->output), 64, &from, &to);
  for (int64_t i = from; i < to; i++) y[i] = idx[i] >= 0 && idx[i] < size ? x[i / k * size + idx[i]] : __builtin_nanf("");
}

void INK_NAME(ink_put_last)(const ink_step *step, const ink_worker *worker) {
  const float *g = step->input[0]->data;
  const int32_t *idx = step->input[1]->data;
  float *y = step->output->data;
  const int64_t k = ink_last(step->input[0]), size = ink_last(step->output);
  int64_t from, to;
  ink_share(worker, ink_rows(step->output), 1, &from, &to);
  for (int64_t row = from; row < to; row++) {
    if (size) memset(y + row * size, 0, (size_t)size * sizeof(float));
    for (int64_t i = row * k; i < (row + 1) * k; i++) {
      if (idx[i] >= 0 && idx[i] < size) y[row * size + idx[i]] += g[i];
    }
  }
}

/* Threads share the columns of y, so that each element is summed by one, in the order of the rows. */
void INK_NAME(ink_scatter_add)(const ink_step *step, const ink_worker *worker) {
  const float *g = step->input[0]->data;
  const int32_t *ids = step->input[1]->data;
  float *y = step->output->data;
  const int64_t rows = step->output->dim[0], count = ink_size(step->input[1]);
  int64_t width = 1, from, to;
  for (int k = 1; k < step->output->rank; k++) width *= step->output->dim[k];
  ink_share(worker, width, 16, &from, &to);
  if (from >= to) return;
  for (int64_t row = 0; row < rows; row++) memset(y + row * width + from, 0, (size_t)(to - from) * sizeof(float));
  for (int64_t i = 0; i < count; i++) {
    if (ids[i] < 0 || ids[i] >= rows) continue;
    float *const target = y + ids[i] * width;
    const float *const source = g + i * width;
    for (int64_t c = from; c < to; c++) target[c] += source[c];
  }
}

/* An insertion into the k best so far: k is small. The first of equals stays first, since a later one must be greater. */
void INK_NAME(ink_topk)(const ink_step *step, const ink_worker *worker) {
  const int64_t size = ink_last(step->input[0]), k = ink_last(step->output);
  int64_t from, to;
  ink_share(worker, ink_rows(step->output), 1, &from, &to);
  for (int64_t row = from; row < to && k > 0; row++) {
    const float *x = (const float *)step->input[0]->data + row * size;
    int32_t *best = (int32_t *)step->output->data + row * k;
    int64_t count = 0;
    for (int64_t i = 0; i < size; i++) {
      if (count == k && !(x[i] > x[best[k - 1]])) continue;
      int64_t at = count < k ? count++ : k - 1;
      for (; at > 0 && x[i] > x[best[at - 1]]; at--) best[at] = best[at - 1];
      best[at] = (int32_t)i;
    }
  }
}
