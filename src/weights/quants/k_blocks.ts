/**
 * Decoders of the super-blocks of 256: groups of 16 or 32 elements whose own scales are small integers times one
 * binary16 scale. Layouts: ggml-common.h. Rounding is as in small_blocks.ts.
 */

import { f16Values } from './float16.ts';
import { type BlockDecoder, iq4Levels } from './small_blocks.ts';

/** 16 bytes of (scale, minimum) nibbles, 64 of 2-bit elements, d, dmin: d s q - dmin m, in groups of 16. */
export const decodeQ2K: BlockDecoder = (bytes, out, blocks) => {
  const half = f16Values();
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 84) {
    const d = half[bytes[at + 80] | (bytes[at + 81] << 8)];
    const dmin = half[bytes[at + 82] | (bytes[at + 83] << 8)];
    for (let group = 0; group < 16; group++) {
      const packed = bytes[at + group];
      const scale = d * (packed & 15);
      const minimum = dmin * (packed >> 4);
      const from = at + 16 + (group >> 3) * 32 + (group & 1) * 16;
      const shift = (group & 6) as 0 | 2 | 4 | 6;
      for (let i = from; i < from + 16; i++) out[to++] = scale * ((bytes[i] >> shift) & 3) - minimum;
    }
  }
};

/** 32 bytes of third bits, 64 of 2-bit elements, 12 of 6-bit scales, d: d (s - 32) q, in groups of 16. */
export const decodeQ3K: BlockDecoder = (bytes, out, blocks) => {
  const half = f16Values();
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 110) {
    const d = half[bytes[at + 108] | (bytes[at + 109] << 8)];
    for (let group = 0; group < 16; group++) {
      const low = (bytes[at + 96 + (group & 7)] >> ((group >> 3) * 4)) & 15;
      const high = (bytes[at + 104 + (group & 3)] >> ((group >> 2) * 2)) & 3;
      const scale = d * ((low | (high << 4)) - 32);
      const within = (group & 1) * 16;
      const from = at + 32 + (group >> 3) * 32 + within;
      const shift = group & 6;
      const bit = group >> 1;
      for (let i = 0; i < 16; i++) {
        // The third bit set means no offset: the element's range is [-4, 3].
        const offset = (bytes[at + within + i] >> bit) & 1 ? 0 : 4;
        out[to++] = scale * (((bytes[from + i] >> shift) & 3) - offset);
      }
    }
  }
};

const scales = new Uint8Array(8);
const minimums = new Uint8Array(8);

/** Unpacks the eight 6-bit scales and minimums that Q4_K and Q5_K keep in 12 bytes. */
function unpackScales(bytes: Uint8Array, at: number): void {
  for (let i = 0; i < 4; i++) {
    const low = bytes[at + i];
    const middle = bytes[at + 4 + i];
    const rest = bytes[at + 8 + i];
    scales[i] = low & 63;
    minimums[i] = middle & 63;
    scales[i + 4] = (rest & 15) | ((low >> 2) & 48);
    minimums[i + 4] = (rest >> 4) | ((middle >> 2) & 48);
  }
}

/** d, dmin, 12 bytes of scales, 128 of nibbles: d s q - dmin m, in groups of 32. */
export const decodeQ4K: BlockDecoder = (bytes, out, blocks) => {
  const half = f16Values();
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 144) {
    const d = half[bytes[at] | (bytes[at + 1] << 8)];
    const dmin = half[bytes[at + 2] | (bytes[at + 3] << 8)];
    unpackScales(bytes, at + 4);
    for (let group = 0; group < 8; group++) {
      const scale = d * scales[group];
      const minimum = dmin * minimums[group];
      const from = at + 16 + (group >> 1) * 32;
      const shift = (group & 1) * 4;
      for (let i = from; i < from + 32; i++) out[to++] = scale * ((bytes[i] >> shift) & 15) - minimum;
    }
  }
};

/** d, dmin, 12 bytes of scales, 32 of fifth bits, 128 of nibbles: d s q - dmin m, in groups of 32. */
export const decodeQ5K: BlockDecoder = (bytes, out, blocks) => {
  const half = f16Values();
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 176) {
    const d = half[bytes[at] | (bytes[at + 1] << 8)];
    const dmin = half[bytes[at + 2] | (bytes[at + 3] << 8)];
    unpackScales(bytes, at + 4);
    for (let group = 0; group < 8; group++) {
      const scale = d * scales[group];
      const minimum = dmin * minimums[group];
      const from = at + 48 + (group >> 1) * 32;
      const shift = (group & 1) * 4;
      for (let i = 0; i < 32; i++) {
        const q = ((bytes[from + i] >> shift) & 15) | (((bytes[at + 16 + i] >> group) & 1) << 4);
        out[to++] = scale * q - minimum;
      }
    }
  }
};

/** 128 bytes of low nibbles, 64 of high pairs, 16 signed scales, d: d s (q - 32), in groups of 16. */
export const decodeQ6K: BlockDecoder = (bytes, out, blocks) => {
  const half = f16Values();
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 210) {
    const d = half[bytes[at + 208] | (bytes[at + 209] << 8)];
    for (let group = 0; group < 8; group++) {
      const low = at + (group >> 2) * 64 + (group & 1) * 32;
      const lowShift = ((group >> 1) & 1) * 4;
      const high = at + 128 + (group >> 2) * 32;
      const highShift = (group & 3) * 2;
      for (let part = 0; part < 2; part++) {
        const scale = d * ((bytes[at + 192 + group * 2 + part] << 24) >> 24);
        for (let i = part * 16; i < part * 16 + 16; i++) {
          const q = ((bytes[low + i] >> lowShift) & 15) | (((bytes[high + i] >> highShift) & 3) << 4);
          out[to++] = scale * (q - 32);
        }
      }
    }
  }
};

const one = new DataView(new ArrayBuffer(4));

/** d (float32), 256 signed bytes, 16 sums that only products use: d q. */
export const decodeQ8K: BlockDecoder = (bytes, out, blocks) => {
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 292) {
    for (let i = 0; i < 4; i++) one.setUint8(i, bytes[at + i]);
    const d = one.getFloat32(0, true);
    for (let i = at + 4; i < at + 260; i++) out[to++] = d * ((bytes[i] << 24) >> 24);
  }
};

/** d, 16 bits of high scale pairs, 4 bytes of low scale nibbles, 128 of nibbles: d (s - 32) level[q], in groups of 32. */
export const decodeIq4Xs: BlockDecoder = (bytes, out, blocks) => {
  const half = f16Values();
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 136) {
    const d = half[bytes[at] | (bytes[at + 1] << 8)];
    const highs = bytes[at + 2] | (bytes[at + 3] << 8);
    for (let group = 0; group < 8; group++, to += 32) {
      const low = (bytes[at + 4 + (group >> 1)] >> ((group & 1) * 4)) & 15;
      const scale = d * ((low | (((highs >> (group * 2)) & 3) << 4)) - 32);
      const from = at + 8 + group * 16;
      for (let i = 0; i < 16; i++) {
        const pair = bytes[from + i];
        out[to + i] = scale * iq4Levels[pair & 15];
        out[to + 16 + i] = scale * iq4Levels[pair >> 4];
      }
    }
  }
};
