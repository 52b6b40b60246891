/* NORMALIZE and NORMALIZE_GRAD: layer (mean and deviation) and rms (deviation from zero). */
#include "rows.h"

enum { LAYER = 0 };

/* Mean (0 for rms) and reciprocal deviation of a row. */
static void moments(const float *row, int64_t n, int32_t kind, float eps, float *mean, float *scale) {
  *mean = kind == LAYER ? (float)(ink_row_sum(row, n) / (double)n) : 0.0f;
  const double variance = ink_row_square_sum(row, n, *mean) / (double)n;
  *scale = (float)(1.0 / __builtin_sqrt(variance + (double)eps));
}

void INK_NAME(ink_normalize)(const ink_step *step, const ink_worker *worker) {
  const ink_tensor *w_in = step->input_count > 1 ? step->input[1] : NULL, *b_in = step->input_count > 2 ? step->input[2] : NULL;
  const float *w = w_in ? w_in->data : NULL, *b = b_in ? b_in->data : NULL;
  const float eps = step->floats[0], weight_offset = step->floats[1];
  const int64_t n = ink_last(step->output);
  int64_t from, to;
  ink_share(worker, ink_rows(step->output), 1, &from, &to);
  for (int64_t r = from; r < to; r++) {
    const float *row = (const float *)step->input[0]->data + r * n;
    float *y = (float *)step->output->data + r * n;
    float mean, scale;
    moments(row, n, step->ints[0], eps, &mean, &scale);
    if (w && b) INK_ROW_MAP(y, row, n, (x - mean) * scale * (ink_row_at(w, at, n) + weight_offset) + ink_row_at(b, at, n));
    else if (w) INK_ROW_MAP(y, row, n, (x - mean) * scale * (ink_row_at(w, at, n) + weight_offset));
    else if (b) INK_ROW_MAP(y, row, n, (x - mean) * scale + ink_row_at(b, at, n));
    else INK_ROW_MAP(y, row, n, (x - mean) * scale);
  }
}

void INK_NAME(ink_normalize_grad)(const ink_step *step, const ink_worker *worker) {
  const int64_t n = ink_last(step->output);
  int64_t from, to;
  ink_share(worker, ink_rows(step->output), 1, &from, &to);
  for (int64_t r = from; r < to; r++) {
    const float *row = (const float *)step->input[0]->data + r * n;
    const float *g = (const float *)step->input[1]->data + r * n;
    float *dx = (float *)step->output->data + r * n;
    float mean, scale;
    moments(row, n, step->ints[0], step->floats[0], &mean, &scale);
    double dot;
    INK_ROW_SUM(dot, row, n, mean, (x - mean) * ink_row_at(g, at, n));
    const float slope = (float)(dot * (double)scale / (double)n);
    const float shift = step->ints[0] == LAYER ? (float)(ink_row_sum(g, n) / (double)n) : 0.0f;
    INK_ROW_MAP(dx, row, n, scale * (ink_row_at(g, at, n) - shift - (x - mean) * scale * slope));
  }
}
