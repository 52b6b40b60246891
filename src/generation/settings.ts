/**
 * Generation settings: their names, ranges, defaults and meanings as one table, and how a request becomes a complete, checked set. Names
 * and defaults are those of Hugging Face's `generate`; the command line and the documentation are made from the table.
 *
 * Defaults < generation_config.json < request. Every name of the reference is known: what this version cannot do is refused by
 * name unless it is given at the value that means "off". Nothing is silently ignored.
 */
import { SettingError } from '../errors.ts';
import { nearestNames } from '../hub/nearest.ts';
import type { GenerationSettings } from './types.ts';

type Kind = 'number' | 'integer' | 'boolean' | 'ids' | 'strings' | 'idLists' | 'any';

export interface SettingSpec {
  readonly name: string;
  readonly kind: Kind;
  readonly min?: number;
  readonly max?: number;
  /** Whether `min` itself is excluded. */
  readonly above?: boolean;
  readonly default: unknown;
  readonly en: string;
  readonly zh: string;
  /** Acts only when sampling. */
  readonly sampling?: boolean;
  /** False: known, but refused unless it is at one of its neutral values. */
  readonly supported?: false;
  readonly neutral?: readonly unknown[];
}

const later = (name: string, neutral: readonly unknown[] = []): SettingSpec => ({
  name,
  kind: 'any',
  default: null,
  en: 'not in this version',
  zh: '此版本尚不支持',
  supported: false,
  neutral: [null, ...neutral],
});

