/**
 * OpenAI's line and its open relatives: GPT-1 (norms after each sum), GPT-2 (norms before), GPT-Neo (the public form of GPT-3's
 * alternation of dense and locally banded layers), GPT-J and GPT-NeoX (rotary positions, attention and MLP in parallel).
 */
import type { Activation, DecoderConfig, LayerConfig } from '../config.ts';
import type { ConfigReader } from '../config_reader.ts';
import { ropeConfig } from '../rope.ts';
import { checkAttention, type Family, fusedQkv, type Modules, readActivation, uniformLayers } from './family.ts';

interface GptShape {
  readonly n_embd: number;
  readonly n_head: number;
  readonly n_positions: number;
  readonly layers: readonly LayerConfig[];
  readonly activation: Activation;
  readonly width: number;
  readonly eps: number;
}

/** GPT-2 of a shape; the others differ from it by a few fields. */
function gpt(raw: ConfigReader, model_type: string, shape: GptShape): DecoderConfig {
  const { n_embd, n_head } = shape;
  const head_dim = n_embd / n_head;
  // A key of ours: a model trained without biases. Its files hold zeros for them, which other tools read.
  const bias = raw.optional('bias', 'boolean') ?? true;
  return {
    model_type,
    vocab_size: raw.size('vocab_size'),
    n_embd,
    n_positions: shape.n_positions,
    layers: shape.layers,
    norm: { kind: 'layer', eps: shape.eps, weightOffset: 0, bias },
    arrangement: 'pre',
    finalNorm: true,
    learnedPositions: true,
    ropes: [],
    attention: checkAttention(raw, {
      n_head,
      n_kv_head: n_head,
      head_dim,
      scale: 1 / Math.sqrt(head_dim),
      softcap: 0,
      bias: { qkv: bias, output: bias },
      qkNorm: false,
      sinks: false,
    }),
    mlp: { kind: 'plain', activation: shape.activation, width: shape.width, bias },
    experts: null,
    embeddingScale: 1,
    tied: raw.optional('tie_word_embeddings', 'boolean') ?? true,
    headBias: false,
    logitSoftcap: 0,
  };
}

const dense: LayerConfig = { window: 0, rope: null, mlp: 'dense' };

function gptShape(raw: ConfigReader, activation: Activation): GptShape {
  const n_embd = raw.size('n_embd');
  return {
    n_embd,
    n_head: raw.size('n_head'),
    n_positions: raw.size(['n_positions', 'n_ctx']),
    layers: uniformLayers(raw.size('n_layer'), dense),
    activation,
    width: raw.optional('n_inner', 'number') ?? 4 * n_embd,
    eps: raw.optional('layer_norm_epsilon', 'number') ?? 1e-5,
  };
}

const gptModules: Modules = {
  embed: 'transformer.wte',
  positions: 'transformer.wpe',
  'layer.norm1': 'transformer.h.*.ln_1',
  'layer.norm2': 'transformer.h.*.ln_2',
  'layer.attention.o': 'transformer.h.*.attn.c_proj',
  'layer.mlp.up': 'transformer.h.*.mlp.c_fc',
  'layer.mlp.down': 'transformer.h.*.mlp.c_proj',
  finalNorm: 'transformer.ln_f',
  head: 'lm_head',
};

/** Linear layers that GPT-1 and GPT-2 files store as (inputs, outputs). */
const conv1d: Family['locate'] = (module, suffix, layer, config) => {
  const transposed = suffix === '.weight';
  const fused = fusedQkv(module, `transformer.h.${layer}.attn.c_attn${suffix}`, config, transposed);
  if (fused) return fused;
  if (!['layer.attention.o', 'layer.mlp.up', 'layer.mlp.down'].includes(module)) return null;
  return { from: gptModules[module].replace('*', String(layer)) + suffix, transposed };
};

