/**
 * Every field of fine-tuning: name, kind, range, default and meaning, as one table. Names are those of peft and trl. Checks, the command
 * line's flags and help, and the documentation are made from it.
 */
import { SettingError } from '../errors.ts';
import { nearestNames } from '../nearest.ts';
import { checkValue, presetFields, type ValueSpec } from './preset_fields.ts';
import type { TrainingDefaults } from './preset_table.ts';

/** How a model is tuned: on answers, on preferences, by rewards, or for a task of GPT-1's. */
export const tuneMethods = ['sft', 'dpo', 'orpo', 'kto', 'grpo', 'classify'] as const;
export type TuneMethod = (typeof tuneMethods)[number];

export interface TuneField extends ValueSpec {
  readonly group: 'run' | 'adapter' | 'data' | 'method';
  /** Which methods have it; all unless given. */
  readonly of?: readonly TuneMethod[];
  /** Null: it follows from the data or the model. */
  readonly default: unknown;
  readonly en: string;
  readonly zh: string;
}

type Rest = Partial<Omit<TuneField, 'name' | 'kind' | 'group' | 'default' | 'en' | 'zh'>>;

function row(
  group: TuneField['group'],
  name: string,
  kind: TuneField['kind'],
  value: unknown,
  [en, zh]: readonly [string, string],
  rest: Rest = {},
): TuneField {
  return { name, group, kind, default: value, en, zh, ...rest };
}

const SHARE = { min: 0, max: 1 } as const;
const LIKELIHOOD = { of: ['sft', 'orpo'] } as const satisfies Rest;

/** What fine-tuning has of its own; `training` fields of presets come besides, with the defaults of `tuneDefaults`. */
export const tuneFields: readonly TuneField[] = [
  row('run', 'full', 'boolean', false, ['learn all weights instead of an adapter', '训练全部权重而不是适配器']),
  row('run', 'epochs', 'number', 3, ['times through the data; max_steps goes before it', '遍历数据的次数'], {
    min: 0,
    above: true,
    max: 10000,
  }),
  row('adapter', 'r', 'integer', 16, ['rank of the adapter', '适配器的秩'], { min: 1, max: 65536 }),
  row('adapter', 'lora_alpha', 'number', null, ['scale times rank (default: twice r)', '缩放乘以秩（默认 2r）'], {
    min: 0,
    max: 1e6,
  }),
  row('adapter', 'lora_dropout', 'number', 0, ["dropout of the adapter's input", '适配器输入的随机失活'], {
    ...SHARE,
    below: true,
  }),
  row('adapter', 'use_rslora', 'boolean', false, ['scale by the square root of the rank', '按秩的平方根缩放']),
  row('adapter', 'use_dora', 'boolean', false, ['learn magnitudes and directions apart', '幅度与方向分开学习']),
  row('adapter', 'target_modules', 'text', 'all-linear', [
    'modules with commas between them, an expression, or all-linear',
    '目标模块：以逗号分隔、正则表达式或 all-linear',
  ]),
  row('data', 'block_size', 'integer', null, ['tokens of a window (default: what the data needs)', '窗口长度'], {
    min: 2,
    max: 16777216,
  }),
  row(
    'data',
    'packing',
    'boolean',
    true,
    ['several examples in a window, unseen by each other', '多个样本打包进一个窗口'],
    {
      of: ['sft'],
    },
  ),
  row('data', 'learn', 'choice', 'assistant', ['which turns of a conversation are learned', '学习对话中的哪些回合'], {
    choices: ['assistant', 'last', 'all'],
    of: ['sft'],
  }),
  row('data', 'truncation', 'choice', 'prompt', ['what an example that is too long loses', '过长样本的截断方式'], {
    choices: ['prompt', 'right', 'refuse'],
  }),
  row('method', 'label_smoothing', 'number', 0, ['weight of all other tokens, or of swapped pairs', '标签平滑'], {
    ...SHARE,
    below: true,
    of: ['sft', 'dpo'],
  }),
  row('method', 'z_loss', 'number', 0, ['weight of log² Z', 'log² Z 的权重'], {
    min: 0,
    max: 1,
    ...LIKELIHOOD,
    of: ['sft'],
  }),
  row(
    'method',
    'beta',
    'number',
    null,
    [
      'how near to the reference the model stays; orpo: weight of the odds ratio (default: 0.1; grpo: 0)',
      '与参考模型的接近程度；orpo 为优势比的权重（默认 0.1，grpo 为 0）',
    ],
    {
      min: 0,
      max: 1000,
      of: ['dpo', 'orpo', 'kto', 'grpo'],
    },
  ),
  row('method', 'loss_type', 'choice', null, ['dpo: sigmoid or ipo; grpo: grpo, dr_grpo or dapo', '损失的形式'], {
    choices: ['sigmoid', 'ipo', 'grpo', 'dr_grpo', 'dapo'],
    of: ['dpo', 'grpo'],
  }),
  row('method', 'desirable_weight', 'number', 1, ['of answers that were liked', '喜欢的回答的权重'], {
    min: 0,
    max: 1000,
    of: ['kto'],
  }),
  row('method', 'undesirable_weight', 'number', 1, ['of answers that were not', '不喜欢的回答的权重'], {
    min: 0,
    max: 1000,
    of: ['kto'],
  }),
  row(
    'method',
    'lm_coef',
    'number',
    0.5,
    ["weight of the texts' own likelihood beside the classes'", '语言模型辅助损失的权重'],
    {
      min: 0,
      max: 1000,
      of: ['classify'],
    },
  ),
  row('method', 'head_dropout', 'number', 0.1, ['dropout of the state that the head reads', '分类头输入的随机失活'], {
    ...SHARE,
    below: true,
    of: ['classify'],
  }),
  row('method', 'num_generations', 'integer', 8, ['answers to each prompt', '每个提示的回答数'], {
    min: 2,
    max: 1024,
    of: ['grpo'],
  }),
  row('method', 'max_completion_length', 'integer', 64, ['tokens of an answer at most', '回答的最大长度'], {
    min: 1,
    max: 65536,
    of: ['grpo'],
  }),
  row('method', 'temperature', 'number', 1, ['of the answers that are drawn', '采样温度'], {
    min: 0,
    above: true,
    max: 100,
    of: ['grpo'],
  }),
  row('method', 'epsilon', 'number', 0.2, ['how far a ratio of probabilities may move', '概率比的裁剪范围'], {
    ...SHARE,
    above: true,
    below: true,
    of: ['grpo'],
  }),
  row('method', 'num_iterations', 'integer', 1, ['steps with the same answers', '同一批回答使用的步数'], {
    min: 1,
    max: 1000,
    of: ['grpo'],
  }),
];

