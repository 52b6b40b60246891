/**
 * Quantised blocks against vectors made with GGML's own Python package (golden/quants: see its manifest), and the
 * 16-bit floats against every pattern there is.
 */

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type WeightType, weightTypeInfo } from '../src/weights/dtype.ts';
import { f16ToF32, f32ToBf16, f32ToF16, fromFloat32, isEncodable, toFloat32 } from '../src/weights/quants/index.ts';

const folder = new URL('./golden/quants/', import.meta.url);
const bytesOf = (name: string): Uint8Array => new Uint8Array(readFileSync(new URL(name, folder)));
const floatsOf = (name: string): Float32Array => new Float32Array(bytesOf(name).slice().buffer);
const bits = (values: Float32Array): Uint32Array => new Uint32Array(values.buffer, values.byteOffset, values.length);

interface Manifest {
  dequantize: Record<
    string,
    { rows: number; cols: number; block_size: number; type_size: number; blocks: string; out: string }
  >;
  quantize: Record<string, { in: string; blocks: string }>;
}
const manifest: Manifest = JSON.parse(readFileSync(new URL('manifest.json', folder), 'utf8'));

describe('golden blocks', () => {
  for (const [name, facts] of Object.entries(manifest.dequantize)) {
    const type = name.toLowerCase() as WeightType;
    it(`${name} decodes exactly`, () => {
      expect(weightTypeInfo(type)).toMatchObject({ blockSize: facts.block_size, blockBytes: facts.type_size });
      const values = toFloat32(type, bytesOf(facts.blocks), facts.rows * facts.cols);
      expect(bits(values)).toEqual(bits(floatsOf(facts.out)));
    });
    it(`${name} decodes the same at an odd address`, () => {
      const blocks = bytesOf(facts.blocks);
      const moved = new Uint8Array(blocks.length + 1);
      moved.set(blocks, 1);
      const values = toFloat32(type, moved.subarray(1), facts.rows * facts.cols);
      expect(bits(values)).toEqual(bits(floatsOf(facts.out)));
    });
  }
  for (const [name, facts] of Object.entries(manifest.quantize)) {
    it(`${name} encodes to exactly those blocks`, () => {
      const type = name.toLowerCase() as WeightType;
      if (!isEncodable(type)) throw new Error(`${type} has no encoder`);
      expect(fromFloat32(type, floatsOf(facts.in))).toEqual(bytesOf(facts.blocks));
    });
  }
});

describe('16-bit floats', () => {
  it('every binary16 pattern survives the way through float32', () => {
    for (let pattern = 0; pattern < 0x10000; pattern++) {
      const value = f16ToF32(pattern);
      const back = f32ToF16(value);
      if (Number.isNaN(value)) expect(back & 0x7c00 && (back & 0x3ff) !== 0).toBe(true);
      else if (back !== pattern) expect(back).toBe(pattern);
    }
  });

  it('rounds to the nearest binary16, ties to even, by brute force between neighbours', () => {
    for (let pattern = 0; pattern < 0x7bff; pattern++) {
      const low = f16ToF32(pattern);
      const high = f16ToF32(pattern + 1);
      const middle = (low + high) / 2;
      const even = pattern % 2 === 0 ? pattern : pattern + 1;
      const near = Math.fround(middle - (high - low) / 1024);
      const far = Math.fround(middle + (high - low) / 1024);
      if (f32ToF16(middle) !== even || f32ToF16(near) !== pattern || f32ToF16(far) !== pattern + 1) {
        expect([pattern, f32ToF16(middle), f32ToF16(near), f32ToF16(far)]).toEqual([
          pattern,
          even,
          pattern,
          pattern + 1,
        ]);
      }
    }
    expect(f32ToF16(65519.996)).toBe(0x7bff);
    expect(f32ToF16(65520)).toBe(0x7c00);
    expect(f32ToF16(-1e30)).toBe(0xfc00);
    expect(f32ToF16(-0)).toBe(0x8000);
    expect(f32ToF16(2 ** -25)).toBe(0);
    expect(f32ToF16(-(2 ** -25) * 1.5)).toBe(0x8001);
  });

  it('bfloat16 is the top half of a float32, rounded to even', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffffffff }), (pattern) => {
        const value = new Float32Array(Uint32Array.of(pattern).buffer)[0];
        const result = f32ToBf16(value);
        if (Number.isNaN(value)) return (result & 0x7f80) === 0x7f80 && (result & 0x7f) !== 0;
        const low = pattern & 0xffff;
        const top = pattern >>> 16;
        const up = low > 0x8000 || (low === 0x8000 && top % 2 === 1);
        return result === top + (up ? 1 : 0);
      }),
      { numRuns: 2000 },
    );
  });

  it('refuses what a type cannot hold rather than storing infinity', () => {
    expect(() => fromFloat32('f16', Float32Array.of(1e6), 'm', 't')).toThrow(/1000000 is beyond the range of F16/);
    expect(() => fromFloat32('q8_0', new Float32Array(32).fill(Number.NaN), 'm', 't')).toThrow(/element 0 is NaN/);
    expect(() => fromFloat32('q4_0', new Float32Array(32).fill(1e30), 'm', 't')).toThrow(/beyond the range/);
    expect(() => fromFloat32('q8_0', new Float32Array(33))).toThrow(/do not divide/);
  });
});
