/**
 * TQ1_0 and TQ2_0: elements -1, 0 or 1 times one binary16 scale, 256 to a block. TQ2_0 takes 2 bits an element; TQ1_0
 * packs five base-3 digits in a byte, as a fraction of 256 so that a digit is the carry of a multiplication by 3.
 * Layouts: ggml-common.h.
 */

import { f16Values } from './float16.ts';
import type { BlockDecoder } from './small_blocks.ts';

const powers = [1, 3, 9, 27, 81];

/** TQ1_0's runs: bytes [0, 32) hold 5 digits each, [32, 48) 5, [48, 52) 4; digit n of a run's bytes lies together. */
export const tq1Runs: readonly { readonly from: number; readonly width: number; readonly digits: number }[] = [
  { from: 0, width: 32, digits: 5 },
  { from: 32, width: 16, digits: 5 },
  { from: 48, width: 4, digits: 4 },
];

export const decodeTq1_0: BlockDecoder = (bytes, out, blocks) => {
  const half = f16Values();
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 54) {
    const d = half[bytes[at + 52] | (bytes[at + 53] << 8)];
    for (const { from, width, digits } of tq1Runs) {
      for (let digit = 0; digit < digits; digit++) {
        const power = powers[digit];
        for (let i = at + from; i < at + from + width; i++) {
          out[to++] = d * (((((bytes[i] * power) & 255) * 3) >> 8) - 1);
        }
      }
    }
  }
};

export const decodeTq2_0: BlockDecoder = (bytes, out, blocks) => {
  const half = f16Values();
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 66) {
    const d = half[bytes[at + 64] | (bytes[at + 65] << 8)];
    for (let from = at; from < at + 64; from += 32) {
      for (let shift = 0; shift < 8; shift += 2) {
        for (let i = from; i < from + 32; i++) out[to++] = d * (((bytes[i] >> shift) & 3) - 1);
      }
    }
  }
};
