/** Text on disk to training data: read, tokenised once into a cache, split and ready for batches of any corpus size. */
import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import { SettingError } from '../errors.ts';
import type { Tokenizer } from '../tokenizers/index.ts';
import {
  assembleCorpus,
  type Corpus,
  checkSplit,
  type SplitOptions,
  type SplitSource,
  splitByTokens,
  wholeText,
} from '../training/data/corpus.ts';
import { safeCut } from '../training/data/documents.ts';
import { boundaryTokens, type TokeniseOptions } from '../training/data/tokenise.ts';
import { type CacheProgress, openTokens, tokenizerHash } from './corpus_cache.ts';
import { type CorpusSource, filesOf } from './corpus_files.ts';
import { documentsOf } from './corpus_readers.ts';
import { shardText } from './corpus_shards.ts';
import { hubSettings } from './hub_settings.ts';

export type { CacheProgress } from './corpus_cache.ts';
export { type CorpusFormat, type CorpusSource, corpusFormats } from './corpus_files.ts';

/** What is done with the data before the first step. */
export interface CorpusProgress extends CacheProgress {
  /** The source as it was named. */
  readonly source: string;
}

export interface CorpusOptions extends TokeniseOptions {
  /** Files, folders or globs; see `CorpusSource` for what can be said about each. */
  readonly sources: readonly (string | CorpusSource)[];
  readonly tokenizer: Tokenizer;
  /** How validation data is set apart from the sources. Not together with `validation`. */
  readonly split?: SplitOptions;
  /** Sources of their own for the validation data. */
  readonly validation?: readonly (string | CorpusSource)[];
  /** Where tokens are kept. Default: a folder for these sources in Inkstone's cache. */
  readonly cacheDir?: string;
  /** False trusts the content of the cached tokens and looks at sizes alone. Default true: their SHA-256 is checked. */
  readonly verify?: boolean;
  /** Tokens in a shard. Default 2^26. */
  readonly shardTokens?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CorpusProgress) => void;
}

/** A corpus on disk. */
export interface DiskCorpus extends Corpus {
  readonly cacheDir: string;
  /** What was read, with its SHA-256, in order. */
  readonly files: readonly { readonly path: string; readonly bytes: number; readonly sha256: string }[];
  /** Files of folders that were left out: no text by their name, or empty. */
  readonly skipped: readonly string[];
  /** SHA-256 of the tokenizer, and of the content of all files and how they are split: the same for the same run. */
  readonly hashes: { readonly tokenizer: string; readonly data: string };
  /** Closes the files. */
  close(): void;
}

/**
 * Opens a corpus. The first time, its sources are tokenised into `cacheDir`; later, when files, tokenizer and settings
 * are the same and nothing is damaged, the tokens are used as they are. Memory stays bounded whatever the size.
 * @throws NotFoundError, FileFormatError, SettingError for what is wrong with the sources; EnvironmentError when the
 *   cache cannot be written; InterruptedError.
 */
