/* The WebAssembly host: what JavaScript calls. Each thread is an instance of this module over one shared memory, with a stack of its
 * own that JavaScript gives it. JavaScript hands out all other memory too (src/backends/wasm/memory.ts).
 *
 * Threads of a context wait in ink_wasm_work; a run is posted by another instance, and thread 0 reports its end through the imported
 * ink_report. A context of one thread needs no worker: ink_wasm_run does the run at once. */
#include "pool.h"
#include "program.h"

#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name))) name
#define IMPORT(name) __attribute__((import_module("env"), import_name(#name))) name

/* 0, or 1 when the run was refused: the context's error says why. */
extern void IMPORT(ink_report)(int32_t refused);
extern const ink_kernels ink_table_wasm_simd;

typedef struct {
  ink_pool pool;
  ink_event posted;
  int32_t count, stop;
  uint8_t *memory; /* scratch of each thread, then what they share */
  ink_program *program;
  void *const *slots;
  const int32_t *dims;
  ink_error error;
} context;

/* Between looks at a word: about as long as the native pool's. */
enum { IDLE_SPINS = 20000 };

uint32_t EXPORT(ink_wasm_context_bytes)(void) { return sizeof(context); }
uint32_t EXPORT(ink_wasm_thread_bytes)(int32_t count) { return INK_SCRATCH * (uint32_t)count + INK_SHARED; }
uint32_t EXPORT(ink_wasm_program_bytes)(const int32_t *words, int32_t count) { return ink_program_size(words, count); }

void EXPORT(ink_wasm_init)(context *c, int32_t count, uint8_t *memory) {
  memset(c, 0, sizeof *c);
  ink_pool_init(&c->pool, (uint32_t)count);
  c->count = count;
  c->memory = memory;
}

int32_t EXPORT(ink_wasm_load)(context *c, void *memory, const int32_t *words, int32_t count, const uint64_t *slot_bytes,
                              const int32_t *dim_max) {
  return ink_program_load(memory, words, count, slot_bytes, dim_max, &c->error);
}

const char *EXPORT(ink_wasm_error)(const context *c) { return c->error.text; }
int32_t EXPORT(ink_wasm_error_step)(const context *c) { return c->error.step; }
int32_t EXPORT(ink_wasm_error_tensor)(const context *c) { return c->error.tensor; }

static ink_worker worker_of(context *c, int32_t index) {
  return (ink_worker){
    .index = index, .count = c->count, .scratch = c->memory + INK_SCRATCH * (uint32_t)index,
    .shared = c->memory + INK_SCRATCH * (uint32_t)c->count, .pool = &c->pool,
  };
}

int32_t EXPORT(ink_wasm_run)(context *c, ink_program *program, void *const *slots, const int32_t *dims) {
  if (ink_program_bind(program, slots, dims, &c->error)) return 1;
  const ink_worker worker = worker_of(c, 0);
  ink_program_run(program, &ink_table_wasm_simd, &worker);
  return 0;
}

/* One run at a time: the next is posted after the report of the one before. */
void EXPORT(ink_wasm_post)(context *c, ink_program *program, void *const *slots, const int32_t *dims) {
  c->program = program;
  c->slots = slots;
  c->dims = dims;
  ink_event_set(&c->posted, c->posted.value + 1);
}
void EXPORT(ink_wasm_stop)(context *c) {
  c->stop = 1;
  ink_event_set(&c->posted, c->posted.value + 1);
}

void EXPORT(ink_wasm_work)(context *c, int32_t index) {
  const ink_worker worker = worker_of(c, index);
  for (uint32_t done = 0;; done++) {
    ink_event_wait(&c->posted, done, IDLE_SPINS);
    if (c->stop) return;
    if (index == 0) ink_program_bind(c->program, c->slots, c->dims, &c->error);
    ink_barrier(&worker);
    const int refused = c->error.text != 0;
    if (!refused) ink_program_run(c->program, &ink_table_wasm_simd, &worker);
    ink_barrier(&worker);
    if (index == 0) ink_report(refused);
  }
}
