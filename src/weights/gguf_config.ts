/**
 * Between a GGUF file's metadata and a config.json, for the architectures of gguf_names.ts: tables of keys, and the few
 * settings (rotation, attention windows) that the two spell differently.
 * Sources: gguf-py/gguf/constants.py and convert_hf_to_gguf.py of llama.cpp.
 */

import { FileFormatError, SettingError } from '../errors.ts';
import { type Architecture, architectureOf, architectureOfModelType, architectures } from './gguf_names.ts';
import type { GgufMetadata } from './gguf_writer.ts';
import { isJsonObject, type JsonObject } from './json.ts';
import { type GgufScalarType, type MetadataValue, tensorFloat32, type WeightFile } from './model_file.ts';

/** A key of GGUF (after the architecture's name), the key of config.json, its type, and whether it must be there. */
type KeyRow = readonly [string, string, GgufScalarType, ('required' | 'optional')?];

const decoderKeys: readonly KeyRow[] = [
  ['context_length', 'max_position_embeddings', 'uint32'],
  ['embedding_length', 'hidden_size', 'uint32'],
  ['block_count', 'num_hidden_layers', 'uint32'],
  ['feed_forward_length', 'intermediate_size', 'uint32'],
  ['attention.head_count', 'num_attention_heads', 'uint32'],
  ['attention.head_count_kv', 'num_key_value_heads', 'uint32', 'optional'],
  ['attention.layer_norm_rms_epsilon', 'rms_norm_eps', 'float32'],
  ['attention.key_length', 'head_dim', 'uint32', 'optional'],
  ['attention.sliding_window', 'sliding_window', 'uint32', 'optional'],
];

const gpt2Keys: readonly KeyRow[] = [
  ['context_length', 'n_positions', 'uint32'],
  ['embedding_length', 'n_embd', 'uint32'],
  ['block_count', 'n_layer', 'uint32'],
  ['feed_forward_length', 'n_inner', 'uint32', 'optional'],
  ['attention.head_count', 'n_head', 'uint32'],
  ['attention.layer_norm_epsilon', 'layer_norm_epsilon', 'float32'],
];

const keysOf = (architecture: Architecture): readonly KeyRow[] =>
  architecture.name === 'gpt2' ? gpt2Keys : decoderKeys;

/** Settings that the architecture implies and GGUF does not spell. */
const implied: Readonly<Record<string, JsonObject>> = {
  llama: { hidden_act: 'silu' },
  qwen2: { hidden_act: 'silu' },
  qwen3: { hidden_act: 'silu' },
  gemma3: { hidden_activation: 'gelu_pytorch_tanh' },
  gpt2: { activation_function: 'gelu_new' },
};

/** The shortest decimal that means the same float32: 1e-5 for 0.000009999999747378752. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

function knownArchitecture(file: Pick<WeightFile, 'name' | 'metadata'>): Architecture {
  const name = file.metadata.get('general.architecture');
  const architecture = typeof name === 'string' ? architectureOf(name) : undefined;
  if (!architecture) {
    throw new FileFormatError(
      file.name,
      'general.architecture',
      `${typeof name === 'string' ? `"${name.slice(0, 80)}"` : 'it is missing and'} is not supported from GGUF`,
      `Supported: ${architectures.map((known) => known.name).join(', ')}. Use the model's Hugging Face directory instead`,
    );
  }
  return architecture;
}

/**
 * The config.json, in the hub's style, of the model in a GGUF file.
 * @throws FileFormatError when the architecture is not supported or a setting is missing or impossible.
 */
