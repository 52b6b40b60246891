/**
 * Tokenizers from tokenizer.json, the format of Hugging Face `tokenizers`. The file is a stranger's: whatever it says, the result is a
 * tokenizer or one FileFormatError that names the field.
 */
import { FileFormatError } from '../errors.ts';
import { isJsonObject, type JsonObject } from '../weights/json.ts';
import type { AddedToken } from './added-tokens.ts';
import { Bpe, hideByteNames } from './bpe.ts';
import { BYTE_TO_UNIT } from './bytes.ts';
import type { DecoderStep } from './decoders.ts';
import { MergeTable } from './merges.ts';
import type { Model } from './model.ts';
import * as normalizers from './normalizers.ts';
import { Pattern } from './pattern.ts';
import { PatternProblem } from './pattern-syntax.ts';
import * as pre from './pre-tokenizers.ts';
import { CharacterMap, precompiledByGrapheme } from './precompiled.ts';
import { bertTemplate, robertaTemplate, type Template, type TemplateItem } from './templates.ts';
import { type SpecialIds, Tokenizer, type TokenizerParts } from './tokenizer.ts';
import { Unigram } from './unigram.ts';
import { Vocabulary } from './vocabulary.ts';
import { WordLevel, WordPiece } from './word-models.ts';

/** GPT-2's rule for cutting text (Radford et al. 2019, encoder.py). */
export const GPT2_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** Ids beyond this, and steps nested deeper, are not those of a tokenizer. */
const LARGEST_ID = 16_000_000;
const DEEPEST = 32;
/** Every place of a text is compared with added tokens as far as they go. */
const LONGEST_ADDED = 4096;
const MOST_STEPS = 256;

export interface TokenizerJsonOptions {
  /** How errors call the file. */
  readonly file?: string;
  /** The content of tokenizer_config.json (or special_tokens_map.json): which tokens have roles. */
  readonly config?: unknown;
  /** Ids with roles, where the source names ids and not texts. */
  readonly special?: SpecialIds;
}

/**
 * A tokenizer from the text of a tokenizer.json.
 * @throws FileFormatError when it is not JSON, or naming the field that is wrong or not supported.
 */
export function tokenizerFromJsonText(text: string, options: TokenizerJsonOptions = {}): Tokenizer {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new FileFormatError(options.file ?? 'tokenizer.json', '', `is not JSON: ${(error as Error).message}`);
  }
  return tokenizerFromJson(json, options);
}

/**
 * What a fuzzer does with a tokenizer.json: reads it, encodes a short text and decodes the ids. Ends in nothing or in an
 * error of this project's own, whatever the text is.
 */
export function exerciseTokenizerJson(text: string): void {
  const tokenizer = tokenizerFromJsonText(text);
  const sample = "Hello  wörld, 123 <s> 你好!\n\t😀 don't";
  const { ids } = tokenizer.encode(sample, { parse_special: true });
  tokenizer.decode(ids);
  tokenizer.decode(tokenizer.encodeIds(sample), { skip_special_tokens: true });
  for (const id of ids.subarray(0, 8)) tokenizer.tokenBytes(id);
}

/** @throws FileFormatError naming the field that is wrong or not supported. */
export function tokenizerFromJson(json: unknown, options: TokenizerJsonOptions = {}): Tokenizer {
  return new Reader(options.file ?? 'tokenizer.json').tokenizer(json, options);
}

/**
 * A pre-tokenizer alone, from its JSON.
 * @param bytes true when the model takes the bytes of pieces itself, so that a ByteLevel step at the end only cuts.
 */
export function preTokenizerFromJson(json: unknown, file: string, bytes: boolean): pre.PreTokenizer | undefined {
  return new Reader(file).preTokenizer(json, 'pre_tokenizer', bytes);
}

class Reader {
  private depth = 0;
  private stepCount = 0;
  private added: readonly AddedToken[] = [];

  constructor(private readonly file: string) {}

