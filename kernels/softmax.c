/* SOFTMAX and LOG_SOFTMAX of rows; the result may lie where the operand does. */
#include "rows.h"

void INK_NAME(ink_softmax)(const ink_step *step, const ink_worker *worker) {
  const int64_t n = ink_last(step->output);
  int64_t from, to;
  ink_share(worker, ink_rows(step->output), 1, &from, &to);
  for (int64_t r = from; r < to; r++) {
    const float *row = (const float *)step->input[0]->data + r * n;
    float *y = (float *)step->output->data + r * n;
    const float top = ink_row_max(row, n);
    INK_ROW_MAP(y, row, n, v8_exp(x - top));
    const float factor = (float)(1.0 / ink_row_sum(y, n));
    INK_ROW_MAP(y, y, n, x * factor);
  }
}

void INK_NAME(ink_log_softmax)(const ink_step *step, const ink_worker *worker) {
  const int64_t n = ink_last(step->output);
  int64_t from, to;
  ink_share(worker, ink_rows(step->output), 1, &from, &to);
  for (int64_t r = from; r < to; r++) {
    const float *row = (const float *)step->input[0]->data + r * n;
    float *y = (float *)step->output->data + r * n;
    const float top = ink_row_max(row, n);
    const float log_sum = ink_log((float)ink_row_exp_sum(row, n, top));
    INK_ROW_MAP(y, row, n, (x - top) - log_sum);
  }
}
