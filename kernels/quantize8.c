/* QUANTIZE8: activations as blocks of 32 signed bytes, for integer products with weights of block types.
 *
 * d = max|x| / 127; q = x * (1/d) rounded to the nearest integer, halves away from zero, at most ±127; s = d * Σq. Where d is 0, q is 0.
 * A block that holds a NaN gets d = NaN, and with it every product; an infinity gives d = infinity and q = 0, so NaN as well. */
#include "quant.h"

/* The largest magnitude by its bits, in whose order a NaN is above infinity. */
INK_INLINE vi ink_larger(vi a, vi b) {
  vi mask = a > b;
  return (a & mask) | (b & ~mask);
}

static void ink_quantize_block(const float *x, ink_q8a *block) {
  vi top = {0};
  INK_UNROLL
  for (int i = 0; i < 32; i += INK_W) top = ink_larger((vi)vf_load(x + i) & 0x7fffffff, top);
  int32_t most = 0;
  for (int i = 0; i < INK_W; i++) most = top[i] > most ? top[i] : most;
  float greatest, d, inverse;
  memcpy(&greatest, &most, 4);
  d = greatest / 127.0f;
  inverse = d > 0 ? 1.0f / d : 0.0f;
  int32_t total = 0;
  for (int i = 0; i < 32; i += INK_W) {
    vf v = vf_load(x + i) * inverse;
    /* a NaN becomes 0, and what rounding or an overflowing inverse put beyond the range goes back to it */
    v = (vf)((vi)v & (v == v));
    vi over = v > 127.0f, under = v < -127.0f;
    v = (vf)(((vi)v & ~(over | under)) | ((vi)vf_set(127.0f) & over) | ((vi)vf_set(-127.0f) & under));
    vi whole = __builtin_convertvector(v, vi);
    vf rest = v - vf_from_int(whole); /* exact */
    whole += (vi)(rest <= -0.5f) - (vi)(rest >= 0.5f);
    for (int j = 0; j < INK_W; j++) {
      block->q[i + j] = (int8_t)whole[j];
      total += whole[j];
    }
  }
  block->d = d;
  block->s = d * (float)total;
}

void INK_NAME(ink_quantize8)(const ink_step *step, const ink_worker *worker) {
  const float *x = (const float *)step->input[0]->data;
  ink_q8a *y = (ink_q8a *)step->output->data;
  int64_t from, to;
  ink_share(worker, ink_size(step->input[0]) / 32, 8, &from, &to);
  for (int64_t i = from; i < to; i++) ink_quantize_block(x + 32 * i, y + i);
}
