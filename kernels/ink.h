/* Inkstone's kernels: what every file of this folder shares.
 *
 * A program is the encoded form of a Plan (src/backends/program.ts writes it, program.c reads it): tensors, then steps. All threads
 * of a pool run all steps in order (SPMD): a kernel does its share `worker->index` of `worker->count`, and waits for the others only
 * where the plan says so (a step's barrier flag) or where it calls ink_barrier itself.
 *
 * Reproducible results are part of every kernel's contract: the value of an output element depends on the operands alone, never on
 * the thread count, on the rows beside it, or on how the work was divided. Split outputs, never sums.
 */
#ifndef INK_H
#define INK_H

#include <stddef.h>
#include <stdint.h>

#define INK_MAX_RANK 5
#define INK_MAX_INPUTS 16

/* The codes of src/tensor/dtype.ts. */
enum ink_dtype {
  INK_F32 = 0, INK_F16 = 1, INK_BF16 = 2, INK_I32 = 3, INK_Q8A = 4,
  INK_Q4_0 = 5, INK_Q4_1 = 6, INK_Q5_0 = 7, INK_Q5_1 = 8, INK_Q8_0 = 9,
  INK_Q2_K = 10, INK_Q3_K = 11, INK_Q4_K = 12, INK_Q5_K = 13, INK_Q6_K = 14,
  INK_IQ4_NL = 15, INK_IQ4_XS = 16, INK_MXFP4 = 17, INK_DTYPE_COUNT = 18
};

/* The opcodes of src/tensor/ops/opcodes.ts. */
enum ink_opcode {
  INK_ELEMENTWISE = 0, INK_STRIDED_COPY = 1, INK_CONCAT = 2, INK_CAST = 3,
  INK_SUM = 4, INK_MAX = 5, INK_SOFTMAX = 6, INK_LOG_SOFTMAX = 7,
  INK_NORMALIZE = 8, INK_NORMALIZE_GRAD = 9,
  INK_MATMUL = 10, INK_QUANTIZE8 = 11, INK_EXPERT_MATMUL = 12, INK_EXPERT_OUTER = 13,
  INK_GATHER = 14, INK_SCATTER_ADD = 15, INK_TAKE_LAST = 16, INK_PUT_LAST = 17, INK_TOPK = 18,
  INK_CROSS_ENTROPY = 19, INK_CROSS_ENTROPY_GRAD = 20,
  INK_ROPE_TABLE = 21, INK_ROPE = 22,
  INK_ATTENTION = 23, INK_ATTENTION_GRAD = 24, INK_KV_WRITE = 25, INK_PAGED_ATTENTION = 26,
  INK_RANDOM = 27,
  INK_ADAMW = 28, INK_MOMENTUM = 29, INK_DESCEND = 30, INK_ACCUMULATE = 31, INK_SUM_SQUARES = 32,
  INK_OPCODE_COUNT = 33
};

/* A dense row-major array: dim[0] is outermost. Block types (q4_1 …) count elements in dim and lie in rows of whole blocks. */
typedef struct {
  int32_t dtype;
  int32_t rank;
  int64_t dim[INK_MAX_RANK];
  void *data;
} ink_tensor;

typedef struct {
  int32_t opcode;
  int32_t barrier;     /* wait for all threads before this step */
  int32_t input_count; /* an absent optional input has input[i] == NULL */
  int32_t int_count;
  int32_t float_count;
  const ink_tensor *input[INK_MAX_INPUTS];
  const ink_tensor *output;
  const int32_t *ints;
  const float *floats;
} ink_step;

typedef struct ink_pool ink_pool;

/* One thread's view of a run. */
typedef struct {
  int32_t index, count;
  uint8_t *scratch; /* this thread's own, INK_SCRATCH bytes, 64-byte aligned, contents undefined */
  uint8_t *shared;  /* all threads', INK_SHARED bytes; use it between two ink_barrier calls */
  ink_pool *pool;
} ink_worker;

#define INK_SCRATCH ((size_t)4 << 20)
#define INK_SHARED ((size_t)8 << 20)

/* Wait until every thread of the run is here. */
void ink_barrier(const ink_worker *worker);

typedef void (*ink_kernel)(const ink_step *step, const ink_worker *worker);

/* One table of kernels for each instruction set this file set was compiled for. */
typedef struct {
  const char *name; /* "baseline", "avx2", "avx512", "avx512_bf16", "neon", "wasm_simd" */
  ink_kernel kernel[INK_OPCODE_COUNT];
} ink_kernels;

/* Elements of a tensor, and the rows and row length when the last dimension is taken apart. */
static inline int64_t ink_size(const ink_tensor *t) {
  int64_t n = 1;
  for (int i = 0; i < t->rank; i++) n *= t->dim[i];
  return n;
}
static inline int64_t ink_last(const ink_tensor *t) { return t->rank ? t->dim[t->rank - 1] : 1; }
static inline int64_t ink_rows(const ink_tensor *t) {
  int64_t n = 1;
  for (int i = 0; i + 1 < t->rank; i++) n *= t->dim[i];
  return n;
}

/* This thread's share [*from, *to) of `n` items, in multiples of `grain`. */
static inline void ink_share(const ink_worker *w, int64_t n, int64_t grain, int64_t *from, int64_t *to) {
  int64_t units = (n + grain - 1) / grain;
  int64_t a = units * w->index / w->count * grain, b = units * (w->index + 1) / w->count * grain;
  *from = a < n ? a : n;
  *to = b < n ? b : n;
}

#endif
