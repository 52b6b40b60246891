/**
 * Every setting of generation: name, kind, range, default and meaning, as one table. Names and defaults are those of Hugging Face's
 * `generate`, then those of llama.cpp. Checks, the command line's flags and help, the documentation and the studio are made from it.
 */

/**
 * `id` is a token id, `ids` one or a list, `idLists` a list of lists; `biases` a list of [ids, number]; `decay` a pair [start, factor];
 * `oneOf` one of `values`; `words` sequences of ids, or lists of sequences of which one is enough; `constraints` the same as objects;
 * `layers` "low", "high" or numbers of layers; `watermark` an object: see watermark/config.ts; `structure` what an answer has to look like; `any` what is not supported and so only compared with its neutral values.
 */
export type SettingKind =
  | 'number'
  | 'integer'
  | 'boolean'
  | 'id'
  | 'ids'
  | 'idLists'
  | 'strings'
  | 'biases'
  | 'decay'
  | 'oneOf'
  | 'words'
  | 'constraints'
  | 'layers'
  | 'structure'
  | 'watermark'
  | 'any';

export type SettingGroup =
  | 'length'
  | 'strategy'
  | 'logits'
  | 'sampling'
  | 'tokens'
  | 'assisted'
  | 'engine'
  | 'llama.cpp';

export interface SettingSpec {
  readonly name: string;
  readonly group: SettingGroup;
  readonly kind: SettingKind;
  /** Of a number: the least and the greatest, themselves allowed unless `above` or `below`. */
  readonly min?: number;
  readonly max?: number;
  readonly above?: boolean;
  readonly below?: boolean;
  /** What stands when nobody says anything; null for none. */
  readonly default: unknown;
  /** Values, besides null and the default, that mean the setting is off. */
  readonly neutral?: readonly unknown[];
  /** Of `oneOf`. */
  readonly values?: readonly unknown[];
  /** One line of meaning. */
  readonly en: string;
  readonly zh: string;
  /** Acts only when do_sample is true. */
  readonly sampling?: true;
  /** False: known, but refused unless it is off. */
  readonly supported?: false;
  /** Why it is refused. */
  readonly refusal?: string;
  /** Says how to compute or what to report and changes no token: in a file it may stand at any value. */
  readonly harmless?: true;
}

type Bounds = Pick<SettingSpec, 'min' | 'max' | 'above' | 'below'>;

/** One row, English and Chinese side by side. */
function row(
  group: SettingGroup,
  name: string,
  kind: SettingKind,
  initial: unknown,
  [en, zh]: readonly [string, string],
  more: Partial<SettingSpec> = {},
): SettingSpec {
  return { name, group, kind, default: initial, en, zh, ...(group === 'sampling' ? { sampling: true } : {}), ...more };
}

/** A row of what this version knows but cannot do. */
function later(
  group: SettingGroup,
  name: string,
  initial: unknown,
  meaning: readonly [string, string],
  neutral: readonly unknown[] = [],
  more: Partial<SettingSpec> = {},
): SettingSpec {
  return { ...row(group, name, 'any', initial, meaning, more), supported: false, neutral };
}

const POSITIVE: Bounds = { min: 0, above: true };
const COUNT: Bounds = { min: 0 };
/** As far as 32-bit scores can be divided and multiplied without leaving their range. */
const FACTOR: Bounds = { min: 1e-6, max: 1e6 };
const HARMLESS = { harmless: true } as const;
/** Of what only sampling has a use for. */
const SAMPLING = { sampling: true } as const;
const PENALTY: Bounds = { min: -1e6, max: 1e6 };

