/* The kernels as a Node addon, in plain N-API (version 8).
 *
 *   sourceHash                                what it was built from
 *   variants() -> string[]                    instruction sets that run here, the preferred one first
 *   processor() -> string
 *   allocate(bytes) -> ArrayBuffer            zeroed, page-aligned, taken from the system when touched
 *   map(path) -> ArrayBuffer                  a file's bytes; writing changes this process's copy only
 *   createMemory(bytes) -> memory             as much as the system has, where an ArrayBuffer has a limit
 *   writeMemory(memory, offset, bytes: Uint8Array), readMemory(memory, offset, into: Uint8Array)
 *   createPool(threads, variant?) -> pool     poolThreads(pool), closePool(pool), measureBarrier(pool, rounds) -> ns
 *   createProgram(words: Int32Array, slotBytes: Float64Array, dimMax: Int32Array) -> program
 *   bind(program, slot, bytes: Uint8Array or memory)   the program keeps the memory alive
 *   run(pool, program, dims: Int32Array) -> Promise<nanoseconds in kernels>
 *
 * A pool's thread 0 reports a finished run through a thread-safe function. Pools are stopped before what they use goes away: by
 * closePool, when their environment ends, and at exit. */
#define NAPI_VERSION 8
#include <node_api.h>

#include "dispatch.h"
#include "memory.h"
#include "threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <pthread.h>
#endif

#ifndef INK_SOURCE_HASH
#define INK_SOURCE_HASH ""
#endif

typedef struct pool_object {
  napi_env env;
  ink_threads *threads; /* NULL once closed */
  const ink_kernels *kernels;
  napi_threadsafe_function report;
  int32_t pending;
  int silent; /* no reports any more: the environment is going away */
  struct pool_object *next, *previous; /* all pools that are open, in the process */
} pool_object;

typedef struct {
  ink_program *program;
  void **slots;
  napi_ref *buffers; /* what is bound to each slot */
  pool_object *pool; /* where it runs at present */
  int32_t pending;
} program_object;

typedef struct {
  ink_job job;
  pool_object *pool;
  program_object *program;
  napi_deferred deferred;
  napi_ref pool_ref, program_ref;
  int32_t dims[INK_MAX_DIMS];
} run_object;

typedef struct {
  uint8_t *data;
  size_t bytes;
} memory_object;

static const napi_type_tag memory_tag = {0x4c3e91d5a07f4b86, 0xa28b1f06e95d73c4};
static const napi_type_tag pool_tag = {0x1a6e5d7c90b14f21, 0x8d3fb6a2c45e7019};
static const napi_type_tag program_tag = {0x6b0f83e2d7a94c5d, 0x917c2e4ab8f05d36};

/* ---- what open pools there are, for exit ---- */

#if defined(_WIN32)
static SRWLOCK open_mutex = SRWLOCK_INIT;
static void open_lock(void) { AcquireSRWLockExclusive(&open_mutex); }
static void open_unlock(void) { ReleaseSRWLockExclusive(&open_mutex); }
#else
static pthread_mutex_t open_mutex = PTHREAD_MUTEX_INITIALIZER;
static void open_lock(void) { pthread_mutex_lock(&open_mutex); }
static void open_unlock(void) { pthread_mutex_unlock(&open_mutex); }
#endif
static pool_object *open_pools;

static void stop_threads(pool_object *pool) {
  open_lock();
  ink_threads *threads = pool->threads;
  pool->threads = NULL;
  if (threads) {
    if (pool->previous) pool->previous->next = pool->next;
    else open_pools = pool->next;
    if (pool->next) pool->next->previous = pool->previous;
  }
  open_unlock();
  if (threads) ink_threads_stop(threads);
}

#if !defined(_WIN32)
/* process.exit ends the process without ending environments. (Windows ends all other threads before it unloads anything.) */
static void at_exit(void) {
  while (open_pools) {
    __atomic_store_n(&open_pools->silent, 1, __ATOMIC_SEQ_CST);
    stop_threads(open_pools);
  }
}
#endif

/* ---- errors ---- */

static napi_value throw_text(napi_env env, const char *code, const char *text) {
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (!pending) napi_throw_error(env, code, text);
  return NULL;
}

