/**
 * Files written by safetensors, torch and gguf themselves (test/oracles/make_weights.py) hold here what those say they
 * hold, and files that are not plain weights are refused by name.
 */

import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FileSource, writeFileAtomically } from '../src/node/file_source.ts';
import { readGguf } from '../src/weights/gguf.ts';
import { tensorBytes, tensorFloat32, type WeightFile } from '../src/weights/model_file.ts';
import { readSafetensors, readSharded } from '../src/weights/safetensors.ts';
import { tensorToWrite, writeSafetensors } from '../src/weights/safetensors_writer.ts';
import { type ByteSource, MemorySink, MemorySource } from '../src/weights/source.ts';
import { readTorch } from '../src/weights/torch.ts';

const folder = new URL('./golden/weights/', import.meta.url);
const open = (name: string): MemorySource =>
  new MemorySource(name, new Uint8Array(readFileSync(new URL(name, folder))));

type Facts = Record<string, { dtype: string; shape: number[]; values: number[] }>;
const expected: Record<string, Facts> = JSON.parse(readFileSync(new URL('expected.json', folder), 'utf8'));
const typeNames: Record<string, string> = {
  float64: 'f64',
  float32: 'f32',
  float16: 'f16',
  bfloat16: 'bf16',
  int8: 'i8',
  int16: 'i16',
  int32: 'i32',
  int64: 'i64',
  uint8: 'u8',
  uint16: 'u16',
  float8_e4m3fn: 'f8_e4m3',
  float8_e5m2: 'f8_e5m2',
};

function check(file: WeightFile, facts: Facts): void {
  expect([...file.tensors.keys()].sort()).toEqual(Object.keys(facts).sort());
  for (const [name, { dtype, shape, values }] of Object.entries(facts)) {
    const entry = file.tensors.get(name)!;
    expect([name, entry.type]).toEqual([name, typeNames[dtype] ?? dtype]);
    expect([name, entry.shape]).toEqual([name, shape]);
    expect([name, [...tensorFloat32(entry)]]).toEqual([name, values.map(Math.fround)]);
  }
}

describe('files of the field', () => {
  it('safetensors: every element type, metadata', () => {
    const file = readSafetensors(open('every.safetensors'));
    check(file, expected['every.safetensors']);
    expect(file.metadata).toEqual(
      new Map([
        ['format', 'pt'],
        ['note', '砚'],
      ]),
    );
  });
  it('torch: every element type, views, expanded and tied tensors', () =>
    check(readTorch(open('every.pt')), expected['every.pt']));
  it('torch before 1.6', () => check(readTorch(open('legacy.bin')), expected['legacy.bin']));
  it('torch with pickle protocol 5', () => check(readTorch(open('protocol5.pt')), expected['protocol5.pt']));
  it('torch: a training checkpoint with nested dicts', () => {
    const file = readTorch(open('nested.pt'));
    check(file, expected['nested.pt']);
    expect(Object.fromEntries(file.metadata)).toMatchObject({
      iter_num: 7,
      best: 1.25,
      'config.n_layer': 2,
      'config.bias': true,
    });
  });
  it('GGUF: every metadata type, block types', () => {
    const file = readGguf(open('every.gguf'));
    check(file, expected['every.gguf']);
    expect(Object.fromEntries(file.metadata)).toEqual({
      'general.architecture': 'llama',
      'v.u8': 200,
      'v.i8': -100,
      'v.u16': 60000,
      'v.i16': -30000,
      'v.u32': 4000000000,
      'v.i32': -2000000000,
      'v.u64': 2n ** 63n + 1n,
      'v.i64': -(2 ** 40),
      'v.f32': 0.25,
      'v.f64': 0.1,
      'v.bool': true,
      'v.text': '砚台',
      'v.texts': ['Ġa', '', '墨'],
      'v.ints': [1, -2, 3],
      'v.floats': [0.5, 1.5],
      'v.bools': [true, false],
    });
  });
});

