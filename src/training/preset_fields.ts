/**
 * Every field of a preset: name, kind, range and meaning, as one table. Names are those of the published files and of nanoGPT. Checks,
 * the command line's flags and help, and the documentation are made from it.
 */
import { SettingError } from '../errors.ts';
import { nearestNames } from '../nearest.ts';

/** The kinds of decoder that presets build; each is written as one family of config.json (see preset_config.ts). */
export type Architecture = 'gpt1' | 'gpt2' | 'gpt3' | 'modern';

/** What a value may be. */
export interface ValueSpec {
  readonly name: string;
  readonly kind: 'integer' | 'number' | 'boolean' | 'choice' | 'text';
  /** Of numbers: the least and the greatest, themselves allowed unless `above` or `below`. */
  readonly min?: number;
  readonly max?: number;
  readonly above?: boolean;
  readonly below?: boolean;
  readonly choices?: readonly string[];
}

export interface FieldSpec extends ValueSpec {
  /** `model` decides shapes and is part of config.json; `training` is a default of the run. */
  readonly group: 'model' | 'training';
  /** Which architectures have it; all unless given. */
  readonly of?: readonly Architecture[];
  /** One line of meaning. */
  readonly en: string;
  readonly zh: string;
}

type Limits = Partial<Pick<FieldSpec, 'min' | 'max' | 'above' | 'below' | 'choices' | 'of'>>;

function row(
  group: FieldSpec['group'],
  name: string,
  kind: FieldSpec['kind'],
  [en, zh]: readonly [string, string],
  limits: Limits = {},
): FieldSpec {
  return { name, group, kind, en, zh, ...limits };
}

const COUNT: Limits = { min: 1, max: 1e9 };
const MODERN: Limits = { of: ['modern'] };
const SHARE: Limits = { min: 0, max: 1, below: true };
const RATE: Limits = { min: 0, max: 100 };

export const presetFields: readonly FieldSpec[] = [
  row('model', 'depth', 'integer', ['one dial: layers; 64 times it is the width', '唯一旋钮：层数；宽度为其 64 倍'], {
    ...MODERN,
    min: 1,
    max: 512,
  }),
  row('model', 'n_layer', 'integer', ['layers', '层数'], { min: 1, max: 4096 }),
  row('model', 'n_head', 'integer', ['attention heads', '注意力头数'], { min: 1, max: 65536 }),
  row('model', 'n_embd', 'integer', ['width of the model', '模型宽度'], { min: 1, max: 262144 }),
  row('model', 'n_kv_head', 'integer', ['key-value heads, shared by groups of heads', '键值头数，由多头分组共享'], {
    ...MODERN,
    min: 1,
    max: 65536,
  }),
  row('model', 'head_dim', 'integer', ['width of a head', '每个头的宽度'], { ...MODERN, min: 2, max: 65536 }),
  row(
    'model',
    'n_inner',
    'integer',
    ['width of the feed-forward part, or of each expert', '前馈层（或每个专家）的宽度'],
    {
      of: ['gpt2', 'gpt3', 'modern'],
      min: 1,
      max: 4194304,
    },
  ),
  row('model', 'block_size', 'integer', ['context in tokens', '上下文长度（词元）'], { min: 1, max: 16777216 }),
  row('model', 'vocab_size', 'integer', ['tokens of the vocabulary', '词表大小'], { min: 1, max: 16777216 }),
  row('model', 'bias', 'boolean', ['biases in linear layers and norms', '线性层与归一化是否带偏置'], {
    of: ['gpt1', 'gpt2', 'gpt3'],
  }),
  row('model', 'tie_word_embeddings', 'boolean', ['the head shares the embeddings', '输出层与词嵌入共享权重'], {
    of: ['gpt2', 'modern'],
  }),
  row('model', 'activation_function', 'choice', ['of the feed-forward part', '前馈层的激活函数'], {
    choices: ['gelu_new', 'gelu', 'relu', 'silu'],
  }),
  row('model', 'norm_eps', 'number', ['added to the variance in norms', '归一化中加到方差上的值'], {
    min: 0,
    above: true,
    max: 0.1,
  }),
  row('model', 'rope_theta', 'number', ['base of the rotary frequencies', '旋转位置编码的基数'], {
    ...MODERN,
    min: 1,
    above: true,
    max: 1e12,
  }),
  row('model', 'window_size', 'integer', ['keys that a banded layer sees', '局部带状注意力层可见的键数'], {
    of: ['gpt3'],
    min: 1,
    max: 16777216,
  }),
  row('model', 'n_experts', 'integer', ['experts in each layer; 0 for none', '每层专家数；0 为不用'], {
    ...MODERN,
    min: 0,
    max: 4096,
  }),
  row('model', 'experts_per_token', 'integer', ['experts that a token passes', '每个词元经过的专家数'], {
    ...MODERN,
    min: 1,
    max: 4096,
  }),
  row('model', 'initializer_range', 'number', ['deviation of the first weights', '初始权重的标准差'], {
    min: 0,
    max: 10,
  }),

  row(
    'training',
    'dropout',
    'number',
    ['share of activations and attention weights set to zero in training', '训练时激活与注意力权重置零的比例'],
    SHARE,
  ),
  row('training', 'optimizer', 'choice', ['how gradients become steps', '优化器'], {
    choices: ['adamw', 'muon', 'sgd'],
  }),
  row(
    'training',
    'batch_size',
    'integer',
    ['sequences in one pass; alone it means no accumulation', '每次前向的序列数'],
    {
      ...COUNT,
    },
  ),
  row('training', 'gradient_accumulation_steps', 'integer', ['passes before each step', '每步累积的前向次数'], COUNT),
  row('training', 'max_steps', 'integer', ['steps of the optimiser', '优化步数'], { min: 1, max: 1e12 }),
  row('training', 'learning_rate', 'number', ['greatest rate', '最大学习率'], RATE),
  row(
    'training',
    'matrix_learning_rate',
    'number',
    ["Muon's rate, for matrices in layers", 'Muon 用于层内矩阵的学习率'],
    RATE,
  ),
  row('training', 'min_learning_rate', 'number', ['rate at the end', '最终学习率'], RATE),
  row('training', 'schedule', 'choice', ['how the rate falls; wsd is flat, then linear', '学习率曲线；wsd 先平后降'], {
    choices: ['constant', 'cosine', 'linear', 'wsd'],
  }),
  row('training', 'warmup_steps', 'integer', ['steps of the rising rate', '预热步数'], { min: 0, max: 1e12 }),
  row(
    'training',
    'decay_end',
    'integer',
    ['cosine, linear: step at which the rate is least', 'cosine、linear 降到最低的步数'],
    {
      min: 1,
      max: 1e12,
    },
  ),
  row(
    'training',
    'decay_fraction',
    'number',
    ['wsd: share of the steps in which the rate falls', 'wsd 下降阶段所占比例'],
    {
      min: 0,
      max: 1,
    },
  ),
  row('training', 'beta1', 'number', ["memory of AdamW's mean", 'AdamW 一阶动量'], SHARE),
  row('training', 'beta2', 'number', ["memory of AdamW's square", 'AdamW 二阶动量'], SHARE),
  row('training', 'eps', 'number', ["AdamW's least divisor", 'AdamW 分母的最小值'], { min: 0, above: true, max: 1 }),
  row('training', 'momentum', 'number', ['memory of Muon and SGD', 'Muon 与 SGD 的动量'], SHARE),
  row('training', 'weight_decay', 'number', ['decay of matrices', '矩阵的权重衰减'], { min: 0, max: 10 }),
  row('training', 'grad_clip', 'number', ['greatest norm of the gradients; 0 for none', '梯度范数上限；0 为不限'], {
    min: 0,
    max: 1e6,
  }),
];

