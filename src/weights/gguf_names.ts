/**
 * The two namings of the same tensors: GGUF's and Hugging Face's, as tables, with what else differs between the two
 * files. Sources: gguf-py/gguf/tensor_mapping.py and convert_hf_to_gguf.py of llama.cpp.
 *
 * Transforms, written as what turns a GGUF tensor into the Hugging Face one:
 * - `permute_qk`: rows of q and k within each head. GGUF pairs rows (2i, 2i+1) for rotation, Hugging Face pairs rows
 *   (i, i + D/2): Hugging Face's row `half * D/2 + i` of a head is GGUF's row `2i + half`. Rows are moved whole, so
 *   quantised blocks stay as they are. A model that rotates neighbours (2i, 2i+1) may use the rows as they lie.
 * - `minus_one`: GGUF stores 1 + w of a norm that multiplies by 1 + w.
 * - `transpose`: Hugging Face stores the matrix as (in, out) (GPT-2's Conv1D), GGUF as (out, in).
 */

/** What turns the data of a GGUF tensor into the Hugging Face tensor of the same meaning. */
export type TensorTransform = 'permute_qk' | 'minus_one' | 'transpose';

/** A tensor under its Hugging Face name. */
export interface HfTensorName {
  readonly name: string;
  readonly transform?: TensorTransform;
}

/** One architecture: stems without `.weight` or `.bias`, GGUF's first. */
export interface Architecture {
  /** `general.architecture` of GGUF. */
  readonly name: string;
  /** `model_type` of the config.json that is written, and others that mean the same tensors. */
  readonly modelTypes: readonly [string, ...string[]];
  /** `architectures[0]` of the config.json. */
  readonly className: string;
  /** What Hugging Face puts before the stems of blocks, before the block's number. */
  readonly blockPrefix: string;
  readonly globals: readonly (readonly [string, string])[];
  readonly block: readonly (readonly [string, string])[];
  /** By the GGUF stem within a block; for norms, every stem that ends in `norm`. */
  readonly transforms: Readonly<Record<string, TensorTransform>>;
  readonly normsPlusOne?: boolean;
}

const decoderGlobals = [
  ['token_embd', 'model.embed_tokens'],
  ['output_norm', 'model.norm'],
  ['output', 'lm_head'],
] as const;

const decoderBlock = [
  ['attn_norm', 'input_layernorm'],
  ['attn_q', 'self_attn.q_proj'],
  ['attn_k', 'self_attn.k_proj'],
  ['attn_v', 'self_attn.v_proj'],
  ['attn_output', 'self_attn.o_proj'],
  ['ffn_norm', 'post_attention_layernorm'],
  ['ffn_gate', 'mlp.gate_proj'],
  ['ffn_up', 'mlp.up_proj'],
  ['ffn_down', 'mlp.down_proj'],
] as const;

const qkNorms = [
  ['attn_q_norm', 'self_attn.q_norm'],
  ['attn_k_norm', 'self_attn.k_norm'],
] as const;

const decoder = { blockPrefix: 'model.layers.', globals: decoderGlobals, transforms: {} };

/** The architectures that are read from GGUF and written to it. */
export const architectures: readonly Architecture[] = [
  {
    ...decoder,
    name: 'llama',
    modelTypes: ['llama', 'mistral'],
    className: 'LlamaForCausalLM',
    block: decoderBlock,
    transforms: { attn_q: 'permute_qk', attn_k: 'permute_qk' },
  },
  { ...decoder, name: 'qwen2', modelTypes: ['qwen2'], className: 'Qwen2ForCausalLM', block: decoderBlock },
  {
    ...decoder,
    name: 'qwen3',
    modelTypes: ['qwen3'],
    className: 'Qwen3ForCausalLM',
    block: [...decoderBlock, ...qkNorms],
  },
  {
    ...decoder,
    name: 'gemma3',
    modelTypes: ['gemma3_text', 'gemma3'],
    className: 'Gemma3ForCausalLM',
    block: [
      ...decoderBlock.filter(([stem]) => stem !== 'ffn_norm'),
      ...qkNorms,
      ['post_attention_norm', 'post_attention_layernorm'],
      ['ffn_norm', 'pre_feedforward_layernorm'],
      ['post_ffw_norm', 'post_feedforward_layernorm'],
    ],
    normsPlusOne: true,
  },
  {
    name: 'gpt2',
    modelTypes: ['gpt2'],
    className: 'GPT2LMHeadModel',
    blockPrefix: 'transformer.h.',
    globals: [
      ['token_embd', 'transformer.wte'],
      ['position_embd', 'transformer.wpe'],
      ['output_norm', 'transformer.ln_f'],
      ['output', 'lm_head'],
    ],
    block: [
      ['attn_norm', 'ln_1'],
      ['attn_qkv', 'attn.c_attn'],
      ['attn_output', 'attn.c_proj'],
      ['ffn_norm', 'ln_2'],
      ['ffn_up', 'mlp.c_fc'],
      ['ffn_down', 'mlp.c_proj'],
    ],
    transforms: { attn_qkv: 'transpose', attn_output: 'transpose', ffn_up: 'transpose', ffn_down: 'transpose' },
  },
];

