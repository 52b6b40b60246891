/** The lists that TypeScript and C must share. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { dtypes } from '../src/tensor/dtype.ts';
import { philox } from '../src/tensor/ops/lookup.ts';
import { opcodes } from '../src/tensor/ops/opcodes.ts';

const header = readFileSync(new URL('../kernels/ink.h', import.meta.url), 'utf8');
const constants = (name: string) => {
  const body = new RegExp(`enum ${name} \\{([^}]*)\\}`).exec(header)![1];
  return Object.fromEntries([...body.matchAll(/INK_(\w+) = (\d+)/g)].map(([, key, value]) => [key, Number(value)]));
};

it('opcodes are the same in TypeScript and C', () => {
  const { OPCODE_COUNT, ...c } = constants('ink_opcode');
  const ts = Object.entries(opcodes).map(([name, code]) => [name.replace(/([A-Z])/g, '_$1').toUpperCase(), code]);
  expect(Object.fromEntries(ts)).toEqual(c);
  expect(OPCODE_COUNT).toBe(ts.length);
});

it('dtype codes are the same in TypeScript and C', () => {
  const { DTYPE_COUNT, ...c } = constants('ink_dtype');
  expect(Object.fromEntries(Object.entries(dtypes).map(([name, { code }]) => [name.toUpperCase(), code]))).toEqual(c);
  expect(DTYPE_COUNT).toBe(Object.keys(dtypes).length);
});

it('Philox gives the published vectors (Random123, kat_vectors)', () => {
  const hex = (words: number[]) => words.map((word) => word.toString(16).padStart(8, '0'));
  expect(hex(philox([0, 0, 0, 0], [0, 0]))).toEqual(['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']);
  const ones = 0xffffffff;
  expect(hex(philox([ones, ones, ones, ones], [ones, ones]))).toEqual(['408f276d', '41c83b0e', 'a20bc7c6', '6d5451fd']);
  const pi = philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]);
  expect(hex(pi)).toEqual(['d16cfe09', '94fdcceb', '5001e420', '24126ea1']);
});
