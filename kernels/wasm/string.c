/* memcpy and its kin as single instructions. */
#define INK_WASM_STRING_C
#include <string.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n) { return __builtin_memmove(to, from, n); }
void *memmove(void *to, const void *from, size_t n) { return __builtin_memmove(to, from, n); }
void *memset(void *to, int value, size_t n) { return __builtin_memset(to, value, n); }
int memcmp(const void *a, const void *b, size_t n) {
  const unsigned char *x = a, *y = b;
  for (size_t i = 0; i < n; i++) {
    if (x[i] != y[i]) return x[i] - y[i];
  }
  return 0;
}
