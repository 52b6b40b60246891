/* Elements of any type as float32. INK_W consecutive blocks are unpacked at once, as if they were rows (quant_unpack.h). */
#include "quant_widen.h"
#include "gemm_panel.h"

/* `count` <= INK_W blocks from p on; what is between is read only where there are INK_W. */
INK_INLINE void ink_widen_blocks(void (*panel)(const ink_columns *, int64_t, int64_t, float *, int64_t), int elements, int bytes,
                                 const uint8_t *p, int64_t blocks, float *y) {
  float value[256 * INK_W];
  for (int64_t i = 0; i < blocks; i += INK_W) {
    int64_t count = blocks - i < INK_W ? blocks - i : INK_W;
    ink_columns at = {p + i * bytes, bytes, 0, 0, INK_W};
    uint8_t copy[256 * INK_W];
    if (count < INK_W) {
      memset(copy, 0, (size_t)(bytes * INK_W));
      memcpy(copy, at.data, (size_t)(count * bytes));
      at.data = copy;
    }
    panel(&at, 0, elements, value, INK_W);
    for (int64_t lane = 0; lane < count; lane++) {
      for (int k = 0; k < elements; k++) y[(i + lane) * elements + k] = value[k * INK_W + lane];
    }
  }
}

void INK_NAME(ink_widen)(int32_t dtype, const void *x, int64_t start, int64_t n, float *y) {
  switch (dtype) {
    case INK_F32: memcpy(y, (const float *)x + start, (size_t)n * sizeof *y); break;
    case INK_F16: ink_widen_f16((const uint16_t *)x + start, y, n); break;
    case INK_BF16: ink_widen_bf16((const uint16_t *)x + start, y, n); break;
    case INK_I32:
      for (int64_t i = 0; i < n; i++) y[i] = (float)((const int32_t *)x)[start + i];
      break;
#define X(type, name, elements, bytes, ...)                                                                                    \
  case type: ink_widen_blocks(ink_panel_##name, elements, bytes, (const uint8_t *)x + start / elements * bytes, n / elements, y); break;
      INK_BLOCK_TYPES(X)
#undef X
    default: break;
  }
}
