/* Causal attention over whole sequences, and its gradient: what training uses.
 *
 * Keys and values of one head are packed for the tiles of tile.h; then a block of queries at a time has all its scores in the cache, a
 * row for each query, so that softmax is one of whole rows. Scores are chains over the head's width, weighted sums are chains over the
 * keys ascending, gradients of keys and values chains over the queries ascending, head after head of a group. Tiles that no query of
 * theirs sees are left out. Sequences too long for that (a head's keys have to fit into a thread's scratch) are attention_long.c's. */
#include "attention.h"
#include "mathv.h"
#include "tile.h"

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

/* A block of queries [t0, t0 + count) of head h in sequence b, and the keys [first, last) that each sees. Rows of scores are zero around
 * those keys as far as [low, high), where tiles may read them. */
typedef struct {
  int64_t b, h, t0, count, rows;
  int64_t low, high;
  int64_t first[BLOCK_ROWS + INK_TILE_M], last[BLOCK_ROWS + INK_TILE_M];
} block;

/* The keys [first, last) that queries [from, to) of a block see between them. */
static void seen_between(const block *at, int64_t from, int64_t to, int64_t *first, int64_t *last) {
  *first = at->first[from];
  *last = at->last[to - 1];
  for (int64_t i = from + 1; i < to; i++) *first = at->first[i] < *first ? at->first[i] : *first;
}

static void read_block(const dense *a, const plan *p, int64_t b, int64_t h, int64_t t, block *at) {
  at->b = b;
  at->h = h;
  at->t0 = t;
  at->count = a->T - t < p->rows ? a->T - t : p->rows;
  at->rows = p->rows;
  for (int64_t i = 0; i < at->count; i++) dense_seen(a, b, t + i, &at->first[i], &at->last[i]);
  seen_between(at, 0, at->count, &at->low, &at->high);
  at->low &= ~(int64_t)7;
  at->low = at->low < SLACK ? 0 : at->low - SLACK;
  at->high = ((at->high + 7) & ~(int64_t)7) + SLACK;
  at->high = at->high < p->stride ? at->high : p->stride;
}

/* The vectors of a row in which query i sees keys. */
static void row_span(const block *at, int64_t i, int64_t *from, int64_t *to) {
  *from = at->first[i] & ~(int64_t)7;
  *to = at->first[i] < at->last[i] ? (at->last[i] + 7) & ~(int64_t)7 : *from;
}

/* Zeros in a row around [from, to), as far as a tile with this row in it may read: where queries see their own documents, any of the
 * block's keys; else the first and last keys of neighbours differ by one. */
static void clear_around(const dense *a, const block *at, float *row, int64_t from, int64_t to) {
  const int64_t low = a->first_key || from - at->low < SLACK ? at->low : from - SLACK;
  const int64_t high = a->first_key || at->high - to < SLACK ? at->high : to + SLACK;
  memset(row + low, 0, (size_t)(from - low) * sizeof *row);
  memset(row + to, 0, (size_t)(high - to) * sizeof *row);
}

