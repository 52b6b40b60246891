/**
 * Between the vocabulary that a GGUF file carries and a tokenizer.json: byte-level BPE ("gpt2" in GGUF) and
 * SentencePiece BPE ("llama"). Sources: llama.cpp (src/llama-vocab.cpp, convert_hf_to_gguf.py) and the schema of
 * Hugging Face tokenizers.
 */

import { FileFormatError, SettingError } from '../errors.ts';
import { ggufBeginsByDefault, ggufPreTokenizer, ggufPreTokenizers } from './gguf_pre_tokenizers.ts';
import type { GgufMetadata } from './gguf_writer.ts';
import { isJsonObject, type JsonObject } from './json.ts';
import type { MetadataValue, WeightFile } from './model_file.ts';

/** Kinds of tokens in GGUF. */
const kinds = { normal: 1, unknown: 2, control: 3, user: 4, unused: 5, byte: 6 } as const;

const byteLevel = (useRegex: boolean): JsonObject => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: useRegex,
});

/** The part of a pre-tokenizer that decides where text is cut. */
function cutting(json: unknown): string {
  if (!isJsonObject(json)) return '';
  if (json.type === 'Sequence' && Array.isArray(json.pretokenizers)) return json.pretokenizers.map(cutting).join('+');
  if (json.type === 'ByteLevel') return `bytes:${json.use_regex !== false}:${json.add_prefix_space === true}`;
  if (json.type === 'Digits') return `digits:${json.individual_digits === true}`;
  const pattern = isJsonObject(json.pattern) ? (json.pattern.Regex ?? `=${String(json.pattern.String)}`) : '';
  return `${String(json.type)}:${String(pattern)}:${String(json.behavior)}:${json.invert === true}`;
}

/** What a file beside the tokenizer.json may add. */
export interface TokenizerExtras {
  /** The model's config.json: the ids of special tokens, and the size of the vocabulary. */
  readonly config?: JsonObject;
  /** tokenizer_config.json. */
  readonly tokenizerConfig?: JsonObject;
  readonly chatTemplate?: string;
}

/**
 * The `tokenizer.*` metadata of a GGUF file for a tokenizer.json.
 * @throws SettingError for a kind of tokenizer that GGUF has no name for.
 */
export function tokenizerToGguf(tokenizer: JsonObject, extras: TokenizerExtras = {}): Map<string, GgufMetadata> {
  const model = isJsonObject(tokenizer.model) ? tokenizer.model : {};
  const vocab = model.vocab;
  if (model.type !== 'BPE' || !isJsonObject(vocab)) {
    throw new SettingError('tokenizer.model.type', model.type, 'only BPE vocabularies are written to GGUF');
  }
  const added = Array.isArray(tokenizer.added_tokens) ? tokenizer.added_tokens.filter(isJsonObject) : [];
  const tokens = tokenList(vocab, added, extras.config);
  const sentencePiece = model.byte_fallback === true;
  const types = tokenKinds(tokens, added, sentencePiece, model.unk_token);
  const merges = mergeList(model.merges);

  const metadata = new Map<string, GgufMetadata>();
  const put = (key: string, type: GgufMetadata['type'], value: MetadataValue): void =>
    void metadata.set(`tokenizer.ggml.${key}`, { type, value });
  put('model', 'string', sentencePiece ? 'llama' : 'gpt2');
  if (sentencePiece) {
    put('pre', 'string', 'default');
    put('scores', 'float32', scoresOf(tokens, merges));
    put('add_space_prefix', 'bool', addsSpace(tokenizer));
  } else {
    put('pre', 'string', preTokenizerName(tokenizer));
    put(
      'merges',
      'string',
      merges.map(([left, right]) => `${left} ${right}`),
    );
  }
  put('tokens', 'string', tokens);
  put('token_type', 'int32', types);
  putIds(put, tokens, tokenizer, extras, model.unk_token);
  const template = extras.chatTemplate ?? extras.tokenizerConfig?.chat_template;
  if (typeof template === 'string') metadata.set('tokenizer.chat_template', { type: 'string', value: template });
  return metadata;
}

function tokenList(vocab: JsonObject, added: readonly JsonObject[], config: JsonObject | undefined): string[] {
  const pairs: [unknown, unknown][] = [
    ...Object.entries(vocab),
    ...added.map((token): [unknown, unknown] => [token.content, token.id]),
  ];
  const most = pairs.length * 2 + 65536;
  const tokens: string[] = [];
  for (const [text, id] of pairs) {
    if (typeof text !== 'string' || !Number.isSafeInteger(id) || Number(id) < 0 || Number(id) >= most) {
      throw new SettingError('tokenizer.model.vocab', { [String(text)]: id }, 'it is not a token with its id');
    }
    tokens[Number(id)] = text;
  }
  const size = Math.max(tokens.length, Number(config?.vocab_size ?? 0));
  if (size > most) throw new SettingError('vocab_size', size, `the tokenizer has ${pairs.length} tokens`);
  for (let id = 0; id < size; id++) tokens[id] ??= `[PAD${id}]`;
  return tokens;
}

