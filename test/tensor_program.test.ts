/** Encoded programs, read back word by word; and the lists that kernels keep of what they understand. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeProgram } from '../src/backends/program.ts';
import { compile, f, type Plan } from '../src/tensor/index.ts';
import { elementwiseCodes, opcodes } from '../src/tensor/ops/opcodes.ts';
import { rowOf } from '../src/tensor/ops/table.ts';
import { DimVar } from '../src/tensor/shape.ts';
import { cook, recipes } from './tensor_graphs.ts';

const kernels = (name: string) => readFileSync(new URL(`../kernels/${name}`, import.meta.url), 'utf8');

/** The entries of a C enum with their values, counted where none is given. */
function enumOf(text: string, name: string): Record<string, number> {
  const body = new RegExp(`enum ${name} \\{([^}]*)\\}`).exec(text)![1];
  let next = 0;
  const entries = body.replace(/\/\*[\s\S]*?\*\//g, '').split(',');
  return Object.fromEntries(
    entries.flatMap((entry): [string, number][] => {
      const found = /(\w+)(?:\s*=\s*(\d+))?/.exec(entry);
      if (!found) return [];
      const value = found[2] === undefined ? next : Number(found[2]);
      next = value + 1;
      return [[found[1], value]];
    }),
  );
}

const snake = (name: string) => name.replace(/([A-Z])/g, '_$1').toUpperCase();
const dtypeNames = new Map(
  Object.entries(enumOf(kernels('ink.h'), 'ink_dtype')).map(([name, code]) => [
    code,
    name.replace('INK_', '').toLowerCase(),
  ]),
);
const opcodeNames = new Map(Object.entries(enumOf(kernels('ink.h'), 'ink_opcode')).map(([name, code]) => [code, name]));

interface ReadStep {
  readonly opcode: string;
  readonly barrier: boolean;
  readonly inputs: readonly number[];
  readonly output: number;
  readonly ints: readonly number[];
  readonly floats: readonly number[];
}

/** A program as the comment of `encodeProgram` describes it. Throws where the words do not add up. */
function read(words: Int32Array) {
  let at = 0;
  const next = () => {
    if (at >= words.length) throw new Error('cut short');
    return words[at++];
  };
  const some = (count: number) => Array.from({ length: count }, next);
  const [magic, version, dims, slots, tensorCount, stepCount] = some(6);
  const tensors = Array.from({ length: tensorCount }, () => {
    const [dtype, slot, low, high, rank, ...shape] = some(10);
    if (shape.slice(rank).some((dim) => dim !== 1)) throw new Error('dimensions beyond the rank are 1');
    return { dtype: dtypeNames.get(dtype)!, slot, offset: (low >>> 0) + high * 2 ** 32, shape: shape.slice(0, rank) };
  });
  const steps = Array.from({ length: stepCount }, (): ReadStep => {
    const start = at;
    const [length, opcode, flags, inputCount] = some(4);
    const inputs = some(inputCount);
    const output = next();
    const ints = some(next());
    const floats = [...new Float32Array(Int32Array.from(some(next())).buffer)];
    if (at - start !== length) throw new Error(`a step of ${length} words took ${at - start}`);
    if (flags > 1) throw new Error('unknown flags');
    return { opcode: opcodeNames.get(opcode)!, barrier: flags === 1, inputs, output, ints, floats };
  });
  if (at !== words.length) throw new Error('words are left');
  return { magic, version, dims, slots, tensors, steps };
}

function expectSame(plan: Plan): void {
  const program = read(encodeProgram(plan));
  expect(program.magic).toBe(new DataView(new TextEncoder().encode('INK1').buffer).getInt32(0, true));
  expect([program.version, program.dims, program.slots]).toEqual([1, plan.dims.length, plan.parameters.length + 1]);
  expect(program.tensors).toEqual(
    plan.tensors.map(({ dtype, slot, offset, shape }) => ({
      dtype,
      slot,
      offset,
      shape: shape.map((dim) => (typeof dim === 'number' ? dim : -1 - plan.dims.indexOf(dim))),
    })),
  );
  expect(program.steps.map(({ inputs, output, barrier }) => ({ inputs, output, barrier }))).toEqual(
    plan.steps.map(({ inputs, output, barrier }) => ({ inputs: [...inputs], output, barrier })),
  );
  program.steps.forEach(({ opcode }, i) => {
    const { kernel } = rowOf(plan.steps[i].op);
    if (kernel === 'view') throw new Error('a view is no step');
    expect(opcode).toBe(`INK_${snake(kernel.opcode)}`);
  });
}

describe('an encoded program', () => {
  it('says what the plan says', () => {
    fc.assert(
      fc.property(recipes, fc.boolean(), (recipe, variable) => {
        const graph = cook(recipe, variable ? new DimVar('n', 5) : 3);
        for (const precision of ['exact', 'fast'] as const) expectSame(compile(graph.outputs, { precision }));
      }),
      { numRuns: 100, seed: 20261124 },
    );
  });

  it('carries attributes as kernels/README.md lists them', () => {
    const x = f.input('x', 'f32', [2, 3, 4]);
    const [only] = read(encodeProgram(compile({ y: f.slice(x, 2, 1, 3) }))).steps;
    expect(only).toMatchObject({
      opcode: 'INK_STRIDED_COPY',
      ints: [1, 12, 4, 1, 0, 0x7fffffff, 0, 0x7fffffff, 0, 0x7fffffff],
    });
    const [pad] = read(encodeProgram(compile({ y: f.pad(x, 1, 2, 1) }))).steps;
    expect(pad.ints).toEqual([-8, 12, 4, 1, 0, 0x7fffffff, 2, 5, 0, 0x7fffffff]);
    const n = new DimVar('n', 5);
    const [permute] = read(encodeProgram(compile({ y: f.permute(f.input('x', 'f32', [2, n, 4]), [1, 0, 2]) }))).steps;
    // the stride of axis 0 is the product of what follows it: only a run knows
    expect(permute.ints.slice(0, 4)).toEqual([0, 4, -2, 1]);
    const [norm] = read(
      encodeProgram(compile({ y: f.normalize(x, null, null, { kind: 'rms', eps: 0.5, weightOffset: 1 }) })),
    ).steps;
    expect(norm).toMatchObject({ ints: [1], floats: [0.5, 1], inputs: [0, -1, -1] });
    const q = f.input('q', 'f32', [1, 2, 1, 4]);
    const [attend] = read(
      encodeProgram(compile({ y: f.attention(q, q, q, {}, { scale: 0.5, window: 3, softcap: 8 }) })),
    ).steps;
    expect(attend).toMatchObject({ ints: [3], floats: [0.5, 8, 0] });
    const y = f.clamp(f.add(f.sum(x, 2), f.affine(f.sum(x, 1), 2, 3)), -1, Number.POSITIVE_INFINITY);
    const { ints, floats } = read(encodeProgram(compile({ y }))).steps.at(-1)!;
    const { add, clamp } = elementwiseCodes;
    expect(ints).toEqual([2, add, 0, 1, -1, clamp, 2, -1, -1]);
    expect(floats).toEqual([0, 0, -1, Number.POSITIVE_INFINITY]);
  });

  it('has offsets beyond 4 GiB', () => {
    const large = f.parameter('large', 'f32', [3, 2 ** 30]);
    const plan = compile({ y: f.sum(f.slice(large, 0, 2, 3), 1) });
    expect(read(encodeProgram(plan)).tensors.find(({ shape }) => shape[0] === 1 && shape[1] > 1)!.offset).toBe(2 ** 33);
  });
});

describe('what kernels and plans agree on', () => {
  it('element-wise codes are those of kernels/elementwise.c', () => {
    const ts = Object.fromEntries(Object.entries(elementwiseCodes).map(([name, code]) => [snake(name), code]));
    expect(ts).toEqual(enumOf(kernels('elementwise.c'), 'code'));
  });

  it('every opcode has a row in kernels/README.md', () => {
    const documented = [...kernels('README.md').matchAll(/^\| ([A-Z0-9_, ]+) \|/gm)].flatMap(([, names]) =>
      names.split(', '),
    );
    expect(documented.sort()).toEqual(Object.keys(opcodes).map(snake).sort());
  });

  it('encode and decode sizes of types alike', async () => {
    const { dtypes } = await import('../src/tensor/dtype.ts');
    const listed = kernels('program.c').matchAll(/\[INK_(\w+)\] = \{(\d+), (\d+)\}/g);
    const sizes = Object.fromEntries(
      [...listed].map(([, name, block, bytes]) => [name.toLowerCase(), [Number(block), Number(bytes)]]),
    );
    expect(sizes).toEqual(
      Object.fromEntries(Object.entries(dtypes).map(([name, { block, bytes }]) => [name, [block, bytes]])),
    );
  });
});
