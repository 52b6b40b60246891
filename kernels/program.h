/* Programs: how a Plan reaches C, and how it runs.
 *
 * A program is an array of int32 words (src/backends/program.ts writes it):
 *
 *   [0] "INK1"  [1] version 1  [2] dimension variables  [3] slots  [4] tensors  [5] steps
 *   each tensor, 10 words: dtype, slot, byte offset in the slot (low word, high word), rank, d0 … d4 (d >= 0: that length;
 *       d < 0: dimension variable -1-d; unused dimensions are 1)
 *   each step: its number of words (this one included), opcode, flags (bit 0: barrier before), nIn, in… (tensor, or -1: absent),
 *       out, nInts, ints…, nFloats, floats…
 *
 * Slot 0 is the arena, the others are what the caller bound. Loading checks everything that a kernel relies on, for all values that
 * the dimension variables may take, so that no program, however it came about, reads or writes outside its slots. */
#ifndef INK_PROGRAM_H
#define INK_PROGRAM_H

#include "ink.h"

#define INK_MAGIC 0x314B4E49
#define INK_VERSION 1
#define INK_MAX_DIMS 64
#define INK_TENSOR_WORDS 10

typedef struct {
  int32_t dtype, slot, rank;
  int32_t dim[INK_MAX_RANK]; /* as encoded */
  uint64_t offset;
} ink_source;

typedef struct {
  uint32_t magic;
  int32_t dim_count, slot_count, tensor_count, step_count, bound_check_count;
  int32_t *dim_max;
  uint64_t *slot_bytes;
  ink_source *sources;
  ink_tensor *tensors; /* filled by ink_program_bind */
  ink_step *steps;
  int32_t *bound_checks; /* steps to check again once the variables are known */
  int32_t *words;        /* a copy: ints and floats of the steps lie here */
} ink_program;

/* What is wrong with a program, and where. */
typedef struct {
  const char *text; /* NULL: nothing */
  int32_t step;     /* -1: not a step */
  int32_t tensor;   /* -1: not a tensor */
} ink_error;

/* Bytes that ink_program_load needs, or 0 where the words are no program at all. */
size_t ink_program_size(const int32_t *words, int64_t word_count);

/* Write a program into `memory` (16-byte aligned, of ink_program_size bytes). slot_bytes[slot] is how many bytes each slot has
 * at least, dim_max[v] the greatest value of each variable. Returns 0, or -1 with `error` filled. */
int ink_program_load(void *memory, const int32_t *words, int64_t word_count, const uint64_t *slot_bytes,
                     const int32_t *dim_max, ink_error *error);

/* Give the tensors their addresses and lengths for one run. One thread calls it, before the others run. */
int ink_program_bind(ink_program *program, void *const *slots, const int32_t *dims, ink_error *error);

/* Run all steps; every thread of a pool calls it with its own worker. */
void ink_program_run(const ink_program *program, const ink_kernels *kernels, const ink_worker *worker);

/* The rules of one opcode (check.c): NULL, or what a step breaks. */
const char *ink_check_step(const ink_program *program, const ink_step *step, const int32_t *inputs, int32_t output);
/* Whether those rules need the variables' values, and the check with them. */
int ink_needs_bound_check(const ink_step *step);
const char *ink_check_bound(const ink_step *step);

/* The stride of dimension i of a strided copy: a number, or -(k+2) for the product of x's lengths after dimension k. */
static inline int64_t ink_copy_stride(const ink_step *step, int i) {
  const int32_t code = step->ints[1 + i];
  if (code >= 0) return code;
  const ink_tensor *x = step->input[0];
  int64_t stride = 1;
  for (int k = -code - 1; k < x->rank; k++) stride *= x->dim[k];
  return stride;
}

/* Elements that share bytes, and those bytes. Block size 0: no such type. */
typedef struct { int32_t block, bytes; } ink_dtype_size;
extern const ink_dtype_size ink_dtype_sizes[INK_DTYPE_COUNT];

#endif