export const settingTable: readonly SettingSpec[] = [
  { name: 'max_new_tokens', kind: 'integer', min: 1, default: null, en: 'most new tokens', zh: '最多生成的词元数' },
  {
    name: 'max_length',
    kind: 'integer',
    min: 1,
    default: null,
    en: 'most tokens, prompt included',
    zh: '含提示在内的最大长度',
  },
  {
    name: 'min_length',
    kind: 'integer',
    min: 0,
    default: 0,
    en: 'no end before this length, prompt included',
    zh: '含提示在内的最小长度',
  },
  {
    name: 'min_new_tokens',
    kind: 'integer',
    min: 0,
    default: 0,
    en: 'no end before this many new tokens',
    zh: '最少生成的词元数',
  },
  {
    name: 'do_sample',
    kind: 'boolean',
    default: false,
    en: 'draw tokens at random instead of taking the most probable',
    zh: '按概率抽样，而非总取最可能的词元',
  },
  {
    name: 'temperature',
    kind: 'number',
    min: 0,
    above: true,
    default: 1,
    sampling: true,
    en: 'below 1 sharpens the distribution, above 1 flattens it',
    zh: '温度：小于 1 更确定，大于 1 更随机',
  },
  {
    name: 'top_k',
    kind: 'integer',
    min: 0,
    default: 50,
    sampling: true,
    en: 'keep the k most probable tokens; 0 for all',
    zh: '只保留最可能的 k 个词元；0 为不限',
  },
  {
    name: 'top_p',
    kind: 'number',
    min: 0,
    max: 1,
    default: 1,
    sampling: true,
    en: 'keep the fewest tokens whose probabilities reach p',
    zh: '保留累计概率达到 p 的最少词元',
  },
  {
    name: 'min_p',
    kind: 'number',
    min: 0,
    max: 1,
    default: null,
    sampling: true,
    en: 'keep tokens at least p times as probable as the best',
    zh: '保留概率不低于最高者 p 倍的词元',
  },
  {
    name: 'typical_p',
    kind: 'number',
    min: 0,
    above: true,
    max: 1,
    default: 1,
    sampling: true,
    en: 'keep the most typical tokens up to this mass',
    zh: '保留最典型的词元，直到累计达到该值',
  },
  {
    name: 'epsilon_cutoff',
    kind: 'number',
    min: 0,
    max: 1,
    default: 0,
    sampling: true,
    en: 'remove tokens less probable than this',
    zh: '去掉概率低于该值的词元',
  },
  {
    name: 'eta_cutoff',
    kind: 'number',
    min: 0,
    max: 1,
    default: 0,
    sampling: true,
    en: 'as epsilon_cutoff, lower where the entropy is high',
    zh: '同 epsilon_cutoff，但随熵降低',
  },
  {
    name: 'repetition_penalty',
    kind: 'number',
    min: 0,
    above: true,
    default: 1,
    en: 'above 1 makes tokens that occurred less probable',
    zh: '重复惩罚：大于 1 时降低已出现词元的概率',
  },
  {
    name: 'no_repeat_ngram_size',
    kind: 'integer',
    min: 0,
    default: 0,
    en: 'no run of this many tokens twice; 0 for off',
    zh: '禁止该长度的词元片段重复；0 为关闭',
  },
  {
    name: 'bad_words_ids',
    kind: 'idLists',
    default: [],
    en: 'sequences of token ids that must not be written',
    zh: '禁止出现的词元序列',
  },
  { name: 'suppress_tokens', kind: 'ids', default: [], en: 'token ids that must not be written', zh: '禁止出现的词元' },
  {
    name: 'begin_suppress_tokens',
    kind: 'ids',
    default: [],
    en: 'token ids that must not come first',
    zh: '禁止作为开头的词元',
  },
  {
    name: 'renormalize_logits',
    kind: 'boolean',
    default: false,
    en: 'make scores log-probabilities after processing',
    zh: '处理后重新归一化',
  },
  {
    name: 'remove_invalid_values',
    kind: 'boolean',
    default: false,
    en: 'replace NaN and infinite scores',
    zh: '替换无效的分数',
  },
  {
    name: 'num_return_sequences',
    kind: 'integer',
    min: 1,
    max: 4096,
    default: 1,
    en: 'answers to each prompt',
    zh: '每个提示生成的答案数',
  },
  { name: 'eos_token_id', kind: 'ids', default: null, en: 'ids that end an answer', zh: '结束词元' },
  { name: 'pad_token_id', kind: 'integer', min: 0, default: null, en: 'id that stands after the end', zh: '填充词元' },
  { name: 'bos_token_id', kind: 'integer', min: 0, default: null, en: 'id that begins a text', zh: '起始词元' },
  { name: 'stop_strings', kind: 'strings', default: [], en: 'texts that end an answer', zh: '遇到即停止的文本' },
  {
    name: 'max_time',
    kind: 'number',
    min: 0,
    above: true,
    default: null,
    en: 'seconds after which an answer ends',
    zh: '最长用时（秒）',
  },
  {
    name: 'seed',
    kind: 'integer',
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    default: null,
    en: 'start of the random numbers; chosen and reported unless given',
    zh: '随机种子；不给则自动选取并报告',
  },
  later('num_beams', [1]),
  later('num_beam_groups', [1]),
  later('early_stopping', [false]),
  later('length_penalty', [1]),
  later('diversity_penalty', [0]),
  later('penalty_alpha', [0]),
  later('dola_layers'),
  later('top_h'),
  later('encoder_repetition_penalty', [1]),
  later('encoder_no_repeat_ngram_size', [0]),
  later('force_words_ids'),
  later('constraints'),
  later('sequence_bias'),
  later('forced_bos_token_id'),
  later('forced_eos_token_id'),
  later('exponential_decay_length_penalty'),
  later('guidance_scale', [1]),
  later('negative_prompt_ids'),
  later('token_healing', [false]),
  later('watermarking_config'),
  later('use_cache', [true]),
  later('cache_implementation'),
  later('prefill_chunk_size'),
  later('output_scores', [false]),
  later('output_logits', [false]),
  later('output_attentions', [false]),
  later('output_hidden_states', [false]),
  later('return_dict_in_generate', [false, true]),
  later('num_assistant_tokens', [20]),
  later('num_assistant_tokens_schedule', ['constant']),
  later('assistant_confidence_threshold', [0.4]),
  later('prompt_lookup_num_tokens'),
  later('max_matching_ngram_size', [2]),
];

