/* Products of byte activations (q8a) and weights of block types.
 *
 * A lane is an output column, so a block's integer sum is ready in its lane, and the float chain over blocks needs no sum across lanes:
 *
 *   acc = fma(scale * d, Σ(code - offset)*q, acc), and for types with a minimum acc = fma(min, d * Σq, acc)
 *
 * Few rows (decoding): INK_W weight rows are unpacked block by block and used at once, so the weights stream through once.
 * More rows (prompts): INK_TILE_GROUPS groups of columns are unpacked into a panel that stays in the first-level cache, and tiles of
 * INK_TILE_ROWS rows run over it. */
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
INK_INLINE void ink_tile_step(int sub, enum ink_code kind, int offset, int has_min, int rows, int groups, const uint8_t *const *record,
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
      vi total = offset ? sum[r][g] + (vi)extra : sum[r][g];
      acc[r][g] = vf_fma(*scale[g] * d, vf_from_int(total), acc[r][g]);
      if (has_min) acc[r][g] = vf_fma(*min[g], (vf)extra, acc[r][g]);
    }
  }
}

typedef void (*ink_unpack)(const uint8_t *p, ptrdiff_t stride, vub *code, vf *scale, vf *min);

/* One to three rows, all of k, for the columns part.n0 … part.n1-1. Without prepared records they are made block by block. */
INK_INLINE void ink_stream(ink_unpack unpack, int elements, int bytes, int sub, enum ink_code kind, int offset, int has_min, int rows,
                           const ink_product *p, ink_rect part, int64_t m, const uint8_t *const *source, int prepared) {
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
      uint8_t made[INK_TILE_ROWS][16 * INK_RECORD(32)];
      const uint8_t *record[INK_TILE_ROWS];
      for (int i = 0; i < INK_W * bytes; i += 64) ink_prefetch(ahead + block * (INK_W * bytes) + i);
      unpack(at.data + block * bytes, at.stride, code, scale, min);
      for (int r = 0; r < rows; r++) {
        if (prepared) {
          record[r] = source[r] + block * record_bytes;
        } else {
          ink_prepare((const ink_q8a *)source[r] + block * (elements / 32), elements / 32, sub, offset, made[r]);
          record[r] = made[r];
        }
      }
      for (int i = 0; i < elements / sub; i++) {
        const vub *codes = code + i * (sub / 4);
        const vf *scales = scale + i, *minima = min + i;
        ink_tile_step(sub, kind, offset, has_min, rows, 1, record, &codes, &scales, &minima, acc);
        for (int r = 0; r < rows; r++) record[r] += INK_RECORD(sub);
      }
    }
    for (int r = 0; r < rows; r++) ink_store_lanes(p, m + r, column, acc[r][0], at.first, at.count);
    column += at.count;
  }
}

/* `links` links of the chain over a panel, whose vectors are: codes, scale and minimum of each link in turn. */
INK_INLINE void ink_tile(int sub, enum ink_code kind, int offset, int has_min, int rows, int groups, const vub *panel, int64_t panel_vectors,
                         int64_t links, const uint8_t *const *source, vf *sums) {
  int link_vectors = sub / 4 + 1 + has_min;
  vf acc[INK_TILE_ROWS][INK_TILE_GROUPS];
  const uint8_t *record[INK_TILE_ROWS];
  INK_UNROLL
  for (int r = 0; r < rows; r++) {
    record[r] = source[r];
    INK_UNROLL
    for (int g = 0; g < groups; g++) acc[r][g] = sums[r * groups + g];
  }
  for (int64_t i = 0; i < links; i++) {
    const vub *code[INK_TILE_GROUPS];
    const vf *scale[INK_TILE_GROUPS], *min[INK_TILE_GROUPS];
    INK_UNROLL
    for (int g = 0; g < groups; g++) {
      code[g] = panel + g * panel_vectors + i * link_vectors;
      scale[g] = (const vf *)(code[g] + sub / 4);
      min[g] = scale[g] + has_min;
    }
    ink_tile_step(sub, kind, offset, has_min, rows, groups, record, code, scale, min, acc);
    INK_UNROLL
    for (int r = 0; r < rows; r++) record[r] += INK_RECORD(sub);
  }
  INK_UNROLL
  for (int r = 0; r < rows; r++) {
    INK_UNROLL
    for (int g = 0; g < groups; g++) sums[r * groups + g] = acc[r][g];
  }
}

