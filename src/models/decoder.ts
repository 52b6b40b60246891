/**
 * The decoder: one transformer for every family, written over symbolic tensors. It knows nothing of caches or batches: `lead` is (N) rows of
 * many sequences when generating and (B, T) when training, and the caller says how attention happens.
 */
import { type Dim, f, type Shape, type Tensor } from '../tensor/index.ts';
import type { AttentionAttrs } from '../tensor/ops/attrs.ts';
import type { Activation, DecoderConfig, ExpertsConfig, LayerConfig, MlpConfig } from './config.ts';

/** Gives the parameter of a name; undefined for one that the configuration does not have. */
export type ParameterLookup = (name: string) => Tensor | undefined;

/** Queries (…, H, D), keys and values (…, G, D) of one layer, and what the layer does with them. */
export interface AttentionCall {
  readonly layer: number;
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly sinks: Tensor | null;
  readonly attrs: AttentionAttrs;
}

/**
 * How the decoder's linear maps and its embedding are computed, where not as plain products and look-ups: what adapters hang on. A site is
 * the name of a map without `.weight`: `layers.0.attention.q`, `head`, `embed`.
 */
export interface DecoderMaps {
  /** x (…, K) through the weight (O, K) and the bias (O) of a site: (…, O). */
  readonly linear?: (site: string, x: Tensor, weight: Tensor, bias: Tensor | null) => Tensor;
  /** Rows of the embedding (V, C) by ids (…): (…, C). */
  readonly embedding?: (ids: Tensor, weight: Tensor) => Tensor;
}

export interface DecoderInputs extends DecoderMaps {
  /** Token ids (…). */
  readonly ids: Tensor;
  /** The position of each token in its sequence (…), of the same shape. */
  readonly positions: Tensor;
  /** Attention of one layer: (…, H, D). */
  attend(call: AttentionCall): Tensor;
  /** Dropout, for training: of the embeddings, and of what attention and MLP add to the sum. */
  readonly drop?: (x: Tensor) => Tensor;
  /** Told the sum that enters each layer. */
  readonly onLayer?: (x: Tensor) => void;
}

/** The hidden states before the final norm: (…, C). */
export function decoderHidden(config: DecoderConfig, parameter: ParameterLookup, inputs: DecoderInputs): Tensor {
  const decoder = new Decoder(config, parameter, inputs);
  let x = decoder.embed(); // (…, C)
  config.layers.forEach((_, i) => {
    inputs.onLayer?.(x);
    x = decoder.layer(x, i); // (…, C)
  });
  return x;
}

/** The final norm: hidden states (…, C) as the output head reads them (…, C). */
export function decoderNormed(config: DecoderConfig, parameter: ParameterLookup, hidden: Tensor): Tensor {
  const bias = parameter('finalNorm.bias') ?? null;
  return config.finalNorm ? f.normalize(hidden, need(parameter, 'finalNorm.weight'), bias, config.norm) : hidden;
}

/** The output head: states (…, C) to logits (…, V). */
export function decoderHead(
  config: DecoderConfig,
  parameter: ParameterLookup,
  states: Tensor,
  { linear = plainLinear }: DecoderMaps = {},
): Tensor {
  const head = need(parameter, config.tied ? 'embed.weight' : 'head.weight');
  const logits = linear('head', states, head, parameter('head.bias') ?? null); // (…, V)
  const cap = config.logitSoftcap;
  return cap > 0 ? f.affine(f.tanh(f.affine(logits, 1 / cap, 0)), cap, 0) : logits;
}

/** The final norm and the output head: hidden states (…, C) to logits (…, V). */
export function decoderLogits(
  config: DecoderConfig,
  parameter: ParameterLookup,
  hidden: Tensor,
  maps: DecoderMaps = {},
): Tensor {
  return decoderHead(config, parameter, decoderNormed(config, parameter, hidden), maps);
}

function plainLinear(_site: string, x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  return f.linear(x, weight, bias);
}

