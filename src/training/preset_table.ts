/**
 * The presets: shapes as they were published, and how the models were trained. A shape holds only what its architecture cannot
 * derive (see preset_config.ts); what was not published is said in `notes`.
 */
import type { Architecture } from './preset_fields.ts';

/** The learning of a run, where its caller says nothing else. Rates are per step, sizes in sequences. */
export interface TrainingDefaults {
  readonly optimizer: 'adamw' | 'muon' | 'sgd';
  /** Sequences of `block_size` tokens in one forward and backward pass, and passes before each step. */
  readonly batch_size: number;
  readonly gradient_accumulation_steps: number;
  readonly max_steps: number;
  /** Of AdamW and SGD; with Muon, of what is no matrix inside a layer. */
  readonly learning_rate: number;
  /** Of Muon, for the matrices inside layers; null with other optimisers. */
  readonly matrix_learning_rate: number | null;
  /** Where the schedule ends. Muon's rate falls by the same factor. */
  readonly min_learning_rate: number;
  readonly schedule: 'constant' | 'cosine' | 'linear' | 'wsd';
  readonly warmup_steps: number;
  /** The step at which `cosine` and `linear` reach the least rate, and stay; null for the last. */
  readonly decay_end: number | null;
  /** The share of steps at the end in which the rate of `wsd` falls. */
  readonly decay_fraction: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly momentum: number;
  /** Decoupled, of matrices alone (embeddings too). */
  readonly weight_decay: number;
  /** 0 for none. */
  readonly grad_clip: number;
  readonly dropout: number;
}

/** Fields of the model that a preset names; the rest follow from them. */
export type PresetShape = Readonly<Record<string, number | boolean | string>>;

export interface Preset {
  readonly name: string;
  readonly architecture: Architecture;
  /** One line: what it is. */
  readonly en: string;
  readonly zh: string;
  readonly shape: PresetShape;
  readonly training: TrainingDefaults;
  /** Learn for this many tokens for each parameter that takes part in products: decides steps, batch and rates (modern alone). */
  readonly tokensPerParameter?: number;
  /** Where shape and training come from. */
  readonly source: string;
  /** Where this differs from what was published, or what was not published. */
  readonly notes: readonly string[];
}

const adamw: TrainingDefaults = {
  optimizer: 'adamw',
  batch_size: 12,
  gradient_accumulation_steps: 1,
  max_steps: 5000,
  learning_rate: 1e-3,
  matrix_learning_rate: null,
  min_learning_rate: 1e-4,
  schedule: 'cosine',
  warmup_steps: 100,
  decay_end: null,
  decay_fraction: 0.2,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-8,
  momentum: 0.95,
  weight_decay: 0.1,
  grad_clip: 1,
  dropout: 0,
};

const gpt1: Preset = {
  name: 'gpt1',
  architecture: 'gpt1',
  en: 'GPT-1, 117M: 12 layers, norms after the sums',
  zh: 'GPT-1，1.17 亿参数：12 层，归一化在残差之后',
  shape: { n_layer: 12, n_head: 12, n_embd: 768, block_size: 512, vocab_size: 40478 },
  training: {
    ...adamw,
    batch_size: 64,
    // 100 epochs of BooksCorpus, 985 million words by Zhu et al. 2015, at 64 * 512 tokens a step.
    max_steps: 3_000_000,
    learning_rate: 2.5e-4,
    min_learning_rate: 0,
    warmup_steps: 2000,
    beta2: 0.999,
    weight_decay: 0.01,
    dropout: 0.1,
  },
  source: 'Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training", section 4.1',
  notes: ['published as 117M; steps follow from 100 epochs over about a billion words'],
};

/** Radford et al. 2019, Table 2; parameter counts of the released checkpoints. Rates were not published. */
const gpt2Sizes = [
  ['gpt2-124m', '124M', 12, 12, 768, 6e-4],
  ['gpt2-355m', '355M', 24, 16, 1024, 3e-4],
  ['gpt2-774m', '774M', 36, 20, 1280, 2.5e-4],
  ['gpt2-1.5b', '1.5B', 48, 25, 1600, 2e-4],
] as const;

