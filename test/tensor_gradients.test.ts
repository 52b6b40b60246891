/** Gradients of graphs of many ops: a whole block of a transformer, shared parameters, frozen weights, second derivatives. */
import { afterAll, describe, expect, it } from 'vitest';
import { evaluate } from '../src/backends/reference/evaluate.ts';
import { compile, type DType, f, gradients, type Tensor } from '../src/tensor/index.ts';
import { compiled, reference } from './backends.ts';
import { between, dataOf, type Fill, normal, scaled, uniformAt } from './op_data.ts';

/** Parameters with their numbers, in double precision so that they can move a little. */
class Parameters {
  readonly given = new Map<Tensor, Float64Array>();

  add(name: string, shape: readonly number[], fill: Fill = scaled(0.5), dtype: DType = 'f32'): Tensor {
    const tensor = f.parameter(name, dtype, shape);
    this.given.set(tensor, Float64Array.from(dataOf(dtype, shape, fill, 700 + this.given.size).numbers));
    return tensor;
  }
}

/** Compare the gradients with differences along random directions, and at a few elements of each parameter. */
function check(loss: Tensor, learnt: readonly Tensor[], given: ReadonlyMap<Tensor, Float64Array>): void {
  const grads = gradients(loss, learnt);
  const values = evaluate(grads, given);
  const lossWith = (tensor: Tensor, numbers: Float64Array) =>
    evaluate([loss], new Map([...given, [tensor, numbers]])).get(loss)![0];
  learnt.forEach((tensor, which) => {
    expect(grads[which].shape).toEqual(tensor.shape);
    const numbers = given.get(tensor)!;
    const gradient = values.get(grads[which])!;
    const directions = [0, 1].map((seed) => Float64Array.from(numbers, (_, i) => uniformAt(seed + which, i) - 0.5));
    for (const i of new Set([0, numbers.length >> 1, numbers.length - 1])) {
      directions.push(Float64Array.from(numbers, (_, j) => Number(i === j)));
    }
    for (const direction of directions) {
      const along = (step: number) =>
        lossWith(
          tensor,
          numbers.map((x, i) => x + step * direction[i]),
        );
      // fourth order: the error of the difference is far below that of a wrong gradient
      const h = 1e-3;
      const difference = (8 * (along(h) - along(-h)) - (along(2 * h) - along(-2 * h))) / (12 * h);
      const analytic = direction.reduce((sum, d, i) => sum + d * gradient[i], 0);
      expect(Math.abs(analytic - difference), `${tensor}: ${analytic} against ${difference}`).toBeLessThan(
        1e-8 * Math.max(1, Math.abs(difference)),
      );
    }
  });
}

/** The sum of all elements, each weighed differently. */
function weighed(y: Tensor): Tensor {
  const size = (y.shape as number[]).reduce((a, b) => a * b, 1);
  const weights = f.constant(
    Array.from({ length: size }, (_, i) => uniformAt(99, i) * 2 - 1),
    [size],
  );
  return f.sum(f.mul(f.reshape(y, [size]), weights), 0);
}

const [B, T, C, H, G, D, F, V] = [2, 5, 12, 4, 2, 6, 10, 11];

