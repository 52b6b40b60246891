/* Waiting for another thread: a pause in a spinning loop, giving up the processor, and sleeping until a word changes. */
#ifndef INK_SYNC_H
#define INK_SYNC_H

#include <stdint.h>

static inline void ink_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("isb" ::: "memory");
#endif
}

/* Let another thread have the processor. */
void ink_yield(void);

/* Sleep while *word == expected; may return early. */
void ink_sleep_while(uint32_t *word, uint32_t expected);

/* Wake all threads that sleep on the word, after it was changed. */
void ink_wake(uint32_t *word);

#endif