  tokenizer(json: unknown, options: TokenizerJsonOptions): Tokenizer {
    const root = this.object(json, '');
    const modelJson = this.object(root.model, 'model');
    const preJson = root.pre_tokenizer ?? null;
    const type = modelJson.type ?? (modelJson.merges !== undefined ? 'BPE' : undefined);
    const bytes = type === 'BPE' && endsInBytes(preJson) && hasAllBytes(modelJson.vocab);
    const added = this.addedTokens(root.added_tokens);
    this.added = added;
    const model = this.guard(() => this.model(modelJson, type, bytes));
    const post = this.postProcessor(root.post_processor ?? null, 'post_processor');
    const parts: TokenizerParts = {
      model,
      normalizer: this.normalizer(root.normalizer ?? null, 'normalizer'),
      preTokenizer: this.preTokenizer(preJson, 'pre_tokenizer', bytes),
      addedTokens: added,
      template: post.template,
      trimOffsets: post.trimOffsets,
      decoder: root.decoder ? this.decoder(root.decoder, 'decoder') : [{ kind: 'join', between: ' ' }],
      asksForStart: root.normalizer != null && asksForStart(preJson),
      special: { ...namedIds(model, added, options.config), ...options.special },
    };
    const tokenizer = new Tokenizer(parts);
    for (const item of [...(post.template?.single ?? []), ...(post.template?.pair ?? [])]) {
      const beyond = item.kind === 'tokens' ? item.ids.find((id) => id >= tokenizer.vocabSize) : undefined;
      if (beyond !== undefined) {
        throw this.fail('post_processor', beyond, `is not an id from 0 to ${tokenizer.vocabSize - 1}`);
      }
    }
    return tokenizer;
  }

  // ---- models

  private model(json: JsonObject, type: unknown, bytes: boolean): Model {
    switch (type) {
      case 'BPE':
        return this.bpe(json, bytes);
      case 'Unigram':
        return this.unigram(json);
      case 'WordLevel': {
        const vocabulary = this.vocabulary(json.vocab);
        return new WordLevel(vocabulary, this.unknown(vocabulary, json.unk_token ?? '<unk>'));
      }
      case 'WordPiece': {
        const vocabulary = this.vocabulary(json.vocab);
        const unknown = this.unknown(vocabulary, json.unk_token ?? '[UNK]');
        const prefix = this.text(json.continuing_subword_prefix ?? '##', 'model.continuing_subword_prefix');
        const longest = this.count(json.max_input_chars_per_word ?? 100, 'model.max_input_chars_per_word');
        return new WordPiece(vocabulary, unknown, prefix, longest);
      }
      default:
        throw this.fail('model.type', type, 'is not one of BPE, Unigram, WordLevel, WordPiece');
    }
  }

  private bpe(json: JsonObject, bytes: boolean): Bpe {
    if (json.dropout) throw this.fail('model.dropout', json.dropout, 'makes encoding random, which is not supported');
    const vocabulary = this.vocabulary(json.vocab);
    const continuingPrefix = this.text(json.continuing_subword_prefix ?? '', 'model.continuing_subword_prefix');
    const endSuffix = this.text(json.end_of_word_suffix ?? '', 'model.end_of_word_suffix');
    const byteFallback = this.flag(json.byte_fallback ?? false, 'model.byte_fallback');
    const merges = this.merges(json.merges, vocabulary, continuingPrefix.length);
    if (byteFallback) hideByteNames(vocabulary);
    return new Bpe({
      vocabulary,
      merges,
      bytes,
      unknownId: json.unk_token == null ? -1 : this.unknown(vocabulary, json.unk_token),
      fuseUnknown: this.flag(json.fuse_unk ?? false, 'model.fuse_unk'),
      byteFallback,
      continuingPrefix: continuingPrefix || undefined,
      endSuffix: endSuffix || undefined,
      wholePieceFirst: this.flag(json.ignore_merges ?? false, 'model.ignore_merges'),
    });
  }