/** Two rows of a small language model: embedding tied to the head, one block with grouped heads, rotary positions and a gated MLP. */
function languageModel() {
  const p = new Parameters();
  const embedding = p.add('embedding', [V, C]);
  const [norm1, norm2, norm3] = ['norm1', 'norm2', 'norm3'].map((name) => p.add(name, [C], between(0.5, 1.5)));
  const bias = p.add('bias', [C]);
  const [wq, wk, wv] = (['q', 'k', 'v'] as const).map((name) => p.add(name, [(name === 'q' ? H : G) * D, C]));
  const [wo, gate, up, down] = [
    p.add('o', [C, H * D]),
    p.add('gate', [F, C]),
    p.add('up', [F, C]),
    p.add('down', [C, F]),
  ];
  const sinks = p.add('sinks', [H]);
  const ids = f.constant(
    Int32Array.from({ length: B * T }, (_, i) => (i * 7) % V),
    [B, T],
  );
  const targets = f.constant(
    Int32Array.from({ length: B * T }, (_, i) => (i === 3 ? -100 : (i * 5 + 2) % V)),
    [B, T],
  );
  const freqs = f.constant([1, 0.1], [2]);
  const positions = f.constant(
    Int32Array.from({ length: B * T }, (_, i) => i % T),
    [B, T],
  );
  const table = f.ropeTable(positions, freqs); // (B, T, 4)

  const x = f.gather(embedding, ids); // (B, T, C)
  const h = f.normalize(x, norm1, null, { kind: 'rms', eps: 1e-5, weightOffset: 1 });
  const heads = (w: Tensor, n: number) => f.reshape(f.linear(h, w), [B, T, n, D]);
  const [q, k] = [heads(wq, H), heads(wk, G)].map((part) => f.rope(part, table, false));
  const attended = f.attention(q, k, heads(wv, G), { sinks }, { scale: D ** -0.5, window: 3, softcap: 4 });
  const y = f.add(x, f.linear(f.reshape(attended, [B, T, H * D]), wo)); // (B, T, C)
  const z = f.normalize(y, norm2, bias, { kind: 'layer', eps: 1e-5, weightOffset: 0 });
  const out = f.add(y, f.linear(f.mul(f.silu(f.linear(z, gate)), f.linear(z, up)), down)); // (B, T, C)
  const last = f.normalize(out, norm3, null, { kind: 'rms', eps: 1e-5, weightOffset: 0 });
  const logits = f.linear(last, embedding); // (B, T, V)
  const loss = f.mean(f.crossEntropy(logits, targets));
  return { loss, learnt: [...p.given.keys()], given: p.given };
}

const backends = [reference, ...compiled.filter(({ missing }) => missing === null)].map(({ name, make }) => ({
  name,
  backend: make(2),
}));
afterAll(async () => {
  for (const { backend } of backends) await backend.close();
});

