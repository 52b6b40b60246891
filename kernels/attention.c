/* Causal attention over whole sequences, and its gradient: what training uses.
 *
 * Keys and values of one head are packed for the tiles of tile.h; then a block of queries at a time has all its scores in the cache, a
 * row for each query, so that softmax is one of whole rows. Scores are chains over the head's width, weighted sums are chains over the
 * keys ascending, gradients of keys and values chains over the queries ascending, head after head of a group. Sequences too long for that
 * (a head's keys have to fit into a thread's scratch) go the way of attend.h, and a row at a time in the gradient. */
#include "attend.h"
#include "tile.h"

typedef struct {
  int64_t B, T, H, D, S, G, group;
  int64_t window;
  float scale, softcap;
} dense;

static dense read_dense(const ink_step *step) {
  const ink_tensor *q = step->input[0], *k = step->input[1];
  return (dense){
    .B = q->dim[0], .T = q->dim[1], .H = q->dim[2], .D = q->dim[3], .S = k->dim[1], .G = k->dim[2],
    .group = k->dim[2] ? q->dim[2] / k->dim[2] : 1,
    .window = step->ints[0], .scale = step->floats[0], .softcap = step->floats[1],
  };
}

/* The keys [first, last) that query t sees. Both grow with t. */
static void seen(const dense *a, int64_t t, int64_t *first, int64_t *last) {
  *last = a->S - a->T + t + 1;
  if (*last < 0) *last = 0;
  *first = a->window > 0 && *last > a->window ? *last - a->window : 0;
}

