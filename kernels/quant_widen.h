/* Elements of any type as float32. */
#ifndef INK_QUANT_WIDEN_H
#define INK_QUANT_WIDEN_H

#include "quant.h"

/* y[0 … n-1] = the elements from `start` on of an array of any type but q8a; start and n are whole blocks. */
void INK_NAME(ink_widen)(int32_t dtype, const void *x, int64_t start, int64_t n, float *y);

#endif
