/* The few functions of string.h that the kernels use; string.c has them. */
#ifndef INK_WASM_STRING_H
#define INK_WASM_STRING_H
#include <stddef.h>
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);
/* In a freestanding program a plain call stays a call, even for the sixteen bytes of a vector; the builtins become loads and stores. */
#ifndef INK_WASM_STRING_C
#define memcpy(to, from, n) __builtin_memcpy(to, from, n)
#define memmove(to, from, n) __builtin_memmove(to, from, n)
#define memset(to, value, n) __builtin_memset(to, value, n)
#endif
#endif
