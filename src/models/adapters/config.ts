/**
 * What an adapter is, as adapter_config.json of Hugging Face's peft says it (peft 0.21). LoRA is of Hu et al. 2021, its rank-stabilised scaling
 * of Kalajdzievski 2023, DoRA of Liu et al. 2024. A field that would change the result and is not understood is refused by name.
 */
import { FileFormatError, SettingError } from '../../errors.ts';
import { isJsonObject } from '../../weights/index.ts';
import type { DecoderConfig } from '../config.ts';
import { ConfigReader } from '../config_reader.ts';

export interface AdapterConfig {
  /** Rows of A. */
  readonly r: number;
  /** What B A x is multiplied by is lora_alpha / r, or lora_alpha / sqrt(r) with `use_rslora`. */
  readonly lora_alpha: number;
  /** Of the input of A, in training alone. */
  readonly lora_dropout: number;
  readonly use_rslora: boolean;
  /** Weight-decomposed: each output has a learnt magnitude, and W + B A says the direction alone. */
  readonly use_dora: boolean;
  /** Names or ends of names of modules, an expression for whole names, or `all-linear` for every linear map but the head; null for what is usual for the family. */
  readonly target_modules: readonly string[] | string | null;
  readonly exclude_modules: readonly string[] | string | null;
  /** Ranks and alphas of modules whose name, or the end of it, an expression matches. */
  readonly rank_pattern: Readonly<Record<string, number>>;
  readonly alpha_pattern: Readonly<Record<string, number>>;
  /** Layers whose modules are meant, with a list of target modules; null for all. */
  readonly layers_to_transform: readonly number[] | null;
  /** What stands before the layer's number in names; any module list unless given. */
  readonly layers_pattern: readonly string[];
  /** Whether the adapted modules are stored as (inputs, outputs). The files of adapters are the same in both cases. */
  readonly fan_in_fan_out: boolean;
  readonly base_model_name_or_path: string | null;
}

const defaults: AdapterConfig = {
  r: 8,
  lora_alpha: 8,
  lora_dropout: 0,
  use_rslora: false,
  use_dora: false,
  target_modules: null,
  exclude_modules: null,
  rank_pattern: {},
  alpha_pattern: {},
  layers_to_transform: null,
  layers_pattern: [],
  fan_in_fan_out: false,
  base_model_name_or_path: null,
};

const LARGEST_RANK = 65536;

/**
 * A configuration from the fields that are given, with peft's defaults for the others.
 * @throws SettingError for a field that is unknown or cannot be.
 */
export function completeAdapterConfig(given: Partial<AdapterConfig>): AdapterConfig {
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(defaults, key)) {
      throw new SettingError(key, given[key as keyof AdapterConfig], 'is not a field of an adapter');
    }
  }
  try {
    return readAdapterConfig({ peft_type: 'LORA', ...given }, '');
  } catch (error) {
    if (!(error instanceof FileFormatError)) throw error;
    const value = given[error.where as keyof AdapterConfig];
    throw new SettingError(error.where, value, error.problem.replace(/^.*? (?=(has|is|cannot)\b)/s, ''));
  }
}

/**
 * The content of an adapter_config.json.
 * @throws FileFormatError for a value that cannot be, and for what is not supported, by its name.
 */
export function readAdapterConfig(raw: unknown, file = 'adapter_config.json'): AdapterConfig {
  if (!isJsonObject(raw)) throw new FileFormatError(file, '', 'is not an object of settings');
  const reader = new ConfigReader(raw, file);
  const peft_type = reader.optional('peft_type', 'string');
  if (peft_type?.toUpperCase() !== 'LORA') throw reader.refuse('peft_type', peft_type, 'is not LORA');
  refuseUnsupported(reader, raw);
  const rank = (value: number, key: string) => {
    if (!Number.isInteger(value) || value < 1 || value > LARGEST_RANK) {
      throw reader.refuse(key, value, `has to be a whole number from 1 to ${LARGEST_RANK}`);
    }
    return value;
  };
  const lora_dropout = reader.optional('lora_dropout', 'number') ?? defaults.lora_dropout;
  if (lora_dropout < 0 || lora_dropout >= 1)
    throw reader.refuse('lora_dropout', lora_dropout, 'has to be from 0 to below 1');
  const target_modules = namesOrPattern(reader, 'target_modules');
  const layers_to_transform = layerList(reader);
  if (layers_to_transform && typeof target_modules === 'string') {
    throw reader.refuse('layers_to_transform', layers_to_transform, 'cannot go with target_modules as an expression');
  }
  const layers_pattern = namesOrPattern(reader, 'layers_pattern') ?? [];
  return {
    r: rank(reader.optional('r', 'number') ?? defaults.r, 'r'),
    lora_alpha: reader.optional('lora_alpha', 'number') ?? defaults.lora_alpha,
    lora_dropout,
    use_rslora: reader.optional('use_rslora', 'boolean') ?? false,
    use_dora: reader.optional('use_dora', 'boolean') ?? false,
    target_modules,
    exclude_modules: namesOrPattern(reader, 'exclude_modules'),
    rank_pattern: numbersByName(reader, 'rank_pattern', rank),
    alpha_pattern: numbersByName(reader, 'alpha_pattern', (value) => value),
    layers_to_transform,
    layers_pattern: typeof layers_pattern === 'string' ? [layers_pattern] : layers_pattern,
    fan_in_fan_out: reader.optional('fan_in_fan_out', 'boolean') ?? false,
    base_model_name_or_path: reader.optional('base_model_name_or_path', 'string') ?? null,
  };
}

