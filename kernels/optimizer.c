/* ADAMW, MOMENTUM, DESCEND, ACCUMULATE, SUM_SQUARES: the end of a training step. The updates change parameters and optimiser state in place, element by
 * element; a scale that is not finite means that the gradients are not either, and nothing changes. */
#include "rows.h"

static int is_finite(float x) { return x - x == 0.0f; }

/* Apply body to eight elements at a time and to the rest as a part: `i` is the first, `n` how many (8 or fewer). */
#define EACH_EIGHT(from, to, body) \
  do { \
    int64_t i = (from); \
    for (; i + 8 <= (to); i += 8) { \
      const int64_t n = 8; \
      body \
    } \
    if (i < (to)) { \
      const int64_t n = (to) - i; \
      body \
    } \
  } while (0)
#define LOAD(p) (n == 8 ? v8_load((p) + i) : v8_load_part((p) + i, n, 0.0f))
#define STORE(p, x) \
  do { \
    if (n == 8) v8_store((p) + i, x); \
    else v8_store_part((p) + i, x, n); \
  } while (0)

void INK_NAME(ink_adamw)(const ink_step *step, const ink_worker *worker) {
  float *p = step->input[0]->data, *m = step->input[1]->data, *v = step->input[2]->data;
  const float *g = step->input[3]->data;
  const float scale = *(const float *)step->input[4]->data;
  const float *rates = step->input[5]->data;
  if (!is_finite(scale)) return;
  const float *f = step->floats; /* beta1, 1-beta1, beta2, 1-beta2, eps, decay */
  const double rate = rates[0];
  const v8f factor = v8_set(scale), keep1 = v8_set(f[0]), take1 = v8_set(f[1]);
  const v8f keep2 = v8_set(f[2]), take2 = v8_set(f[3]);
  const v8f correct = v8_set((float)(1.0 / (double)rates[2])), eps = v8_set(f[4]);
  const v8f length = v8_set((float)(rate / (double)rates[1])), shrink = v8_set((float)(1.0 - rate * (double)f[5]));
  int64_t from, to;
  ink_share(worker, ink_size(step->output), 16, &from, &to);
  EACH_EIGHT(from, to, {
    const v8f grad = LOAD(g) * factor;
    const v8f first = v8_fma(keep1, LOAD(m), take1 * grad);
    const v8f second = v8_fma(keep2, LOAD(v), take2 * (grad * grad));
    STORE(m, first);
    STORE(v, second);
    STORE(p, LOAD(p) * shrink - length * first / (v8_sqrt(second * correct) + eps));
  });
}

void INK_NAME(ink_momentum)(const ink_step *step, const ink_worker *worker) {
  float *buffer = step->input[0]->data;
  const float *g = step->input[1]->data;
  const float scale = *(const float *)step->input[2]->data;
  if (!is_finite(scale)) return;
  const v8f keep = v8_set(step->floats[0]), take = v8_set(step->floats[1] * scale);
  int64_t from, to;
  ink_share(worker, ink_size(step->output), 16, &from, &to);
  EACH_EIGHT(from, to, { STORE(buffer, v8_fma(keep, LOAD(buffer), take * LOAD(g))); });
}

void INK_NAME(ink_descend)(const ink_step *step, const ink_worker *worker) {
  float *p = step->input[0]->data;
  const float *direction = step->input[1]->data;
  const float scale = *(const float *)step->input[2]->data;
  const double rate = *(const float *)step->input[3]->data;
  if (!is_finite(scale)) return;
  const v8f length = v8_set((float)(rate * (double)step->floats[0] * (double)scale));
  const v8f shrink = v8_set((float)(1.0 - rate * (double)step->floats[1]));
  int64_t from, to;
  ink_share(worker, ink_size(step->output), 16, &from, &to);
  EACH_EIGHT(from, to, { STORE(p, LOAD(p) * shrink - length * LOAD(direction)); });
}

void INK_NAME(ink_accumulate)(const ink_step *step, const ink_worker *worker) {
  float *total = step->input[0]->data;
  const float *x = step->input[1]->data;
  int64_t from, to;
  ink_share(worker, ink_size(step->output), 16, &from, &to);
  if (*(const float *)step->input[2]->data != 0.0f) EACH_EIGHT(from, to, { STORE(total, LOAD(total) + LOAD(x)); });
  else EACH_EIGHT(from, to, { STORE(total, LOAD(x)); });
}

/* Elements of one partial sum: the sums of all inputs fit into the shared memory. The inputs' sizes alone decide it. */
static int64_t part_length(const ink_step *step, int64_t *count) {
  for (int64_t length = (int64_t)1 << 14;; length *= 2) {
    *count = 0;
    for (int i = 0; i < step->input_count; i++) *count += (ink_size(step->input[i]) + length - 1) / length;
    if (*count <= (1 << 16) + INK_MAX_INPUTS) return length;
  }
}

void INK_NAME(ink_sum_squares)(const ink_step *step, const ink_worker *worker) {
  double *parts = (double *)(void *)worker->shared;
  int64_t count, from, to, part = 0;
  const int64_t length = part_length(step, &count);
  ink_share(worker, count, 1, &from, &to);
  ink_barrier(worker);
  for (int i = 0; i < step->input_count; i++) {
    const float *x = step->input[i]->data;
    const int64_t n = ink_size(step->input[i]);
    for (int64_t at = 0; at < n; at += length, part++) {
      if (part < from || part >= to) continue;
      parts[part] = ink_row_square_sum(x + at, n - at < length ? n - at : length, 0.0f);
    }
  }
  ink_barrier(worker);
  if (worker->index == 0) {
    double total = 0;
    for (int64_t i = 0; i < count; i++) total += parts[i];
    *(float *)step->output->data = (float)total;
  }
  ink_barrier(worker); /* before another step uses the shared memory */
}