const specs: ReadonlyMap<string, ValueSpec> = new Map(
  [...presetFields.filter(({ group }) => group === 'training'), ...tuneFields].map((spec) => [spec.name, spec]),
);

/** The row of a field, its own or one of training. */
export function tuneField(name: string): ValueSpec | undefined {
  return specs.get(name);
}

/** Fields by name; undefined and null mean "not given". */
export type TuneFields = Readonly<Record<string, unknown>>;

/** Every field with its value. */
export interface ResolvedTuning {
  /** Those of training, but for `max_steps` where it was not given: it follows from `epochs` and the data. */
  readonly training: Omit<TrainingDefaults, 'max_steps'> & { readonly max_steps: number | null };
  /** The table's own, by name. */
  readonly own: Readonly<Record<string, unknown>>;
}

/** Training where nothing else is said: what is usual for adapters and for all weights, in each method. */
function tuneDefaults(method: TuneMethod, full: boolean): Omit<TrainingDefaults, 'max_steps' | 'warmup_steps'> {
  const rates: Record<TuneMethod, readonly [adapter: number, full: number]> = {
    sft: [2e-4, 2e-5],
    dpo: [5e-5, 1e-6],
    orpo: [5e-5, 8e-6],
    kto: [5e-5, 1e-6],
    grpo: [5e-5, 1e-6],
    classify: [2e-4, 2e-5],
  };
  const learning_rate = rates[method][full ? 1 : 0];
  return {
    optimizer: 'adamw',
    batch_size: 8,
    gradient_accumulation_steps: 1,
    learning_rate,
    matrix_learning_rate: null,
    min_learning_rate: 0,
    schedule: 'linear',
    decay_end: null,
    decay_fraction: 0.2,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    momentum: 0.95,
    weight_decay: 0,
    grad_clip: 1,
    dropout: 0,
  };
}

/**
 * Check fields and fill in what was not given.
 * @throws SettingError for a field that is unknown, out of range, or not of this method or of full tuning.
 */
export function resolveTuning(method: TuneMethod, fields: TuneFields): ResolvedTuning {
  const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));
  const full = given.full === true;
  for (const [name, value] of Object.entries(given)) {
    const spec = specs.get(name);
    if (!spec) {
      const nearest = nearestNames(name, specs.keys());
      const hint = nearest.length > 0 ? `. Did you mean ${nearest.join(' or ')}?` : '';
      throw new SettingError(name, value, `is not a field of fine-tuning${hint}`);
    }
    checkValue(spec, value);
    const own = spec as Partial<TuneField>;
    if (own.of && !own.of.includes(method))
      throw new SettingError(name, value, `is not a field of ${method}: it is of ${own.of.join(', ')}`);
    if (full && own.group === 'adapter')
      throw new SettingError(name, value, 'is of adapters, and full tuning has none: leave one of them out');
  }
  const isOwn = ({ of }: TuneField) => !of || of.includes(method);
  const own = Object.fromEntries(
    tuneFields.filter(isOwn).map(({ name, default: value }) => [name, given[name] ?? value]),
  );
  const training = Object.fromEntries(
    Object.entries(given).filter(([name]) => !tuneFields.some((spec) => spec.name === name)),
  ) as Partial<TrainingDefaults>;
  const all = { max_steps: null, warmup_steps: -1, ...tuneDefaults(method, full), ...training };
  if (all.optimizer === 'muon') all.matrix_learning_rate ??= 0.02;
  return { training: all, own };
}
