/** GGUF: a published model read as its makers' own package reads it, and files written here read back. */

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FileSource } from '../src/node/file_source.ts';
import { readGguf } from '../src/weights/gguf.ts';
import { type GgufMetadata, writeGguf } from '../src/weights/gguf_writer.ts';
import { tensorBytes, tensorFloat32 } from '../src/weights/model_file.ts';
import { fromFloat32 } from '../src/weights/quants/index.ts';
import { tensorToWrite } from '../src/weights/safetensors_writer.ts';
import { MemorySink, MemorySource } from '../src/weights/source.ts';

const model = fileURLToPath(new URL('../../shared/data/models/SmolLM2-135M-Instruct.Q4_1.gguf', import.meta.url));
const samples = fileURLToPath(new URL('../../shared/golden/smollm2/dequant.json', import.meta.url));

interface Sample {
  tensor: string;
  type: string;
  shape_gguf_order: number[];
  first_64: number[];
  offset: number;
  at_offset_64: number[];
}

describe.skipIf(!existsSync(model) || !existsSync(samples))(
  'SmolLM2-135M (needs ../shared/data, ../shared/golden)',
  () => {
    // The body of a skipped suite runs as well: without the file it looks at nothing.
    const source = existsSync(model) ? new FileSource(model) : new MemorySource('none', new Uint8Array(0));
    const file = existsSync(model) ? readGguf(source) : (undefined as never);

    it('has the metadata that its makers wrote', () => {
      expect(file.metadata.size).toBe(33);
      expect(file.tensors.size).toBe(272);
      expect(file.metadata.get('general.architecture')).toBe('llama');
      expect(file.metadata.get('llama.rope.freq_base')).toBe(100000);
      expect(file.metadata.get('llama.attention.layer_norm_rms_epsilon')).toBe(Math.fround(1e-5));
      expect(file.metadata.get('tokenizer.ggml.add_bos_token')).toBe(false);
      const tokens = file.metadata.get('tokenizer.ggml.tokens') as string[];
      expect(tokens).toHaveLength(49152);
      expect(tokens.slice(0, 4)).toEqual(['<|endoftext|>', '<|im_start|>', '<|im_end|>', '<repo_name>']);
      expect((file.metadata.get('tokenizer.ggml.merges') as string[]).slice(0, 3)).toEqual(['Ġ t', 'Ġ a', 'i n']);
      expect(file.metadataTypes?.get('tokenizer.ggml.token_type')).toBe('int32');
      expect(file.tensors.get('blk.0.ffn_down.weight')).toMatchObject({
        type: 'q4_1',
        shape: [576, 1536],
        offset: 31868992,
        byteLength: 552960,
      });
    });

    it('decodes to within one unit in the last place of the recorded samples', () => {
      const ulp = (value: number): number => 2 ** (Math.floor(Math.log2(Math.abs(value) || 2 ** -126)) - 23);
      const recorded: Sample[] = JSON.parse(readFileSync(samples, 'utf8'));
      expect(recorded.length).toBeGreaterThan(3);
      for (const sample of recorded) {
        const entry = file.tensors.get(sample.tensor);
        if (!entry) throw new Error(sample.tensor);
        expect([...entry.shape].reverse()).toEqual(sample.shape_gguf_order);
        expect(entry.type).toBe(sample.type.toLowerCase());
        const values = tensorFloat32(entry);
        const check = (from: number, expected: number[]): void => {
          for (const [i, value] of expected.entries()) {
            expect(Math.abs(values[from + i] - Math.fround(value))).toBeLessThanOrEqual(ulp(value));
          }
        };
        check(0, sample.first_64);
        check(sample.offset, sample.at_offset_64);
      }
    });

    it('decodes all 135 million weights in seconds', () => {
      const start = performance.now();
      let count = 0;
      for (const entry of file.tensors.values()) count += tensorFloat32(entry).length;
      expect(count).toBe(134515008);
      expect(performance.now() - start).toBeLessThan(10_000);
    });
  },
);