describe('gradients', () => {
  it('of a language model are right in every parameter', () => {
    const { loss, learnt, given } = languageModel();
    check(loss, learnt, given);
  });

  it.each(backends)('of a language model are the same in one plan on $name', async ({ backend }) => {
    const { loss, learnt, given } = languageModel();
    const grads = gradients(loss, learnt);
    const outputs = Object.fromEntries(grads.map((grad, i) => [`grad${i}`, grad]));
    const truth = evaluate([loss, ...grads], given);
    const buffers = [...given].map(([{ origin }, numbers]) => {
      const bytes = new Uint8Array(Float32Array.from(numbers).buffer);
      return [origin.kind === 'parameter' ? origin.name : '', backend.adopt(bytes)] as const;
    });
    for (const fuse of [true, false]) {
      const loaded = backend.load(compile({ loss, ...outputs }, { fuse }), Object.fromEntries(buffers));
      for (let again = 0; again < 2; again++) {
        const result = await loaded.run({});
        expect(result.loss[0]).toBeCloseTo(truth.get(loss)![0], 5);
        grads.forEach((grad, i) => {
          const wanted = truth.get(grad) as Float64Array;
          const top = wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
          const worst = (result[`grad${i}`] as Float32Array).reduce(
            (most, x, j) => Math.max(most, Math.abs(x - wanted[j])),
            0,
          );
          expect(worst, `${learnt[i]}`).toBeLessThan(1e-5 * Math.max(1e-2, top));
        });
      }
    }
  });

  it('add up over all uses of a parameter', () => {
    const p = new Parameters();
    const [x, w] = [p.add('x', [4, 4]), p.add('w', [4, 4])];
    const twice = f.tanh(f.matmul(f.tanh(f.matmul(x, w)), w, false, true));
    check(weighed(f.mul(f.add(twice, w), w)), [x, w], p.given);
    check(weighed(f.add(x, x)), [x], p.given);
    check(weighed(f.mul(x, x)), [x], p.given);
  });

  it('undo broadcasting of any kind', () => {
    const p = new Parameters();
    const shapes = [[2, 3, 4], [3, 4], [4], [1], [], [2, 1, 4], [2, 1, 1], [1, 3, 1], [1, 1, 1], [3, 1]];
    const all = shapes.map((shape, i) => p.add(`p${i}`, shape));
    check(weighed(all.reduce((sum, tensor) => f.mul(f.add(sum, tensor), f.sigmoid(tensor)))), all, p.given);
    const x = f.input('x', 'f32', [2, 1, 3, 4]);
    for (const shape of [[2, 1, 3, 4], [3, 4], [1, 4], [2, 1, 1, 1], [1], [], [1, 1, 3, 1]]) {
      expect(f.sumTo(x, shape).shape).toEqual(shape);
    }
  });

  it('reach adapters beside and below frozen quantised weights', () => {
    const p = new Parameters();
    const x = p.add('x', [3, 32], normal);
    const [low, high] = [p.add('low', [2, 32]), p.add('high', [32, 2])];
    const frozen = (['q4_0', 'q6_k', 'f16'] as const).map((dtype) =>
      p.add(dtype, dtype === 'q6_k' ? [7, 256] : [32, 32], scaled(0.2), dtype),
    );
    const base = f.linear(x, frozen[0]);
    const adapted = f.tanh(f.add(base, f.linear(f.linear(x, low), high)));
    const above = f.linear(
      f.reshape(
        f.concat(
          Array.from({ length: 8 }, () => adapted),
          1,
        ),
        [3, 256],
      ),
      frozen[1],
    );
    check(f.add(weighed(above), weighed(f.linear(adapted, frozen[2]))), [x, low, high], p.given);
  });

  it('of half-precision weights are f32', () => {
    const p = new Parameters();
    const [w, table] = [p.add('w', [4, 3], normal, 'bf16'), p.add('table', [5, 3], normal, 'f16')];
    const x = f.gather(table, f.constant(Int32Array.of(4, 0, 4), [3]));
    const grads = gradients(weighed(f.linear(x, w)), [w, table]);
    expect(grads.map(({ dtype, shape }) => [dtype, shape])).toEqual([
      ['f32', [4, 3]],
      ['f32', [5, 3]],
    ]);
  });

  it('of gradients are second derivatives', () => {
    const p = new Parameters();
    const [x, w] = [p.add('x', [3, 4]), p.add('w', [4, 4])];
    const y = weighed(f.gelu(f.logSoftmax(f.matmul(f.tanh(x), w))));
    check(f.add(...(gradients(y, [x, w]).map(weighed) as [Tensor, Tensor])), [x, w], p.given);
  });

  it('are zero for what the loss does not depend on', () => {
    const p = new Parameters();
    const [x, other, scalar] = [p.add('x', [2]), p.add('other', [2, 3]), p.add('scalar', [])];
    const [, byOther, byScalar] = gradients(weighed(x), [x, other, scalar]);
    expect([byOther.shape, byScalar.shape]).toEqual([[2, 3], []]);
    expect([...evaluate([byOther], p.given).get(byOther)!]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it('keep infinities of a branch not taken out of the other', () => {
    const [a, b] = [f.parameter('a', 'f32', [2]), f.parameter('b', 'f32', [2])];
    // the slope of the root is infinite at the second element, where b is taken
    const y = f.sqrt(f.where(f.constant([1, 0], [2]), a, b));
    const [grad] = gradients(f.sum(y, 0), [a]);
    const given = new Map([
      [a, [4, 9]],
      [b, [1, 0]],
    ]);
    expect([...evaluate([grad], given).get(grad)!]).toEqual([0.25, 0]);
  });

  it('end at integers', () => {
    const p = new Parameters();
    const x = p.add('x', [3, 5]);
    const best = f.topk(x, 2);
    check(weighed(f.takeLast(f.softmax(x), best)), [x], p.given);
    const [grad] = gradients(weighed(f.cast(best, 'f32')), [x]);
    expect([...evaluate([grad], p.given).get(grad)!].every((g) => g === 0)).toBe(true);
  });
});