export const gpt1: Family = {
  modelTypes: ['openai-gpt'],
  prefix: 'transformer.',
  config(raw, model_type) {
    // This family's own "gelu" is the tanh form (Radford et al. 2018, model code).
    const given = raw.optional('afn', 'string') ?? 'gelu';
    const activation = given === 'gelu' ? 'geluTanh' : readActivation(raw, ['afn'], given);
    return { ...gpt(raw, model_type, gptShape(raw, activation)), arrangement: 'post', finalNorm: false };
  },
  modules: { ...gptModules, embed: 'transformer.tokens_embed', positions: 'transformer.positions_embed' },
  locate: conv1d,
};

export const gpt2: Family = {
  modelTypes: ['gpt2'],
  prefix: 'transformer.',
  config(raw, model_type) {
    for (const key of ['scale_attn_by_inverse_layer_idx', 'add_cross_attention']) {
      if (raw.optional(key, 'boolean')) throw raw.refuse(key, true, 'is not supported');
    }
    const config = gpt(raw, model_type, gptShape(raw, readActivation(raw, ['activation_function'], 'gelu_new')));
    const scaled = raw.optional('scale_attn_weights', 'boolean') ?? true;
    return scaled ? config : { ...config, attention: { ...config.attention, scale: 1 } };
  },
  modules: gptModules,
  locate: conv1d,
};

export const gptNeo: Family = {
  modelTypes: ['gpt_neo'],
  prefix: 'transformer.',
  config(raw, model_type) {
    const n_embd = raw.size('hidden_size');
    const window = raw.size('window_size', 256);
    const config = gpt(raw, model_type, {
      n_embd,
      n_head: raw.size(['num_heads', 'num_attention_heads']),
      n_positions: raw.size('max_position_embeddings'),
      layers: neoLayers(raw).map((kind) => ({ ...dense, window: kind === 'local' ? window : 0 })),
      activation: readActivation(raw, ['activation_function'], 'gelu_new'),
      width: raw.optional('intermediate_size', 'number') ?? 4 * n_embd,
      eps: raw.optional('layer_norm_epsilon', 'number') ?? 1e-5,
    });
    // GPT-Neo was trained without the factor 1/sqrt(D).
    return { ...config, attention: { ...config.attention, scale: 1, bias: { ...config.attention.bias, qkv: false } } };
  },
  modules: {
    ...gptModules,
    'layer.attention.q': 'transformer.h.*.attn.attention.q_proj',
    'layer.attention.k': 'transformer.h.*.attn.attention.k_proj',
    'layer.attention.v': 'transformer.h.*.attn.attention.v_proj',
    'layer.attention.o': 'transformer.h.*.attn.attention.out_proj',
  },
};

/** "global" or "local" for each layer: `attention_layers`, or `attention_types` as [[kinds, repeats] …]. */
function neoLayers(raw: ConfigReader): string[] {
  const count = raw.size(['num_layers', 'num_hidden_layers']);
  const types = raw.raw('attention_types');
  const kinds =
    raw.strings('attention_layers') ??
    (Array.isArray(types) ? types : []).flatMap((entry) => {
      const [pattern, repeats] = Array.isArray(entry) ? entry : [];
      const fits = Array.isArray(pattern) && Number.isInteger(repeats) && repeats >= 0 && repeats <= count;
      if (!fits) throw raw.refuse('attention_types', types, 'has to be a list of [kinds, repeats]');
      return Array.from({ length: repeats }, () => pattern as string[]).flat();
    });
  if (kinds.length !== count || kinds.some((kind) => kind !== 'global' && kind !== 'local')) {
    throw raw.refuse('attention_types', kinds, `has to name "global" or "local" for each of ${count} layers`);
  }
  return kinds;
}

