/* The packed matrix product, after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008).
 *
 * b is packed into panels of INK_TILE_N columns, a into panels of INK_TILE_M rows, and a tile of accumulators that fills the registers
 * runs over a stretch of k. Between stretches of k the accumulators rest in memory, which loses nothing: the chain of an element is the
 * same as in one stretch. */
#include "gemm_panel.h"
#include "tile.h"

/* A stretch of k (at most); rows of a packed at once (second-level cache); columns of b packed at once. */
#define INK_K_STRETCH 512
#define INK_A_ROWS (INK_TILE_M * 24)
#define INK_B_COLUMNS 768

/* a lies where it is for products of this many columns at most. */
#define INK_DIRECT_COLUMNS 512

/* Where sums rest: rows of y, or of a tile in scratch where y still holds a residual. */
#define INK_REST_FLOATS ((size_t)256 << 10)

typedef struct {
  float *a, *b, *rest; /* rest: NULL when sums rest in y */
} ink_packed;

/* Four floats, whatever the width of the registers. */
typedef float v4f __attribute__((vector_size(16)));

/* `rows` (2 or 4) rows of a side by side: to[k * INK_TILE_M + r] = row[r][k] for k < length. What lies `ahead` bytes further comes next. */
INK_INLINE void ink_pack_rows(const float *const *row, int rows, int64_t length, int64_t ahead, float *to) {
  int64_t k = 0;
  for (; k + 4 <= length; k += 4) {
    v4f x[4] = {{0}}, out[4];
    for (int r = 0; r < rows; r++) {
      memcpy(&x[r], row[r] + k, 16);
      if (k % 16 == 0) ink_prefetch((const uint8_t *)(row[r] + k) + ahead);
    }
    v4f a = __builtin_shufflevector(x[0], x[1], 0, 4, 1, 5), b = __builtin_shufflevector(x[2], x[3], 0, 4, 1, 5);
    v4f c = __builtin_shufflevector(x[0], x[1], 2, 6, 3, 7), d = __builtin_shufflevector(x[2], x[3], 2, 6, 3, 7);
    out[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
    out[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
    out[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5);
    out[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
    for (int j = 0; j < 4; j++) memcpy(to + (k + j) * INK_TILE_M, &out[j], (size_t)rows * sizeof *to);
  }
  for (; k < length; k++) {
    for (int r = 0; r < rows; r++) to[k * INK_TILE_M + r] = row[r][k];
  }
}

/* Whether tiles may read a where it lies. With many columns a packed copy pays for itself. */
INK_INLINE int ink_a_direct(const ink_product *p, int64_t columns) {
  return p->a_type == INK_F32 && !p->transpose_a && !p->a_row && columns <= INK_DIRECT_COLUMNS;
}

/* Rows of a transposed a (an index of k each): a panel takes INK_TILE_M neighbours of every row. */
static void ink_pack_a_columns(const ink_product *p, int64_t m0, int64_t rows, int64_t k0, int64_t length, float *to) {
  const int64_t full = rows / INK_TILE_M * INK_TILE_M, rest = rows - full;
  if (rest) memset(to + full * length, 0, (size_t)(INK_TILE_M * length) * sizeof *to);
  for (int64_t k = 0; k < length; k++) {
    const float *a = (const float *)p->a + ink_mapped(p->a_row, k0 + k) * p->lda + m0;
    float *panel = to + k * INK_TILE_M;
    for (int64_t i = 0; i < full; i += INK_TILE_M, panel += INK_TILE_M * length) memcpy(panel, a + i, INK_TILE_M * sizeof *to);
    for (int64_t i = 0; i < rest; i++) panel[i] = a[full + i];
  }
}

/* a[m0 + i][k0 …] for i < rows as [panel][k][INK_TILE_M], zeros below the last row. */
static void ink_pack_a(const ink_product *p, int64_t m0, int64_t rows, int64_t k0, int64_t length, float *to) {
  if (p->a_type == INK_F32 && p->transpose_a) {
    ink_pack_a_columns(p, m0, rows, k0, length, to);
    return;
  }
  for (int64_t i = 0; i < rows; i += INK_TILE_M, to += INK_TILE_M * length) {
    int64_t count = rows - i < INK_TILE_M ? rows - i : INK_TILE_M, r = 0;
    if (count < INK_TILE_M) memset(to, 0, (size_t)(INK_TILE_M * length) * sizeof *to);
    if (p->a_type == INK_F32 && count == INK_TILE_M) {
      const float *row[INK_TILE_M];
      const int64_t ahead = INK_TILE_M * p->lda * (int64_t)sizeof(float);
      for (int j = 0; j < INK_TILE_M; j++) row[j] = (const float *)p->a + ink_mapped(p->a_row, m0 + i + j) * p->lda + k0;
      for (; r + 4 <= INK_TILE_M; r += 4) ink_pack_rows(row + r, 4, length, ahead, to + r);
      for (; r + 2 <= INK_TILE_M; r += 2) ink_pack_rows(row + r, 2, length, ahead, to + r);
    }
    for (; r < count; r++) {
      for (int64_t k = 0; k < length; k++) to[k * INK_TILE_M + r] = ink_a_element(p, m0 + i + r, k0 + k);
    }
  }
}

/* Rows of b as they lie, whole panels alone: a few rows at a time, each read from left to right. */
static void ink_pack_b_rows(const ink_product *p, int64_t n0, int64_t columns, int64_t k0, int64_t length, float *to) {
  enum { ROWS = 4 };
  for (int64_t k = 0; k < length; k += ROWS) {
    const float *from[ROWS];
    const int count = length - k < ROWS ? (int)(length - k) : ROWS;
    for (int i = 0; i < count; i++) from[i] = (const float *)p->b + ink_mapped(p->b_row, k0 + k + i) * p->ldb + n0;
    float *panel = to + k * INK_TILE_N;
    for (int64_t j = 0; j + INK_TILE_N <= columns; j += INK_TILE_N, panel += INK_TILE_N * length) {
      for (int i = 0; i < count; i++) {
        vf_store(panel + i * INK_TILE_N, vf_load(from[i] + j));
        vf_store(panel + i * INK_TILE_N + INK_W, vf_load(from[i] + j + INK_W));
      }
    }
  }
}

/* The columns n0 … n0+columns-1 as [panel][k][INK_TILE_N]. at[] receives two groups of each panel. */
static void ink_pack_b(const ink_product *p, int64_t n0, int64_t columns, int64_t k0, int64_t length, float *to) {
  if (!p->transpose_b) ink_pack_b_rows(p, n0, columns, k0, length, to);
  for (int64_t j = 0; j < columns; j += INK_TILE_N, to += INK_TILE_N * length) {
    if (!p->transpose_b && columns - j >= INK_TILE_N) continue; /* packed already */
    for (int g = 0; g < 2; g++) {
      int64_t column = n0 + j + g * INK_W, wanted = columns - j - g * INK_W;
      float *half = to + g * INK_W;
      if (wanted >= INK_W || !p->transpose_b) {
        if (wanted > 0) {
          ink_columns at = ink_columns_at(p, column, n0 + columns);
          ink_panel(p, &at, k0, length, half, INK_TILE_N);
        } else {
          for (int64_t k = 0; k < length; k++) vf_store(half + k * INK_TILE_N, (vf){0});
        }
        continue;
      }
      /* the last few rows of a transposed b: the wanted lanes move to the front */
      for (int64_t k = 0; k < length; k++) vf_store(half + k * INK_TILE_N, (vf){0});
      for (int64_t done = 0; done < wanted;) {
        float lanes[INK_PANEL_STEP][INK_W];
        ink_columns at = ink_columns_at(p, column + done, n0 + columns);
        for (int64_t k = 0; k < length; k += INK_PANEL_STEP) {
          int64_t count = length - k < INK_PANEL_STEP ? length - k : INK_PANEL_STEP;
          ink_panel(p, &at, k0 + k, count, lanes[0], INK_W);
          for (int64_t i = 0; i < count; i++) {
            memcpy(half + (k + i) * INK_TILE_N + done, lanes[i] + at.first, (size_t)at.count * sizeof *half);
          }
        }
        done += at.count;
      }
    }
  }
}

/* A tile over one stretch, where the sums rest at `sums` (0 at the first stretch) and go back there, or at the last stretch to y. */
typedef struct {
  const float *a, *b;
  int64_t lda; /* of an a that lies where it is; 0: packed */
  int64_t length;
  float *sums, *y;
  int64_t sums_stride, y_stride;
  const float *bias, *residual; /* at the last stretch, or NULL */
  int first;
} ink_tile_call;

INK_INLINE void ink_gemm_tile(const ink_tile_call *c, const int direct) {
  vf acc[INK_TILE_M][2];
  if (c->first) ink_tile_zero(acc);
  else ink_tile_load(acc, c->sums, c->sums_stride);
  if (direct) ink_tile_run(acc, c->a, c->lda, 1, c->b, c->length);
  else ink_tile_run(acc, c->a, 1, INK_TILE_M, c->b, c->length);
  if (c->bias) {
    const vf b0 = vf_load(c->bias), b1 = vf_load(c->bias + INK_W);
    INK_UNROLL
    for (int r = 0; r < INK_TILE_M; r++) {
      acc[r][0] += b0;
      acc[r][1] += b1;
    }
  }
  if (c->residual) {
    INK_UNROLL
    for (int r = 0; r < INK_TILE_M; r++) {
      acc[r][0] += vf_load(c->residual + r * c->y_stride);
      acc[r][1] += vf_load(c->residual + r * c->y_stride + INK_W);
    }
  }
  ink_tile_store((const vf(*)[2])acc, c->y, c->y_stride);
}
static void ink_gemm_tile_direct(const ink_tile_call *c) { ink_gemm_tile(c, 1); }
static void ink_gemm_tile_packed(const ink_tile_call *c) { ink_gemm_tile(c, 0); }

/* One tile: sums come from `rest`, or where that is NULL from y (unless this is the first stretch), and go back there, or at the last
 * stretch to y. A tile over the edge, and one whose rows lie apart, ends in a tile beside y. */
static void ink_gemm_step(const ink_product *p, const float *a, int64_t lda, const float *b, int64_t length, int64_t m, int64_t rows,
                          int64_t n, int64_t columns, float *rest, int first, int last) {
  ink_tile_call c = {.a = a, .b = b, .lda = lda, .length = length, .first = first};
  if (rows == INK_TILE_M && columns == INK_TILE_N && !p->y_row) {
    float *y = p->y + m * p->n + n;
    c.sums = rest ? rest : y;
    c.sums_stride = rest ? INK_B_COLUMNS : p->n;
    c.y = last ? y : c.sums;
    c.y_stride = last ? p->n : c.sums_stride;
    if (last && p->bias) c.bias = p->bias + n;
    if (last && p->residual) c.residual = p->residual + m * p->n + n;
    if (lda) ink_gemm_tile_direct(&c);
    else ink_gemm_tile_packed(&c);
    return;
  }
  float beside[INK_TILE_M][INK_TILE_N], *sums[INK_TILE_M];
  memset(beside, 0, sizeof beside);
  for (int64_t r = 0; r < rows; r++) sums[r] = rest ? rest + r * INK_B_COLUMNS : p->y + ink_mapped(p->y_row, m + r) * p->n + n;
  for (int64_t r = 0; !first && r < rows; r++) memcpy(beside[r], sums[r], (size_t)columns * sizeof(float));
  c.sums = c.y = beside[0];
  c.sums_stride = c.y_stride = INK_TILE_N;
  if (lda) ink_gemm_tile_direct(&c);
  else ink_gemm_tile_packed(&c);
  for (int64_t r = 0; r < rows; r++) {
    if (last && (p->bias || p->residual || rest)) {
      for (int g = 0; g < 2; g++) {
        int64_t count = columns - g * INK_W < INK_W ? columns - g * INK_W : INK_W;
        if (count > 0) ink_store_lanes(p, m + r, n + g * INK_W, vf_load(beside[r] + g * INK_W), 0, (int)count);
      }
    } else {
      memcpy(sums[r], beside[r], (size_t)columns * sizeof(float));
    }
  }
}

/* Asks for the lines where the sums of a tile rest. */
INK_INLINE void ink_gemm_prefetch(const ink_product *p, const float *rest, int64_t m, int64_t rows, int64_t n) {
  for (int64_t r = 0; r < rows; r++) {
    const float *at = rest ? rest + r * INK_B_COLUMNS : p->y + ink_mapped(p->y_row, m + r) * p->n + n;
    ink_prefetch(at);
    ink_prefetch(at + INK_TILE_N - 1);
  }
}

/* Asks for what a tile will read of an a that lies where it is. */
INK_INLINE void ink_prefetch_rows(const float *a, int64_t lda, int64_t rows, int64_t length) {
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t k = 0; k < length; k += 16) ink_prefetch(a + r * lda + k);
  }
}

/* Equal stretches of k, none longer than INK_K_STRETCH, in whole blocks of b. */
static int64_t ink_gemm_stretch(const ink_product *p) {
  int64_t unit = ink_block_elements(p->b_type) == 256 ? 256 : 32, most = INK_K_STRETCH / unit * unit;
  int64_t parts = (p->k + most - 1) / most;
  return parts ? (p->k + parts * unit - 1) / (parts * unit) * unit : unit;
}

/* Rows m0 … m0+rows-1 times the packed stretch of b. `direct` is a at the stretch's first k, or NULL where a is packed; the last rows, too few
 * for a tile, are packed in any case. */
static void ink_gemm_rows(const ink_product *p, const ink_packed *packed, const float *direct, int64_t m0, int64_t rows, int64_t n0,
                          int64_t columns, int64_t length, int64_t rest_row, int first, int last) {
  for (int64_t j = 0; j < columns; j += INK_TILE_N) {
    int64_t tile_columns = columns - j < INK_TILE_N ? columns - j : INK_TILE_N;
    for (int64_t i = 0; i < rows; i += INK_TILE_M) {
      int64_t tile_rows = rows - i < INK_TILE_M ? rows - i : INK_TILE_M;
      float *rest = packed->rest ? packed->rest + (rest_row + i) * INK_B_COLUMNS + j : NULL;
      int64_t next = rows - i - tile_rows < INK_TILE_M ? rows - i - tile_rows : INK_TILE_M;
      ink_gemm_prefetch(p, rest ? rest + INK_TILE_M * INK_B_COLUMNS : NULL, m0 + i + INK_TILE_M, next, n0 + j);
      int there = direct && tile_rows == INK_TILE_M;
      if (there && j == 0) ink_prefetch_rows(direct + (m0 + i + INK_TILE_M) * p->lda, p->lda, next, length);
      const float *a = there ? direct + (m0 + i) * p->lda : packed->a + (direct ? 0 : i * length);
      ink_gemm_step(p, a, there ? p->lda : 0, packed->b + j * length, length, m0 + i, tile_rows, n0 + j, tile_columns, rest, first, last);
    }
  }
}

void INK_NAME(ink_product_many)(const ink_product *p, ink_rect part, uint8_t *scratch) {
  ink_packed packed = {(float *)scratch, NULL, NULL};
  packed.b = packed.a + INK_A_ROWS * INK_K_STRETCH;
  /* sums rest in y, unless that still holds the residual */
  int64_t pass = part.m1 - part.m0, stretch = ink_gemm_stretch(p);
  if (p->residual == p->y && p->k > stretch) {
    packed.rest = packed.b + INK_B_COLUMNS * INK_K_STRETCH;
    pass = INK_REST_FLOATS / INK_B_COLUMNS / INK_TILE_M * INK_TILE_M;
  }
  int direct = ink_a_direct(p, part.n1 - part.n0);
  for (int64_t m = part.m0; m < part.m1; m += pass) {
    int64_t pass_end = part.m1 - m < pass ? part.m1 : m + pass;
    for (int64_t n = part.n0; n < part.n1; n += INK_B_COLUMNS) {
      int64_t columns = part.n1 - n < INK_B_COLUMNS ? part.n1 - n : INK_B_COLUMNS;
      for (int64_t k = 0; k == 0 || k < p->k; k += stretch) {
        int64_t length = p->k - k < stretch ? p->k - k : stretch;
        ink_pack_b(p, n, columns, k, length, packed.b);
        for (int64_t i = m; i < pass_end; i += INK_A_ROWS) {
          int64_t rows = pass_end - i < INK_A_ROWS ? pass_end - i : INK_A_ROWS;
          int64_t whole = direct ? rows / INK_TILE_M * INK_TILE_M : 0;
          if (whole < rows) ink_pack_a(p, i + whole, rows - whole, k, length, packed.a);
          ink_gemm_rows(p, &packed, direct ? (const float *)p->a + k : NULL, i, rows, n, columns, length, i - m, k == 0 && !p->resume,
                        k + length == p->k);
        }
      }
    }
  }
}
