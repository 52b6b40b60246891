/* ROPE_TABLE and ROPE: rotary position embedding (Su et al. 2021). */
#include "isa.h"

/* The sine and cosine of a, |a| < 2^31, in double precision: a less the nearest multiple of pi/2, which is subtracted in three parts
 * of which the first two have 22 bits, so that their products are exact; then the Taylor series on |r| <= pi/4. */
static void sine_cosine(double a, double *sine, double *cosine) {
  const double quarter_high = 0x1.921fb0p+0, quarter_middle = 0x1.5110b0p-22, quarter_low = 0x1.18469898cc517p-44;
  const double shifted = a * 0.63661977236758134308 + 6755399441055744.0; /* 1.5 * 2^52: rounds to an integer */
  const double k = shifted - 6755399441055744.0;
  const double r = ((a - k * quarter_high) - k * quarter_middle) - k * quarter_low;
  const double z = r * r;
  double s = 1.0 / 6227020800.0, c = 1.0 / 479001600.0;
  s = s * z - 1.0 / 39916800.0;
  s = s * z + 1.0 / 362880.0;
  s = s * z - 1.0 / 5040.0;
  s = s * z + 1.0 / 120.0;
  s = s * z - 1.0 / 6.0;
  s = r + r * z * s;
  c = c * z - 1.0 / 3628800.0;
  c = c * z + 1.0 / 40320.0;
  c = c * z - 1.0 / 720.0;
  c = c * z + 1.0 / 24.0;
  c = c * z - 0.5;
  c = 1.0 + z * c;
  const int64_t quarter = (int64_t)k & 3;
  const double sines[4] = {s, c, -s, -c}, cosines[4] = {c, -s, -c, s};
  *sine = sines[quarter];
  *cosine = cosines[quarter];
}

void INK_NAME(ink_rope_table)(const ink_step *step, const ink_worker *worker) {
  const int32_t *positions = step->input[0]->data;
  const float *freqs = step->input[1]->data;
  const int64_t half = ink_size(step->input[1]);
  const double scale = step->floats[0];
  int64_t from, to;
  ink_share(worker, ink_size(step->input[0]), 1, &from, &to);
  for (int64_t row = from; row < to; row++) {
    float *y = (float *)step->output->data + row * 2 * half;
    for (int64_t i = 0; i < half; i++) {
      double sine, cosine;
      /* float32, as models are trained: at large positions the rounding of the angle is part of the model */
      sine_cosine((double)(float)((double)positions[row] * (double)freqs[i]), &sine, &cosine);
      y[i] = (float)(cosine * scale);
      y[half + i] = (float)(sine * scale);
    }
  }
}

static void rotate_halves(const float *x, float *y, const float *cosine, const float *sine, float sign, int64_t half) {
  for (int64_t i = 0; i < half; i++) {
    const float a = x[i], b = x[half + i], s = sine[i] * sign;
    y[i] = a * cosine[i] - b * s;
    y[half + i] = b * cosine[i] + a * s;
  }
}
static void rotate_pairs(const float *x, float *y, const float *cosine, const float *sine, float sign, int64_t half) {
  for (int64_t i = 0; i < half; i++) {
    const float a = x[2 * i], b = x[2 * i + 1], s = sine[i] * sign;
    y[2 * i] = a * cosine[i] - b * s;
    y[2 * i + 1] = b * cosine[i] + a * s;
  }
}

void INK_NAME(ink_rope)(const ink_step *step, const ink_worker *worker) {
  const ink_tensor *x = step->input[0], *table = step->input[1];
  const int64_t width = ink_last(x), heads = x->dim[x->rank - 2], rotary = ink_last(table), half = rotary / 2;
  const float sign = step->ints[1] ? -1.0f : 1.0f;
  int64_t from, to;
  ink_share(worker, ink_rows(x), 1, &from, &to);
  for (int64_t row = from; row < to; row++) {
    const float *in = (const float *)x->data + row * width;
    float *out = (float *)step->output->data + row * width;
    const float *cosine = (const float *)table->data + row / heads * rotary, *sine = cosine + half;
    if (step->ints[0]) rotate_pairs(in, out, cosine, sine, sign, half);
    else rotate_halves(in, out, cosine, sine, sign, half);
    if (in != out) for (int64_t i = rotary; i < width; i++) out[i] = in[i];
  }
}
