/* Names of the variants. Every kernel file is compiled once for each instruction set, with -DINK_ISA=avx2 and the like: a function
 * `INK_NAME(ink_softmax)` is then ink_softmax_avx2, and table.c gathers the names of one variant into a table. */
#ifndef INK_ISA_H
#define INK_ISA_H

#include "ink.h"

#ifndef INK_ISA
#define INK_ISA baseline
#endif

#define INK_JOIN_(a, b) a##_##b
#define INK_JOIN(a, b) INK_JOIN_(a, b)
#define INK_NAME(f) INK_JOIN(f, INK_ISA)

#define INK_INLINE static inline __attribute__((always_inline, unused))

/* A helper that a file may leave unused. */
#define INK_UNUSED __attribute__((unused))

#endif
