/** Passes: what they may change, what they may not, and the memory plan that comes out. */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { Backend, LoadedPlan } from '../src/backends/backend.ts';
import { evaluate } from '../src/backends/reference/evaluate.ts';
import { type CompileOptions, compile, f, type OpAttrs, type Plan, type Tensor } from '../src/tensor/index.ts';
import { applyPrecision } from '../src/tensor/passes/precision.ts';
import { type DimBindings, DimVar, sizeOf } from '../src/tensor/shape.ts';
import { compiled, reference } from './backends.ts';
import { bytesOf, dataOf, normal } from './op_data.ts';
import { checkBarriers, checkLayout, trace } from './plan_checker.ts';
import { cook, type Graph, inputData, nameOf, parameterData, recipes } from './tensor_graphs.ts';

const RUNS = { numRuns: 120, seed: 20261124 };
const backends = [reference, ...compiled.filter(({ missing }) => missing === null)].map((choice) => ({
  name: choice.name,
  backend: choice.make(3),
}));
afterAll(async () => {
  for (const { backend } of backends) await backend.close();
});

function load(backend: Backend, plan: Plan, graph: Graph): LoadedPlan {
  const data = parameterData(graph);
  return backend.load(
    plan,
    Object.fromEntries(plan.parameters.map(({ name }) => [name, backend.adopt(data[name].bytes.slice())])),
  );
}

/** The outputs' numbers by definition, with `rows` rows. */
function truth(graph: Graph, rows: number, seed: number, outputs = graph.outputs): Record<string, ArrayLike<number>> {
  const [inputs, parameters] = [inputData(graph, rows, seed), parameterData(graph)];
  const given = new Map<Tensor, ArrayLike<number>>([
    ...graph.inputs.map((tensor) => [tensor, inputs[nameOf(tensor)]] as const),
    ...graph.parameters.map((tensor) => [tensor, parameters[nameOf(tensor)].numbers] as const),
  ]);
  const values = evaluate(Object.values(outputs), given, { n: rows });
  return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, values.get(tensor)!]));
}

async function run(loaded: LoadedPlan, graph: Graph, rows: number, seed: number) {
  const all = inputData(graph, rows, seed);
  const inputs = Object.fromEntries(Object.keys(loaded.plan.inputs).map((name) => [name, all[name]]));
  return loaded.run({ inputs, dims: { n: rows } });
}

function greatestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let top = 1;
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    top = Math.max(top, Math.abs(b[i]));
    most = Math.max(most, Number.isFinite(a[i]) ? Math.abs(a[i] - b[i]) : Number.POSITIVE_INFINITY);
  }
  return most / top;
}

/** Outputs that lie in the arena: a parameter that is an output is in its own buffer. */
function shown(plan: Plan): string[] {
  return Object.keys(plan.outputs).filter((name) => plan.tensors[plan.outputs[name]].slot === 0);
}

const choices: readonly CompileOptions[] = [{ fuse: true }, { fuse: false }];

describe.each(backends)('random graphs on $name', ({ name, backend }) => {
  it('compute what their definition says, fused or not, again and again with other sizes', async () => {
    await fc.assert(
      fc.asyncProperty(recipes, fc.boolean(), async (recipe, variable) => {
        const graph = cook(recipe, variable ? new DimVar('n', 5) : 3);
        const rows = variable ? [5, 1, 0, 3] : [3, 3];
        const plans = choices.map((options) => load(backend, compile(graph.outputs, options), graph));
        for (const [seed, n] of rows.entries()) {
          const wanted = truth(graph, n, seed);
          const results = [];
          for (const plan of plans) results.push(await run(plan, graph, n, seed));
          for (const output of shown(plans[0].plan)) {
            expect(greatestDifference(results[0][output], wanted[output])).toBeLessThan(1e-4);
            if (name === 'reference') expect(greatestDifference(results[1][output], wanted[output])).toBeLessThan(1e-4);
            else
              expect(bytesOf(results[1][output] as Float32Array)).toEqual(bytesOf(results[0][output] as Float32Array));
          }
        }
      }),
      RUNS,
    );
  });

  it('compute nearly the same in fast precision', async () => {
    await fc.assert(
      fc.asyncProperty(recipes, async (recipe) => {
        const graph = cook(recipe, 4);
        const wanted = truth(graph, 4, 0, applyPrecision(graph.outputs, 'fast'));
        for (const { fuse } of choices) {
          const plan = load(backend, compile(graph.outputs, { fuse, precision: 'fast' }), graph);
          const result = await run(plan, graph, 4, 0);
          // a number on the edge between two of 255 steps may fall to either side
          for (const output of shown(plan.plan)) {
            expect(greatestDifference(result[output], wanted[output])).toBeLessThan(0.03);
          }
        }
      }),
      RUNS,
    );
  });
});

