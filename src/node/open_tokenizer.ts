/** Tokenizers from what lies on disk: a tokenizer.json, a GGUF file, a rank file, or a model's directory. */
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { FileFormatError } from '../errors.ts';
import {
  type TiktokenEncoding,
  type Tokenizer,
  tiktokenEncodings,
  tokenizerFromGguf,
  tokenizerFromGpt1Files,
  tokenizerFromGpt2Files,
  tokenizerFromJson,
  tokenizerFromLlama2c,
  tokenizerFromTiktoken,
} from '../tokenizers/index.ts';
import { llama2cToConfig, looksLikeGguf, openWeights } from '../weights/index.ts';
import { FileSource } from './file_source.ts';

/** Vocabulary and merges as they are named in the field, with what reads them. */
const VOCABULARIES = [
  { vocab: 'encoder_bpe_40000.json', merges: 'vocab_40000.bpe', family: 'gpt1' },
  { vocab: 'encoder.json', merges: 'vocab.bpe', family: 'gpt2' },
  { vocab: 'vocab.json', merges: 'merges.txt', family: 'by model_type' },
] as const;

/**
 * The tokenizer of a directory, or null where it has none.
 * @param model_type of the model, which tells GPT-1's vocabulary from GPT-2's: both come as vocab.json and merges.txt.
 * @throws FileFormatError when there is one and it is damaged.
 */
export function tokenizerOfDirectory(folder: string, model_type?: string): Tokenizer | null {
  const path = join(folder, 'tokenizer.json');
  const config = ['tokenizer_config.json', 'special_tokens_map.json']
    .map((file) => join(folder, file))
    .find(existsSync);
  if (existsSync(path)) return tokenizerFromJson(readJson(path), { file: path, config: config && readJson(config) });
  for (const { vocab, merges, family } of VOCABULARIES) {
    const [vocabFile, mergesFile] = [join(folder, vocab), join(folder, merges)];
    if (!existsSync(vocabFile) || !existsSync(mergesFile)) continue;
    const isGpt1 = family === 'gpt1' || (family !== 'gpt2' && model_type === 'openai-gpt');
    const make = isGpt1 ? tokenizerFromGpt1Files : tokenizerFromGpt2Files;
    return make(readJson(vocabFile), readFileSync(mergesFile, 'utf8'), mergesFile);
  }
  return null;
}

/**
 * The tokenizer that a file holds: tokenizer.json, GGUF, a tiktoken rank file named after its encoding; for a llama2.c
 * checkpoint the one beside it. Null for other weight files.
 * @throws FileFormatError when it is damaged or of no known kind.
 */
export function tokenizerOfFile(path: string): Tokenizer | null {
  if (path.endsWith('.json')) return tokenizerFromJson(readJson(path), { file: path });
  if (path.endsWith('.tiktoken')) {
    const encoding = basename(path, '.tiktoken');
    if (Object.hasOwn(tiktokenEncodings, encoding))
      return tokenizerFromTiktoken(readFileSync(path, 'utf8'), encoding as TiktokenEncoding, path);
    const known = Object.keys(tiktokenEncodings).join(', ');
    throw new FileFormatError(path, '', 'its name is no known encoding', `Name it after one: ${known}`);
  }
  const source = new FileSource(path);
  try {
    if (looksLikeGguf(source)) return tokenizerFromGguf(openWeights(source));
    const weights = openWeights(source);
    return weights.format === 'llama2c' ? tokenizerBeside(path, Number(llama2cToConfig(weights).vocab_size)) : null;
  } finally {
    source.close();
  }
}

/** The longest token that a llama2.c tokenizer may announce: the first number of the file, which tells it from others. */
const LONGEST_TOKEN = 65_536;

/**
 * The tokenizer of a llama2.c checkpoint, which lies beside it as tok<vocabulary>.bin or tokenizer.bin; null without one.
 * @throws FileFormatError when it is damaged.
 */
export function tokenizerBeside(checkpoint: string, vocab_size: number): Tokenizer | null {
  const folder = dirname(checkpoint);
  const path = [`tok${vocab_size}.bin`, 'tokenizer.bin'].map((file) => join(folder, file)).find(existsSync);
  if (path === undefined) return null;
  const bytes = readFileSync(path);
  if (bytes.length < 4 || bytes.readUInt32LE(0) > LONGEST_TOKEN) return null;
  return tokenizerFromLlama2c(bytes, vocab_size, path);
}

/** @throws FileFormatError when the file is not JSON. */
export function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new FileFormatError(file, '', `it is not JSON (${error.message})`);
  }
}
