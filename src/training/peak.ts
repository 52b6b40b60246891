/** The arithmetic that a backend reaches at best, measured: what the utilisation of a training run is a share of. */
import type { Backend } from '../backends/backend.ts';
import { compile, f } from '../tensor/index.ts';

const SIZE = 768;
const RUNS = 6;

/** Floating-point operations per second of float32 products of 768 x 768 matrices, the best of a few runs. */
export async function measurePeak(backend: Backend, now: () => number): Promise<number> {
  const [a, b] = ['a', 'b'].map((name) => f.parameter(name, 'f32', [SIZE, SIZE]));
  // Summed up, so that little comes back.
  const loaded = backend.load(compile({ y: f.sum(f.sum(f.matmul(a, b), 0), 1) }), {
    a: backend.allocate(4 * SIZE * SIZE),
    b: backend.allocate(4 * SIZE * SIZE),
  });
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < RUNS; i++) {
    const start = now();
    await loaded.run({});
    best = Math.min(best, now() - start);
  }
  return (2 * SIZE ** 3) / Math.max(best, 1e-9);
}