const specs = new Map(settingTable.map((spec) => [spec.name, spec]));

/** What a generation_config.json says that is about the file and not about decoding. */
const aboutTheFile = new Set([
  'transformers_version',
  '_from_model_config',
  'decoder_start_token_id',
  '_commit_hash',
  'chat_format',
]);

export interface SettingsModel {
  readonly n_positions: number;
  readonly vocab_size: number;
  /** The end token of the tokenizer, when no configuration names one. */
  readonly eos_token_id?: number;
}

export interface ResolvedSettings {
  readonly settings: GenerationSettings;
  /** Names in generation_config.json that have no meaning here. */
  readonly ignored: readonly string[];
}

/**
 * @param given the request.
 * @param defaults the content of generation_config.json.
 * @param fallbackNewTokens new tokens when nobody says how many, as far as the context goes.
 * @throws SettingError for a setting that is unknown, of the wrong kind, out of range, contradictory or not supported.
 */
export function resolveSettings(
  given: Readonly<Record<string, unknown>>,
  defaults: Readonly<Record<string, unknown>>,
  model: SettingsModel,
  promptLength: number,
  fallbackNewTokens = 20,
): ResolvedSettings {
  for (const [name, value] of Object.entries(given)) check(name, value, model.vocab_size);
  const ignored = Object.keys(defaults).filter((name) => !specs.has(name) || aboutTheFile.has(name));
  const values: Record<string, unknown> = {};
  for (const spec of settingTable) {
    const own = Object.hasOwn(given, spec.name) && given[spec.name] !== null && given[spec.name] !== undefined;
    const fromFile = defaults[spec.name];
    if (!own && fromFile !== undefined && fromFile !== null)
      check(spec.name, fromFile, model.vocab_size, 'generation_config.json: ');
    values[spec.name] = own ? given[spec.name] : (fromFile ?? spec.default);
  }
  checkSampling(given, values);
  const settings = {
    ...values,
    max_new_tokens: newTokens(given, values, model, promptLength, fallbackNewTokens),
    eos_token_id: list(values.eos_token_id ?? model.eos_token_id ?? []),
    stop_strings: list(values.stop_strings),
    seed: values.seed ?? Math.floor(Math.random() * 2 ** 32),
  } as unknown as GenerationSettings;
  if (settings.min_new_tokens > settings.max_new_tokens) {
    throw new SettingError(
      'min_new_tokens',
      settings.min_new_tokens,
      `is more than the ${settings.max_new_tokens} new tokens allowed`,
    );
  }
  if (settings.min_length > promptLength + settings.max_new_tokens) {
    const most = promptLength + settings.max_new_tokens;
    throw new SettingError(
      'min_length',
      settings.min_length,
      `is more than the ${most} tokens that prompt and answer may have`,
    );
  }
  if (settings.num_return_sequences > 1 && !settings.do_sample) {
    const problem = 'needs do_sample true: without it all answers are the same';
    throw new SettingError('num_return_sequences', settings.num_return_sequences, problem);
  }
  return { settings, ignored };
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [value];
}

function checkSampling(given: Readonly<Record<string, unknown>>, values: Readonly<Record<string, unknown>>): void {
  if (values.do_sample) return;
  for (const { name, sampling, default: neutral } of settingTable) {
    const value = given[name];
    if (!sampling || value === undefined || value === null || value === neutral) continue;
    throw new SettingError(name, value, 'acts only when sampling: give do_sample true as well');
  }
}

