/* Dense attention where a head's keys do not fit into a thread's scratch (attention.c): in chunks as paged attention goes, the gradient
 * a row at a time. */
#include "attend.h"
#include "attention.h"

#include <string.h>

typedef struct {
  attend_state total[ATTEND_QUERIES], chunk[ATTEND_QUERIES];
  float scores[ATTEND_QUERIES][ATTEND_BLOCK];
  const float *q[ATTEND_QUERIES];
  int64_t first[ATTEND_QUERIES], last[ATTEND_QUERIES];
  int lo[ATTEND_QUERIES], hi[ATTEND_QUERIES];
  int32_t kept[ATTEND_QUERIES][ATTEND_BLOCK];
  const void *keys[ATTEND_BLOCK], *values[ATTEND_BLOCK];
} space;

/* Queries [t0, t1) of head h in sequence b. */
static void attend_tile(const dense *a, space *w, const float *q, const float *k, const float *v, float *y, int64_t b,
                        int64_t t0, int64_t t1, int64_t h) {
  const int64_t D = a->D, g = h / a->group, stride = a->G * D;
  const float *keys = k + (b * a->S * a->G + g) * D, *values = v + (b * a->S * a->G + g) * D;
  const int count = (int)(t1 - t0);
  int64_t begin = INT64_MAX, end = 0;
  for (int i = 0; i < count; i++) {
    w->q[i] = q + ((b * a->T + t0 + i) * a->H + h) * D;
    dense_seen(a, b, t0 + i, &w->first[i], &w->last[i]);
    begin = w->first[i] < begin ? w->first[i] : begin;
    end = w->last[i] > end ? w->last[i] : end;
    attend_clear(&w->total[i], D);
  }
  for (int64_t c = begin / ATTEND_CHUNK * ATTEND_CHUNK; c < end; c += ATTEND_CHUNK) {
    for (int i = 0; i < count; i++) attend_clear(&w->chunk[i], D);
    for (int64_t p = c; p < c + ATTEND_CHUNK && p < end; p += ATTEND_BLOCK) {
      for (int i = 0; i < count; i++) {
        const int64_t lo = w->first[i] - p, hi = w->last[i] - p;
        w->lo[i] = lo < 0 ? 0 : lo > ATTEND_BLOCK ? ATTEND_BLOCK : (int)lo;
        w->hi[i] = hi < 0 ? 0 : hi > ATTEND_BLOCK ? ATTEND_BLOCK : (int)hi;
      }
      for (int64_t s = 0; s < ATTEND_BLOCK; s++) {
        const int64_t at = p + s < end ? p + s : end - 1;
        w->keys[s] = keys + at * stride;
        w->values[s] = values + at * stride;
      }
      for (int i = 0; a->key && i < count; i++) {
        for (int s = 0; s < ATTEND_BLOCK; s += 32) {
          v8i kept[4];
          dense_kept(a, b, h, t0 + i, p + s, kept);
          memcpy(w->kept[i] + s, kept, sizeof kept);
        }
      }
      attend_block(w->chunk, w->q, count, w->lo, w->hi, w->keys, w->values, D, a->scale, a->softcap, w->scores, a->key ? w->kept : NULL, 0);
    }
    for (int i = 0; i < count; i++) if (w->chunk[i].sum != 0.0f) attend_merge(&w->total[i], &w->chunk[i], D);
  }
  for (int i = 0; i < count; i++) {
    float *to = y + ((b * a->T + t0 + i) * a->H + h) * D;
    attend_finish(&w->total[i], a->sinks ? a->sinks + h : NULL, D, to);
    for (int64_t d = 0; a->key && d < D; d++) to[d] *= a->keep;
  }
}

void INK_NAME(ink_attention_long)(const ink_step *step, const ink_worker *worker) {
  const dense a = dense_read(step, 4);
  space *w = (space *)(void *)worker->scratch;
  float *values = (float *)(void *)(worker->scratch + (sizeof *w + 63) / 64 * 64);
  for (int i = 0; i < ATTEND_QUERIES; i++) {
    w->total[i].values = values + (2 * i) * a.D;
    w->chunk[i].values = values + (2 * i + 1) * a.D;
  }
  int64_t unit = 0;
  for (int64_t b = 0; b < a.B; b++) {
    for (int64_t t = 0; t < a.T; t += ATTEND_QUERIES) {
      const int64_t end = t + ATTEND_QUERIES < a.T ? t + ATTEND_QUERIES : a.T;
      for (int64_t h = 0; h < a.H; h++, unit++) {
        if (unit % worker->count != worker->index) continue;
        attend_tile(&a, w, step->input[0]->data, step->input[1]->data, step->input[2]->data, step->output->data, b, t, end, h);
      }
    }
  }
}

