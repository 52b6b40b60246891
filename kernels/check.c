/* What each opcode demands of a step. Checked once, when a program is loaded, so that kernels need not: dimensions are compared as
 * they are encoded, and two that are encoded alike are equal in every run. What only the values of the variables can tell
 * (strides of a copy, for instance) is checked again by ink_check_bound at each run. */
#include "program.h"

#define NEEDS(condition, text) \
  do { \
    if (!(condition)) return text; \
  } while (0)

enum { ANY_COUNT = -1 };

/* Inputs at least and at most, which may be absent (bit i: input i), ints and floats. */
typedef struct {
  int8_t least, most, ints, floats;
  uint8_t optional;
} arity;

static const arity arities[INK_OPCODE_COUNT] = {
  [INK_ELEMENTWISE] = {1, INK_MAX_INPUTS, ANY_COUNT, ANY_COUNT, 0},
  [INK_STRIDED_COPY] = {1, 1, ANY_COUNT, 0, 0},
  [INK_CONCAT] = {1, INK_MAX_INPUTS, 1, 0, 0},
  [INK_CAST] = {1, 1, 0, 0, 0},
  [INK_SUM] = {1, 1, 2, 0, 0},
  [INK_MAX] = {1, 1, 0, 0, 0},
  [INK_SOFTMAX] = {1, 1, 0, 0, 0},
  [INK_LOG_SOFTMAX] = {1, 1, 0, 0, 0},
  [INK_NORMALIZE] = {1, 3, 1, 2, 6},
  [INK_NORMALIZE_GRAD] = {2, 2, 1, 1, 0},
  [INK_MATMUL] = {2, 4, 2, 0, 12},
  [INK_QUANTIZE8] = {1, 1, 0, 0, 0},
  [INK_EXPERT_MATMUL] = {3, 3, 1, 0, 0},
  [INK_EXPERT_OUTER] = {3, 3, 0, 0, 0},
  [INK_GATHER] = {2, 2, 0, 0, 0},
  [INK_SCATTER_ADD] = {2, 2, 0, 0, 0},
  [INK_TAKE_LAST] = {2, 2, 0, 0, 0},
  [INK_PUT_LAST] = {2, 2, 0, 0, 0},
  [INK_TOPK] = {1, 1, 0, 0, 0},
  [INK_CROSS_ENTROPY] = {2, 2, 1, 0, 0},
  [INK_CROSS_ENTROPY_GRAD] = {3, 3, 1, 0, 0},
  [INK_ROPE_TABLE] = {2, 2, 0, 1, 0},
  [INK_ROPE] = {2, 2, 2, 0, 0},
  [INK_ATTENTION] = {3, 6, 1, 3, 8 | 16 | 32},
  [INK_ATTENTION_GRAD] = {5, 7, 1, 3, 8 | 32 | 64},
  [INK_KV_WRITE] = {3, 3, 0, 0, 0},
  [INK_PAGED_ATTENTION] = {6, 7, 1, 2, 64},
  [INK_RANDOM] = {1, 1, 0, 0, 0},
  [INK_ADAMW] = {6, 6, 0, 6, 0},
  [INK_MOMENTUM] = {3, 3, 0, 2, 0},
  [INK_DESCEND] = {4, 4, 0, 2, 0},
  [INK_ACCUMULATE] = {3, 3, 0, 0, 0},
  [INK_SUM_SQUARES] = {1, INK_MAX_INPUTS, 0, 0, 0},
};

/* A step with its tensors as they are encoded. */
typedef struct {
  const ink_step *step;
  const ink_source *in[INK_MAX_INPUTS];
  const ink_source *out;
} call;