function tokenKinds(
  tokens: readonly string[],
  added: readonly JsonObject[],
  sentencePiece: boolean,
  unknown: unknown,
): number[] {
  const kindOf = new Map(added.map((token) => [token.content, token.special === true ? kinds.control : kinds.user]));
  return tokens.map((text, id) => {
    if (sentencePiece && text === unknown) return kinds.unknown;
    if (kindOf.has(text)) return kindOf.get(text)!;
    if (text === `[PAD${id}]`) return kinds.unused;
    return sentencePiece && /^<0x[0-9A-F]{2}>$/.test(text) ? kinds.byte : kinds.normal;
  });
}

function mergeList(merges: unknown): (readonly [string, string])[] {
  if (!Array.isArray(merges)) throw new SettingError('tokenizer.model.merges', merges, 'it is not a list');
  return merges.map((merge) => {
    const parts: unknown[] = typeof merge === 'string' ? merge.split(' ') : Array.isArray(merge) ? merge : [];
    const [left, right] = parts;
    if (parts.length !== 2 || typeof left !== 'string' || typeof right !== 'string') {
      throw new SettingError('tokenizer.model.merges', merge, 'it is not a pair of tokens');
    }
    return [left, right] as const;
  });
}

/** SentencePiece merges the pair whose result scores best, so the first merge that makes a token gives its score. */
function scoresOf(tokens: readonly string[], merges: readonly (readonly [string, string])[]): number[] {
  const rank = new Map<string, number>();
  for (const [i, [left, right]] of merges.entries()) if (!rank.has(left + right)) rank.set(left + right, i);
  return tokens.map((text) => -(rank.get(text) ?? merges.length));
}

function preTokenizerName(tokenizer: JsonObject): string {
  const wanted = cutting(tokenizer.pre_tokenizer);
  const found = ggufPreTokenizers.find(({ json }) => cutting(json) === wanted);
  if (!found) {
    throw new SettingError(
      'tokenizer.pre_tokenizer',
      tokenizer.pre_tokenizer,
      `GGUF has names only for some ways to cut text; known here: ${ggufPreTokenizers.map(({ names }) => names[0]).join(', ')}`,
    );
  }
  return found.names[0];
}

function addsSpace(tokenizer: JsonObject): boolean {
  const text = JSON.stringify([tokenizer.normalizer, tokenizer.pre_tokenizer]);
  return (
    text.includes('"Prepend"') ||
    /"prepend_scheme":"(always|first)"/.test(text) ||
    text.includes('"add_prefix_space":true')
  );
}

function putIds(
  put: (key: string, type: GgufMetadata['type'], value: MetadataValue) => void,
  tokens: readonly string[],
  tokenizer: JsonObject,
  extras: TokenizerExtras,
  unknown: unknown,
): void {
  const { config = {}, tokenizerConfig = {} } = extras;
  for (const [key, name] of [
    ['bos_token_id', 'bos_token'],
    ['eos_token_id', 'eos_token'],
    ['padding_token_id', 'pad_token'],
  ] as const) {
    const id = config[key === 'padding_token_id' ? 'pad_token_id' : key];
    const named = tokenizerConfig[name];
    const text = isJsonObject(named) ? named.content : named;
    const number = Array.isArray(id) ? id[0] : (id ?? (typeof text === 'string' ? tokens.indexOf(text) : undefined));
    if (typeof number === 'number' && number >= 0) put(key, 'uint32', number);
  }
  const unknownId = typeof unknown === 'string' ? tokens.indexOf(unknown) : -1;
  if (unknownId >= 0) put('unknown_token_id', 'uint32', unknownId);
  const begins = beginsWithSpecial(tokenizer.post_processor);
  const addBos = tokenizerConfig.add_bos_token ?? begins;
  put('add_bos_token', 'bool', addBos === true);
}

/** True when the post-processor puts a special token before a single text. */
function beginsWithSpecial(processor: unknown): boolean {
  if (!isJsonObject(processor)) return false;
  if (Array.isArray(processor.processors)) return processor.processors.some(beginsWithSpecial);
  return (
    processor.type === 'TemplateProcessing' &&
    Array.isArray(processor.single) &&
    isJsonObject(processor.single[0]) &&
    'SpecialToken' in processor.single[0]
  );
}

/**
 * A tokenizer.json for the vocabulary in a GGUF file.
 * @throws FileFormatError when the file carries none, a damaged one, or one of another kind.
 */