describe('layout', () => {
  it('keeps every tensor whole as long as it is read, and waits where steps meet', () => {
    fc.assert(
      fc.property(recipes, fc.boolean(), fc.boolean(), fc.boolean(), (recipe, fused, variable, fast) => {
        const graph = cook(recipe, variable ? new DimVar('n', 5) : 3);
        const traced = trace(graph.outputs, { fused, precision: fast ? 'fast' : 'exact' });
        checkLayout(traced);
        checkBarriers(traced.plan);
        expect(compile(graph.outputs, { fuse: fused, precision: fast ? 'fast' : 'exact' }).steps).toEqual(
          traced.plan.steps,
        );
      }),
      { ...RUNS, numRuns: 400 },
    );
  });

  const x = () => f.input('x', 'f32', [4, 32]);
  const rows = 4 * 32 * 4;

  it('needs one buffer for a chain', () => {
    const y = f.softmax(f.normalize(f.tanh(f.exp(x())), null, null, { kind: 'rms', eps: 1, weightOffset: 0 }));
    expect(compile({ y }, { fuse: false }).arenaBytes).toBe(rows);
  });

  it('leaves an input alone that is read again', () => {
    const a = x();
    const plan = compile({ y: f.add(f.softmax(a), a) }, { fuse: false });
    expect(plan.tensors[plan.steps[0].output].offset).not.toBe(plan.tensors[plan.inputs.x].offset);
    // the sum takes over either operand
    expect(plan.arenaBytes).toBe(2 * rows);
  });

  it('never writes over an output, a parameter or a constant', () => {
    const [a, p] = [x(), f.parameter('p', 'f32', [4, 32])];
    const c = f.constant(new Float32Array(128), [4, 32]);
    const first = f.exp(a);
    const plan = compile({ first, second: f.tanh(first), third: f.tanh(p), fourth: f.tanh(c) }, { fuse: false });
    const places = plan.steps.map(({ output }) => plan.tensors[output]).map(({ slot, offset }) => `${slot} ${offset}`);
    expect(new Set(places).size).toBe(4);
    expect(plan.constants.map(({ tensor }) => plan.tensors[tensor].offset)).not.toContain(
      plan.tensors[plan.steps[3].output].offset,
    );
  });

  it('never writes a product over its left operand, though that is the residual too', async () => {
    const [w, seed] = [f.parameter('w', 'f32', [8, 8]), 3];
    const a = f.input('a', 'f32', [8, 8]);
    const h = f.tanh(a);
    const y = f.add(f.matmul(h, w), h);
    const plan = compile({ y });
    expect(plan.steps.map(({ op }) => op)).toEqual(['tanh', 'matmul']);
    const { inputs, output } = plan.steps[1];
    expect(plan.tensors[output].offset).not.toBe(plan.tensors[inputs[0]].offset);
    const [numbers, weights] = [dataOf('f32', [8, 8], normal, seed), dataOf('f32', [8, 8], normal, seed + 1)];
    const wanted = evaluate(
      [y],
      new Map([
        [a, numbers.numbers],
        [w, weights.numbers],
      ]),
    ).get(y)!;
    for (const { backend } of backends) {
      const result = await backend
        .load(plan, { w: backend.adopt(weights.bytes.slice()) })
        .run({ inputs: { a: numbers.numbers } });
      expect(greatestDifference(result.y, wanted)).toBeLessThan(1e-6);
    }
  });

  it('brings back inputs, constants, views and one tensor under two names', async () => {
    const a = f.input('a', 'f32', [2, 3]);
    const y = f.exp(a);
    const outputs = {
      a,
      constant: f.constant([7, 8], [2]),
      view: f.slice(a, 0, 1, 2),
      flat: f.reshape(y, [6]),
      y,
      again: y,
      p: f.parameter('p', 'f32', [2]),
    };
    for (const { backend } of backends) {
      const buffer = backend.adopt(bytesOf(Float32Array.of(4, 5)));
      const loaded = backend.load(compile(outputs), { p: buffer });
      const result = await loaded.run({ inputs: { a: Float32Array.of(0, 1, 2, 3, 4, 5) } });
      expect([...result.a]).toEqual([0, 1, 2, 3, 4, 5]);
      expect([...result.constant]).toEqual([7, 8]);
      expect([...result.view]).toEqual([3, 4, 5]);
      expect(result.flat).toEqual(result.y);
      expect(result.again).toEqual(result.y);
      expect(result.p).toBeUndefined();
      await expect(loaded.run({ inputs: { a: new Float32Array(6) }, outputs: ['p'] })).rejects.toThrow(
        /lies in a parameter/,
      );
      await expect(loaded.run({ inputs: { a: new Float32Array(6) }, outputs: ['q'] })).rejects.toThrow(/no output "q"/);
    }
  });
});

