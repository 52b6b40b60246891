/* Products of byte activations (q8a) and weights of block types.
 *
 * A lane is an output column, so a block's integer sum is ready in its lane, and the float chain over blocks needs no sum across lanes:
 *
 *   acc = fma(scale * d, Σ(code - offset)*q, acc), and for types with a minimum acc = fma(min, d * Σq, acc)
 *
 * Few rows (decoding): INK_W weight rows are unpacked block by block and used at once, so the weights stream through once.
 * More rows (prompts): INK_TILE_GROUPS groups of columns are unpacked into a panel that stays in the first-level cache, and tiles of
 * INK_TILE_ROWS rows run over it; with AMX, tiles of 16 rows (amx.h). */
#include "amx.h"
#include "matmul.h"
#include "quant_dot.h"
#include "quant_unpack.h"

/* Activations in the form a weight type wants: for each `sub` elements d, an extra word and the bytes. The extra is what multiplies the
 * minimum, d * Σq, or (an integer) -offset * Σq. For sub = 32 with a minimum that is q8a itself, which is used where it lies. */
#define INK_RECORD(sub) ((sub) + 8)

/* The longest row whose activations are prepared at once, and the bytes that prepared rows may take. */
#define INK_PREPARED_ELEMENTS 65536
#define INK_PREPARED_BYTES ((size_t)256 << 10)
/* Elements of k in a panel: INK_TILE_GROUPS * INK_PANEL_ELEMENTS codes and their scales stay in the first-level cache. */
#define INK_PANEL_ELEMENTS (INK_W == 8 ? 768 : 512)

INK_INLINE void ink_prepare(const ink_q8a *x, int64_t blocks, int sub, int offset, uint8_t *record) {
  for (int64_t i = 0; i < blocks; i++) {
    for (int part = 0; part < 32; part += sub, record += INK_RECORD(sub)) {
      int32_t total = 0;
      for (int j = 0; j < sub; j++) total += x[i].q[part + j];
      float scaled = x[i].d * (float)total;
      int32_t correction = -offset * total;
      memcpy(record, &x[i].d, 4);
      memcpy(record + 4, offset ? (const void *)&correction : (const void *)&scaled, 4);
      memcpy(record + 8, x[i].q + part, (size_t)sub);
    }
  }
}

/* One link of the chain, `sub` elements of k, for a tile of rows and column groups. */
INK_INLINE void ink_tile_step(int sub, enum ink_code kind, int corrected, int has_min, int rows, int groups, const uint8_t *const *record,
                              const vub *const *code, const vf *const *scale, const vf *const *min,
                              vf acc[INK_TILE_ROWS][INK_TILE_GROUPS]) {
  const int8_t *x[INK_TILE_ROWS];
  vi sum[INK_TILE_ROWS][INK_TILE_GROUPS];
  INK_UNROLL
  for (int r = 0; r < rows; r++) x[r] = (const int8_t *)record[r] + 8;
  ink_dot_tile(code, sub / 4, kind, rows, groups, x, sum);
  INK_UNROLL
  for (int r = 0; r < rows; r++) {
    vf d = (vf)vu_set_bytes(record[r]);
    vu extra = vu_set_bytes(record[r] + 4);
    INK_UNROLL
    for (int g = 0; g < groups; g++) {
      vi total = corrected ? sum[r][g] + (vi)extra : sum[r][g];
      acc[r][g] = vf_fma(*scale[g] * d, vf_from_int(total), acc[r][g]);
      if (has_min) acc[r][g] = vf_fma(*min[g], (vf)extra, acc[r][g]);
    }
  }
}

typedef void (*ink_unpack)(const uint8_t *p, ptrdiff_t stride, vub *code, vf *scale, vf *min);

/* What the code for a type depends on, beside its unpacking. */
typedef struct {
  int elements, bytes, sub, offset, has_min, shape;
  ink_unpack unpack;
} ink_int8_type;

