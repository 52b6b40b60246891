/* Every kernel of the matrix-product family against its definition, bit for bit (any NaN equals any NaN).
 *
 *   products [directory of golden block vectors]
 *
 * The kernels need no barrier, so the threads of a run are played one after another. */
#include "harness.h"
#include "reference.h"

static int failures, checks;

static void check(const char *what, const float *got, const float *want, int64_t n) {
  checks++;
  for (int64_t i = 0; i < n; i++) {
    if (ink_float_bits(got[i]) == ink_float_bits(want[i]) || (got[i] != got[i] && want[i] != want[i])) continue;
    printf("FAIL %s: element %lld is %.9g, should be %.9g\n", what, (long long)i, (double)got[i], (double)want[i]);
    failures++;
    return;
  }
}

/* The barrier of the real pool; nothing here may call it. */
void ink_barrier(const ink_worker *worker) {
  (void)worker;
  abort();
}

static void run(ink_kernel kernel, const ink_step *step, int threads) {
  uint8_t *scratch = aligned_alloc(64, INK_SCRATCH), *shared = aligned_alloc(64, INK_SHARED);
  for (int i = 0; i < threads; i++) {
    memset(scratch, 0xff, INK_SCRATCH);
    ink_worker worker = {.index = i, .count = threads, .scratch = scratch, .shared = shared};
    kernel(step, &worker);
  }
  free(scratch);
  free(shared);
}

static float reference_chain(int a_type, const void *a, int64_t a_start, int64_t a_step, int b_type, const void *b, int64_t b_start,
                             int64_t b_step, int64_t k) {
  if (a_type == INK_Q8A) {
    return reference_chain_int8(b_type, (const ink_q8a *)a + a_start / 32, (const uint8_t *)b + ink_row_bytes(b_type, b_start), k);
  }
  float acc = 0;
  if (ink_is_block_type(b_type)) {
    for (int64_t i = 0; i < k;) {
      reference_block block;
      reference_decode(b_type, (const uint8_t *)b + ink_row_bytes(b_type, b_start + i), &block);
      for (int j = 0; j < block.elements; j++, i++) {
        acc = ink_fma(reference_element(a_type, a, a_start + i * a_step), reference_value(&block, j), acc);
      }
    }
    return acc;
  }
  for (int64_t i = 0; i < k; i++) {
    acc = ink_fma(reference_element(a_type, a, a_start + i * a_step), reference_element(b_type, b, b_start + i * b_step), acc);
  }
  return acc;
}

/* What of the optional operands a case has. */
enum { BIAS = 1, RESIDUAL = 2, IN_PLACE = 4, HOSTILE = 8 };

static void test_matmul(int a_type, int b_type, int transpose_a, int transpose_b, int64_t batch, int64_t m, int64_t n, int64_t k, int options) {
  char what[160];
  snprintf(what, sizeof what, "matmul %s%s x %s%s batch %lld m %lld n %lld k %lld options %d", type_names[a_type], transpose_a ? "^T" : "",
           type_names[b_type], transpose_b ? "^T" : "", (long long)batch, (long long)m, (long long)n, (long long)k, options);
  int64_t copies = batch ? batch : 1, size = copies * m * n;
  void *a = random_array(a_type, copies * m * k, options & HOSTILE), *b = random_array(b_type, copies * n * k, options & HOSTILE);
  float *bias = random_array(INK_F32, n, 0), *residual = random_array(INK_F32, size, 0);
  float *want = memory(size * 4), *y = memory(size * 4);
  for (int64_t i = 0; i < size; i++) {
    int64_t c = i / (m * n), row = i / n % m, column = i % n;
    float x = reference_chain(a_type, a, c * m * k + (transpose_a ? row : row * k), transpose_a ? m : 1, b_type, b,
                              c * n * k + (transpose_b ? column * k : column), transpose_b ? 1 : n, k);
    if (options & BIAS) x = x + bias[column];
    if (options & RESIDUAL) x = x + residual[i];
    want[i] = x;
  }
  int rows = transpose_a, columns = transpose_b;
  ink_tensor ta = batch ? TENSOR(a_type, a, batch, rows ? k : m, rows ? m : k) : TENSOR(a_type, a, rows ? k : m, rows ? m : k);
  ink_tensor tb = batch ? TENSOR(b_type, b, batch, columns ? n : k, columns ? k : n) : TENSOR(b_type, b, columns ? n : k, columns ? k : n);
  ink_tensor tbias = TENSOR(INK_F32, bias, n), ty = batch ? TENSOR(INK_F32, y, batch, m, n) : TENSOR(INK_F32, y, m, n), tresidual = ty;
  if (!(options & IN_PLACE)) tresidual.data = residual;
  ink_step step = {.opcode = INK_MATMUL, .input_count = 4, .output = &ty, .ints = (int32_t[]){transpose_a, transpose_b}};
  step.input[0] = &ta;
  step.input[1] = &tb;
  step.input[2] = options & BIAS ? &tbias : NULL;
  step.input[3] = options & RESIDUAL ? &tresidual : NULL;
  static const int threads[] = {1, 2, 3, 8};
  for (int t = 0; t < 4; t++) {
    if (options & IN_PLACE) memcpy(y, residual, (size_t)size * 4);
    else for (int64_t i = 0; i < size; i++) y[i] = 1e30f;
    run(INK_NAME(ink_matmul), &step, threads[t]);
    check(what, y, want, size);
  }
  free(a);
  free(b);
  free(bias);
  free(residual);
  free(want);
  free(y);
}