/* y(i, s) = x(i)·key s for all pairs of a tile of queries and a panel of keys of which one sees the other. */
static void product_across(const dense *a, const plan *p, const block *at, const float *x, const float *panels, float *y) {
  int64_t begin, end;
  seen_between(at, 0, at->count, &begin, &end);
  int64_t first[BLOCK_ROWS / INK_TILE_M + 1], last[BLOCK_ROWS / INK_TILE_M + 1];
  for (int64_t i = 0; i < at->count; i += INK_TILE_M) {
    const int64_t tile = i / INK_TILE_M, next = i + INK_TILE_M < at->count ? i + INK_TILE_M : at->count;
    seen_between(at, i, next, &first[tile], &last[tile]);
  }
  for (int64_t s = begin / INK_TILE_N * INK_TILE_N; s < end; s += INK_TILE_N) {
    const float *panel = panels + s * a->D;
    for (int64_t i = 0; i < at->count; i += INK_TILE_M) {
      if (last[i / INK_TILE_M] <= s || first[i / INK_TILE_M] >= s + INK_TILE_N) continue;
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
      int64_t first, last;
      seen_between(at, i, i + rows, &first, &last);
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
  int64_t begin, end;
  seen_between(at, 0, at->count, &begin, &end);
  for (int64_t s = begin / INK_TILE_M * INK_TILE_M; s < end; s += INK_TILE_M) {
    const int64_t earliest = s - (a->S - a->T) - at->t0; /* the first query that comes after key s */
    const int64_t from = earliest > 0 ? earliest : 0;
    int64_t to = at->count; /* after the last query that sees a key of this tile */
    while (to > from && at->first[to - 1] >= s + INK_TILE_M) to--;
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
static float weigh_row(const dense *a, const block *at, int64_t i, float *row, float *slope, float *sink_term) {
  const int64_t first = at->first[i], last = at->last[i];
  const float *sink = a->sinks ? a->sinks + at->h : NULL;
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
  clear_around(a, at, row, from, to);
  const float term = sink ? ink_exp(*sink - greatest) : 0.0f;
  if (sink_term) *sink_term = term;
  return v8_sum(sum[0] + sum[1]) + term;
}

/* Weights that are dropped become zero; what is kept is not yet brought up. */
static void drop_row(const dense *a, const block *at, int64_t i, float *row) {
  int64_t from, to;
  row_span(at, i, &from, &to);
  for (int64_t s = from; s < to; s += 32) {
    v8i kept[4];
    dense_kept(a, at->b, at->h, at->t0 + i, s, kept);
    for (int k = 0; k < 4 && s + 8 * k < to; k++) v8_store(row + s + 8 * k, (v8f)(kept[k] & (v8i)v8_load(row + s + 8 * k)));
  }
}

/* The same for gradients: a weight that is dropped gets a minus sign, and what comes to it from the result is zero. */
static void mark_row(const dense *a, const block *at, int64_t i, float *weights, float *ds) {
  int64_t from, to;
  row_span(at, i, &from, &to);
  const v8i minus = (v8i)v8_set(-0.0f);
  for (int64_t s = from; s < to; s += 32) {
    v8i kept[4];
    dense_kept(a, at->b, at->h, at->t0 + i, s, kept);
    for (int k = 0; k < 4 && s + 8 * k < to; k++) {
      float *weight = weights + s + 8 * k, *d = ds + s + 8 * k;
      v8_store(weight, (v8f)((v8i)v8_load(weight) | (~kept[k] & minus)));
      v8_store(d, (v8f)(kept[k] & (v8i)(v8_load(d) * a->keep)));
    }
  }
}

/* Queries of head h in sequence b: blocks part, part + parts, …. */
static void attend_head(const dense *a, const plan *p, const ink_step *step, int64_t b, int64_t h, int64_t part, int64_t parts,
                        float *memory) {
  const int64_t D = a->D, g = h / a->group, key_stride = a->G * D, query_stride = a->H * D;
  float *keys = memory, *values = keys + p->keys * p->width, *queries = values + p->keys * p->width;
  float *factor = queries + p->rows * p->width, *scores = factor + p->rows * p->width;
  const int64_t at_keys = (b * a->S * a->G + g) * D;
  pack_across((const float *)step->input[1]->data + at_keys, key_stride, a->S, D, keys);
  pack_along((const float *)step->input[2]->data + at_keys, key_stride, a->S, p->keys, D, 1.0f, values);
  for (int64_t t = part * p->rows; t < a->T; t += parts * p->rows) {
    block at;
    read_block(a, p, b, h, t, &at);
    const int64_t at_queries = ((b * a->T + t) * a->H + h) * D;
    pack_rows((const float *)step->input[0]->data + at_queries, query_stride, at.count, p->rows, D, a->scale, queries);
    product_across(a, p, &at, queries, keys, scores);
    for (int64_t i = 0; i < at.count; i++) {
      const float sum = weigh_row(a, &at, i, scores + i * p->stride, NULL, NULL);
      factor[i] = sum == 0.0f ? 0.0f : 1.0f / sum;
      if (!a->key) continue;
      drop_row(a, &at, i, scores + i * p->stride);
      factor[i] *= a->keep;
    }
    product_along(a, p, &at, scores, values, factor, (float *)step->output->data + at_queries, query_stride);
  }
}

void INK_NAME(ink_attention)(const ink_step *step, const ink_worker *worker) {
  const dense a = dense_read(step, 4);
  const plan p = plan_blocks(&a, 0);
  if (!p.fits) {
    INK_NAME(ink_attention_long)(step, worker);
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
  const int drops = a->key != NULL;
  float factor[BLOCK_ROWS + INK_TILE_M];
  for (int64_t i = 0; i < p->rows; i++) factor[i] = a->scale;
  for (int64_t t = 0; t < a->T; t += p->rows) {
    block at;
    read_block(a, p, b, h, t, &at);
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
      float term;
      const float sum = weigh_row(a, &at, i, weights, slope, &term), inverse = sum == 0.0f ? 0.0f : 1.0f / sum;
      int64_t from, to;
      row_span(&at, i, &from, &to);
      if (drops) mark_row(a, &at, i, weights, ds);
      v8f part[2] = {v8_zero(), v8_zero()};
      for (int64_t s = from, odd = 0; s < to; s += 8, odd ^= 1) {
        const v8f x = v8_load(weights + s) * inverse;
        v8_store(weights + s, x);
        part[odd] = v8_fma(x, v8_load(ds + s), part[odd]);
      }
      const float mean = v8_sum(part[0] + part[1]);
      if (a->sinks) *dsink -= term * inverse * mean;
      for (int64_t s = from; s < to; s += 8) {
        const v8f weight = v8_load(weights + s);
        v8f x = (drops ? v8_abs(weight) : weight) * (v8_load(ds + s) - mean);
        if (slope) x *= v8_load(slope + s);
        v8_store(ds + s, x);
        if (drops) v8_store(weights + s, v8_select((v8i)weight < 0, v8_zero(), weight * a->keep));
      }
      clear_around(a, &at, ds, from, to);
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

void INK_NAME(ink_attention_grad)(const ink_step *step, const ink_worker *worker) {
  const dense a = dense_read(step, 5);
  const plan p = plan_blocks(&a, 1);
  if (!p.fits) {
    INK_NAME(ink_attention_grad_long)(step, worker);
    return;
  }
  float *memory = (float *)(void *)worker->scratch;
  if (!a.sinks) {
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