export function ggufToConfig(file: Pick<WeightFile, 'name' | 'metadata' | 'tensors'>): Record<string, unknown> {
  const architecture = knownArchitecture(file);
  const arch = architecture.name;
  const { metadata, tensors } = file;
  const config: Record<string, unknown> = {
    architectures: [architecture.className],
    model_type: architecture.modelTypes[0],
    ...implied[arch],
  };
  for (const [key, hf, type, need] of keysOf(architecture)) {
    const value = readNumber(file, `${arch}.${key}`, need === 'optional');
    if (value !== undefined) config[hf] = type === 'float32' ? shortest(value) : value;
  }
  config.vocab_size = vocabularySize(file, arch);
  config.tie_word_embeddings = !tensors.has('output.weight');
  for (const [key, hf] of tokenIds) {
    const id = metadata.get(`tokenizer.ggml.${key}`);
    if (typeof id === 'number') config[hf] = id;
  }
  if (arch === 'gpt2') return config;

  config.num_key_value_heads ??= config.num_attention_heads;
  config.head_dim ??= Number(config.hidden_size) / Number(config.num_attention_heads);
  if (!Number.isInteger(config.head_dim)) {
    throw new FileFormatError(file.name, `${arch}.attention.head_count`, 'the width is no multiple of it');
  }
  const theta = readNumber(file, `${arch}.rope.freq_base`, true);
  config.rope_theta = theta === undefined ? (arch === 'gemma3' ? 1_000_000 : 10_000) : shortest(theta);
  const scaling = ropeScaling(file, arch, config);
  if (scaling) config.rope_scaling = scaling;
  config.attention_bias = tensors.has('blk.0.attn_q.bias');
  if (arch === 'llama') {
    config.mlp_bias = tensors.has('blk.0.ffn_up.bias');
    if (config.sliding_window !== undefined) {
      config.model_type = 'mistral';
      config.architectures = ['MistralForCausalLM'];
    }
  }
  if (arch === 'gemma3') gemma3Settings(file, config);
  return config;
}

const tokenIds = [
  ['bos_token_id', 'bos_token_id'],
  ['eos_token_id', 'eos_token_id'],
  ['padding_token_id', 'pad_token_id'],
] as const;

/** A finite number; per-layer arrays are understood when all their values are the same. */
function readNumber(file: Pick<WeightFile, 'name' | 'metadata'>, key: string, optional: boolean): number | undefined {
  let value: MetadataValue | undefined = file.metadata.get(key);
  if (Array.isArray(value) && value.length > 0 && value.every((item) => item === (value as MetadataValue[])[0]))
    value = value[0];
  if (value === undefined && optional) return undefined;
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
    const found =
      value === undefined
        ? 'is missing'
        : `is ${Array.isArray(value) ? 'different in each layer' : String(value).slice(0, 40)}`;
    throw new FileFormatError(file.name, key, `it ${found}, where one number is needed`);
  }
  return value;
}

function vocabularySize(file: Pick<WeightFile, 'name' | 'metadata' | 'tensors'>, arch: string): number {
  const rows = file.tensors.get('token_embd.weight')?.shape[0];
  const size = rows ?? readNumber(file, `${arch}.vocab_size`, true);
  if (size === undefined) throw new FileFormatError(file.name, 'token_embd.weight', 'there is no such tensor');
  return size;
}

function ropeScaling(
  file: Pick<WeightFile, 'name' | 'metadata' | 'tensors'>,
  arch: string,
  config: Record<string, unknown>,
): JsonObject | undefined {
  if (file.tensors.has('rope_freqs.weight')) return llama3Scaling(file, arch, config);
  const type = file.metadata.get(`${arch}.rope.scaling.type`);
  if (type === undefined || type === 'none') return undefined;
  const factor = readNumber(file, `${arch}.rope.scaling.factor`, false)!;
  if (type === 'linear') return { rope_type: 'linear', factor: shortest(factor) };
  if (type === 'yarn') {
    const original = readNumber(file, `${arch}.rope.scaling.original_context_length`, true);
    const scaling: Record<string, unknown> = { rope_type: 'yarn', factor: shortest(factor) };
    if (original !== undefined) scaling.original_max_position_embeddings = original;
    for (const [gguf, hf] of [
      ['yarn_beta_fast', 'beta_fast'],
      ['yarn_beta_slow', 'beta_slow'],
    ]) {
      const value = readNumber(file, `${arch}.rope.scaling.${gguf}`, true);
      if (value !== undefined) scaling[hf] = shortest(value);
    }
    return scaling;
  }
  throw new FileFormatError(
    file.name,
    `${arch}.rope.scaling.type`,
    `"${String(type).slice(0, 40)}" is not supported`,
    'linear and yarn are',
  );
}