static void test_expert(int a_type, int w_type, int transpose_b, int64_t experts, int64_t rows, int64_t choices, int own, int64_t n, int64_t k) {
  char what[160];
  snprintf(what, sizeof what, "expert_matmul %s x %s%s experts %lld rows %lld choices %lld own %d", type_names[a_type], type_names[w_type],
           transpose_b ? "^T" : "", (long long)experts, (long long)rows, (long long)choices, own);
  int64_t pairs = rows * choices;
  void *x = random_array(a_type, (own ? pairs : rows) * k, 0), *w = random_array(w_type, experts * n * k, 0);
  int32_t *index = memory(pairs * 4);
  float *y = memory(pairs * n * 4), *want = memory(pairs * n * 4);
  for (int64_t i = 0; i < pairs; i++) {
    index[i] = (int32_t)(random_word() % (uint32_t)(experts + 1)) - (random_word() % 16 == 0);
    for (int64_t j = 0; j < n; j++) {
      int64_t e = index[i];
      want[i * n + j] = e < 0 || e >= experts ? NAN : reference_chain(a_type, x, (own ? i : i / choices) * k, 1, w_type, w,
                                                                       e * n * k + (transpose_b ? j * k : j), transpose_b ? 1 : n, k);
    }
  }
  ink_tensor tx = own ? TENSOR(a_type, x, rows, choices, k) : TENSOR(a_type, x, rows, k);
  ink_tensor tw = transpose_b ? TENSOR(w_type, w, experts, n, k) : TENSOR(w_type, w, experts, k, n);
  ink_tensor ti = TENSOR(INK_I32, index, rows, choices), ty = TENSOR(INK_F32, y, rows, choices, n);
  ink_step step = {.opcode = INK_EXPERT_MATMUL, .input_count = 3, .input = {&tx, &tw, &ti}, .output = &ty, .ints = (int32_t[]){transpose_b}};
  for (int threads = 1; threads <= 3; threads++) {
    memset(y, 0x7e, (size_t)(pairs * n) * 4);
    run(INK_NAME(ink_expert_matmul), &step, threads);
    check(what, y, want, pairs * n);
  }
  free(x);
  free(w);
  free(index);
  free(y);
  free(want);
}

static void test_outer(int64_t experts, int64_t rows, int64_t choices, int own, int64_t m, int64_t n) {
  int64_t pairs = rows * choices, size = experts * m * n;
  float *dy = random_array(INK_F32, pairs * m, 0), *x = random_array(INK_F32, (own ? pairs : rows) * n, 0);
  int32_t *index = memory(pairs * 4);
  float *y = memory(size * 4), *want = memory(size * 4);
  memset(want, 0, (size_t)size * 4);
  for (int64_t i = 0; i < pairs; i++) {
    index[i] = (int32_t)(random_word() % (uint32_t)experts);
    if (experts > 3 && index[i] == 2) index[i] = 1; /* one that nobody chooses */
    for (int64_t j = 0; j < m * n; j++) {
      float *to = want + index[i] * m * n + j;
      *to = ink_fma(dy[i * m + j / n], x[(own ? i : i / choices) * n + j % n], *to);
    }
  }
  ink_tensor td = TENSOR(INK_F32, dy, rows, choices, m), tx = own ? TENSOR(INK_F32, x, rows, choices, n) : TENSOR(INK_F32, x, rows, n);
  ink_tensor ti = TENSOR(INK_I32, index, rows, choices), ty = TENSOR(INK_F32, y, experts, m, n);
  ink_step step = {.opcode = INK_EXPERT_OUTER, .input_count = 3, .input = {&td, &tx, &ti}, .output = &ty};
  for (int threads = 1; threads <= 3; threads++) {
    memset(y, 0x7e, (size_t)size * 4);
    run(INK_NAME(ink_expert_outer), &step, threads);
    check("expert_outer", y, want, size);
  }
  free(dy);
  free(x);
  free(index);
  free(y);
  free(want);
}