describe('changes in place', () => {
  const cache = () => f.parameter('cache', 'f32', [2, 1, 2, 2]);
  const x = () => f.input('x', 'f32', [1, 1, 2]);
  const slots = f.constant(Int32Array.of(3), [1]);

  it('are seen by who reads the result, and stay', async () => {
    const written = f.kvWrite(cache(), x(), slots);
    const y = f.gather(f.reshape(written, [4, 2]), f.constant(Int32Array.of(3, 0), [2]));
    for (const { backend } of backends) {
      const buffer = backend.allocate(32);
      const loaded = backend.load(compile({ y, written }), { cache: buffer });
      const result = await loaded.run({ inputs: { x: Float32Array.of(5, 6) }, outputs: ['y'] });
      expect([...result.y]).toEqual([5, 6, 0, 0]);
      expect(new Float32Array((await backend.read(buffer, 24, 8)).slice().buffer)).toEqual(Float32Array.of(5, 6));
    }
  });

  it('let those that were made before them read what was there', async () => {
    const c = cache();
    const before = f.affine(f.reshape(c, [8]), 2, 0);
    const written = f.kvWrite(c, x(), slots);
    for (const { backend } of backends) {
      const buffer = backend.adopt(new Uint8Array(Float32Array.of(0, 0, 0, 0, 0, 0, 7, 8).buffer));
      const loaded = backend.load(compile({ before, written }), { cache: buffer });
      const run = () => loaded.run({ inputs: { x: Float32Array.of(5, 6) }, outputs: ['before'] });
      expect([...(await run()).before]).toEqual([0, 0, 0, 0, 0, 0, 14, 16]);
      expect([...(await run()).before]).toEqual([0, 0, 0, 0, 0, 0, 10, 12]);
    }
  });

  it('are refused where their order would be chance', () => {
    const c = cache();
    const written = f.kvWrite(c, x(), slots);
    expect(() => compile({ written, after: f.exp(c) })).toThrow(/kvWrite: .*changed in place and used elsewhere/);
    expect(() => compile({ written, c })).toThrow(/used elsewhere/);
    const viewed = f.reshape(f.reshape(c, [8]), [2, 1, 2, 2]);
    expect(() => compile({ a: f.kvWrite(viewed, x(), slots), c })).toThrow(/used elsewhere/);
    const constant = f.constant(new Float32Array(8), [2, 1, 2, 2]);
    expect(() => compile({ a: f.kvWrite(constant, x(), slots) })).toThrow(/cannot be changed/);
    const chained = f.kvWrite(f.kvWrite(cache(), x(), slots), f.affine(x(), 2, 0), slots);
    expect(() => compile({ chained })).toThrow(/two tensors are named "x"/);
  });
});

