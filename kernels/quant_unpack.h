/* One block of INK_W weight rows, transposed into codes, scales and minima: a lane is a row.
 *
 * ink_unpack_<type>(p, stride, code, scale, min): row r's block is at p + r*stride. code[i] holds elements 4i … 4i+3 of each row in the
 * four bytes of its lane; scale[j] and min[j] belong to the j-th group of `sub` elements (quant.h). Nothing outside the blocks is read.
 *
 * The formats are those of ggml (ggml-quants): little-endian, so the words below are too. */
#ifndef INK_QUANT_UNPACK_H
#define INK_QUANT_UNPACK_H

#include "convert.h"
#include "quant.h"

#define INK_BYTES(b) ((uint32_t)(b) * 0x01010101u)

/* 16 bytes of two codes each: the low halves are the first 16 elements, the high halves the last. */
INK_INLINE void ink_unpack_nibbles(const uint8_t *p, ptrdiff_t stride, vub code[8]) {
  vu word[4];
  vu_load_words(p, stride, word);
  INK_UNROLL
  for (int i = 0; i < 4; i++) {
    code[i] = (vub)(word[i] & INK_BYTES(15));
    code[i + 4] = (vub)(word[i] >> 4 & INK_BYTES(15));
  }
}

/* A fifth bit for 32 codes: bit i of the lane belongs to element i. */
INK_INLINE void ink_add_fifth_bits(vu bits, vub code[8]) {
  INK_UNROLL
  for (int i = 0; i < 4; i++) {
    vu byte = vu_repeat_byte(bits, i); /* elements 8i … 8i+7 */
    vu low = (vu)((vub)(byte & 0x08040201u) != 0), high = (vu)((vub)(byte & 0x80402010u) != 0);
    code[2 * i] |= (vub)(low & INK_BYTES(16));
    code[2 * i + 1] |= (vub)(high & INK_BYTES(16));
  }
}

/* 32 bytes of each row as eight words. */
INK_INLINE void ink_load_32(const uint8_t *p, ptrdiff_t stride, vu word[8]) {
  vu_load_words(p, stride, word);
  vu_load_words(p + 16, stride, word + 4);
}

/* Byte j of a lane. */
INK_INLINE vu ink_lane_byte(vu word, int j) { return word >> (8 * j) & 255u; }

INK_INLINE vub ink_stored_byte(vub code) { return INK_VNNI ? (vub)((vu)code ^ INK_BYTES(128)) : code; }

INK_INLINE void ink_unpack_q4_0(const uint8_t *p, ptrdiff_t stride, vub *code, vf *scale, vf *min) {
  (void)min;
  scale[0] = vf_from_f16(vu_load_column16(p, stride));
  ink_unpack_nibbles(p + 2, stride, code);
}

INK_INLINE void ink_unpack_q4_1(const uint8_t *p, ptrdiff_t stride, vub *code, vf *scale, vf *min) {
  vf_from_f16_pair(vu_load_column32(p, stride), scale, min);
  ink_unpack_nibbles(p + 4, stride, code);
}

INK_INLINE void ink_unpack_q5_0(const uint8_t *p, ptrdiff_t stride, vub *code, vf *scale, vf *min) {
  (void)min;
  scale[0] = vf_from_f16(vu_load_column16(p, stride));
  ink_unpack_nibbles(p + 6, stride, code);
  ink_add_fifth_bits(vu_load_column32(p + 2, stride), code);
}

INK_INLINE void ink_unpack_q5_1(const uint8_t *p, ptrdiff_t stride, vub *code, vf *scale, vf *min) {
  vf_from_f16_pair(vu_load_column32(p, stride), scale, min);
  ink_unpack_nibbles(p + 8, stride, code);
  ink_add_fifth_bits(vu_load_column32(p + 4, stride), code);
}

INK_INLINE void ink_unpack_q8_0(const uint8_t *p, ptrdiff_t stride, vub *code, vf *scale, vf *min) {
  (void)min;
  vu word[8];
  scale[0] = vf_from_f16(vu_load_column16(p, stride));
  ink_load_32(p + 2, stride, word);
  INK_UNROLL
  for (int i = 0; i < 8; i++) code[i] = ink_stored_byte((vub)word[i]);
}

