/* The kernels by name, and which variant of each a table takes. */
#ifndef INK_KERNELS_H
#define INK_KERNELS_H

#include "isa.h"

/* Kernels that gain nothing from vectors wider than eight floats are compiled for "baseline" and "avx2" alone, and the tables of
 * the wider instruction sets take the avx2 ones. X(opcode, function). */
#define INK_COMMON_KERNELS(X) \
  X(INK_ELEMENTWISE, ink_elementwise) \
  X(INK_STRIDED_COPY, ink_strided_copy) \
  X(INK_CONCAT, ink_concat) \
  X(INK_SUM, ink_sum) \
  X(INK_MAX, ink_max) \
  X(INK_SOFTMAX, ink_softmax) \
  X(INK_LOG_SOFTMAX, ink_log_softmax) \
  X(INK_NORMALIZE, ink_normalize) \
  X(INK_NORMALIZE_GRAD, ink_normalize_grad) \
  X(INK_SCATTER_ADD, ink_scatter_add) \
  X(INK_TAKE_LAST, ink_take_last) \
  X(INK_PUT_LAST, ink_put_last) \
  X(INK_TOPK, ink_topk) \
  X(INK_CROSS_ENTROPY, ink_cross_entropy) \
  X(INK_CROSS_ENTROPY_GRAD, ink_cross_entropy_grad) \
  X(INK_ROPE_TABLE, ink_rope_table) \
  X(INK_ROPE, ink_rope) \
  X(INK_ATTENTION, ink_attention) \
  X(INK_ATTENTION_GRAD, ink_attention_grad) \
  X(INK_KV_WRITE, ink_kv_write) \
  X(INK_PAGED_ATTENTION, ink_paged_attention) \
  X(INK_RANDOM, ink_random) \
  X(INK_ADAMW, ink_adamw) \
  X(INK_MOMENTUM, ink_momentum) \
  X(INK_DESCEND, ink_descend) \
  X(INK_ACCUMULATE, ink_accumulate) \
  X(INK_SUM_SQUARES, ink_sum_squares)

/* Kernels with a variant for every instruction set. */
#define INK_WIDE_KERNELS(X) \
  X(INK_CAST, ink_cast) \
  X(INK_MATMUL, ink_matmul) \
  X(INK_QUANTIZE8, ink_quantize8) \
  X(INK_EXPERT_MATMUL, ink_expert_matmul) \
  X(INK_EXPERT_OUTER, ink_expert_outer) \
  X(INK_GATHER, ink_gather)

#endif
