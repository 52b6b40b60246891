/* Memory from the system: page-aligned, zeroed, taken when touched; and files as memory. */
#ifndef INK_MEMORY_H
#define INK_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* NULL when there is not so much. `bytes` is what ink_memory_release needs again. */
void *ink_memory_allocate(size_t bytes);
void ink_memory_release(void *memory, size_t bytes);

/* A file's bytes. Writing to them changes this process's copy only. Returns 0, or an errno. Memory is NULL for an empty file. */
int ink_file_map(const char *path, void **memory, uint64_t *bytes);
void ink_file_unmap(void *memory, uint64_t bytes);

#endif
