/* exp, log, tanh, erf and their kin for eight floats, to about 2 units in the last place.
 *
 * The polynomials are near-minimax fits (Chebyshev interpolation in 40 digits) over the ranges named beside them. Special values are
 * those of C: NaN stays NaN, exp overflows to infinity and reaches zero through the denormals, log(0) is -infinity, log(-1) NaN. */
#ifndef INK_MATHV_H
#define INK_MATHV_H

#include "vec.h"

#define INK_LOG2E 1.44269504088896340736f
#define INK_LN2_HIGH 0.693145751953125f /* 16 bits: exact times a small integer */
#define INK_LN2_LOW 1.42860682030941723212e-6f
#define INK_ROUND_MAGIC 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer and leaves that in the low bits */

/* e^(high + low) for |low| much smaller than |high|. */
INK_INLINE v8f v8_exp_pair(v8f high, v8f low) {
  v8f x = v8_select((v8i)(high < -105.0f), v8_set(-105.0f), high);
  x = v8_select((v8i)(x > 90.0f), v8_set(90.0f), x);
  v8f shifted = v8_fma(x, v8_set(INK_LOG2E), v8_set(INK_ROUND_MAGIC));
  v8i n = (v8i)shifted - (v8i)v8_set(INK_ROUND_MAGIC);
  v8f k = shifted - INK_ROUND_MAGIC;
  v8f r = v8_fma(k, v8_set(-INK_LN2_HIGH), x);
  r = v8_fma(k, v8_set(-INK_LN2_LOW), r) + low;
  /* (e^r - 1 - r) / r^2 for |r| <= ln(2)/2 */
  v8f p = v8_set(0.00139265504284f);
  p = v8_fma(p, r, v8_set(0.00836347272211f));
  p = v8_fma(p, r, v8_set(0.0416665524032f));
  p = v8_fma(p, r, v8_set(0.166665752174f));
  p = v8_fma(p, r, v8_set(0.5f));
  p = v8_fma(p, r * r, r) + 1.0f;
  /* times 2^n in two steps, so that the result may be infinite or denormal */
  v8i half = n >> 1;
  v8f s1 = (v8f)((half + 127) << 23), s2 = (v8f)((n - half + 127) << 23);
  return p * s1 * s2;
}
INK_INLINE v8f v8_exp(v8f x) { return v8_exp_pair(x, v8_zero()); }

INK_INLINE v8f v8_log(v8f x) {
  v8i tiny = (v8i)(x < 1.17549435e-38f);
  v8f scaled = v8_select(tiny, x * 8388608.0f, x);
  v8u bits = (v8u)scaled;
  /* mantissa in [sqrt(1/2), sqrt(2)) */
  v8i e = (v8i)(bits - 0x3f3504f3u) >> 23;
  v8f f = (v8f)(bits - ((v8u)e << 23)) - 1.0f;
  v8f k = __builtin_convertvector(e, v8f) - v8_select(tiny, v8_set(23.0f), v8_zero());
  /* (log(1+f) - f + f^2/2) / f^3 */
  v8f p = v8_set(0.0697161147145f);
  p = v8_fma(p, f, v8_set(-0.114797338466f));
  p = v8_fma(p, f, v8_set(0.116854199235f));
  p = v8_fma(p, f, v8_set(-0.124256873315f));
  p = v8_fma(p, f, v8_set(0.142490576457f));
  p = v8_fma(p, f, v8_set(-0.166678023195f));
  p = v8_fma(p, f, v8_set(0.200007157489f));
  p = v8_fma(p, f, v8_set(-0.24999996958f));
  p = v8_fma(p, f, v8_set(0.3333333118f));
  v8f z = f * f;
  v8f y = v8_fma(p * z, f, k * INK_LN2_LOW);
  y = v8_fma(z, v8_set(-0.5f), y) + f;
  y = v8_fma(k, v8_set(INK_LN2_HIGH), y);
  const float infinity = __builtin_inff();
  y = v8_select((v8i)(x == infinity), v8_set(infinity), y);
  y = v8_select((v8i)(x == 0.0f), v8_set(-infinity), y);
  y = v8_select((v8i)(x < 0.0f), v8_set(__builtin_nanf("")), y);
  return v8_select((v8i)(x != x), x, y);
}

INK_INLINE v8f v8_tanh(v8f x) {
  v8f a = v8_abs(x), y = x * x;
  /* (tanh(x)/x - 1) / x^2 for |x| <= 0.65 */
  v8f p = v8_set(-0.00592372620602f);
  p = v8_fma(p, y, v8_set(0.0208734605776f));
  p = v8_fma(p, y, v8_set(-0.0538237588699f));
  p = v8_fma(p, y, v8_set(0.133325837052f));
  p = v8_fma(p, y, v8_set(-0.333333270206f));
  v8f near = v8_fma(p * y, x, x);
  v8f far = 1.0f - 2.0f / (v8_exp(a + a) + 1.0f);
  far = (v8f)((v8i)far | ((v8i)x & (v8i)v8_set(-0.0f)));
  return v8_select((v8i)(a < 0.625f), near, far);
}