static int same_dims(const ink_source *a, int ai, const ink_source *b, int bi, int count) {
  if (ai < 0 || bi < 0 || ai + count > a->rank || bi + count > b->rank) return 0;
  for (int i = 0; i < count; i++) {
    if (a->dim[ai + i] != b->dim[bi + i]) return 0;
  }
  return 1;
}
static int same_shape(const ink_source *a, const ink_source *b) {
  return a->rank == b->rank && same_dims(a, 0, b, 0, a->rank);
}
static int32_t last(const ink_source *t) { return t->rank ? t->dim[t->rank - 1] : 1; }
static int is_vector(const ink_source *t, int32_t length) {
  return t->dtype == INK_F32 && t->rank == 1 && t->dim[0] == length;
}
static int is_f32(const ink_source *t) { return t->dtype == INK_F32; }
static int is_i32(const ink_source *t) { return t->dtype == INK_I32; }
static int is_block(const ink_source *t) { return t->dtype >= INK_Q4_0; }
static int is_float16(const ink_source *t) { return t->dtype == INK_F16 || t->dtype == INK_BF16; }
static int four_bytes(const ink_source *t) { return t->dtype == INK_F32 || t->dtype == INK_I32; }

static const char *check_elementwise(const call *c) {
  /* operands of each code in elementwiseCodes */
  static const uint8_t operands[28] = {2, 2, 2, 2, 2, 2, 2, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  const ink_step *s = c->step;
  NEEDS(is_f32(c->out), "element-wise results are f32");
  for (int i = 0; i < s->input_count; i++) {
    const ink_source *x = c->in[i];
    NEEDS(is_f32(x) && x->rank <= c->out->rank, "element-wise operand of another type or rank");
    for (int k = 1; k <= x->rank; k++) {
      const int32_t d = x->dim[x->rank - k];
      NEEDS(d == 1 || d == c->out->dim[c->out->rank - k], "element-wise operand does not broadcast");
    }
  }
  NEEDS(s->int_count >= 5 && s->ints[0] >= 1 && s->ints[0] <= 256, "element-wise program of no or too many instructions");
  const int32_t n = s->ints[0];
  NEEDS(s->int_count == 1 + 4 * n && s->float_count == 2 * n, "element-wise program of wrong length");
  for (int32_t i = 0; i < n; i++) {
    const int32_t *w = s->ints + 1 + 4 * i;
    NEEDS(w[0] >= 0 && w[0] < 28, "unknown element-wise instruction");
    for (int k = 0; k < 3; k++) {
      const int used = k < operands[w[0]];
      NEEDS(used ? w[1 + k] >= 0 && w[1 + k] < s->input_count + i : w[1 + k] == -1, "operand of an element-wise instruction out of range");
    }
  }
  return NULL;
}

static const char *check_strided_copy(const call *c) {
  const ink_source *x = c->in[0], *y = c->out;
  const ink_step *s = c->step;
  NEEDS(four_bytes(x) && x->dtype == y->dtype, "copies move f32 or i32");
  NEEDS(s->int_count == 1 + 3 * y->rank, "copy with a wrong number of strides");
  for (int i = 0; i < y->rank; i++) {
    const int32_t stride = s->ints[1 + i];
    NEEDS(stride != -1 && stride > -2 - INK_MAX_RANK, "stride out of range");
    NEEDS(stride >= 0 || -2 - stride < x->rank, "stride of a dimension that is not there");
  }
  return NULL;
}

static const char *check_concat(const call *c) {
  const ink_source *y = c->out;
  const int32_t axis = c->step->ints[0];
  NEEDS(four_bytes(y) && axis >= 0 && axis < y->rank, "axis of concat out of range");
  for (int i = 0; i < c->step->input_count; i++) {
    const ink_source *x = c->in[i];
    NEEDS(x->dtype == y->dtype && x->rank == y->rank, "parts of concat differ in type or rank");
    NEEDS(same_dims(x, 0, y, 0, axis) && same_dims(x, axis + 1, y, axis + 1, y->rank - axis - 1), "parts of concat differ off its axis");
  }
  return NULL;
}

static const char *check_cast(const call *c) {
  const ink_source *x = c->in[0], *y = c->out;
  NEEDS(same_shape(x, y), "cast changes the shape");
  const int from_float = is_f32(x) || is_float16(x);
  NEEDS(is_f32(y) ? from_float || is_i32(x) || is_block(x) : is_float16(y) && from_float, "no such cast");
  return NULL;
}

static const char *check_sum(const call *c) {
  const ink_source *x = c->in[0], *y = c->out;
  const int32_t from = c->step->ints[0], to = c->step->ints[1];
  NEEDS(is_f32(x) && is_f32(y) && x->rank == y->rank, "sums are of f32 and keep the rank");
  NEEDS(from >= 0 && from < to && to <= x->rank, "axes of a sum out of range");
  for (int i = 0; i < x->rank; i++) NEEDS(y->dim[i] == (i >= from && i < to ? 1 : x->dim[i]), "sum of another shape");
  return NULL;
}

static const char *check_rows(const call *c) {
  NEEDS(is_f32(c->in[0]) && is_f32(c->out) && c->out->rank >= 1, "works on rows of f32");
  if (c->step->opcode == INK_MAX) {
    NEEDS(c->in[0]->rank == c->out->rank && last(c->out) == 1 && same_dims(c->in[0], 0, c->out, 0, c->out->rank - 1), "max of another shape");
  } else {
    NEEDS(same_shape(c->in[0], c->out), "result of another shape");
  }
  return NULL;
}

static const char *check_normalize(const call *c) {
  const char *text = check_rows(c);
  if (text) return text;
  const int grad = c->step->opcode == INK_NORMALIZE_GRAD;
  for (int i = 1; i < c->step->input_count; i++) {
    if (!c->in[i]) continue;
    NEEDS(grad ? is_f32(c->in[i]) && same_shape(c->in[i], c->out) : is_vector(c->in[i], last(c->out)), "operand of normalisation of another shape");
  }
  NEEDS(c->step->ints[0] == 0 || c->step->ints[0] == 1, "unknown kind of normalisation");
  return NULL;
}

static const char *check_product_types(const ink_source *a, const ink_source *b, int transpose_b) {
  NEEDS(is_f32(b) || is_float16(b) || is_block(b), "a right operand of this type is not multiplied");
  NEEDS(is_f32(b) || transpose_b, "a right operand of this type must be transposed");
  NEEDS(a->dtype == INK_Q8A ? is_block(b) : is_f32(a), "no product of these types");
  return NULL;
}

static const char *check_matmul(const call *c) {
  const ink_source *a = c->in[0], *b = c->in[1], *y = c->out;
  const int transpose_a = c->step->ints[0], transpose_b = c->step->ints[1];
  NEEDS((transpose_a | 1) == 1 && (transpose_b | 1) == 1, "flags are 0 or 1");
  NEEDS(a->rank >= 2 && b->rank >= 2 && y->rank == a->rank && is_f32(y), "operands of a product need two dimensions");
  const char *text = check_product_types(a, b, transpose_b);
  if (text) return text;
  NEEDS(!transpose_a || is_f32(a), "quantised rows are not transposed");
  const int lead = a->rank - 2;
  NEEDS(same_dims(a, 0, y, 0, lead), "leading dimensions of a product differ");
  if (b->rank > 2 || transpose_a) NEEDS(b->rank == a->rank && same_dims(a, 0, b, 0, lead), "leading dimensions of a product differ");
  const int32_t rows = a->dim[lead + (transpose_a ? 1 : 0)], inner = a->dim[lead + (transpose_a ? 0 : 1)];
  const int32_t *bd = b->dim + b->rank - 2;
  NEEDS(bd[transpose_b ? 1 : 0] == inner, "inner dimensions of a product differ");
  NEEDS(y->dim[lead] == rows && y->dim[lead + 1] == bd[transpose_b ? 0 : 1], "product of another shape");
  if (c->step->input_count > 2 && c->in[2]) NEEDS(is_vector(c->in[2], last(y)), "bias of another shape");
  if (c->step->input_count > 3 && c->in[3]) NEEDS(is_f32(c->in[3]) && same_shape(c->in[3], y), "residual of another shape");
  return NULL;
}

static const char *check_quantize8(const call *c) {
  NEEDS(is_f32(c->in[0]) && c->out->dtype == INK_Q8A && same_shape(c->in[0], c->out), "quantises f32 of the same shape");
  return NULL;
}

static const char *check_expert_input(const ink_source *x, const ink_source *idx) {
  NEEDS(is_i32(idx) && idx->rank == 2, "the experts of a row are i32 of two dimensions");
  NEEDS(x->rank == 2 || x->rank == 3, "rows for experts have two or three dimensions");
  NEEDS(same_dims(x, 0, idx, 0, x->rank - 1), "rows and their experts differ in number");
  return NULL;
}

static const char *check_expert_matmul(const call *c) {
  const ink_source *x = c->in[0], *w = c->in[1], *idx = c->in[2], *y = c->out;
  const int transpose_b = c->step->ints[0];
  NEEDS((transpose_b | 1) == 1, "flags are 0 or 1");
  const char *text = check_expert_input(x, idx);
  if (text) return text;
  NEEDS(w->rank == 3 && is_f32(y) && y->rank == 3 && same_dims(y, 0, idx, 0, 2), "product of experts of another shape");
  if ((text = check_product_types(x, w, transpose_b))) return text;
  NEEDS(w->dim[transpose_b ? 2 : 1] == last(x), "inner dimensions of a product differ");
  NEEDS(w->dim[transpose_b ? 1 : 2] == last(y), "product of experts of another shape");
  return NULL;
}

static const char *check_expert_outer(const call *c) {
  const ink_source *dy = c->in[0], *x = c->in[1], *idx = c->in[2], *y = c->out;
  const char *text = check_expert_input(x, idx);
  if (text) return text;
  NEEDS(is_f32(x) && is_f32(dy) && is_f32(y) && dy->rank == 3 && y->rank == 3, "works on f32");
  NEEDS(same_dims(dy, 0, idx, 0, 2) && y->dim[1] == last(dy) && y->dim[2] == last(x), "outer products of another shape");
  return NULL;
}

static const char *check_gather(const call *c) {
  const ink_source *table = c->in[0], *ids = c->in[1], *y = c->out;
  NEEDS(is_f32(y) && is_i32(ids) && table->rank >= 1, "gathers rows by i32 into f32");
  NEEDS(is_f32(table) || is_float16(table) || is_block(table), "rows of this type are not gathered");
  NEEDS(!is_block(table) || table->rank >= 2, "rows of a block type need two dimensions");
  NEEDS(y->rank == ids->rank + table->rank - 1, "gathered rows of another shape");
  NEEDS(same_dims(y, 0, ids, 0, ids->rank) && same_dims(y, ids->rank, table, 1, table->rank - 1), "gathered rows of another shape");
  return NULL;
}

static const char *check_scatter_add(const call *c) {
  const ink_source *g = c->in[0], *ids = c->in[1], *y = c->out;
  NEEDS(is_f32(g) && is_f32(y) && is_i32(ids) && y->rank >= 1, "adds rows of f32 by i32");
  NEEDS(g->rank == ids->rank + y->rank - 1, "scattered rows of another shape");
  NEEDS(same_dims(g, 0, ids, 0, ids->rank) && same_dims(g, ids->rank, y, 1, y->rank - 1), "scattered rows of another shape");
  return NULL;
}

static const char *check_last(const call *c) {
  const ink_source *x = c->in[0], *idx = c->in[1], *y = c->out;
  NEEDS(is_f32(x) && is_f32(y) && is_i32(idx), "picks f32 by i32");
  NEEDS(x->rank >= 1 && x->rank == idx->rank && x->rank == y->rank, "ranks differ");
  NEEDS(same_dims(x, 0, idx, 0, x->rank - 1) && same_dims(x, 0, y, 0, x->rank - 1), "rows differ in number");
  if (c->step->opcode == INK_TAKE_LAST) NEEDS(last(y) == last(idx), "one result for each index");
  else NEEDS(last(x) == last(idx), "one number for each index");
  return NULL;
}

static const char *check_topk(const call *c) {
  const ink_source *x = c->in[0], *y = c->out;
  NEEDS(is_f32(x) && is_i32(y) && x->rank >= 1 && x->rank == y->rank && same_dims(x, 0, y, 0, x->rank - 1), "indices of another shape");
  NEEDS(last(x) >= 0 && last(y) >= 0 && last(y) <= last(x), "more indices than numbers");
  return NULL;
}

static const char *check_cross_entropy(const call *c) {
  const ink_source *logits = c->in[0], *targets = c->in[1];
  NEEDS(is_f32(logits) && is_i32(targets) && is_f32(c->out), "targets are i32, the rest f32");
  NEEDS(logits->rank == targets->rank + 1 && same_dims(logits, 0, targets, 0, targets->rank), "targets do not fit logits");
  if (c->step->opcode == INK_CROSS_ENTROPY) NEEDS(same_shape(c->out, targets), "one loss for each target");
  else NEEDS(same_shape(c->out, logits) && is_f32(c->in[2]) && same_shape(c->in[2], targets), "gradient of another shape");
  return NULL;
}

static const char *check_rope_table(const call *c) {
  const ink_source *positions = c->in[0], *freqs = c->in[1], *y = c->out;
  NEEDS(is_i32(positions) && is_f32(freqs) && is_f32(y) && freqs->rank == 1 && freqs->dim[0] >= 0, "positions are i32, frequencies f32");
  NEEDS(y->rank == positions->rank + 1 && same_dims(y, 0, positions, 0, positions->rank), "table of another shape");
  NEEDS((int64_t)last(y) == 2 * (int64_t)freqs->dim[0], "table of another width");
  return NULL;
}

static const char *check_rope(const call *c) {
  const ink_source *x = c->in[0], *table = c->in[1];
  NEEDS(is_f32(x) && is_f32(table) && is_f32(c->out) && same_shape(x, c->out), "works on f32 of one shape");
  NEEDS(x->rank >= 2 && table->rank == x->rank - 1 && same_dims(x, 0, table, 0, x->rank - 2), "table does not fit");
  NEEDS(last(table) >= 0 && last(table) % 2 == 0 && last(x) >= 0 && last(table) <= last(x), "rotates more than a head");
  return NULL;
}

static const char *check_heads(int32_t heads, int32_t groups, int32_t width, const ink_source *sinks) {
  NEEDS(heads >= 1 && groups >= 1 && heads % groups == 0, "query heads cannot share the key heads");
  NEEDS(width >= 0 && width <= 4096, "head too wide");
  NEEDS(!sinks || is_vector(sinks, heads), "sinks of another shape");
  return NULL;
}

static const char *check_attention(const call *c) {
  const ink_source *q = c->in[0], *k = c->in[1], *v = c->in[2];
  NEEDS(is_f32(q) && is_f32(k) && is_f32(v) && is_f32(c->out), "works on f32");
  NEEDS(q->rank == 4 && k->rank == 4 && same_shape(k, v) && q->dim[0] == k->dim[0] && q->dim[3] == k->dim[3], "queries and keys do not fit");
  const char *text = check_heads(q->dim[2], k->dim[2], q->dim[3], c->step->input_count > 3 ? c->in[3] : NULL);
  if (text) return text;
  NEEDS(c->step->ints[0] >= 0, "negative window");
  const float dropout = c->step->floats[2];
  NEEDS(dropout >= 0.0f && dropout < 1.0f, "dropout is a share below 1");
  const int extra = c->step->opcode == INK_ATTENTION ? 4 : 5;
  const ink_source *first_key = c->step->input_count > extra ? c->in[extra] : NULL;
  const ink_source *key = c->step->input_count > extra + 1 ? c->in[extra + 1] : NULL;
  NEEDS(!first_key || (is_i32(first_key) && first_key->rank == 2 && same_dims(first_key, 0, q, 0, 2)), "first keys of another shape");
  NEEDS(!key || (is_i32(key) && key->rank == 1 && key->dim[0] == 4), "a key is four i32");
  NEEDS(key || dropout == 0.0f, "dropout without a key");
  if (c->step->opcode == INK_ATTENTION) NEEDS(same_shape(q, c->out), "result of another shape");
  else NEEDS(is_f32(c->in[4]) && same_shape(c->in[4], q) && c->out->rank == 1, "gradient of another shape");
  return NULL;
}

static const char *check_kv_write(const call *c) {
  const ink_source *cache = c->in[0], *x = c->in[1], *slots = c->in[2], *y = c->out;
  NEEDS(cache->dtype == y->dtype && (is_f32(cache) || cache->dtype == INK_F16), "a cache is f32 or f16");
  NEEDS(same_shape(cache, y) && cache->slot == y->slot && cache->offset == y->offset, "the cache is written in place");
  NEEDS(is_f32(x) && is_i32(slots) && cache->rank == 4 && x->rank == 3 && slots->rank == 1, "rows do not fit the cache");
  NEEDS(x->dim[0] == slots->dim[0] && x->dim[1] == cache->dim[1] && x->dim[2] == cache->dim[3], "rows do not fit the cache");
  return NULL;
}

static const char *check_paged_attention(const call *c) {
  const ink_source *q = c->in[0], *k = c->in[1], *v = c->in[2], *tables = c->in[3], *rows = c->in[4], *positions = c->in[5];
  NEEDS(is_f32(q) && is_f32(c->out) && same_shape(q, c->out) && q->rank == 3, "queries are f32 (N,H,D)");
  NEEDS(k->dtype == v->dtype && (is_f32(k) || k->dtype == INK_F16) && k->rank == 4 && same_shape(k, v), "a cache is f32 or f16 (P,G,S,D)");
  NEEDS(is_i32(tables) && tables->rank == 2 && is_i32(rows) && rows->rank == 1 && is_i32(positions) && positions->rank == 1, "tables, rows and positions are i32");
  NEEDS(rows->dim[0] == q->dim[0] && positions->dim[0] == q->dim[0] && q->dim[2] == k->dim[3], "queries do not fit");
  NEEDS(k->dim[2] >= 1, "pages of no length");
  NEEDS(c->step->ints[0] >= 0, "negative window");
  return check_heads(q->dim[1], k->dim[1], q->dim[2], c->step->input_count > 6 ? c->in[6] : NULL);
}

static const char *check_random(const call *c) {
  NEEDS(is_i32(c->in[0]) && c->in[0]->rank == 1 && c->in[0]->dim[0] == 4 && is_f32(c->out), "a key is four i32");
  return NULL;
}

static const char *check_update(const call *c) {
  const ink_source *p = c->in[0], *y = c->out;
  NEEDS(p->slot == y->slot && p->offset == y->offset, "a parameter is changed in place");
  const int opcode = c->step->opcode, count = opcode == INK_ADAMW ? 4 : 2;
  for (int i = 0; i < count; i++) NEEDS(is_f32(c->in[i]) && same_shape(c->in[i], y), "a parameter, its state and its gradient have one shape");
  NEEDS(is_f32(y), "parameters that are learnt are f32");
  NEEDS(is_vector(c->in[count], 1), "the scale of gradients is one number");
  if (opcode == INK_ADAMW) NEEDS(is_vector(c->in[5], 3), "the rate and two corrections");
  if (opcode == INK_DESCEND) NEEDS(is_vector(c->in[3], 1), "one rate");
  return NULL;
}

static const char *check_sum_squares(const call *c) {
  for (int i = 0; i < c->step->input_count; i++) NEEDS(is_f32(c->in[i]), "squares are of f32");
  NEEDS(is_vector(c->out, 1), "a sum of squares is one number");
  return NULL;
}

static const char *(*const checks[INK_OPCODE_COUNT])(const call *) = {
  [INK_ELEMENTWISE] = check_elementwise, [INK_STRIDED_COPY] = check_strided_copy, [INK_CONCAT] = check_concat,
  [INK_CAST] = check_cast, [INK_SUM] = check_sum, [INK_MAX] = check_rows, [INK_SOFTMAX] = check_rows,
  [INK_LOG_SOFTMAX] = check_rows, [INK_NORMALIZE] = check_normalize, [INK_NORMALIZE_GRAD] = check_normalize,
  [INK_MATMUL] = check_matmul, [INK_QUANTIZE8] = check_quantize8, [INK_EXPERT_MATMUL] = check_expert_matmul,
  [INK_EXPERT_OUTER] = check_expert_outer, [INK_GATHER] = check_gather, [INK_SCATTER_ADD] = check_scatter_add,
  [INK_TAKE_LAST] = check_last, [INK_PUT_LAST] = check_last, [INK_TOPK] = check_topk,
  [INK_CROSS_ENTROPY] = check_cross_entropy, [INK_CROSS_ENTROPY_GRAD] = check_cross_entropy,
  [INK_ROPE_TABLE] = check_rope_table, [INK_ROPE] = check_rope, [INK_ATTENTION] = check_attention,
  [INK_ATTENTION_GRAD] = check_attention, [INK_KV_WRITE] = check_kv_write, [INK_PAGED_ATTENTION] = check_paged_attention,
  [INK_RANDOM] = check_random, [INK_ADAMW] = check_update, [INK_MOMENTUM] = check_update, [INK_DESCEND] = check_update,
  [INK_ACCUMULATE] = check_update, [INK_SUM_SQUARES] = check_sum_squares,
};

const char *ink_check_step(const ink_program *program, const ink_step *step, const int32_t *inputs, int32_t output) {
  const arity a = arities[step->opcode];
  NEEDS(step->input_count >= a.least && step->input_count <= a.most, "wrong number of inputs");
  NEEDS(a.ints == ANY_COUNT || step->int_count == a.ints, "wrong number of ints");
  NEEDS(a.floats == ANY_COUNT || step->float_count == a.floats, "wrong number of floats");
  call c = {.step = step, .out = &program->sources[output]};
  for (int i = 0; i < step->input_count; i++) {
    NEEDS(inputs[i] >= 0 || (i < 8 && (a.optional >> i & 1)), "an input is absent");
    c.in[i] = inputs[i] < 0 ? NULL : &program->sources[inputs[i]];
  }
  return checks[step->opcode](&c);
}

int ink_needs_bound_check(const ink_step *step) {
  return step->opcode == INK_STRIDED_COPY || step->opcode == INK_CONCAT || step->opcode == INK_ATTENTION_GRAD;
}

/* Every element that the copy reads lies in x. */
static const char *check_copy_bounds(const ink_step *step) {
  const ink_tensor *x = step->input[0], *y = step->output;
  int64_t least = step->ints[0], most = step->ints[0];
  for (int i = 0; i < y->rank; i++) {
    int64_t lo = step->ints[1 + y->rank + 2 * i], hi = step->ints[2 + y->rank + 2 * i];
    if (lo < 0) lo = 0;
    if (hi > y->dim[i]) hi = y->dim[i];
    if (lo >= hi) return NULL; /* nothing is read */
    const int64_t stride = ink_copy_stride(step, i);
    /* both factors are below 2^46, so look before multiplying */
    if (stride > 0 && hi > (int64_t)((uint64_t)1 << 60) / stride) return "copy reads outside its operand";
    least += lo * stride;
    most += (hi - 1) * stride;
  }
  return least >= 0 && most < ink_size(x) ? NULL : "copy reads outside its operand";
}

const char *ink_check_bound(const ink_step *step) {
  const ink_tensor *y = step->output;
  if (step->opcode == INK_STRIDED_COPY) return check_copy_bounds(step);
  if (step->opcode == INK_CONCAT) {
    int64_t length = 0;
    for (int i = 0; i < step->input_count; i++) length += step->input[i]->dim[step->ints[0]];
    return length == y->dim[step->ints[0]] ? NULL : "parts of concat do not fill it";
  }
  NEEDS(step->input[1]->dim[1] <= (int64_t)(INK_SCRATCH / (3 * sizeof(float))), "too many keys for a gradient");
  int64_t size = 0;
  for (int i = 0; i < 4; i++) size += step->input[i] ? ink_size(step->input[i]) : 0;
  return size == y->dim[0] ? NULL : "gradient of another shape";
}
