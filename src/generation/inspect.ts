/** A look inside: the hidden states and attention weights of a whole text, computed apart from any cache. */
import { decoderHidden, decoderNormed } from '../models/decoder.ts';
import { type Model, parameterBuffers, symbolicParameters } from '../models/index.ts';
import { compile, f, type Tensor } from '../tensor/index.ts';

export interface Inspection {
  /** The sum that enters each layer, the embeddings first, and last what the output head reads: each (T, C). */
  readonly hidden_states: readonly Float32Array[];
  /** Of each layer (H, T, T): how much each query (row) takes from each key; rows add up to 1, less what a sink takes. */
  readonly attentions: readonly Float32Array[];
}

/** @param ids the text, (T). */
export async function inspectText(model: Model, ids: readonly number[]): Promise<Inspection> {
  const { config } = model;
  const T = ids.length;
  const parameter = symbolicParameters(model);
  const outputs: Record<string, Tensor> = {};
  const row = (name: string) => f.input(name, 'i32', [1, T]);
  let layers = 0;
  const hidden = decoderHidden(config, parameter, {
    ids: row('ids'),
    positions: row('positions'),
    onLayer: (x) => {
      outputs[`hidden.${layers++}`] = f.affine(x, 1, 0); // (1, T, C)
    },
    attend({ layer, q, k, v, sinks, attrs }) {
      outputs[`q.${layer}`] = f.affine(q, 1, 0); // (1, T, H, D)
      outputs[`k.${layer}`] = f.affine(k, 1, 0); // (1, T, G, D)
      if (sinks) outputs[`sinks.${layer}`] = f.affine(sinks, 1, 0); // (H)
      return f.attention(q, k, v, { sinks }, attrs);
    },
  });
  outputs[`hidden.${layers}`] = f.affine(decoderNormed(config, parameter, hidden), 1, 0); // (1, T, C)
  const plan = model.backend.load(compile(outputs, { precision: 'exact' }), parameterBuffers(model));
  const inputs = { ids: Int32Array.from(ids), positions: Int32Array.from(ids, (_, t) => t) };
  const found = (await plan.run({ inputs })) as Record<string, Float32Array>;
  return {
    hidden_states: Array.from({ length: layers + 1 }, (_, i) => found[`hidden.${i}`]),
    attentions: config.layers.map(({ window }, i) => {
      return weights(model, T, window, found[`q.${i}`], found[`k.${i}`], found[`sinks.${i}`]);
    }),
  };
}

/** softmax(scale q·k) over the keys that each query sees: (H, T, T). */
function weights(
  { config }: Model,
  T: number,
  window: number,
  q: Float32Array,
  k: Float32Array,
  sinks: Float32Array | undefined,
): Float32Array {
  const { n_head: H, n_kv_head: G, head_dim: D, scale, softcap } = config.attention;
  const all = new Float32Array(H * T * T);
  const scores = new Float64Array(T);
  for (let h = 0; h < H; h++) {
    const g = Math.floor((h * G) / H);
    for (let t = 0; t < T; t++) {
      const first = window > 0 ? Math.max(0, t - window + 1) : 0;
      let greatest = sinks ? sinks[h] : Number.NEGATIVE_INFINITY;
      for (let j = first; j <= t; j++) {
        let dot = 0;
        for (let d = 0; d < D; d++) dot += q[(t * H + h) * D + d] * k[(j * G + g) * D + d];
        const score = dot * scale;
        scores[j] = softcap > 0 ? softcap * Math.tanh(score / softcap) : score;
        greatest = Math.max(greatest, scores[j]);
      }
      let total = sinks ? Math.exp(sinks[h] - greatest) : 0;
      for (let j = first; j <= t; j++) total += Math.exp(scores[j] - greatest);
      for (let j = first; j <= t; j++) all[(h * T + t) * T + j] = Math.exp(scores[j] - greatest) / total;
    }
  }
  return all;
}