function need(parameter: ParameterLookup, name: string): Tensor {
  const tensor = parameter(name);
  if (!tensor) throw new Error(`the decoder needs a parameter "${name}" that its configuration does not list`);
  return tensor;
}

const activations: Readonly<Record<Activation, (x: Tensor) => Tensor>> = {
  relu: f.relu,
  gelu: f.gelu,
  geluTanh: f.geluTanh,
  silu: f.silu,
  quickGelu: (x) => f.mul(x, f.sigmoid(f.affine(x, 1.702, 0))),
};

class Decoder {
  private readonly lead: Shape;
  private readonly drop: (x: Tensor) => Tensor;
  /** Cosines and sines of each of the model's ropes, shared by its layers: (…, R). */
  private readonly tables: readonly Tensor[];

  constructor(
    private readonly config: DecoderConfig,
    private readonly parameter: ParameterLookup,
    private readonly inputs: DecoderInputs,
  ) {
    this.lead = inputs.ids.shape;
    this.drop = inputs.drop ?? ((x) => x);
    this.tables = config.ropes.map(({ frequencies, scale }) =>
      f.ropeTable(inputs.positions, f.constant(frequencies, [frequencies.length]), scale),
    );
  }

  embed(): Tensor {
    const { embeddingScale, learnedPositions } = this.config;
    const { embedding = (ids: Tensor, table: Tensor) => f.gather(table, ids) } = this.inputs;
    let x = embedding(this.inputs.ids, this.need('embed.weight')); // (…, C)
    if (embeddingScale !== 1) x = f.affine(x, embeddingScale, 0);
    if (learnedPositions) x = f.add(x, f.gather(this.need('positions.weight'), this.inputs.positions));
    return this.drop(x);
  }

  layer(x: Tensor, i: number): Tensor {
    const at = `layers.${i}`;
    const layer = this.config.layers[i];
    const attention = (h: Tensor) => this.drop(this.attention(h, i, layer));
    const mlp = (h: Tensor) =>
      this.drop(layer.mlp === 'dense' ? this.mlp(h, `${at}.mlp`, this.config.mlp) : this.experts(h, at));
    const norm = (h: Tensor, name: string) => this.norm(h, `${at}.${name}`);
    switch (this.config.arrangement) {
      case 'pre': {
        const h = f.add(x, attention(norm(x, 'norm1')));
        return f.add(h, mlp(norm(h, 'norm2')));
      }
      case 'post': {
        const h = norm(f.add(x, attention(x)), 'norm1');
        return norm(f.add(h, mlp(h)), 'norm2');
      }
      case 'sandwich': {
        const h = f.add(x, norm(attention(norm(x, 'norm1')), 'postNorm1'));
        return f.add(h, norm(mlp(norm(h, 'norm2')), 'postNorm2'));
      }
      case 'parallelOneNorm': {
        const h = norm(x, 'norm1');
        return f.add(f.add(x, attention(h)), mlp(h));
      }
      case 'parallelTwoNorms':
        return f.add(f.add(x, attention(norm(x, 'norm1'))), mlp(norm(x, 'norm2')));
    }
  }

  private attention(x: Tensor, i: number, layer: LayerConfig): Tensor {
    const { n_head: H, n_kv_head: G, head_dim: D, scale, softcap, qkNorm, sinks } = this.config.attention;
    const at = `layers.${i}.attention`;
    const heads = (part: 'q' | 'k' | 'v', count: number) =>
      f.reshape(this.linear(x, `${at}.${part}`), [...this.lead, count, D]); // (…, count, D)
    let q = heads('q', H);
    let k = heads('k', G);
    const v = heads('v', G);
    if (qkNorm) {
      q = f.normalize(q, this.need(`${at}.qNorm.weight`), null, this.config.norm);
      k = f.normalize(k, this.need(`${at}.kNorm.weight`), null, this.config.norm);
    }
    if (layer.rope !== null) {
      const { interleaved } = this.config.ropes[layer.rope];
      q = f.rope(q, this.tables[layer.rope], interleaved);
      k = f.rope(k, this.tables[layer.rope], interleaved);
    }
    const attended = this.inputs.attend({
      layer: i,
      q,
      k,
      v,
      sinks: sinks ? this.need(`${at}.sinks`) : null,
      attrs: { scale, softcap, window: layer.window },
    }); // (…, H, D)
    return this.linear(f.reshape(attended, [...this.lead, H * D]), `${at}.o`); // (…, C)
  }

