/* See memory.h. */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include "memory.h"

#include <errno.h>

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

void *ink_memory_allocate(size_t bytes) {
  return VirtualAlloc(NULL, bytes ? bytes : 1, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}
void ink_memory_release(void *memory, size_t bytes) {
  (void)bytes;
  if (memory) VirtualFree(memory, 0, MEM_RELEASE);
}

int ink_file_map(const char *path, void **memory, uint64_t *bytes) {
  wchar_t wide[32768];
  if (!MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, 32768)) return EINVAL;
  HANDLE file = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
  if (file == INVALID_HANDLE_VALUE) return GetLastError() == ERROR_FILE_NOT_FOUND ? ENOENT : EACCES;
  LARGE_INTEGER size;
  int result = 0;
  *memory = NULL;
  if (!GetFileSizeEx(file, &size)) result = EIO;
  else if (size.QuadPart > 0) {
    HANDLE mapping = CreateFileMappingW(file, NULL, PAGE_WRITECOPY, 0, 0, NULL);
    if (mapping) {
      *memory = MapViewOfFile(mapping, FILE_MAP_COPY, 0, 0, 0);
      CloseHandle(mapping);
    }
    if (!*memory) result = ENOMEM;
  }
  *bytes = (uint64_t)size.QuadPart;
  CloseHandle(file);
  return result;
}
void ink_file_unmap(void *memory, uint64_t bytes) {
  (void)bytes;
  if (memory) UnmapViewOfFile(memory);
}

#else

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
/* From the sanitizer's allocator, which notices a step outside (scripts/sanitize.mjs). */
#include <stdlib.h>
#include <string.h>

void *ink_memory_allocate(size_t bytes) {
  void *memory;
  if (posix_memalign(&memory, 64, bytes ? bytes : 1)) return NULL;
  return memset(memory, 0, bytes);
}
void ink_memory_release(void *memory, size_t bytes) {
  (void)bytes;
  free(memory);
}
#else

void *ink_memory_allocate(size_t bytes) {
  void *memory = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return NULL;
  /* Small pages: caches and arenas are planned for their largest size and touched here and there, and a huge page would make each of those
   * places cost two megabytes. */
#if defined(MADV_NOHUGEPAGE)
  madvise(memory, bytes ? bytes : 1, MADV_NOHUGEPAGE);
#endif
  return memory;
}
void ink_memory_release(void *memory, size_t bytes) {
  if (memory) munmap(memory, bytes ? bytes : 1);
}
#endif

int ink_file_map(const char *path, void **memory, uint64_t *bytes) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno;
  struct stat info;
  int result = 0;
  *memory = NULL;
  *bytes = 0;
  if (fstat(file, &info)) result = errno;
  else if (!S_ISREG(info.st_mode)) result = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
  else if (info.st_size > 0) {
    /* Private and writable: a stray write from JavaScript stays here instead of killing the process or changing the file. */
    void *p = mmap(NULL, (size_t)info.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file, 0);
    if (p == MAP_FAILED) result = errno;
    else {
      *memory = p;
      *bytes = (uint64_t)info.st_size;
    }
  }
  close(file);
  return result;
}
void ink_file_unmap(void *memory, uint64_t bytes) {
  if (memory) munmap(memory, (size_t)bytes);
}

#endif
