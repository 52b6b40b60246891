/**
 * The tokenizer that a GGUF file carries in its `tokenizer.ggml.*` metadata: byte-level BPE ("gpt2"), SentencePiece BPE
 * ("llama") and unigram ("t5"), with the meaning that llama.cpp gives them (src/llama-vocab.cpp).
 *
 * Built straight from the metadata, without a tokenizer.json in between: it is part of every start of the program, and
 * tables of flat integers take a few milliseconds where objects take a hundred.
 */
import { FileFormatError } from '../errors.ts';
import { ggufBeginsByDefault, ggufPreTokenizer } from '../weights/gguf_pre_tokenizers.ts';
import { TextList } from '../weights/lists.ts';
import type { AddedToken } from './added-tokens.ts';
import { Bpe, hideByteNames } from './bpe.ts';
import { nameOfByte } from './bytes.ts';
import type { DecoderStep } from './decoders.ts';
import { MergeTable } from './merges.ts';
import * as normalizers from './normalizers.ts';
import { Pattern } from './pattern.ts';
import { CharacterMap, precompiledByLongest } from './precompiled.ts';
import { edgeTemplate } from './templates.ts';
import { type SpecialIds, Tokenizer } from './tokenizer.ts';
import { preTokenizerFromJson } from './tokenizer-json.ts';
import { Unigram } from './unigram.ts';
import { unitsOfList, unitsOfTexts } from './units.ts';
import { Vocabulary } from './vocabulary.ts';

/** What a tokenizer needs of a GGUF file. */
export interface GgufVocabulary {
  /** How errors call the file. */
  readonly name: string;
  /** The file's metadata; arrays may be of any kind. */
  readonly metadata: ReadonlyMap<string, unknown>;
  /** Those of its arrays that are at hand as they lie in the file. */
  readonly lists?: ReadonlyMap<string, unknown>;
}

/** Kinds of tokens in `tokenizer.ggml.token_type`. */
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;

const SPACE = 0x20;
const MARK = '▁';

/** @throws FileFormatError naming the key when the file has no tokenizer, a damaged one or one of an unknown kind. */
export function tokenizerFromGguf(file: GgufVocabulary): Tokenizer {
  const source = new Metadata(file);
  const kind = source.text('model');
  if (kind === undefined) throw source.fail('model', 'is not there: the file carries no tokenizer');
  switch (kind) {
    case 'gpt2':
      return byteLevel(source);
    case 'llama':
      return sentencePiece(source);
    case 't5':
      return unigram(source);
    default:
      throw source.fail('model', `"${kind.slice(0, 40)}" is not one of gpt2, llama, t5`);
  }
}

function byteLevel(source: Metadata): Tokenizer {
  const vocabulary = new Vocabulary(source.tokens());
  // Files from before the key existed are GPT-2's own kind.
  const name = source.text('pre') ?? 'gpt-2';
  const cut = ggufPreTokenizer(name);
  if (cut === undefined) {
    throw source.fail('pre', `"${name.slice(0, 40)}" is not the name of a way to cut text that is known here`);
  }
  const model = new Bpe({
    vocabulary,
    merges: source.merges(vocabulary),
    bytes: true,
    wholePieceFirst: cut.wholePieceFirst,
  });
  const special = source.special({});
  return new Tokenizer({
    model,
    preTokenizer: preTokenizerFromJson(cut.json, source.file.name, true),
    addedTokens: source.added(),
    template: source.edges(special, ggufBeginsByDefault.includes(name), false),
    decoder: [{ kind: 'byte-level' }],
    special,
  });
}

function sentencePiece(source: Metadata): Tokenizer {
  const vocabulary = new Vocabulary(source.tokens());
  const special = source.special({ bos: 1, eos: 2, unk: 0 });
  hideByteNames(vocabulary);
  const model = new Bpe({
    vocabulary,
    priorities: ranksOfScores(source.scores(vocabulary.size)),
    bytes: false,
    byteFallback: true,
    unknownId: special.unk ?? -1,
    fuseUnknown: true,
  });
  const prefix = source.flag('add_space_prefix') ?? true;
  return new Tokenizer({
    model,
    normalizer: spaceNormalizer(source, prefix),
    addedTokens: source.added(),
    template: source.edges(special, true, false),
    decoder: spaceDecoder(prefix),
    special,
  });
}

