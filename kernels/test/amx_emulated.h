/* The tiles of AMX as plain arrays, with the processor's own rules: what it would refuse ends the program. */
#ifndef INK_TEST_AMX_EMULATED_H
#define INK_TEST_AMX_EMULATED_H

#include <stdlib.h>

static struct {
  int configured;
  ink_tile_config config;
  uint8_t tile[8][16][64];
} ink_emulated;

#define INK_TILE_REQUIRE(condition) \
  do {                              \
    if (!(condition)) abort();      \
  } while (0)

static inline void ink_tile_configure(const ink_tile_config *config) {
  INK_TILE_REQUIRE(config->palette == 1 && config->start_row == 0);
  for (int i = 0; i < 14; i++) INK_TILE_REQUIRE(config->reserved[i] == 0);
  for (int t = 0; t < 16; t++) {
    INK_TILE_REQUIRE(config->rows[t] <= 16 && config->row_bytes[t] <= 64 && !config->rows[t] == !config->row_bytes[t]);
    if (t >= 8) INK_TILE_REQUIRE(config->rows[t] == 0);
  }
  ink_emulated.configured = 1;
  ink_emulated.config = *config;
  memset(ink_emulated.tile, 0, sizeof ink_emulated.tile);
}

static inline void ink_tile_release(void) { ink_emulated.configured = 0; }

static inline void ink_tile_require(int t) {
  INK_TILE_REQUIRE(ink_emulated.configured && t >= 0 && t < 8 && ink_emulated.config.rows[t]);
}

/* A tile is written whole: what is beyond its shape becomes 0. */
static inline void ink_tile_zero(int t) {
  ink_tile_require(t);
  memset(ink_emulated.tile[t], 0, sizeof ink_emulated.tile[t]);
}

static inline void ink_tile_load(int t, const void *from, ptrdiff_t stride) {
  ink_tile_zero(t);
  for (int r = 0; r < ink_emulated.config.rows[t]; r++) {
    memcpy(ink_emulated.tile[t][r], (const uint8_t *)from + r * stride, ink_emulated.config.row_bytes[t]);
  }
}

static inline void ink_tile_store(int t, void *to, ptrdiff_t stride) {
  ink_tile_require(t);
  for (int r = 0; r < ink_emulated.config.rows[t]; r++) {
    memcpy((uint8_t *)to + r * stride, ink_emulated.tile[t][r], ink_emulated.config.row_bytes[t]);
  }
}

/* TDPBSUD: sum[m][n] += Σ a[m][4k … 4k+3] (signed) * b[k][4n … 4n+3] (unsigned). */
static inline void ink_tile_dot(int sum, int a, int b) {
  const ink_tile_config *c = &ink_emulated.config;
  ink_tile_require(sum);
  ink_tile_require(a);
  ink_tile_require(b);
  INK_TILE_REQUIRE(sum != a && sum != b && a != b);
  INK_TILE_REQUIRE(c->rows[sum] == c->rows[a] && c->row_bytes[sum] == c->row_bytes[b] && c->row_bytes[a] == 4 * c->rows[b]);
  INK_TILE_REQUIRE(c->row_bytes[sum] % 4 == 0 && c->row_bytes[a] % 4 == 0);
  for (int m = 0; m < c->rows[sum]; m++) {
    for (int n = 0; n < c->row_bytes[sum] / 4; n++) {
      int32_t total;
      memcpy(&total, &ink_emulated.tile[sum][m][4 * n], 4);
      for (int k = 0; k < c->rows[b]; k++) {
        for (int i = 0; i < 4; i++) total += (int8_t)ink_emulated.tile[a][m][4 * k + i] * ink_emulated.tile[b][k][4 * n + i];
      }
      memcpy(&ink_emulated.tile[sum][m][4 * n], &total, 4);
    }
  }
}

#define INK_TILE_ZERO(t) ink_tile_zero(t)
#define INK_TILE_LOAD(t, from, stride) ink_tile_load(t, from, stride)
#define INK_TILE_STORE(t, to, stride) ink_tile_store(t, to, stride)
#define INK_TILE_DOT(sum, bytes, codes) ink_tile_dot(sum, bytes, codes)

#endif
