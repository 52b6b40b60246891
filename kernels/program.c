/* Loading, binding and running programs. See program.h for the encoding. */
#include "program.h"

#include "pool.h"

#include <string.h>

const ink_dtype_size ink_dtype_sizes[INK_DTYPE_COUNT] = {
  [INK_F32] = {1, 4}, [INK_F16] = {1, 2}, [INK_BF16] = {1, 2}, [INK_I32] = {1, 4}, [INK_Q8A] = {32, 40},
  [INK_Q4_0] = {32, 18}, [INK_Q4_1] = {32, 20}, [INK_Q5_0] = {32, 22}, [INK_Q5_1] = {32, 24}, [INK_Q8_0] = {32, 34},
  [INK_Q2_K] = {256, 84}, [INK_Q3_K] = {256, 110}, [INK_Q4_K] = {256, 144}, [INK_Q5_K] = {256, 176},
  [INK_Q6_K] = {256, 210}, [INK_IQ4_NL] = {32, 18}, [INK_IQ4_XS] = {256, 136}, [INK_MXFP4] = {32, 17},
};

/* Lengths beyond this are refused: far above any memory, far below what int64 products can hold. */
#define SIZE_LIMIT ((uint64_t)1 << 46)
#define HEADER_WORDS 6

static size_t round_up(size_t n) { return (n + 63) & ~(size_t)63; }

/* The parts of the memory of a program, one after another. */
typedef struct {
  size_t dim_max, slot_bytes, sources, tensors, steps, bound_checks, words, total;
} layout;

static int read_layout(const int32_t *words, int64_t word_count, layout *at) {
  if (word_count < HEADER_WORDS || word_count > INT32_MAX) return -1;
  if (words[0] != INK_MAGIC || words[1] != INK_VERSION) return -1;
  const int64_t dims = words[2], slots = words[3], tensors = words[4], steps = words[5];
  if (dims < 0 || dims > INK_MAX_DIMS || slots < 1 || tensors < 0 || steps < 0) return -1;
  /* A tensor takes 10 words and a step at least 7; slots are bounded by the tensors that could lie in them. */
  if (HEADER_WORDS + tensors * INK_TENSOR_WORDS + steps * 7 > word_count || slots > word_count + 1) return -1;
  size_t n = round_up(sizeof(ink_program));
  at->dim_max = n; n += round_up((size_t)dims * sizeof(int32_t));
  at->slot_bytes = n; n += round_up((size_t)slots * sizeof(uint64_t));
  at->sources = n; n += round_up((size_t)tensors * sizeof(ink_source));
  at->tensors = n; n += round_up((size_t)tensors * sizeof(ink_tensor));
  at->steps = n; n += round_up((size_t)steps * sizeof(ink_step));
  at->bound_checks = n; n += round_up((size_t)steps * sizeof(int32_t));
  at->words = n; n += round_up((size_t)word_count * sizeof(int32_t));
  at->total = n;
  return 0;
}

size_t ink_program_size(const int32_t *words, int64_t word_count) {
  layout at;
  return read_layout(words, word_count, &at) ? 0 : at.total;
}

static int fail(ink_error *error, const char *text, int32_t step, int32_t tensor) {
  *error = (ink_error){text, step, tensor};
  return -1;
}

static const char *load_tensor(const ink_program *program, const int32_t *w, ink_source *source) {
  *source = (ink_source){.dtype = w[0], .slot = w[1], .rank = w[4], .offset = (uint32_t)w[2] | (uint64_t)(uint32_t)w[3] << 32};
  if (source->dtype < 0 || source->dtype >= INK_DTYPE_COUNT) return "unknown element type";
  if (source->slot < 0 || source->slot >= program->slot_count) return "slot out of range";
  if (source->rank < 0 || source->rank > INK_MAX_RANK) return "more than five dimensions";
  const ink_dtype_size size = ink_dtype_sizes[source->dtype];
  uint64_t count = 1;
  for (int i = 0; i < INK_MAX_RANK; i++) {
    const int32_t d = w[5 + i];
    source->dim[i] = i < source->rank ? d : 1;
    if (i >= source->rank) continue;
    if (d < 0 && -1 - d >= program->dim_count) return "dimension variable out of range";
    const uint64_t length = (uint64_t)(d < 0 ? program->dim_max[-1 - d] : d);
    if (length && count > SIZE_LIMIT / length) return "tensor too large";
    count *= length;
  }
  if (size.block > 1) {
    if (source->rank < 1) return "a block type needs a dimension";
    const int32_t last = source->dim[source->rank - 1];
    if (last < 0 || last % size.block) return "rows of a block type must be whole blocks";
  }
  const uint64_t bytes = count / (uint64_t)size.block * (uint64_t)size.bytes;
  const uint64_t room = program->slot_bytes[source->slot];
  if (bytes > room || source->offset > room - bytes) return "tensor outside its slot";
  const uint64_t alignment = size.bytes == 2 ? 2 : size.block == 1 || source->dtype == INK_Q8A ? 4 : 1;
  if (source->offset % alignment) return "tensor not aligned to its elements";
  return NULL;
}