function unigram(source: Metadata): Tokenizer {
  const vocabulary = new Vocabulary(source.tokens());
  const special = source.special({ eos: 1, unk: 2, pad: 0 });
  const scores = source.scores(vocabulary.size);
  const added = source.added();
  for (const token of added) if (!token.special && token.id < scores.length) scores[token.id] = 0;
  const byteFallback = vocabulary.idOf(nameOfByte(0)) >= 0;
  if (byteFallback) hideByteNames(vocabulary);
  const model = new Unigram({ vocabulary, scores, unknownId: special.unk ?? -1, byteFallback });
  const prefix = source.flag('add_space_prefix') ?? true;
  return new Tokenizer({
    model,
    normalizer: spaceNormalizer(source, prefix),
    addedTokens: added,
    template: source.edges(special, false, true),
    decoder: spaceDecoder(prefix),
    special,
  });
}

/** SentencePiece's normalisation: its character map, its care for spaces, then spaces as a visible mark. */
function spaceNormalizer(source: Metadata, prefix: boolean): normalizers.Normalizer {
  const steps: normalizers.Normalizer[] = [];
  const map = source.bytes('precompiled_charsmap');
  if (map !== undefined && map.length > 0) {
    try {
      steps.push(precompiledByLongest(new CharacterMap(map)));
    } catch (error) {
      throw source.fail('precompiled_charsmap', (error as Error).message);
    }
  }
  if (source.flag('remove_extra_whitespaces') ?? false) {
    steps.push(normalizers.replacePattern(new Pattern('\\A +| +\\z'), ''));
    steps.push(normalizers.replacePattern(new Pattern(' {2,}'), ' '));
  }
  if (prefix) steps.push(normalizers.prepend(MARK));
  steps.push(normalizers.replaceText(' ', MARK));
  return normalizers.sequence(steps);
}

function spaceDecoder(prefix: boolean): DecoderStep[] {
  const steps: DecoderStep[] = [
    { kind: 'replace', pattern: MARK, content: ' ' },
    { kind: 'byte-fallback' },
    { kind: 'fuse' },
  ];
  if (prefix) steps.push({ kind: 'strip', content: ' ', start: 1, stop: 0 });
  return steps;
}

/** The place of each score when the greatest come first; equal scores share a place, and what is no number never merges. */
export function ranksOfScores(scores: Float64Array): Int32Array {
  const sorted = scores.filter((score) => !Number.isNaN(score)).sort();
  let distinct = 0;
  for (let i = 0; i < sorted.length; i++) {
    if (i === 0 || sorted[i] !== sorted[distinct - 1]) sorted[distinct++] = sorted[i];
  }
  return Int32Array.from(scores, (score) => {
    if (Number.isNaN(score)) return -1;
    let low = 0;
    let high = distinct - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < score) low = middle + 1;
      else high = middle;
    }
    return distinct - 1 - low;
  });
}

/** Checked access to the keys. */
class Metadata {
  private names: readonly string[] | TextList = [];

  constructor(readonly file: GgufVocabulary) {}

  fail(key: string, problem: string): FileFormatError {
    return new FileFormatError(this.file.name, `tokenizer.ggml.${key}`, problem);
  }

  private get(key: string): unknown {
    return this.file.metadata.get(`tokenizer.ggml.${key}`);
  }

  text(key: string): string | undefined {
    const value = this.get(key);
    if (value !== undefined && typeof value !== 'string') throw this.fail(key, 'is not a text');
    return value;
  }

  flag(key: string): boolean | undefined {
    const value = this.get(key);
    if (value !== undefined && typeof value !== 'boolean') throw this.fail(key, 'is not true or false');
    return value;
  }

  private list(key: string): ArrayLike<unknown> | undefined {
    const value = this.file.lists?.get(`tokenizer.ggml.${key}`) ?? this.get(key);
    if (value === undefined) return undefined;
    // Texts where other things are wanted fail one by one, each with what is wrong with it.
    if (value instanceof TextList) return value.toArray();
    if (!Array.isArray(value) && !ArrayBuffer.isView(value)) throw this.fail(key, 'is not a list');
    return value as unknown as ArrayLike<unknown>;
  }

  /** A list of texts, or undefined where the key is not there. */
  private texts(key: string, problem: (index: number) => string): readonly string[] | TextList | undefined {
    const packed = this.file.lists?.get(`tokenizer.ggml.${key}`);
    if (packed instanceof TextList) return packed;
    const list = this.list(key);
    if (list === undefined) return undefined;
    for (let i = 0; i < list.length; i++) if (typeof list[i] !== 'string') throw this.fail(key, problem(i));
    return list as unknown as readonly string[];
  }

  tokens(): readonly string[] | TextList {
    const list = this.texts('tokens', (id) => `token ${id} is not a text`);
    if (list === undefined || list.length === 0) throw this.fail('tokens', 'is missing or empty');
    this.names = list;
    return list;
  }