describe('written files', () => {
  const metadata = new Map<string, GgufMetadata>([
    ['general.architecture', { type: 'string', value: 'test' }],
    ['a.u8', { type: 'uint8', value: 255 }],
    ['a.i8', { type: 'int8', value: -128 }],
    ['a.u16', { type: 'uint16', value: 65535 }],
    ['a.i16', { type: 'int16', value: -32768 }],
    ['a.u32', { type: 'uint32', value: 4294967295 }],
    ['a.i32', { type: 'int32', value: -2147483648 }],
    ['a.f32', { type: 'float32', value: 0.5 }],
    ['a.bool', { type: 'bool', value: true }],
    ['a.u64', { type: 'uint64', value: 2n ** 64n - 1n }],
    ['a.i64', { type: 'int64', value: -5 }],
    ['a.f64', { type: 'float64', value: Math.PI }],
    ['a.text', { type: 'string', value: '砚 inkstone' }],
    ['a.texts', { type: 'string', value: ['', 'Ġthe', '墨'] }],
    ['a.empty', { type: 'int32', value: [] }],
    ['a.nested', { type: 'int16', value: [[1, 2], [3]] }],
  ]);
  const values = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i));
  const write = (): Uint8Array => {
    const sink = new MemorySink();
    writeGguf(sink, metadata, [
      tensorToWrite('scalar', 'f32', [], fromFloat32('f32', values.subarray(0, 1))),
      tensorToWrite('odd', 'f16', [3], fromFloat32('f16', values.subarray(0, 3))),
      tensorToWrite('blocks', 'q8_0', [2, 32], fromFloat32('q8_0', values)),
      tensorToWrite('empty', 'f32', [0, 4], new Uint8Array(0)),
    ]);
    return sink.toBytes();
  };

  it('read back equal: every metadata type, every shape', () => {
    const bytes = write();
    const file = readGguf(new MemorySource('m.gguf', bytes));
    for (const [key, { type, value }] of metadata) {
      expect([key, file.metadata.get(key)]).toEqual([key, value]);
      expect(file.metadataTypes?.get(key)).toBe(type);
    }
    expect([...file.tensors.values()].map(({ name, type, shape }) => ({ name, type, shape }))).toEqual([
      { name: 'scalar', type: 'f32', shape: [] },
      { name: 'odd', type: 'f16', shape: [3] },
      { name: 'blocks', type: 'q8_0', shape: [2, 32] },
      { name: 'empty', type: 'f32', shape: [0, 4] },
    ]);
    const blocks = file.tensors.get('blocks');
    expect(blocks && tensorBytes(blocks)).toEqual(fromFloat32('q8_0', values));
    const rewritten = new MemorySink();
    writeGguf(
      rewritten,
      new Map([...file.metadata].map(([key, value]) => [key, { type: file.metadataTypes!.get(key)!, value }])),
      [...file.tensors.values()].map((entry) => tensorToWrite(entry.name, entry.type, entry.shape, tensorBytes(entry))),
    );
    expect(rewritten.toBytes()).toEqual(bytes);
  });

  it('refuses every truncation with one clear error', () => {
    const bytes = write();
    for (let length = 0; length < bytes.length - 32; length++) {
      expect(() => readGguf(new MemorySource('m.gguf', bytes.subarray(0, length)))).toThrow(/^m\.gguf: /);
    }
  });

  it('refuses big-endian files, other versions, and counts that the file cannot hold', () => {
    const patched = (at: number, ...patch: number[]): MemorySource => {
      const bytes = write();
      bytes.set(patch, at);
      return new MemorySource('m.gguf', bytes);
    };
    expect(() => readGguf(patched(4, 0, 0, 0, 3))).toThrow(/big-endian/);
    expect(() => readGguf(patched(4, 1, 0, 0, 0))).toThrow(/version 1 is not read/);
    expect(() => readGguf(patched(8, 255, 255, 15))).toThrow(/tensor count: 1048575 of at least 24 bytes/);
    expect(() => readGguf(patched(16, 255, 255, 255, 255, 255, 255, 255, 255))).toThrow(/metadata count/);
    expect(() => readGguf(patched(0, 0x58))).toThrow(/begins with the letters GGUF/);
  });

  it('refuses what it could not write faithfully', () => {
    const attempt = (value: GgufMetadata) => () => writeGguf(new MemorySink(), new Map([['k', value]]), []);
    expect(attempt({ type: 'uint8', value: 256 })).toThrow(/metadata k = 256: it does not fit a uint8/);
    expect(attempt({ type: 'int32', value: 1.5 })).toThrow(/does not fit/);
    expect(attempt({ type: 'string', value: 3 })).toThrow(/not a string/);
    const name = 'x'.repeat(70);
    expect(() => writeGguf(new MemorySink(), new Map(), [tensorToWrite(name, 'f32', [1], new Uint8Array(4))])).toThrow(
      /63/,
    );
    expect(() => writeGguf(new MemorySink(), new Map(), [tensorToWrite('t', 'f32', [2], new Uint8Array(4))])).toThrow(
      /4 bytes/,
    );
  });
});