#define CHECK(call) \
  do { \
    if ((call) != napi_ok) return throw_text(env, "INK_CALL", "wrong arguments for the native library: " #call); \
  } while (0)
#define REQUIRE(condition, code, text) \
  do { \
    if (!(condition)) return throw_text(env, code, text); \
  } while (0)

static void describe(char *text, size_t size, const ink_error *error) {
  if (error->step >= 0) snprintf(text, size, "step %d: %s", error->step, error->text);
  else if (error->tensor >= 0) snprintf(text, size, "tensor %d: %s", error->tensor, error->text);
  else snprintf(text, size, "%s", error->text);
}

static void *unwrap(napi_env env, napi_value value, const napi_type_tag *tag) {
  bool ours = false;
  void *object = NULL;
  if (napi_check_object_type_tag(env, value, tag, &ours) != napi_ok || !ours) return NULL;
  return napi_unwrap(env, value, &object) == napi_ok ? object : NULL;
}

/* The memory of a typed array of one type; NULL with a length of 0 is an empty array, -1 not such an array. */
static int64_t typed_array(napi_env env, napi_value value, napi_typedarray_type type, void **data) {
  bool is_array = false;
  napi_typedarray_type actual;
  size_t length = 0;
  *data = NULL;
  if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array) return -1;
  if (napi_get_typedarray_info(env, value, &actual, &length, data, NULL, NULL) != napi_ok || actual != type) return -1;
  return (int64_t)length;
}

/* ---- memory ---- */

static void free_allocated(napi_env env, void *data, void *bytes) {
  (void)env;
  ink_memory_release(data, (size_t)(uintptr_t)bytes);
}
static void free_mapped(napi_env env, void *data, void *bytes) {
  (void)env;
  ink_file_unmap(data, (uint64_t)(uintptr_t)bytes);
}

static napi_value allocate(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1], buffer;
  double bytes;
  CHECK(napi_get_cb_info(env, info, &argc, argv, NULL, NULL));
  REQUIRE(argc == 1, "INK_CALL", "allocate(bytes)");
  CHECK(napi_get_value_double(env, argv[0], &bytes));
  REQUIRE(bytes >= 0 && bytes <= 9007199254740991.0, "INK_CALL", "allocate: not a number of bytes");
  const size_t size = (size_t)bytes;
  if (size == 0) {
    void *none;
    CHECK(napi_create_arraybuffer(env, 0, &none, &buffer));
    return buffer;
  }
  void *memory = ink_memory_allocate(size);
  REQUIRE(memory, "INK_MEMORY", "the system has not so much memory");
  if (napi_create_external_arraybuffer(env, memory, size, free_allocated, (void *)(uintptr_t)size, &buffer) != napi_ok) {
    ink_memory_release(memory, size);
    return throw_text(env, "INK_MEMORY", "this JavaScript engine takes no memory from outside, or not so much");
  }
  return buffer;
}

static napi_value map_file(napi_env env, napi_callback_info info) {
  size_t argc = 1, length;
  napi_value argv[1], buffer;
  CHECK(napi_get_cb_info(env, info, &argc, argv, NULL, NULL));
  REQUIRE(argc == 1, "INK_CALL", "map(path)");
  CHECK(napi_get_value_string_utf8(env, argv[0], NULL, 0, &length));
  char *path = malloc(length + 1);
  REQUIRE(path, "INK_MEMORY", "out of memory");
  void *memory = NULL;
  uint64_t bytes = 0;
  const napi_status status = napi_get_value_string_utf8(env, argv[0], path, length + 1, &length);
  const int problem = status != napi_ok || strlen(path) != length ? -1 : ink_file_map(path, &memory, &bytes);
  free(path);
  if (problem) return throw_text(env, "INK_FILE", problem < 0 ? "not a path" : strerror(problem));
  if (!memory) {
    void *none;
    CHECK(napi_create_arraybuffer(env, 0, &none, &buffer));
    return buffer;
  }
  if (napi_create_external_arraybuffer(env, memory, (size_t)bytes, free_mapped, (void *)(uintptr_t)bytes, &buffer) != napi_ok) {
    ink_file_unmap(memory, bytes);
    return throw_text(env, "INK_MEMORY", "this JavaScript engine takes no memory from outside, or not so much");
  }
  return buffer;
}

static void free_memory(napi_env env, void *data, void *hint) {
  (void)hint;
  memory_object *memory = data;
  int64_t total;
  napi_adjust_external_memory(env, -(int64_t)memory->bytes, &total);
  ink_memory_release(memory->data, memory->bytes);
  free(memory);
}

