/* EXPERT_MATMUL and EXPERT_OUTER: rows meet the weights of the experts they were sent to. The (row, choice) pairs of one expert, in
 * ascending order, are the rows of one ordinary product (matmul.h), reached through an index. */
#include "matmul.h"

/* Pairs sorted at once, and experts counted at once: what fits behind a product's scratch. */
#define INK_PAIRS 65536
#define INK_EXPERTS 4096

typedef struct {
  int32_t pair[INK_PAIRS]; /* by expert, ascending */
  int32_t row[INK_PAIRS];  /* the row of x of each */
  int32_t start[INK_EXPERTS + 1];
} ink_routes;

_Static_assert(INK_PRODUCT_SCRATCH + sizeof(ink_routes) <= INK_SCRATCH, "the routes must fit behind a product's scratch");

/* The pairs begin … end-1 that choose an expert of first … first+count-1. Pair i has row i / choices of x, or row i where `choices` is 1. */
static void ink_route(ink_routes *routes, const int32_t *chosen, int64_t begin, int64_t end, int64_t choices, int64_t first, int64_t count) {
  int32_t *start = routes->start;
  memset(start, 0, (size_t)(count + 1) * sizeof *start);
  for (int64_t i = begin; i < end; i++) {
    if (chosen[i] >= first && chosen[i] < first + count) start[chosen[i] - first + 1]++;
  }
  for (int64_t e = 0; e < count; e++) start[e + 1] += start[e];
  for (int64_t i = begin; i < end; i++) {
    if (chosen[i] < first || chosen[i] >= first + count) continue;
    int32_t at = start[chosen[i] - first]++;
    routes->pair[at] = (int32_t)i;
    routes->row[at] = (int32_t)(i / choices);
  }
  memmove(start + 1, start, (size_t)count * sizeof *start); /* every start had moved to the next one */
  start[0] = 0;
}

void INK_NAME(ink_expert_matmul)(const ink_step *step, const ink_worker *worker) {
  const ink_tensor *x = step->input[0], *w = step->input[1], *index = step->input[2], *y = step->output;
  const int32_t *chosen = (const int32_t *)index->data;
  int64_t choices = ink_last(index), pairs = ink_size(index), experts = w->dim[0], n = ink_last(y), k = ink_last(x), from, to;
  ink_routes *routes = (ink_routes *)(void *)(worker->scratch + INK_PRODUCT_SCRATCH);
  ink_product p = {
    .n = n, .k = k,
    .a = x->data, .a_type = x->dtype, .lda = k,
    .b_type = w->dtype, .transpose_b = step->ints[0], .ldb = ink_last(w),
    .y = (float *)y->data,
  };
  int64_t expert_bytes = ink_row_bytes(w->dtype, n * k);
  for (int64_t begin = 0; begin < pairs; begin += INK_PAIRS) {
    int64_t end = pairs - begin < INK_PAIRS ? pairs : begin + INK_PAIRS;
    for (int64_t first = 0; first < experts; first += INK_EXPERTS) {
      int64_t count = experts - first < INK_EXPERTS ? experts - first : INK_EXPERTS;
      ink_route(routes, chosen, begin, end, x->rank > 2 ? 1 : choices, first, count);
      for (int64_t e = 0; e < count; e++) {
        p.m = routes->start[e + 1] - routes->start[e];
        if (p.m == 0) continue;
        p.b = (const uint8_t *)w->data + (first + e) * expert_bytes;
        p.a_row = routes->row + routes->start[e];
        p.y_row = routes->pair + routes->start[e];
        INK_NAME(ink_product_share)(&p, worker);
      }
    }
  }
  /* a choice that is no expert gives NaN */
  ink_share(worker, pairs, 1, &from, &to);
  for (int64_t i = from; i < to; i++) {
    if (chosen[i] >= 0 && chosen[i] < experts) continue;
    for (int64_t j = 0; j < n; j++) p.y[i * n + j] = __builtin_nanf("");
  }
}

void INK_NAME(ink_expert_outer)(const ink_step *step, const ink_worker *worker) {
  const ink_tensor *dy = step->input[0], *x = step->input[1], *index = step->input[2], *y = step->output;
  const int32_t *chosen = (const int32_t *)index->data;
  int64_t choices = ink_last(index), pairs = ink_size(index), experts = y->dim[0], m = ink_last(dy), n = ink_last(x);
  ink_routes *routes = (ink_routes *)(void *)(worker->scratch + INK_PRODUCT_SCRATCH);
  ink_product p = {
    .m = m, .n = n,
    .a = dy->data, .a_type = dy->dtype, .transpose_a = 1, .lda = m,
    .b = x->data, .b_type = x->dtype, .ldb = n,
  };
  for (int64_t begin = 0; begin == 0 || begin < pairs; begin += INK_PAIRS) {
    int64_t end = pairs - begin < INK_PAIRS ? pairs : begin + INK_PAIRS;
    for (int64_t first = 0; first < experts; first += INK_EXPERTS) {
      int64_t count = experts - first < INK_EXPERTS ? experts - first : INK_EXPERTS;
      ink_route(routes, chosen, begin, end, x->rank > 2 ? 1 : choices, first, count);
      for (int64_t e = 0; e < count; e++) {
        p.k = routes->start[e + 1] - routes->start[e];
        p.resume = begin > 0; /* the pairs before `begin` are summed already */
        if (p.resume && p.k == 0) continue;
        p.a_row = routes->pair + routes->start[e];
        p.b_row = routes->row + routes->start[e];
        p.y = (float *)y->data + (first + e) * m * n;
        INK_NAME(ink_product_share)(&p, worker);
      }
    }
  }
}
