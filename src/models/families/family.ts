/** What a family of models is: how to read its config.json, and where its parameters lie in its files. */
import type { Activation, AttentionConfig, DecoderConfig, LayerConfig } from '../config.ts';
import type { ConfigReader } from '../config_reader.ts';

/** Where a parameter is found. Rows are outputs, after `transposed` is undone. */
export interface Location {
  /** The file's tensor, or the tensors that form the parameter stacked along a new first dimension. */
  readonly from: string | readonly string[];
  /** The file has (inputs, outputs). */
  readonly transposed?: boolean;
  /** The rows that are the parameter, when the tensor holds more: `blocks` runs of `length`, one every `stride`, from `start`. */
  readonly rows?: { readonly start: number; readonly length: number; readonly stride: number; readonly blocks: number };
}

export interface Family {
  /** The `model_type`s of config.json that this family reads. */
  readonly modelTypes: readonly string[];
  config(raw: ConfigReader, model_type: string): DecoderConfig;
  /** Names of modules by our own, without the layer's number: see `locateByTable`. */
  readonly modules: Modules;
  /** What stands before the names of the base model in some files and is missing in others. */
  readonly prefix: string;
  /** Locations that the table cannot say. Null leaves a parameter to the table. */
  locate?(module: string, suffix: string, layer: number, config: DecoderConfig): Location | null;
}

/** Our module name (`embed`, `layer.attention.q`) to the file's (`*` is the layer's number). */
export type Modules = Readonly<Record<string, string>>;

/** Where a family keeps the parameter `name` of ours. */
export function locate(family: Family, name: string, config: DecoderConfig): Location {
  const match = /^layers\.(\d+)\.(.*)$/.exec(name);
  const layer = match ? Number(match[1]) : -1;
  const path = match ? `layer.${match[2]}` : name;
  const dot = path.endsWith('.weight') || path.endsWith('.bias') ? path.lastIndexOf('.') : path.length;
  const [module, suffix] = [path.slice(0, dot), path.slice(dot)];
  const special = family.locate?.(module, suffix, layer, config);
  if (special) return special;
  const file = family.modules[module];
  if (!file) throw new Error(`the family of ${config.model_type} does not say where "${name}" is`);
  return { from: file.replace('*', String(layer)) + suffix };
}

/** A run of rows. */
export function rowRange(from: string, start: number, length: number, transposed = false): Location {
  return { from, transposed, rows: { start, length, stride: length, blocks: 1 } };
}

/** The part of a fused query-key-value matrix (q rows, then k, then v) that a module is; null for other modules. */
export function fusedQkv(
  module: string,
  from: string,
  { attention }: DecoderConfig,
  transposed = false,
): Location | null {
  const { n_head: H, n_kv_head: G, head_dim: D } = attention;
  if (module === 'layer.attention.q') return rowRange(from, 0, H * D, transposed);
  if (module === 'layer.attention.k') return rowRange(from, H * D, G * D, transposed);
  if (module === 'layer.attention.v') return rowRange(from, (H + G) * D, G * D, transposed);
  return null;
}

const activations: Readonly<Record<string, Activation>> = {
  relu: 'relu',
  gelu: 'gelu',
  gelu_new: 'geluTanh',
  gelu_pytorch_tanh: 'geluTanh',
  gelu_fast: 'geluTanh',
  quick_gelu: 'quickGelu',
  silu: 'silu',
  swish: 'silu',
};

export function readActivation(raw: ConfigReader, keys: readonly string[], fallback: string): Activation {
  const name = raw.optional(keys, 'string') ?? fallback;
  const activation = Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (!activation) throw raw.refuse(keys[0], name, `is not one of ${Object.keys(activations).join(', ')}`);
  return activation;
}

/** Refuse sizes that cannot be: heads that do not divide, odd rotary widths. */
export function checkAttention(raw: ConfigReader, attention: AttentionConfig): AttentionConfig {
  const { n_head, n_kv_head, head_dim } = attention;
  if (n_head % n_kv_head !== 0) {
    throw raw.refuse('num_key_value_heads', n_kv_head, `does not divide the ${n_head} query heads`);
  }
  if (!Number.isInteger(head_dim)) throw raw.refuse('num_attention_heads', n_head, 'does not divide the width');
  return attention;
}

/** `count` equal layers. */
export function uniformLayers(count: number, layer: LayerConfig): LayerConfig[] {
  return Array.from({ length: count }, () => layer);
}