static napi_value create_memory(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1], object;
  double bytes;
  int64_t total;
  CHECK(napi_get_cb_info(env, info, &argc, argv, NULL, NULL));
  REQUIRE(argc == 1, "INK_CALL", "createMemory(bytes)");
  CHECK(napi_get_value_double(env, argv[0], &bytes));
  REQUIRE(bytes >= 0 && bytes <= 9007199254740991.0, "INK_CALL", "createMemory: not a number of bytes");
  memory_object *memory = malloc(sizeof *memory);
  REQUIRE(memory, "INK_MEMORY", "out of memory");
  memory->bytes = (size_t)bytes;
  memory->data = ink_memory_allocate(memory->bytes);
  if (!memory->data) {
    free(memory);
    return throw_text(env, "INK_MEMORY", "the system has not so much memory");
  }
  if (napi_create_object(env, &object) != napi_ok || napi_type_tag_object(env, object, &memory_tag) != napi_ok ||
      napi_wrap(env, object, memory, free_memory, NULL, NULL) != napi_ok) {
    ink_memory_release(memory->data, memory->bytes);
    free(memory);
    return throw_text(env, "INK_CALL", "cannot make memory");
  }
  /* The collector is to know what hangs on this small object. */
  CHECK(napi_adjust_external_memory(env, (int64_t)memory->bytes, &total));
  return object;
}

/* Bytes between a memory and an array, one way or the other. */
static napi_value move_bytes(napi_env env, napi_callback_info info, int writes) {
  size_t argc = 3;
  napi_value argv[3];
  double offset;
  void *bytes;
  CHECK(napi_get_cb_info(env, info, &argc, argv, NULL, NULL));
  memory_object *memory = argc == 3 ? unwrap(env, argv[0], &memory_tag) : NULL;
  REQUIRE(memory, "INK_CALL", "writeMemory or readMemory(memory, offset, bytes)");
  CHECK(napi_get_value_double(env, argv[1], &offset));
  const int64_t length = typed_array(env, argv[2], napi_uint8_array, &bytes);
  REQUIRE(length >= 0, "INK_CALL", "writeMemory, readMemory: not a Uint8Array");
  const double room = (double)memory->bytes - (double)length;
  REQUIRE(offset >= 0 && offset <= room && offset == (double)(uint64_t)offset, "INK_CALL", "writeMemory, readMemory: outside the memory");
  uint8_t *place = memory->data + (uint64_t)offset;
  if (length && writes) memcpy(place, bytes, (size_t)length);
  else if (length) memcpy(bytes, place, (size_t)length);
  return NULL;
}
static napi_value write_memory(napi_env env, napi_callback_info info) { return move_bytes(env, info, 1); }
static napi_value read_memory(napi_env env, napi_callback_info info) { return move_bytes(env, info, 0); }

/* ---- pools ---- */

static void environment_ends(void *data) {
  pool_object *pool = data;
  pool->silent = 1;
  stop_threads(pool);
}

static void close_pool(pool_object *pool) {
  if (!pool->threads) return;
  napi_remove_env_cleanup_hook(pool->env, environment_ends, pool);
  stop_threads(pool);
  napi_release_threadsafe_function(pool->report, napi_tsfn_release);
}

static void free_pool(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  close_pool(data);
  free(data);
}

/* On the JavaScript thread, after a run. */
static void finish_run(napi_env env, napi_value callback, void *context, void *data) {
  (void)callback;
  (void)context;
  run_object *run = data;
  if (env) {
    napi_handle_scope scope;
    napi_open_handle_scope(env, &scope);
    if (--run->pool->pending == 0 && run->pool->threads) napi_unref_threadsafe_function(env, run->pool->report);
    run->program->pending--;
    napi_value value = NULL, text, code;
    napi_get_undefined(env, &value);
    if (run->job.error.text) {
      char message[256];
      describe(message, sizeof message, &run->job.error);
      napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text);
      napi_create_string_utf8(env, "INK_RUN", NAPI_AUTO_LENGTH, &code);
      napi_create_error(env, code, text, &value);
      napi_reject_deferred(env, run->deferred, value);
    } else {
      napi_create_double(env, run->job.nanoseconds, &value);
      napi_resolve_deferred(env, run->deferred, value);
    }
    napi_delete_reference(env, run->program_ref);
    napi_delete_reference(env, run->pool_ref);
    napi_close_handle_scope(env, scope);
  }
  free(run);
}