  private merges(json: unknown, vocabulary: Vocabulary, skip: number): MergeTable {
    const list = this.array(json, 'model.merges');
    const pairs = new Int32Array(list.length * 3);
    list.forEach((entry, i) => {
      let left: unknown;
      let right: unknown;
      if (typeof entry === 'string') {
        const space = entry.indexOf(' ');
        [left, right] = [entry.slice(0, space), entry.slice(space + 1)];
        if (space < 0) left = undefined;
      } else if (Array.isArray(entry) && entry.length === 2) [left, right] = entry;
      if (typeof left !== 'string' || typeof right !== 'string') {
        throw this.fail(`model.merges[${i}]`, entry, 'is not a pair of tokens');
      }
      const [a, b] = [vocabulary.idOf(left), vocabulary.idOf(right)];
      const joined = a < 0 || b < 0 ? -1 : vocabulary.idOfJoined(a, b, skip);
      if (joined < 0) throw this.fail(`model.merges[${i}]`, entry, 'names tokens that the vocabulary does not have');
      pairs.set([a, b, joined], i * 3);
    });
    return new MergeTable(pairs);
  }

  private unigram(json: JsonObject): Unigram {
    const list = this.array(json.vocab, 'model.vocab');
    const scores = new Float64Array(list.length);
    const tokens = list.map((entry, i) => {
      const [token, score] = Array.isArray(entry) ? entry : [];
      if (typeof token !== 'string' || typeof score !== 'number') {
        throw this.fail(`model.vocab[${i}]`, entry, 'is not a pair of a text and a score');
      }
      if (!Number.isFinite(score)) throw this.fail(`model.vocab[${i}]`, score, 'is no finite score');
      scores[i] = score;
      return token;
    });
    const unknownId = json.unk_id == null ? -1 : this.count(json.unk_id, 'model.unk_id');
    if (unknownId >= tokens.length) throw this.fail('model.unk_id', unknownId, `is not an id below ${tokens.length}`);
    const byteFallback = this.flag(json.byte_fallback ?? false, 'model.byte_fallback');
    const vocabulary = new Vocabulary(tokens);
    if (byteFallback) hideByteNames(vocabulary);
    return new Unigram({ vocabulary, scores, unknownId, byteFallback });
  }

  private vocabulary(json: unknown): Vocabulary {
    const entries = Object.entries(this.object(json, 'model.vocab'));
    const limit = Math.min(LARGEST_ID, entries.length * 16 + 100_000);
    let size = 0;
    for (const [token, id] of entries) {
      if (!Number.isInteger(id) || (id as number) < 0 || (id as number) >= limit) {
        throw this.fail(`model.vocab["${token.slice(0, 40)}"]`, id, `is not an id from 0 to ${limit - 1}`);
      }
      size = Math.max(size, (id as number) + 1);
    }
    const tokens = new Array<string | undefined>(size).fill(undefined);
    for (const [token, id] of entries) tokens[id as number] = token;
    return new Vocabulary(tokens);
  }

  private unknown(vocabulary: Vocabulary, token: unknown): number {
    const name = this.text(token, 'model.unk_token');
    const known = vocabulary.idOf(name);
    const id = known >= 0 ? known : (this.added.find(({ content }) => content === name)?.id ?? -1);
    if (id < 0) throw this.fail('model.unk_token', token, 'is not in the vocabulary');
    return id;
  }

  // ---- text to pieces

