/** What dense attention's first keys and dropout mean, said in other ways: documents run apart, and weights made of plain ops. */
import { afterAll, describe, expect, it } from 'vitest';
import type { RunResult } from '../src/backends/backend.ts';
import { compile, f, gradients, type Tensor } from '../src/tensor/index.ts';
import { compiled, reference } from './backends.ts';
import { uniformAt } from './op_data.ts';

const backends = [reference, ...compiled.filter(({ missing }) => missing === null)].map(({ name, make }) => ({
  name,
  backend: make(2),
}));
afterAll(async () => {
  for (const { backend } of backends) await backend.close();
});

const [H, G, D] = [4, 2, 16];
const attrs = { scale: 0.25, window: 0, softcap: 0 };
const row = (seed: number, length: number) => Float32Array.from({ length }, (_, i) => uniformAt(seed, i) * 2 - 1);

/** Attention of (1, T) and the gradients of its product with `dy`, by tensors that are inputs of the plan. */
function plan(T: number, attend: (q: Tensor, k: Tensor, v: Tensor) => Tensor) {
  const q = f.input('q', 'f32', [1, T, H, D]);
  const k = f.input('k', 'f32', [1, T, G, D]);
  const v = f.input('v', 'f32', [1, T, G, D]);
  const y = attend(q, k, v);
  const loss = f.reshape(f.sum(f.mul(y, f.input('dy', 'f32', [1, T, H, D])), 0, 4), [1]);
  const [dq, dk, dv] = gradients(loss, [q, k, v]);
  return compile({ y, dq, dk, dv });
}

const operands = { q: H * D, k: G * D, v: G * D, dy: H * D };
const results = { y: H * D, dq: H * D, dk: G * D, dv: G * D };
type Operands = Record<keyof typeof operands, Float32Array>;

const numbers = (T: number) =>
  Object.fromEntries(Object.entries(operands).map(([name, width], i) => [name, row(i, T * width)])) as Operands;
/** The positions [from, to) of each operand. */
const part = (all: Operands, from: number, to: number) =>
  Object.fromEntries(
    Object.entries(operands).map(([name, width]) => [
      name,
      all[name as keyof Operands].slice(from * width, to * width),
    ]),
  );

function worstOf(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0);
}

describe.each(backends)('attention on $name', ({ name, backend }) => {
  const long = name === 'reference' ? 1 : 4;

  it.each([
    ['at multiples of 16, to the bit', [0, 16 * long, 48 * long], 64 * long, 0],
    ['anywhere', [0, 5, 6, 29 * long, 30 * long], 47 * long, 2e-6],
  ] as const)('inside documents is that of the documents apart: starts %s', async (_, starts, T, limit) => {
    const firstKey = Int32Array.from({ length: T }, (_, t) => starts.findLast((start) => start <= t)!);
    const all = numbers(T);
    const first = f.input('first', 'i32', [1, T]);
    const packed = backend.load(
      plan(T, (q, k, v) => f.attention(q, k, v, { firstKey: first }, attrs)),
      {},
    );
    const together = await packed.run({ inputs: { ...all, first: firstKey } });
    for (const [i, from] of starts.entries()) {
      const to = starts[i + 1] ?? T;
      const apart = backend.load(
        plan(to - from, (q, k, v) => f.attention(q, k, v, {}, attrs)),
        {},
      );
      const alone: RunResult = await apart.run({ inputs: part(all, from, to) });
      for (const [name, width] of Object.entries(results)) {
        const inside = together[name].slice(from * width, to * width);
        const worst = worstOf(inside, alone[name]);
        expect(worst, `${name} of document ${i}`).toBeLessThanOrEqual(limit);
      }
    }
  });

  it('drops the weights that random numbers name, in the result and in the gradients', async () => {
    const [T, rate] = [23, 0.4];
    const key = () => f.constant(Int32Array.of(5, -6, 7, 8), [4]);
    const fused = plan(T, (q, k, v) => f.attention(q, k, v, { key: key() }, { ...attrs, dropout: rate }));
    const plain = plan(T, (q, k, v) => {
      // (H, T, D), keys of each group for all heads of it
      const heads = (x: Tensor) => {
        const groups = f.permute(f.reshape(x, [T, G, D]), [1, 0, 2]);
        return f.reshape(f.broadcastTo(f.reshape(groups, [G, 1, T, D]), [G, H / G, T, D]), [H, T, D]);
      };
      const scores = f.affine(
        f.matmul(f.permute(f.reshape(q, [T, H, D]), [1, 0, 2]), heads(k), false, true),
        attrs.scale,
        0,
      );
      const future = Float32Array.from({ length: T * T }, (_, i) => (i % T > Math.floor(i / T) ? -1e9 : 0));
      const weights = f.softmax(f.add(scores, f.constant(future, [T, T])));
      const random = f.slice(f.random(key(), [H, T, 4 * Math.ceil(T / 4)]), 2, 0, T);
      const kept = f.affine(f.greater(random, f.constant([rate], [1])), 1 / (1 - rate), 0);
      return f.reshape(f.permute(f.matmul(f.mul(weights, kept), heads(v)), [1, 0, 2]), [1, T, H, D]);
    });
    const inputs = numbers(T);
    const [a, b] = [await backend.load(fused, {}).run({ inputs }), await backend.load(plain, {}).run({ inputs })];
    for (const name of Object.keys(results)) {
      const worst = worstOf(a[name], b[name]);
      expect(worst, name).toBeLessThan(5e-6);
    }
  });
});