/* `rows` rows against the columns of the rectangle, by panels. source[r]: the records of row m + r. */
INK_INLINE void ink_panels(ink_unpack unpack, int elements, int bytes, int sub, enum ink_code kind, int offset, int has_min,
                           const ink_product *p, ink_rect part, int64_t m, int64_t rows, const uint8_t **source, uint8_t *scratch) {
  int link_vectors = sub / 4 + 1 + has_min;
  int64_t panel_vectors = INK_PANEL_ELEMENTS / sub * link_vectors;
  vub *panel = (vub *)scratch;
  vf *sums = (vf *)(panel + INK_TILE_GROUPS * panel_vectors);
  for (int64_t column = part.n0; column < part.n1;) {
    ink_columns at[INK_TILE_GROUPS];
    int groups = 0;
    while (groups < INK_TILE_GROUPS && column < part.n1) {
      at[groups] = ink_columns_at(p, column, part.n1);
      column += at[groups++].count;
    }
    memset(sums, 0, (size_t)(rows * groups) * sizeof *sums);
    for (int64_t k = 0; k < p->k; k += INK_PANEL_ELEMENTS) {
      int64_t length = p->k - k < INK_PANEL_ELEMENTS ? p->k - k : INK_PANEL_ELEMENTS, links = length / sub;
      for (int g = 0; g < groups; g++) {
        vub *to = panel + g * panel_vectors;
        for (int64_t block = k / elements; block < (k + length) / elements; block++) {
          vub code[64];
          vf scale[16], min[16];
          unpack(at[g].data + block * bytes, at[g].stride, code, scale, min);
          for (int i = 0; i < elements / sub; i++, to += link_vectors) {
            memcpy(to, code + i * (sub / 4), (size_t)(sub / 4) * sizeof *to);
            memcpy(to + sub / 4, &scale[i], sizeof *to);
            if (has_min) memcpy(to + sub / 4 + 1, &min[i], sizeof *to);
          }
        }
      }
      for (int64_t r = 0; r < rows; r += INK_TILE_ROWS) {
        const uint8_t *record[INK_TILE_ROWS];
        int tile = (int)(rows - r < INK_TILE_ROWS ? rows - r : INK_TILE_ROWS);
        for (int i = 0; i < tile; i++) record[i] = source[r + i] + k / sub * INK_RECORD(sub);
        vf *sum = sums + r * groups;
        if (groups == 2) {
          switch (tile) {
            case 1: ink_tile(sub, kind, offset, has_min, 1, 2, panel, panel_vectors, links, record, sum); break;
            case 2: ink_tile(sub, kind, offset, has_min, 2, 2, panel, panel_vectors, links, record, sum); break;
            case 3: ink_tile(sub, kind, offset, has_min, 3, 2, panel, panel_vectors, links, record, sum); break;
#if INK_TILE_ROWS == 4
            default: ink_tile(sub, kind, offset, has_min, 4, 2, panel, panel_vectors, links, record, sum); break;
#endif
          }
        } else {
          for (int i = 0; i < tile; i++) ink_tile(sub, kind, offset, has_min, 1, 1, panel, panel_vectors, links, record + i, sum + i);
        }
      }
    }
    for (int64_t r = 0; r < rows; r++) {
      for (int g = 0; g < groups; g++) ink_store_lanes(p, m + r, at[g].column, sums[r * groups + g], at[g].first, at[g].count);
    }
  }
}

/* Rows of one pass over the columns, and the scratch they take. */
#define INK_PASS_ROWS 512
#define INK_PANEL_SPACE ((size_t)1 << 20)

INK_INLINE void ink_int8(ink_unpack unpack, int elements, int bytes, int sub, enum ink_code kind, int offset, int has_min,
                         const ink_product *p, ink_rect part, uint8_t *scratch) {
  const uint8_t *source[INK_PASS_ROWS];
  int64_t blocks = p->k / 32, as_is = has_min && sub == 32, row_bytes = p->k / sub * INK_RECORD(sub);
  int prepared = p->k <= INK_PREPARED_ELEMENTS;
  int64_t pass = prepared ? (int64_t)INK_PREPARED_BYTES / (row_bytes ? row_bytes : 1) : 1;
  pass = pass < 8 ? 8 : pass > INK_PASS_ROWS ? INK_PASS_ROWS : pass;
  pass = prepared ? pass / INK_TILE_ROWS * INK_TILE_ROWS : 3;
  for (int64_t m = part.m0; m < part.m1; m += pass) {
    int64_t rows = part.m1 - m < pass ? part.m1 - m : pass;
    for (int64_t r = 0; r < rows; r++) {
      const ink_q8a *x = (const ink_q8a *)p->a + ink_mapped(p->a_row, m + r) * (p->lda / 32);
      source[r] = (const uint8_t *)x;
      if (prepared && !as_is) {
        uint8_t *record = scratch + INK_PANEL_SPACE + r * row_bytes;
        ink_prepare(x, blocks, sub, offset, record);
        source[r] = record;
      }
    }
    int ready = prepared || as_is;
    switch (rows) {
      case 1: ink_stream(unpack, elements, bytes, sub, kind, offset, has_min, 1, p, part, m, source, ready); break;
      case 2: ink_stream(unpack, elements, bytes, sub, kind, offset, has_min, 2, p, part, m, source, ready); break;
      case 3: ink_stream(unpack, elements, bytes, sub, kind, offset, has_min, 3, p, part, m, source, ready); break;
      default: ink_panels(unpack, elements, bytes, sub, kind, offset, has_min, p, part, m, rows, source, scratch);
    }
  }
}

#define X(type, name, elements, bytes, sub, kind, offset, has_min)                                                            \
  static void ink_int8_##name(const ink_product *p, ink_rect part, uint8_t *scratch) {                                        \
    ink_int8(ink_unpack_##name, elements, bytes, sub, kind, offset, has_min, p, part, scratch);                               \
  }
INK_BLOCK_TYPES(X)
#undef X

void INK_NAME(ink_product_int8)(const ink_product *p, ink_rect part, uint8_t *scratch) {
  switch (p->b_type) {
#define X(type, name, ...) case type: ink_int8_##name(p, part, scratch); break;
    INK_BLOCK_TYPES(X)
#undef X
    default: break;
  }
}
