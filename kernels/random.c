/* RANDOM: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011). Element i is a function of
 * the key and of i alone. */
#include "isa.h"

static void philox(uint32_t c[4], uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; round++) {
    const uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
    const uint32_t c1 = c[1], c3 = c[3];
    c[0] = (uint32_t)(b >> 32) ^ c1 ^ k0;
    c[1] = (uint32_t)b;
    c[2] = (uint32_t)(a >> 32) ^ c3 ^ k1;
    c[3] = (uint32_t)a;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

void INK_NAME(ink_random)(const ink_step *step, const ink_worker *worker) {
  const uint32_t *key = step->input[0]->data;
  float *y = step->output->data;
  int64_t from, to;
  ink_share(worker, ink_size(step->output), 64, &from, &to);
  for (int64_t i = from; i < to; i += 4) {
    uint32_t c[4] = {(uint32_t)(i / 4), 0, key[2], key[3]};
    philox(c, key[0], key[1]);
    for (int64_t k = 0; k < 4 && i + k < to; k++) y[i + k] = (float)(c[k] >> 8) * 0x1p-24f;
  }
}