  private normalizer(json: unknown, at: string): normalizers.Normalizer | undefined {
    if (json === null) return undefined;
    const step = this.object(json, at);
    switch (step.type) {
      case 'Sequence':
        return normalizers.sequence(
          this.steps(step.normalizers, `${at}.normalizers`, (s, where) => this.normalizer(s, where)!),
        );
      case 'NFC':
      case 'NFD':
      case 'NFKC':
      case 'NFKD':
        return normalizers.unicodeForm(step.type);
      case 'Lowercase':
        return normalizers.lowercase;
      case 'Strip':
        return normalizers.strip(this.flag(step.strip_left ?? true, at), this.flag(step.strip_right ?? true, at));
      case 'StripAccents':
        return normalizers.stripAccents;
      case 'Nmt':
        return normalizers.nmt;
      case 'ByteLevel':
        return normalizers.byteAlphabet;
      case 'Prepend':
        return normalizers.prepend(this.text(step.prepend, `${at}.prepend`));
      case 'Replace': {
        const content = this.text(step.content, `${at}.content`);
        const pattern = this.pattern(step.pattern, `${at}.pattern`);
        return typeof pattern === 'string'
          ? normalizers.replaceText(pattern, content)
          : normalizers.replacePattern(pattern, content);
      }
      case 'Precompiled':
        return this.precompiled(step.precompiled_charsmap, `${at}.precompiled_charsmap`);
      case 'BertNormalizer': {
        const lowercase = this.flag(step.lowercase ?? true, `${at}.lowercase`);
        return normalizers.bert({
          cleanText: this.flag(step.clean_text ?? true, `${at}.clean_text`),
          handleChineseChars: this.flag(step.handle_chinese_chars ?? true, `${at}.handle_chinese_chars`),
          stripAccents: this.flag(step.strip_accents ?? lowercase, `${at}.strip_accents`),
          lowercase,
        });
      }
      default:
        throw this.fail(`${at}.type`, step.type, 'is not a normalizer that is known here');
    }
  }

  private precompiled(json: unknown, at: string): normalizers.Normalizer | undefined {
    if (json === null || json === '') return (text) => text;
    const text = this.text(json, at);
    try {
      return precompiledByGrapheme(new CharacterMap(Uint8Array.from(atob(text), (char) => char.charCodeAt(0))));
    } catch (error) {
      throw this.fail(at, text, `is not a character map: ${(error as Error).message}`);
    }
  }

  preTokenizer(json: unknown, at: string, bytes: boolean): pre.PreTokenizer | undefined {
    if (json === null) return undefined;
    const step = this.object(json, at);
    switch (step.type) {
      case 'Sequence':
        return pre.sequence(
          this.steps(
            step.pretokenizers,
            `${at}.pretokenizers`,
            (s, where, isLast) => this.preTokenizer(s, where, bytes && isLast)!,
          ),
        );
      case 'ByteLevel': {
        const steps: pre.PreTokenizer[] = [];
        if (this.flag(step.add_prefix_space ?? true, `${at}.add_prefix_space`)) steps.push(pre.addPrefixSpace);
        if (this.flag(step.use_regex ?? true, `${at}.use_regex`)) {
          steps.push(pre.split(pre.findPattern(new Pattern(GPT2_PATTERN)), 'Isolated'));
        }
        if (!bytes) steps.push(pre.toByteAlphabet);
        return pre.sequence(steps);
      }
      case 'Metaspace': {
        const mark = this.character(step.replacement ?? '▁', `${at}.replacement`);
        const scheme = this.prependScheme(step, at);
        return pre.metaspace(mark, scheme, this.flag(step.split ?? true, `${at}.split`));
      }
      case 'Split': {
        const pattern = this.pattern(step.pattern, `${at}.pattern`);
        const find = typeof pattern === 'string' ? pre.findText(pattern) : pre.findPattern(pattern);
        return pre.split(
          find,
          this.behavior(step.behavior, `${at}.behavior`),
          this.flag(step.invert ?? false, `${at}.invert`),
        );
      }
      case 'Digits':
        return pre.digits(this.flag(step.individual_digits ?? false, `${at}.individual_digits`));
      case 'Whitespace':
        return pre.whitespace;
      case 'WhitespaceSplit':
        return pre.whitespaceSplit;
      case 'Punctuation':
        return pre.punctuation(this.behavior(step.behavior ?? 'Isolated', `${at}.behavior`));
      case 'BertPreTokenizer':
        return pre.bertPreTokenizer;
      case 'CharDelimiterSplit':
        return pre.split(pre.findText(this.text(step.delimiter, `${at}.delimiter`)), 'Removed');
      case 'FixedLength':
        return pre.fixedLength(Math.max(1, this.count(step.length ?? 5, `${at}.length`)));
      default:
        throw this.fail(`${at}.type`, step.type, 'is not a pre-tokenizer that is known here');
    }
  }

