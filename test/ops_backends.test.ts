/** Every op case on every compiled backend: near the reference, and the same bits whatever the threads and the rows beside it. */
import { describe, expect, it } from 'vitest';
import type { Backend, RunResult } from '../src/backends/backend.ts';
import { apply } from '../src/tensor/functions.ts';
import { compile, type DimBindings, f, type Plan, type Tensor } from '../src/tensor/index.ts';
import { rowOf } from '../src/tensor/ops/table.ts';
import { bindShape, DimVar, type Shape } from '../src/tensor/shape.ts';
import { compiled, reference } from './backends.ts';
import { type AnyCase, allCases, type Tolerance } from './op_cases.ts';
import { bytesOf, type Data, dataOf } from './op_data.ts';

interface Built {
  readonly plan: Plan;
  /** Parameters by name. */
  readonly parameters: Record<string, Uint8Array>;
  readonly inputs: (dims: DimBindings) => Record<string, Float32Array | Int32Array>;
  /** The operands that the op changes: what it gives is their numbers, one after another. */
  readonly changed: readonly number[];
}

const changes = ({ op }: AnyCase): readonly number[] => rowOf(op).mutates ?? [];

interface Surroundings {
  /** Operands are parameters where they can be, so that no result may take over their memory. */
  readonly apart?: boolean;
  /** The result, where it is f32, runs into a sum that fusion can draw into the op. */
  readonly tail?: boolean;
  readonly fuse?: boolean;
}

/** An op as a plan: f32 and i32 operands are inputs, all others parameters; what the op changes is a parameter too. */
function build(
  one: AnyCase,
  data: (i: number, shape: readonly number[]) => Data,
  { apart = false, tail = false, fuse = true }: Surroundings = {},
): Built {
  const parameters: Record<string, Uint8Array> = {};
  const shapes: Record<string, { i: number; shape: Shape }> = {};
  const operands = one.inputs.map((operand, i): Tensor | null => {
    if (!operand) return null;
    const name = `x${i}`;
    const fixed = operand.shape.every((dim) => typeof dim === 'number');
    const stored = apart || (operand.dtype !== 'f32' && operand.dtype !== 'i32') || changes(one).includes(i);
    if (stored && fixed) {
      parameters[name] = data(i, operand.shape as number[]).bytes.slice();
      const tensor = f.parameter(name, operand.dtype, operand.shape);
      return operand.quantized ? f.quantize8(tensor) : tensor;
    }
    shapes[name] = { i, shape: operand.shape };
    const tensor = f.input(name, operand.dtype as 'f32' | 'i32', operand.shape);
    return operand.quantized ? f.quantize8(tensor) : tensor;
  });
  const y = apply(one.op, operands, one.attrs as never);
  const shown = y.dtype === 'f16' || y.dtype === 'bf16' || y.dtype === 'q8a' ? null : y;
  const seen = shown ?? widened(y);
  const outputs = { y: tail ? f.affine(f.add(seen, f.tanh(f.affine(seen, 0.5, 0))), 0.75, 1) : seen };
  const plan = compile({ ...outputs, ...(changes(one).length > 0 ? { changed: y } : {}) }, { fuse });
  const inputs = (dims: DimBindings) =>
    Object.fromEntries(
      Object.entries(shapes).map(([name, { i, shape }]) => [name, data(i, bindShape(shape, dims)).numbers]),
    );
  return { plan, parameters, inputs, changed: changes(one) };
}

/** A result that no caller may read as it is, read through a product or a cast. */
function widened(y: Tensor): Tensor {
  if (y.dtype !== 'q8a') return f.cast(y, 'f32');
  const width = y.shape.at(-1) as number;
  return f.matmul(
    f.reshape(y, y.rank === 1 ? [1, width] : y.shape),
    f.parameter('unit', 'q8_0', [width, width]),
    false,
    true,
  );
}