const gpt2 = gpt2Sizes.map(
  ([name, size, n_layer, n_head, n_embd, learning_rate]): Preset => ({
    name,
    architecture: 'gpt2',
    en: `GPT-2, ${size}: ${n_layer} layers, ${n_embd} wide`,
    zh: `GPT-2，${size}：${n_layer} 层，宽 ${n_embd}`,
    shape: { n_layer, n_head, n_embd, block_size: 1024, vocab_size: 50257 },
    training: {
      ...adamw,
      // 512 sequences a step, as published.
      batch_size: 8,
      gradient_accumulation_steps: 64,
      max_steps: 600_000,
      learning_rate,
      min_learning_rate: Number((learning_rate / 10).toPrecision(3)),
      warmup_steps: 2000,
    },
    source: 'Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3 and Table 2',
    notes: [
      'the paper gives the batch, 512 sequences, and no rates or steps: rates are those of GPT-3 of about this size, steps, warm-up and betas those of nanoGPT',
      'dropout is 0, as in nanoGPT; the released configuration says 0.1',
    ],
  }),
);

/** A row of GPT-3's Table 2.1: parameters, layers, d_model, heads, d_head, batch in tokens, learning rate. */
export interface Gpt3Row {
  readonly params: string;
  readonly n_layers: number;
  readonly d_model: number;
  readonly n_heads: number;
  readonly d_head: number;
  readonly batch: number;
  readonly learning_rate: number;
}

const gpt3Row = (
  params: string,
  n_layers: number,
  d_model: number,
  n_heads: number,
  d_head: number,
  batch: number,
  learning_rate: number,
): Gpt3Row => ({ params, n_layers, d_model, n_heads, d_head, batch, learning_rate });

/** Brown et al. 2020, Table 2.1, as printed. */
export const gpt3Table: readonly Gpt3Row[] = [
  gpt3Row('125M', 12, 768, 12, 64, 0.5e6, 6e-4),
  gpt3Row('350M', 24, 1024, 16, 64, 0.5e6, 3e-4),
  gpt3Row('760M', 24, 1536, 16, 96, 0.5e6, 2.5e-4),
  gpt3Row('1.3B', 24, 2048, 24, 128, 1e6, 2e-4),
  gpt3Row('2.7B', 32, 2560, 32, 80, 1e6, 1.6e-4),
  gpt3Row('6.7B', 32, 4096, 32, 128, 2e6, 1.2e-4),
  gpt3Row('13B', 40, 5140, 40, 128, 2e6, 1e-4),
  gpt3Row('175B', 96, 12288, 96, 128, 3.2e6, 0.6e-4),
];

/**
 * Two rows of the table contradict themselves: heads times d_head is not d_model. The paper's own counts (Table D.1: 1,320 and
 * 12,850 million) decide: 16 heads of 128 for 2048, and 40 heads of 128 for 5120.
 */
const gpt3Corrections: Readonly<Record<string, { shape: PresetShape; note: string }>> = {
  '1.3B': {
    shape: { n_head: 16 },
    note: "the table's 24 heads of 128 make 3072, not its d_model 2048: 16 heads, which Table D.1's 1,320M agree with",
  },
  '13B': {
    shape: { n_embd: 5120 },
    note: "the table's d_model 5140 is not its 40 heads of 128: 5120, which Table D.1's 12,850M agree with",
  },
};

const GPT3_CONTEXT = 2048;
const GPT3_MICRO_BATCH = 4;

const gpt3 = gpt3Table.map((printed): Preset => {
  const { params, n_layers, d_model, n_heads, batch, learning_rate } = printed;
  const correction = gpt3Corrections[params];
  const shape = { n_layer: n_layers, n_head: n_heads, n_embd: d_model, ...correction?.shape };
  return {
    name: `gpt3-${params.toLowerCase()}`,
    architecture: 'gpt3',
    en: `GPT-3, ${params}: ${n_layers} layers, ${shape.n_embd} wide, banded`,
    zh: `GPT-3，${params}：${n_layers} 层，宽 ${shape.n_embd}，稠密与局部带状注意力交替`,
    shape: { ...shape, block_size: GPT3_CONTEXT, vocab_size: 50257, window_size: 256 },
    training: {
      ...adamw,
      batch_size: GPT3_MICRO_BATCH,
      gradient_accumulation_steps: Math.round(batch / GPT3_CONTEXT / GPT3_MICRO_BATCH),
      // 300 billion tokens: the rate rises over the first 375 million and falls to a tenth over 260 billion (Appendix B).
      max_steps: Math.round(300e9 / batch),
      warmup_steps: Math.round(375e6 / batch),
      decay_end: Math.round(260e9 / batch),
      learning_rate,
      min_learning_rate: Number((learning_rate / 10).toPrecision(3)),
    },
    source: 'Brown et al. 2020, "Language Models are Few-Shot Learners", Table 2.1 and Appendix B',
    notes: [
      ...(correction ? [correction.note] : []),
      'the width of the bands was not published: 256, as in GPT-Neo, whose config.json this is',
      "GPT-Neo's attention has no factor 1/sqrt(d_head) and no biases of queries, keys and values",
      'the batch has its full size from the first step',
    ],
  };
});