/* 1 / (1 + e^-x) */
INK_INLINE v8f v8_sigmoid(v8f x) { return 1.0f / (1.0f + v8_exp(-x)); }
/* x * sigmoid(x) */
INK_INLINE v8f v8_silu(v8f x) { return x / (1.0f + v8_exp(-x)); }

/* erfc(a) for a >= 0: e^(-a^2) times t*P(t), t = 1/(1 + 0.35 a), fitted for a <= 10.2, where erfc has left the range of float. The
 * square is taken in two parts, since its rounding error would be multiplied by itself. */
INK_INLINE v8f v8_erfc_positive(v8f a) {
  v8f z = v8_select((v8i)(a > 10.2f), v8_set(10.2f), a);
  v8f t = 1.0f / v8_fma(z, v8_set(0.35f), v8_set(1.0f));
  v8f p = v8_set(-0.0239700667363f);
  p = v8_fma(p, t, v8_set(0.182396925859f));
  p = v8_fma(p, t, v8_set(-0.539196060413f));
  p = v8_fma(p, t, v8_set(0.761900354514f));
  p = v8_fma(p, t, v8_set(-0.593920223566f));
  p = v8_fma(p, t, v8_set(0.455286613736f));
  p = v8_fma(p, t, v8_set(-0.0154547606066f));
  p = v8_fma(p, t, v8_set(0.198275739549f));
  p = v8_fma(p, t, v8_set(0.179174360527f));
  p = v8_fma(p, t, v8_set(0.198066299843f));
  p = v8_fma(p, t, v8_set(0.197440817654f));
  v8f high = (v8f)((v8i)z & (int32_t)0xfffff000);
  v8f low = z - high;
  return v8_exp_pair(-(high * high), -(low * (z + high))) * (p * t);
}

INK_INLINE v8f v8_erf(v8f x) {
  v8f a = v8_abs(x), y = x * x;
  /* erf(x)/x for |x| <= 1 */
  v8f p = v8_set(7.87587506269e-5f);
  p = v8_fma(p, y, v8_set(-0.000801686428717f));
  p = v8_fma(p, y, v8_set(0.00518908742343f));
  p = v8_fma(p, y, v8_set(-0.0268542120106f));
  p = v8_fma(p, y, v8_set(0.112835947152f));
  p = v8_fma(p, y, v8_set(-0.376126266667f));
  p = v8_fma(p, y, v8_set(1.12837916585f));
  v8f far = 1.0f - v8_erfc_positive(a);
  far = (v8f)((v8i)far | ((v8i)x & (v8i)v8_set(-0.0f)));
  return v8_select((v8i)(a < 1.0f), p * x, far);
}

/* x * Phi(x), the normal distribution's Phi without cancellation for negative x. */
INK_INLINE v8f v8_gelu(v8f x) {
  v8f tail = 0.5f * v8_erfc_positive(v8_abs(x) * 0.70710678118654752f);
  return x * v8_select((v8i)(x > 0.0f), 1.0f - tail, tail);
}

/* 0.5 x (1 + tanh(u)) = x / (1 + e^(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3) */
INK_INLINE v8f v8_gelu_tanh(v8f x) {
  v8f u2 = x * v8_fma(x * x, v8_set(0.0713548162726f), v8_set(1.595769121605731f));
  return x / (1.0f + v8_exp(-u2));
}

/* The derivatives of the three. s(1 - s) of a sigmoid s is taken as e / (1 + e)^2 with e <= 1, which loses nothing where s is near 1. */
INK_INLINE v8f v8_gelu_grad(v8f x) {
  v8f z = v8_select((v8i)(x > 20.0f), v8_set(20.0f), v8_select((v8i)(x < -20.0f), v8_set(-20.0f), x));
  v8f tail = 0.5f * v8_erfc_positive(v8_abs(z) * 0.70710678118654752f);
  v8f density = 0.39894228040143268f * v8_exp(-0.5f * z * z);
  return v8_fma(z, density, v8_select((v8i)(z > 0.0f), 1.0f - tail, tail));
}
INK_INLINE v8f v8_gelu_tanh_grad(v8f x) {
  v8f z = v8_select((v8i)(x > 12.0f), v8_set(12.0f), v8_select((v8i)(x < -12.0f), v8_set(-12.0f), x)), y = z * z;
  v8f u2 = z * v8_fma(y, v8_set(0.0713548162726f), v8_set(1.595769121605731f));
  v8f e = v8_exp(-v8_abs(u2)), r = 1.0f / (1.0f + e), p = e * r;
  v8f slope = v8_fma(y, v8_set(0.2140644488178f), v8_set(1.595769121605731f));
  return v8_fma(z * (p * r), slope, v8_select((v8i)(z > 0.0f), r, p));
}
INK_INLINE v8f v8_silu_grad(v8f x) {
  v8f e = v8_exp(-v8_abs(x)), r = 1.0f / (1.0f + e), p = e * r;
  return v8_fma(v8_select((v8i)(p == 0.0f), p, x), p * r, v8_select((v8i)(x > 0.0f), r, p));
}

/* One float through the same arithmetic. */
INK_INLINE float ink_exp(float x) { return v8_exp(v8_set(x))[0]; }
INK_INLINE float ink_log(float x) { return v8_log(v8_set(x))[0]; }

#endif