/* Types of one shape share their tiles. X(shape, sub, kind of code, has a correction, has a minimum) */
#define INK_SHAPE(sub, kind, has_min) ((kind) * 4 + ((sub) == 16) * 2 + (has_min))
#define INK_SHAPES(X)                           \
  X(0, 32, INK_CODE_4BIT, 1, 0)                 \
  X(1, 32, INK_CODE_4BIT, 0, 1)                 \
  X(2, 16, INK_CODE_4BIT, 1, 0)                 \
  X(3, 16, INK_CODE_4BIT, 0, 1)                 \
  X(4, 32, INK_CODE_5BIT, 1, 0)                 \
  X(5, 32, INK_CODE_5BIT, 0, 1)                 \
  X(10, 16, INK_CODE_6BIT, 1, 0)                \
  X(12, 32, INK_CODE_BYTE, INK_BYTE_OFFSET, 0)
#define INK_SHAPE_COUNT 16

/* One to INK_STREAM_ROWS rows, all of k, for the columns part.n0 … part.n1-1. Without prepared records they are made block by block. */
#define INK_STREAM_ROWS 3
INK_INLINE void ink_stream(const ink_int8_type *type, ink_unpack unpack, int elements, int bytes, int sub, enum ink_code kind, int corrected,
                           int has_min, int rows, const ink_product *p, ink_rect part, int64_t m, const uint8_t *const *source,
                           int prepared) {
  int64_t blocks = p->k / elements;
  int record_bytes = elements / sub * INK_RECORD(sub);
  for (int64_t column = part.n0; column < part.n1;) {
    ink_columns at = ink_columns_at(p, column, part.n1);
    const uint8_t *ahead = at.data + INK_W * at.stride;
    vf acc[INK_TILE_ROWS][INK_TILE_GROUPS];
    for (int r = 0; r < rows; r++) acc[r][0] = (vf){0};
    for (int64_t block = 0; block < blocks; block++) {
      vub code[64];
      vf scale[16], min[16];
      uint8_t made[INK_STREAM_ROWS][16 * INK_RECORD(32)];
      const uint8_t *record[INK_TILE_ROWS];
      for (int i = 0; i < INK_W * bytes; i += 64) ink_prefetch(ahead + block * (INK_W * bytes) + i);
      unpack(at.data + block * bytes, at.stride, code, scale, min);
      for (int r = 0; r < rows; r++) {
        if (prepared) {
          record[r] = source[r] + block * record_bytes;
        } else {
          ink_prepare((const ink_q8a *)(const void *)source[r] + block * (elements / 32), elements / 32, sub, type->offset, made[r]);
          record[r] = made[r];
        }
      }
      for (int i = 0; i < elements / sub; i++) {
        const vub *codes = code + i * (sub / 4);
        const vf *scales = scale + i, *minima = min + i;
        ink_tile_step(sub, kind, corrected, has_min, rows, 1, record, &codes, &scales, &minima, acc);
        for (int r = 0; r < rows; r++) record[r] += INK_RECORD(sub);
      }
    }
    for (int r = 0; r < rows; r++) ink_store_lanes(p, m + r, column, acc[r][0], at.first, at.count);
    column += at.count;
  }
}

/* One row, the unpacking inlined. */
#define X(type, name, elements, bytes, sub, kind, offset, has_min)                                                              \
  static void ink_stream_##name(const ink_int8_type *t, const ink_product *p, ink_rect part, int64_t m, const uint8_t **source, \
                                int prepared) {                                                                                 \
    ink_stream(t, ink_unpack_##name, elements, bytes, sub, kind, (offset) != 0, has_min, 1, p, part, m, source, prepared);      \
  }
INK_BLOCK_TYPES(X)
#undef X

/* A few rows, the unpacking called. */
#define X(shape, sub, kind, corrected, has_min)                                                                                       \
  static void ink_stream_shape_##shape(const ink_int8_type *t, const ink_product *p, ink_rect part, int64_t m, const uint8_t **source, \
                                       int prepared, int64_t rows) {                                                                  \
    if (rows == 2) ink_stream(t, t->unpack, t->elements, t->bytes, sub, kind, corrected, has_min, 2, p, part, m, source, prepared);   \
    else ink_stream(t, t->unpack, t->elements, t->bytes, sub, kind, corrected, has_min, 3, p, part, m, source, prepared);             \
  }