const specs: ReadonlyMap<string, FieldSpec> = new Map(presetFields.map((spec) => [spec.name, spec]));

/** The row of a field, if there is one of this name. */
export function presetField(name: string): FieldSpec | undefined {
  return specs.get(name);
}

/** The row of a field. @throws SettingError with the nearest names when there is none. */
function findField(name: string, value: unknown): FieldSpec {
  const spec = specs.get(name);
  if (spec) return spec;
  const nearest = nearestNames(name, specs.keys());
  const hint = nearest.length > 0 ? `. Did you mean ${nearest.join(' or ')}?` : '';
  throw new SettingError(name, value, `is not a field of a preset${hint}`);
}

/** Check one value. @throws SettingError that names the field, the value and the constraint. */
export function checkField(name: string, value: unknown): void {
  checkValue(findField(name, value), value);
}

/** Check a value of a field of any table. @throws SettingError that names the field, the value and the constraint. */
export function checkValue(spec: ValueSpec, value: unknown): void {
  const {
    name,
    kind,
    choices = [],
    min = Number.NEGATIVE_INFINITY,
    max = Number.POSITIVE_INFINITY,
    above,
    below,
  } = spec;
  if (kind === 'text') {
    if (typeof value !== 'string' || value === '') throw new SettingError(name, value, 'has to be a text');
    return;
  }
  if (kind === 'boolean') {
    if (typeof value !== 'boolean') throw new SettingError(name, value, 'has to be true or false');
    return;
  }
  if (kind === 'choice') {
    if (!choices.includes(value as string))
      throw new SettingError(name, value, `has to be one of ${choices.join(', ')}`);
    return;
  }
  const isInside =
    typeof value === 'number' &&
    (kind === 'integer' ? Number.isSafeInteger(value) : Number.isFinite(value)) &&
    (above ? value > min : value >= min) &&
    (below ? value < max : value <= max);
  if (isInside) return;
  const range = `${above ? 'above' : 'from'} ${min} ${below ? 'and below' : 'to'} ${max}`;
  throw new SettingError(name, value, `has to be a ${kind === 'integer' ? 'whole number' : 'number'} ${range}`);
}

/** A field as it stands on a command line. @throws SettingError for a name that is unknown and a text that is not of its kind. */
export function parseField(name: string, text: string): unknown {
  return parseValue(findField(name, text), text);
}

/** A value of a field of any table as it stands on a command line. @throws SettingError for a text that is not of its kind. */
export function parseValue(spec: ValueSpec, text: string): unknown {
  const { kind } = spec;
  const plain = text.trim();
  let value: unknown = plain;
  if (kind === 'boolean') value = /^(true|1)$/i.test(plain) ? true : /^(false|0)$/i.test(plain) ? false : text;
  else if (kind === 'integer' || kind === 'number')
    value = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(plain) ? Number(plain) : text;
  checkValue(spec, value);
  return value;
}
