/**
 * What makes one decoder differ from another, as data. A family file maps a published config.json to this; decoder.ts builds the
 * transformer from it. Lengths are in elements; names follow the published files where those agree.
 */

export type Activation = 'relu' | 'gelu' | 'geluTanh' | 'silu' | 'quickGelu';

export interface NormConfig {
  readonly kind: 'layer' | 'rms';
  readonly eps: number;
  /** Added to the stored weight: 1 in Gemma, whose files hold weight - 1. */
  readonly weightOffset: number;
  readonly bias: boolean;
}

/** Rotary positions: angles are position * frequencies[i]. */
export interface RopeConfig {
  /** Radians per position for each pair of rotated elements: rotary width / 2 numbers. */
  readonly frequencies: readonly number[];
  /** Factor on cosines and sines (YaRN's attention factor), 1 in most models. */
  readonly scale: number;
  /** Pairs are neighbours (GPT-J, LLaMA's own and GGUF files) instead of halves (Hugging Face). */
  readonly interleaved: boolean;
}

export interface LayerConfig {
  /** Keys a query sees, itself included; 0 for all before it. */
  readonly window: number;
  /** Which of `DecoderConfig.ropes` turns this layer's queries and keys; null for none. */
  readonly rope: number | null;
  readonly mlp: 'dense' | 'experts';
}

export interface AttentionConfig {
  /** Query heads, key heads (equal unless grouped), and the width of each. */
  readonly n_head: number;
  readonly n_kv_head: number;
  readonly head_dim: number;
  readonly scale: number;
  readonly softcap: number;
  readonly bias: { readonly qkv: boolean; readonly output: boolean };
  /** Root-mean-square normalisation of each query and key head (Qwen 3, Gemma 3). */
  readonly qkNorm: boolean;
  /** A learnt score for each head that takes part in the softmax without a value (gpt-oss). */
  readonly sinks: boolean;
}

export interface MlpConfig {
  /** `gated` is down(act(gate(x)) * up(x)); `clamped` is gpt-oss's form of it. */
  readonly kind: 'plain' | 'gated' | 'clamped';
  readonly activation: Activation;
  readonly width: number;
  readonly bias: boolean;
  /** Of `clamped`: sigmoid(alpha * gate), both halves bounded by limit. */
  readonly alpha?: number;
  readonly limit?: number;
}

export interface ExpertsConfig {
  readonly count: number;
  readonly per_token: number;
  readonly mlp: MlpConfig;
  readonly routerBias: boolean;
  /** Softmax over all experts before the choice, or over the chosen alone. */
  readonly softmax: 'before' | 'after';
  /** Whether the chosen weights are divided by their sum (softmax before). */
  readonly normalize: boolean;
  /** An expert that every token passes, weighted by a gate (Qwen 2 MoE). */
  readonly shared: MlpConfig | null;
}

export interface DecoderConfig {
  /** The published model_type. */
  readonly model_type: string;
  readonly vocab_size: number;
  readonly n_embd: number;
  /** Positions the model was made for: the longest context. */
  readonly n_positions: number;
  readonly layers: readonly LayerConfig[];
  readonly norm: NormConfig;
  /**
   * Where norms stand: `pre` before each part (GPT-2), `post` after each residual sum (GPT-1), `sandwich` before and after each
   * part (Gemma 3); `parallel` feeds attention and MLP from the same sum, with one norm (GPT-J) or two (GPT-NeoX).
   */
  readonly arrangement: 'pre' | 'post' | 'sandwich' | 'parallelOneNorm' | 'parallelTwoNorms';
  readonly finalNorm: boolean;
  readonly learnedPositions: boolean;
  readonly ropes: readonly RopeConfig[];
  readonly attention: AttentionConfig;
  readonly mlp: MlpConfig;
  readonly experts: ExpertsConfig | null;
  /** Factor on token embeddings: sqrt(n_embd) in Gemma, else 1. */
  readonly embeddingScale: number;
  readonly tied: boolean;
  readonly headBias: boolean;
  /** Logits become cap * tanh(logits / cap); 0 for none. */
  readonly logitSoftcap: number;
}