static int64_t whole(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

/* Numbers beyond a row's keys that a tile may read. */
#define SLACK 24
/* Queries of a block: few enough for scores and gradients to stay in the second-level cache. */
#define BLOCK_ROWS 72

/* How the memory of one thread is divided. Lengths in floats. */
typedef struct {
  int64_t width;  /* of a head, in whole tiles */
  int64_t keys;   /* in whole tiles */
  int64_t stride; /* of a row of scores */
  int64_t rows;   /* queries of a block */
  int fits;
} plan;

static plan plan_blocks(const dense *a, int gradient) {
  plan p = {.width = whole(a->D, INK_TILE_N), .keys = whole(a->S, INK_TILE_N)};
  p.keys = whole(p.keys, INK_TILE_M);
  p.stride = p.keys + SLACK;
  const int64_t room = (int64_t)(INK_SCRATCH / sizeof(float)) - 64, fixed = (gradient ? 5 : 2) * p.keys * p.width;
  const int64_t each = gradient ? 3 * p.stride + 4 * p.width : p.stride + 2 * p.width;
  for (int64_t most = BLOCK_ROWS; most >= INK_TILE_M; most -= INK_TILE_M) {
    const int64_t blocks = a->T ? (a->T + most - 1) / most : 1;
    p.rows = whole((a->T + blocks - 1) / blocks, INK_TILE_M);
    if (fixed + p.rows * each <= room) {
      p.fits = 1;
      return p;
    }
  }
  return p;
}

/* Keys or values as the right operand of products over the head's width: [panel of keys][width][INK_TILE_N]. */
static void pack_across(const float *x, int64_t stride, int64_t count, int64_t width, float *to) {
  for (int64_t s = 0; s < count; s += INK_TILE_N, to += width * INK_TILE_N) {
    ink_tile_transpose(x + s * stride, stride, (int)(count - s < INK_TILE_N ? count - s : INK_TILE_N), width, to);
  }
}

/* Rows times `factor` as the right operand of products over the rows: [panel of the width][row][INK_TILE_N]. */
static void pack_along(const float *x, int64_t stride, int64_t count, int64_t rows, int64_t width, float factor, float *to) {
  for (int64_t d = 0; d < width; d += INK_TILE_N, to += rows * INK_TILE_N) {
    const int64_t n = width - d < INK_TILE_N ? width - d : INK_TILE_N;
    if (n == INK_TILE_N) {
      for (int64_t s = 0; s < count; s++) {
        vf_store(to + s * INK_TILE_N, vf_load(x + s * stride + d) * factor);
        vf_store(to + s * INK_TILE_N + INK_W, vf_load(x + s * stride + d + INK_W) * factor);
      }
    } else {
      for (int64_t s = 0; s < count; s++) {
        for (int64_t j = 0; j < INK_TILE_N; j++) to[s * INK_TILE_N + j] = j < n ? x[s * stride + d + j] * factor : 0.0f;
      }
    }
    memset(to + count * INK_TILE_N, 0, (size_t)((rows - count) * INK_TILE_N) * sizeof *to);
  }
}

/* Rows times `factor` as the left operand: [row][width], zeros below the last. */
static void pack_rows(const float *x, int64_t stride, int64_t count, int64_t rows, int64_t width, float factor, float *to) {
  for (int64_t i = 0; i < count; i++) {
    for (int64_t d = 0; d < width; d++) to[i * width + d] = x[i * stride + d] * factor;
  }
  memset(to + count * width, 0, (size_t)((rows - count) * width) * sizeof *to);
}

/* A block of queries [t0, t0 + count) of one head. */
typedef struct {
  int64_t t0, count, rows;
} block;

/* y(i, s) = x(i)·key s for all pairs of a tile of queries and a panel of keys of which one sees the other. */
static void product_across(const dense *a, const plan *p, const block *at, const float *x, const float *panels, float *y) {
  int64_t begin, none, end;
  seen(a, at->t0, &begin, &none);
  seen(a, at->t0 + at->count - 1, &none, &end);
  for (int64_t s = begin / INK_TILE_N * INK_TILE_N; s < end; s += INK_TILE_N) {
    const float *panel = panels + s * a->D;
    for (int64_t i = 0; i < at->count; i += INK_TILE_M) {
      int64_t first, last;
      seen(a, at->t0 + i, &first, &last);
      seen(a, at->t0 + (i + INK_TILE_M < at->count ? i + INK_TILE_M : at->count) - 1, &none, &last);
      if (last <= s || first >= s + INK_TILE_N) continue;
      vf acc[INK_TILE_M][2];
      ink_tile_zero(acc);
      ink_tile_run(acc, x + i * a->D, a->D, 1, panel, a->D);
      ink_tile_store((const vf(*)[2])acc, y + i * p->stride + s, p->stride);
    }
  }
}

/* y(i, d) = factor(i) * sum over keys s of x(i, s) * row s, to `count` rows of y. */
static void product_along(const dense *a, const plan *p, const block *at, const float *x, const float *panels, const float *factor,
                          float *y, int64_t y_stride) {
  for (int64_t d = 0; d < a->D; d += INK_TILE_N, panels += p->keys * INK_TILE_N) {
    for (int64_t i = 0; i < at->count; i += INK_TILE_M) {
      const int64_t rows = at->count - i < INK_TILE_M ? at->count - i : INK_TILE_M;
      int64_t first, last, none;
      seen(a, at->t0 + i, &first, &none);
      seen(a, at->t0 + i + rows - 1, &none, &last);
      vf acc[INK_TILE_M][2];
      float tile[INK_TILE_M][INK_TILE_N];
      ink_tile_zero(acc);
      ink_tile_run(acc, x + i * p->stride + first, p->stride, 1, panels + first * INK_TILE_N, last - first);
      ink_tile_store((const vf(*)[2])acc, tile[0], INK_TILE_N);
      const int64_t n = a->D - d < INK_TILE_N ? a->D - d : INK_TILE_N;
      for (int64_t r = 0; r < rows; r++) {
        float *to = y + (i + r) * y_stride + d;
        if (n == INK_TILE_N) {
          vf_store(to, vf_load(tile[r]) * factor[i + r]);
          vf_store(to + INK_W, vf_load(tile[r] + INK_W) * factor[i + r]);
        } else {
          for (int64_t j = 0; j < n; j++) to[j] = tile[r][j] * factor[i + r];
        }
      }
    }
  }
}

/* y(s, d) += sum over queries i of x(i, s) * row i: rows of y are p->width long. */
static void product_down(const dense *a, const plan *p, const block *at, const float *x, const float *panels, float *y) {
  int64_t begin, none, end;
  seen(a, at->t0, &begin, &none);
  seen(a, at->t0 + at->count - 1, &none, &end);
  for (int64_t s = begin / INK_TILE_M * INK_TILE_M; s < end; s += INK_TILE_M) {
    int64_t from = 0, to = at->count;
    const int64_t earliest = s - (a->S - a->T) - at->t0; /* the first query that sees key s */
    if (earliest > 0) from = earliest;
    if (a->window > 0 && earliest + INK_TILE_M - 1 + a->window < to) to = earliest + INK_TILE_M - 1 + a->window;
    if (from >= to) continue;
    for (int64_t d = 0; d < p->width; d += INK_TILE_N) {
      vf acc[INK_TILE_M][2];
      ink_tile_load(acc, y + s * p->width + d, p->width);
      ink_tile_run(acc, x + from * p->stride + s, 1, p->stride, panels + (d / INK_TILE_N * at->rows + from) * INK_TILE_N, to - from);
      ink_tile_store((const vf(*)[2])acc, y + s * p->width + d, p->width);
    }
  }
}

/* Scores of one query become weights (not yet divided by their sum), zeros around them as far as tiles read. `slope`, where a softcap
 * asks for it, receives the derivative of the cap. Returns the sum, with a sink's term if there is one. */
static float weigh_row(const dense *a, const plan *p, int64_t t, const float *sink, float *row, float *slope, float *sink_term) {
  int64_t first, last;
  seen(a, t, &first, &last);
  const int64_t from = first & ~(int64_t)7, to = (last + 7) & ~(int64_t)7;
  const float minus = -__builtin_inff();
  for (int64_t s = from; s < first; s++) row[s] = minus;
  for (int64_t s = last; s < to; s++) row[s] = minus;
  v8f top[2] = {v8_set(minus), v8_set(minus)};
  for (int64_t s = from, odd = 0; s < to; s += 8, odd ^= 1) {
    v8f x = v8_load(row + s);
    if (a->softcap > 0.0f) {
      const v8f squashed = v8_tanh(x / a->softcap);
      x = v8_select((v8i)(x == minus), x, a->softcap * squashed);
      if (slope) v8_store(slope + s, 1.0f - squashed * squashed);
      v8_store(row + s, x);
    }
    top[odd] = v8_max(x, top[odd]);
  }
  float greatest = v8_top(v8_max(top[0], top[1]));
  if (sink && *sink > greatest) greatest = *sink;
  if (greatest == minus) greatest = 0.0f;
  v8f sum[2] = {v8_zero(), v8_zero()};
  int64_t s = from;
  for (; s + 16 <= to; s += 16) {
    const v8f x = v8_exp(v8_load(row + s) - greatest), y = v8_exp(v8_load(row + s + 8) - greatest);
    v8_store(row + s, x);
    v8_store(row + s + 8, y);
    sum[0] += x;
    sum[1] += y;
  }
  if (s < to) {
    const v8f x = v8_exp(v8_load(row + s) - greatest);
    v8_store(row + s, x);
    sum[0] += x;
  }
  const int64_t low = from < SLACK ? 0 : from - SLACK, high = to + SLACK < p->stride ? to + SLACK : p->stride;
  memset(row + low, 0, (size_t)(from - low) * sizeof *row);
  memset(row + to, 0, (size_t)(high - to) * sizeof *row);
  const float term = sink ? ink_exp(*sink - greatest) : 0.0f;
  if (sink_term) *sink_term = term;
  return v8_sum(sum[0] + sum[1]) + term;
}

/* Queries of head h in sequence b: blocks part, part + parts, …. */
static void attend_head(const dense *a, const plan *p, const ink_step *step, int64_t b, int64_t h, int64_t part, int64_t parts,
                        float *memory) {
  const int64_t D = a->D, g = h / a->group, key_stride = a->G * D, query_stride = a->H * D;
  const ink_tensor *sinks = step->input_count > 3 ? step->input[3] : NULL;
  const float *sink = sinks ? (const float *)sinks->data + h : NULL;
  float *keys = memory, *values = keys + p->keys * p->width, *queries = values + p->keys * p->width;
  float *factor = queries + p->rows * p->width, *scores = factor + p->rows * p->width;
  const int64_t at_keys = (b * a->S * a->G + g) * D;
  pack_across((const float *)step->input[1]->data + at_keys, key_stride, a->S, D, keys);
  pack_along((const float *)step->input[2]->data + at_keys, key_stride, a->S, p->keys, D, 1.0f, values);
  for (int64_t t = part * p->rows; t < a->T; t += parts * p->rows) {
    const block at = {t, a->T - t < p->rows ? a->T - t : p->rows, p->rows};
    const int64_t at_queries = ((b * a->T + t) * a->H + h) * D;
    pack_rows((const float *)step->input[0]->data + at_queries, query_stride, at.count, p->rows, D, a->scale, queries);
    product_across(a, p, &at, queries, keys, scores);
    for (int64_t i = 0; i < at.count; i++) {
      const float sum = weigh_row(a, p, t + i, sink, scores + i * p->stride, NULL, NULL);
      factor[i] = sum == 0.0f ? 0.0f : 1.0f / sum;
    }
    product_along(a, p, &at, scores, values, factor, (float *)step->output->data + at_queries, query_stride);
  }
}

static void attend_long(const dense *a, const ink_step *step, const ink_worker *worker);

void INK_NAME(ink_attention)(const ink_step *step, const ink_worker *worker) {
  const dense a = read_dense(step);
  const plan p = plan_blocks(&a, 0);
  if (!p.fits) {
    attend_long(&a, step, worker);
    return;
  }
  /* heads are shared out whole where there are enough of them, else in blocks of queries */
  const int64_t heads = a.B * a.H, blocks = a.T ? (a.T + p.rows - 1) / p.rows : 1;
  const int64_t parts = heads >= 2 * worker->count || blocks < 2 ? 1 : blocks;
  for (int64_t unit = worker->index; unit < heads * parts; unit += worker->count) {
    const int64_t head = unit % heads;
    attend_head(&a, &p, step, head / a.H, head % a.H, unit / heads, parts, (float *)(void *)worker->scratch);
  }
}

/* What the gradient of one key head works with. */
typedef struct {
  float *keys, *values;              /* across */
  float *key_rows;                   /* along */
  float *dk, *dv;                    /* (keys, width) */
  float *queries, *dys;              /* rows */
  float *query_rows, *dy_rows;       /* along */
  float *p, *ds, *slope;
} space;

/* Gradients of head h's queries in sequence b, and their part in those of its keys and values. */
static void grad_head(const dense *a, const plan *p, const ink_step *step, int64_t b, int64_t h, const space *w, float *dsink) {
  const int64_t D = a->D, stride = a->H * D;
  const float *sink = step->input[3] ? (const float *)step->input[3]->data + h : NULL;
  float factor[BLOCK_ROWS + INK_TILE_M];
  for (int64_t i = 0; i < p->rows; i++) factor[i] = a->scale;
  for (int64_t t = 0; t < a->T; t += p->rows) {
    const block at = {t, a->T - t < p->rows ? a->T - t : p->rows, p->rows};
    const int64_t begin = ((b * a->T + t) * a->H + h) * D;
    const float *q = (const float *)step->input[0]->data + begin, *dy = (const float *)step->input[4]->data + begin;
    pack_rows(q, stride, at.count, p->rows, D, a->scale, w->queries);
    pack_rows(dy, stride, at.count, p->rows, D, 1.0f, w->dys);
    pack_along(q, stride, at.count, p->rows, D, a->scale, w->query_rows);
    pack_along(dy, stride, at.count, p->rows, D, 1.0f, w->dy_rows);
    product_across(a, p, &at, w->queries, w->keys, w->p);
    product_across(a, p, &at, w->dys, w->values, w->ds);
    for (int64_t i = 0; i < at.count; i++) {
      float *weights = w->p + i * p->stride, *ds = w->ds + i * p->stride, *slope = a->softcap > 0.0f ? w->slope + i * p->stride : NULL;
      int64_t first, last;
      seen(a, t + i, &first, &last);
      float term;
      const float sum = weigh_row(a, p, t + i, sink, weights, slope, &term), inverse = sum == 0.0f ? 0.0f : 1.0f / sum;
      const int64_t from = first & ~(int64_t)7, to = (last + 7) & ~(int64_t)7;
      v8f part[2] = {v8_zero(), v8_zero()};
      for (int64_t s = from, odd = 0; s < to; s += 8, odd ^= 1) {
        const v8f x = v8_load(weights + s) * inverse;
        v8_store(weights + s, x);
        part[odd] = v8_fma(x, v8_load(ds + s), part[odd]);
      }
      const float mean = v8_sum(part[0] + part[1]);
      if (sink) *dsink -= term * inverse * mean;
      for (int64_t s = from; s < to; s += 8) {
        v8f x = v8_load(weights + s) * (v8_load(ds + s) - mean);
        if (slope) x *= v8_load(slope + s);
        v8_store(ds + s, x);
      }
      const int64_t low = from < SLACK ? 0 : from - SLACK, high = to + SLACK < p->stride ? to + SLACK : p->stride;
      memset(ds + low, 0, (size_t)(from - low) * sizeof *ds);
      memset(ds + to, 0, (size_t)(high - to) * sizeof *ds);
    }
    product_along(a, p, &at, w->ds, w->key_rows, factor, (float *)step->output->data + begin, stride);
    product_down(a, p, &at, w->p, w->dy_rows, w->dv);
    product_down(a, p, &at, w->ds, w->query_rows, w->dk);
  }
}

/* Gradients of all that key head g of sequence b touches. */
static void grad_group(const dense *a, const plan *p, const ink_step *step, int64_t b, int64_t g, float *memory, float *dsinks) {
  const int64_t D = a->D, stride = a->G * D, size = p->keys * p->width, rows = p->rows * p->width;
  space w = {.keys = memory};
  w.values = w.keys + size;
  w.key_rows = w.values + size;
  w.dk = w.key_rows + size;
  w.dv = w.dk + size;
  w.queries = w.dv + size;
  w.dys = w.queries + rows;
  w.query_rows = w.dys + rows;
  w.dy_rows = w.query_rows + rows;
  w.p = w.dy_rows + rows;
  w.ds = w.p + p->rows * p->stride;
  w.slope = w.ds + p->rows * p->stride;
  const int64_t begin = (b * a->S * a->G + g) * D;
  const float *k = (const float *)step->input[1]->data + begin, *v = (const float *)step->input[2]->data + begin;
  pack_across(k, stride, a->S, D, w.keys);
  pack_across(v, stride, a->S, D, w.values);
  pack_along(k, stride, a->S, p->keys, D, 1.0f, w.key_rows);
  memset(w.dk, 0, (size_t)(2 * size) * sizeof(float));
  for (int64_t h = g * a->group; h < (g + 1) * a->group; h++) grad_head(a, p, step, b, h, &w, dsinks ? dsinks + h : NULL);
  float *dk = (float *)step->output->data + a->B * a->T * a->H * D + begin, *dv = dk + a->B * a->S * a->G * D;
  for (int64_t s = 0; s < a->S; s++) {
    memcpy(dk + s * stride, w.dk + s * p->width, (size_t)D * sizeof(float));
    memcpy(dv + s * stride, w.dv + s * p->width, (size_t)D * sizeof(float));
  }
}

static void grad_long(const dense *a, const ink_step *step, const ink_worker *worker);

void INK_NAME(ink_attention_grad)(const ink_step *step, const ink_worker *worker) {
  const dense a = read_dense(step);
  const plan p = plan_blocks(&a, 1);
  if (!p.fits) {
    grad_long(&a, step, worker);
    return;
  }
  float *memory = (float *)(void *)worker->scratch;
  if (!step->input[3]) {
    for (int64_t unit = worker->index; unit < a.B * a.G; unit += worker->count) {
      grad_group(&a, &p, step, unit / a.G, unit % a.G, memory, NULL);
    }
    return;
  }
  /* a sink's gradient is a sum over all sequences: its heads belong to one thread */
  float *dsinks = (float *)step->output->data + (a.B * a.T * a.H + 2 * a.B * a.S * a.G) * a.D;
  for (int64_t g = worker->index; g < a.G; g += worker->count) {
    for (int64_t h = g * a.group; h < (g + 1) * a.group; h++) dsinks[h] = 0.0f;
    for (int64_t b = 0; b < a.B; b++) grad_group(&a, &p, step, b, g, memory, dsinks);
  }
}

/* ---- sequences too long for a thread's scratch ---- */

typedef struct {
  attend_state total[ATTEND_QUERIES], chunk[ATTEND_QUERIES];
  float scores[ATTEND_QUERIES][ATTEND_BLOCK];
  const float *q[ATTEND_QUERIES];
  int64_t first[ATTEND_QUERIES], last[ATTEND_QUERIES];
  int lo[ATTEND_QUERIES], hi[ATTEND_QUERIES];
  const void *keys[ATTEND_BLOCK], *values[ATTEND_BLOCK];
} long_space;

/* Queries [t0, t1) of head h in sequence b. */
static void attend_tile(const dense *a, long_space *w, const float *q, const float *k, const float *v, const float *sinks, float *y,
                        int64_t b, int64_t t0, int64_t t1, int64_t h) {
  const int64_t D = a->D, g = h / a->group, stride = a->G * D;
  const float *keys = k + (b * a->S * a->G + g) * D, *values = v + (b * a->S * a->G + g) * D;
  const int count = (int)(t1 - t0);
  int64_t begin = INT64_MAX, end = 0;
  for (int i = 0; i < count; i++) {
    w->q[i] = q + ((b * a->T + t0 + i) * a->H + h) * D;
    seen(a, t0 + i, &w->first[i], &w->last[i]);
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
      attend_block(w->chunk, w->q, count, w->lo, w->hi, w->keys, w->values, D, a->scale, a->softcap, w->scores, 0);
    }
    for (int i = 0; i < count; i++) if (w->chunk[i].sum != 0.0f) attend_merge(&w->total[i], &w->chunk[i], D);
  }
  for (int i = 0; i < count; i++) {
    attend_finish(&w->total[i], sinks ? sinks + h : NULL, D, y + ((b * a->T + t0 + i) * a->H + h) * D);
  }
}