  private nameOf(id: number): string {
    return this.names instanceof TextList ? this.names.at(id) : this.names[id];
  }

  scores(size: number): Float64Array {
    const list = this.list('scores');
    if (list === undefined || list.length !== size) {
      throw this.fail('scores', `has ${list?.length ?? 0} entries for ${size} tokens`);
    }
    const scores = new Float64Array(size);
    for (let id = 0; id < size; id++) {
      const score = list[id];
      if (typeof score !== 'number') throw this.fail('scores', `score ${id} is not a number`);
      scores[id] = score;
    }
    return scores;
  }

  bytes(key: string): Uint8Array | undefined {
    const list = this.list(key);
    return list && Uint8Array.from(list as ArrayLike<number>, Number);
  }

  merges(vocabulary: Vocabulary): MergeTable {
    const isNone = (i: number) => `entry ${i} is not two tokens and a space`;
    const list = this.texts('merges', isNone);
    if (list === undefined) throw this.fail('merges', 'is not there');
    const { units, starts } = list instanceof TextList ? unitsOfList(list) : unitsOfTexts(list);
    const pairs = new Int32Array(list.length * 3);
    for (let i = 0; i < list.length; i++) {
      const [start, end] = [starts[i], starts[i + 1]];
      // The first part may itself begin with a space.
      let space = start + 1;
      while (space < end && units[space] !== SPACE) space++;
      if (space >= end) throw this.fail('merges', isNone(i));
      const left = vocabulary.lookupUnits(units, start, space);
      const right = vocabulary.lookupUnits(units, space + 1, end);
      const joined = left < 0 || right < 0 ? -1 : vocabulary.idOfJoined(left, right);
      if (joined < 0) {
        const merge = String.fromCharCode(...units.subarray(start, Math.min(end, start + 40)));
        const shown = end - start > 40 ? `${merge}…` : merge;
        throw this.fail('merges', `entry ${i}, "${shown}", names tokens that the vocabulary does not have`);
      }
      pairs[i * 3] = left;
      pairs[i * 3 + 1] = right;
      pairs[i * 3 + 2] = joined;
    }
    return new MergeTable(pairs);
  }

  /** Control and unknown tokens are special; user-defined ones are found in every text. */
  added(): AddedToken[] {
    const types = this.list('token_type');
    if (types === undefined) return [];
    if (types.length !== this.names.length) {
      throw this.fail('token_type', `has ${types.length} entries for ${this.names.length} tokens`);
    }
    const added: AddedToken[] = [];
    for (let id = 0; id < types.length; id++) {
      const type = types[id];
      if (type !== CONTROL && type !== UNKNOWN && type !== USER_DEFINED) continue;
      const content = this.nameOf(id);
      if (content.length === 0) continue;
      added.push({
        id,
        content,
        special: type !== USER_DEFINED,
        singleWord: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
      });
    }
    return added;
  }

  /** Ids with roles; `defaults` are those of the kind of vocabulary, where the file is silent and they exist. */
  special(defaults: SpecialIds): SpecialIds {
    const ids: Record<string, number> = {};
    for (const [role, key] of [
      ['bos', 'bos_token_id'],
      ['eos', 'eos_token_id'],
      ['unk', 'unknown_token_id'],
      ['pad', 'padding_token_id'],
      ['eot', 'eot_token_id'],
    ] as const) {
      const value = this.get(key);
      const fallback = defaults[role];
      if (value === undefined) {
        if (fallback !== undefined && fallback < this.names.length) ids[role] = fallback;
        continue;
      }
      const id = typeof value === 'bigint' ? Number(value) : value;
      // Writers mark an absent role by the largest 32-bit number.
      if (id === 0xffffffff) continue;
      if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= this.names.length) {
        throw this.fail(key, `is ${String(value).slice(0, 40)}, not an id from 0 to ${this.names.length - 1}`);
      }
      ids[role] = id;
    }
    return ids;
  }

  /** The tokens around a text: what the file says, else the way of its kind. */
  edges(special: SpecialIds, begins: boolean, ends: boolean) {
    const edge = (key: string, byDefault: boolean, role: 'bos' | 'eos'): number => {
      const said = this.flag(key);
      const id = special[role];
      if (said === true && id === undefined) throw this.fail(key, `is true, but the file names no ${role} token`);
      return (said ?? byDefault) ? (id ?? -1) : -1;
    };
    return edgeTemplate(edge('add_bos_token', begins, 'bos'), edge('add_eos_token', ends, 'eos'));
  }
}