/** An identity matrix of Q8_0 blocks. */
function unitBlocks(width: number): Uint8Array {
  const bytes = new Uint8Array((width * width * 34) / 32);
  for (let row = 0; row < width; row++) {
    const block = (row * width) / 32 + Math.floor(row / 32);
    bytes[block * 34 + 1] = 0x3c; // the scale 1 as binary16
    bytes[block * 34 + 2 + (row % 32)] = 1;
  }
  return bytes;
}

async function run(backend: Backend, built: Built, dims: DimBindings): Promise<RunResult> {
  const { plan, parameters, inputs } = built;
  const buffers = Object.fromEntries(
    plan.parameters.map(({ name, shape }) => [
      name,
      backend.adopt((name === 'unit' ? unitBlocks(shape[0] as number) : parameters[name]).slice()),
    ]),
  );
  const loaded = backend.load(plan, buffers);
  const used = Object.fromEntries(plan.dims.map(({ name }) => [name, dims[name]]));
  if (!('changed' in plan.outputs)) return loaded.run({ dims: used, inputs: inputs(dims), outputs: ['y'] });
  await loaded.run({ dims: used, inputs: inputs(dims), outputs: [] });
  const { dtype } = plan.tensors[plan.outputs.changed];
  const parts: number[] = [];
  for (const i of built.changed) {
    const { buffer } = (await backend.read(buffers[`x${i}`], 0, buffers[`x${i}`].byteLength)).slice();
    parts.push(...(dtype === 'f32' ? new Float32Array(buffer) : new Uint16Array(buffer)));
  }
  return { y: Float32Array.from(parts) };
}

const bits = (y: Float32Array | Int32Array) => Buffer.from(bytesOf(y)).toString('hex');

function near(
  actual: Float32Array | Int32Array,
  wanted: Float32Array | Int32Array,
  tolerance: Tolerance,
  width: number,
): void {
  expect(actual.length).toBe(wanted.length);
  const limits = tolerance === 'exact' ? {} : tolerance;
  for (let row = 0; row * width < wanted.length; row++) {
    let top = 0;
    for (let j = 0; j < width; j++) {
      const x = Math.abs(wanted[row * width + j]);
      if (Number.isFinite(x)) top = Math.max(top, x);
    }
    for (let j = 0; j < width; j++) {
      const [a, b] = [actual[row * width + j], wanted[row * width + j]];
      if (Object.is(a, b) || a === b || (Number.isNaN(a) && Number.isNaN(b))) continue;
      const limit = (limits.relative ?? 0) * Math.abs(b) + (limits.row ?? 0) * top + (limits.absolute ?? 0);
      if (!(Math.abs(a - b) <= limit))
        expect.fail(`element ${row * width + j}: ${a}, the reference says ${b} (limit ${limit})`);
    }
  }
}

const cases = allCases();
/** Ops that move integers give integers. */
const hasFloats = ({ op, inputs }: AnyCase) =>
  op === 'random' || op === 'cast' || inputs[0]?.dtype !== 'i32' || op === 'ropeTable';

