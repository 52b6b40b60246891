/* The table of one instruction set: compiled once for each, with -DINK_ISA=… and, where the common kernels come from another
 * variant, -DINK_COMMON_ISA=…. */
#include "kernels.h"

#ifndef INK_COMMON_ISA
#define INK_COMMON_ISA INK_ISA
#endif
#define COMMON_NAME(f) INK_JOIN(f, INK_COMMON_ISA)
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

#define DECLARE_COMMON(opcode, function) void COMMON_NAME(function)(const ink_step *, const ink_worker *);
#define DECLARE_WIDE(opcode, function) void INK_NAME(function)(const ink_step *, const ink_worker *);
INK_COMMON_KERNELS(DECLARE_COMMON)
INK_WIDE_KERNELS(DECLARE_WIDE)

extern const ink_kernels INK_NAME(ink_table);

#define ENTRY_COMMON(opcode, function) [opcode] = COMMON_NAME(function),
#define ENTRY_WIDE(opcode, function) [opcode] = INK_NAME(function),
const ink_kernels INK_NAME(ink_table) = {
  .name = TEXT(INK_ISA),
  .kernel = {INK_COMMON_KERNELS(ENTRY_COMMON) INK_WIDE_KERNELS(ENTRY_WIDE)},
};
