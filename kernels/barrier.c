/* The barrier: a count of arrivals and a phase. Waiting threads spin, since steps are short; on a busy machine, where the thread
 * they wait for may not be running, they give way and at last sleep. */
#include "pool.h"
#include "sync.h"

#include <stddef.h>

enum { SPINS = 4000, YIELDS = 64 };

void ink_pool_init(ink_pool *pool, uint32_t count) {
  *pool = (ink_pool){.count = count};
}

void ink_event_wait(ink_event *event, uint32_t old, int spins) {
  for (int i = 0; i < spins; i++) {
    if (__atomic_load_n(&event->value, __ATOMIC_ACQUIRE) != old) return;
    ink_pause();
  }
  for (int i = 0; i < YIELDS; i++) {
    if (__atomic_load_n(&event->value, __ATOMIC_ACQUIRE) != old) return;
    ink_yield();
  }
  __atomic_fetch_add(&event->sleepers, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&event->value, __ATOMIC_SEQ_CST) == old) ink_sleep_while(&event->value, old);
  __atomic_fetch_sub(&event->sleepers, 1, __ATOMIC_SEQ_CST);
}

void ink_event_set(ink_event *event, uint32_t value) {
  __atomic_store_n(&event->value, value, __ATOMIC_SEQ_CST);
  /* A thread that counted itself after this load finds the new value before it sleeps. */
  if (__atomic_load_n(&event->sleepers, __ATOMIC_SEQ_CST)) ink_wake(&event->value);
}

void ink_barrier(const ink_worker *worker) {
  ink_pool *pool = worker->pool;
  if (worker->count == 1) {
    pool->cancelled = __atomic_load_n(&pool->cancel, __ATOMIC_RELAXED);
    return;
  }
  const uint32_t phase = __atomic_load_n(&pool->phase.value, __ATOMIC_RELAXED);
  if (__atomic_add_fetch(&pool->arrived, 1, __ATOMIC_ACQ_REL) < (uint32_t)worker->count) {
    ink_event_wait(&pool->phase, phase, SPINS);
    return;
  }
  __atomic_store_n(&pool->arrived, 0, __ATOMIC_RELAXED);
  pool->cancelled = __atomic_load_n(&pool->cancel, __ATOMIC_RELAXED);
  ink_event_set(&pool->phase, phase + 1);
}
