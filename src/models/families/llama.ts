/**
 * LLaMA and those that vary it: Mistral (a sliding window), Qwen 2 and 3 (biases, normalised heads), Phi-3 (fused matrices), Gemma 3 (norms
 * on both sides, two ropes), and the mixtures of experts Mixtral, Qwen-MoE and gpt-oss.
 */
import type { DecoderConfig, ExpertsConfig, LayerConfig, MlpConfig, RopeConfig } from '../config.ts';
import type { ConfigReader } from '../config_reader.ts';
import { ropeConfig } from '../rope.ts';
import { checkAttention, type Family, fusedQkv, type Modules, readActivation, rowRange } from './family.ts';

function llamaConfig(raw: ConfigReader, model_type: string): DecoderConfig {
  const n_embd = raw.size('hidden_size');
  const n_head = raw.size('num_attention_heads');
  const head_dim = raw.optional('head_dim', 'number') ?? n_embd / n_head;
  const n_positions = raw.size('max_position_embeddings', 2048);
  const bias = raw.optional('attention_bias', 'boolean') ?? false;
  const window = windowOf(raw);
  return {
    model_type,
    vocab_size: raw.size('vocab_size'),
    n_embd,
    n_positions,
    layers: layerTypes(raw, window > 0 ? 'sliding_attention' : 'full_attention').map(
      (type): LayerConfig => ({ window: type === 'sliding_attention' ? window : 0, rope: 0, mlp: 'dense' }),
    ),
    norm: { kind: 'rms', eps: raw.optional('rms_norm_eps', 'number') ?? 1e-6, weightOffset: 0, bias: false },
    arrangement: 'pre',
    finalNorm: true,
    learnedPositions: false,
    ropes: [readRope(raw, head_dim, n_positions)],
    attention: checkAttention(raw, {
      n_head,
      n_kv_head: raw.size('num_key_value_heads', n_head),
      head_dim,
      scale: 1 / Math.sqrt(head_dim),
      softcap: 0,
      bias: { qkv: bias, output: bias },
      qkNorm: false,
      sinks: false,
    }),
    mlp: {
      kind: 'gated',
      activation: readActivation(raw, ['hidden_act', 'hidden_activation'], 'silu'),
      width: raw.size('intermediate_size'),
      bias: raw.optional('mlp_bias', 'boolean') ?? false,
    },
    experts: null,
    embeddingScale: 1,
    tied: raw.optional('tie_word_embeddings', 'boolean') ?? false,
    headBias: false,
    logitSoftcap: 0,
  };
}

/** The sliding window of the config, 0 for none. Qwen files carry a window that `use_sliding_window` switches off. */
function windowOf(raw: ConfigReader): number {
  if (raw.optional('use_sliding_window', 'boolean') === false) return 0;
  return raw.optional('sliding_window', 'number') ?? 0;
}

/** The attention type of each layer: `layer_types`, or `usual` for all. */
function layerTypes(raw: ConfigReader, usual: string): string[] {
  const count = raw.size('num_hidden_layers');
  const types = raw.strings('layer_types') ?? Array.from({ length: count }, () => usual);
  const known = ['full_attention', 'sliding_attention'];
  if (types.length !== count || types.some((type) => !known.includes(type))) {
    throw raw.refuse('layer_types', types, `has to name ${known.join(' or ')} for each of ${count} layers`);
  }
  return types;
}

function readRope(raw: ConfigReader, head_dim: number, n_positions: number): RopeConfig {
  const scaling = raw.object('rope_parameters') ?? raw.object('rope_scaling') ?? raw;
  const theta = scaling.optional('rope_theta', 'number') ?? raw.optional('rope_theta', 'number') ?? 10000;
  const partial =
    scaling.optional('partial_rotary_factor', 'number') ?? raw.optional('partial_rotary_factor', 'number') ?? 1;
  const width = Math.floor(head_dim * partial);
  if (width % 2 !== 0) throw raw.refuse('head_dim', head_dim, `rotates ${width} elements of each head, an odd number`);
  return ropeConfig(scaling, width, theta, n_positions);
}

