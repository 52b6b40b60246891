/* RANDOM: element i is a function of the key and of i alone. */
#include "philox.h"

void INK_NAME(ink_random)(const ink_step *step, const ink_worker *worker) {
  const uint32_t *key = step->input[0]->data;
  float *y = step->output->data;
  int64_t from, to;
  ink_share(worker, ink_size(step->output), 64, &from, &to);
  for (int64_t i = from; i < to; i += 32) {
    v8u words[4];
    philox_words(key, (uint64_t)i / 4, words);
    for (int64_t k = 0; k < 4 && i + 8 * k < to; k++) {
      const v8f x = __builtin_convertvector((v8i)(words[k] >> 8), v8f) * 0x1p-24f;
      const int64_t rest = to - i - 8 * k;
      if (rest >= 8) v8_store(y + i + 8 * k, x);
      else v8_store_part(y + i + 8 * k, x, rest);
    }
  }
}