/* Scales of 4 bits with minima of 4 bits, codes of 2 bits: 32 bytes hold 4 groups of 32 codes. */
INK_INLINE void ink_unpack_q2_k(const uint8_t *p, ptrdiff_t stride, vub *code, vf *scale, vf *min) {
  vu word[8];
  vf d, dmin;
  vf_from_f16_pair(vu_load_column32(p + 80, stride), &d, &dmin);
  vu_load_words(p, stride, word);
  for (int i = 0; i < 16; i++) {
    vu byte = ink_lane_byte(word[i / 4], i % 4);
    scale[i] = d * vf_from_uint(byte & 15u);
    min[i] = -(dmin * vf_from_uint(byte >> 4));
  }
  for (int half = 0; half < 2; half++) {
    ink_load_32(p + 16 + 32 * half, stride, word);
    for (int group = 0; group < 4; group++) {
      for (int i = 0; i < 8; i++) code[32 * half + 8 * group + i] = (vub)(word[i] >> (2 * group) & INK_BYTES(3));
    }
  }
}

/* Scales of 6 bits less 32, codes of 2 bits and a third one from a mask. */
INK_INLINE void ink_unpack_q3_k(const uint8_t *p, ptrdiff_t stride, vub *code, vf *scale, vf *min) {
  (void)min;
  vu word[8], mask[8], packed[4];
  vu_load_words(p + 94, stride, word); /* the last two bytes of codes, 12 of scales, d */
  vf d = vf_from_f16(word[3] >> 16);
  for (int i = 0; i < 3; i++) packed[i] = word[i] >> 16 | word[i + 1] << 16;
  vu top = packed[2];
  packed[2] = (packed[0] >> 4 & INK_BYTES(15)) | (top >> 4 & INK_BYTES(3)) << 4;
  packed[3] = (packed[1] >> 4 & INK_BYTES(15)) | (top >> 6 & INK_BYTES(3)) << 4;
  packed[0] = (packed[0] & INK_BYTES(15)) | (top & INK_BYTES(3)) << 4;
  packed[1] = (packed[1] & INK_BYTES(15)) | (top >> 2 & INK_BYTES(3)) << 4;
  for (int i = 0; i < 16; i++) scale[i] = d * vf_from_int((vi)ink_lane_byte(packed[i / 4], i % 4) - 32);
  ink_load_32(p, stride, mask);
  for (int half = 0; half < 2; half++) {
    ink_load_32(p + 32 + 32 * half, stride, word);
    for (int group = 0; group < 4; group++) {
      for (int i = 0; i < 8; i++) {
        vu low = word[i] >> (2 * group) & INK_BYTES(3), high = mask[i] >> (4 * half + group) & INK_BYTES(1);
        code[32 * half + 8 * group + i] = (vub)(low | high << 2);
      }
    }
  }
}

/* The head of q4_k and q5_k: d, dmin, and 8 pairs of 6-bit scale and minimum in 12 bytes. */
INK_INLINE void ink_unpack_k_scales(const uint8_t *p, ptrdiff_t stride, vf *scale, vf *min) {
  vu word[4];
  vf d, dmin;
  vu_load_words(p, stride, word);
  vf_from_f16_pair(word[0], &d, &dmin);
  vu scales[2] = {word[1] & INK_BYTES(63), (word[3] & INK_BYTES(15)) | (word[1] >> 2 & INK_BYTES(48))};
  vu minima[2] = {word[2] & INK_BYTES(63), (word[3] >> 4 & INK_BYTES(15)) | (word[2] >> 2 & INK_BYTES(48))};
  INK_UNROLL
  for (int i = 0; i < 8; i++) {
    scale[i] = d * vf_from_uint(ink_lane_byte(scales[i / 4], i % 4));
    min[i] = -(dmin * vf_from_uint(ink_lane_byte(minima[i / 4], i % 4)));
  }
}

INK_INLINE void ink_unpack_q4_k(const uint8_t *p, ptrdiff_t stride, vub *code, vf *scale, vf *min) {
  ink_unpack_k_scales(p, stride, scale, min);
  for (int pair = 0; pair < 4; pair++) { /* 32 bytes: the low halves are 32 elements, the high halves the next 32 */
    vu word[8];
    ink_load_32(p + 16 + 32 * pair, stride, word);
    INK_UNROLL
    for (int i = 0; i < 8; i++) {
      code[16 * pair + i] = (vub)(word[i] & INK_BYTES(15));
      code[16 * pair + 8 + i] = (vub)(word[i] >> 4 & INK_BYTES(15));
    }
  }
}