/* On the pool's thread 0, after a run. */
static void report_run(ink_job *job) {
  run_object *run = job->data;
  if (__atomic_load_n(&run->pool->silent, __ATOMIC_SEQ_CST)) return; /* the process or environment ends: its memory goes with it */
  napi_call_threadsafe_function(run->pool->report, run, napi_tsfn_nonblocking);
}

static napi_value create_pool(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2], object, name;
  int32_t count;
  CHECK(napi_get_cb_info(env, info, &argc, argv, NULL, NULL));
  REQUIRE(argc >= 1, "INK_CALL", "createPool(threads, variant?)");
  CHECK(napi_get_value_int32(env, argv[0], &count));
  REQUIRE(count >= 1 && count <= INK_MAX_THREADS, "INK_CALL", "createPool: threads must be 1 to 256");
  char variant[32] = "";
  napi_valuetype type = napi_undefined;
  if (argc > 1) CHECK(napi_typeof(env, argv[1], &type));
  if (type != napi_undefined) CHECK(napi_get_value_string_utf8(env, argv[1], variant, sizeof variant, NULL));
  const ink_kernels *kernels = ink_choose(variant[0] ? variant : NULL);
  REQUIRE(kernels, "INK_VARIANT", "this processor or this build has no such variant");

  pool_object *pool = calloc(1, sizeof *pool);
  REQUIRE(pool, "INK_MEMORY", "out of memory");
  pool->env = env;
  pool->kernels = kernels;
  if (napi_create_object(env, &object) != napi_ok || napi_type_tag_object(env, object, &pool_tag) != napi_ok ||
      napi_wrap(env, object, pool, free_pool, NULL, NULL) != napi_ok) {
    free(pool);
    return throw_text(env, "INK_CALL", "cannot make a pool");
  }
  CHECK(napi_create_string_utf8(env, "inkstone run", NAPI_AUTO_LENGTH, &name));
  CHECK(napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, NULL, NULL, NULL, finish_run, &pool->report));
  CHECK(napi_unref_threadsafe_function(env, pool->report));
  pool->threads = ink_threads_start(count);
  if (!pool->threads) {
    napi_release_threadsafe_function(pool->report, napi_tsfn_abort);
    return throw_text(env, "INK_MEMORY", "the system gives no thread, or no memory for one");
  }
  /* After the thread-safe function: hooks run in reverse, so the threads end before it does. */
  napi_add_env_cleanup_hook(env, environment_ends, pool);
  open_lock();
  pool->next = open_pools;
  if (open_pools) open_pools->previous = pool;
  open_pools = pool;
  open_unlock();
  return object;
}

static pool_object *pool_argument(napi_env env, napi_callback_info info, size_t *argc, napi_value *argv) {
  if (napi_get_cb_info(env, info, argc, argv, NULL, NULL) != napi_ok || *argc < 1) return NULL;
  return unwrap(env, argv[0], &pool_tag);
}

static napi_value pool_threads(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1], result;
  pool_object *pool = pool_argument(env, info, &argc, argv);
  REQUIRE(pool, "INK_CALL", "poolThreads(pool)");
  CHECK(napi_create_int32(env, pool->threads ? ink_threads_count(pool->threads) : 0, &result));
  return result;
}

static napi_value pool_variant(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1], result;
  pool_object *pool = pool_argument(env, info, &argc, argv);
  REQUIRE(pool, "INK_CALL", "poolVariant(pool)");
  CHECK(napi_create_string_utf8(env, pool->kernels->name, NAPI_AUTO_LENGTH, &result));
  return result;
}

static napi_value close_pool_call(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  pool_object *pool = pool_argument(env, info, &argc, argv);
  REQUIRE(pool, "INK_CALL", "closePool(pool)");
  close_pool(pool);
  return NULL;
}

static napi_value measure_barrier(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2], result;
  int32_t rounds = 0;
  pool_object *pool = pool_argument(env, info, &argc, argv);
  REQUIRE(pool && argc == 2, "INK_CALL", "measureBarrier(pool, rounds)");
  REQUIRE(pool->threads && pool->pending == 0, "INK_CLOSED", "the pool is closed or busy");
  CHECK(napi_get_value_int32(env, argv[1], &rounds));
  REQUIRE(rounds >= 1, "INK_CALL", "measureBarrier: at least one round");
  CHECK(napi_create_double(env, ink_threads_measure_barrier(pool->threads, rounds), &result));
  return result;
}

