/* The definitions, written plainly: what one block of each type means, and the chain of each product. */
#ifndef INK_TEST_REFERENCE_H
#define INK_TEST_REFERENCE_H

#include "../convert.h"
#include "../quant.h"

/* A block as element = scale * code + min, where each of `sub` elements share scale and min. */
typedef struct {
  int elements, sub, has_min;
  int code[256];
  float scale[16], min[16];
} reference_block;

static inline float reference_half(const uint8_t *p) { return ink_from_f16((uint16_t)(p[0] | p[1] << 8)); }

static inline int reference_iq4(int i) {
  static const int level[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  return level[i];
}

/* Six-bit scale and minimum j of q4_k and q5_k. */
static inline void reference_k_scale(const uint8_t *s, int j, int *scale, int *min) {
  if (j < 4) {
    *scale = s[j] & 63;
    *min = s[j + 4] & 63;
  } else {
    *scale = (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
    *min = s[j + 4] >> 4 | (s[j] >> 6) << 4;
  }
}

static inline int reference_q3_scale(const uint8_t *s, int j) {
  int low = j < 8 ? s[j] & 15 : s[j - 8] >> 4;
  return (low | (s[8 + j % 4] >> (2 * (j / 4)) & 3) << 4) - 32;
}

static inline void reference_decode(int type, const uint8_t *p, reference_block *b) {
  b->elements = (int)ink_block_elements(type);
  b->sub = 32;
  b->has_min = 0;
  for (int i = 0; i < 16; i++) b->min[i] = 0;
  if (b->elements == 32) b->scale[0] = reference_half(p);
  switch (type) {
    case INK_Q4_0:
      for (int i = 0; i < 32; i++) b->code[i] = (p[2 + i % 16] >> (i / 16 * 4) & 15) - 8;
      break;
    case INK_Q4_1:
      b->has_min = 1;
      b->min[0] = reference_half(p + 2);
      for (int i = 0; i < 32; i++) b->code[i] = p[4 + i % 16] >> (i / 16 * 4) & 15;
      break;
    case INK_Q5_0:
      for (int i = 0; i < 32; i++) b->code[i] = ((p[6 + i % 16] >> (i / 16 * 4) & 15) | (p[2 + i / 8] >> (i % 8) & 1) << 4) - 16;
      break;
    case INK_Q5_1:
      b->has_min = 1;
      b->min[0] = reference_half(p + 2);
      for (int i = 0; i < 32; i++) b->code[i] = (p[8 + i % 16] >> (i / 16 * 4) & 15) | (p[4 + i / 8] >> (i % 8) & 1) << 4;
      break;
    case INK_Q8_0:
      for (int i = 0; i < 32; i++) b->code[i] = (int8_t)p[2 + i];
      break;
    case INK_IQ4_NL:
      for (int i = 0; i < 32; i++) b->code[i] = reference_iq4(p[2 + i % 16] >> (i / 16 * 4) & 15);
      break;
    case INK_MXFP4: {
      static const int level[8] = {0, 1, 2, 3, 4, 6, 8, 12};
      b->scale[0] = ink_bits_float(p[0] < 2 ? 0x00200000u << p[0] : (uint32_t)(p[0] - 1) << 23);
      for (int i = 0; i < 32; i++) {
        int four = p[1 + i % 16] >> (i / 16 * 4) & 15;
        b->code[i] = four & 8 ? -level[four & 7] : level[four];
      }
      break;
    }
    case INK_Q2_K:
      b->sub = 16;
      b->has_min = 1;
      for (int i = 0; i < 16; i++) {
        b->scale[i] = reference_half(p + 80) * (float)(p[i] & 15);
        b->min[i] = -(reference_half(p + 82) * (float)(p[i] >> 4));
      }
      for (int i = 0; i < 256; i++) b->code[i] = p[16 + i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
      break;
    case INK_Q3_K:
      b->sub = 16;
      for (int i = 0; i < 16; i++) b->scale[i] = reference_half(p + 108) * (float)reference_q3_scale(p + 96, i);
      for (int i = 0; i < 256; i++) {
        int low = p[32 + i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
        b->code[i] = low - (p[i % 32] >> (i / 32) & 1 ? 0 : 4);
      }
      break;
    case INK_Q4_K:
    case INK_Q5_K:
      b->has_min = 1;
      for (int i = 0; i < 8; i++) {
        int scale, min;
        reference_k_scale(p + 4, i, &scale, &min);
        b->scale[i] = reference_half(p) * (float)scale;
        b->min[i] = -(reference_half(p + 2) * (float)min);
      }
      for (int i = 0; i < 256; i++) {
        const uint8_t *low = p + (type == INK_Q4_K ? 16 : 48);
        b->code[i] = low[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
        if (type == INK_Q5_K) b->code[i] |= (p[16 + i % 32] >> (i / 32) & 1) << 4;
      }
      break;
    case INK_Q6_K:
      b->sub = 16;
      for (int i = 0; i < 16; i++) b->scale[i] = reference_half(p + 208) * (float)(int8_t)p[192 + i];
      for (int i = 0; i < 256; i++) {
        int half = i / 128, within = i % 128;
        int low = p[64 * half + within % 64] >> (within / 64 * 4) & 15, high = p[128 + 32 * half + within % 32] >> (within / 32 * 2) & 3;
        b->code[i] = (low | high << 4) - 32;
      }
      break;
    case INK_IQ4_XS:
      for (int i = 0; i < 8; i++) {
        int low = p[4 + i / 2] >> (i % 2 * 4) & 15, high = (p[2] | p[3] << 8) >> (2 * i) & 3;
        b->scale[i] = reference_half(p) * (float)((low | high << 4) - 32);
      }
      for (int i = 0; i < 256; i++) b->code[i] = reference_iq4(p[8 + i / 32 * 16 + i % 16] >> (i / 16 % 2 * 4) & 15);
      break;
    default: break;
  }
}

static inline float reference_value(const reference_block *b, int64_t i) {
  float x = (float)b->code[i] * b->scale[i / b->sub];
  return b->has_min ? x + b->min[i / b->sub] : x;
}

/* Element i of an array of any type but q8a. */
static inline float reference_element(int type, const void *data, int64_t i) {
  switch (type) {
    case INK_F32: return ((const float *)data)[i];
    case INK_F16: return ink_from_f16(((const uint16_t *)data)[i]);
    case INK_BF16: return ink_from_bf16(((const uint16_t *)data)[i]);
    case INK_I32: return (float)((const int32_t *)data)[i];
    default: {
      reference_block b;
      int64_t elements = ink_block_elements(type);
      reference_decode(type, (const uint8_t *)data + i / elements * ink_block_bytes(type), &b);
      return reference_value(&b, i % elements);
    }
  }
}

/* The chain of q8a activations and one row of a block type, k elements. */
static inline float reference_chain_int8(int type, const ink_q8a *x, const uint8_t *row, int64_t k) {
  float acc = 0;
  for (int64_t at = 0; at < k;) {
    reference_block b;
    reference_decode(type, row + ink_row_bytes(type, at), &b);
    for (int i = 0; i < b.elements; i += b.sub) {
      const ink_q8a *block = x + (at + i) / 32;
      int32_t product = 0, total = 0;
      for (int j = 0; j < b.sub; j++) {
        product += b.code[i + j] * block->q[(i + j) % 32];
        total += block->q[(i + j) % 32];
      }
      float scale = b.scale[i / b.sub] * block->d, scaled = block->d * (float)total;
      acc = ink_fma(scale, (float)product, acc);
      if (b.has_min) acc = ink_fma(b.min[i / b.sub], scaled, acc);
    }
    at += b.elements;
  }
  return acc;
}

#endif
