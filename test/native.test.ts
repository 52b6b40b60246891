/** The native library itself: hostile programs, pools, exits. What its kernels compute is the concern of ops_backends.test.ts. */
import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createNativeBackend } from '../src/backends/native/backend.ts';
import { encodeProgram } from '../src/backends/program.ts';
import { nativeStatus } from '../src/node/native_addon.ts';
import { compile, f, type Plan } from '../src/tensor/index.ts';
import { philox } from '../src/tensor/ops/lookup.ts';

const { addon, path, tried } = nativeStatus();
const missing = addon ? null : `no native library: ${tried.join('; ')}`;

/** A plan with a product, a normalisation, a choice of rows and a sum. */
function samplePlan(): Plan {
  const ids = f.input('ids', 'i32', [5]);
  const x = f.gather(f.parameter('table', 'f32', [11, 16]), ids);
  const y = f.matmul(f.softmax(x), f.parameter('w', 'f32', [7, 16]), false, true);
  return compile({ y: f.sum(f.permute(f.gelu(y), [1, 0]), 1) });
}

function load(plan: Plan, words: Int32Array, spare = 0) {
  const sizes = [plan.arenaBytes, 11 * 16 * 4, 7 * 16 * 4].map((bytes) => bytes + spare);
  const program = addon!.createProgram(
    words,
    Float64Array.from(sizes),
    Int32Array.from(plan.dims, ({ max }) => max),
  );
  const slots = sizes.map((bytes) => new Uint8Array(addon!.allocate(bytes)));
  slots.forEach((bytes, slot) => {
    addon!.bind(program, slot, bytes);
  });
  return { program, slots };
}

describe.skipIf(missing)('programs', () => {
  const plan = samplePlan();
  const words = encodeProgram(plan);

  it('are refused with the place of what is wrong', () => {
    const change = (at: number, value: number) => words.with(at, value);
    expect(() => load(plan, words.subarray(0, 3))).toThrow('not a program');
    expect(() => load(plan, change(1, 2))).toThrow('not a program');
    expect(() => load(plan, change(6, 99))).toThrow('tensor 0: unknown element type');
    expect(() => load(plan, change(8, 2 ** 30))).toThrow('tensor 0: tensor outside its slot');
    expect(() => load(plan, words.subarray(0, words.length - 1))).toThrow(/step \d+/);
    const firstStep = 6 + plan.tensors.length * 10;
    expect(() => load(plan, change(firstStep + 1, 77))).toThrow('step 0: unknown opcode');
    expect(() => load(plan, change(firstStep + 4, plan.tensors.length))).toThrow('step 0: tensor number out of range');
  });

  it('of any mutation are refused, or run inside their slots', async () => {
    const pool = addon!.createPool(1);
    const spot = fc.tuple(
      fc.nat(words.length - 1),
      fc.oneof(fc.integer({ min: -3, max: 40 }), fc.integer(), fc.constantFrom(2 ** 31 - 1, -(2 ** 31))),
    );
    let ran = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(spot, { minLength: 1, maxLength: 3 }), async (changes) => {
        const mutated = words.slice();
        for (const [at, value] of changes) mutated[at] = value;
        try {
          const { program } = load(plan, mutated);
          await addon!.run(pool, program, new Int32Array(0));
          ran++;
        } catch (error) {
          expect((error as Error).message).toMatch(
            /^(tensor|step) \d+: |not a program|another number of slots|words after the last step/,
          );
        }
      }),
      { numRuns: 2000 },
    );
    expect(ran).toBeGreaterThan(0);
    addon!.closePool(pool);
  });

  it('do not run without memory, with too little, or with wrong dimensions', () => {
    const { program, slots } = load(plan, words);
    const pool = addon!.createPool(2);
    expect(() => addon!.bind(program, 1, slots[1].subarray(4))).toThrow('smaller');
    expect(() => addon!.bind(program, 9, slots[1])).toThrow('no such slot');
    expect(() => addon!.run(pool, program, new Int32Array(1))).toThrow('one value for each');
    const sizes = Float64Array.from(slots, ({ byteLength }) => byteLength);
    expect(() => addon!.run(pool, addon!.createProgram(words, sizes, new Int32Array(0)), new Int32Array(0))).toThrow(
      'no memory',
    );
    expect(() => addon!.run({} as never, program, new Int32Array(0))).toThrow('run(pool');
    addon!.closePool(pool);
    addon!.closePool(pool);
    expect(() => addon!.run(pool, program, new Int32Array(0))).toThrow('closed');
  });
});