describe('share', () => {
  const steps = (outputs: Record<string, Tensor>, options: CompileOptions = { fuse: false }) =>
    compile(outputs, options).steps.map(({ op }) => op);
  const x = f.input('x', 'f32', [3]);

  it('computes once what is asked for twice', () => {
    const [a, b] = [f.exp(f.affine(x, 2, 1)), f.exp(f.affine(x, 2, 1))];
    expect(steps({ y: f.add(a, b) })).toEqual(['affine', 'exp', 'add']);
    const key = f.constant(Int32Array.of(1, 2, 3, 4), [4]);
    expect(steps({ a: f.random(key, [5]), b: f.random(key, [5]) })).toEqual(['random']);
  });

  it('tells attributes apart that JSON does not', () => {
    const limits = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 0, -0];
    const outputs = Object.fromEntries(limits.map((shift, i) => [`y${i}`, f.affine(x, 0, shift)]));
    expect(steps(outputs)).toHaveLength(limits.length);
  });

  it('does not compute what no output needs', () => {
    f.exp(x);
    expect(steps({ y: f.tanh(x) })).toEqual(['tanh']);
  });
});

describe('fuse', () => {
  const steps = (y: Tensor) => compile({ y }).steps;
  const [x, w] = [f.input('x', 'f32', [3, 4]), f.parameter('w', 'f32', [5, 4])];
  const [bias, residual] = [f.parameter('b', 'f32', [5]), f.input('r', 'f32', [3, 5])];

  it('moves a bias and a residual into the product', () => {
    const [step, ...rest] = steps(f.add(residual, f.linear(x, w, bias)));
    expect(rest).toEqual([]);
    expect([step.op, step.inputs.length]).toEqual(['matmul', 4]);
    expect(step.inputs).not.toContain(-1);
  });

  it('keeps the order of the sums: what is not a bias first is not one later', () => {
    const y = f.add(f.add(f.matmul(x, w, false, true), residual), bias);
    expect(steps(y).map(({ op }) => op)).toEqual(['matmul', 'add']);
  });

  it('leaves a product alone whose own result is used', () => {
    const product = f.matmul(x, w, false, true);
    expect(compile({ product, y: f.add(product, bias) }).steps.map(({ op }) => op)).toEqual(['matmul', 'add']);
    expect(steps(f.add(product, product)).map(({ op }) => op)).toEqual(['matmul', 'add']);
  });

  it('makes one program of a chain of element-wise ops, and leaves alone what others read', () => {
    const gate = f.silu(x);
    expect(steps(f.mul(gate, f.affine(f.tanh(x), 2, 1))).map(({ op }) => op)).toEqual(['fused']);
    const [first, second] = compile({ gate, y: f.mul(gate, f.tanh(x)) }).steps;
    expect([first.op, second.op]).toEqual(['silu', 'fused']);
    // what others read is not computed a second time
    expect((second.attrs as OpAttrs['fused']).program.map(({ op }) => op)).toEqual(['tanh', 'mul']);
  });

  it('does not stretch a short operand: it is computed once, not once a row', () => {
    const y = f.add(x, f.tanh(f.parameter('short', 'f32', [4])));
    expect(steps(y).map(({ op }) => op)).toEqual(['tanh', 'add']);
  });

  it('stays within what a kernel takes', () => {
    let y = f.input('i0', 'f32', [8]);
    for (let i = 1; i < 40; i++) y = f.add(f.tanh(y), f.input(`i${i}`, 'f32', [8]));
    for (const { op, inputs, attrs } of steps(y)) {
      expect(inputs.length).toBeLessThanOrEqual(12);
      if (op === 'fused') expect((attrs as OpAttrs['fused']).program.length).toBeLessThanOrEqual(24);
    }
  });
});

