/**
 * Reads the checkpoints of llama2.c in their first format (seven numbers, then float32 weights in a fixed order), under
 * the Hugging Face names of a LLaMA. Rows of q and k lie in Meta's order, which rotates neighbours (2i, 2i+1); see
 * `permute_qk` in gguf_names.ts. Source: run.c and export.py of github.com/karpathy/llama2.c.
 */

import { FileFormatError } from '../errors.ts';
import { Cursor } from './cursor.ts';
import { byteLengthOf } from './dtype.ts';
import type { MetadataValue, TensorEntry, WeightFile } from './model_file.ts';
import type { ByteSource } from './source.ts';

const fields = ['dim', 'hidden_dim', 'n_layers', 'n_heads', 'n_kv_heads', 'vocab_size', 'max_seq_len'] as const;

type Header = Record<(typeof fields)[number], number> & { readonly sharedClassifier: boolean };

function readHeader(source: ByteSource): Header | undefined {
  if (source.size < 28) return undefined;
  const bytes = source.bytes(0, 28);
  const view = new DataView(bytes.buffer, bytes.byteOffset, 28);
  const [dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab, max_seq_len] = fields.map((_, i) =>
    view.getInt32(i * 4, true),
  );
  const header = { dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size: Math.abs(vocab), max_seq_len };
  const sound =
    Object.values(header).every((value) => value > 0) &&
    n_layers <= 1024 &&
    dim % n_heads === 0 &&
    n_heads % n_kv_heads === 0 &&
    (dim / n_heads) % 2 === 0;
  // A positive vocabulary means that the classifier is the embedding.
  return sound ? { ...header, sharedClassifier: vocab > 0 } : undefined;
}

/** The tensors in the order of the file: name, shape; a layer's name holds `#`, and all layers lie together. */
function layout(header: Header): (readonly [string, readonly number[]])[] {
  const { dim, hidden_dim, vocab_size } = header;
  const head = dim / header.n_heads;
  const kv = head * header.n_kv_heads;
  const rotation = [header.max_seq_len, head / 2];
  return [
    ['model.embed_tokens.weight', [vocab_size, dim]],
    ['model.layers.#.input_layernorm.weight', [dim]],
    ['model.layers.#.self_attn.q_proj.weight', [dim, dim]],
    ['model.layers.#.self_attn.k_proj.weight', [kv, dim]],
    ['model.layers.#.self_attn.v_proj.weight', [kv, dim]],
    ['model.layers.#.self_attn.o_proj.weight', [dim, dim]],
    ['model.layers.#.post_attention_layernorm.weight', [dim]],
    ['model.layers.#.mlp.gate_proj.weight', [hidden_dim, dim]],
    ['model.layers.#.mlp.down_proj.weight', [dim, hidden_dim]],
    ['model.layers.#.mlp.up_proj.weight', [hidden_dim, dim]],
    ['model.norm.weight', [dim]],
    ['freq_cis_real', rotation],
    ['freq_cis_imag', rotation],
    ...(header.sharedClassifier ? [] : [['lm_head.weight', [vocab_size, dim]] as const]),
  ];
}

/** True when the first seven numbers are a sound configuration whose weights are exactly as long as the file. */
export function looksLikeLlama2c(source: ByteSource): boolean {
  const header = readHeader(source);
  return header !== undefined && totalBytes(header) === source.size;
}

function totalBytes(header: Header): number {
  let total = 28;
  for (const [name, shape] of layout(header)) {
    total += 4 * shape.reduce((product, dimension) => product * dimension, name.includes('#') ? header.n_layers : 1);
  }
  return total;
}

/**
 * Opens a llama2.c checkpoint.
 * @throws FileFormatError when the header is impossible, is of a later version, or does not match the file's size.
 */
export function readLlama2c(source: ByteSource): WeightFile {
  const file = source.name;
  const header = readHeader(source);
  if (source.size >= 4 && new Cursor(source).u32('header') === 0x616b3432) {
    throw new FileFormatError(
      file,
      'header',
      'this is a later version of the llama2.c format',
      'Export with `--version 0`',
    );
  }
  if (!header) throw new FileFormatError(file, 'header', 'its seven numbers are no LLaMA configuration');
  const expected = totalBytes(header);
  if (expected !== source.size) {
    throw new FileFormatError(
      file,
      'header',
      `its configuration takes ${expected} bytes, the file has ${source.size}`,
      'The file is truncated or damaged',
    );
  }
  const tensors = new Map<string, TensorEntry>();
  let offset = 28;
  for (const [pattern, shape] of layout(header)) {
    const byteLength = byteLengthOf('f32', shape, file, pattern);
    const copies = pattern.includes('#') ? header.n_layers : 1;
    for (let layer = 0; layer < copies; layer++, offset += byteLength) {
      const name = pattern.replace('#', String(layer));
      if (!pattern.startsWith('freq_cis')) tensors.set(name, { name, type: 'f32', shape, source, offset, byteLength });
    }
  }
  const metadata = new Map<string, MetadataValue>(fields.map((field) => [field, header[field]]));
  return { format: 'llama2c', name: file, metadata, tensors };
}

/** The config.json of a llama2.c checkpoint: what its code takes for granted included. */
export function llama2cToConfig(file: Pick<WeightFile, 'metadata' | 'tensors'>): Record<string, unknown> {
  const number = (key: (typeof fields)[number]): number => Number(file.metadata.get(key));
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_act: 'silu',
    hidden_size: number('dim'),
    intermediate_size: number('hidden_dim'),
    num_hidden_layers: number('n_layers'),
    num_attention_heads: number('n_heads'),
    num_key_value_heads: number('n_kv_heads'),
    head_dim: number('dim') / number('n_heads'),
    vocab_size: number('vocab_size'),
    max_position_embeddings: number('max_seq_len'),
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    attention_bias: false,
    mlp_bias: false,
    tie_word_embeddings: !file.tensors.has('lm_head.weight'),
    bos_token_id: 1,
    eos_token_id: 2,
  };
}

/** The vocabulary beside a llama2.c checkpoint. */
export interface Llama2cTokenizer {
  readonly pieces: string[];
  readonly scores: number[];
}

/**
 * Reads `tokenizer.bin`: the longest piece's length, then for each id its score, length and text.
 * @param vocabSize how many pieces it holds: the checkpoint knows.
 */
export function readLlama2cTokenizer(source: ByteSource, vocabSize: number): Llama2cTokenizer {
  const cursor = new Cursor(source, 4);
  cursor.checkCount(vocabSize, 8, 'vocabulary');
  const pieces: string[] = [];
  const scores: number[] = [];
  for (let id = 0; id < vocabSize; id++) {
    const bits = Uint32Array.of(cursor.u32(`score of token ${id}`));
    scores.push(new Float32Array(bits.buffer)[0]);
    pieces.push(cursor.text(cursor.u32(`length of token ${id}`), `token ${id}`));
  }
  return { pieces, scores };
}
