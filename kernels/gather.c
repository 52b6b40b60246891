/* GATHER: rows of a table of any type, widened to float32. */
#include "quant_widen.h"

/* Elements that one thread takes at a time: whole blocks of every type. */
#define INK_GATHER_PIECE 256

void INK_NAME(ink_gather)(const ink_step *step, const ink_worker *worker) {
  const ink_tensor *table = step->input[0], *ids = step->input[1];
  const int32_t *id = (const int32_t *)ids->data;
  float *y = (float *)step->output->data;
  int64_t width = 1, pieces, from, to;
  for (int i = 1; i < table->rank; i++) width *= table->dim[i];
  pieces = (width + INK_GATHER_PIECE - 1) / INK_GATHER_PIECE;
  ink_share(worker, ink_size(ids) * pieces, 1, &from, &to);
  for (int64_t i = from; i < to; i++) {
    int64_t row = i / pieces, start = i % pieces * INK_GATHER_PIECE;
    int64_t n = width - start < INK_GATHER_PIECE ? width - start : INK_GATHER_PIECE;
    float *to_row = y + row * width + start;
    if (id[row] >= 0 && id[row] < table->dim[0]) {
      INK_NAME(ink_widen)(table->dtype, table->data, id[row] * width + start, n, to_row);
    } else {
      for (int64_t j = 0; j < n; j++) to_row[j] = __builtin_nanf("");
    }
  }
}