static void test_quantize8(void) {
  enum { BLOCKS = 300 };
  float *x = malloc(BLOCKS * 32 * 4);
  ink_q8a *y = malloc(BLOCKS * sizeof *y);
  for (int i = 0; i < BLOCKS * 32; i++) x[i] = random_float() * (float)(1 + i % 7);
  for (int i = 0; i < 32; i++) {
    x[i] = 0;
    x[32 + i] = (float)i - 15.5f; /* with the next line: halves */
    x[64 + i] = (float)i * 0x1p-149f;
    x[96 + i] = (float)i * 1e-40f;
    x[128 + i] = ink_bits_float(random_word());
  }
  x[32] = 127;
  x[160] = INFINITY;
  x[192] = NAN;
  ink_tensor tx = TENSOR(INK_F32, x, BLOCKS, 32), ty = TENSOR(INK_Q8A, y, BLOCKS, 32);
  ink_step step = {.opcode = INK_QUANTIZE8, .input_count = 1, .input = {&tx}, .output = &ty};
  for (int threads = 1; threads <= 3; threads++) {
    memset(y, 0x55, BLOCKS * sizeof *y);
    run(INK_NAME(ink_quantize8), &step, threads);
    for (int b = 0; b < BLOCKS; b++) {
      float greatest = 0, got[34], want[34];
      for (int i = 0; i < 32; i++) {
        float v = fabsf(x[32 * b + i]);
        if (v > greatest || v != v) greatest = v;
        if (greatest != greatest) break;
      }
      float d = greatest / 127.0f, inverse = d > 0 ? 1.0f / d : 0;
      int total = 0;
      for (int i = 0; i < 32; i++) {
        float v = x[32 * b + i] * inverse;
        v = v != v ? 0 : v > 127 ? 127 : v < -127 ? -127 : v;
        want[i] = roundf(v) + 0.0f; /* no -0 */
        total += (int)want[i];
        got[i] = y[b].q[i];
      }
      want[32] = d;
      want[33] = d * (float)total;
      got[32] = y[b].d;
      got[33] = y[b].s;
      check("quantize8", got, want, 34);
    }
  }
  free(x);
  free(y);
}

