/* ELEMENTWISE: a straight-line program, CHUNK elements at a time. Each instruction is a loop over a chunk whose operands lie in the first
 * level cache; all inputs of a chunk are read before its result is written, so the result may replace an input. */
#include "mathv.h"

enum { CHUNK = 512, MAX_AXES = INK_MAX_RANK };

enum code {
  ADD = 0, SUB, MUL, DIV, MAXIMUM, MINIMUM, GREATER, WHERE, AFFINE, CLAMP, NEG, EXP, LOG, SQRT, RSQRT, RECIPROCAL, ABS, SQUARE, TANH,
  SIGMOID, RELU, ERF, GELU, GELU_TANH, SILU, GELU_GRAD, GELU_TANH_GRAD, SILU_GRAD
};

/* The loops over a chunk of n: whole vectors, then the rest through a partial one. */
#define UNARY(expression) \
  do { \
    int64_t i = 0; \
    for (; i + 8 <= n; i += 8) { \
      const v8f x = v8_load(a + i); \
      v8_store(y + i, expression); \
    } \
    if (i < n) { \
      const v8f x = v8_load_part(a + i, n - i, 1.0f); \
      v8_store_part(y + i, expression, n - i); \
    } \
  } while (0)
#define BINARY(expression) \
  do { \
    int64_t i = 0; \
    for (; i + 8 <= n; i += 8) { \
      const v8f p = v8_load(a + i), q = v8_load(b + i); \
      v8_store(y + i, expression); \
    } \
    if (i < n) { \
      const v8f p = v8_load_part(a + i, n - i, 1.0f), q = v8_load_part(b + i, n - i, 1.0f); \
      v8_store_part(y + i, expression, n - i); \
    } \
  } while (0)

static void where(const float *c, const float *a, const float *b, float *y, int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) v8_store(y + i, v8_select((v8i)(v8_load(c + i) != 0.0f), v8_load(a + i), v8_load(b + i)));
  for (; i < n; i++) y[i] = c[i] != 0.0f ? a[i] : b[i];
}

static void instruction(int32_t code, const float *a, const float *b, const float *c, const float *s, float *y, int64_t n) {
  const float s0 = s[0], s1 = s[1];
  switch (code) {
    case ADD: BINARY(p + q); break;
    case SUB: BINARY(p - q); break;
    case MUL: BINARY(p * q); break;
    case DIV: BINARY(p / q); break;
    /* NaN in either gives NaN */
    case MAXIMUM: BINARY(v8_select((v8i)(p > q) | (v8i)(p != p), p, q)); break;
    case MINIMUM: BINARY(v8_select((v8i)(p < q) | (v8i)(p != p), p, q)); break;
    case GREATER: BINARY(v8_select((v8i)(p > q), v8_set(1.0f), v8_zero())); break;
    case WHERE: where(a, b, c, y, n); break;
    case AFFINE: UNARY(x * s0 + s1); break;
    case CLAMP: UNARY(v8_select((v8i)(x < s0), v8_set(s0), v8_select((v8i)(x > s1), v8_set(s1), x))); break;
    case NEG: UNARY(-x); break;
    case EXP: UNARY(v8_exp(x)); break;
    case LOG: UNARY(v8_log(x)); break;
    case SQRT: UNARY(v8_sqrt(x)); break;
    case RSQRT: UNARY(1.0f / v8_sqrt(x)); break;
    case RECIPROCAL: UNARY(1.0f / x); break;
    case ABS: UNARY(v8_abs(x)); break;
    case SQUARE: UNARY(x * x); break;
    case TANH: UNARY(v8_tanh(x)); break;
    case SIGMOID: UNARY(v8_sigmoid(x)); break;
    case RELU: UNARY(v8_select((v8i)(x > 0.0f) | (v8i)(x != x), x, v8_zero())); break;
    case ERF: UNARY(v8_erf(x)); break;
    case GELU: UNARY(v8_gelu(x)); break;
    case GELU_TANH: UNARY(v8_gelu_tanh(x)); break;
    case SILU: UNARY(v8_silu(x)); break;
    case GELU_GRAD: UNARY(v8_gelu_grad(x)); break;
    case GELU_TANH_GRAD: UNARY(v8_gelu_tanh_grad(x)); break;
    case SILU_GRAD: UNARY(v8_silu_grad(x)); break;
  }
}

