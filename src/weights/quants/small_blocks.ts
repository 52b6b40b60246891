/**
 * Decoders of the blocks of 32 (and NVFP4's of 64): one or two scales, then 4, 5 or 8 bits an element. In a block of
 * 32, the low nibbles of its 16 bytes are elements 0 to 15 and the high nibbles 16 to 31. Layouts: ggml-common.h.
 *
 * Every product here has at most 25 significant bits, so computing in double and storing in float32 rounds once, as
 * float32 arithmetic does: results equal those of the GGML reference bit for bit.
 */

import { f16Values } from './float16.ts';

/** Decodes `blocks` whole blocks of `bytes` into `out`. */
export type BlockDecoder = (bytes: Uint8Array, out: Float32Array, blocks: number) => void;

/** d (binary16), 32 signed bytes: d q. */
export const decodeQ8_0: BlockDecoder = (bytes, out, blocks) => {
  const half = f16Values();
  let to = 0;
  for (let block = 0, at = 0; block < blocks; block++, at += 34) {
    const d = half[bytes[at] | (bytes[at + 1] << 8)];
    for (let i = at + 2; i < at + 34; i++) out[to++] = d * ((bytes[i] << 24) >> 24);
  }
};

/** d (binary16), 16 bytes of nibbles: d (q - 8). */
export const decodeQ4_0: BlockDecoder = (bytes, out, blocks) => {
  const half = f16Values();
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 18, to += 32) {
    const d = half[bytes[at] | (bytes[at + 1] << 8)];
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 2 + i];
      out[to + i] = d * ((pair & 15) - 8);
      out[to + 16 + i] = d * ((pair >> 4) - 8);
    }
  }
};

/** d, m (binary16), 16 bytes of nibbles: d q + m. */
export const decodeQ4_1: BlockDecoder = (bytes, out, blocks) => {
  const half = f16Values();
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 20, to += 32) {
    const d = half[bytes[at] | (bytes[at + 1] << 8)];
    const m = half[bytes[at + 2] | (bytes[at + 3] << 8)];
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 4 + i];
      out[to + i] = d * (pair & 15) + m;
      out[to + 16 + i] = d * (pair >> 4) + m;
    }
  }
};

/** d (binary16), 32 fifth bits, 16 bytes of nibbles: d (q - 16). */
export const decodeQ5_0: BlockDecoder = (bytes, out, blocks) => {
  const half = f16Values();
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 22, to += 32) {
    const d = half[bytes[at] | (bytes[at + 1] << 8)];
    const high = bytes[at + 2] | (bytes[at + 3] << 8) | (bytes[at + 4] << 16) | (bytes[at + 5] << 24);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 6 + i];
      out[to + i] = d * (((pair & 15) | (((high >>> i) & 1) << 4)) - 16);
      out[to + 16 + i] = d * (((pair >> 4) | (((high >>> (i + 16)) & 1) << 4)) - 16);
    }
  }
};

/** d, m (binary16), 32 fifth bits, 16 bytes of nibbles: d q + m. */
export const decodeQ5_1: BlockDecoder = (bytes, out, blocks) => {
  const half = f16Values();
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 24, to += 32) {
    const d = half[bytes[at] | (bytes[at + 1] << 8)];
    const m = half[bytes[at + 2] | (bytes[at + 3] << 8)];
    const high = bytes[at + 4] | (bytes[at + 5] << 8) | (bytes[at + 6] << 16) | (bytes[at + 7] << 24);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 8 + i];
      out[to + i] = d * ((pair & 15) | (((high >>> i) & 1) << 4)) + m;
      out[to + 16 + i] = d * ((pair >> 4) | (((high >>> (i + 16)) & 1) << 4)) + m;
    }
  }
};

/** The 16 levels of IQ4_NL and IQ4_XS: denser near zero, as weights are. */
export const iq4Levels = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

/** d (binary16), 16 bytes of nibbles: d level[q]. */
export const decodeIq4Nl: BlockDecoder = (bytes, out, blocks) => {
  const half = f16Values();
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 18, to += 32) {
    const d = half[bytes[at] | (bytes[at + 1] << 8)];
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 2 + i];
      out[to + i] = d * iq4Levels[pair & 15];
      out[to + 16 + i] = d * iq4Levels[pair >> 4];
    }
  }
};

/** The values of E2M1 (OCP Microscaling Formats 1.0), doubled to make them integers; scales are halved to match. */
export const fp4Levels = Int8Array.of(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);

/** Half of the power of two that the E8M0 pattern means: 2^(pattern - 128). */
export function e8m0Half(pattern: number): number {
  return 2 ** (pattern - 128);
}

/** One E8M0 scale, 16 bytes of E2M1 nibbles. */
export const decodeMxfp4: BlockDecoder = (bytes, out, blocks) => {
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 17, to += 32) {
    const d = e8m0Half(bytes[at]);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 1 + i];
      out[to + i] = d * fp4Levels[pair & 15];
      out[to + 16 + i] = d * fp4Levels[pair >> 4];
    }
  }
};

/** Half of the value of an unsigned E4M3 scale; the pattern of NaN means zero. */
function ue4m3Half(pattern: number): number {
  if (pattern === 0x7f) return 0;
  const exponent = (pattern >> 3) & 15;
  const fraction = pattern & 7;
  return exponent === 0 ? fraction * 2 ** -10 : (1 + fraction / 8) * 2 ** (exponent - 8);
}

/** Four unsigned E4M3 scales, then for each its 16 elements as 8 bytes of E2M1 nibbles. */
export const decodeNvfp4: BlockDecoder = (bytes, out, blocks) => {
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 36) {
    for (let group = 0; group < 4; group++, to += 16) {
      const d = ue4m3Half(bytes[at + group]);
      const from = at + 4 + group * 8;
      for (let i = 0; i < 8; i++) {
        const pair = bytes[from + i];
        out[to + i] = d * fp4Levels[pair & 15];
        out[to + 8 + i] = d * fp4Levels[pair >> 4];
      }
    }
  }
};
