/* Each thread of the pool does every run in turn: it waits until more runs were posted than it has done, meets the others at a
 * barrier, does its share, meets them again. Thread 0 takes the run from the queue before and reports it after. */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include "threads.h"

#include "memory.h"
#include "sync.h"

#include <stdlib.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
typedef HANDLE thread_handle;
typedef SRWLOCK lock_type;
#define LOCK_INIT(l) InitializeSRWLock(l)
#define LOCK(l) AcquireSRWLockExclusive(l)
#define UNLOCK(l) ReleaseSRWLockExclusive(l)
#else
#include <pthread.h>
#include <signal.h>
#include <time.h>
typedef pthread_t thread_handle;
typedef pthread_mutex_t lock_type;
#define LOCK_INIT(l) pthread_mutex_init(l, NULL)
#define LOCK(l) pthread_mutex_lock(l)
#define UNLOCK(l) pthread_mutex_unlock(l)
#endif

/* About 50 µs: while the caller looks at a result and asks for the next run. Longer would take time from the caller itself where there
 * are as many threads as processors. */
enum { IDLE_SPINS = 1500 };

typedef struct {
  ink_threads *threads;
  ink_worker worker;
  thread_handle handle;
} member;

struct ink_threads {
  ink_pool pool;
  ink_event posted; /* runs posted so far */
  _Alignas(128) lock_type lock;
  ink_job *first, *last;
  ink_job *current; /* the run in progress; NULL: the end */
  int32_t count;
  uint8_t *memory; /* scratch of each thread, then what they share */
  size_t memory_bytes;
  member *members;
};

/* Nanoseconds on a clock that does not jump. */
#if defined(_WIN32)
static double now(void) {
  LARGE_INTEGER ticks, rate;
  QueryPerformanceCounter(&ticks);
  QueryPerformanceFrequency(&rate);
  return (double)ticks.QuadPart * 1e9 / (double)rate.QuadPart;
}
#else
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}
#endif

static ink_job *take(ink_threads *t) {
  LOCK(&t->lock);
  ink_job *job = t->first;
  if (job) t->first = job->next;
  UNLOCK(&t->lock);
  return job;
}

static void begin(ink_threads *t) {
  t->current = take(t);
  if (!t->current) return;
  if (__atomic_load_n(&t->pool.cancel, __ATOMIC_RELAXED)) t->current->error = (ink_error){"the run was called off", -1, -1};
  else if (t->current->program) ink_program_bind(t->current->program, t->current->slots, t->current->dims, &t->current->error);
}

static void work(member *self) {
  ink_threads *t = self->threads;
  const ink_worker *worker = &self->worker;
  for (uint32_t done = 0;; done++) {
    ink_event_wait(&t->posted, done, IDLE_SPINS);
    if (worker->index == 0) begin(t);
    ink_barrier(worker);
    ink_job *job = t->current;
    if (!job) return;
    const double start = worker->index == 0 ? now() : 0.0;
    if (!job->error.text) {
      if (job->program) ink_program_run(job->program, job->kernels, worker);
      else for (int32_t i = 0; i < job->dims[0]; i++) ink_barrier(worker);
    }
    ink_barrier(worker);
    if (worker->index == 0) {
      job->nanoseconds = now() - start;
      if (!job->error.text && ink_cancelled(worker)) job->error = (ink_error){"the run was called off", -1, -1};
      job->done(job);
    }
  }
}

#if defined(_WIN32)
static DWORD WINAPI enter(void *self) {
  work(self);
  return 0;
}
static int start_thread(member *m) {
  m->handle = CreateThread(NULL, 0, enter, m, 0, NULL);
  return m->handle ? 0 : -1;
}
static void join_thread(member *m) {
  WaitForSingleObject(m->handle, INFINITE);
  CloseHandle(m->handle);
}
#else
static void *enter(void *self) {
  work(self);
  return NULL;
}
static int start_thread(member *m) {
  /* Signals are for the threads that know what to do with them. */
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  const int result = pthread_create(&m->handle, NULL, enter, m);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return result;
}
static void join_thread(member *m) { pthread_join(m->handle, NULL); }
#endif

static void release(ink_threads *t) {
  if (t->memory) ink_memory_release(t->memory, t->memory_bytes);
  free(t->members);
  ink_memory_release(t, sizeof *t);
}

ink_threads *ink_threads_start(int32_t count) {
  if (count < 1) count = 1;
  if (count > INK_MAX_THREADS) count = INK_MAX_THREADS;
  ink_threads *t = ink_memory_allocate(sizeof *t);
  if (!t) return NULL;
  ink_pool_init(&t->pool, (uint32_t)count);
  LOCK_INIT(&t->lock);
  t->count = count;
  t->memory_bytes = INK_SCRATCH * (size_t)count + INK_SHARED;
  t->memory = ink_memory_allocate(t->memory_bytes);
  t->members = calloc((size_t)count, sizeof(member));
  if (!t->memory || !t->members) {
    release(t);
    return NULL;
  }
  for (int32_t i = 0; i < count; i++) {
    member *m = &t->members[i];
    m->threads = t;
    m->worker = (ink_worker){
      .index = i, .count = count, .scratch = t->memory + INK_SCRATCH * (size_t)i,
      .shared = t->memory + INK_SCRATCH * (size_t)count, .pool = &t->pool,
    };
  }
  for (int32_t i = 0; i < count; i++) {
    if (!start_thread(&t->members[i])) continue;
    /* Those that started wait at the first barrier for the rest: let them through as a smaller pool. Threads have not begun a run, so
     * none has looked at its count yet. */
    if (i == 0) {
      release(t);
      return NULL;
    }
    for (int32_t k = 0; k < i; k++) t->members[k].worker.count = i;
    t->count = i;
    t->pool.count = (uint32_t)i;
    break;
  }
  return t;
}

int32_t ink_threads_count(const ink_threads *threads) { return threads->count; }

static void announce(ink_threads *t) { ink_event_set(&t->posted, t->posted.value + 1); }

void ink_threads_post(ink_threads *t, ink_job *job) {
  job->next = NULL;
  job->error = (ink_error){NULL, -1, -1};
  LOCK(&t->lock);
  if (t->first) t->last->next = job;
  else t->first = job;
  t->last = job;
  announce(t);
  UNLOCK(&t->lock);
}

void ink_threads_stop(ink_threads *t) {
  __atomic_store_n(&t->pool.cancel, 1, __ATOMIC_RELAXED);
  LOCK(&t->lock);
  announce(t); /* one more than there are runs: whoever finds the queue empty is at the end */
  UNLOCK(&t->lock);
  for (int32_t i = 0; i < t->count; i++) join_thread(&t->members[i]);
  release(t);
}

typedef struct {
  ink_job job;
  ink_event over;
} measurement;

static void measured(ink_job *job) { ink_event_set(&((measurement *)job->data)->over, 1); }

double ink_threads_measure_barrier(ink_threads *t, int32_t rounds) {
  measurement m = {.job = {.dims = &rounds, .done = measured}};
  m.job.data = &m;
  const double start = now();
  ink_threads_post(t, &m.job);
  ink_event_wait(&m.over, 0, IDLE_SPINS);
  return (now() - start) / rounds;
}
