/* The block types of weights: how many elements share how many bytes, and what their codes mean.
 *
 * An element is scale*(code - offset) + min. Codes are small unsigned numbers (or signed bytes), so that integer products with signed
 * byte activations are exact; `scale` and `min` belong to `sub` consecutive elements. Unpacking (quant_unpack.h) turns each type into
 * codes, scales and minima, and everything else works on those: one table, no kernel by type. */
#ifndef INK_QUANT_H
#define INK_QUANT_H

#include "simd.h"

/* What bounds a code: decides how many products fit 16 bits. */
enum ink_code {
  INK_CODE_4BIT, /* 0 … 15 */
  INK_CODE_5BIT, /* 0 … 31 */
  INK_CODE_6BIT, /* 0 … 63 */
  INK_CODE_BYTE, /* signed byte; with INK_VNNI stored plus 128, as an unsigned one */
};

#define INK_BYTE_OFFSET (INK_VNNI ? 128 : 0)

/* X(code, name, elements, bytes, sub, kind of code, offset, has a minimum) */
#define INK_BLOCK_TYPES(X)                                                   \
  X(INK_Q4_0, q4_0, 32, 18, 32, INK_CODE_4BIT, 8, 0)                         \
  X(INK_Q4_1, q4_1, 32, 20, 32, INK_CODE_4BIT, 0, 1)                         \
  X(INK_Q5_0, q5_0, 32, 22, 32, INK_CODE_5BIT, 16, 0)                        \
  X(INK_Q5_1, q5_1, 32, 24, 32, INK_CODE_5BIT, 0, 1)                         \
  X(INK_Q8_0, q8_0, 32, 34, 32, INK_CODE_BYTE, INK_BYTE_OFFSET, 0)           \
  X(INK_Q2_K, q2_k, 256, 84, 16, INK_CODE_4BIT, 0, 1)                        \
  X(INK_Q3_K, q3_k, 256, 110, 16, INK_CODE_4BIT, 4, 0)                       \
  X(INK_Q4_K, q4_k, 256, 144, 32, INK_CODE_4BIT, 0, 1)                       \
  X(INK_Q5_K, q5_k, 256, 176, 32, INK_CODE_5BIT, 0, 1)                       \
  X(INK_Q6_K, q6_k, 256, 210, 16, INK_CODE_6BIT, 32, 0)                      \
  X(INK_IQ4_NL, iq4_nl, 32, 18, 32, INK_CODE_BYTE, INK_BYTE_OFFSET, 0)       \
  X(INK_IQ4_XS, iq4_xs, 256, 136, 32, INK_CODE_BYTE, INK_BYTE_OFFSET, 0)     \
  X(INK_MXFP4, mxfp4, 32, 17, 32, INK_CODE_5BIT, 12, 0)

/* Elements and bytes of a type's block; 1 element for plain types. */
INK_INLINE int64_t ink_block_elements(int32_t dtype) {
  switch (dtype) {
#define X(type, name, elements, ...) case type: return elements;
    INK_BLOCK_TYPES(X)
#undef X
    case INK_Q8A: return 32;
    default: return 1;
  }
}
INK_INLINE int64_t ink_block_bytes(int32_t dtype) {
  switch (dtype) {
#define X(type, name, elements, bytes, ...) case type: return bytes;
    INK_BLOCK_TYPES(X)
#undef X
    case INK_Q8A: return 40;
    case INK_F16:
    case INK_BF16: return 2;
    default: return 4;
  }
}
INK_INLINE int ink_is_block_type(int32_t dtype) { return dtype >= INK_Q4_0 && dtype <= INK_MXFP4; }

/* Bytes of `n` elements, which are whole blocks. */
INK_INLINE int64_t ink_row_bytes(int32_t dtype, int64_t n) { return n / ink_block_elements(dtype) * ink_block_bytes(dtype); }

/* One block of activations as QUANTIZE8 writes it: x is d*q, and s = d * (sum of q). */
typedef struct {
  float d, s;
  int8_t q[32];
} ink_q8a;

#endif