/* One step from words w[0 … room-1]; returns how many it took, or 0. Inputs are still numbers of tensors: they go to `inputs`. */
static int32_t load_step(const ink_program *program, const int32_t *w, int64_t room, ink_step *step, int32_t *inputs,
                         int32_t *output, const char **text) {
  *text = "step cut short";
  const int32_t length = room > 0 ? w[0] : 0;
  if (length < 7 || length > room) return 0;
  const int32_t input_count = w[3];
  *text = "too many inputs";
  if (input_count < 0 || input_count > INK_MAX_INPUTS || 7 + input_count > length) return 0;
  const int32_t int_count = w[5 + input_count];
  *text = "numbers of a step do not fill it";
  if (int_count < 0 || int_count > length - 7 - input_count) return 0;
  const int32_t float_count = w[6 + input_count + int_count];
  if (float_count < 0 || float_count != length - 7 - input_count - int_count) return 0;
  *step = (ink_step){
    .opcode = w[1], .barrier = w[2] & 1, .input_count = input_count, .int_count = int_count, .float_count = float_count,
    .ints = w + 6 + input_count, .floats = (const float *)(w + 7 + input_count + int_count),
  };
  *text = "unknown opcode";
  if (step->opcode < 0 || step->opcode >= INK_OPCODE_COUNT) return 0;
  *text = "tensor number out of range";
  for (int i = 0; i < input_count; i++) {
    inputs[i] = w[4 + i];
    if (inputs[i] < -1 || inputs[i] >= program->tensor_count) return 0;
    step->input[i] = inputs[i] < 0 ? NULL : &program->tensors[inputs[i]];
  }
  *output = w[4 + input_count];
  if (*output < 0 || *output >= program->tensor_count) return 0;
  step->output = &program->tensors[*output];
  *text = ink_check_step(program, step, inputs, *output);
  return *text ? 0 : length;
}

int ink_program_load(void *memory, const int32_t *words, int64_t word_count, const uint64_t *slot_bytes,
                     const int32_t *dim_max, ink_error *error) {
  layout at;
  if (read_layout(words, word_count, &at)) return fail(error, "not a program of this version", -1, -1);
  uint8_t *base = memory;
  memset(base, 0, at.words);
  ink_program *program = memory;
  *program = (ink_program){
    .magic = INK_MAGIC,
    .dim_count = words[2], .slot_count = words[3], .tensor_count = words[4], .step_count = words[5],
    .dim_max = (int32_t *)(void *)(base + at.dim_max), .slot_bytes = (uint64_t *)(void *)(base + at.slot_bytes),
    .sources = (ink_source *)(void *)(base + at.sources), .tensors = (ink_tensor *)(void *)(base + at.tensors),
    .steps = (ink_step *)(void *)(base + at.steps), .bound_checks = (int32_t *)(void *)(base + at.bound_checks),
    .words = (int32_t *)(void *)(base + at.words),
  };
  memcpy(program->words, words, (size_t)word_count * sizeof(int32_t));
  if (program->dim_count) memcpy(program->dim_max, dim_max, (size_t)program->dim_count * sizeof(int32_t));
  memcpy(program->slot_bytes, slot_bytes, (size_t)program->slot_count * sizeof(uint64_t));
  for (int i = 0; i < program->dim_count; i++) {
    if (program->dim_max[i] < 0) return fail(error, "negative bound of a dimension variable", -1, -1);
  }
  const int32_t *w = program->words + HEADER_WORDS;
  for (int32_t i = 0; i < program->tensor_count; i++, w += INK_TENSOR_WORDS) {
    const char *text = load_tensor(program, w, &program->sources[i]);
    if (text) return fail(error, text, -1, i);
    program->tensors[i] = (ink_tensor){.dtype = program->sources[i].dtype, .rank = program->sources[i].rank};
  }
  const int32_t *end = program->words + word_count;
  for (int32_t i = 0; i < program->step_count; i++) {
    int32_t inputs[INK_MAX_INPUTS], output;
    const char *text;
    const int32_t taken = load_step(program, w, end - w, &program->steps[i], inputs, &output, &text);
    if (!taken) return fail(error, text, i, -1);
    if (ink_needs_bound_check(&program->steps[i])) program->bound_checks[program->bound_check_count++] = i;
    w += taken;
  }
  if (w != end) return fail(error, "words after the last step", -1, -1);
  *error = (ink_error){NULL, -1, -1};
  return 0;
}

int ink_program_bind(ink_program *program, void *const *slots, const int32_t *dims, ink_error *error) {
  for (int32_t i = 0; i < program->dim_count; i++) {
    if (dims[i] < 0 || dims[i] > program->dim_max[i]) return fail(error, "dimension variable outside its bounds", -1, -1);
  }
  for (int32_t i = 0; i < program->tensor_count; i++) {
    const ink_source *source = &program->sources[i];
    ink_tensor *tensor = &program->tensors[i];
    for (int k = 0; k < INK_MAX_RANK; k++) {
      const int32_t d = source->dim[k];
      tensor->dim[k] = d < 0 ? dims[-1 - d] : d;
    }
    tensor->data = (uint8_t *)slots[source->slot] + source->offset;
  }
  for (int32_t i = 0; i < program->bound_check_count; i++) {
    const char *text = ink_check_bound(&program->steps[program->bound_checks[i]]);
    if (text) return fail(error, text, program->bound_checks[i], -1);
  }
  *error = (ink_error){NULL, -1, -1};
  return 0;
}

void ink_program_run(const ink_program *program, const ink_kernels *kernels, const ink_worker *worker) {
  for (int32_t i = 0; i < program->step_count; i++) {
    const ink_step *step = &program->steps[i];
    if (step->barrier) {
      ink_barrier(worker);
      if (ink_cancelled(worker)) return;
    }
    kernels->kernel[step->opcode](step, worker);
  }
}
