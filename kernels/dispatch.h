/* Which tables this library holds, and which of them this processor can run. */
#ifndef INK_DISPATCH_H
#define INK_DISPATCH_H

#include "ink.h"

#define INK_MAX_TABLES 8

/* The tables that this processor runs, the one to prefer first. Returns how many. */
int ink_tables(const ink_kernels *tables[INK_MAX_TABLES]);

/* The table of that name, or of the preferred instruction set for NULL; NULL when there is none that runs here. */
const ink_kernels *ink_choose(const char *name);

/* The processor's own name, or "". `text` is always ended. */
void ink_processor_name(char *text, size_t size);

#endif
