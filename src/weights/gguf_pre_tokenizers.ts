/**
 * How text is cut before merging, by the names that GGUF has for it (`tokenizer.ggml.pre`), each as the `pre_tokenizer`
 * of a tokenizer.json. Where llama.cpp (src/llama-vocab.cpp) had to rewrite an expression for its own engine, the
 * expression of the model's original tokenizer stands here.
 */
import type { JsonObject } from './json.ts';

export interface GgufPreTokenizer {
  /** Names that mean this cut; the first is the one to write. */
  readonly names: readonly string[];
  readonly json: JsonObject;
  /** Names of {@link names} whose vocabularies take a piece that is a token as a whole before any merging. */
  readonly wholePieceFirst?: readonly string[];
}

const byteLevel = (useRegex: boolean): JsonObject => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: useRegex,
});

const splitting = (pattern: string): JsonObject => ({
  type: 'Split',
  pattern: { Regex: pattern },
  behavior: 'Isolated',
  invert: false,
});

const sequence = (...steps: readonly JsonObject[]): JsonObject => ({ type: 'Sequence', pretokenizers: steps });

/** Cuts by each expression in turn, then takes bytes. */
const split = (...patterns: readonly string[]): JsonObject => sequence(...patterns.map(splitting), byteLevel(false));

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const LETTERS = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+';
const SPACES = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const OTHERS = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*';
const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)";

/** The shape that GPT-4's rule gave to most later ones: only how numbers are cut differs. */
const like = (numbers: string): string => `${CONTRACTIONS}|${LETTERS}|${numbers}|${OTHERS}|${SPACES}`;

const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';

/** Words that may change from upper to lower case once (GPT-4o). */
const cased = (suffix: string, numbers: string): string =>
  [
    `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+${suffix}`,
    `[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*${suffix}`,
    numbers,
    ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*',
    SPACES,
  ].join('|');

const GPT4O = cased(`${CONTRACTIONS}?`, '\\p{N}{1,3}');
const CJK = '[一-龥\\u3040-ゟ゠-ヿ]+';
const DEEPSEEK_WORDS = [
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+',
  '[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+',
  ' ?[\\p{P}\\p{S}]+[\\r\\n]*',
  SPACES,
].join('|');

const LLAMA3_NAMES: readonly string[] = [
  ...['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'falcon-h1', 'pixtral', 'midm-2.0', 'lfm2', 'jina-v5-nano'],
];

/** Names whose files begin every text with the beginning token unless they say otherwise. */
export const ggufBeginsByDefault: readonly string[] = [...LLAMA3_NAMES, 'tekken'];

export const ggufPreTokenizers: readonly GgufPreTokenizer[] = [
  {
    names: [
      ...['gpt-2', 'phi-2', 'mpt', 'olmo', 'jais', 'trillion', 'granite-docling', 'exaone4', 'gigachat', 'a.x-4.0'],
      ...['mellum', 'modern-bert', 'jina-es', 'jina-de', 'jina-v2-es', 'jina-v2-de'],
    ],
    json: byteLevel(true),
  },
  {
    names: ['smollm', 'starcoder', 'refact', 'command-r', 'codeshell', 'exaone', 'minerva-7b', 'mellum2'],
    json: sequence({ type: 'Digits', individual_digits: true }, byteLevel(true)),
  },
  {
    names: [...LLAMA3_NAMES, 'dbrx', 'smaug-bpe', 'chatglm-bpe', 'glm4'],
    json: split(like('\\p{N}{1,3}')),
    wholePieceFirst: LLAMA3_NAMES,
  },
  {
    names: [
      ...['qwen2', 'deepseek-r1-qwen', 'kormo', 'f2llmv2', 'megrez', 'stablelm2', 'hunyuan', 'solar-open', 'grok-2'],
    ],
    json: split(like('\\p{N}')),
  },
  {
    names: ['qwen35'],
    json: split(
      `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${SPACES}`,
    ),
  },
  { names: ['gpt-4o', 'llama4', 'kanana2', 'talkie', 'minimax-m2'], json: split(GPT4O) },
  { names: ['tekken'], json: split(cased('', '\\p{N}')), wholePieceFirst: ['tekken'] },
  { names: ['tiny_aya', 'cohere2moe'], json: split('\\d{1,3}(?=(?:\\d{3})*\\b)', GPT4O) },
  {
    names: ['deepseek-v3', 'hunyuan-dense', 'hy_v4', 'joyai-llm'],
    json: split('\\p{N}{1,3}', CJK, DEEPSEEK_WORDS),
  },
  {
    names: ['deepseek-coder'],
    json: split('[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', '[一-龥ࠀ-一가-\\ud7ff]+', '\\p{N}'),
  },
  { names: ['falcon'], json: split('[\\p{P}\\$\\+<=>\\^~\\|`]+', GPT2, '[0-9][0-9][0-9]') },
  { names: ['default'], json: split('[\\p{P}\\$\\+<=>\\^~\\|]+', GPT2, '\\p{N}+', '[0-9][0-9][0-9]') },
  { names: ['bloom', 'poro-chat', 'gpt3-finnish'], json: split(' ?[^(\\s|.,!?…。，、।۔،)]+') },
  { names: ['viking'], json: split(' ?[^(\\s|.,!?…。，、।۔،)]+', '\\p{N}') },
  {
    names: ['bailingmoe', 'bailingmoe2', 'llada-moe'],
    json: split(
      "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
    ),
  },
  {
    names: ['seed-coder'],
    json: split(`${CONTRACTIONS}|${LETTERS}|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|${SPACES}`),
  },
  { names: ['superbpe'], json: split('\\p{N}+', '(?=(\\d{3})+(?!\\d))') },
  { names: ['minicpm5'], json: split('\\p{N}{1,3}', like('\\p{N}+')), wholePieceFirst: ['minicpm5'] },
  { names: ['ufakzeka'], json: split(`${LETTERS}|\\p{N}|${OTHERS}|${SPACES}`) },
  { names: ['laguna'], json: split('[^\\n]+|[\\n]+', like('\\p{N}')) },
];

/** The cut of a name, or undefined where it is not known. */
export function ggufPreTokenizer(name: string): { json: JsonObject; wholePieceFirst: boolean } | undefined {
  const found = ggufPreTokenizers.find(({ names }) => names.includes(name));
  return found && { json: found.json, wholePieceFirst: found.wholePieceFirst?.includes(name) ?? false };
}