static void attend_long(const dense *at, const ink_step *step, const ink_worker *worker) {
  const dense a = *at;
  const ink_tensor *sinks = step->input_count > 3 ? step->input[3] : NULL;
  long_space *w = (long_space *)(void *)worker->scratch;
  float *values = (float *)(void *)(worker->scratch + (sizeof(long_space) + 63) / 64 * 64);
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
        attend_tile(&a, w, step->input[0]->data, step->input[1]->data, step->input[2]->data, sinks ? sinks->data : NULL,
                    step->output->data, b, t, end, h);
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

/* Gradients of everything that key head g touches. A key head belongs to one thread, which takes its queries in order, so sums over
 * queries and sequences do not depend on the number of threads. */
static void grad_long(const dense *at, const ink_step *step, const ink_worker *worker) {
  const dense a = *at;
  const int64_t D = a.D;
  const float *q = step->input[0]->data, *k = step->input[1]->data, *v = step->input[2]->data, *dy = step->input[4]->data;
  const float *sinks = step->input[3] ? step->input[3]->data : NULL;
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
        seen(&a, t, &first, &last);
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
          for (int64_t s = first; s < last; s++) {
            p[s] /= total;
            dp[s] = dot(dy + query, v + ((b * a.S + s) * a.G + g) * D, D);
            mean = ink_fma(p[s], dp[s], mean);
          }
          if (sinks) dsinks[h] -= sink / total * mean;
          for (int64_t s = first; s < last; s++) {
            const int64_t row = ((b * a.S + s) * a.G + g) * D;
            const float ds = p[s] * (dp[s] - mean) * slope[s] * a.scale;
            accumulate(dv + row, p[s], dy + query, D);
            accumulate(dq + query, ds, k + row, D);
            accumulate(dk + row, ds, q + query, D);
          }
        }
      }
    }
  }
}