static float dot(const float *a, const float *b, int64_t n) {
  v8f sum = v8_zero();
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) sum = v8_fma(v8_load(a + i), v8_load(b + i), sum);
  if (i < n) sum = v8_fma(v8_load_part(a + i, n - i, 0.0f), v8_load_part(b + i, n - i, 0.0f), sum);
  return v8_sum(sum);
}

/* y += factor * x */
static void accumulate(float *y, float factor, const float *x, int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) v8_store(y + i, v8_fma(v8_set(factor), v8_load(x + i), v8_load(y + i)));
  for (; i < n; i++) y[i] = ink_fma(factor, x[i], y[i]);
}

/* Weights of keys [first, last) that dropout takes from query t get a minus sign. */
static void mark(const dense *a, int64_t b, int64_t h, int64_t t, int64_t first, int64_t last, float *p) {
  for (int64_t s = first & ~(int64_t)7; s < last; s += 32) {
    v8i kept[4];
    dense_kept(a, b, h, t, s, kept);
    for (int64_t k = s < first ? first - s : 0; k < 32 && s + k < last; k++) {
      if (!kept[k / 8][k % 8]) p[s + k] = -p[s + k];
    }
  }
}

/* Gradients of everything that key head g touches. A key head belongs to one thread, which takes its queries in order, so sums over
 * queries and sequences do not depend on the number of threads. */
void INK_NAME(ink_attention_grad_long)(const ink_step *step, const ink_worker *worker) {
  const dense a = dense_read(step, 5);
  const int64_t D = a.D;
  const float *q = step->input[0]->data, *k = step->input[1]->data, *v = step->input[2]->data, *dy = step->input[4]->data;
  const float *sinks = a.sinks, keep = a.key ? a.keep : 1.0f;
  float *dq = step->output->data;
  float *dk = dq + a.B * a.T * a.H * D, *dv = dk + a.B * a.S * a.G * D, *dsinks = dv + a.B * a.S * a.G * D;
  float *p = (float *)(void *)worker->scratch, *slope = p + a.S, *dp = slope + a.S;
  for (int64_t g = worker->index; g < a.G; g += worker->count) {
    for (int64_t h = g * a.group; sinks && h < (g + 1) * a.group; h++) dsinks[h] = 0.0f;
    for (int64_t b = 0; b < a.B; b++) {
      for (int64_t s = 0; s < a.S; s++) {
        float *row_k = dk + ((b * a.S + s) * a.G + g) * D, *row_v = dv + ((b * a.S + s) * a.G + g) * D;
        for (int64_t d = 0; d < D; d++) row_k[d] = row_v[d] = 0.0f;
      }
      for (int64_t t = 0; t < a.T; t++) {
        int64_t first, last;
        dense_seen(&a, b, t, &first, &last);
        for (int64_t h = g * a.group; h < (g + 1) * a.group; h++) {
          const int64_t query = ((b * a.T + t) * a.H + h) * D;
          for (int64_t d = 0; d < D; d++) dq[query + d] = 0.0f;
          float top = sinks ? sinks[h] : -__builtin_inff();
          for (int64_t s = first; s < last; s++) {
            float score = dot(q + query, k + ((b * a.S + s) * a.G + g) * D, D) * a.scale;
            slope[s] = 1.0f;
            if (a.softcap > 0.0f) {
              const float squashed = v8_tanh(v8_set(score / a.softcap))[0];
              score = a.softcap * squashed;
              slope[s] = 1.0f - squashed * squashed;
            }
            p[s] = score;
            top = score > top ? score : top;
          }
          const float sink = sinks ? ink_exp(sinks[h] - top) : 0.0f;
          float total = sink, mean = 0.0f;
          for (int64_t s = first; s < last; s++) {
            p[s] = ink_exp(p[s] - top);
            total += p[s];
          }
          if (a.key) mark(&a, b, h, t, first, last, p);
          for (int64_t s = first; s < last; s++) {
            p[s] /= total;
            dp[s] = p[s] < 0.0f ? 0.0f : dot(dy + query, v + ((b * a.S + s) * a.G + g) * D, D) * keep;
            mean = ink_fma(p[s], dp[s], mean);
          }
          if (sinks) dsinks[h] -= sink / total * mean;
          for (int64_t s = first; s < last; s++) {
            const int64_t row = ((b * a.S + s) * a.G + g) * D;
            const float ds = __builtin_fabsf(p[s]) * (dp[s] - mean) * slope[s] * a.scale;
            accumulate(dv + row, p[s] < 0.0f ? 0.0f : p[s] * keep, dy + query, D);
            accumulate(dq + query, ds, k + row, D);
            accumulate(dk + row, ds, q + query, D);
          }
        }
      }
    }
  }
}
