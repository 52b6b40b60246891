/**
 * The tensors of an adapter as peft names them: `base_model.model.<module>.lora_A.weight` (r, inputs), `.lora_B.weight` (outputs, r),
 * `.lora_magnitude_vector` (outputs), and for an embedding `.lora_embedding_A` (r, V) and `.lora_embedding_B` (C, r).
 */
import { FileFormatError } from '../../errors.ts';
import {
  type TensorEntry,
  type TensorToWrite,
  tensorFloat32,
  tensorToWrite,
  type WeightFile,
} from '../../weights/index.ts';
import type { DecoderConfig } from '../config.ts';
import { type Adapter, layoutOfAdapter, type ModuleTensors, tensorsOf } from './adapter.ts';
import type { AdapterConfig } from './config.ts';

const PREFIX = 'base_model.model.';
/** Module, kind, and what some versions put behind: the adapter's own name, `.weight`. */
const NAME =
  /^(?:base_model\.model\.)?(.+)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)(?:\.[\w-]+)?$/;
const LARGEST = 2 ** 31;

/**
 * The adapter that adapter_config.json and adapter_model.safetensors (or adapter_model.bin) hold.
 * @throws FileFormatError for a tensor that is no part of an adapter, is missing, or is of an impossible shape.
 */
export function readPeftTensors(config: AdapterConfig, weights: WeightFile): Adapter {
  const parts = new Map<string, Map<string, TensorEntry>>();
  for (const entry of weights.tensors.values()) {
    // peft keeps a copy of the embeddings beside an adapter of theirs; they are the base model's own.
    if (/\.base_layer\.weight$/.test(entry.name)) continue;
    const match = NAME.exec(entry.name.replace(/\.weight$/, ''));
    if (!match) throw new FileFormatError(weights.name, entry.name, 'is no part of a LoRA adapter that Inkstone reads');
    const [, module, kind] = match;
    const known = parts.get(module) ?? new Map<string, TensorEntry>();
    if (known.has(kind)) throw new FileFormatError(weights.name, entry.name, `is a second ${kind} of ${module}`);
    known.set(kind, entry);
    parts.set(module, known);
  }
  if (parts.size === 0) throw new FileFormatError(weights.name, '', 'has no tensors of an adapter');
  const modules = [...parts].map(([name, tensors]) => [name, readModule(weights.name, name, tensors, config)] as const);
  return { file: weights.name, config, modules: new Map(modules) };
}

function readModule(
  file: string,
  module: string,
  parts: ReadonlyMap<string, TensorEntry>,
  { use_dora }: AdapterConfig,
): ModuleTensors {
  const need = (kind: string): TensorEntry => {
    const entry = parts.get(kind);
    if (!entry) throw new FileFormatError(file, module, `has no ${kind}`);
    return entry;
  };
  const kind = parts.has('lora_embedding_A') ? 'lora_embedding_' : 'lora_';
  const [a, b] = [need(`${kind}A`), need(`${kind}B`)];
  const magnitude = use_dora ? need('lora_magnitude_vector') : null;
  const fits = a.shape.length === 2 && b.shape.length === 2 && a.shape[0] === b.shape[1] && a.shape[0] > 0;
  if (!fits) throw new FileFormatError(file, module, `A (${a.shape}) and B (${b.shape}) do not make a product B A`);
  for (const { name, shape, byteLength } of [a, b]) {
    if (byteLength > LARGEST) throw new FileFormatError(file, name, `(${shape}) is too large for an adapter`);
  }
  return {
    rank: a.shape[0],
    A: tensorFloat32(a),
    B: tensorFloat32(b),
    magnitude: magnitude && tensorFloat32(magnitude),
  };
}

/** An adapter's tensors, for `writeSafetensors` to write as adapter_model.safetensors. @param config of the model it is for. */
export function peftTensors(adapter: Adapter, config: DecoderConfig): TensorToWrite[] {
  return layoutOfAdapter(config, adapter).modules.flatMap(({ name, kind, rank, inputs, outputs }) => {
    const { A, B, magnitude } = tensorsOf(adapter, name);
    const tensor = (part: string, values: Float32Array, shape: readonly number[]) => {
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      return tensorToWrite(`${PREFIX}${name}.${part}`, 'f32', shape, bytes);
    };
    const [a, b] = kind === 'embedding' ? ['lora_embedding_A', 'lora_embedding_B'] : ['lora_A.weight', 'lora_B.weight'];
    return [
      tensor(a, A, [rank, inputs]),
      tensor(b, B, [outputs, rank]),
      ...(magnitude ? [tensor('lora_magnitude_vector', magnitude, [outputs])] : []),
    ];
  });
}