  private prependScheme(step: JsonObject, at: string): pre.PrependScheme {
    if (step.prepend_scheme === undefined) return this.flag(step.add_prefix_space ?? true, at) ? 'always' : 'never';
    const scheme = step.prepend_scheme;
    if (scheme === 'always' || scheme === 'first' || scheme === 'never') return scheme;
    throw this.fail(`${at}.prepend_scheme`, scheme, 'is not always, first or never');
  }

  private behavior(json: unknown, at: string): pre.SplitBehavior {
    const known = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const;
    const behavior = known.find((name) => name === json);
    if (!behavior) throw this.fail(at, json, `is not one of ${known.join(', ')}`);
    return behavior;
  }

  private pattern(json: unknown, at: string): string | Pattern {
    const object = this.object(json, at);
    if (typeof object.String === 'string') return object.String;
    const source = this.text(object.Regex, `${at}.Regex`);
    return this.guard(() => new Pattern(source), `${at}.Regex`);
  }

  // ---- what stands around the text, and back to text

  private postProcessor(json: unknown, at: string): Pick<TokenizerParts, 'template' | 'trimOffsets'> {
    if (json === null) return {};
    const step = this.object(json, at);
    switch (step.type) {
      case 'Sequence': {
        const parts = this.steps(step.processors, `${at}.processors`, (s, where) => this.postProcessor(s, where));
        if (parts.filter((part) => part.template !== undefined).length > 1) {
          throw this.fail(at, json, 'has more than one template');
        }
        return Object.assign(
          {},
          ...parts.map((part) => Object.fromEntries(Object.entries(part).filter(([, v]) => v !== undefined))),
        );
      }
      case 'ByteLevel':
        if (!this.flag(step.trim_offsets ?? true, `${at}.trim_offsets`)) return {};
        return { trimOffsets: { addPrefixSpace: this.flag(step.add_prefix_space ?? true, `${at}.add_prefix_space`) } };
      case 'TemplateProcessing':
        return { template: this.template(step, at) };
      case 'BertProcessing':
        return { template: bertTemplate(this.namedId(step.cls, `${at}.cls`), this.namedId(step.sep, `${at}.sep`)) };
      case 'RobertaProcessing': {
        const template = robertaTemplate(this.namedId(step.cls, `${at}.cls`), this.namedId(step.sep, `${at}.sep`));
        if (!this.flag(step.trim_offsets ?? true, `${at}.trim_offsets`)) return { template };
        return { template, trimOffsets: { addPrefixSpace: this.flag(step.add_prefix_space ?? true, at) } };
      }
      default:
        throw this.fail(`${at}.type`, step.type, 'is not a post-processor that is known here');
    }
  }

  private namedId(json: unknown, at: string): number {
    const id = Array.isArray(json) ? json[1] : undefined;
    return this.count(id, at);
  }

  private template(step: JsonObject, at: string): Template {
    const tokens = this.object(step.special_tokens ?? {}, `${at}.special_tokens`);
    const items = (json: unknown, where: string): TemplateItem[] =>
      this.array(json, where).map((entry, i) => {
        const item = this.object(entry, `${where}[${i}]`);
        if (item.Sequence !== undefined) {
          const sequence = this.object(item.Sequence, `${where}[${i}].Sequence`);
          if (sequence.id !== 'A' && sequence.id !== 'B')
            throw this.fail(`${where}[${i}].Sequence.id`, sequence.id, 'is not A or B');
          return { kind: 'text', which: sequence.id, type: this.count(sequence.type_id ?? 0, where) };
        }
        const special = this.object(item.SpecialToken, `${where}[${i}].SpecialToken`);
        const name = this.text(special.id, `${where}[${i}].SpecialToken.id`);
        const token = this.object(
          Object.hasOwn(tokens, name) ? tokens[name] : undefined,
          `${at}.special_tokens["${name.slice(0, 40)}"]`,
        );
        const ids = this.array(token.ids, `${at}.special_tokens`).map((id) => this.count(id, `${at}.special_tokens`));
        return { kind: 'tokens', ids, type: this.count(special.type_id ?? 0, where) };
      });
    const single = items(step.single, `${at}.single`);
    if (single.some((item) => item.kind === 'text' && item.which === 'B')) {
      throw this.fail(`${at}.single`, step.single, 'names a second text');
    }
    return { single, pair: items(step.pair, `${at}.pair`) };
  }

