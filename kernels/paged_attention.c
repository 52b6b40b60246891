/* Attention of rows, each at its position in its sequence, over keys and values in pages.
 *
 * Consecutive rows of one sequence are taken together, so that a page serves many queries once it is in the cache; what is computed
 * for a query does not depend on which rows those are (attend.h). */
#include "attend.h"

/* One launch of the kernel. */
typedef struct {
  const float *q;
  const void *keys, *values;
  const int32_t *tables, *rows, *positions;
  const float *sinks;
  float *y;
  int64_t N, H, D, P, G, S, R, M;
  int64_t window;
  float scale, softcap;
  int half;
} paged;

/* Work space of one thread. */
typedef struct {
  attend_state total[ATTEND_QUERIES], chunk[ATTEND_QUERIES];
  float scores[ATTEND_QUERIES][ATTEND_BLOCK];
  const float *q[ATTEND_QUERIES];
  int64_t first[ATTEND_QUERIES], last[ATTEND_QUERIES]; /* positions seen: [first, last) */
  int lo[ATTEND_QUERIES], hi[ATTEND_QUERIES];
  const void *keys[ATTEND_BLOCK], *values[ATTEND_BLOCK];
} space;

/* Where position s of a table row lies in the cache, as an offset in elements. A page that does not exist reads as the first. */
static int64_t row_offset(const paged *a, int64_t row, int64_t g, int64_t s) {
  int64_t page = row >= 0 && row < a->R && s / a->S < a->M ? a->tables[row * a->M + s / a->S] : 0;
  if (page < 0 || page >= a->P) page = 0;
  return ((page * a->G + g) * a->S + s % a->S) * a->D;
}

/* Rows [n0, n1) of one sequence and heads [h0, h1) of key head g. */
static void attend_tile(const paged *a, space *w, int64_t n0, int64_t n1, int64_t h0, int64_t h1, int64_t g) {
  const int64_t D = a->D, row = a->rows[n0];
  const size_t element = a->half ? 2 : 4;
  int count = 0;
  int64_t begin = INT64_MAX, end = 0;
  for (int64_t h = h0; h < h1; h++) {
    for (int64_t n = n0; n < n1; n++, count++) {
      int64_t last = (int64_t)a->positions[n] + 1;
      if (last > a->M * a->S) last = a->M * a->S;
      if (last < 0) last = 0;
      const int64_t first = a->window > 0 && last > a->window ? last - a->window : 0;
      w->q[count] = a->q + (n * a->H + h) * D;
      w->first[count] = first;
      w->last[count] = last;
      begin = first < begin ? first : begin;
      end = last > end ? last : end;
      attend_clear(&w->total[count], D);
    }
  }
  for (int64_t c = begin / ATTEND_CHUNK * ATTEND_CHUNK; c < end; c += ATTEND_CHUNK) {
    for (int i = 0; i < count; i++) attend_clear(&w->chunk[i], D);
    for (int64_t b = c; b < c + ATTEND_CHUNK && b < end; b += ATTEND_BLOCK) {
      for (int i = 0; i < count; i++) {
        const int64_t lo = w->first[i] - b, hi = w->last[i] - b;
        w->lo[i] = lo < 0 ? 0 : lo > ATTEND_BLOCK ? ATTEND_BLOCK : (int)lo;
        w->hi[i] = hi < 0 ? 0 : hi > ATTEND_BLOCK ? ATTEND_BLOCK : (int)hi;
      }
      for (int64_t s = 0; s < ATTEND_BLOCK; s++) {
        /* past the end, the last row again: it is read and left out */
        const int64_t at = row_offset(a, row, g, b + s < end ? b + s : end - 1);
        w->keys[s] = (const char *)a->keys + (size_t)at * element;
        w->values[s] = (const char *)a->values + (size_t)at * element;
      }
      if (a->half) attend_block(w->chunk, w->q, count, w->lo, w->hi, w->keys, w->values, D, a->scale, a->softcap, w->scores, NULL, 1);
      else attend_block(w->chunk, w->q, count, w->lo, w->hi, w->keys, w->values, D, a->scale, a->softcap, w->scores, NULL, 0);
    }
    for (int i = 0; i < count; i++) if (w->chunk[i].sum != 0.0f) attend_merge(&w->total[i], &w->chunk[i], D);
  }
  count = 0;
  for (int64_t h = h0; h < h1; h++) {
    for (int64_t n = n0; n < n1; n++, count++) {
      attend_finish(&w->total[count], a->sinks ? a->sinks + h : NULL, D, a->y + (n * a->H + h) * D);
    }
  }
}

/* The end of the run of rows from n on that belong to one sequence, at most `most` rows. */
static int64_t run_end(const paged *a, int64_t n, int64_t most) {
  int64_t end = n + 1;
  while (end < a->N && end < n + most && a->rows[end] == a->rows[n]) end++;
  return end;
}

void INK_NAME(ink_paged_attention)(const ink_step *step, const ink_worker *worker) {
  const ink_tensor *q = step->input[0], *k = step->input[1], *tables = step->input[3];
  const ink_tensor *sinks = step->input_count > 6 ? step->input[6] : NULL;
  const paged a = {
    .q = q->data, .keys = k->data, .values = step->input[2]->data,
    .tables = tables->data, .rows = step->input[4]->data, .positions = step->input[5]->data,
    .sinks = sinks ? sinks->data : NULL, .y = step->output->data,
    .N = q->dim[0], .H = q->dim[1], .D = q->dim[2],
    .P = k->dim[0], .G = k->dim[1], .S = k->dim[2], .R = tables->dim[0], .M = tables->dim[1],
    .window = step->ints[0], .scale = step->floats[0], .softcap = step->floats[1],
    .half = k->dtype == INK_F16,
  };
  if (a.N == 0 || a.P == 0 || a.M == 0) return;
  space *w = (space *)(void *)worker->scratch;
  float *values = (float *)(void *)(worker->scratch + (sizeof(space) + 63) / 64 * 64);
  for (int i = 0; i < ATTEND_QUERIES; i++) {
    w->total[i].values = values + (2 * i) * a.D;
    w->chunk[i].values = values + (2 * i + 1) * a.D;
  }
  /* Few rows: a head is a unit, for balance. Many: the heads of a key head are taken together. */
  const int64_t group = a.H / a.G;
  const int64_t heads = a.N * a.G >= 4 * worker->count && group <= ATTEND_QUERIES ? group : 1;
  const int64_t tile = ATTEND_QUERIES / heads;
  int64_t unit = 0;
  for (int64_t n = 0; n < a.N;) {
    const int64_t end = run_end(&a, n, tile);
    for (int64_t h = 0; h < a.H; h += heads, unit++) {
      if (unit % worker->count == worker->index) attend_tile(&a, w, n, end, h, h + heads, h / group);
    }
    n = end;
  }
}
