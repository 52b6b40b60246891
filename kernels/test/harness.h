/* Random operands and plain tensors for the tests and the benchmark. */
#ifndef INK_TEST_HARNESS_H
#define INK_TEST_HARNESS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "../convert.h"
#include "../quant.h"

void INK_NAME(ink_matmul)(const ink_step *step, const ink_worker *worker);
void INK_NAME(ink_quantize8)(const ink_step *step, const ink_worker *worker);
void INK_NAME(ink_expert_matmul)(const ink_step *step, const ink_worker *worker);
void INK_NAME(ink_expert_outer)(const ink_step *step, const ink_worker *worker);
void INK_NAME(ink_gather)(const ink_step *step, const ink_worker *worker);
void INK_NAME(ink_cast)(const ink_step *step, const ink_worker *worker);

static const char *const type_names[INK_DTYPE_COUNT] = {"f32",  "f16",  "bf16", "i32",  "q8a",    "q4_0",   "q4_1", "q5_0",  "q5_1",
                                                        "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs", "mxfp4"};

static uint64_t random_state = 1;
static inline uint32_t random_word(void) { /* SplitMix64 */
  uint64_t z = random_state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return (uint32_t)((z ^ z >> 31) >> 32);
}
static inline float random_float(void) { return (float)(int32_t)random_word() * 0x1p-31f; }

/* Where the float16 scales of a type's block are; -1 for none. */
static inline void scale_places(int type, int place[2]) {
  place[0] = 0;
  place[1] = -1;
  switch (type) {
    case INK_Q4_1: case INK_Q5_1: case INK_Q4_K: case INK_Q5_K: place[1] = 2; break;
    case INK_Q2_K: place[0] = 80; place[1] = 82; break;
    case INK_Q3_K: place[0] = 108; break;
    case INK_Q6_K: place[0] = 208; break;
    case INK_MXFP4: place[0] = -1; break;
    default: break;
  }
}

/* Memory to the byte, for the sanitizer; never NULL. */
static inline void *memory(int64_t bytes) {
  void *p = bytes < 0 || bytes > (int64_t)1 << 40 ? NULL : malloc((size_t)(bytes ? bytes : 1));
  if (!p) abort();
  return p;
}

/* n elements; with `hostile` any bit pattern, otherwise scales and values of ordinary size. */
static inline void *random_array(int type, int64_t n, int hostile) {
  int64_t bytes = ink_row_bytes(type, n), block = ink_block_bytes(type);
  uint8_t *p = memory(bytes);
  for (int64_t i = 0; i < bytes; i++) p[i] = (uint8_t)random_word();
  if (type == INK_I32 || (hostile && type != INK_Q8A)) return p;
  for (int64_t i = 0; i < bytes / block; i++) {
    uint8_t *at = p + i * block;
    float x = random_float();
    uint16_t half = type == INK_BF16 ? ink_to_bf16(x) : ink_to_f16(x);
    if (type == INK_F32) memcpy(at, &x, 4);
    else if (type == INK_F16 || type == INK_BF16) memcpy(at, &half, 2);
    else if (type == INK_Q8A) {
      ink_q8a *q = (ink_q8a *)(void *)at;
      int32_t total = 0;
      for (int j = 0; j < 32; j++) {
        if (hostile) q->q[j] = random_word() & 1 ? 127 : -127;
        else if (q->q[j] == -128) q->q[j] = -127;
        total += q->q[j];
      }
      q->d = x;
      q->s = x * (float)total;
    } else {
      int place[2];
      scale_places(type, place);
      for (int j = 0; j < 2; j++) {
        if (place[j] < 0) continue;
        half = ink_to_f16(random_float() * 0.01f);
        memcpy(at + place[j], &half, 2);
      }
      if (type == INK_MXFP4) at[0] = (uint8_t)(120 + random_word() % 8);
    }
  }
  return p;
}

static inline ink_tensor tensor(int type, void *data, int rank, const int64_t *dim) {
  ink_tensor t = {.dtype = type, .rank = rank, .data = data};
  for (int i = 0; i < rank; i++) t.dim[i] = dim[i];
  return t;
}
#define TENSOR(type, data, ...) \
  tensor(type, data, (int)(sizeof(int64_t[]){__VA_ARGS__} / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})

#endif