/** How many tokens may be written. Throws when the request asks for more than the context has. */
function newTokens(
  given: Readonly<Record<string, unknown>>,
  values: Readonly<Record<string, unknown>>,
  { n_positions }: SettingsModel,
  promptLength: number,
  fallback: number,
): number {
  const room = n_positions - promptLength;
  if (room < 1) {
    throw new SettingError(
      'prompt',
      `${promptLength} tokens`,
      `leaves no room: the context is ${n_positions} tokens. Shorten the prompt`,
    );
  }
  const asked =
    typeof values.max_new_tokens === 'number'
      ? 'max_new_tokens'
      : typeof values.max_length === 'number'
        ? 'max_length'
        : null;
  if (!asked) return Math.min(fallback, room);
  const value = values[asked] as number;
  const count = asked === 'max_length' ? value - promptLength : value;
  if (count < 1)
    throw new SettingError('max_length', value, `is not more than the ${promptLength} tokens of the prompt`);
  if (count <= room) return count;
  // A file's limit is for the model's whole context; only what the user asked for is refused.
  if (given[asked] === undefined || given[asked] === null) return room;
  throw new SettingError(
    asked,
    value,
    `exceeds the context: ${promptLength} tokens of prompt and ${count} new ones, ${n_positions} in all`,
  );
}

function check(name: string, value: unknown, vocabulary: number, where = ''): void {
  const spec = specs.get(name);
  if (!spec) {
    const nearest = nearestNames(name, [...specs.keys()]);
    const hint = nearest.length > 0 ? `. Did you mean ${nearest.join(' or ')}?` : '';
    throw new SettingError(name, value, `is not a setting of generation${hint}`);
  }
  if (value === null || value === undefined) return;
  const fail = (problem: string): never => {
    throw new SettingError(`${where}${name}`, value, problem);
  };
  if (spec.supported === false) {
    if (!spec.neutral!.includes(value)) fail('is not supported in this version');
    return;
  }
  const id = (x: unknown) => Number.isInteger(x) && (x as number) >= 0 && (x as number) < vocabulary;
  switch (spec.kind) {
    case 'boolean':
      if (typeof value !== 'boolean') fail('has to be true or false');
      return;
    case 'ids':
      if (!list(value).every(id)) fail(`has to be token ids from 0 to ${vocabulary - 1}`);
      return;
    case 'idLists':
      if (!Array.isArray(value) || !value.every((word) => Array.isArray(word) && word.length > 0 && word.every(id))) {
        fail(`has to be lists of token ids from 0 to ${vocabulary - 1}`);
      }
      return;
    case 'strings':
      if (!list(value).every((text) => typeof text === 'string' && text !== ''))
        fail('has to be texts that are not empty');
      return;
    default: {
      const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY, above = false, kind } = spec;
      const number =
        typeof value === 'number' && Number.isFinite(value) && (kind !== 'integer' || Number.isInteger(value));
      const whole = kind === 'integer' ? 'a whole number' : 'a number';
      const range = `${above ? 'above' : 'from'} ${min}${max === Number.POSITIVE_INFINITY ? (above ? '' : ' up') : ` to ${max}`}`;
      if (!number || (value as number) < min || (above && value === min) || (value as number) > max) {
        const hint =
          name === 'temperature' && value === 0 ? ' (for the most probable token always, use do_sample false)' : '';
        fail(`has to be ${whole} ${range}${hint}`);
      }
    }
  }
}

/** A setting from the command line. @throws SettingError for a text that is not of the setting's kind. */
export function parseSetting(name: string, text: string): unknown {
  const spec = specs.get(name);
  if (text === 'none' || text === 'null') return null;
  if (spec?.kind === 'strings') return text.startsWith('[') ? parseJson(name, text) : text;
  if (spec?.kind === 'ids' && /^\d+(,\d+)*$/.test(text)) return text.split(',').map(Number);
  if (text === 'true' || text === 'false') return text === 'true';
  if (/^[-+]?(\d|\.\d)/.test(text)) {
    const number = Number(text);
    if (Number.isNaN(number)) throw new SettingError(name, text, 'is not a number');
    return number;
  }
  return /^[[{"]/.test(text) ? parseJson(name, text) : text;
}

function parseJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new SettingError(name, text, 'is not JSON');
  }
}