describe.skipIf(missing)('pools', () => {
  it('carry out runs that were queued, and reject those that closing calls off', async () => {
    const plan = samplePlan();
    const pool = addon!.createPool(3);
    expect(addon!.poolThreads(pool)).toBe(3);
    const { program } = load(plan, encodeProgram(plan));
    await Promise.all(Array.from({ length: 50 }, () => addon!.run(pool, program, new Int32Array(0))));
    const late = Array.from({ length: 50 }, () => addon!.run(pool, program, new Int32Array(0)));
    addon!.closePool(pool);
    const results = await Promise.allSettled(late);
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason.message).toContain('called off');
    }
  });

  it('refuse threads and variants that cannot be', () => {
    expect(() => addon!.createPool(0)).toThrow('1 to 256');
    expect(() => addon!.createPool(1, 'sse9')).toThrow('no such variant');
    expect(addon!.variants().at(-1)).toMatch(/baseline|neon/);
  });

  const open = `const addon = require(${JSON.stringify(path)});
    const pools = [1, 2, 4].map((threads) => addon.createPool(threads));`;
  it.each([
    ['the end of the script', open],
    ['process.exit', `${open} process.exit(0);`],
    [
      'process.exit in the middle of a barrier storm',
      `${open} setTimeout(() => process.exit(0), 5);
      setImmediate(() => addon.measureBarrier(pools[1], 200));`,
    ],
    [
      'the end of a worker',
      `const { Worker } = require('node:worker_threads');
       new Worker(${JSON.stringify(open)}, { eval: true });
       new Worker(${JSON.stringify(`${open} process.exit(0);`)}, { eval: true });`,
    ],
  ])('survive %s', (_name, script) => {
    const { status, signal, stderr } = spawnSync(process.execPath, ['-e', script], {
      timeout: 20_000,
      encoding: 'utf8',
    });
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
  });
});

describe.skipIf(missing)('memory', () => {
  it('that JavaScript sees in pieces is zeroed, keeps what is written, and is left by no offset', async () => {
    const memory = addon!.createMemory(1000);
    const piece = new Uint8Array(8).fill(9);
    addon!.readMemory(memory, 992, piece);
    expect([...piece]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    addon!.writeMemory(memory, 990, Uint8Array.of(1, 2, 3));
    addon!.readMemory(memory, 988, piece);
    expect([...piece]).toEqual([0, 0, 1, 2, 3, 0, 0, 0]);
    addon!.writeMemory(memory, 1000, new Uint8Array(0));
    for (const offset of [-1, 993, 1001, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      expect(() => addon!.readMemory(memory, offset, piece)).toThrow('outside the memory');
      expect(() => addon!.writeMemory(memory, offset, piece)).toThrow('outside the memory');
    }
    expect(() => addon!.readMemory({} as never, 0, piece)).toThrow('readMemory(memory');
    expect(() => addon!.readMemory(memory, 0, new Float32Array(2) as never)).toThrow('not a Uint8Array');
    expect(() => addon!.createMemory(-1)).toThrow('not a number of bytes');
    expect(() => addon!.createMemory(2 ** 52)).toThrow('not so much memory');

    const plan = compile({ y: f.affine(f.input('x', 'f32', [16]), 2, 1) });
    const program = addon!.createProgram(encodeProgram(plan), Float64Array.of(plan.arenaBytes), new Int32Array(0));
    const pool = addon!.createPool(2);
    expect(() => addon!.bind(program, 0, addon!.createMemory(plan.arenaBytes - 64))).toThrow('smaller');
    const arena = addon!.createMemory(plan.arenaBytes);
    addon!.bind(program, 0, arena);
    const bytes = (numbers: Float32Array) => new Uint8Array(numbers.buffer);
    const numbers = Float32Array.from({ length: 16 }, (_, i) => i);
    addon!.writeMemory(arena, plan.tensors[plan.inputs.x].offset, bytes(numbers));
    expect(await addon!.run(pool, program, new Int32Array(0))).toBeGreaterThan(0);
    addon!.readMemory(arena, plan.tensors[plan.outputs.y].offset, bytes(numbers));
    expect([...numbers]).toEqual(Array.from({ length: 16 }, (_, i) => 2 * i + 1));
    addon!.closePool(pool);
  });

  it.skipIf(!process.env.INKSTONE_LARGE_PLANS)(
    'of a plan may be more than 4 GiB (needs 6 GB; INKSTONE_LARGE_PLANS=1)',
    async () => {
      const backend = createNativeBackend(addon!, { threads: 2 });
      const [length, rest] = [600_000_000, 5];
      const keys = [1, 2].map((first) => f.constant(Int32Array.of(first, 2, 3, 4), [4]));
      const [a, b] = keys.map((key) => f.random(key, [length]));
      const sum = f.affine(f.add(a, b), 3, 0);
      const plan = compile({
        a: f.slice(a, 0, length - rest, length),
        b: f.slice(b, 0, length - rest, length),
        sum: f.slice(sum, 0, length - rest, length),
      });
      expect(plan.arenaBytes).toBeGreaterThan(2 ** 32);
      const result = await backend.load(plan, {}).run({});
      const expected = [1, 2].map((first) =>
        Array.from({ length: rest }, (_, i) => {
          const at = length - rest + i;
          return (philox([at >>> 2, 0, 3, 4], [first, 2])[at & 3] >>> 8) * 2 ** -24;
        }),
      );
      expect([...result.a]).toEqual(expected[0]);
      expect([...result.b]).toEqual(expected[1]);
      expect([...result.sum]).toEqual(expected[0].map((x, i) => Math.fround(3 * Math.fround(x + expected[1][i]))));
      await backend.close();
    },
    60_000,
  );

  it('is zeroed and aligned; a mapped file can be written to without changing it', () => {
    const bytes = new Uint8Array(addon!.allocate(100_000));
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    expect(() => addon!.allocate(-1)).toThrow('not a number of bytes');
    const file = new Uint8Array(addon!.map('package.json'));
    const first = file[0];
    file[0] = 0;
    expect(new Uint8Array(addon!.map('package.json'))[0]).toBe(first);
    expect(() => addon!.map('/no/such/file')).toThrow('No such file');
    expect(() => addon!.map('src')).toThrow('directory');
  });
});