INK_SHAPES(X)
#undef X

/* `links` links of the chain over two panels, whose vectors are: codes, scale and minimum of each link in turn. */
INK_INLINE void ink_tile(int sub, enum ink_code kind, int corrected, int has_min, int rows, const vub *const panel[INK_TILE_GROUPS],
                         int64_t links, const uint8_t *const *source, vf (*sums)[INK_TILE_GROUPS]) {
  int link_vectors = sub / 4 + 1 + has_min;
  vf acc[INK_TILE_ROWS][INK_TILE_GROUPS];
  const uint8_t *record[INK_TILE_ROWS];
  INK_UNROLL
  for (int r = 0; r < rows; r++) {
    record[r] = source[r];
    INK_UNROLL
    for (int g = 0; g < INK_TILE_GROUPS; g++) acc[r][g] = sums[r][g];
  }
  for (int64_t i = 0; i < links; i++) {
    const vub *code[INK_TILE_GROUPS];
    const vf *scale[INK_TILE_GROUPS], *min[INK_TILE_GROUPS];
    INK_UNROLL
    for (int g = 0; g < INK_TILE_GROUPS; g++) {
      code[g] = panel[g] + i * link_vectors;
      scale[g] = (const vf *)(code[g] + sub / 4);
      min[g] = scale[g] + has_min;
    }
    ink_tile_step(sub, kind, corrected, has_min, rows, INK_TILE_GROUPS, record, code, scale, min, acc);
    INK_UNROLL
    for (int r = 0; r < rows; r++) record[r] += INK_RECORD(sub);
  }
  INK_UNROLL
  for (int r = 0; r < rows; r++) {
    INK_UNROLL
    for (int g = 0; g < INK_TILE_GROUPS; g++) sums[r][g] = acc[r][g];
  }
}

/* All rows over a panel. A remainder of one row is shared with the tile before it. */
#define X(shape, sub, kind, corrected, has_min)                                                                                      \
  static void ink_tiles_##shape(int64_t rows, const vub *const *panel, int64_t links, const uint8_t *const *source, int64_t offset,   \
                                vf (*sums)[INK_TILE_GROUPS]) {                                                                       \
    for (int64_t r = 0, tile; r < rows; r += tile) {                                                                                 \
      const uint8_t *record[INK_TILE_ROWS];                                                                                          \
      tile = rows - r < INK_TILE_ROWS ? rows - r : rows - r == INK_TILE_ROWS + 1 ? INK_TILE_ROWS - 1 : INK_TILE_ROWS;                \
      for (int64_t i = 0; i < tile; i++) record[i] = source[r + i] + offset;                                                         \
      if (tile == INK_TILE_ROWS) ink_tile(sub, kind, corrected, has_min, INK_TILE_ROWS, panel, links, record, sums + r);             \
      else if (tile == 1) ink_tile(sub, kind, corrected, has_min, 1, panel, links, record, sums + r);                                \
      else if (tile == 2) ink_tile(sub, kind, corrected, has_min, 2, panel, links, record, sums + r);                                \
      else ink_tile(sub, kind, corrected, has_min, 3, panel, links, record, sums + r);                                               \
    }                                                                                                                                \
  }
INK_SHAPES(X)
#undef X

