/* The native host's pool: threads of our own that take runs from a queue. */
#ifndef INK_THREADS_H
#define INK_THREADS_H

#include "pool.h"
#include "program.h"

typedef struct ink_threads ink_threads;

/* One run. The owner fills the first part; `done` is called on thread 0 of the pool when the run is over. */
typedef struct ink_job {
  ink_program *program;
  void *const *slots;
  const int32_t *dims;
  const ink_kernels *kernels;
  void (*done)(struct ink_job *job);
  void *data;
  /* filled by the pool */
  ink_error error;
  double nanoseconds; /* from the first step to the end of the last */
  struct ink_job *next;
} ink_job;

/* NULL when threads or memory are not to be had. */
ink_threads *ink_threads_start(int32_t count);
int32_t ink_threads_count(const ink_threads *threads);
/* Runs are carried out one after another in the order of the calls. Any thread may call. */
void ink_threads_post(ink_threads *threads, ink_job *job);
/* Call off the run in progress and all that wait (each still gets its `done`, with an error), then end the threads. */
void ink_threads_stop(ink_threads *threads);

/* Nanoseconds that one barrier of this pool takes, by doing `rounds` of them (the pool must be idle). */
double ink_threads_measure_barrier(ink_threads *threads, int32_t rounds);

#endif
