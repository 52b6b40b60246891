/* A few rows times a matrix: b streams through once, a stretch of k at a time, and becomes a small panel that all rows use.
 *
 * The panel costs a store and a load for each vector, far less than the memory that b comes from, and makes one loop of all types and
 * orientations of b. Several groups of columns run side by side, because a chain of dependent additions alone would be slower than memory. */
#include "gemm_panel.h"

#define INK_FEW_GROUPS 4
/* Elements of k in a panel: a block of the largest type. */
#define INK_FEW_LENGTH(type) (ink_block_elements(type) == 256 ? 256 : 64)

/* acc[r][g] = fma(a[r][k], panel[g][k], acc[r][g]) for k < length. */
INK_INLINE void ink_few_tile(int rows, const float *a, const float *panel, int64_t length, int64_t capacity, vf (*sums)[INK_FEW_GROUPS]) {
  vf acc[INK_FEW_ROWS][INK_FEW_GROUPS];
  INK_UNROLL
  for (int r = 0; r < rows; r++) {
    INK_UNROLL
    for (int g = 0; g < INK_FEW_GROUPS; g++) acc[r][g] = sums[r][g];
  }
  for (int64_t k = 0; k < length; k++) {
    vf b[INK_FEW_GROUPS];
    INK_UNROLL
    for (int g = 0; g < INK_FEW_GROUPS; g++) b[g] = vf_load(panel + (g * capacity + k) * INK_W);
    INK_UNROLL
    for (int r = 0; r < rows; r++) {
      vf x = vf_set(a[r * capacity + k]);
      INK_UNROLL
      for (int g = 0; g < INK_FEW_GROUPS; g++) acc[r][g] = vf_fma(x, b[g], acc[r][g]);
    }
  }
  INK_UNROLL
  for (int r = 0; r < rows; r++) {
    INK_UNROLL
    for (int g = 0; g < INK_FEW_GROUPS; g++) sums[r][g] = acc[r][g];
  }
}

/* The lines that the next stretch of k will read. */
INK_INLINE void ink_few_prefetch(const ink_product *p, const ink_columns *at, int64_t k, int64_t length) {
  int64_t from = ink_row_bytes(p->b_type, k), to = ink_row_bytes(p->b_type, k + length);
  for (int lane = 0; lane < INK_W; lane++) {
    for (int64_t i = from; i < to; i += 64) ink_prefetch(at->data + lane * at->stride + i);
  }
}

void INK_NAME(ink_product_few)(const ink_product *p, ink_rect part, uint8_t *scratch) {
  int rows = (int)(part.m1 - part.m0);
  int64_t capacity = INK_FEW_LENGTH(p->b_type);
  float *panel = (float *)scratch, *a = panel + INK_FEW_GROUPS * capacity * INK_W;
  for (int64_t column = part.n0; column < part.n1;) {
    ink_columns at[INK_FEW_GROUPS];
    vf sums[INK_FEW_ROWS][INK_FEW_GROUPS] = {{{0}}};
    int groups = 0;
    while (groups < INK_FEW_GROUPS && column < part.n1) {
      at[groups] = ink_columns_at(p, column, part.n1);
      column += at[groups++].count;
    }
    memset(panel, 0, (size_t)(INK_FEW_GROUPS * capacity * INK_W) * sizeof *panel);
    for (int64_t k = 0; k < p->k; k += capacity) {
      int64_t length = p->k - k < capacity ? p->k - k : capacity;
      for (int g = 0; g < groups; g++) {
        if (p->transpose_b && k + 2 * capacity <= p->k) ink_few_prefetch(p, &at[g], k + capacity, capacity);
        ink_panel(p, &at[g], k, length, panel + g * capacity * INK_W, INK_W);
      }
      for (int r = 0; r < rows; r++) {
        for (int64_t i = 0; i < length; i++) a[r * capacity + i] = ink_a_element(p, part.m0 + r, k + i);
      }
      switch (rows) {
        case 1: ink_few_tile(1, a, panel, length, capacity, sums); break;
        case 2: ink_few_tile(2, a, panel, length, capacity, sums); break;
        case 3: ink_few_tile(3, a, panel, length, capacity, sums); break;
        default: ink_few_tile(4, a, panel, length, capacity, sums);
      }
    }
    for (int r = 0; r < rows; r++) {
      for (int g = 0; g < groups; g++) ink_store_lanes(p, part.m0 + r, at[g].column, sums[r][g], at[g].first, at[g].count);
    }
  }
}