/* float16 and bfloat16, exhaustively one way and by rounding rules the other. */
static void test_cast(void) {
  enum { ALL = 65536 };
  uint16_t *half = malloc(ALL * 2), *back = malloc(ALL * 2);
  float *x = malloc(ALL * 4), *want = malloc(ALL * 4);
  for (int i = 0; i < ALL; i++) half[i] = (uint16_t)i;
  for (int type = INK_F16; type <= INK_BF16; type++) {
    ink_tensor th = TENSOR(type, half, ALL), tx = TENSOR(INK_F32, x, ALL), tb = TENSOR(type, back, ALL);
    ink_step widen = {.opcode = INK_CAST, .input_count = 1, .input = {&th}, .output = &tx};
    ink_step narrow = {.opcode = INK_CAST, .input_count = 1, .input = {&tx}, .output = &tb};
    run(INK_NAME(ink_cast), &widen, 3);
    for (int i = 0; i < ALL; i++) {
      int exponent = type == INK_F16 ? i >> 10 & 31 : i >> 7 & 255, top = type == INK_F16 ? 31 : 255, bias = type == INK_F16 ? 15 : 127;
      int bits = type == INK_F16 ? 10 : 7, fraction = i & ((1 << bits) - 1);
      float v = exponent == top ? (fraction ? NAN : INFINITY)
                                : ldexpf((float)(exponent ? fraction + (1 << bits) : fraction), (exponent ? exponent : 1) - bias - bits);
      want[i] = i & 0x8000 ? -v : v;
    }
    check("cast to f32", x, want, ALL);
    run(INK_NAME(ink_cast), &narrow, 2);
    for (int i = 0; i < ALL; i++) {
      checks++;
      if (back[i] != half[i] && want[i] == want[i]) {
        printf("FAIL cast %s of %a is %04x, should be %04x\n", type_names[type], (double)x[i], back[i], half[i]);
        failures++;
        break;
      }
    }
    /* between two neighbours: below, at and above the middle */
    for (int place = -1; place <= 1; place++) {
      int top = type == INK_F16 ? 0x7bff : 0x7f7f;
      for (int i = 0; i < ALL; i++) {
        int low = (i & 0x7fff) < top ? i : 0;
        double middle = ((double)want[low] + (double)want[low + 1]) / 2;
        float f = (float)middle;
        if (place) f = nextafterf(f, (float)place * INFINITY);
        x[i] = f;
      }
      run(INK_NAME(ink_cast), &narrow, 1);
      for (int i = 0; i < ALL; i++) {
        int low = (i & 0x7fff) < top ? i : 0;
        int up = want[low] < want[low + 1] || (low & 0x8000) == 0 ? place > 0 : place < 0; /* away from zero */
        int expected = place == 0 ? low + (low & 1) : low + up;
        double exact = ((double)want[low] + (double)want[low + 1]) / 2;
        if ((float)exact != exact) continue; /* below float32's own precision */
        checks++;
        if (back[i] != expected) {
          printf("FAIL cast %s of %a is %04x, should be %04x\n", type_names[type], (double)x[i], back[i], expected);
          failures++;
          return;
        }
      }
    }
  }
  free(half);
  free(back);
  free(x);
  free(want);
}

static void test_gather(int type, int64_t rows, int64_t width, int hostile) {
  enum { IDS = 7 };
  void *table = random_array(type, rows * width, hostile);
  float *y = memory(IDS * width * 4), *want = memory(IDS * width * 4);
  int32_t id[IDS] = {0, (int32_t)rows - 1, -1, (int32_t)rows, 1, 0, 2147483647};
  for (int64_t i = 0; i < IDS * width; i++) {
    int64_t row = id[i / width];
    want[i] = row < 0 || row >= rows ? NAN : reference_element(type, table, row * width + i % width);
  }
  ink_tensor tt = TENSOR(type, table, rows, width), ti = TENSOR(INK_I32, id, IDS), ty = TENSOR(INK_F32, y, IDS, width);
  ink_step step = {.opcode = INK_GATHER, .input_count = 2, .input = {&tt, &ti}, .output = &ty};
  for (int threads = 1; threads <= 3; threads++) {
    memset(y, 0x7e, (size_t)(IDS * width) * 4);
    run(INK_NAME(ink_gather), &step, threads);
    char what[64];
    snprintf(what, sizeof what, "gather %s", type_names[type]);
    check(what, y, want, IDS * width);
  }
  free(table);
  free(y);
  free(want);
}