  private decoder(json: unknown, at: string): DecoderStep[] {
    const step = this.object(json, at);
    switch (step.type) {
      case 'Sequence':
        return this.steps(step.decoders, `${at}.decoders`, (s, where) => this.decoder(s, where)).flat();
      case 'ByteLevel':
        return [{ kind: 'byte-level' }];
      case 'ByteFallback':
        return [{ kind: 'byte-fallback' }];
      case 'Fuse':
        return [{ kind: 'fuse' }];
      case 'Strip':
        return [
          {
            kind: 'strip',
            content: this.character(step.content ?? ' ', `${at}.content`),
            start: this.count(step.start ?? 0, `${at}.start`),
            stop: this.count(step.stop ?? 0, `${at}.stop`),
          },
        ];
      case 'Replace':
        return [
          {
            kind: 'replace',
            pattern: this.pattern(step.pattern, `${at}.pattern`),
            content: this.text(step.content, `${at}.content`),
          },
        ];
      case 'Metaspace': {
        const mark = this.character(step.replacement ?? '▁', `${at}.replacement`);
        return [{ kind: 'metaspace', mark, dropsFirst: this.prependScheme(step, at) !== 'never' }];
      }
      case 'WordPiece':
        return [
          {
            kind: 'word-piece',
            prefix: this.text(step.prefix ?? '##', `${at}.prefix`),
            cleanup: this.flag(step.cleanup ?? true, `${at}.cleanup`),
          },
        ];
      case 'BPEDecoder':
        return [{ kind: 'suffix', suffix: this.text(step.suffix ?? '</w>', `${at}.suffix`) }];
      case 'CTC':
        return [
          {
            kind: 'ctc',
            pad: this.text(step.pad_token ?? '<pad>', `${at}.pad_token`),
            delimiter: this.text(step.word_delimiter_token ?? '|', `${at}.word_delimiter_token`),
            cleanup: this.flag(step.cleanup ?? true, `${at}.cleanup`),
          },
        ];
      default:
        throw this.fail(`${at}.type`, step.type, 'is not a decoder that is known here');
    }
  }

  private addedTokens(json: unknown): AddedToken[] {
    return this.array(json ?? [], 'added_tokens').map((entry, i) => {
      const at = `added_tokens[${i}]`;
      const token = this.object(entry, at);
      const id = this.count(token.id, `${at}.id`);
      const content = this.text(token.content, `${at}.content`);
      if (id > LARGEST_ID) throw this.fail(`${at}.id`, id, `is more than ${LARGEST_ID}`);
      if (content.length > LONGEST_ADDED)
        throw this.fail(`${at}.content`, content, `has more than ${LONGEST_ADDED} characters`);
      const special = this.flag(token.special ?? false, `${at}.special`);
      return {
        id,
        content,
        special,
        singleWord: this.flag(token.single_word ?? false, `${at}.single_word`),
        lstrip: this.flag(token.lstrip ?? false, `${at}.lstrip`),
        rstrip: this.flag(token.rstrip ?? false, `${at}.rstrip`),
        normalized: this.flag(token.normalized ?? !special, `${at}.normalized`),
      };
    });
  }

  // ---- checked values

  private steps<T>(json: unknown, at: string, read: (step: unknown, at: string, isLast: boolean) => T): T[] {
    if (++this.depth > DEEPEST) throw this.fail(at, json, `is nested more than ${DEEPEST} deep`);
    const list = this.array(json, at);
    this.stepCount += list.length;
    if (this.stepCount > MOST_STEPS) throw this.fail(at, json, `makes more than ${MOST_STEPS} steps in all`);
    const result = list.map((step, i) => read(this.object(step, `${at}[${i}]`), `${at}[${i}]`, i === list.length - 1));
    this.depth--;
    return result;
  }

