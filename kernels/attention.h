/* What a step of dense attention says: shapes, which keys a query sees, and which weights are dropped. */
#ifndef INK_ATTENTION_H
#define INK_ATTENTION_H

#include "philox.h"

typedef struct {
  int64_t B, T, H, D, S, G, group;
  int64_t window;
  float scale, softcap;
  const float *sinks;       /* (H) or NULL */
  const int32_t *first_key; /* (B, T) or NULL */
  const uint32_t *key;      /* of the dropout's random numbers; NULL: none */
  int32_t threshold;        /* a weight is kept where the first 24 bits of its random word are above this */
  float keep;               /* the factor on what is kept */
} dense;

/* `extra` is the input where the first keys are; the key of the dropout comes after. */
INK_INLINE dense dense_read(const ink_step *step, int extra) {
  const ink_tensor *q = step->input[0], *k = step->input[1];
  const float dropout = step->floats[2];
  const ink_tensor *optional[3];
  const int at[3] = {3, extra, extra + 1};
  for (int i = 0; i < 3; i++) optional[i] = at[i] < step->input_count ? step->input[at[i]] : NULL;
  return (dense){
    .B = q->dim[0], .T = q->dim[1], .H = q->dim[2], .D = q->dim[3], .S = k->dim[1], .G = k->dim[2],
    .group = k->dim[2] ? q->dim[2] / k->dim[2] : 1,
    .window = step->ints[0], .scale = step->floats[0], .softcap = step->floats[1],
    .sinks = optional[0] ? optional[0]->data : NULL,
    .first_key = optional[1] ? optional[1]->data : NULL,
    .key = optional[2] && dropout > 0.0f ? optional[2]->data : NULL,
    .threshold = (int32_t)(dropout * 0x1p24f), .keep = 1.0f / (1.0f - dropout),
  };
}

/* The keys [first, last) that query t of sequence b sees. `last` grows with t; `first` does where the first keys do. */
INK_INLINE void dense_seen(const dense *a, int64_t b, int64_t t, int64_t *first, int64_t *last) {
  *last = a->S - a->T + t + 1;
  if (*last < 0) *last = 0;
  *first = a->window > 0 && *last > a->window ? *last - a->window : 0;
  if (!a->first_key) return;
  const int64_t own = a->first_key[b * a->T + t];
  if (own > *first) *first = own < *last ? own : *last;
}

/* Which of the weights of keys s … s + 31 (s a multiple of 8) are kept, -1 or 0, for query t of head h in sequence b: element
 * (b, h, t, s) of what RANDOM makes of (B, H, T, S rounded up to 4) has to be above the share that is dropped. */
INK_INLINE void dense_kept(const dense *a, int64_t b, int64_t h, int64_t t, int64_t s, v8i kept[4]) {
  v8u words[4];
  philox_words(a->key, (uint64_t)(((b * a->H + h) * a->T + t) * ((a->S + 3) / 4) + s / 4), words);
  for (int i = 0; i < 4; i++) kept[i] = (v8i)((v8i)(words[i] >> 8) > a->threshold);
}

/* Sequences whose keys do not fit a thread's scratch (attention_long.c). */
void INK_NAME(ink_attention_long)(const ink_step *step, const ink_worker *worker);
void INK_NAME(ink_attention_grad_long)(const ink_step *step, const ink_worker *worker);

#endif