/* Blocks and their exact values, recorded from ggml's own Python package. */
static void test_golden(const char *directory) {
  for (int type = INK_F16; type < INK_DTYPE_COUNT; type++) {
    char upper[16], path[512];
    if (type == INK_I32 || type == INK_Q8A) continue;
    for (int i = 0;; i++) {
      char c = type_names[type][i];
      upper[i] = (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
      if (!c) break;
    }
    enum { N = 3 * 1024 };
    static uint8_t blocks[4 * N];
    static float want[N], got[N];
    snprintf(path, sizeof path, "%s/%s.blocks", directory, upper);
    FILE *file = fopen(path, "rb");
    int64_t bytes = ink_row_bytes(type, N);
    int ok = file && fread(blocks, 1, (size_t)bytes, file) == (size_t)bytes;
    if (file) fclose(file);
    snprintf(path, sizeof path, "%s/%s.out.f32", directory, upper);
    file = fopen(path, "rb");
    ok = ok && file && fread(want, 4, N, file) == N;
    if (file) fclose(file);
    if (!ok) {
      printf("FAIL golden %s: cannot read %s\n", upper, path);
      failures++;
      continue;
    }
    ink_tensor tx = TENSOR(type, blocks, 3, 1024), ty = TENSOR(INK_F32, got, 3, 1024);
    ink_step step = {.opcode = INK_CAST, .input_count = 1, .input = {&tx}, .output = &ty};
    run(INK_NAME(ink_cast), &step, 2);
    check(path, got, want, N);
  }
}

int main(int argc, char **argv) {
  if (argc > 1) test_golden(argv[1]);
  else printf("no golden vectors given: skipped\n");
  test_quantize8();
  test_cast();

  static const int64_t ms[] = {0, 1, 2, 3, 4, 5, 7, 8, 13, 64, 65}, ns[] = {0, 1, 3, 4, 8, 9, 16, 31, 40, 65};
  for (int b = INK_F32; b < INK_DTYPE_COUNT; b++) {
    int block = (int)ink_block_elements(b);
    if (b == INK_Q8A) continue;
    test_gather(b, 5, block > 1 ? block * 3 : 37, 0);
    test_gather(b, 5, block > 1 ? block * 17 : 613, 1);
    if (b == INK_I32) continue;
    for (int i = 0; i < 11; i++) {
      for (int j = 0; j < 10; j++) {
        int64_t k = block > 1 ? block * (1 + (i + j) % 3) : (int64_t[]){1, 7, 64, 129, 0}[(i + j) % 5];
        int options = (i * 10 + j) % 8;
        if (options & IN_PLACE) options |= RESIDUAL;
        test_matmul(INK_F32, b, 0, 1, 0, ms[i], ns[j], k, options);
        if (block > 1) test_matmul(INK_Q8A, b, 0, 1, 0, ms[i], ns[j], k, options);
        if (b == INK_F32) {
          test_matmul(INK_F32, b, 0, 0, 0, ms[i], ns[j], k, options);
          test_matmul(INK_F32, b, 1, 0, 0, ms[i], ns[j], k, options);
          test_matmul(INK_F32, b, 1, 1, 0, ms[i], ns[j], k, options);
        }
      }
    }
    test_matmul(INK_F32, b, 0, 1, 0, 7, 33, block * 2, HOSTILE);
    test_matmul(INK_F32, b, 0, 1, 0, 1, 33, block * 2, HOSTILE);
    test_expert(INK_F32, b, 1, 5, 9, 2, 0, 19, block > 1 ? block : 24);
    test_expert(INK_F32, b, 1, 3, 40, 2, 1, 33, block > 1 ? block : 24);
    if (block > 1) {
      for (int m = 1; m < 6; m++) test_matmul(INK_Q8A, b, 0, 1, 0, m, 33, 512, HOSTILE);
      test_matmul(INK_Q8A, b, 0, 1, 0, 40, 18, 2048, BIAS | RESIDUAL | IN_PLACE);
      test_matmul(INK_Q8A, b, 0, 1, 0, 5, 9, 65536 + 256, 0); /* longer than is prepared at once */
      test_matmul(INK_Q8A, b, 0, 1, 3, 5, 19, 256, RESIDUAL);
      test_expert(INK_Q8A, b, 1, 5, 9, 2, 0, 19, 256);
      test_expert(INK_Q8A, b, 1, 3, 40, 2, 1, 33, 256);
    }
  }
  for (int t = 0; t < 4; t++) {
    test_matmul(INK_F32, INK_F32, t & 1, t >> 1, 3, 5, 20, 33, 0);
    test_matmul(INK_F32, INK_F32, t & 1, t >> 1, 12, 9, 7, 16, RESIDUAL);
    test_matmul(INK_F32, INK_F32, t & 1, t >> 1, 0, 150, 70, 700, BIAS);
    test_matmul(INK_F32, INK_F32, t & 1, t >> 1, 0, 301, 1100, 300, BIAS | RESIDUAL | IN_PLACE);
    test_matmul(INK_BF16, INK_BF16, t & 1, 1, 0, 20, 30, 300, 0);
  }
  test_expert(INK_F32, INK_F32, 0, 4, 30, 3, 1, 21, 40);
  test_outer(5, 11, 2, 0, 13, 20);
  test_outer(5, 11, 2, 1, 13, 20);
  test_outer(1, 40, 1, 0, 3, 4);
  test_outer(2, 35000, 2, 0, 2, 5); /* more pairs than are sorted at once */

  printf("%d checks, %d failures\n", checks, failures);
  return failures != 0;
}