/* ---- programs ---- */

static void free_program(napi_env env, void *data, void *hint) {
  (void)hint;
  program_object *p = data;
  for (int32_t i = 0; p->buffers && i < p->program->slot_count; i++) {
    if (p->buffers[i]) napi_delete_reference(env, p->buffers[i]);
  }
  free(p->program);
  free(p->buffers);
  free(p->slots);
  free(p);
}

static napi_value create_program(napi_env env, napi_callback_info info) {
  size_t argc = 3;
  napi_value argv[3], object;
  void *words, *slot_values, *dim_max;
  CHECK(napi_get_cb_info(env, info, &argc, argv, NULL, NULL));
  REQUIRE(argc == 3, "INK_CALL", "createProgram(words, slotBytes, dimMax)");
  const int64_t word_count = typed_array(env, argv[0], napi_int32_array, &words);
  const int64_t slot_count = typed_array(env, argv[1], napi_float64_array, &slot_values);
  const int64_t dim_count = typed_array(env, argv[2], napi_int32_array, &dim_max);
  REQUIRE(word_count >= 0 && slot_count >= 0 && dim_count >= 0, "INK_CALL", "createProgram: an Int32Array, a Float64Array and an Int32Array");
  const size_t size = ink_program_size(words, word_count);
  REQUIRE(size, "INK_PROGRAM", "not a program of this version");
  const int32_t *header = words;
  REQUIRE(header[2] == dim_count && header[3] == slot_count, "INK_PROGRAM", "another number of slots or dimension variables");

  program_object *p = calloc(1, sizeof *p);
  uint64_t *slot_bytes = malloc((size_t)slot_count * sizeof *slot_bytes);
  if (p) {
    p->program = malloc(size);
    p->slots = calloc((size_t)slot_count, sizeof *p->slots);
    p->buffers = calloc((size_t)slot_count, sizeof *p->buffers);
  }
  ink_error error = {"out of memory", -1, -1};
  int ready = p && slot_bytes && p->program && p->slots && p->buffers;
  if (ready) {
    const double *bytes = slot_values;
    for (int64_t i = 0; i < slot_count; i++) slot_bytes[i] = bytes[i] >= 0 && bytes[i] <= 9007199254740991.0 ? (uint64_t)bytes[i] : 0;
    ready = !ink_program_load(p->program, words, word_count, slot_bytes, dim_max, &error);
  }
  free(slot_bytes);
  if (ready && (napi_create_object(env, &object) != napi_ok || napi_type_tag_object(env, object, &program_tag) != napi_ok ||
                napi_wrap(env, object, p, free_program, NULL, NULL) != napi_ok)) {
    error = (ink_error){"cannot make a program", -1, -1};
    ready = 0;
  }
  if (ready) return object;
  if (p) {
    free(p->program);
    free(p->slots);
    free(p->buffers);
    free(p);
  }
  char text[256];
  describe(text, sizeof text, &error);
  return throw_text(env, "INK_PROGRAM", text);
}

static napi_value bind_slot(napi_env env, napi_callback_info info) {
  size_t argc = 3;
  napi_value argv[3];
  int32_t slot;
  void *data;
  CHECK(napi_get_cb_info(env, info, &argc, argv, NULL, NULL));
  program_object *p = argc == 3 ? unwrap(env, argv[0], &program_tag) : NULL;
  REQUIRE(p, "INK_CALL", "bind(program, slot, bytes)");
  CHECK(napi_get_value_int32(env, argv[1], &slot));
  const memory_object *memory = unwrap(env, argv[2], &memory_tag);
  int64_t length;
  if (memory) {
    data = memory->data;
    length = (int64_t)memory->bytes;
  } else {
    length = typed_array(env, argv[2], napi_uint8_array, &data);
  }
  REQUIRE(length >= 0 && slot >= 0 && slot < p->program->slot_count, "INK_CALL", "bind: no such slot, or neither a Uint8Array nor memory");
  REQUIRE((uint64_t)length >= p->program->slot_bytes[slot], "INK_PROGRAM", "the memory is smaller than the program was loaded for");
  REQUIRE(!length || (uintptr_t)data % 4 == 0, "INK_PROGRAM", "the memory must be aligned to 4 bytes");
  REQUIRE(p->pending == 0, "INK_BUSY", "the program is running");
  napi_ref reference;
  CHECK(napi_create_reference(env, argv[2], 1, &reference));
  if (p->buffers[slot]) napi_delete_reference(env, p->buffers[slot]);
  p->buffers[slot] = reference;
  p->slots[slot] = data;
  return NULL;
}