const modern: Preset = {
  name: 'modern',
  architecture: 'modern',
  en: 'RoPE, RMSNorm, SwiGLU, grouped heads, --depth',
  zh: '旋转位置编码、RMSNorm、SwiGLU、分组注意力、QK 归一化；唯一旋钮 depth',
  shape: { depth: 12, block_size: 2048, vocab_size: 32768 },
  training: {
    ...adamw,
    optimizer: 'muon',
    batch_size: 8,
    gradient_accumulation_steps: 32,
    learning_rate: 6e-3,
    matrix_learning_rate: 0.02,
    min_learning_rate: 3e-4,
    schedule: 'wsd',
    warmup_steps: 40,
    decay_fraction: 0.65,
    beta1: 0.8,
    eps: 1e-10,
    weight_decay: 0,
  },
  tokensPerParameter: 12,
  source: 'the shape of Qwen 3 (2025) on the dial of nanochat (width 64 * depth), trained as nanochat is',
  notes: [
    'steps, batch and rates follow from the size: 12 tokens for each parameter of layers and head, batch by the 0.383th power of the tokens, rates by the square root of batch and of 768 / width',
    'one rate stands for the two of embeddings and head, in proportion to first weights of deviation 0.02',
  ],
};

/** minGPT's smallest shapes, for processors and browsers. */
const nanoSizes = [
  ['nano', 3, 3, 48, 64],
  ['micro', 4, 4, 128, 128],
  ['mini', 6, 6, 192, 256],
] as const;

const nano = nanoSizes.map(
  ([name, n_layer, n_head, n_embd, block_size]): Preset => ({
    name,
    architecture: 'gpt2',
    en: `${n_layer} layers, ${n_embd} wide, for CPUs and browsers`,
    zh: `${n_layer} 层，宽 ${n_embd}，适合处理器与浏览器`,
    shape: { n_layer, n_head, n_embd, block_size, vocab_size: 256 },
    training: { ...adamw, batch_size: 32, max_steps: 3000, beta2: 0.99 },
    source: `the shape of minGPT's gpt-${name}; training as nanoGPT's for characters`,
    notes: ['minGPT leaves context and vocabulary to the data: 256 stands for the bytes'],
  }),
);

const shakespeare: readonly Preset[] = [
  {
    name: 'shakespeare-cpu',
    architecture: 'gpt2',
    en: "nanoGPT's for characters: 4 layers, 128 wide",
    zh: 'nanoGPT 字符级莎士比亚（CPU 配置）：4 层，宽 128',
    shape: {
      n_layer: 4,
      n_head: 4,
      n_embd: 128,
      block_size: 64,
      vocab_size: 65,
      bias: false,
      activation_function: 'gelu',
    },
    training: { ...adamw, batch_size: 12, max_steps: 2000, beta2: 0.99 },
    source: "nanoGPT's README and config/train_shakespeare_char.py",
    notes: [],
  },
  {
    name: 'shakespeare-baby',
    architecture: 'gpt2',
    en: "nanoGPT's for characters: 6 layers, 384 wide",
    zh: 'nanoGPT 字符级莎士比亚：6 层，宽 384',
    shape: {
      n_layer: 6,
      n_head: 6,
      n_embd: 384,
      block_size: 256,
      vocab_size: 65,
      bias: false,
      activation_function: 'gelu',
    },
    training: { ...adamw, batch_size: 64, max_steps: 5000, beta2: 0.99, dropout: 0.2 },
    source: "nanoGPT's config/train_shakespeare_char.py",
    notes: [],
  },
];

export const presetTable: readonly Preset[] = [gpt1, ...gpt2, ...gpt3, modern, ...nano, ...shakespeare];
