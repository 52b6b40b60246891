/**
 * The cache of a source's tokens: a folder with shards and `index.json`, which says what they were made from. It is
 * written beside, moved into place file by file, and the index last: a folder without an index is made anew.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { EnvironmentError, FileFormatError, InkstoneError, SettingError } from '../errors.ts';
import type { Tokenizer } from '../tokenizers/index.ts';
import { isForValidation, type SplitOptions } from '../training/data/corpus.ts';
import type { DocumentParts } from '../training/data/documents.ts';
import { tokenise } from '../training/data/tokenise.ts';
import { hashFile } from './checksum.ts';
import type { CorpusFile, CorpusSource } from './corpus_files.ts';
import { checkInterrupted, documentsOf } from './corpus_readers.ts';
import { damageOf, type ShardFile, type ShardSet, ShardWriter, type TokenDtype } from './corpus_shards.ts';
import { writeFileAtomically } from './file_source.ts';
import { withLock } from './lock.ts';

export interface CacheProgress {
  /** Files are hashed, documents turned into tokens, tokens in the cache checked. `waiting`: another process works on it. */
  readonly phase: 'hash' | 'tokenise' | 'verify' | 'waiting';
  /** Bytes of files that are done, and of all. */
  readonly done: number;
  readonly total: number;
  /** Written so far. */
  readonly tokens: number;
  /** Why what is in the cache cannot be used, when it is made anew. */
  readonly reason?: string;
}

interface IndexedFile {
  readonly path: string;
  readonly bytes: number;
  /** Milliseconds since 1970; with the size it tells whether the file must be hashed again. */
  readonly modified: number;
  readonly sha256: string;
}

export interface CacheIndex {
  readonly format: typeof FORMAT;
  readonly version: typeof VERSION;
  readonly dtype: TokenDtype;
  readonly vocab_size: number;
  readonly tokenizer: string;
  readonly begin_token: number | null;
  readonly end_token: number | null;
  /** How the files were read. */
  readonly text: readonly {
    readonly format: string;
    readonly field: string | null;
    readonly separator: string | null;
  }[];
  /** Of a split by documents, which has `train` and `validation`; else null, and there is `shard`. */
  readonly split: { readonly fraction: number; readonly seed: number } | null;
  readonly files: readonly IndexedFile[];
  readonly skipped: readonly string[];
  readonly sets: Readonly<Partial<Record<SetName, ShardSet>>>;
}

type SetName = 'shard' | 'train' | 'validation';

const FORMAT = 'inkstone-tokens';
const VERSION = 1;
const INDEX = 'index.json';

export interface TokensRequest {
  readonly folder: string;
  readonly source: CorpusSource;
  readonly files: readonly CorpusFile[];
  readonly skipped: readonly string[];
  readonly tokenizer: Tokenizer;
  readonly tokenizerHash: string;
  readonly boundaries: { readonly begin: number | null; readonly end: number | null };
  /** Splits by documents while tokens are written. */
  readonly split: Required<SplitOptions> | undefined;
  readonly verify: boolean;
  readonly shardTokens: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (progress: CacheProgress) => void;
}

/** The tokens of a source: from the cache, or made anew. */
export async function openTokens(
  request: TokensRequest,
): Promise<{ readonly folder: string; readonly index: CacheIndex }> {
  const { folder, signal, onProgress } = request;
  try {
    await makeFolder(folder).catch((error: Error) => {
      throw new EnvironmentError(`the tokens cannot be kept in ${folder}: ${error.message}`);
    });
    const waiting = () => onProgress({ phase: 'waiting', done: 0, total: 0, tokens: 0 });
    const index = await withLock(join(folder, '.lock'), () => reuseOrMake(request), { signal, waiting });
    return { folder, index };
  } catch (error) {
    if (error instanceof InkstoneError) throw error;
    checkInterrupted(signal);
    if (!isOfDisk(error)) throw error;
    const isOfText = error.path !== undefined && !error.path.startsWith(folder);
    throw new EnvironmentError(isOfText ? error.message : `the tokens cannot be kept in ${folder}: ${error.message}`);
  }
}