export async function openCorpus(options: CorpusOptions): Promise<DiskCorpus> {
  const { tokenizer, signal, verify = true, shardTokens } = options;
  const sources = options.sources.map(asSource);
  const validation = options.validation?.map(asSource);
  if (sources.length === 0) throw new SettingError('sources', '', 'name at least one file, folder or glob');
  if (validation !== undefined && options.split !== undefined) {
    throw new SettingError('split', options.split, 'cannot go together with validation data of its own');
  }
  for (const { weight } of validation ?? []) {
    if (weight !== undefined) throw new SettingError('weight', weight, 'has no meaning for validation data');
  }
  const split = validation ? checkSplit({ fraction: 0 }) : checkSplit(options.split ?? {});
  const { begin, end } = boundaryTokens(tokenizer, options);
  const hash = tokenizerHash(tokenizer);
  const cacheDir = options.cacheDir ?? defaultFolder(hash, [...sources, ...(validation ?? [])]);
  const opened: Awaited<ReturnType<typeof openTokens>>[] = [];
  const openOne = async (source: CorpusSource, name: string, byDocuments: boolean) => {
    const { files, skipped } = await filesOf(source);
    const tokens = await openTokens({
      folder: join(cacheDir, name),
      source,
      files,
      skipped,
      tokenizer,
      tokenizerHash: hash,
      boundaries: { begin, end },
      split: byDocuments ? split : undefined,
      verify,
      shardTokens,
      signal,
      onProgress: (progress) => options.onProgress?.({ source: source.path, ...progress }),
    });
    opened.push(tokens);
    return tokens;
  };
  const closers: (() => void)[] = [];
  const text = ({ folder, index }: (typeof opened)[number], name: 'shard' | 'train' | 'validation') => {
    const found = shardText(folder, index.sets[name]!, index.dtype);
    closers.push(() => found.source.close());
    return found;
  };
  const close = () => {
    for (const each of closers) each();
  };
  try {
    const parts: SplitSource[] = [];
    const byDocuments = split.by === 'documents' && split.fraction > 0;
    for (const [i, source] of sources.entries()) {
      const tokens = await openOne(source, `source-${number(i)}`, byDocuments);
      const unknown = Object.values(tokens.index.sets).reduce((sum, set) => sum + set.unknown, 0);
      const named = { name: source.path, weight: source.weight, unknown };
      if (byDocuments) {
        parts.push({
          ...named,
          train: wholeText(text(tokens, 'train')),
          validation: wholeText(text(tokens, 'validation')),
        });
      } else {
        const { train, validation } = splitByTokens(text(tokens, 'shard'), split.fraction, tokenizer, [begin, end]);
        parts.push({ ...named, train, validation: split.fraction > 0 ? validation : null });
      }
    }
    const own = [];
    for (const [i, source] of (validation ?? []).entries()) {
      own.push(wholeText(text(await openOne(source, `validation-${number(i)}`, false), 'shard')));
    }
    const corpus = assembleCorpus(parts, tokenizer, end, own);
    const files = opened.flatMap(({ index }) =>
      index.files.map(({ path, bytes, sha256 }) => ({ path, bytes, sha256 })),
    );
    const settings = opened.map(({ index }) => ({ text: index.text, files: index.files.map(({ sha256 }) => sha256) }));
    const weights = sources.map(({ weight }) => weight ?? null);
    const data = sha256(JSON.stringify({ settings, weights, split, begin, end, sources: sources.length }));
    const skipped = opened.flatMap((each) => each.index.skipped);
    return { ...corpus, cacheDir, files, skipped, hashes: { tokenizer: hash, data }, close };
  } catch (error) {
    close();
    throw error;
  }
}

export interface CorpusTextOptions {
  readonly sources: readonly (string | CorpusSource)[];
  readonly signal?: AbortSignal;
  /** Called with the number of bytes read since the last call. */
  readonly onBytes?: (count: number) => void;
}

/** Texts are at most about so long. */
const TEXT_UNITS = 1 << 20;

/**
 * The texts of sources in order, for the training of a tokenizer: one for each document, and several for one that is
 * longer than 2^20 UTF-16 units, cut before white space where there is any.
 */
export async function* corpusTexts(options: CorpusTextOptions): AsyncGenerator<string, void, void> {
  for (const source of options.sources.map(asSource)) {
    for (const file of (await filesOf(source)).files) {
      let text = '';
      for await (const parts of documentsOf(file, source, options)) {
        for (const part of parts) {
          text += part.text;
          while (text.length > TEXT_UNITS) {
            const cut = beforeSpace(text, TEXT_UNITS);
            yield text.slice(0, cut);
            text = text.slice(cut);
          }
          if (!part.end) continue;
          if (text.length > 0) yield text;
          text = '';
        }
      }
      if (text.length > 0) yield text;
    }
  }
}

/** A place at or before `at` between a word and the white space after it; `at` itself where there is none nearby. */
function beforeSpace(text: string, at: number): number {
  for (let i = at; i > at - 65_536 && i > 0; i--) {
    if (/\s/.test(text[i]) && /\S/.test(text[i - 1])) return i;
  }
  return safeCut(text, at);
}

const asSource = (source: string | CorpusSource): CorpusSource =>
  typeof source === 'string' ? { path: source } : source;
const number = (i: number) => String(i).padStart(5, '0');
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

/** The folder of the cache for these sources and this tokenizer. */
function defaultFolder(tokenizer: string, sources: readonly CorpusSource[]): string {
  const places = sources.map((source) => ({ ...source, path: resolve(source.path), weight: undefined }));
  return join(hubSettings().own, 'corpora', sha256(JSON.stringify([tokenizer, places])).slice(0, 16));
}