describe('what is not plain weights', () => {
  it('names the function that a hostile pickle would call, and does not call it', () => {
    expect(() => readTorch(open('evil.pt'))).toThrow(/refers to posix\.system, which is no part of plain weights/);
    expect(existsSync('/tmp/inkstone-was-here')).toBe(false);
  });
  it('names the class of a pickled module', () => {
    expect(() => readTorch(open('module.pt'))).toThrow(/torch\.nn\.modules\.linear\.Linear/);
  });
  it('names an element type that is not read', () => {
    expect(() => readTorch(open('complex.pt'))).toThrow(/torch\.ComplexFloatStorage/);
  });
  it('spells no list that is named among the storages of an older file: each holds the one before twice', () => {
    const levels = 60;
    const lists = Array.from({ length: levels }, (_, i) => [0x5d, 0x28, 0x68, i, 0x68, i, 0x65, 0x71, i + 1]).flat();
    const bytes = Uint8Array.of(
      ...[0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e],
      ...[0x80, 2, 0x4d, 0xe9, 0x03, 0x2e, 0x80, 2, 0x7d, 0x2e, 0x80, 2, 0x7d, 0x2e],
      ...[0x80, 2, 0x5d, 0x5d, 0x71, 0, ...lists, 0x61, 0x2e],
    );
    const start = performance.now();
    expect(() => readTorch(new MemorySource('m', bytes))).toThrow(/storage keys: a key stands for no storage/);
    expect(performance.now() - start).toBeLessThan(1000);
  });
  it('refuses every truncation of every file with one clear error', () => {
    for (const [name, read] of [
      ['every.safetensors', readSafetensors],
      ['every.pt', readTorch],
      ['legacy.bin', readTorch],
      ['every.gguf', readGguf],
    ] as const) {
      const source = open(name);
      const last = name === 'every.gguf' ? source.size - 32 : source.size;
      for (let size = 0; size < last; size += 3) {
        expect(() => read(new MemorySource(name, source.bytes(0, size)))).toThrow(
          new RegExp(`^${name.replace('.', '\\.')}: `),
        );
      }
    }
  });
});

