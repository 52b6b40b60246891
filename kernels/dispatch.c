/* Which instruction sets may be used: what the processor has and the system saves. The build says with INK_HAVE_… which tables were
 * compiled in.
 *
 * Wider is not always faster. A table may name another variant's kernel for an opcode (table.c takes the common ones of the AVX-512 tables
 * from avx2), and where the answer depends on the processor, ink_choose is the place to prefer another table. */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include "dispatch.h"

#include <string.h>

#if defined(__x86_64__) || defined(_M_X64)
#define X86 1
#include <cpuid.h>
#endif
#if defined(X86) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define TABLE(name) extern const ink_kernels ink_table_##name;
#if defined(INK_HAVE_AMX)
TABLE(amx)
#endif
#if defined(INK_HAVE_AVX512_BF16)
TABLE(avx512_bf16)
#endif
#if defined(INK_HAVE_AVX512)
TABLE(avx512)
#endif
#if defined(INK_HAVE_AVX2)
TABLE(avx2)
#endif
#if defined(INK_HAVE_NEON)
TABLE(neon)
#endif
#if defined(INK_HAVE_WASM_SIMD)
TABLE(wasm_simd)
#endif
#if defined(INK_HAVE_BASELINE)
TABLE(baseline)
#endif

#if defined(X86)
typedef struct {
  int avx2, avx512, avx512_bf16, amx;
} features;

/* The tiles' eight kilobytes belong to a process only once it has asked for them. (Windows has a call for that as well, and no library
 * of ours for it: amx is compiled for Linux.) */
static int tiles_allowed(void) {
#if defined(__linux__)
  const long request = 0x1023, tile_data = 18; /* ARCH_REQ_XCOMP_PERM, and the state's number */
  return syscall(SYS_arch_prctl, request, tile_data) == 0;
#else
  return 0;
#endif
}

static features look(void) {
  features have = {0, 0, 0, 0};
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return have;
  const unsigned basic = bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C;
  if ((c & basic) != basic) return have;
  unsigned saved, high;
  __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0)); /* the registers that the system keeps for each thread */
  if ((saved & 0x06) != 0x06) return have;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return have;
  const unsigned leaves = a;
  have.avx2 = (b & bit_AVX2) && (b & bit_BMI2);
  const unsigned wide = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
  have.avx512 = have.avx2 && (b & wide) == wide && (saved & 0xe6) == 0xe6;
  const int vnni = (c & bit_AVX512VNNI) != 0, tiles = (d & 1u << 24) && (d & 1u << 25); /* AMX-TILE, AMX-INT8 */
  if (leaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) have.avx512_bf16 = have.avx512 && vnni && (a & 1u << 5);
  have.amx = have.avx512_bf16 && tiles && (saved & 0x60000) == 0x60000 && tiles_allowed();
  return have;
}
#endif

int ink_tables(const ink_kernels *tables[INK_MAX_TABLES]) {
  int n = 0;
#if defined(X86)
  const features have = look();
  (void)have;
#endif
#if defined(INK_HAVE_AMX)
  if (have.amx) tables[n++] = &ink_table_amx;
#endif
#if defined(INK_HAVE_AVX512_BF16)
  if (have.avx512_bf16) tables[n++] = &ink_table_avx512_bf16;
#endif
#if defined(INK_HAVE_AVX512)
  if (have.avx512) tables[n++] = &ink_table_avx512;
#endif
#if defined(INK_HAVE_AVX2)
  if (have.avx2) tables[n++] = &ink_table_avx2;
#endif
#if defined(INK_HAVE_NEON)
  tables[n++] = &ink_table_neon;
#endif
#if defined(INK_HAVE_WASM_SIMD)
  tables[n++] = &ink_table_wasm_simd;
#endif
#if defined(INK_HAVE_BASELINE)
  tables[n++] = &ink_table_baseline;
#endif
  return n;
}

const ink_kernels *ink_choose(const char *name) {
  const ink_kernels *tables[INK_MAX_TABLES];
  const int n = ink_tables(tables);
  if (!name) return n ? tables[0] : NULL;
  for (int i = 0; i < n; i++) {
    if (!strcmp(tables[i]->name, name)) return tables[i];
  }
  return NULL;
}

void ink_processor_name(char *text, size_t size) {
  if (size) text[0] = 0;
#if defined(X86)
  unsigned words[13] = {0};
  if (__get_cpuid_max(0x80000000u, NULL) < 0x80000004u) return;
  for (unsigned i = 0; i < 3; i++) {
    __get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]);
  }
  const char *name = (const char *)words;
  while (*name == ' ') name++;
  const size_t length = strlen(name);
  if (!size) return;
  memcpy(text, name, length < size ? length + 1 : size);
  text[size - 1] = 0;
#endif
}