  private object(json: unknown, at: string): JsonObject {
    if (!isJsonObject(json)) throw this.fail(at, json, 'is not an object');
    return json;
  }

  private array(json: unknown, at: string): readonly unknown[] {
    if (!Array.isArray(json)) throw this.fail(at, json, 'is not a list');
    return json;
  }

  private text(json: unknown, at: string): string {
    if (typeof json !== 'string') throw this.fail(at, json, 'is not a text');
    return json;
  }

  private character(json: unknown, at: string): string {
    const text = this.text(json, at);
    if (text.length === 0 || text.length !== String.fromCodePoint(text.codePointAt(0)!).length) {
      throw this.fail(at, json, 'is not one character');
    }
    return text;
  }

  private flag(json: unknown, at: string): boolean {
    if (typeof json !== 'boolean') throw this.fail(at, json, 'is not true or false');
    return json;
  }

  private count(json: unknown, at: string): number {
    if (!Number.isInteger(json) || (json as number) < 0 || (json as number) > 0x7fffffff) {
      throw this.fail(at, json, 'is not a whole number from 0 up');
    }
    return json as number;
  }

  /** Turn what parts say of their own input into an error about the file. */
  private guard<T>(make: () => T, at = 'model'): T {
    try {
      return make();
    } catch (error) {
      if (error instanceof PatternProblem || error instanceof RangeError) throw this.fail(at, '…', error.message);
      throw error;
    }
  }

  private fail(at: string, value: unknown, problem: string): FileFormatError {
    // Never the whole value: it may be as large, or nested as deep, as the file.
    let shown: string;
    if (typeof value === 'string') shown = JSON.stringify(value.slice(0, 40));
    else if (Array.isArray(value)) shown = `a list of ${value.length}`;
    else if (typeof value === 'object' && value !== null) shown = 'an object';
    else shown = value === undefined ? 'a missing value' : String(value);
    return new FileFormatError(this.file, at, `${shown} ${problem}`);
  }
}

/** Whether every byte has its character in the vocabulary: only then may pieces stay text until the model. */
function hasAllBytes(vocab: unknown): boolean {
  return (
    isJsonObject(vocab) && Array.from(BYTE_TO_UNIT).every((unit) => Object.hasOwn(vocab, String.fromCharCode(unit)))
  );
}

/** Whether some step is Metaspace with the scheme "first", which asks where the input begins. */
function asksForStart(json: unknown): boolean {
  if (!isJsonObject(json)) return false;
  if (Array.isArray(json.pretokenizers)) return json.pretokenizers.some(asksForStart);
  return json.prepend_scheme === 'first';
}

/** Whether the last pre-tokenizer writes pieces as bytes, so that the model may take the bytes itself. */
function endsInBytes(json: unknown): boolean {
  if (!isJsonObject(json)) return false;
  if (json.type === 'Sequence') return Array.isArray(json.pretokenizers) && endsInBytesLast(json.pretokenizers);
  return json.type === 'ByteLevel';
}

function endsInBytesLast(steps: readonly unknown[]): boolean {
  const last = steps.at(-1);
  return isJsonObject(last) && last.type === 'ByteLevel';
}

const roles = [
  ['bos', 'bos_token'],
  ['eos', 'eos_token'],
  ['unk', 'unk_token'],
  ['pad', 'pad_token'],
] as const;

/** The ids of the tokens that a tokenizer_config.json gives a role. */
function namedIds(model: Model, added: readonly AddedToken[], config: unknown): SpecialIds {
  const ids: Record<string, number> = {};
  if (isJsonObject(config)) {
    for (const [role, key] of roles) {
      const named = config[key];
      const text = isJsonObject(named) ? named.content : named;
      if (typeof text !== 'string') continue;
      const id = added.find(({ content }) => content === text)?.id ?? model.vocabulary.idOf(text);
      if (id >= 0) ids[role] = id;
    }
  }
  if (ids.unk === undefined && model.unknownId >= 0) ids.unk = model.unknownId;
  return ids;
}