export const settingTable: readonly SettingSpec[] = [
  row(
    'length',
    'max_new_tokens',
    'integer',
    null,
    ['most new tokens; overrides max_length', '最多生成的词元数，优先于 max_length'],
    {
      min: 1,
    },
  ),
  row('length', 'max_length', 'integer', null, ['most tokens, prompt included', '含提示在内的最大词元数'], { min: 1 }),
  row(
    'length',
    'min_length',
    'integer',
    0,
    ['no end before this many tokens, prompt included', '含提示在内的最少词元数'],
    COUNT,
  ),
  row('length', 'min_new_tokens', 'integer', 0, ['no end before this many new tokens', '最少生成的词元数'], COUNT),
  row(
    'length',
    'stop_strings',
    'strings',
    [],
    ['texts that end an answer; not part of it', '遇到即停止的文本，不计入结果'],
  ),
  row('length', 'max_time', 'number', null, ['seconds after which an answer ends', '最长用时（秒）'], POSITIVE),

  row('strategy', 'do_sample', 'boolean', false, [
    'draw tokens at random instead of taking the most probable',
    '按概率抽样，而非总取最可能的词元',
  ]),
  row('strategy', 'num_return_sequences', 'integer', 1, ['answers to each prompt', '每个提示生成的答案数'], {
    min: 1,
    max: 4096,
  }),
  row(
    'strategy',
    'seed',
    'integer',
    null,
    ['start of the random numbers; drawn and reported unless given', '随机种子；不给则随机选取并报告'],
    { min: 0, max: Number.MAX_SAFE_INTEGER },
  ),

  row(
    'sampling',
    'temperature',
    'number',
    1,
    ['below 1 sharpens the distribution, above 1 flattens it', '温度：小于 1 更确定，大于 1 更随机'],
    FACTOR,
  ),
  row(
    'sampling',
    'top_h',
    'number',
    null,
    ['keep the most probable tokens up to this share of the entropy', '保留熵占比不超过该值的最可能词元'],
    { ...POSITIVE, max: 1 },
  ),
  row(
    'sampling',
    'top_k',
    'integer',
    50,
    ['keep the k most probable tokens; 0 for all', '只保留最可能的 k 个词元；0 为不限'],
    {
      ...COUNT,
      neutral: [0],
    },
  ),
  row(
    'sampling',
    'top_p',
    'number',
    1,
    ['keep the fewest tokens whose probabilities reach p', '保留累计概率达到 p 的最少词元'],
    {
      min: 0,
      max: 1,
    },
  ),
  row(
    'sampling',
    'min_p',
    'number',
    null,
    ['keep tokens at least p times as probable as the best', '保留概率不低于最高者 p 倍的词元'],
    { min: 0, max: 1, neutral: [0] },
  ),
  row(
    'sampling',
    'typical_p',
    'number',
    1,
    ['keep the most typical tokens up to this mass', '保留最典型的词元，直到累计概率达到该值'],
    {
      ...POSITIVE,
      max: 1,
    },
  ),
  row('sampling', 'epsilon_cutoff', 'number', 0, ['remove tokens less probable than this', '去掉概率低于该值的词元'], {
    min: 0,
    max: 1,
    below: true,
  }),
  row(
    'sampling',
    'eta_cutoff',
    'number',
    0,
    ['as epsilon_cutoff, and lower where the distribution is broad', '同 epsilon_cutoff，但分布越平坦阈值越低'],
    { min: 0, max: 1, below: true },
  ),

  row(
    'logits',
    'repetition_penalty',
    'number',
    1,
    ['above 1 makes tokens of prompt and answer less probable', '重复惩罚：大于 1 时降低已出现词元的概率'],
    FACTOR,
  ),
  row(
    'logits',
    'encoder_repetition_penalty',
    'number',
    1,
    ['above 1 makes tokens of the prompt more probable', '大于 1 时提高提示中词元的概率'],
    FACTOR,
  ),
  row(
    'logits',
    'no_repeat_ngram_size',
    'integer',
    0,
    ['no run of this many tokens twice; 0 for off', '禁止该长度的词元片段重复；0 为关闭'],
    COUNT,
  ),
  row(
    'logits',
    'encoder_no_repeat_ngram_size',
    'integer',
    0,
    ['no run of this many tokens from the prompt; 0 for off', '禁止照抄提示中该长度的词元片段；0 为关闭'],
    COUNT,
  ),
  row(
    'logits',
    'bad_words_ids',
    'idLists',
    [],
    ['sequences of token ids that must not be written', '禁止出现的词元序列'],
  ),
  row(
    'logits',
    'sequence_bias',
    'biases',
    [],
    ['numbers added to the scores of sequences: [[[ids], bias], …]', '对词元序列的分数加值：[[[词元], 值], …]'],
  ),
  row('logits', 'suppress_tokens', 'ids', [], ['token ids that must not be written', '禁止出现的词元']),
  row('logits', 'begin_suppress_tokens', 'ids', [], ['token ids that must not come first', '禁止作为开头的词元']),
  row('logits', 'forced_bos_token_id', 'id', null, [
    'token id that follows a prompt of one token',
    '单词元提示之后强制出现的词元',
  ]),
  row(
    'logits',
    'forced_eos_token_id',
    'ids',
    [],
    ['token ids that the last possible token is one of', '到达最大长度时强制出现的词元'],
  ),
  row('logits', 'exponential_decay_length_penalty', 'decay', null, [
    'after [start] new tokens an end becomes likelier by [factor] each',
    '生成 [start] 个词元后，结束的可能性按 [factor] 逐个增大',
  ]),
  row('logits', 'remove_invalid_values', 'boolean', false, [
    'replace NaN and infinite scores',
    '替换 NaN 与无穷的分数',
  ]),
  row('logits', 'renormalize_logits', 'boolean', false, [
    'make scores log-probabilities after processing',
    '处理后重新归一化为对数概率',
  ]),

  row('logits', 'structured_output', 'structure', null, [
    'what an answer has to look like: {json | regex | grammar | choice, after?, whitespace?}',
    '回答的结构：{json | regex | grammar | choice, after?, whitespace?}',
  ]),

  row('tokens', 'eos_token_id', 'ids', null, ['token ids that end an answer; [] for none', '结束词元；[] 为无']),
  row('tokens', 'pad_token_id', 'id', null, ['token id that stands after an end', '填充词元']),
  row('tokens', 'bos_token_id', 'id', null, ['token id that begins a text', '起始词元']),

  row('strategy', 'num_beams', 'integer', 1, ['beams of a beam search; 1 for none', '束搜索的束数；1 为不用'], {
    min: 1,
    max: 256,
  }),
  row('strategy', 'num_beam_groups', 'integer', 1, ['groups of diverse beams', '多样束搜索的组数'], {
    min: 1,
    max: 256,
  }),
  row(
    'strategy',
    'early_stopping',
    'oneOf',
    false,
    ['when a beam search stops: false, true, "never"', '束搜索何时停止：false、true、"never"'],
    { values: [false, true, 'never'] },
  ),
  row(
    'strategy',
    'length_penalty',
    'number',
    1,
    ["exponent of the length that divides a beam's score", '束得分除以长度的指数'],
    { min: -100, max: 100 },
  ),
  row(
    'strategy',
    'penalty_alpha',
    'number',
    null,
    ['contrastive search: weight of the degeneration penalty', '对比搜索的退化惩罚权重'],
    { min: 0, max: 1, neutral: [0] },
  ),
  row(
    'strategy',
    'dola_layers',
    'layers',
    null,
    ['DoLa: layers to contrast with: low, high or numbers', 'DoLa 对比的层：low、high 或层号'],
    { neutral: [[]] },
  ),
  row(
    'strategy',
    'force_words_ids',
    'words',
    [],
    ['beams: sequences that must be written', '束搜索：必须出现的词元序列'],
  ),
  row(
    'strategy',
    'constraints',
    'constraints',
    [],
    [
      'beams: [{"phrase": [ids]} or {"any": [[ids], …]}, …] that must be written',
      '束搜索：必须写出的约束：[{"phrase": [词元]} 或 {"any": [[词元], …]}, …]',
    ],
  ),
  row(
    'logits',
    'diversity_penalty',
    'number',
    0,
    ['beam groups: penalty for the tokens of other groups', '束组之间的多样性惩罚'],
    { min: 0, max: 1e6 },
  ),
  row(
    'logits',
    'guidance_scale',
    'number',
    null,
    ['strength of classifier-free guidance; 1 for none', '无分类器引导的强度；1 为无'],
    { min: 0, max: 1000, neutral: [1] },
  ),
  row('logits', 'negative_prompt_ids', 'ids', [], ['guidance: token ids to steer away from', '引导：要远离的提示词元']),
  row('logits', 'token_healing', 'boolean', false, [
    "rewrite the prompt's last token with the answer",
    '重写提示的最后一个词元',
  ]),
  row(
    'logits',
    'watermarking_config',
    'watermark',
    null,
    [
      'hide a watermark in the choice of tokens: {greenlist_ratio, …} or {ngram_len, keys, …}',
      '在选词中嵌入水印：{greenlist_ratio, …} 或 SynthID 的 {ngram_len, keys, …}',
    ],
    { neutral: [false] },
  ),
  row('engine', 'use_cache', 'boolean', true, [
    'keep keys and values of past tokens; false computes them again',
    '保留过去词元的键和值；false 则每步重算',
  ]),
  row(
    'engine',
    'cache_implementation',
    'oneOf',
    null,
    ['the kind of cache: pages, which grow', '缓存的种类：按需增长的分页'],
    { values: ['dynamic', 'paged'], ...HARMLESS },
  ),
  later('engine', 'cache_config', null, ['settings of the cache', '缓存的设置'], [], HARMLESS),
  row(
    'engine',
    'prefill_chunk_size',
    'integer',
    null,
    ['tokens of a prompt computed at once', '一次计算的提示词元数'],
    { min: 1, ...HARMLESS },
  ),
  later('engine', 'low_memory', null, ['search with less memory', '节省内存的搜索'], [false], HARMLESS),
  row('engine', 'output_scores', 'boolean', false, ['report processed scores', '返回处理后的分数']),
  row('engine', 'output_logits', 'boolean', false, ['report raw scores', '返回原始分数']),
  row('engine', 'output_attentions', 'boolean', false, ['report attention weights', '返回注意力权重']),
  row('engine', 'output_hidden_states', 'boolean', false, ['report hidden states', '返回隐藏状态']),
  row('engine', 'logprobs', 'integer', 0, ['alternatives reported with each token', '随每个词元返回的候选数'], {
    ...COUNT,
    max: 1000,
  }),
  later(
    'engine',
    'return_dict_in_generate',
    false,
    ['report more than ids; here always', '返回更多信息；此处总是如此'],
    [true],
    HARMLESS,
  ),
  later('assisted', 'assistant_model', null, ['a smaller model that drafts', '起草用的小模型'], [], {
    refusal: 'is no setting but an option of generate, as it is a loaded model',
  }),
  row('assisted', 'num_assistant_tokens', 'integer', 20, ['tokens drafted at once', '一次起草的词元数'], {
    min: 1,
    max: 256,
  }),
  row('assisted', 'num_assistant_tokens_schedule', 'oneOf', 'constant', ['how that number changes', '该数如何变化'], {
    values: ['constant', 'heuristic', 'heuristic_transient'],
  }),
  row(
    'assisted',
    'assistant_confidence_threshold',
    'number',
    0.4,
    ['probability below which drafting stops', '起草停止的概率'],
    { min: 0, max: 1 },
  ),
  row(
    'assisted',
    'prompt_lookup_num_tokens',
    'integer',
    null,
    ['tokens drafted from the text so far', '从已有文本中起草的词元数'],
    { min: 0, max: 256, neutral: [0] },
  ),
  row(
    'assisted',
    'max_matching_ngram_size',
    'integer',
    2,
    ['tokens that a draft from the text follows', '文本起草时匹配的长度'],
    { min: 1, max: 64 },
  ),
  row(
    'assisted',
    'assistant_early_exit',
    'integer',
    null,
    ['first layers of the model that draft for it', '用于起草的前若干层'],
    { min: 1 },
  ),

  row(
    'llama.cpp',
    'preset',
    'oneOf',
    'transformers',
    ['order of processing and defaults: transformers, llama.cpp', '处理顺序与默认值：transformers 或 llama.cpp'],
    { values: ['transformers', 'llama.cpp'] },
  ),
  row('llama.cpp', 'repeat_penalty', 'number', 1, ['repetition_penalty over a window', '窗口内的重复惩罚'], FACTOR),
  row(
    'llama.cpp',
    'presence_penalty',
    'number',
    0,
    ['subtracted from scores of tokens in the window', '从窗口内词元的分数中减去'],
    PENALTY,
  ),
  row(
    'llama.cpp',
    'frequency_penalty',
    'number',
    0,
    ['subtracted as often as they occur there', '同上，按出现次数'],
    PENALTY,
  ),
  row('llama.cpp', 'repeat_last_n', 'integer', 64, ['tokens of that window; -1 for all', '该窗口的词元数；-1 为全部'], {
    min: -1,
  }),
  row(
    'llama.cpp',
    'dry_multiplier',
    'number',
    0,
    ['strength of the penalty on repeated sequences', 'DRY 重复惩罚的强度'],
    { min: 0, max: 1e6 },
  ),
  row('llama.cpp', 'dry_base', 'number', 1.75, ['growth of the DRY penalty with length', 'DRY 惩罚随长度的增长'], {
    min: 1,
    max: 1e6,
  }),
  row('llama.cpp', 'dry_allowed_length', 'integer', 2, ['length that DRY lets pass', 'DRY 允许的重复长度'], { min: 1 }),
  row(
    'llama.cpp',
    'dry_penalty_last_n',
    'integer',
    -1,
    ['tokens that DRY looks back on; -1 for all', 'DRY 回看的词元数；-1 为全部'],
    { min: -1 },
  ),
  row(
    'llama.cpp',
    'dry_sequence_breakers',
    'strings',
    ['\n', ':', '"', '*'],
    ['texts that DRY never counts across; [] for none', 'DRY 的分隔文本；[] 为无'],
  ),
  row(
    'llama.cpp',
    'top_n_sigma',
    'number',
    null,
    ['keep scores within n deviations of the best', '保留最高分 n 个标准差之内的词元'],
    { min: -1, max: 1e6, neutral: [-1, 0], ...SAMPLING },
  ),
  row(
    'llama.cpp',
    'xtc_probability',
    'number',
    0,
    ['chance that the best tokens are excluded', '排除最可能词元的概率'],
    { min: 0, max: 1, ...SAMPLING },
  ),
  row(
    'llama.cpp',
    'xtc_threshold',
    'number',
    0.1,
    ['probability above which tokens are excluded but for the least; above 0.5 none', '可被排除的概率下限'],
    { min: 0, max: 1, ...SAMPLING },
  ),
  row(
    'llama.cpp',
    'dynatemp_range',
    'number',
    0,
    ['how far the temperature follows the entropy, up and down', '温度随熵变化的范围'],
    { min: 0, max: 1e6, ...SAMPLING },
  ),
  row(
    'llama.cpp',
    'dynatemp_exponent',
    'number',
    1,
    ['how the temperature follows the entropy', '温度随熵变化的指数'],
    { min: 0, max: 100, ...SAMPLING },
  ),
  row(
    'llama.cpp',
    'mirostat',
    'oneOf',
    0,
    ['keep the surprise of the text constant: 1 or 2', '使文本的意外程度恒定：1 或 2'],
    { values: [0, 1, 2], ...SAMPLING },
  ),
  row(
    'llama.cpp',
    'mirostat_tau',
    'number',
    5,
    ['the surprise that mirostat aims at, in bits', 'mirostat 的目标意外程度（比特）'],
    { min: 0, max: 1000, ...SAMPLING },
  ),
  row('llama.cpp', 'mirostat_eta', 'number', 0.1, ['how fast mirostat learns', 'mirostat 的学习率'], {
    min: 0,
    max: 1000,
    ...SAMPLING,
  }),
];

const specs: ReadonlyMap<string, SettingSpec> = new Map(settingTable.map((spec) => [spec.name, spec]));

/** The row of a setting, if there is one of this name. */
export function settingSpec(name: string): SettingSpec | undefined {
  return specs.get(name);
}