export function ggufToTokenizer(file: Pick<WeightFile, 'name' | 'metadata'>): Record<string, unknown> {
  const read = (key: string): MetadataValue | undefined => file.metadata.get(`tokenizer.ggml.${key}`);
  const error = (key: string, problem: string): FileFormatError =>
    new FileFormatError(file.name, `tokenizer.ggml.${key}`, problem);
  const kind = read('model');
  if (kind !== 'gpt2' && kind !== 'llama') {
    throw error(
      'model',
      kind === undefined
        ? 'the file carries no tokenizer'
        : `"${String(kind).slice(0, 40)}" is not turned into a tokenizer.json`,
    );
  }
  const tokens = read('tokens');
  if (!Array.isArray(tokens) || !tokens.every((token) => typeof token === 'string'))
    throw error('tokens', 'it is not a list of texts');
  const types = read('token_type') ?? tokens.map(() => kinds.normal);
  if (!Array.isArray(types) || types.length !== tokens.length)
    throw error('token_type', 'it is not as long as the list of tokens');
  const vocab = new Map<string, number>();
  for (const [id, token] of tokens.entries()) if (!vocab.has(token as string)) vocab.set(token as string, id);

  const added = tokens.flatMap((content, id) => {
    const type = types[id];
    const special = type === kinds.control || type === kinds.unknown;
    if (!special && type !== kinds.user) return [];
    return [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special }];
  });
  const common = { version: '1.0', truncation: null, padding: null, added_tokens: added };
  const bos = read('bos_token_id');
  const begins = read('add_bos_token') ?? (kind === 'llama' || ggufBeginsByDefault.includes(String(read('pre'))));
  const post = begins === true && typeof bos === 'number' ? beginWith(tokens[bos], bos) : null;
  return kind === 'gpt2'
    ? { ...common, ...byteLevelParts(read, error, vocab, post) }
    : { ...common, ...sentencePieceParts(read, error, tokens as string[], vocab, post) };
}

type Read = (key: string) => MetadataValue | undefined;
type Fail = (key: string, problem: string) => FileFormatError;

function beginWith(token: MetadataValue | undefined, id: number): JsonObject {
  const content = String(token);
  return {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: content, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [
      { SpecialToken: { id: content, type_id: 0 } },
      { Sequence: { id: 'A', type_id: 0 } },
      { SpecialToken: { id: content, type_id: 1 } },
      { Sequence: { id: 'B', type_id: 1 } },
    ],
    special_tokens: { [content]: { id: content, ids: [id], tokens: [content] } },
  };
}

/** A JSON object whatever the names: `Object.fromEntries` defines "__proto__" like any other. */
const objectOf = (vocab: ReadonlyMap<string, number>): JsonObject => Object.fromEntries(vocab);

const bpe = { type: 'BPE', dropout: null, continuing_subword_prefix: null, end_of_word_suffix: null };

function byteLevelParts(
  read: Read,
  error: Fail,
  vocab: ReadonlyMap<string, number>,
  post: JsonObject | null,
): JsonObject {
  const name = read('pre') ?? 'gpt-2';
  const cut = ggufPreTokenizer(String(name));
  if (!cut) throw error('pre', `"${String(name).slice(0, 40)}" is not a way to cut text that is known here`);
  const merges = read('merges');
  if (!Array.isArray(merges)) throw error('merges', 'it is not a list');
  const pairs = merges.map((merge) => {
    const parts = typeof merge === 'string' ? merge.split(' ') : [];
    if (parts.length !== 2) throw error('merges', 'an entry is not a pair of tokens');
    return parts;
  });
  return {
    normalizer: null,
    pre_tokenizer: cut.json,
    post_processor: post ?? { ...byteLevel(true), trim_offsets: false },
    decoder: byteLevel(true),
    model: {
      ...bpe,
      unk_token: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: cut.wholePieceFirst,
      vocab: objectOf(vocab),
      merges: pairs,
    },
  };
}

function sentencePieceParts(
  read: Read,
  error: Fail,
  tokens: readonly string[],
  vocab: ReadonlyMap<string, number>,
  post: JsonObject | null,
): JsonObject {
  const scores = read('scores');
  if (!Array.isArray(scores) || scores.length !== tokens.length)
    throw error('scores', 'it is not as long as the list of tokens');
  const unknown = read('unknown_token_id');
  const prefix = read('add_space_prefix') !== false;
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const strip = prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : [];
  return {
    normalizer: prefix ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, replace] } : replace,
    pre_tokenizer: null,
    post_processor: post,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...strip,
      ],
    },
    model: {
      ...bpe,
      unk_token: typeof unknown === 'number' ? (tokens[unknown] ?? null) : null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: objectOf(vocab),
      merges: mergesFromScores(tokens, scores, vocab),
    },
  };
}

/**
 * SentencePiece keeps no merges: any two tokens may merge into a third, best score first. As a list, that is every way
 * to cut a token in two tokens, in the order of the scores.
 */
function mergesFromScores(
  tokens: readonly string[],
  scores: readonly MetadataValue[],
  vocab: ReadonlyMap<string, number>,
): string[][] {
  const found: { readonly pair: string[]; readonly score: number; readonly order: number }[] = [];
  for (const [id, token] of tokens.entries()) {
    if (vocab.get(token) !== id || token.length > 256) continue;
    for (let cut = 1; cut < token.length; cut++) {
      const left = token.slice(0, cut);
      const right = token.slice(cut);
      if (vocab.has(left) && vocab.has(right))
        found.push({ pair: [left, right], score: Number(scores[id]), order: found.length });
    }
  }
  found.sort((a, b) => b.score - a.score || a.order - b.order);
  return found.map(({ pair }) => pair);
}