/* Writes a panel: the elements k … k+length-1 of INK_W columns. The columns after the next group are asked for: they come next. */
#define X(type, name, elements, bytes, sub, kind, offset, has_min)                                                           \
  static void ink_fill_##name(const ink_columns *at, int64_t k, int64_t length, vub *to) {                                   \
    const ptrdiff_t ahead = INK_TILE_GROUPS * INK_W * at->stride;                                                            \
    for (int64_t block = k / elements; block < (k + length) / elements; block++) {                                           \
      const uint8_t *from = at->data + block * bytes;                                                                        \
      vub code[elements / 4];                                                                                                \
      vf scale[elements / sub], min[elements / sub];                                                                         \
      for (int i = 0; i < INK_W; i++) ink_prefetch(from + ahead + i * at->stride);                                           \
      ink_unpack_##name(from, at->stride, code, scale, min);                                                                 \
      INK_UNROLL                                                                                                             \
      for (int i = 0; i < elements / sub; i++, to += sub / 4 + 1 + has_min) {                                                \
        INK_UNROLL                                                                                                           \
        for (int j = 0; j < sub / 4; j++) to[j] = code[i * (sub / 4) + j];                                                   \
        to[sub / 4] = (vub)scale[i];                                                                                         \
        if (has_min) to[sub / 4 + 1] = (vub)min[i];                                                                          \
      }                                                                                                                      \
    }                                                                                                                        \
  }                                                                                                                          \
  static void ink_take_##name(const uint8_t *p, ptrdiff_t stride, vub *code, vf *scale, vf *min) {                           \
    ink_unpack_##name(p, stride, code, scale, min);                                                                          \
  }
INK_BLOCK_TYPES(X)
#undef X

static void ink_fill(int32_t type, const ink_columns *at, int64_t k, int64_t length, vub *to) {
  switch (type) {
#define X(type, name, ...) case type: ink_fill_##name(at, k, length, to); break;
    INK_BLOCK_TYPES(X)
#undef X
    default: break;
  }
}

static void ink_tiles(const ink_int8_type *t, int64_t rows, const vub *const *panel, int64_t links, const uint8_t *const *source,
                      int64_t offset, vf (*sums)[INK_TILE_GROUPS]) {
#if INK_AMX
  const int64_t done = ink_amx_tiles(t->sub, t->offset != 0, t->has_min, rows, panel, links, source, offset, sums);
  rows -= done;
  source += done;
  sums += done;
#endif
  switch (t->shape) {
#define X(shape, ...) case shape: ink_tiles_##shape(rows, panel, links, source, offset, sums); break;
    INK_SHAPES(X)
#undef X
    default: break;
  }
}

/* `rows` rows against the columns of the rectangle, by panels. source[r]: the records of row m + r. */
static void ink_panels(const ink_int8_type *t, const ink_product *p, ink_rect part, int64_t m, int64_t rows, const uint8_t **source,
                       uint8_t *scratch) {
  int64_t panel_vectors = INK_PANEL_ELEMENTS / t->sub * (t->sub / 4 + 1 + t->has_min);
  vub *space = (vub *)(void *)scratch;
  const vub *panel[INK_TILE_GROUPS];
  vf (*sums)[INK_TILE_GROUPS] = (vf (*)[INK_TILE_GROUPS])(space + INK_TILE_GROUPS * panel_vectors);
  for (int64_t column = part.n0; column < part.n1;) {
    ink_columns at[INK_TILE_GROUPS];
    int groups = 0;
    while (groups < INK_TILE_GROUPS && column < part.n1) {
      at[groups] = ink_columns_at(p, column, part.n1);
      column += at[groups++].count;
    }
    for (int g = 0; g < INK_TILE_GROUPS; g++) panel[g] = space + (g < groups ? g : 0) * panel_vectors;
    memset(sums, 0, (size_t)rows * sizeof *sums);
    for (int64_t k = 0; k < p->k; k += INK_PANEL_ELEMENTS) {
      int64_t length = p->k - k < INK_PANEL_ELEMENTS ? p->k - k : INK_PANEL_ELEMENTS;
      for (int g = 0; g < groups; g++) ink_fill(p->b_type, &at[g], k, length, space + g * panel_vectors);
      ink_tiles(t, rows, panel, length / t->sub, source, k / t->sub * INK_RECORD(t->sub), sums);
    }
    for (int64_t r = 0; r < rows; r++) {
      for (int g = 0; g < groups; g++) ink_store_lanes(p, m + r, at[g].column, sums[r][g], at[g].first, at[g].count);
    }
  }
}