describe('precision', () => {
  it('makes bytes of activations that meet blocks, once for all of them, and of nothing else', () => {
    const x = f.input('x', 'f32', [2, 64]);
    const w = (name: string, dtype: 'q4_0' | 'f16' | 'f32') => f.parameter(name, dtype, [3, 64]);
    const y = Object.fromEntries(
      (['q4_0', 'q4_0', 'f16', 'f32'] as const).map((dtype, i) => [
        `y${i}`,
        f.matmul(x, w(`w${i}`, dtype), false, true),
      ]),
    );
    const plan = compile(y, { precision: 'fast' });
    expect(plan.steps.filter(({ op }) => op === 'quantize8')).toHaveLength(1);
    const lefts = plan.steps.filter(({ op }) => op === 'matmul').map(({ inputs }) => plan.tensors[inputs[0]].dtype);
    expect(lefts.sort()).toEqual(['f32', 'f32', 'q8a', 'q8a']);
    expect(compile(y).steps.map(({ op }) => op)).toEqual(['matmul', 'matmul', 'matmul', 'matmul']);
  });

  it('does not make bytes of rows that run across a transposed operand', () => {
    const x = f.input('x', 'f32', [64, 32]);
    const y = f.matmul(x, f.parameter('w', 'q8_0', [3, 64]), true, true);
    expect(compile({ y }, { precision: 'fast' }).steps.map(({ op }) => op)).toEqual(['matmul']);
  });
});

describe('dimension variables', () => {
  it('are bound at each run, within their bounds', async () => {
    const n = new DimVar('n', 4);
    const x = f.input('x', 'f32', [n, 2]);
    const plan = compile({ y: f.sum(x, 0) });
    for (const { backend } of backends) {
      const loaded = backend.load(plan, {});
      const at = (rows: number, dims: DimBindings = { n: rows }) =>
        loaded.run({ dims, inputs: { x: new Float32Array(sizeOf([rows, 2])).fill(1) } });
      for (const rows of [4, 0, 1, 3]) expect([...(await at(rows)).y]).toEqual([rows, rows]);
      await expect(at(5)).rejects.toThrow(/dimension n = 5: must be an integer between 0 and 4/);
      await expect(at(2, {})).rejects.toThrow(/dimension n = undefined/);
      await expect(at(2, { n: 1.5 })).rejects.toThrow(RangeError);
      await expect(at(2, { n: 3 })).rejects.toThrow(/input "x" needs 6 numbers of f32, got 4/);
      await expect(loaded.run({ dims: { n: 1 } })).rejects.toThrow(/input "x" needs 2 numbers of f32, got none/);
      const extra = { x: new Float32Array(2), toString: new Float32Array(1) };
      await expect(loaded.run({ dims: { n: 1 }, inputs: extra })).rejects.toThrow(/no input "toString"/);
      expect([...(await at(2)).y]).toEqual([2, 2]);
    }
  });
});

describe('names and buffers', () => {
  it('have to be there once', () => {
    const twice = f.add(f.input('x', 'f32', [1]), f.parameter('x', 'f32', [1]));
    expect(() => compile({ twice })).toThrow(/two tensors are named "x"/);
    const dims = f.add(f.input('a', 'f32', [new DimVar('n', 2), 1]), f.input('b', 'f32', [1, new DimVar('n', 3)]));
    expect(() => compile({ dims })).toThrow(/two dimensions are named "n"/);
    const deep = f.input('deep', 'f32', [1, 1, 1, 1, 1, 1]);
    expect(() => compile({ y: f.exp(deep) })).toThrow(/more than 5 dimensions/);
    const cut = f.parameter('w', 'q4_0', [2, 33]);
    expect(() => compile({ y: f.cast(cut, 'f32') })).toThrow(/rows are not whole blocks of 32/);
  });

  it('have to be large enough', () => {
    const plan = compile({ y: f.exp(f.parameter('w', 'f32', [4])) });
    for (const { backend } of backends) {
      expect(() => backend.load(plan, {})).toThrow(/parameter "w" f32\(4\) has no buffer/);
      expect(() => backend.load(plan, { w: backend.allocate(12) })).toThrow(/needs 16 bytes, its buffer has 12/);
    }
  });
});
