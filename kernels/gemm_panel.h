/* Panels of the right operand as float32: row k of a panel holds b[k] of INK_W columns, whatever type and orientation b has. */
#ifndef INK_GEMM_PANEL_H
#define INK_GEMM_PANEL_H

#include "matmul.h"
#include "quant_unpack.h"

/* Panels of block types start and end at multiples of this. */
#define INK_PANEL_STEP 256

/* A block's elements: (code - offset) * scale + min, one rounding each, as the formats define them. */
INK_INLINE void ink_expand(const vub *code, const vf *scale, const vf *min, int elements, int sub, enum ink_code kind, int offset,
                           int has_min, float *to, int64_t to_stride) {
  for (int i = 0; i < elements / 4; i++) {
    vf s = scale[i * 4 / sub];
    INK_UNROLL
    for (int j = 0; j < 4; j++) {
      vi x = kind == INK_CODE_BYTE && !INK_VNNI ? (vi)((vu)code[i] << (24 - 8 * j)) >> 24 : (vi)ink_lane_byte((vu)code[i], j) - offset;
      vf value = vf_from_int(x) * s;
      if (has_min) value = value + min[i * 4 / sub];
      vf_store(to + (4 * i + j) * to_stride, value);
    }
  }
}

INK_INLINE void ink_panel_f32(const ink_columns *at, int64_t k, int64_t length, float *to, int64_t to_stride) {
  const uint8_t *p = at->data + 4 * k;
  int64_t i = 0;
  for (; i + 4 <= length; i += 4) {
    vu word[4];
    vu_load_words(p + 4 * i, at->stride, word);
    INK_UNROLL
    for (int j = 0; j < 4; j++) vu_store(to + (i + j) * to_stride, word[j]);
  }
  for (; i < length; i++) vu_store(to + i * to_stride, vu_load_column32(p + 4 * i, at->stride));
}

INK_INLINE void ink_panel_16bit(const ink_columns *at, int32_t type, int64_t k, int64_t length, float *to, int64_t to_stride) {
  const uint8_t *p = at->data + 2 * k;
  int64_t i = 0;
  for (; i + 8 <= length; i += 8) {
    vu word[4];
    vu_load_words(p + 2 * i, at->stride, word);
    INK_UNROLL
    for (int j = 0; j < 4; j++) {
      vf low = (vf)(word[j] << 16), high = (vf)(word[j] & 0xffff0000u);
      if (type == INK_F16) vf_from_f16_pair(word[j], &low, &high);
      vf_store(to + (i + 2 * j) * to_stride, low);
      vf_store(to + (i + 2 * j + 1) * to_stride, high);
    }
  }
  for (; i < length; i++) {
    vu half = vu_load_column16(p + 2 * i, at->stride);
    vf_store(to + i * to_stride, type == INK_F16 ? vf_from_f16(half) : (vf)(half << 16));
  }
}

#define X(type, name, elements, bytes, sub, kind, offset, has_min)                                                           \
  static inline void ink_panel_##name(const ink_columns *at, int64_t k, int64_t length, float *to, int64_t to_stride) {      \
    for (int64_t block = k / elements; block < (k + length) / elements; block++, to += elements * to_stride) {               \
      vub code[64];                                                                                                          \
      vf scale[16], min[16];                                                                                                 \
      ink_unpack_##name(at->data + block * bytes, at->stride, code, scale, min);                                             \
      ink_expand(code, scale, min, elements, sub, kind, offset, has_min, to, to_stride);                                     \
    }                                                                                                                        \
  }
INK_BLOCK_TYPES(X)
#undef X

/* b (K, N) as it lies: lanes beyond at->count become 0. */
INK_INLINE void ink_panel_rows(const ink_product *p, const ink_columns *at, int64_t k, int64_t length, float *to, int64_t to_stride) {
  const float *b = (const float *)p->b + at->column;
  for (int64_t i = 0; i < length; i++, to += to_stride) {
    const float *from = b + ink_mapped(p->b_row, k + i) * p->ldb;
    if (at->count == INK_W) {
      vf_store(to, vf_load(from));
    } else {
      vf_store(to, (vf){0});
      memcpy(to, from, (size_t)at->count * sizeof *to);
    }
  }
}

/* to[i*to_stride + lane] = b[k + i] of the column in that lane, for i < length. */
static inline void ink_panel(const ink_product *p, const ink_columns *at, int64_t k, int64_t length, float *to, int64_t to_stride) {
  if (!p->transpose_b) {
    ink_panel_rows(p, at, k, length, to, to_stride);
    return;
  }
  switch (p->b_type) {
    case INK_F16: ink_panel_16bit(at, INK_F16, k, length, to, to_stride); break;
    case INK_BF16: ink_panel_16bit(at, INK_BF16, k, length, to, to_stride); break;
#define X(type, name, ...) case type: ink_panel_##name(at, k, length, to, to_stride); break;
    INK_BLOCK_TYPES(X)
#undef X
    default: ink_panel_f32(at, k, length, to, to_stride);
  }
}

/* Element (m, k) of a, widened. */
INK_INLINE float ink_a_element(const ink_product *p, int64_t m, int64_t k) {
  int64_t at = p->transpose_a ? ink_mapped(p->a_row, k) * p->lda + m : ink_mapped(p->a_row, m) * p->lda + k;
  switch (p->a_type) {
    case INK_F16: return ink_from_f16(((const uint16_t *)p->a)[at]);
    case INK_BF16: return ink_from_bf16(((const uint16_t *)p->a)[at]);
    default: return ((const float *)p->a)[at];
  }
}

#endif