/* The dimensions of y, neighbours merged where every input walks over them with one stride; the innermost is last. */
typedef struct {
  int axes;
  int64_t length[MAX_AXES];
  int64_t stride[INK_MAX_INPUTS][MAX_AXES]; /* of each input, in elements; 0 where it is broadcast */
} loops;

static void plan_loops(const ink_step *step, loops *l) {
  const ink_tensor *y = step->output;
  const int rank = y->rank;
  int64_t full[INK_MAX_INPUTS][INK_MAX_RANK];
  for (int i = 0; i < step->input_count; i++) {
    const ink_tensor *x = step->input[i];
    int64_t stride = 1;
    for (int k = 1; k <= rank; k++) {
      const int64_t d = k <= x->rank ? x->dim[x->rank - k] : 1;
      full[i][rank - k] = d == 1 ? 0 : stride;
      stride *= d;
    }
  }
  l->axes = 0;
  for (int k = 0; k < rank; k++) {
    if (y->dim[k] == 1) continue;
    int merge = l->axes > 0;
    for (int i = 0; merge && i < step->input_count; i++) merge = l->stride[i][l->axes - 1] == full[i][k] * y->dim[k];
    const int at = merge ? l->axes - 1 : l->axes++;
    l->length[at] = merge ? l->length[at] * y->dim[k] : y->dim[k];
    for (int i = 0; i < step->input_count; i++) l->stride[i][at] = full[i][k];
  }
  if (l->axes == 0) {
    l->axes = 1;
    l->length[0] = 1;
    for (int i = 0; i < step->input_count; i++) l->stride[i][0] = 0;
  }
}

void INK_NAME(ink_elementwise)(const ink_step *step, const ink_worker *worker) {
  int64_t from, to;
  ink_share(worker, ink_size(step->output), CHUNK, &from, &to);
  if (from >= to) return;
  loops l;
  plan_loops(step, &l);
  const int k = step->input_count, inner = l.axes - 1;
  const int32_t n = step->ints[0];
  float *const temporaries = (float *)(void *)worker->scratch; /* a chunk for each input that is broadcast, then for each result */
  float *const y = step->output->data;
  const int64_t row_length = l.length[inner];
  const float *operands[INK_MAX_INPUTS + 256];

  for (int64_t at = from; at < to;) {
    /* the row that element `at` lies in, and where it begins in each input */
    int64_t row = at / row_length, column = at % row_length;
    const int64_t stop = to - at < row_length - column ? column + to - at : row_length;
    int64_t begin[INK_MAX_INPUTS] = {0};
    for (int axis = inner - 1; axis >= 0; axis--) {
      const int64_t index = row % l.length[axis];
      row /= l.length[axis];
      for (int i = 0; i < k; i++) begin[i] += index * l.stride[i][axis];
    }
    int filled = 0; /* whether the chunks of broadcast inputs hold this row's numbers */
    for (; column < stop; column += CHUNK) {
      const int64_t count = stop - column < CHUNK ? stop - column : CHUNK;
      for (int i = 0; i < k; i++) {
        const float *x = (const float *)step->input[i]->data + begin[i];
        if (l.stride[i][inner]) {
          operands[i] = x + column;
        } else {
          float *chunk = temporaries + (int64_t)i * CHUNK;
          if (!filled) for (int64_t j = 0; j < count; j++) chunk[j] = *x;
          operands[i] = chunk;
        }
      }
      filled = 1;
      for (int32_t s = 0; s < n; s++) {
        const int32_t *w = step->ints + 1 + 4 * s;
        float *result = s == n - 1 ? y + at : temporaries + (int64_t)(k + s) * CHUNK;
        const float *a = operands[w[1]];
        instruction(w[0], a, w[2] >= 0 ? operands[w[2]] : a, w[3] >= 0 ? operands[w[3]] : a, step->floats + 2 * s, result, count);
        operands[k + s] = result;
      }
      at += count;
    }
  }
}