/* Rows of one pass over the columns: at most, at least, and a multiple of what; the scratch that the panel and its sums take. */
#define INK_PASS_ROWS 512
#define INK_PASS_LEAST (INK_AMX ? 16 : 8)
#define INK_PASS_UNIT (INK_AMX ? 16 : INK_TILE_ROWS)
#define INK_PANEL_SPACE ((size_t)1 << 20)

static void ink_pass(const ink_int8_type *t, const ink_product *p, ink_rect part, int64_t m, int64_t rows, const uint8_t **source,
                     int prepared, uint8_t *scratch) {
  if (rows > INK_STREAM_ROWS) {
    ink_panels(t, p, part, m, rows, source, scratch);
  } else if (rows == 1) {
    switch (p->b_type) {
#define X(type, name, ...) case type: ink_stream_##name(t, p, part, m, source, prepared); break;
      INK_BLOCK_TYPES(X)
#undef X
      default: break;
    }
  } else {
    switch (t->shape) {
#define X(shape, ...) case shape: ink_stream_shape_##shape(t, p, part, m, source, prepared, rows); break;
      INK_SHAPES(X)
#undef X
      default: break;
    }
  }
}

static ink_int8_type ink_int8_type_of(int32_t type) {
  switch (type) {
#define X(type, name, elements, bytes, sub, kind, offset, has_min) \
  case type: return (ink_int8_type){elements, bytes, sub, offset, has_min, INK_SHAPE(sub, kind, has_min), ink_take_##name};
    INK_BLOCK_TYPES(X)
#undef X
    default: return (ink_int8_type){0};
  }
}

void INK_NAME(ink_product_int8)(const ink_product *p, ink_rect part, uint8_t *scratch) {
  ink_int8_type t = ink_int8_type_of(p->b_type);
  const uint8_t *source[INK_PASS_ROWS];
  if (t.elements == 0) return;
  int64_t row_bytes = p->k / t.sub * INK_RECORD(t.sub);
  /* AMX wants the rows at equal distances */
  int as_is = t.has_min && t.sub == 32 && !(INK_AMX && p->a_row), prepared = p->k <= INK_PREPARED_ELEMENTS;
  int64_t pass = row_bytes ? (int64_t)INK_PREPARED_BYTES / row_bytes : INK_PASS_ROWS;
  pass = pass < INK_PASS_LEAST ? INK_PASS_LEAST : pass > INK_PASS_ROWS ? INK_PASS_ROWS : pass;
  pass = prepared ? pass / INK_PASS_UNIT * INK_PASS_UNIT : INK_STREAM_ROWS;
  for (int64_t m = part.m0; m < part.m1; m += pass) {
    int64_t rows = part.m1 - m < pass ? part.m1 - m : pass;
    for (int64_t r = 0; r < rows; r++) {
      const ink_q8a *x = (const ink_q8a *)p->a + ink_mapped(p->a_row, m + r) * (p->lda / 32);
      source[r] = (const uint8_t *)x;
      if (prepared && !as_is) {
        uint8_t *record = scratch + INK_PANEL_SPACE + r * row_bytes;
        ink_prepare(x, p->k / 32, t.sub, t.offset, record);
        source[r] = record;
      }
    }
    ink_pass(&t, p, part, m, rows, source, prepared || as_is, scratch);
  }
}