/** A folder and those above it. (`mkdir` with `recursive` never comes back where the system says ENOENT, as in /proc.) */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeFolder(dirname(path));
    await mkdir(path).catch((again: NodeJS.ErrnoException) => {
      if (again.code !== 'EEXIST') throw again;
    });
  }
}

function isOfDisk(error: unknown): error is NodeJS.ErrnoException {
  const codes = [
    'ENOENT',
    'ENOSPC',
    'EDQUOT',
    'EACCES',
    'EPERM',
    'EROFS',
    'ENOTDIR',
    'EEXIST',
    'EIO',
    'EMFILE',
    'EFBIG',
  ];
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

async function reuseOrMake(request: TokensRequest): Promise<CacheIndex> {
  const { folder } = request;
  const known = await readIndex(folder);
  const files = await hashFiles(request, known?.files ?? []);
  const wanted = { ...settingsOf(request), files };
  const reason = known === undefined ? undefined : await reasonAgainst(known, wanted, request);
  if (known !== undefined && reason === undefined) return { ...known, files, skipped: request.skipped };
  return make(request, wanted, reason);
}

type Wanted = Omit<CacheIndex, 'sets'>;

function settingsOf(request: TokensRequest): Omit<Wanted, 'files'> {
  const { source, files, tokenizer, boundaries, split } = request;
  const formats = [...new Set(files.map(({ format }) => format))].sort();
  return {
    format: FORMAT,
    version: VERSION,
    dtype: tokenizer.vocabSize <= 65_536 ? 'uint16' : 'uint32',
    vocab_size: tokenizer.vocabSize,
    tokenizer: request.tokenizerHash,
    begin_token: boundaries.begin,
    end_token: boundaries.end,
    text: formats.map((format) => ({
      format,
      field: format === 'text' ? null : (source.text_field ?? 'text'),
      separator: format === 'text' ? (source.separator ?? null) : null,
    })),
    split: split === undefined ? null : { fraction: split.fraction, seed: split.seed },
    skipped: request.skipped,
  };
}

/** Size and time of each file, and its hash: known from the index where size and time are the same. */
async function hashFiles(request: TokensRequest, known: readonly IndexedFile[]): Promise<IndexedFile[]> {
  const { files, signal, onProgress } = request;
  const facts = await Promise.all(files.map(({ path }) => stat(path)));
  const fresh = files.map(({ path }, i) =>
    known.find((file) => file.path === path && file.bytes === facts[i].size && file.modified === facts[i].mtimeMs),
  );
  const total = facts.reduce((sum, { size }, i) => sum + (fresh[i] === undefined ? size : 0), 0);
  let done = 0;
  const result: IndexedFile[] = [];
  for (const [i, { path }] of files.entries()) {
    const { size, mtimeMs } = facts[i];
    const sha256 =
      fresh[i]?.sha256 ??
      (
        await hashFile(createHash('sha256'), path, signal, (count) => {
          done += count;
          onProgress({ phase: 'hash', done, total, tokens: 0 });
        })
      ).digest('hex');
    result.push({ path, bytes: size, modified: mtimeMs, sha256 });
  }
  return result;
}

/** Why the tokens in the cache are not those that are wanted; undefined when they are. */
async function reasonAgainst(known: CacheIndex, wanted: Wanted, request: TokensRequest): Promise<string | undefined> {
  const content = ({ files }: Wanted) => files.map(({ path, sha256 }) => ({ path, sha256 }));
  if (known.tokenizer !== wanted.tokenizer) return 'the tokenizer is another one';
  if (JSON.stringify(content(known)) !== JSON.stringify(content(wanted))) return 'the files have changed';
  for (const name of ['dtype', 'vocab_size', 'begin_token', 'end_token', 'text', 'split'] as const) {
    if (JSON.stringify(known[name]) !== JSON.stringify(wanted[name])) return `${name} has changed`;
  }
  const sets = Object.values(known.sets);
  const total = sets.reduce((sum, set) => sum + filesOfSet(set).reduce((all, { bytes }) => all + bytes, 0), 0);
  const tokens = sets.reduce((sum, set) => sum + set.tokens, 0);
  let done = 0;
  for (const set of sets) {
    const damage = await damageOf(request.folder, set, request.verify, {
      signal: request.signal,
      onBytes: (count) => {
        done += count;
        request.onProgress({ phase: 'verify', done, total, tokens });
      },
    });
    if (damage !== undefined) return damage;
  }
  return undefined;
}

async function make(request: TokensRequest, wanted: Wanted, reason: string | undefined): Promise<CacheIndex> {
  const { folder, source, files, tokenizer, boundaries, split, signal, onProgress } = request;
  const temporary = join(folder, 'making');
  // Under the lock, whatever is there was left by a process that died.
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary);
  const names: readonly SetName[] = split === undefined ? ['shard'] : ['train', 'validation'];
  const writers = new Map(
    names.map((name) => [name, new ShardWriter(temporary, name, wanted.dtype, request.shardTokens)] as const),
  );
  const total = wanted.files.reduce((sum, { bytes }) => sum + bytes, 0);
  let [done, tokens, document] = [0, 0, 0];
  const onBytes = (count: number) => {
    done += count;
    onProgress({ phase: 'tokenise', done: Math.min(done, total), total, tokens, reason });
  };
  try {
    const documents = concatenated(files, source, { signal, onBytes });
    for await (const piece of tokenise(documents, tokenizer, {
      begin_token: boundaries.begin,
      end_token: boundaries.end,
    })) {
      const name = split === undefined ? 'shard' : isForValidation(split, piece.document) ? 'validation' : 'train';
      writers.get(name)!.push(piece);
      tokens += piece.ids.length;
      document = piece.document;
      checkInterrupted(signal);
    }
    await refuseChanged(wanted.files);
    const sets = Object.fromEntries([...writers].map(([name, writer]) => [name, writer.finish()]));
    if (tokens === 0) {
      throw new FileFormatError(source.path, '', 'there is no text in it', 'Give a source with at least one document');
    }
    const index: CacheIndex = { ...wanted, sets };
    await moveIntoPlace(temporary, folder, index);
    return index;
  } catch (error) {
    // A text that the tokenizer refuses.
    if (!(error instanceof SettingError) || error.setting !== 'text') throw error;
    const where = `near document ${document + 1}`;
    throw new FileFormatError(source.path, where, error.message, 'Use a tokenizer that was trained on this text');
  } finally {
    for (const writer of writers.values()) writer.abandon();
    await rm(temporary, { recursive: true, force: true });
  }
}

