/**
 * From the fields of a preset to a config.json that other tools load: openai-gpt for GPT-1, gpt2 for GPT-2, gpt_neo for GPT-3 (the
 * public form of its alternating attention), qwen3 and qwen3_moe for the modern decoder.
 */
import { SettingError } from '../errors.ts';
import type { DecoderConfig } from '../models/config.ts';
import { type ParameterSpec, parameterSpecs } from '../models/parameters.ts';
import type { Architecture } from './preset_fields.ts';

/** The content of a config.json. */
export type HuggingFaceConfig = Readonly<Record<string, unknown>>;

/** Every field of a model, derived ones too. Null for what the architecture does not have. */
export interface ModelFields {
  readonly depth: number | null;
  readonly n_layer: number;
  readonly n_head: number;
  readonly n_embd: number;
  readonly n_kv_head: number;
  readonly head_dim: number;
  /** Of each expert, where there are experts. */
  readonly n_inner: number;
  readonly block_size: number;
  readonly vocab_size: number;
  readonly bias: boolean;
  readonly tie_word_embeddings: boolean;
  readonly activation_function: string;
  readonly norm_eps: number;
  readonly rope_theta: number | null;
  readonly window_size: number | null;
  readonly n_experts: number;
  readonly experts_per_token: number;
  readonly initializer_range: number;
}

type Given = Readonly<Record<string, unknown>>;

/** The modern decoder's width for each layer of its depth, and of each head. */
const MODERN_WIDTH = 64;
const MODERN_HEAD = 64;

/**
 * The whole set of fields from those given.
 * @throws SettingError for fields that contradict each other.
 */
export function deriveFields(architecture: Architecture, given: Given): ModelFields {
  const number = (name: string, fallback: number) => (given[name] as number | undefined) ?? fallback;
  const common = {
    block_size: number('block_size', 1024),
    vocab_size: number('vocab_size', 50257),
    initializer_range: number('initializer_range', 0.02),
  };
  if (architecture === 'modern') return { ...common, ...deriveModern(given) };
  const n_embd = number('n_embd', 768);
  const n_head = number('n_head', 12);
  if (n_embd % n_head !== 0) {
    throw new SettingError('n_embd', n_embd, `has to be divisible by n_head = ${n_head}`);
  }
  const activation_function = (given.activation_function as string | undefined) ?? 'gelu_new';
  if (architecture === 'gpt1' && activation_function === 'gelu') {
    const problem = 'cannot be said in files of GPT-1, where that name means gelu_new: take gelu_new';
    throw new SettingError('activation_function', activation_function, problem);
  }
  return {
    ...common,
    depth: null,
    n_layer: number('n_layer', 12),
    n_head,
    n_embd,
    n_kv_head: n_head,
    head_dim: n_embd / n_head,
    n_inner: number('n_inner', 4 * n_embd),
    bias: (given.bias as boolean | undefined) ?? true,
    tie_word_embeddings: (given.tie_word_embeddings as boolean | undefined) ?? true,
    activation_function,
    norm_eps: number('norm_eps', 1e-5),
    rope_theta: null,
    window_size: architecture === 'gpt3' ? number('window_size', 256) : null,
    n_experts: 0,
    experts_per_token: 0,
  };
}

function deriveModern(given: Given): Omit<ModelFields, 'block_size' | 'vocab_size' | 'initializer_range'> {
  const number = (name: string) => given[name] as number | undefined;
  const depth = number('depth') ?? 12;
  const n_embd = number('n_embd') ?? MODERN_WIDTH * depth;
  const n_head = number('n_head') ?? n_embd / (number('head_dim') ?? MODERN_HEAD);
  if (!Number.isInteger(n_head)) {
    const problem = `is not divisible by the width of a head, ${number('head_dim') ?? MODERN_HEAD}: give n_head or head_dim too`;
    throw new SettingError('n_embd', n_embd, problem);
  }
  const head_dim = number('head_dim') ?? n_embd / n_head;
  if (!Number.isInteger(head_dim)) {
    throw new SettingError('n_embd', n_embd, `has to be divisible by n_head = ${n_head}, unless head_dim is given`);
  }
  if (head_dim % 2 !== 0) {
    throw new SettingError(
      'head_dim',
      head_dim,
      'has to be even: rotary positions turn pairs (it is n_embd / n_head unless given)',
    );
  }
  const n_kv_head = number('n_kv_head') ?? n_head / ([4, 3, 2].find((group) => n_head % group === 0) ?? 1);
  if (n_head % n_kv_head !== 0) {
    throw new SettingError('n_kv_head', n_kv_head, `has to divide n_head = ${n_head}`);
  }
  const n_experts = number('n_experts') ?? 0;
  const experts_per_token = number('experts_per_token') ?? (n_experts > 0 ? Math.min(2, n_experts) : 0);
  if (experts_per_token > n_experts) {
    const problem = n_experts > 0 ? `is more than n_experts = ${n_experts}` : 'needs n_experts';
    throw new SettingError('experts_per_token', experts_per_token, problem);
  }
  return {
    depth,
    n_layer: number('n_layer') ?? depth,
    n_head,
    n_embd,
    n_kv_head,
    head_dim,
    // Three matrices of 8/3 C have the parameters of two of 4 C (Shazeer 2020). Experts share it: a token costs the same.
    n_inner: number('n_inner') ?? roundUp((8 * n_embd) / 3 / Math.max(1, experts_per_token), 64),
    bias: false,
    tie_word_embeddings: (given.tie_word_embeddings as boolean | undefined) ?? false,
    activation_function: (given.activation_function as string | undefined) ?? 'silu',
    norm_eps: number('norm_eps') ?? 1e-6,
    rope_theta: number('rope_theta') ?? 10000,
    window_size: null,
    n_experts,
    experts_per_token,
  };
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}