describe.each(compiled)('$name', ({ missing, make }) => {
  it.skipIf(missing)(`agrees with the reference in ${cases.length} cases`, async () => {
    const backend = make(2);
    const truth = reference.make();
    for (const [seed, one] of cases.entries()) {
      const built = build(one, (i, shape) => dataOf(one.inputs[i]!.dtype, shape, one.inputs[i]!.fill, seed * 100 + i));
      for (const dims of one.dims) {
        const [{ y }, { y: wanted }] = [await run(backend, built, dims), await run(truth, built, dims)];
        const width = Math.max(1, Number(bindShape(built.plan.tensors[built.plan.outputs.y].shape, dims).at(-1) ?? 1));
        try {
          near(y, wanted, one.tolerance, width);
        } catch (error) {
          expect.soft(null, `${one.name} ${JSON.stringify(dims)}: ${(error as Error).message}`).not.toBeNull();
        }
      }
    }
    await backend.close();
  });

  it.skipIf(missing)('gives the same bits with 1, 2 and 3 threads', async () => {
    const backends = [1, 2, 3].map((threads) => make(threads));
    for (const [seed, one] of cases.entries()) {
      const built = build(one, (i, shape) => dataOf(one.inputs[i]!.dtype, shape, one.inputs[i]!.fill, seed * 100 + i));
      for (const dims of one.dims) {
        const results = [];
        for (const backend of backends) results.push(bits((await run(backend, built, dims)).y));
        expect
          .soft(results[1] === results[0] && results[2] === results[0], `${one.name} ${JSON.stringify(dims)}`)
          .toBe(true);
      }
    }
    for (const backend of backends) await backend.close();
  });

  it.skipIf(missing)('gives the same bits in place and apart, alone and fused', async () => {
    const backend = make(2);
    for (const [seed, one] of cases.entries()) {
      const data = (i: number, shape: readonly number[]) =>
        dataOf(one.inputs[i]!.dtype, shape, one.inputs[i]!.fill, seed * 100 + i);
      const same = async (what: string, a: Surroundings, b: Surroundings) => {
        const [first, second] = [build(one, data, a), build(one, data, b)];
        // a view of a parameter is that parameter
        if (changes(one).length === 0 && second.plan.tensors[second.plan.outputs.y].slot !== 0) return;
        for (const dims of one.dims) {
          const results = [await run(backend, first, dims), await run(backend, second, dims)].map(({ y }) => bits(y));
          expect.soft(results[1] === results[0], `${what}: ${one.name} ${JSON.stringify(dims)}`).toBe(true);
        }
      };
      await same('apart', {}, { apart: true });
      if (changes(one).length === 0 && one.op !== 'topk' && hasFloats(one))
        await same('fused', { tail: true, fuse: false }, { tail: true });
    }
    await backend.close();
  });

  it.skipIf(missing)('gives a row the same bits alone and among 2, 7 and 64', async () => {
    const backend = make(2);
    const hasRows = ({ rows, inputs }: AnyCase) => rows?.every((i) => inputs[i]!.shape[0] !== 0);
    const rowCases = cases.filter(hasRows);
    expect(rowCases.length).toBeGreaterThan(5);
    for (const [seed, one] of rowCases.entries()) {
      const B = new DimVar('batch', 64);
      const inputs = one.inputs.map((x, i) =>
        x && one.rows!.includes(i) ? { ...x, shape: [B, ...x.shape.slice(1)] } : x,
      );
      // A row's numbers do not depend on how many rows there are, and repeat after the rows that the case lists.
      const rowData = (i: number, shape: readonly number[]): Data => {
        const operand = one.inputs[i]!;
        const lead = typeof operand.shape[0] === 'number' ? operand.shape[0] : 7;
        const whole = dataOf(
          operand.dtype,
          one.rows!.includes(i) ? [lead, ...shape.slice(1)] : shape,
          operand.fill,
          seed * 100 + i,
        );
        if (!one.rows!.includes(i)) return whole;
        const width = whole.numbers.length / lead;
        const Kind = whole.numbers.constructor as typeof Float32Array;
        const numbers = new Kind(shape[0] * width);
        for (let row = 0; row < shape[0]; row++) {
          const from = ((row + first) % lead) * width;
          numbers.set(whole.numbers.subarray(from, from + width) as Float32Array, row * width);
        }
        return { numbers, bytes: bytesOf(numbers) };
      };
      let first = 0;
      const built = build({ ...one, inputs }, rowData);
      const others = Object.fromEntries(Object.entries(one.dims.at(-1)!));
      const size = async (n: number, from: number) => {
        first = from;
        return (await run(backend, built, { ...others, batch: n })).y;
      };
      const all = await size(64, 0);
      const width = all.length / 64;
      for (const n of [1, 2, 7]) {
        for (const from of [0, 1, 3]) {
          const some = await size(n, from);
          const wanted = all.subarray(from * width, (from + n) * width);
          expect.soft(bits(some) === bits(wanted), `${one.name}: ${n} rows from ${from}`).toBe(true);
        }
      }
    }
    await backend.close();
  });
});