const modules: Modules = {
  embed: 'model.embed_tokens',
  'layer.norm1': 'model.layers.*.input_layernorm',
  'layer.norm2': 'model.layers.*.post_attention_layernorm',
  'layer.attention.q': 'model.layers.*.self_attn.q_proj',
  'layer.attention.k': 'model.layers.*.self_attn.k_proj',
  'layer.attention.v': 'model.layers.*.self_attn.v_proj',
  'layer.attention.o': 'model.layers.*.self_attn.o_proj',
  'layer.attention.qNorm': 'model.layers.*.self_attn.q_norm',
  'layer.attention.kNorm': 'model.layers.*.self_attn.k_norm',
  'layer.attention.sinks': 'model.layers.*.self_attn.sinks',
  'layer.mlp.gate': 'model.layers.*.mlp.gate_proj',
  'layer.mlp.up': 'model.layers.*.mlp.up_proj',
  'layer.mlp.down': 'model.layers.*.mlp.down_proj',
  'layer.router': 'model.layers.*.mlp.gate',
  'layer.shared.gate': 'model.layers.*.mlp.shared_expert.gate_proj',
  'layer.shared.up': 'model.layers.*.mlp.shared_expert.up_proj',
  'layer.shared.down': 'model.layers.*.mlp.shared_expert.down_proj',
  'layer.sharedGate': 'model.layers.*.mlp.shared_expert_gate',
  finalNorm: 'model.norm',
  head: 'lm_head',
};

export const llama: Family = { modelTypes: ['llama', 'mistral'], prefix: 'model.', config: llamaConfig, modules };

export const qwen: Family = {
  modelTypes: ['qwen2', 'qwen3'],
  prefix: 'model.',
  config(raw, model_type) {
    const config = llamaConfig(raw, model_type);
    if (model_type === 'qwen3') return { ...config, attention: { ...config.attention, qkNorm: true } };
    return { ...config, attention: { ...config.attention, bias: { qkv: true, output: false } } };
  },
  modules,
};

export const phi3: Family = {
  modelTypes: ['phi3'],
  prefix: 'model.',
  config: llamaConfig,
  modules,
  locate(module, suffix, layer, config) {
    const at = `model.layers.${layer}`;
    const { width } = config.mlp;
    if (module === 'layer.mlp.gate') return rowRange(`${at}.mlp.gate_up_proj${suffix}`, 0, width);
    if (module === 'layer.mlp.up') return rowRange(`${at}.mlp.gate_up_proj${suffix}`, width, width);
    return fusedQkv(module, `${at}.self_attn.qkv_proj${suffix}`, config);
  },
};

export const gemma3: Family = {
  modelTypes: ['gemma3_text'],
  prefix: 'model.',
  config(raw, model_type) {
    const config = llamaConfig(raw, model_type);
    const { head_dim } = config.attention;
    const window = raw.size('sliding_window', 4096);
    const every = raw.optional(['sliding_window_pattern', '_sliding_window_pattern'], 'number') ?? 6;
    const types =
      raw.strings('layer_types') ??
      config.layers.map((_, i) => ((i + 1) % every === 0 ? 'full_attention' : 'sliding_attention'));
    return {
      ...config,
      layers: types.map((type) =>
        type === 'full_attention' ? { window: 0, rope: 0, mlp: 'dense' } : { window, rope: 1, mlp: 'dense' },
      ),
      norm: { ...config.norm, weightOffset: 1 },
      arrangement: 'sandwich',
      ropes: gemmaRopes(raw, head_dim, config.n_positions),
      attention: {
        ...config.attention,
        scale: 1 / Math.sqrt(raw.optional('query_pre_attn_scalar', 'number') ?? head_dim),
        softcap: raw.optional('attn_logit_softcapping', 'number') ?? 0,
        qkNorm: true,
      },
      mlp: { ...config.mlp, activation: readActivation(raw, ['hidden_activation', 'hidden_act'], 'gelu_pytorch_tanh') },
      embeddingScale: Math.fround(Math.sqrt(config.n_embd)),
      tied: raw.optional('tie_word_embeddings', 'boolean') ?? true,
      logitSoftcap: raw.optional('final_logit_softcapping', 'number') ?? 0,
    };
  },
  modules: {
    ...modules,
    'layer.postNorm1': 'model.layers.*.post_attention_layernorm',
    'layer.norm2': 'model.layers.*.pre_feedforward_layernorm',
    'layer.postNorm2': 'model.layers.*.post_feedforward_layernorm',
  },
};

/** The rope of full layers, then that of sliding ones: by layer type in new files, by `rope_local_base_freq` in older ones. */
function gemmaRopes(raw: ConfigReader, head_dim: number, n_positions: number): RopeConfig[] {
  const parameters = raw.object('rope_parameters');
  const byType = (type: string) => {
    const rope = parameters?.object(type);
    return rope && ropeConfig(rope, head_dim, rope.optional('rope_theta', 'number') ?? 10000, n_positions);
  };
  const none = ropeConfig(
    raw.object('rope_scaling') ?? raw,
    head_dim,
    raw.optional('rope_theta', 'number') ?? 1e6,
    n_positions,
  );
  const local = raw.optional('rope_local_base_freq', 'number') ?? 10000;
  return [
    byType('full_attention') ?? none,
    byType('sliding_attention') ?? ropeConfig(raw, head_dim, local, n_positions),
  ];
}