INK_INLINE void ink_unpack_q5_k(const uint8_t *p, ptrdiff_t stride, vub *code, vf *scale, vf *min) {
  vu high[8];
  ink_unpack_k_scales(p, stride, scale, min);
  ink_load_32(p + 16, stride, high);
  for (int pair = 0; pair < 4; pair++) {
    vu word[8];
    ink_load_32(p + 48 + 32 * pair, stride, word);
    INK_UNROLL
    for (int i = 0; i < 8; i++) {
      vu bits = high[i] >> (2 * pair);
      code[16 * pair + i] = (vub)((word[i] & INK_BYTES(15)) | (bits & INK_BYTES(1)) << 4);
      code[16 * pair + 8 + i] = (vub)((word[i] >> 4 & INK_BYTES(15)) | (bits >> 1 & INK_BYTES(1)) << 4);
    }
  }
}

INK_INLINE void ink_unpack_q6_k(const uint8_t *p, ptrdiff_t stride, vub *code, vf *scale, vf *min) {
  (void)min;
  vu word[4], low[16], high[8];
  vf d = vf_from_f16(vu_load_column16(p + 208, stride));
  vu_load_words(p + 192, stride, word);
  for (int i = 0; i < 16; i++) scale[i] = d * vf_from_int((vi)(word[i / 4] << (24 - 8 * (i % 4))) >> 24);
  for (int half = 0; half < 2; half++) {
    ink_load_32(p + 64 * half, stride, low);
    ink_load_32(p + 64 * half + 32, stride, low + 8);
    ink_load_32(p + 128 + 32 * half, stride, high);
    for (int i = 0; i < 16; i++) {
      vu bits = high[i % 8] >> (i < 8 ? 0 : 2);
      code[32 * half + i] = (vub)((low[i] & INK_BYTES(15)) | (bits & INK_BYTES(3)) << 4);
      code[32 * half + 16 + i] = (vub)((low[i] >> 4 & INK_BYTES(15)) | (bits & INK_BYTES(48)));
    }
  }
}

/* Sixteen levels that are denser near zero (ggml's kvalues_iq4nl). */
static const int8_t ink_levels_iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

INK_INLINE void ink_unpack_levels_iq4(const uint8_t *p, ptrdiff_t stride, vub code[8]) {
  ink_unpack_nibbles(p, stride, code);
  INK_UNROLL
  for (int i = 0; i < 8; i++) code[i] = ink_stored_byte(vub_lookup((const uint8_t *)ink_levels_iq4, code[i]));
}

INK_INLINE void ink_unpack_iq4_nl(const uint8_t *p, ptrdiff_t stride, vub *code, vf *scale, vf *min) {
  (void)min;
  scale[0] = vf_from_f16(vu_load_column16(p, stride));
  ink_unpack_levels_iq4(p + 2, stride, code);
}

INK_INLINE void ink_unpack_iq4_xs(const uint8_t *p, ptrdiff_t stride, vub *code, vf *scale, vf *min) {
  (void)min;
  vu head = vu_load_column32(p, stride), low = vu_load_column32(p + 4, stride);
  vf d = vf_from_f16(head & 0xffffu);
  vu high = head >> 16;
  for (int i = 0; i < 8; i++) {
    vu six = (low >> (4 * i) & 15u) | (high >> (2 * i) & 3u) << 4;
    scale[i] = d * vf_from_int((vi)six - 32);
    ink_unpack_levels_iq4(p + 8 + 16 * i, stride, code + 8 * i);
  }
}

/* E2M1 numbers, doubled and plus 12 (the scale is halved): OCP Microscaling Formats 1.0. */
static const uint8_t ink_levels_mxfp4[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

INK_INLINE void ink_unpack_mxfp4(const uint8_t *p, ptrdiff_t stride, vub *code, vf *scale, vf *min) {
  (void)min;
  /* half of 2^(e - 127): exponent e-1, or for e = 0 and 1 a denormal */
  vu e = vu_load_column8(p, stride), small = (vu)(e < 2u);
  scale[0] = (vf)((small & 0x00200000u << (e & 1u)) | (~small & (e - 1u) << 23));
  ink_unpack_nibbles(p + 1, stride, code);
  INK_UNROLL
  for (int i = 0; i < 8; i++) code[i] = vub_lookup(ink_levels_mxfp4, code[i]);
}

#endif
