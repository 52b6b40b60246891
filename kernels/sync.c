/* Sleeping on a word: futexes on Linux, WaitOnAddress on Windows, atomic.wait in WebAssembly, a condition variable elsewhere. */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include "sync.h"

#if defined(__wasm__)

void ink_yield(void) {}
void ink_sleep_while(uint32_t *word, uint32_t expected) {
  __builtin_wasm_memory_atomic_wait32((int *)word, (int)expected, -1);
}
void ink_wake(uint32_t *word) { __builtin_wasm_memory_atomic_notify((int *)word, 0xffffffffu); }

#elif defined(__linux__)

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

void ink_yield(void) { sched_yield(); }
void ink_sleep_while(uint32_t *word, uint32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}
void ink_wake(uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 0x7fffffff, NULL, NULL, 0); }

#elif defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

void ink_yield(void) { SwitchToThread(); }
void ink_sleep_while(uint32_t *word, uint32_t expected) { WaitOnAddress(word, &expected, sizeof expected, INFINITE); }
void ink_wake(uint32_t *word) { WakeByAddressAll(word); }

#else

#include <pthread.h>
#include <sched.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

void ink_yield(void) { sched_yield(); }
void ink_sleep_while(uint32_t *word, uint32_t expected) {
  pthread_mutex_lock(&lock);
  if (__atomic_load_n(word, __ATOMIC_SEQ_CST) == expected) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
}
void ink_wake(uint32_t *word) {
  (void)word;
  pthread_mutex_lock(&lock);
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

#endif