/** The content of the adapter_config.json of an adapter, for peft to read. @param model that it is for. */
export function writeAdapterConfig(config: AdapterConfig, model: DecoderConfig): Record<string, unknown> {
  const { layers_pattern, ...fields } = config;
  return {
    ...fields,
    // Files of GPT-1 and GPT-2 hold (inputs, outputs); peft wants to be told.
    fan_in_fan_out: ['gpt2', 'openai-gpt'].includes(model.model_type),
    layers_pattern: layers_pattern.length > 0 ? layers_pattern : null,
    bias: 'none',
    inference_mode: true,
    init_lora_weights: true,
    modules_to_save: null,
    peft_type: 'LORA',
    revision: null,
    task_type: 'CAUSAL_LM',
  };
}

/** Fields of kinds of LoRA that compute something else, with the values that leave them off besides null, false and what is empty. */
const otherKinds: Readonly<Record<string, readonly unknown[]>> = {
  alora_invocation_tokens: [],
  arrow_config: [],
  bias: ['none'],
  kasa_config: [],
  layer_replication: [],
  lora_bias: [],
  megatron_config: [],
  modules_to_save: [],
  monteclora_config: [],
  target_parameters: [],
  trainable_token_indices: [],
  use_bdlora: [],
  use_qalora: [],
  velora_config: [],
  ensure_weight_tying: [],
};

/** Ways to begin that leave a base model other than the published one: the adapter fits that one alone. */
const changesBase = /^(pissa|olora|corda|loftq|lora_ga)/;
/** Fields that say how values came to be, and change nothing afterwards. */
const harmless = /^(corda|eva|loftq|lora_ga|runtime)_config$/;

function refuseUnsupported(reader: ConfigReader, raw: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(raw)) {
    if (isOff(value)) continue;
    const off = Object.hasOwn(otherKinds, key) ? otherKinds[key] : null;
    if (off && !off.includes(value)) throw reader.refuse(key, value, 'is not supported');
    if (key === 'init_lora_weights' && typeof value === 'string' && changesBase.test(value)) {
      throw reader.refuse(key, value, 'is not supported: it changes the base model as well');
    }
    const unknown = !off && !Object.hasOwn(defaults, key) && !harmless.test(key);
    if (unknown && /^use_|_config$/.test(key)) throw reader.refuse(key, value, 'is not supported');
  }
}

function isOff(value: unknown): boolean {
  if (value === null || value === undefined || value === false) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

function namesOrPattern(reader: ConfigReader, key: string): readonly string[] | string | null {
  const value = reader.raw(key);
  return typeof value === 'string' ? value : (reader.strings(key) ?? null);
}

function layerList(reader: ConfigReader): readonly number[] | null {
  const value = reader.raw('layers_to_transform');
  if (value === undefined || value === null) return null;
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const fits = list.every((layer) => Number.isInteger(layer) && (layer as number) >= 0);
  if (!fits) throw reader.refuse('layers_to_transform', value, 'has to be the numbers of layers');
  return list.length > 0 ? (list as readonly number[]) : null;
}

function numbersByName(
  reader: ConfigReader,
  key: string,
  check: (value: number, key: string) => number,
): Record<string, number> {
  const value = reader.object(key) === null ? {} : (reader.raw(key) as Record<string, unknown>);
  const entries = Object.entries(value).map(([name, number]) => {
    if (typeof number !== 'number' || !Number.isFinite(number)) {
      throw reader.refuse(`${key}.${name}`, number, 'has to be a number');
    }
    return [name, check(number, `${key}.${name}`)] as const;
  });
  return Object.fromEntries(entries);
}
