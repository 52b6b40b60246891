/**
 * gpt-oss files keep expert matrices as two tensors: nibbles (…, blocks, 16) and a shared exponent for each block (…, blocks). Here they
 * become the interleaved blocks that GGML defines as MXFP4 and the kernels read: the exponent, then 16 bytes whose low nibbles are
 * elements 0 … 15 and whose high nibbles are elements 16 … 31 (the file's byte i holds elements 2i and 2i + 1).
 */
import { FileFormatError } from '../errors.ts';
import { sizeOf } from '../tensor/shape.ts';
import { type TensorEntry, tensorBytes } from '../weights/index.ts';

export function packMxfp4(
  blocks: TensorEntry,
  scales: TensorEntry,
): { dtype: 'mxfp4'; shape: number[]; bytes: Uint8Array } {
  const lead = blocks.shape.slice(0, -2);
  const [perRow, half] = blocks.shape.slice(-2);
  const fits =
    half === 16 && blocks.type === 'u8' && scales.type === 'u8' && sizeOf(scales.shape) * 16 === sizeOf(blocks.shape);
  if (!fits) {
    const problem = `blocks (${blocks.shape}) of ${blocks.type} and scales (${scales.shape}) of ${scales.type} are not MXFP4`;
    throw new FileFormatError(blocks.source.name, blocks.name, problem);
  }
  const nibbles = tensorBytes(blocks);
  const exponents = tensorBytes(scales);
  const bytes = new Uint8Array(exponents.length * 17);
  for (let b = 0; b < exponents.length; b++) {
    bytes[b * 17] = exponents[b];
    for (let i = 0; i < 16; i++) {
      const element = (j: number) => (nibbles[b * 16 + (j >> 1)] >> (4 * (j & 1))) & 15;
      bytes[b * 17 + 1 + i] = element(i) | (element(i + 16) << 4);
    }
  }
  return { dtype: 'mxfp4', shape: [...lead, perRow * 32], bytes };
}