  private mlp(x: Tensor, at: string, config: MlpConfig): Tensor {
    const up = this.linear(x, `${at}.up`); // (…, width)
    const gate = config.kind === 'plain' ? null : this.linear(x, `${at}.gate`);
    return this.linear(glu(gate, up, config), `${at}.down`); // (…, C)
  }

  /** A mixture of experts (Shazeer et al. 2017): each row passes the few that its router prefers. */
  private experts(x: Tensor, at: string): Tensor {
    const config = this.config.experts!;
    const C = this.config.n_embd;
    const N: Dim = this.lead.length === 1 ? this.lead[0] : (this.lead as number[]).reduce((a, b) => a * b, 1);
    const rows = f.reshape(x, [N, C]); // (N, C)
    const { chosen, weights } = this.route(rows, at, config); // (N, k) each
    const product = (input: Tensor, part: string) => {
      const y = f.expertMatmul(input, this.need(`${at}.experts.${part}.weight`), chosen, true);
      const bias = this.parameter(`${at}.experts.${part}.bias`);
      return bias ? f.add(y, f.gather(bias, chosen)) : y; // (N, k, outputs)
    };
    const gate = config.mlp.kind === 'plain' ? null : product(rows, 'gate');
    const down = product(glu(gate, product(rows, 'up'), config.mlp), 'down'); // (N, k, C)
    const weighted = f.mul(down, f.reshape(weights, [N, config.per_token, 1]));
    let y = f.reshape(f.sum(weighted, 1), [N, C]); // (N, C)
    if (config.shared) {
      const open = f.sigmoid(this.linear(rows, `${at}.sharedGate`)); // (N, 1)
      y = f.add(y, f.mul(open, this.mlp(rows, `${at}.shared`, config.shared)));
    }
    return f.reshape(y, x.shape);
  }

  private route(rows: Tensor, at: string, config: ExpertsConfig): { chosen: Tensor; weights: Tensor } {
    const scores = this.linear(rows, `${at}.router`); // (N, E)
    const chosen = f.topk(scores, config.per_token); // (N, k)
    if (config.softmax === 'after') return { chosen, weights: f.softmax(f.takeLast(scores, chosen)) };
    const weights = f.takeLast(f.softmax(scores), chosen);
    return { chosen, weights: config.normalize ? f.div(weights, f.sum(weights, 1)) : weights };
  }

  private norm(x: Tensor, at: string): Tensor {
    return f.normalize(x, this.need(`${at}.weight`), this.parameter(`${at}.bias`) ?? null, this.config.norm);
  }

  private linear(x: Tensor, at: string): Tensor {
    const { linear = plainLinear } = this.inputs;
    return linear(at, x, this.need(`${at}.weight`), this.parameter(`${at}.bias`) ?? null);
  }

  private need(name: string): Tensor {
    return need(this.parameter, name);
  }
}

/** The middle of an MLP: the activation, with its gate if there is one. */
function glu(gate: Tensor | null, up: Tensor, { kind, activation, alpha = 1, limit = 0 }: MlpConfig): Tensor {
  if (!gate) return activations[activation](up);
  if (kind === 'gated') return f.mul(activations[activation](gate), up);
  const bounded = f.clamp(gate, Number.NEGATIVE_INFINITY, limit);
  const open = f.mul(bounded, f.sigmoid(f.affine(bounded, alpha, 0)));
  return f.mul(f.affine(f.clamp(up, -limit, limit), 1, 1), open);
}