/** The config.json of a model. @param dropout of embeddings, attention and residual parts, for tools that train it further. */
export function toHuggingFace(architecture: Architecture, fields: ModelFields, dropout: number): HuggingFaceConfig {
  const { vocab_size, initializer_range } = fields;
  // GPT-2's vocabulary ends with its one special token; others' are the tokenizer's to say.
  const end = architecture !== 'gpt1' && vocab_size === 50257 ? 50256 : null;
  const common = { vocab_size, initializer_range, use_cache: true, bos_token_id: end, eos_token_id: end };
  switch (architecture) {
    case 'gpt1':
      return {
        architectures: ['OpenAIGPTLMHeadModel'],
        model_type: 'openai-gpt',
        ...gptKeys(fields, dropout),
        // In this family's files "gelu" is the tanh form.
        afn: fields.activation_function === 'gelu_new' ? 'gelu' : fields.activation_function,
        ...common,
      };
    case 'gpt2':
      return {
        architectures: ['GPT2LMHeadModel'],
        model_type: 'gpt2',
        ...gptKeys(fields, dropout),
        activation_function: fields.activation_function,
        n_inner: fields.n_inner === 4 * fields.n_embd ? null : fields.n_inner,
        tie_word_embeddings: fields.tie_word_embeddings,
        ...common,
      };
    case 'gpt3':
      return { architectures: ['GPTNeoForCausalLM'], model_type: 'gpt_neo', ...neoKeys(fields, dropout), ...common };
    case 'modern':
      return { ...qwenKeys(fields, dropout), ...common };
  }
}

function gptKeys(fields: ModelFields, dropout: number): HuggingFaceConfig {
  return {
    n_layer: fields.n_layer,
    n_head: fields.n_head,
    n_embd: fields.n_embd,
    n_positions: fields.block_size,
    layer_norm_epsilon: fields.norm_eps,
    embd_pdrop: dropout,
    attn_pdrop: dropout,
    resid_pdrop: dropout,
    ...biasKey(fields),
  };
}

/** A key of our own: the file's biases are zeros and stay so (see `impliedBiases`). Other tools read zeros and are right. */
function biasKey({ bias }: ModelFields): HuggingFaceConfig {
  return bias ? {} : { bias: false };
}

function neoKeys(fields: ModelFields, dropout: number): HuggingFaceConfig {
  const { n_layer } = fields;
  const pairs = Math.floor(n_layer / 2);
  return {
    num_layers: n_layer,
    num_heads: fields.n_head,
    hidden_size: fields.n_embd,
    intermediate_size: fields.n_inner,
    max_position_embeddings: fields.block_size,
    window_size: fields.window_size,
    attention_types: [
      ...(pairs > 0 ? [[['global', 'local'], pairs]] : []),
      ...(n_layer % 2 === 1 ? [[['global'], 1]] : []),
    ],
    activation_function: fields.activation_function,
    layer_norm_epsilon: fields.norm_eps,
    embed_dropout: dropout,
    attention_dropout: dropout,
    resid_dropout: dropout,
    ...biasKey(fields),
  };
}

function qwenKeys(fields: ModelFields, dropout: number): HuggingFaceConfig {
  const { n_experts, n_inner, rope_theta } = fields;
  const experts = {
    num_experts: n_experts,
    num_experts_per_tok: fields.experts_per_token,
    moe_intermediate_size: n_inner,
    decoder_sparse_step: 1,
    mlp_only_layers: [],
    norm_topk_prob: true,
  };
  return {
    architectures: [n_experts > 0 ? 'Qwen3MoeForCausalLM' : 'Qwen3ForCausalLM'],
    model_type: n_experts > 0 ? 'qwen3_moe' : 'qwen3',
    num_hidden_layers: fields.n_layer,
    hidden_size: fields.n_embd,
    num_attention_heads: fields.n_head,
    num_key_value_heads: fields.n_kv_head,
    head_dim: fields.head_dim,
    intermediate_size: n_inner,
    ...(n_experts > 0 ? experts : {}),
    max_position_embeddings: fields.block_size,
    hidden_act: fields.activation_function,
    rms_norm_eps: fields.norm_eps,
    rope_theta,
    // transformers 5 reads this, earlier versions the key above.
    rope_parameters: { rope_type: 'default', rope_theta },
    attention_bias: false,
    attention_dropout: dropout,
    use_sliding_window: false,
    tie_word_embeddings: fields.tie_word_embeddings,
  };
}

/**
 * Parameters that the files of a family always have and a model trained with `bias: false` does not: a checkpoint holds zeros for
 * them, so that other tools find all they look for.
 */
export function impliedBiases(decoder: DecoderConfig): ParameterSpec[] {
  if (!['openai-gpt', 'gpt2', 'gpt_neo'].includes(decoder.model_type) || decoder.norm.bias) return [];
  const qkv = decoder.model_type !== 'gpt_neo';
  const whole: DecoderConfig = {
    ...decoder,
    norm: { ...decoder.norm, bias: true },
    attention: { ...decoder.attention, bias: { qkv, output: true } },
    mlp: { ...decoder.mlp, bias: true },
  };
  const own = new Set(parameterSpecs(decoder).map(({ name }) => name));
  return parameterSpecs(whole).filter(({ name }) => !own.has(name));
}