async function* concatenated(
  files: readonly CorpusFile[],
  source: CorpusSource,
  options: Parameters<typeof documentsOf>[2],
): DocumentParts {
  for (const file of files) yield* documentsOf(file, source, options);
}

/** The hashes were taken before the text was read: a file that was written to in between has another content now. */
async function refuseChanged(files: readonly IndexedFile[]): Promise<void> {
  for (const { path, bytes, modified } of files) {
    const { size, mtimeMs } = await stat(path);
    if (size !== bytes || mtimeMs !== modified) {
      throw new FileFormatError(path, '', 'it changed while it was read', 'Start again when nobody writes to it');
    }
  }
}

const filesOfSet = (set: ShardSet): readonly ShardFile[] => [...set.shards, set.idx, set.marks];

async function moveIntoPlace(temporary: string, folder: string, index: CacheIndex): Promise<void> {
  await rm(join(folder, INDEX), { force: true });
  for (const name of await readdir(folder)) {
    if (/\.(bin|idx|marks)$/.test(name)) await rm(join(folder, name));
  }
  for (const name of await readdir(temporary)) await rename(join(temporary, name), join(folder, name));
  const bytes = new TextEncoder().encode(`${JSON.stringify(index, null, 2)}\n`);
  writeFileAtomically(join(folder, INDEX), (sink) => sink.write(bytes));
}