static napi_value run_program(napi_env env, napi_callback_info info) {
  size_t argc = 3;
  napi_value argv[3], promise;
  void *dims;
  CHECK(napi_get_cb_info(env, info, &argc, argv, NULL, NULL));
  pool_object *pool = argc == 3 ? unwrap(env, argv[0], &pool_tag) : NULL;
  program_object *p = argc == 3 ? unwrap(env, argv[1], &program_tag) : NULL;
  REQUIRE(pool && p, "INK_CALL", "run(pool, program, dims)");
  REQUIRE(pool->threads, "INK_CLOSED", "the backend is closed");
  REQUIRE(p->pending == 0 || p->pool == pool, "INK_BUSY", "the program is running in another pool");
  const int64_t dim_count = typed_array(env, argv[2], napi_int32_array, &dims);
  REQUIRE(dim_count == p->program->dim_count, "INK_CALL", "run: one value for each dimension variable");
  for (int32_t i = 0; i < p->program->slot_count; i++) {
    REQUIRE(p->buffers[i], "INK_CALL", "run: a slot has no memory");
  }
  run_object *run = calloc(1, sizeof *run);
  REQUIRE(run, "INK_MEMORY", "out of memory");
  run->pool = pool;
  run->program = p;
  if (dim_count) memcpy(run->dims, dims, (size_t)dim_count * sizeof(int32_t));
  run->job = (ink_job){
    .program = p->program, .slots = p->slots, .dims = run->dims, .kernels = pool->kernels, .done = report_run, .data = run,
  };
  if (napi_create_reference(env, argv[0], 1, &run->pool_ref) != napi_ok ||
      napi_create_reference(env, argv[1], 1, &run->program_ref) != napi_ok ||
      napi_create_promise(env, &run->deferred, &promise) != napi_ok) {
    free(run);
    return throw_text(env, "INK_CALL", "cannot make a promise");
  }
  if (pool->pending++ == 0) napi_ref_threadsafe_function(env, pool->report);
  p->pending++;
  p->pool = pool;
  ink_threads_post(pool->threads, &run->job);
  return promise;
}

/* ---- the rest ---- */

static napi_value variants(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value list, name;
  const ink_kernels *tables[INK_MAX_TABLES];
  const int n = ink_tables(tables);
  CHECK(napi_create_array(env, &list));
  for (int i = 0; i < n; i++) {
    CHECK(napi_create_string_utf8(env, tables[i]->name, NAPI_AUTO_LENGTH, &name));
    CHECK(napi_set_element(env, list, (uint32_t)i, name));
  }
  return list;
}

static napi_value processor(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value result;
  char text[64];
  ink_processor_name(text, sizeof text);
  CHECK(napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &result));
  return result;
}

NAPI_MODULE_INIT() {
  const struct { const char *name; napi_callback call; } functions[] = {
    {"variants", variants}, {"processor", processor}, {"allocate", allocate}, {"map", map_file},
    {"createMemory", create_memory}, {"writeMemory", write_memory}, {"readMemory", read_memory}, {"createPool", create_pool},
    {"poolThreads", pool_threads}, {"poolVariant", pool_variant}, {"closePool", close_pool_call}, {"measureBarrier", measure_barrier},
    {"createProgram", create_program}, {"bind", bind_slot}, {"run", run_program},
  };
  napi_value value;
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    CHECK(napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL, &value));
    CHECK(napi_set_named_property(env, exports, functions[i].name, value));
  }
  CHECK(napi_create_string_utf8(env, INK_SOURCE_HASH, NAPI_AUTO_LENGTH, &value));
  CHECK(napi_set_named_property(env, exports, "sourceHash", value));
#if !defined(_WIN32)
  static int registered;
  open_lock();
  if (!registered) {
    registered = 1;
    atexit(at_exit);
  }
  open_unlock();
#endif
  return exports;
}
