/* MATMUL: from tensors to products, and from products to each thread's rectangle. */
#include "matmul.h"

void INK_NAME(ink_product_any)(const ink_product *p, ink_rect part, uint8_t *scratch) {
  if (part.m0 >= part.m1 || part.n0 >= part.n1) return;
  if (p->a_type == INK_Q8A) INK_NAME(ink_product_int8)(p, part, scratch);
  else if (part.m1 - part.m0 <= INK_FEW_ROWS && !p->resume) INK_NAME(ink_product_few)(p, part, scratch);
  else INK_NAME(ink_product_many)(p, part, scratch);
}

/* Rectangles are whole numbers of these, so that tiles at the seams are full ones. */
#define INK_UNIT_ROWS (INK_AMX ? 48 : 12)
#define INK_UNIT_COLUMNS (2 * INK_W)

/* The share `index` of `count` of n items, in units. */
static void ink_cut(int64_t n, int64_t unit, int64_t index, int64_t count, int64_t *from, int64_t *to) {
  ink_worker part = {.index = (int32_t)index, .count = (int32_t)count};
  ink_share(&part, n, unit, from, to);
}

void INK_NAME(ink_product_share)(const ink_product *p, const ink_worker *worker) {
  /* a grid of rectangles: least work for the busiest thread, where packing an element of a or b weighs as much as so many products */
  const int bytes = p->a_type == INK_Q8A;
  const int64_t pack_a = bytes ? 16 : p->transpose_a || p->n > 1024 ? 8 : 2, pack_b = bytes ? 16 : p->transpose_b ? 24 : 8;
  int64_t row_units = (p->m + INK_UNIT_ROWS - 1) / INK_UNIT_ROWS, column_units = (p->n + INK_UNIT_COLUMNS - 1) / INK_UNIT_COLUMNS;
  int64_t down = 1;
  double least = 0;
  for (int64_t d = 1; d <= worker->count; d++) {
    if (worker->count % d) continue;
    int64_t across = worker->count / d;
    double rows = (double)((row_units + d - 1) / d * INK_UNIT_ROWS);
    double columns = (double)((column_units + across - 1) / across * INK_UNIT_COLUMNS);
    if (rows > (double)p->m) rows = (double)p->m;
    double work = rows * columns + (double)pack_a * rows + (double)pack_b * columns;
    if (d == 1 || work < least) {
      least = work;
      down = d;
    }
  }
  ink_rect part;
  ink_cut(p->m, INK_UNIT_ROWS, worker->index % down, down, &part.m0, &part.m1);
  ink_cut(p->n, INK_UNIT_COLUMNS, worker->index / down, worker->count / down, &part.n0, &part.n1);
  INK_NAME(ink_product_any)(p, part, worker->scratch);
}

void INK_NAME(ink_matmul)(const ink_step *step, const ink_worker *worker) {
  const ink_tensor *a = step->input[0], *b = step->input[1], *y = step->output;
  const ink_tensor *bias = step->input_count > 2 ? step->input[2] : NULL, *residual = step->input_count > 3 ? step->input[3] : NULL;
  int transpose_a = step->ints[0], transpose_b = step->ints[1], batched = b->rank > 2 || transpose_a;
  int64_t n = ink_last(y), rows = ink_rows(y), m = batched ? y->dim[y->rank - 2] : rows;
  int64_t batches = m ? rows / m : 0, k = a->dim[a->rank - (transpose_a ? 2 : 1)];
  ink_product p = {
    .m = m, .n = n, .k = k,
    .a_type = a->dtype, .transpose_a = transpose_a, .lda = ink_last(a),
    .b_type = b->dtype, .transpose_b = transpose_b, .ldb = ink_last(b),
    .bias = bias ? (const float *)bias->data : NULL,
  };
  int64_t a_bytes = ink_row_bytes(a->dtype, m * k), b_bytes = b->rank > 2 ? ink_row_bytes(b->dtype, n * k) : 0;
  int64_t from = 0, to = batches;
  /* many small products: whole ones for each thread; otherwise every one is divided */
  int apart = batches % worker->count == 0 || batches >= 4 * worker->count;
  if (apart) ink_share(worker, batches, 1, &from, &to);
  for (int64_t i = from; i < to; i++) {
    p.a = (const uint8_t *)a->data + i * a_bytes;
    p.b = (const uint8_t *)b->data + i * b_bytes;
    p.y = (float *)y->data + i * m * n;
    p.residual = residual ? (const float *)residual->data + i * m * n : NULL;
    if (apart) INK_NAME(ink_product_any)(&p, (ink_rect){0, m, 0, n}, worker->scratch);
    else INK_NAME(ink_product_share)(&p, worker);
  }
}