describe('safetensors headers', () => {
  const make = (header: string, data = 16, length?: number): MemorySource => {
    const text = new TextEncoder().encode(header);
    const bytes = new Uint8Array(8 + text.length + data);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(length ?? text.length), true);
    bytes.set(text, 8);
    return new MemorySource('m', bytes);
  };
  const entry = (begin: number, end: number, shape = `[${(end - begin) / 4}]`, dtype = 'F32'): string =>
    `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;
  const refused: [string, MemorySource, RegExp][] = [
    ['a length beyond the file', make('{}', 0, 2 ** 40), /header length: 1099511627776 bytes; the format allows/],
    ['a length just beyond the file', make('{}', 0, 3), /3 bytes, but only 2 follow/],
    [
      'overlap',
      make(`{"a":${entry(0, 8)},"b":${entry(4, 16)}}`),
      /"b": its data begin at byte \d+, inside the tensor before/,
    ],
    ['a gap', make(`{"a":${entry(0, 8)},"b":${entry(12, 16)}}`), /allows no gaps/],
    ['data that no tensor owns', make(`{"a":${entry(0, 8)}}`), /8 bytes follow the last tensor/],
    ['a name twice', make(`{"a":${entry(0, 8)},"a":${entry(8, 16)}}`), /a member twice/],
    ['a wrong size', make(`{"a":${entry(0, 16, '[3]')}}`), /takes 12 bytes, but its data_offsets span 16/],
    [
      'an overflowing shape',
      make(`{"a":${entry(0, 16, '[4294967296,4294967296]')}}`),
      /more elements than can be counted/,
    ],
    [
      'an overflow hidden by zero',
      make(`{"a":${entry(0, 0, '[4294967296,4294967296,0]')}}`, 0),
      /more elements than can be counted/,
    ],
    ['a fraction', make(`{"a":${entry(0, 16, '[1.5]')}}`), /1\.5, which is not a count/],
    ['a negative dimension', make(`{"a":${entry(0, 16, '[-4]')}}`), /-4, which is not a count/],
    ['an unknown type', make(`{"a":${entry(0, 16, '[4]', 'F4')}}`), /"F4" is not an element type/],
    ['offsets turned round', make(`{"a":${entry(8, 0, '[2]')}}`), /not a range/],
    ['metadata that is no text', make('{"__metadata__":{"k":1}}', 0), /__metadata__\.k: it is not a string/],
    ['a list', make('[]', 0), /not a JSON object/],
    ['half a header', make('{"a":', 0), /not JSON/],
    ['bytes that are no text', new MemorySource('m', Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe)), /not UTF-8/],
    ['a header of nothing but brackets', make('['.repeat(1 << 20), 0), /not JSON/],
    ['deep nesting', make(`{"a":${'['.repeat(1 << 18)}${']'.repeat(1 << 18)}}`, 0), /not a JSON object/],
  ];
  for (const [what, source, message] of refused)
    it(`refuses ${what}`, () => expect(() => readSafetensors(source)).toThrow(message));

  it('reads names that JavaScript treats specially', () => {
    const file = readSafetensors(make(`{"__proto__":${entry(0, 8)},"7":${entry(8, 16)}}`));
    expect([...file.tensors.keys()].sort()).toEqual(['7', '__proto__']);
    const sink = new MemorySink();
    writeSafetensors(
      sink,
      [...file.tensors.values()].map((e) => tensorToWrite(e.name, e.type, e.shape, tensorBytes(e))),
    );
    expect([...readSafetensors(new MemorySource('w', sink.toBytes())).tensors.keys()].sort()).toEqual([
      '7',
      '__proto__',
    ]);
  });

  it('writes what it reads', () => {
    const file = readSafetensors(open('every.safetensors'));
    const sink = new MemorySink();
    writeSafetensors(
      sink,
      [...file.tensors.values()]
        .map((e) => tensorToWrite(e.name, e.type, e.shape, tensorBytes(e)))
        .filter((t) => !t.type.startsWith('u1')),
      { format: 'pt' },
    );
    const { u16: _, ...facts } = expected['every.safetensors'];
    check(readSafetensors(new MemorySource('again', sink.toBytes())), facts);
  });
});

describe('sharded models', () => {
  const shard = (name: string): MemorySource => {
    const sink = new MemorySink();
    writeSafetensors(sink, [tensorToWrite(name, 'u8', [1], Uint8Array.of(7))]);
    return new MemorySource(name, sink.toBytes());
  };
  const index = (map: unknown): MemorySource =>
    new MemorySource('index', new TextEncoder().encode(JSON.stringify({ weight_map: map })));

  it('are the union of their parts', () => {
    const file = readSharded(index({ a: 'a', b: 'b' }), shard);
    expect([...file.tensors.values()].map((entry) => entry.source.name)).toEqual(['a', 'b']);
  });
  it('may not reach out of their folder, nor promise what is not there', () => {
    for (const path of ['../a', '/etc/passwd', 'x\\a', '..', '', 'c:a']) {
      expect(() => readSharded(index({ a: path }), shard)).toThrow(/not the name of a file beside the index/);
    }
    expect(() => readSharded(index({ a: 'b' }), shard)).toThrow(/b has no tensor of this name/);
  });
});

const models = fileURLToPath(new URL('../../shared/golden/models/', import.meta.url));
it.skipIf(!existsSync(models))(
  'every golden model opens, every tensor is finite (needs ../shared/golden/models)',
  () => {
    let count = 0;
    for (const name of readdirSync(models)) {
      if (name.endsWith('.json')) continue;
      const at = (file: string): ByteSource => new FileSource(`${models}${name}/${file}`);
      const files = readdirSync(models + name);
      const file = files.includes('model.safetensors.index.json')
        ? readSharded(at('model.safetensors.index.json'), at)
        : files.includes('pytorch_model.bin')
          ? readTorch(at('pytorch_model.bin'))
          : readSafetensors(at('model.safetensors'));
      expect(file.tensors.size).toBeGreaterThan(10);
      for (const entry of file.tensors.values()) {
        const bad = tensorFloat32(entry).some((value) => !Number.isFinite(value) && value > 0);
        expect([name, entry.name, bad]).toEqual([name, entry.name, false]);
      }
      count++;
    }
    expect(count).toBe(20);
  },
);

it('a file appears when it is complete, or not at all', () => {
  const folder = mkdtempSync(join(tmpdir(), 'inkstone-'));
  const path = join(folder, 'test-atomic.bin');
  writeFileAtomically(path, (sink) => sink.write(new Uint8Array(3 << 20).fill(1)));
  expect(() =>
    writeFileAtomically(path, (sink) => {
      sink.write(new Uint8Array(5));
      throw new Error('interrupted');
    }),
  ).toThrow('interrupted');
  expect(readFileSync(path).length).toBe(3 << 20);
  expect(readdirSync(folder).filter((name) => name.includes('test-atomic'))).toEqual(['test-atomic.bin']);
});
