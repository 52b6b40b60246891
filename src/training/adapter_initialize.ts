/**
 * First values of an adapter, as peft's: A uniform within 1 / sqrt(inputs) and B zero, so that nothing changes at first; for an embedding A zero
 * and B normal; DoRA's magnitudes are the lengths of the base's rows.
 */
import type { AdapterLayout } from '../models/index.ts';
import { Purpose, words } from './data/random.ts';

/**
 * @param squares of the base's rows: `weightSquares`, for DoRA.
 * @returns the numbers of `adapterParameterSpecs(layout)` by name.
 */
export function initialAdapter(
  layout: AdapterLayout,
  squares: ReadonlyMap<string, Float32Array>,
  seed: number,
): Map<string, Float32Array> {
  const found = new Map<string, Float32Array>();
  layout.modules.forEach(({ sites, kind, rank, inputs }, index) => {
    const A = new Float32Array(rank * inputs);
    if (kind === 'linear') fill(A, seed, 2 * index, (u) => (2 * u - 1) / Math.sqrt(inputs));
    found.set(`lora.A.${sites[0].a}`, A);
    for (const { site, outputs } of sites) {
      const B = new Float32Array(outputs * rank);
      if (kind === 'embedding') fill(B, seed, 2 * index + 1, normal);
      found.set(`lora.B.${site}`, B);
      const squared = squares.get(`lora.squares.${site}`);
      if (squared) found.set(`lora.magnitude.${site}`, squared.map(Math.sqrt));
    }
  });
  return found;
}

/** Numbers made from uniform ones in (0, 1), two at a time. */
function fill(values: Float32Array, seed: number, stream: number, made: (u: number, v: number) => number): void {
  for (let i = 0; i < values.length; i += 2) {
    const random = words(seed, Purpose.weights, stream, i / 2);
    const [u, v, w, x] = Array.from(random, (word) => (word + 0.5) / 2 ** 32);
    values[i] = made(u, v);
    if (i + 1 < values.length) values[i + 1] = made(w, x);
  }
}

/** Box and Muller 1958. */
function normal(u: number, v: number): number {
  return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
}
