/** What tests of adapters share: the golden models and adapters, and logits by a plain graph. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Backend } from '../src/backends/backend.ts';
import { decoderHidden, decoderLogits } from '../src/models/decoder.ts';
import {
  type Adapter,
  type AdapterConfig,
  adaptedMaps,
  adapterLayout,
  adapterOf,
  adapterParameterSpecs,
  adapterParameters,
  completeAdapterConfig,
  type DecoderConfig,
  layoutOfAdapter,
  loadModel,
  type Model,
  parameterBuffers,
  readAdapterConfig,
  readPeftTensors,
  symbolicParameters,
  weightSquares,
} from '../src/models/index.ts';
import { compile, f } from '../src/tensor/index.ts';
import { MemorySource, openWeights } from '../src/weights/index.ts';
import { uniformAt } from './op_data.ts';

export const goldenPath = (path: string) => fileURLToPath(new URL(`./golden/${path}`, import.meta.url));
export const goldenBytes = (path: string) => readFileSync(goldenPath(path));
export const goldenJson = (path: string) => JSON.parse(readFileSync(goldenPath(path), 'utf8'));

export const kinds = ['gpt2', 'llama'] as const;

export function goldenWeights(kind: string) {
  return openWeights(new MemorySource('model.safetensors', goldenBytes(`training/${kind}/init/model.safetensors`)));
}

export const goldenConfig = (kind: string) => goldenJson(`training/${kind}/init/config.json`);

export function goldenModel(kind: string, backend: Backend): Model {
  return loadModel(goldenWeights(kind), goldenConfig(kind), backend);
}

export function goldenAdapter(kind: string, which = 'lora_after'): Adapter {
  const path = `adapters/${kind}/${which}`;
  const config = readAdapterConfig(goldenJson(`${path}/adapter_config.json`));
  const name = `${path}/adapter_model.safetensors`;
  return readPeftTensors(config, openWeights(new MemorySource(name, goldenBytes(name))));
}

/** Logits (B·T·V) of a model with an adapter, by dense attention. */
export async function graphLogits(model: Model, ids: readonly number[][], adapter?: Adapter): Promise<Float32Array> {
  const { backend, config } = model;
  const bytes = (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const base = symbolicParameters(model);
  const buffers = parameterBuffers(model);
  const layout = adapter && layoutOfAdapter(config, adapter);
  const values = new Map<string, Float32Array>();
  if (adapter && layout) {
    for (const [name, numbers] of adapterParameters(layout, adapter)) values.set(name, numbers);
    for (const [name, numbers] of await weightSquares(model, layout)) values.set(name, numbers);
  }
  const shapes = new Map([...values].map(([name, { length }]) => [name, shapeOf(name, length)]));
  function shapeOf(name: string, length: number): number[] {
    if (/^lora\.(magnitude|squares)/.test(name)) return [length];
    const sites = [...layout!.sites.values()];
    const site = sites.find(({ a, site }) => name === `lora.A.${a}` || name === `lora.B.${site}`)!;
    return name.startsWith('lora.A') ? [site.rank, site.inputs] : [site.outputs, site.rank];
  }
  const tensors = new Map([...shapes].map(([name, shape]) => [name, f.parameter(name, 'f32', shape)]));
  for (const [name, numbers] of values) buffers[name] = backend.adopt(bytes(numbers.slice()));
  const maps = layout ? adaptedMaps({ layout, parameter: (name) => tensors.get(name) }) : {};
  const shape = [ids.length, ids[0].length];
  const hidden = decoderHidden(config, base, {
    ids: f.input('ids', 'i32', shape),
    positions: f.input('positions', 'i32', shape),
    attend: ({ q, k, v, sinks, attrs }) => f.attention(q, k, v, { sinks }, attrs),
    ...maps,
  });
  const plan = backend.load(compile({ logits: decoderLogits(config, base, hidden, maps) }), buffers);
  const result = await plan.run({
    inputs: {
      ids: Int32Array.from(ids.flat()),
      positions: Int32Array.from(ids.flatMap((row) => row.map((_, i) => i))),
    },
  });
  return result.logits as Float32Array;
}

/** Rows `last` of logits (B·T·V). */
export function lastRows(logits: Float32Array, batch: number, V: number): Float32Array[] {
  const T = logits.length / batch / V;
  return Array.from({ length: batch }, (_, b) => logits.slice(((b + 1) * T - 1) * V, (b + 1) * T * V));
}

export function greatestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let greatest = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i] - b[i]);
    if (!(difference <= greatest)) greatest = difference;
  }
  return greatest;
}

/** An adapter of a configuration with numbers of a seed, none of them 0; magnitudes near those of the weights of small models. */
export function randomAdapter(model: DecoderConfig, fields: Partial<AdapterConfig>, seed: number): Adapter {
  const config = completeAdapterConfig(fields);
  const layout = adapterLayout(model, config);
  const values = new Map(
    adapterParameterSpecs(layout).map(({ name, shape }, which) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const scale = name.startsWith('lora.A') ? 0.3 : 0.15;
      const number = (i: number) => uniformAt(seed * 1000 + which, i) * 2 - 1;
      const make = (i: number) => (name.startsWith('lora.magnitude') ? 1 + 0.3 * number(i) : scale * number(i));
      return [name, Float32Array.from({ length: size }, (_, i) => make(i))] as const;
    }),
  );
  return adapterOf(layout, config, values, `random ${seed}`);
}