/** The index of a folder, or undefined where there is none that can be used. */
async function readIndex(folder: string): Promise<CacheIndex | undefined> {
  let index: unknown;
  try {
    index = JSON.parse(await readFile(join(folder, INDEX), 'utf8'));
  } catch {
    return undefined;
  }
  return isIndex(index) ? index : undefined;
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function isIndex(value: unknown): value is CacheIndex {
  if (!isRecord(value) || value.format !== FORMAT || value.version !== VERSION) return false;
  const width = value.dtype === 'uint16' ? 2 : value.dtype === 'uint32' ? 4 : 0;
  if (width === 0 || !Array.isArray(value.files) || !isRecord(value.sets)) return false;
  const names = Object.keys(value.sets).join();
  if (names !== (value.split === null ? 'shard' : 'train,validation')) return false;
  const areFiles = value.files.every(
    (file) => isRecord(file) && typeof file.path === 'string' && typeof file.sha256 === 'string' && isCount(file.bytes),
  );
  return areFiles && Object.values(value.sets).every((set) => isSet(set, width));
}

function isSet(set: unknown, width: number): boolean {
  if (!isRecord(set) || !Array.isArray(set.shards)) return false;
  const { tokens, documents, bytes, characters, unknown, shards, idx, marks } = set;
  if (![tokens, documents, bytes, characters, unknown].every(isCount)) return false;
  if (![...shards, idx, marks].every(isShardFile)) return false;
  const sizes = (shards as ShardFile[]).map((shard) => shard.bytes / width);
  const even = sizes.every(
    (size, i) => isCount(size) && size > 0 && (i === sizes.length - 1 ? size <= sizes[0] : size === sizes[0]),
  );
  const sum = sizes.reduce((all, size) => all + size, 0);
  return (
    even &&
    sum === tokens &&
    (idx as ShardFile).bytes === 8 * (documents as number) &&
    (marks as ShardFile).bytes % 24 === 0
  );
}

function isShardFile(value: unknown): value is ShardFile {
  if (!isRecord(value) || !isCount(value.bytes) || typeof value.sha256 !== 'string') return false;
  return typeof value.file === 'string' && /^(shard|train|validation)(-\d{5,}\.bin|\.idx|\.marks)$/.test(value.file);
}

/** A hash of all that decides what tokens a text becomes: the vocabulary, the roles of tokens, and some text encoded. */
export function tokenizerHash(tokenizer: Tokenizer): string {
  const hash = createHash('sha256');
  const tokens = Array.from({ length: tokenizer.vocabSize }, (_, id) => tokenizer.idToToken(id) ?? null);
  hash.update(JSON.stringify({ tokens, special: tokenizer.special, added: tokenizer.addedTokens }));
  for (const line of PROBE) hash.update(JSON.stringify(encoded(tokenizer, line)));
  return hash.digest('hex');
}

/** Null where the tokenizer refuses the text, as one of characters does that has no unknown token. */
function encoded(tokenizer: Tokenizer, text: string): number[] | null {
  try {
    return [...tokenizer.encodeIds(text, { add_special_tokens: false })];
  } catch (error) {
    if (error instanceof SettingError) return null;
    throw error;
  }
}

/** Text on which tokenizers differ: spaces, case, numbers, marks, scripts, forms of the same character. */
const PROBE = [
  " The  quick BROWN fox\tjumps,\r\n over\n\n  13 lazy dogs; 1234567 3.14e-10 don’t don't DON'T I'll",
  'naïve nai\u0308ve ﬁ Ⅳ ｆｕｌｌ　ｗｉｄｔｈ ①  … — “quoted” __init__(self): return x**2 // 7 != 0',
  '春江潮水连海平，海上明月共潮生。灩灩隨波千萬里 かなカナ 한국어 Ελληνικά Русский עברית العربية हिन्दी ไทย',
  '👩‍👩‍👧‍👦 🇫🇷 \u200b\ufeff\u00a0\u0085 <|endoftext|> <s> </s> <unk> [MASK] \u{10ffff}',
];