/** The table of a GGUF architecture, or `undefined`. */
export function architectureOf(name: string): Architecture | undefined {
  return architectures.find((architecture) => architecture.name === name);
}

/** The table for a `model_type` of config.json, or `undefined`. */
export function architectureOfModelType(modelType: string): Architecture | undefined {
  return architectures.find((architecture) => architecture.modelTypes.includes(modelType));
}

function split(name: string): readonly [string, string] | undefined {
  const match = /^(.*)\.(weight|bias)$/.exec(name);
  return match ? [match[1], match[2]] : undefined;
}

function transformOf(architecture: Architecture, stem: string, kind: string): TensorTransform | undefined {
  if (architecture.normsPlusOne && stem.endsWith('norm') && kind === 'weight') return 'minus_one';
  const transform = Object.hasOwn(architecture.transforms, stem) ? architecture.transforms[stem] : undefined;
  return transform === 'transpose' && kind === 'bias' ? undefined : transform;
}

/**
 * The Hugging Face name of the GGUF tensor `name`, and what to do to its data; `undefined` for a tensor that is not in
 * the table (such as `rope_freqs.weight`, which `ggufToConfig` turns into settings).
 */
export function ggufTensorName(architecture: string | Architecture, name: string): HfTensorName | undefined {
  const table = typeof architecture === 'string' ? architectureOf(architecture) : architecture;
  const parts = split(name);
  if (!table || !parts) return undefined;
  const [stem, kind] = parts;
  const block = /^blk\.(0|[1-9]\d{0,5})\.(.+)$/.exec(stem);
  const inside = block ? block[2] : stem;
  const pair = (block ? table.block : table.globals).find(([gguf]) => gguf === inside);
  if (!pair) return undefined;
  const transform = transformOf(table, inside, kind);
  const hf = `${block ? `${table.blockPrefix}${block[1]}.` : ''}${pair[1]}.${kind}`;
  return transform ? { name: hf, transform } : { name: hf };
}

/**
 * The GGUF name of the Hugging Face tensor `name`, with the transform between them; `undefined` when it is not in the
 * table. Names with the leading `transformer.` or `model.` left off (as in GPT-2's own files), or with the
 * `language_model.` of models that also see, are understood.
 */
export function hfTensorName(architecture: Architecture, name: string): HfTensorName | undefined {
  const parts = split(name);
  if (!parts) return undefined;
  const [stem, kind] = parts;
  const bare = stem.replace(/^(model\.)?language_model\./, '');
  const found =
    ggufStem(architecture, bare) ??
    ggufStem(architecture, `model.${bare}`) ??
    ggufStem(architecture, `transformer.${bare}`);
  if (!found) return undefined;
  const transform = transformOf(architecture, found.inside, kind);
  return transform ? { name: `${found.stem}.${kind}`, transform } : { name: `${found.stem}.${kind}` };
}

function ggufStem(table: Architecture, full: string): { stem: string; inside: string } | undefined {
  const global = table.globals.find(([, hf]) => hf === full);
  if (global) return { stem: global[0], inside: global[0] };
  if (!full.startsWith(table.blockPrefix)) return undefined;
  const match = /^(0|[1-9]\d{0,5})\.(.+)$/.exec(full.slice(table.blockPrefix.length));
  const pair = match && table.block.find(([, hf]) => hf === match[2]);
  return match && pair ? { stem: `blk.${match[1]}.${pair[0]}`, inside: pair[0] } : undefined;
}

/** Buffers that old checkpoints carry and no model needs: causal masks and rotation frequencies. */
export function isDispensable(name: string): boolean {
  return /(^|\.)attn\.(bias|masked_bias)$|(^|\.)rotary_emb\.inv_freq$/.test(name);
}

/**
 * For each row of the wanted layout, the row of the given one: between GGUF's and Hugging Face's order of q and k.
 * @param rows heads times `headSize`.
 * @param headSize of one head, even.
 * @param to the layout that is wanted.
 */
export function qkRows(rows: number, headSize: number, to: 'gguf' | 'hf'): Uint32Array {
  const half = headSize / 2;
  const from = new Uint32Array(rows);
  for (let head = 0; head < rows; head += headSize) {
    for (let i = 0; i < half; i++) {
      for (let part = 0; part < 2; part++) {
        const hf = head + part * half + i;
        const gguf = head + 2 * i + part;
        if (to === 'hf') from[hf] = gguf;
        else from[gguf] = hf;
      }
    }
  }
  return from;
}
