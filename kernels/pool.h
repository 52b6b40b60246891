/* Threads that run programs together. */
#ifndef INK_POOL_H
#define INK_POOL_H

#include "ink.h"

#define INK_MAX_THREADS 256

/* A word that threads wait on, alone on its cache lines, with the number of threads that sleep there. */
typedef struct {
  _Alignas(128) uint32_t value;
  uint32_t sleepers;
} ink_event;

/* What the threads of a run share: the barrier, and the wish to stop. */
struct ink_pool {
  _Alignas(128) uint32_t arrived;
  ink_event phase;
  _Alignas(128) uint32_t count;
  uint32_t cancel; /* asked for, from any thread */
  uint32_t cancelled; /* decided at a barrier, so that all threads see the same */
};

void ink_pool_init(ink_pool *pool, uint32_t count);

/* Wait until *event's value differs from `old`: spin for about `spins` pauses, then give way, then sleep. */
void ink_event_wait(ink_event *event, uint32_t old, int spins);
/* Change the value and wake who sleeps. */
void ink_event_set(ink_event *event, uint32_t value);

/* Whether the run was called off; the same for all threads between two barriers. */
static inline int ink_cancelled(const ink_worker *worker) { return worker->pool->cancelled != 0; }

#endif