/** What each rotation frequency is divided by, in the scaling of Llama 3.1 (meta-llama: `apply_scaling`). */
export function llama3Factors(settings: {
  readonly rope_theta: number;
  readonly head_dim: number;
  readonly factor: number;
  readonly low_freq_factor: number;
  readonly high_freq_factor: number;
  readonly original_max_position_embeddings: number;
}): Float32Array {
  const { rope_theta, head_dim, factor, low_freq_factor: low, high_freq_factor: high } = settings;
  const original = settings.original_max_position_embeddings;
  return Float32Array.from({ length: head_dim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * rope_theta ** ((2 * i) / head_dim);
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

/** GGUF keeps the factors themselves; the settings that gave them are found again, and checked against every factor. */
function llama3Scaling(
  file: Pick<WeightFile, 'name' | 'metadata' | 'tensors'>,
  arch: string,
  config: Record<string, unknown>,
): JsonObject {
  const entry = file.tensors.get('rope_freqs.weight')!;
  const factors = entry.byteLength > 1 << 16 ? new Float32Array(0) : tensorFloat32(entry);
  const named = readNumber(file, `${arch}.rope.scaling.original_context_length`, true);
  const lengths = [named, 8192, ...Array.from({ length: 16 }, (_, i) => 2 ** (i + 4))];
  for (const original of lengths) {
    if (original === undefined) continue;
    const settings = {
      factor: shortest(factors.reduce((most, value) => Math.max(most, value), 1)),
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: original,
    };
    const expected = llama3Factors({
      ...settings,
      rope_theta: Number(config.rope_theta),
      head_dim: factors.length * 2,
    });
    if (
      factors.length * 2 === config.head_dim &&
      expected.every((value, i) => Math.abs(value - factors[i]) <= 1e-4 * value)
    ) {
      return { rope_type: 'llama3', ...settings };
    }
  }
  throw new FileFormatError(
    file.name,
    'rope_freqs.weight',
    'its factors are not those of the Llama 3 scaling',
    "Use the model's Hugging Face directory instead",
  );
}

/** Every sixth layer of Gemma 3 attends to everything; the others to a window, with their own rotation base. */
function gemma3Settings(file: Pick<WeightFile, 'name' | 'metadata'>, config: Record<string, unknown>): void {
  const layers = Number(config.num_hidden_layers);
  if (layers > 4096) throw new FileFormatError(file.name, 'gemma3.block_count', `${layers} layers are not believed`);
  const pattern = file.metadata.get('gemma3.attention.sliding_window_pattern');
  if (
    pattern !== undefined &&
    !(Array.isArray(pattern) ? pattern.length === layers : Number.isSafeInteger(pattern) && Number(pattern) > 0)
  ) {
    throw new FileFormatError(
      file.name,
      'gemma3.attention.sliding_window_pattern',
      'it is neither a count nor a list of one value a layer',
    );
  }
  const every = typeof pattern === 'number' ? pattern : 6;
  config.layer_types = Array.from({ length: layers }, (_, i) =>
    (Array.isArray(pattern) ? pattern[i] : (i + 1) % every !== 0) ? 'sliding_attention' : 'full_attention',
  );
  const local = readNumber(file, 'gemma3.rope.freq_base_swa', true);
  config.rope_local_base_freq = local === undefined ? 10_000 : shortest(local);
  // The 27B model, alone, scales queries by its width over its heads rather than by the size of a head.
  config.query_pre_attn_scalar =
    layers === 62 ? Number(config.hidden_size) / Number(config.num_attention_heads) : config.head_dim;
}

/** What readers of GGUF compute between the two halves of a feed-forward layer, under its names in config.json. */
const activations: Readonly<Record<string, readonly string[]>> = {
  llama: ['silu', 'swish'],
  qwen2: ['silu', 'swish'],
  qwen3: ['silu', 'swish'],
  gemma3: ['gelu_pytorch_tanh', 'gelu_new'],
  gpt2: ['gelu_new', 'gelu_pytorch_tanh'],
};

/** Settings of a config.json that change what a model computes and that GGUF cannot hold; each with its harmless values. */
const inexpressible: readonly (readonly [string, readonly unknown[]])[] = [
  ['scale_attn_by_inverse_layer_idx', [false]],
  ['scale_attn_weights', [true]],
  ['add_cross_attention', [false]],
  ['use_sliding_window', [false]],
  ['use_bidirectional_attention', [false, null]],
  ['partial_rotary_factor', [1]],
  ['final_logit_softcapping', [null]],
  ['attn_logit_softcapping', [null]],
];

/** What a config.json becomes in GGUF. */
export interface GgufSettings {
  readonly architecture: Architecture;
  readonly metadata: Map<string, GgufMetadata>;
  /** Of one attention head: `permute_qk` needs it. */
  readonly headSize: number;
  /** `rope_freqs.weight`, where the scaling of Llama 3 asks for it. */
  readonly ropeFactors?: Float32Array;
  /** Things that other readers of the file will not know. */
  readonly notes: readonly string[];
}

/**
 * The metadata (without the tokenizer's) that a GGUF file of the model `config` has.
 * @throws SettingError when GGUF has no place for the architecture or for a setting.
 */
export function configToGguf(config: JsonObject): GgufSettings {
  const modelType = String(config.model_type);
  const architecture = architectureOfModelType(modelType);
  if (!architecture || isJsonObject(config.text_config)) {
    throw new SettingError(
      'model_type',
      config.model_type,
      `this family is not written to GGUF; those that are: ${architectures.flatMap((known) => known.modelTypes).join(', ')}`,
    );
  }
  const arch = architecture.name;
  for (const [key, harmless] of inexpressible) {
    if (config[key] !== undefined && !harmless.includes(config[key]))
      throw new SettingError(key, config[key], `GGUF has no place for it in ${arch}`);
  }
  const activation = config.hidden_activation ?? config.hidden_act ?? config.activation_function;
  if (activation !== undefined && !activations[arch].includes(String(activation))) {
    throw new SettingError(
      'hidden_act',
      activation,
      `GGUF readers of ${arch} take ${activations[arch][0]} for granted`,
    );
  }
  const metadata = new Map<string, GgufMetadata>([['general.architecture', { type: 'string', value: arch }]]);
  const put = (key: string, type: GgufScalarType, value: MetadataValue): void =>
    void metadata.set(`${arch}.${key}`, { type, value });
  for (const [key, hf, type, need] of keysOf(architecture)) {
    const value = config[hf];
    if (typeof value === 'number') put(key, type, value);
    else if (need !== 'optional') throw new SettingError(hf, value, 'config.json must have a number here');
  }
  const heads = Number(config.num_attention_heads ?? config.n_head);
  const width = Number(config.hidden_size ?? config.n_embd);
  const headSize = typeof config.head_dim === 'number' ? config.head_dim : width / heads;
  if (typeof config.vocab_size === 'number') put('vocab_size', 'uint32', config.vocab_size);
  if (arch === 'gpt2') {
    if (typeof config.n_inner !== 'number') put('feed_forward_length', 'uint32', 4 * width);
    return { architecture, metadata, headSize, notes: [] };
  }
  if (headSize % 2 !== 0) throw new SettingError('head_dim', headSize, 'rotation needs an even size');
  put('rope.dimension_count', 'uint32', headSize);
  if (metadata.has(`${arch}.attention.key_length`)) put('attention.value_length', 'uint32', headSize);
  const notes: string[] = [];
  if (arch === 'llama' && typeof config.sliding_window === 'number') {
    notes.push('llama.cpp does not know the sliding window of this family and will attend to everything');
  }
  if (arch.startsWith('qwen')) metadata.delete(`${arch}.attention.sliding_window`);
  if (arch === 'gemma3') putGemma3(config, put, headSize, heads, width, notes);
  const ropeFactors = putRope(config, arch, put, headSize);
  return { architecture, metadata, headSize, notes, ...(ropeFactors ? { ropeFactors } : {}) };
}

type Put = (key: string, type: GgufScalarType, value: MetadataValue) => void;

/** The rotation settings, in the style of today's files (`rope_parameters`) or of those on the hub. */
function ropeSettings(config: JsonObject): { readonly full: JsonObject; readonly local: JsonObject } {
  const parameters = isJsonObject(config.rope_parameters) ? config.rope_parameters : undefined;
  const scaling = isJsonObject(config.rope_scaling) ? config.rope_scaling : {};
  const old = { ...scaling, rope_theta: config.rope_theta };
  if (parameters && isJsonObject(parameters.full_attention)) {
    return {
      full: parameters.full_attention,
      local: isJsonObject(parameters.sliding_attention) ? parameters.sliding_attention : {},
    };
  }
  return { full: parameters ?? old, local: { rope_theta: config.rope_local_base_freq } };
}

function putRope(config: JsonObject, arch: string, put: Put, headSize: number): Float32Array | undefined {
  const { full } = ropeSettings(config);
  const theta = typeof full.rope_theta === 'number' ? full.rope_theta : arch === 'gemma3' ? 1_000_000 : 10_000;
  put('rope.freq_base', 'float32', theta);
  const type = full.rope_type ?? full.type ?? 'default';
  if (type === 'default') return undefined;
  const number = (key: string): number => {
    const value = full[key];
    if (typeof value !== 'number')
      throw new SettingError(`rope_scaling.${key}`, value, `${String(type)} scaling needs a number here`);
    return value;
  };
  const factor = number('factor');
  if (type === 'linear' || type === 'yarn') {
    put('rope.scaling.type', 'string', type);
    put('rope.scaling.factor', 'float32', factor);
    if (type === 'linear') return undefined;
    const original = full.original_max_position_embeddings ?? config.max_position_embeddings;
    put('rope.scaling.original_context_length', 'uint32', Number(original));
    if (typeof full.beta_fast === 'number') put('rope.scaling.yarn_beta_fast', 'float32', full.beta_fast);
    if (typeof full.beta_slow === 'number') put('rope.scaling.yarn_beta_slow', 'float32', full.beta_slow);
    for (const key of ['attention_factor', 'mscale', 'mscale_all_dim']) {
      if (full[key] !== undefined && full[key] !== null)
        throw new SettingError(`rope_scaling.${key}`, full[key], 'GGUF has no place for it');
    }
    return undefined;
  }
  if (type === 'llama3') {
    const original = number('original_max_position_embeddings');
    put('rope.scaling.original_context_length', 'uint32', original);
    return llama3Factors({
      rope_theta: theta,
      head_dim: headSize,
      factor,
      low_freq_factor: number('low_freq_factor'),
      high_freq_factor: number('high_freq_factor'),
      original_max_position_embeddings: original,
    });
  }
  throw new SettingError(
    'rope_scaling.rope_type',
    type,
    'GGUF has no place for it; linear, yarn and llama3 can be written',
  );
}

function putGemma3(
  config: JsonObject,
  put: Put,
  headSize: number,
  heads: number,
  width: number,
  notes: string[],
): void {
  const layers = Number(config.num_hidden_layers);
  const scalar = config.query_pre_attn_scalar ?? headSize;
  if (scalar !== (layers === 62 ? width / heads : headSize)) {
    throw new SettingError(
      'query_pre_attn_scalar',
      scalar,
      'GGUF has no place for it; readers take the size of a head',
    );
  }
  const types = config.layer_types;
  const interval = config.sliding_window_pattern ?? config._sliding_window_pattern ?? 6;
  const usual = Array.from({ length: layers }, (_, i) => (i + 1) % 6 !== 0);
  const sliding = Array.isArray(types)
    ? types.map((type) => type === 'sliding_attention')
    : Array.from({ length: layers }, (_, i) => (i + 1) % Number(interval) !== 0);
  if (sliding.length !== layers)
    throw new SettingError('layer_types', types, `it must have one value for each of ${layers} layers`);
  if (sliding.some((value, i) => value !== usual[i])) {
    put('attention.sliding_window_pattern', 'bool', sliding);
    notes.push('not every sixth layer attends to everything, which some readers of GGUF take for granted');
  }
  const { local } = ropeSettings(config);
  if (typeof local.rope_theta === 'number' && local.rope_theta !== 10_000)
    put('rope.freq_base_swa', 'float32', local.rope_theta);
}
