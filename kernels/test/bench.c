/* Speed of the products: GFLOP/s (two operations for each multiply-add) and the bytes of weights read per second.
 *
 *   bench [part of a case's name]
 *
 * Every case runs on one and two threads and reports its best of many runs, because other work may share the machine. Operands rotate
 * through copies that together exceed the caches, unless the name says "cached". */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include "harness.h"

#define MAX_THREADS 2
#define COPIES_BYTES ((int64_t)160 << 20)
#define SECONDS 0.4

void ink_barrier(const ink_worker *worker) {
  (void)worker;
  abort();
}

static double now_of(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
static double now(void) { return now_of(CLOCK_MONOTONIC); }

/* A second thread that spins on a counter: the cost of waking it is not the kernel's. */
static atomic_int turn, done;
static ink_kernel job_kernel;
static const ink_step *job_step;
static uint8_t *scratch[MAX_THREADS], *shared;

static void work(int index, int count) {
  ink_worker worker = {.index = index, .count = count, .scratch = scratch[index], .shared = shared};
  job_kernel(job_step, &worker);
}
static void *helper(void *unused) {
  (void)unused;
  for (int seen = 0;;) {
    int t;
    while ((t = atomic_load_explicit(&turn, memory_order_acquire)) == seen) {}
    if (t < 0) return NULL;
    seen = t;
    work(1, 2);
    atomic_store_explicit(&done, t, memory_order_release);
  }
}

static double once(ink_kernel kernel, const ink_step *step, int threads) {
  job_kernel = kernel;
  job_step = step;
  /* one thread: its own time, which other work does not lengthen */
  clockid_t clock = threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
  double start = now_of(clock);
  int t = 0;
  if (threads == 2) t = atomic_fetch_add_explicit(&turn, 1, memory_order_release) + 1;
  work(0, threads);
  if (threads == 2) {
    while (atomic_load_explicit(&done, memory_order_acquire) != t) {}
  }
  return now_of(clock) - start;
}

static const char *wanted = "";

static void bench(const char *group, int a_type, int b_type, int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k, int cached) {
  char name[96];
  snprintf(name, sizeof name, "%s %s%s x %s%s %lldx%lldx%lld", group, type_names[a_type], transpose_a ? "^T" : "", type_names[b_type],
           transpose_b ? "^T" : "", (long long)m, (long long)n, (long long)k);
  if (!strstr(name, wanted)) return;
  int64_t b_bytes = ink_row_bytes(b_type, n * k), copies = cached ? 1 : COPIES_BYTES / b_bytes + 1;
  if (copies > 64) copies = 64;
  void *a = random_array(a_type, m * k, 0), *b[64];
  for (int64_t i = 0; i < copies; i++) b[i] = random_array(b_type, n * k, 0);
  float *y = memory(m * n * 4);
  ink_tensor ta = transpose_a ? TENSOR(a_type, a, k, m) : TENSOR(a_type, a, m, k), ty = TENSOR(INK_F32, y, m, n);
  ink_tensor tb = transpose_b ? TENSOR(b_type, b[0], n, k) : TENSOR(b_type, b[0], k, n);
  ink_step step = {.opcode = INK_MATMUL, .input_count = 2, .input = {&ta, &tb}, .output = &ty, .ints = (int32_t[]){transpose_a, transpose_b}};
  printf("%-44s", name);
  for (int threads = 1; threads <= MAX_THREADS; threads++) {
    double best = 1e9, start = now();
    for (int64_t i = 0; i < 3 || now() - start < SECONDS; i++) {
      tb.data = b[i % copies];
      double t = once(INK_NAME(ink_matmul), &step, threads);
      if (t < best) best = t;
    }
    printf("  %d: %9.1f us %7.1f GFLOP/s %6.1f GB/s", threads, best * 1e6, 2.0 * (double)(m * n) * (double)k / best * 1e-9,
           (double)b_bytes / best * 1e-9);
  }
  printf("\n");
  fflush(stdout);
  free(a);
  for (int64_t i = 0; i < copies; i++) free(b[i]);
  free(y);
}

/* What the memory gives: each thread adds up its half of 256 MB. */
static void read_memory(const ink_step *step, const ink_worker *worker) {
  const uint8_t *p = (const uint8_t *)step->input[0]->data;
  int64_t from, to;
  ink_share(worker, ink_size(step->input[0]) * 4, 256, &from, &to);
  vu sum[4] = {{0}};
  for (int64_t i = from; i + 4 * (int64_t)sizeof(vu) <= to; i += 4 * (int64_t)sizeof(vu)) {
    for (int j = 0; j < 4; j++) sum[j] += vu_load(p + i + j * (int64_t)sizeof(vu));
  }
  vu_store(worker->scratch, sum[0] + sum[1] + sum[2] + sum[3]);
}

int main(int argc, char **argv) {
  if (argc > 1) wanted = argv[1];
  for (int i = 0; i < MAX_THREADS; i++) {
    scratch[i] = aligned_alloc(64, INK_SCRATCH);
    memset(scratch[i], 0, INK_SCRATCH);
  }
  shared = aligned_alloc(64, INK_SHARED);
  pthread_t thread;
  pthread_create(&thread, NULL, helper, NULL);

  int64_t floats = (int64_t)64 << 20;
  float *block = memory(floats * 4), sink = 0;
  memset(block, 1, (size_t)floats * 4);
  ink_tensor source = TENSOR(INK_F32, block, floats), out = TENSOR(INK_F32, &sink, 1);
  ink_step step = {.input_count = 1, .input = {&source}, .output = &out};
  for (int threads = 1; threads <= MAX_THREADS; threads++) {
    double best = 1e9;
    for (int i = 0; i < 8; i++) {
      double t = once(read_memory, &step, threads);
      if (t < best) best = t;
    }
    printf("read memory, %d threads: %.1f GB/s\n", threads, (double)floats * 4 / best * 1e-9);
  }
  free(block);

  /* decoding: one row, weights from memory */
  for (int type = INK_Q4_0; type < INK_DTYPE_COUNT; type++) bench("decode", INK_Q8A, type, 0, 1, 1, 4096, 2048, 0);
  for (int type = INK_F32; type < INK_DTYPE_COUNT; type++) {
    if (type != INK_I32 && type != INK_Q8A) bench("decode", INK_F32, type, 0, 1, 1, 4096, 2048, 0);
  }
  bench("decode", INK_F32, INK_F32, 0, 0, 1, 4096, 2048, 0);
  /* a few sequences at once */
  for (int64_t m = 2; m <= 16; m += m < 4 ? 1 : 4) {
    bench("batch", INK_Q8A, INK_Q4_1, 0, 1, m, 4096, 2048, 0);
    bench("batch", INK_Q8A, INK_Q8_0, 0, 1, m, 4096, 2048, 0);
    bench("batch", INK_F32, INK_F32, 0, 1, m, 4096, 2048, 0);
  }
  /* SmolLM2-135M: one token, and a prompt of 512 */
  static const int64_t smol[][2] = {{192, 576}, {576, 576}, {1536, 576}, {576, 1536}};
  for (int i = 0; i < 4; i++) bench("smol", INK_Q8A, INK_Q4_1, 0, 1, 1, smol[i][0], smol[i][1], 0);
  bench("smol", INK_Q8A, INK_Q8_0, 0, 1, 1, 49152, 576, 0);
  for (int i = 0; i < 4; i++) bench("smol", INK_Q8A, INK_Q4_1, 0, 1, 512, smol[i][0], smol[i][1], 0);
  /* prompts with every type */
  for (int type = INK_Q4_0; type < INK_DTYPE_COUNT; type++) bench("prompt", INK_Q8A, type, 0, 1, 256, 1536, 1536, 1);
  bench("prompt", INK_F32, INK_Q4_1, 0, 1, 256, 1536, 1536, 1);
  bench("prompt", INK_F32, INK_BF16, 0, 1, 256, 1536, 1536, 1);
  /* training */
  for (int64_t size = 256; size <= 2048; size *= 2) {
    for (int t = 0; t < (size == 2048 ? 1 : 4); t++) bench("square", INK_F32, INK_F32, t >> 1, t & 1, size, size, size, 1);
  }
  atomic_store(&turn, -1);
  pthread_join(thread, NULL);
  return 0;
}