/** A configuration whose layers are mixtures, but for those that `isDense` names. */
function withExperts(
  config: DecoderConfig,
  experts: ExpertsConfig,
  isDense = (_layer: number) => false,
): DecoderConfig {
  if (experts.per_token > experts.count) throw new RangeError('more experts per token than there are');
  return {
    ...config,
    experts,
    layers: config.layers.map((layer, i): LayerConfig => ({ ...layer, mlp: isDense(i) ? 'dense' : 'experts' })),
  };
}

function expertCounts(raw: ConfigReader): { count: number; per_token: number } {
  const count = raw.size(['num_local_experts', 'num_experts']);
  const per_token = raw.size('num_experts_per_tok');
  if (per_token > count)
    throw raw.refuse('num_experts_per_tok', per_token, `is more than the ${count} experts there are`);
  return { count, per_token };
}

/** Experts that are files' tensors of their own, one for each. */
function separateExperts(path: string, parts: Readonly<Record<string, string>>): NonNullable<Family['locate']> {
  return (module, suffix, layer, { experts }) => {
    const part = module.startsWith('layer.experts.') ? parts[module.slice('layer.experts.'.length)] : undefined;
    if (!part || !experts) return null;
    const at = path.replace('*', String(layer));
    return { from: Array.from({ length: experts.count }, (_, e) => `${at}.${e}.${part}${suffix}`) };
  };
}

export const mixtral: Family = {
  modelTypes: ['mixtral'],
  prefix: 'model.',
  config(raw, model_type) {
    const config = llamaConfig(raw, model_type);
    return withExperts(config, {
      ...expertCounts(raw),
      mlp: config.mlp,
      routerBias: false,
      softmax: 'before',
      normalize: true,
      shared: null,
    });
  },
  modules: { ...modules, 'layer.router': 'model.layers.*.block_sparse_moe.gate' },
  locate: separateExperts('model.layers.*.block_sparse_moe.experts', { gate: 'w1', down: 'w2', up: 'w3' }),
};

export const qwenMoe: Family = {
  modelTypes: ['qwen2_moe', 'qwen3_moe'],
  prefix: 'model.',
  config(raw, model_type) {
    const config = qwen.config(raw, model_type === 'qwen3_moe' ? 'qwen3' : 'qwen2');
    const mlp = { ...config.mlp, width: raw.size('moe_intermediate_size') };
    const step = raw.size('decoder_sparse_step', 1);
    const dense = raw.raw('mlp_only_layers') ?? [];
    if (!Array.isArray(dense)) throw raw.refuse('mlp_only_layers', dense, 'has to be a list of layers');
    const sharedWidth = model_type === 'qwen2_moe' ? raw.size('shared_expert_intermediate_size') : 0;
    const shared: MlpConfig | null = sharedWidth > 0 ? { ...config.mlp, width: sharedWidth } : null;
    const normalize = raw.optional('norm_topk_prob', 'boolean') ?? false;
    return withExperts(
      { ...config, model_type },
      { ...expertCounts(raw), mlp, routerBias: false, softmax: 'before', normalize, shared },
      (i) => dense.includes(i) || (i + 1) % step !== 0,
    );
  },
  modules,
  locate: separateExperts('model.layers.*.mlp.experts', { gate: 'gate_proj', up: 'up_proj', down: 'down_proj' }),
};

export const gptOss: Family = {
  modelTypes: ['gpt_oss'],
  prefix: 'model.',
  config(raw, model_type) {
    const config = llamaConfig(raw, model_type);
    const mlp: MlpConfig = {
      ...config.mlp,
      kind: 'clamped',
      bias: true,
      alpha: raw.optional('swiglu_alpha', 'number') ?? 1.702,
      limit: raw.optional('swiglu_limit', 'number') ?? 7,
    };
    return withExperts(
      { ...config, attention: { ...config.attention, sinks: true } },
      { ...expertCounts(raw), mlp, routerBias: true, softmax: 'after', normalize: false, shared: null },
    );
  },
  modules: { ...modules, 'layer.router': 'model.layers.*.mlp.router' },
  /** All experts of a layer in one tensor (E, inputs, outputs); gate and up alternate. */
  locate(module, suffix, layer, { experts }) {
    const at = `model.layers.${layer}.mlp.experts`;
    const file = suffix === '.bias' ? '_bias' : '';
    const transposed = suffix === '.weight';
    const rows = (start: number) => ({ start, length: 1, stride: 2, blocks: experts!.mlp.width });
    if (module === 'layer.experts.gate') return { from: `${at}.gate_up_proj${file}`, transposed, rows: rows(0) };
    if (module === 'layer.experts.up') return { from: `${at}.gate_up_proj${file}`, transposed, rows: rows(1) };
    if (module === 'layer.experts.down') return { from: `${at}.down_proj${file}`, transposed };
    return null;
  },
};
