/* CAST: from any type to float32, and from float32, float16 or bfloat16 to one another, rounding to nearest even. */
#include "convert.h"
#include "quant_widen.h"

#define INK_CAST_PIECE 2048

void INK_NAME(ink_cast)(const ink_step *step, const ink_worker *worker) {
  const ink_tensor *x = step->input[0], *y = step->output;
  int64_t from, to;
  ink_share(worker, ink_size(x), INK_CAST_PIECE, &from, &to);
  for (int64_t i = from; i < to; i += INK_CAST_PIECE) {
    int64_t n = to - i < INK_CAST_PIECE ? to - i : INK_CAST_PIECE;
    float wide[INK_CAST_PIECE];
    switch (y->dtype) {
      case INK_F32: INK_NAME(ink_widen)(x->dtype, x->data, i, n, (float *)y->data + i); break;
      case INK_F16:
        INK_NAME(ink_widen)(x->dtype, x->data, i, n, wide);
        ink_narrow_f16(wide, (uint16_t *)y->data + i, n);
        break;
      case INK_BF16:
        INK_NAME(ink_widen)(x->dtype, x->data, i, n, wide);
        ink_narrow_bf16(wide, (uint16_t *)y->data + i, n);
        break;
      default: break;
    }
  }
}