export const gptJ: Family = {
  modelTypes: ['gptj'],
  prefix: 'transformer.',
  config(raw, model_type) {
    const config = gpt(raw, model_type, gptShape(raw, readActivation(raw, ['activation_function'], 'gelu_new')));
    const { head_dim } = config.attention;
    const rotary = raw.optional('rotary_dim', 'number') ?? head_dim;
    if (rotary % 2 !== 0 || rotary > head_dim)
      throw raw.refuse('rotary_dim', rotary, `is not even and at most ${head_dim}`);
    return {
      ...config,
      arrangement: 'parallelOneNorm',
      learnedPositions: false,
      ropes: [{ ...ropeConfig(raw, rotary, 10000, config.n_positions), interleaved: true }],
      layers: config.layers.map((layer) => ({ ...layer, rope: 0 })),
      attention: { ...config.attention, bias: { qkv: false, output: false } },
      tied: raw.optional('tie_word_embeddings', 'boolean') ?? false,
      headBias: true,
    };
  },
  modules: {
    ...gptModules,
    'layer.attention.q': 'transformer.h.*.attn.q_proj',
    'layer.attention.k': 'transformer.h.*.attn.k_proj',
    'layer.attention.v': 'transformer.h.*.attn.v_proj',
    'layer.attention.o': 'transformer.h.*.attn.out_proj',
    'layer.mlp.up': 'transformer.h.*.mlp.fc_in',
    'layer.mlp.down': 'transformer.h.*.mlp.fc_out',
  },
};

export const gptNeoX: Family = {
  modelTypes: ['gpt_neox'],
  prefix: 'gpt_neox.',
  config(raw, model_type) {
    const n_embd = raw.size('hidden_size');
    const n_positions = raw.size('max_position_embeddings');
    const config = gpt(raw, model_type, {
      n_embd,
      n_head: raw.size('num_attention_heads'),
      n_positions,
      layers: uniformLayers(raw.size('num_hidden_layers'), { ...dense, rope: 0 }),
      activation: readActivation(raw, ['hidden_act'], 'gelu'),
      width: raw.size('intermediate_size'),
      eps: raw.optional('layer_norm_eps', 'number') ?? 1e-5,
    });
    const scaling = raw.object('rope_parameters') ?? raw.object('rope_scaling') ?? raw;
    const partial = scaling.optional('partial_rotary_factor', 'number') ?? raw.optional('rotary_pct', 'number') ?? 0.25;
    const theta =
      scaling.optional('rope_theta', 'number') ?? raw.optional(['rope_theta', 'rotary_emb_base'], 'number') ?? 10000;
    const rotary = Math.floor(config.attention.head_dim * partial);
    if (rotary % 2 !== 0)
      throw raw.refuse('rotary_pct', partial, `rotates ${rotary} elements of each head, an odd number`);
    const bias = raw.optional('attention_bias', 'boolean') ?? true;
    return {
      ...config,
      arrangement: (raw.optional('use_parallel_residual', 'boolean') ?? true) ? 'parallelTwoNorms' : 'pre',
      learnedPositions: false,
      ropes: [ropeConfig(scaling, rotary, theta, n_positions)],
      attention: { ...config.attention, bias: { qkv: bias, output: bias } },
      tied: raw.optional('tie_word_embeddings', 'boolean') ?? false,
    };
  },
  modules: {
    embed: 'gpt_neox.embed_in',
    'layer.norm1': 'gpt_neox.layers.*.input_layernorm',
    'layer.norm2': 'gpt_neox.layers.*.post_attention_layernorm',
    'layer.attention.o': 'gpt_neox.layers.*.attention.dense',
    'layer.mlp.up': 'gpt_neox.layers.*.mlp.dense_h_to_4h',
    'layer.mlp.down': 'gpt_neox.layers.*.mlp.dense_4h_to_h',
    finalNorm: 'gpt_neox.final_layer_norm',
    head: 'embed_out',
  },
  /** Rows of the fused matrix go head by head: q, k and v of the first, then of the second … */
  locate(module, suffix, layer, { attention: { n_head, head_dim } }) {
    const part = ['layer.attention.q', 'layer.attention.k', 'layer.attention.v'].indexOf(module);
    if (part < 0) return null;
    return {
      from: `gpt_neox.layers.${layer}.attention.query_key_value${suffix}`,
      rows: { start: part * head_dim, length: head_dim, stride: 3 * head_dim, blocks: n_head },
    };
  },
};
