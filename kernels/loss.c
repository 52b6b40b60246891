/* CROSS_ENTROPY and its gradient. A target outside the vocabulary gives NaN, as its score is unknown. */
#include "rows.h"

void INK_NAME(ink_cross_entropy)(const ink_step *step, const ink_worker *worker) {
  const int64_t n = ink_last(step->input[0]);
  const int32_t *targets = step->input[1]->data;
  float *y = step->output->data;
  int64_t from, to;
  ink_share(worker, ink_size(step->output), 1, &from, &to);
  for (int64_t r = from; r < to; r++) {
    const float *row = (const float *)step->input[0]->data + r * n;
    const int32_t target = targets[r];
    if (target == step->ints[0]) {
      y[r] = 0.0f;
    } else if (target < 0 || target >= n) {
      y[r] = __builtin_nanf("");
    } else {
      const float top = ink_row_max(row, n);
      y[r] = ink_log((float)ink_row_exp_sum(row, n, top)) - (row[target] - top);
    }
  }
}

void INK_NAME(ink_cross_entropy_grad)(const ink_step *step, const ink_worker *worker) {
  const int64_t n = ink_last(step->output);
  const int32_t *targets = step->input[1]->data;
  const float *g = step->input[2]->data;
  int64_t from, to;
  ink_share(worker, ink_rows(step->output), 1, &from, &to);
  for (int64_t r = from; r < to; r++) {
    const float *row = (const float *)step->input[0]->data + r * n;
    float *y = (float *)step->output->data + r * n;
    const int32_t target = targets[r];
    if (target == step->ints[0]) {
      for (int64_t i = 0; i < n; i++) y[i] = 0.0f;
      continue;
    }
    const float top = ink_row_max(row, n);
    INK_ROW_MAP(y, row, n, v8_exp(x - top));
    const float factor = (float)((double)g[r] / ink_row_sum(y, n));
    INK_ROW_MAP(y, y, n, x * factor);
    if (target >= 0 && target < n) y[target] -= g[r];
  }
}
