/* Tiles of AMX for the integer products: 16 rows of activations against 32 columns of a panel, one block of k at a time.
 *
 * The sum of a block is an integer and exact, so a tile gives the same one as the vectors do, and the float chain over blocks is the same
 * chain. (The bfloat16 tiles are of no use here: they add products in pairs and flush small numbers, which no chain over k allows.)
 *
 * A panel's codes are laid out as a tile wants its right operand: row i holds elements 4i … 4i+3 of 16 columns. The activations are the
 * left operand as their records lie, if these lie at equal distances.
 *
 * With INK_EMULATE the tiles are plain arrays (test/amx_emulated.h). */
#ifndef INK_AMX_H
#define INK_AMX_H

#include "quant_dot.h"

#if INK_AMX

typedef struct {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} ink_tile_config;

_Static_assert(sizeof(ink_tile_config) == 64 && INK_W == 16, "as the processor reads it");

#ifdef INK_EMULATE
#include "test/amx_emulated.h"
#else
#define INK_TILE_ZERO(t) _tile_zero(t)
#define INK_TILE_LOAD(t, from, stride) _tile_loadd(t, from, stride)
#define INK_TILE_STORE(t, to, stride) _tile_stored(t, to, stride)
#define INK_TILE_DOT(sum, bytes, codes) _tile_dpbsud(sum, bytes, codes)
INK_INLINE void ink_tile_configure(const ink_tile_config *config) {
  /* some compilers do not know that the instruction, and the loads of tiles after it, read memory */
  __asm__ __volatile__("" ::"r"(config) : "memory");
  _tile_loadconfig(config);
}
INK_INLINE void ink_tile_release(void) { _tile_release(); }
#endif

/* Rows of a tile; fewer than INK_AMX_LEAST are left to the vectors. Links whose sums are kept before they join the chains. */
#define INK_AMX_ROWS 16
#define INK_AMX_LEAST 8
#define INK_AMX_LINKS 4

/* Numbers of the tiles: sums 0 and 1, or 2 and 3 for every second link; the bytes of rows in 4 or 5; the codes of a panel in 6 and 7. */
static void ink_amx_shape(int rows, int sub) {
  ink_tile_config config = {.palette = 1};
  for (int t = 0; t < 4; t++) {
    config.rows[t] = (uint8_t)rows;
    config.row_bytes[t] = 64;
  }
  for (int t = 4; t < 6; t++) {
    config.rows[t] = (uint8_t)rows;
    config.row_bytes[t] = (uint16_t)sub;
  }
  for (int t = 6; t < 8; t++) {
    config.rows[t] = (uint8_t)(sub / 4);
    config.row_bytes[t] = 64;
  }
  ink_tile_configure(&config);
}

/* The integer sums of one link: to[group][row][column]. */
#define INK_AMX_LINK(link, sum0, sum1, bytes)                      \
  do {                                                             \
    INK_TILE_ZERO(sum0);                                           \
    INK_TILE_ZERO(sum1);                                           \
    INK_TILE_LOAD(bytes, record + (link) * (sub + 8) + 8, stride); \
    INK_TILE_LOAD(6, panel[0] + (link) * link_vectors, 64);        \
    INK_TILE_LOAD(7, panel[1] + (link) * link_vectors, 64);        \
    INK_TILE_DOT(sum0, bytes, 6);                                  \
    INK_TILE_DOT(sum1, bytes, 7);                                  \
    INK_TILE_STORE(sum0, to[(link) - first][0], 64);               \
    INK_TILE_STORE(sum1, to[(link) - first][1], 64);               \
  } while (0)

typedef int32_t ink_amx_sums[INK_AMX_LINKS][INK_TILE_GROUPS][INK_AMX_ROWS][INK_W];

INK_INLINE void ink_amx_dot(int sub, int link_vectors, const vub *const *panel, int64_t first, int64_t end, const uint8_t *record,
                            ptrdiff_t stride, ink_amx_sums to) {
  for (int64_t link = first; link < end; link += 2) {
    INK_AMX_LINK(link, 0, 1, 4);
    if (link + 1 < end) INK_AMX_LINK(link + 1, 2, 3, 5);
  }
}

/* `rows` rows, their records `stride` bytes apart, over two panels: what ink_tile does for a few (matmul_int8.c). */
INK_INLINE void ink_amx_tile(int sub, int corrected, int has_min, int rows, const vub *const *panel, int64_t links, const uint8_t *record,
                             ptrdiff_t stride, vf (*sums)[INK_TILE_GROUPS]) {
  const int link_vectors = sub / 4 + 1 + has_min;
  _Alignas(64) ink_amx_sums total;
  for (int64_t first = 0; first < links; first += INK_AMX_LINKS) {
    const int64_t end = links - first < INK_AMX_LINKS ? links : first + INK_AMX_LINKS;
    ink_amx_dot(sub, link_vectors, panel, first, end, record, stride, total);
    for (int r = 0; r < rows; r++) {
      vf acc[INK_TILE_GROUPS];
      for (int g = 0; g < INK_TILE_GROUPS; g++) acc[g] = sums[r][g];
      for (int64_t link = first; link < end; link++) {
        const uint8_t *x = record + r * stride + link * (sub + 8);
        const vf d = (vf)vu_set_bytes(x);
        const vu extra = vu_set_bytes(x + 4);
        INK_UNROLL
        for (int g = 0; g < INK_TILE_GROUPS; g++) {
          const vf *scale = (const vf *)(panel[g] + link * link_vectors + sub / 4);
          vi whole = (vi)vu_load(total[link - first][g][r]);
          if (corrected) whole += (vi)extra;
          acc[g] = vf_fma(scale[0] * d, vf_from_int(whole), acc[g]);
          if (has_min) acc[g] = vf_fma(scale[1], (vf)extra, acc[g]);
        }
      }
      for (int g = 0; g < INK_TILE_GROUPS; g++) sums[r][g] = acc[g];
    }
  }
}

/* The rows from the first on that tiles can take, over two panels; returns how many. source[r] + offset: the records of row r. */
static int64_t ink_amx_tiles(int sub, int corrected, int has_min, int64_t rows, const vub *const *panel, int64_t links,
                             const uint8_t *const *source, int64_t offset, vf (*sums)[INK_TILE_GROUPS]) {
  int64_t r = 0;
  int shaped = 0;
  while (rows - r >= INK_AMX_LEAST) {
    const int tile = rows - r < INK_AMX_ROWS ? (int)(rows - r) : INK_AMX_ROWS;
    const ptrdiff_t stride = source[r + 1] - source[r];
    int even = 1;
    for (int i = 1; i < tile; i++) even &= source[r + i] - source[r + i - 1] == stride;
    if (!even) break;
    if (shaped != tile) ink_amx_shape(shaped = tile, sub);
    const uint8_t *record = source[r] + offset;
    if (sub == 16) ink_amx_tile(16, corrected, has_min, tile, panel, links, record, stride, sums + r);
    else if (has_min) ink_amx_tile(32, 0, 1, tile, panel, links, record, stride, sums + r);
    else ink_amx_tile(32, 1, 0, tile, panel, links, record, stride, sums + r);
    r += tile;
  }
  if (shaped) ink_tile_release();
  return r;
}

#endif

#endif
