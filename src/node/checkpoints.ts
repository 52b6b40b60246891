/**
 * Checkpoints of a run: `<run>/checkpoints/step-00000020/` is a Hugging Face directory with the optimiser's state, the loop's state and
 * a manifest. It is written under another name, flushed, and renamed when it is whole; a reader finds it whole or not at all. The run's
 * own folder holds the files of its best model.
 */
import { existsSync, readdirSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FileFormatError, SettingError } from '../errors.ts';
import { type DecoderConfig, parameterSpecs, parameterValues, readConfig } from '../models/index.ts';
import { modelTensors } from '../training/export.ts';
import type { TrainingStep } from '../training/step.ts';
import {
  type AsyncTensorToWrite,
  type JsonObject,
  readSafetensors,
  tensorBytes,
  toFloat32,
  writeSafetensorsAsync,
} from '../weights/index.ts';
import {
  type CheckpointFiles,
  codeOf,
  diskFiles,
  type FileFacts,
  replaceFile,
  writeError,
  writeHashed,
} from './checkpoint_files.ts';
import {
  checkFile,
  checkFiles,
  MANIFEST,
  type Manifest,
  manifestText,
  readManifest,
  seal,
  unseal,
} from './checkpoint_manifest.ts';
import { FileSource } from './file_source.ts';

/** What is saved besides the numbers of a step. */
export interface Snapshot {
  /** Steps done. */
  readonly step: number;
  /** The content of config.json; null where the decoder stays as it is and something beside it learns. */
  readonly config: Readonly<Record<string, unknown>> | null;
  /** The content of tokenizer.json. */
  readonly tokenizer: unknown | null;
  /** The content of tokenizer_config.json. */
  readonly tokenizerConfig?: unknown;
  /** The content of generation_config.json; the end token of config.json unless given. */
  readonly generation?: Readonly<Record<string, unknown>>;
  /** The loop's state, as JSON. */
  readonly trainer: Readonly<Record<string, unknown>>;
  /** What model.safetensors holds besides the decoder. */
  readonly tensors?: readonly AsyncTensorToWrite[];
  /** What else a user finds in the run's folder. */
  readonly beside?: readonly BesideFile[];
}

/** A file of text, or of tensors. */
export interface BesideFile {
  readonly name: string;
  readonly content: string | readonly AsyncTensorToWrite[];
}

export interface SaveOptions {
  /** Newest checkpoints that are kept; the best one is kept besides. At least 1. */
  readonly keep: number;
  /** Whether this is the best model of the run so far. A run of which nothing was ever said to be the best shows its last one. */
  readonly best: boolean;
  readonly files?: CheckpointFiles;
}

export interface FindOptions {
  /** Told of each checkpoint that is passed over. */
  readonly onDamaged?: (path: string, reason: string) => void;
  /** Only checkpoints of fewer steps. */
  readonly before?: number;
  readonly files?: CheckpointFiles;
}

/** A checkpoint of which every file is as it was written. */
export interface FoundCheckpoint {
  readonly path: string;
  readonly step: number;
  readonly trainer: Readonly<Record<string, unknown>>;
  /** Null where the decoder is not of the checkpoint. */
  readonly config: Readonly<Record<string, unknown>> | null;
  /**
   * Write parameters and optimiser state into a step. Nothing is written unless all of it fits.
   * @throws FileFormatError when the step is of another model or optimiser.
   */
  restore<B>(step: TrainingStep<B>): Promise<void>;
}

/** Which checkpoint the run's own folder shows. */
interface Best {
  readonly checkpoint: string;
  readonly step: number;
  /** Of its weights: model.safetensors, or what is learnt beside a model. */
  readonly model_sha256: string;
}

interface Listed {
  readonly name: string;
  readonly path: string;
  readonly manifest: Manifest;
}

const MODEL = 'model.safetensors';
const OPTIMIZER = 'optimizer.safetensors';
/** What learns and is no parameter of the decoder, under its names here. */
const LEARNED = 'learned.safetensors';
const TRAINER = 'trainer.json';
const BEST = 'best.json';
/** Files of a checkpoint that only a resumed run reads. */
const HIDDEN: readonly string[] = [OPTIMIZER, LEARNED, TRAINER, MANIFEST];
/** Names of what is on its way in, on its way out, and put aside while another takes its place. */
const WRITING = '.writing-';
const REMOVED = '.removed-';
const REPLACED = '.replaced-';

/** The folder of a run's checkpoints. */
export function checkpointFolder(run: string): string {
  return join(run, 'checkpoints');
}

/**
 * Save a step. No step may run meanwhile. The checkpoint exists when this is fulfilled; when it rejects, all that was saved before is as
 * it was.
 * @returns the checkpoint's folder.
 * @throws EnvironmentError for a full disk or a folder that cannot be written; SettingError when config.json is of another model.
 */
export async function saveCheckpoint<B>(
  run: string,
  step: TrainingStep<B>,
  snapshot: Snapshot,
  { keep, best, files = diskFiles }: SaveOptions,
): Promise<string> {
  if (snapshot.config) checkSameModel(step, snapshot.config);
  const folder = checkpointFolder(run);
  const name = `step-${String(snapshot.step).padStart(8, '0')}`;
  const path = join(folder, name);
  const beside = join(folder, WRITING + name);
  let exists = false;
  try {
    await files.makeFolder(folder);
    await removeLeftovers(run, files);
    const saved = 1 + Math.max(0, ...(await listCheckpoints(run)).map(({ manifest }) => manifest.saved));
    await files.makeFolder(beside);
    const manifest: Manifest = { step: snapshot.step, saved, files: await writeFiles(beside, step, snapshot, files) };
    await writeHashed(files, join(beside, MANIFEST), (sink) => sink.write(utf8(manifestText(manifest))));
    await files.syncFolder(beside);
    await putInPlace(folder, name, files);
    exists = true;
    if (best)
      await writeBest(
        folder,
        { checkpoint: name, step: snapshot.step, model_sha256: weightsOf(manifest).sha256 },
        files,
      );
    if (best || !existsSync(join(folder, BEST))) await show(run, path, manifest, files);
    await prune(run, keep, files);
    return path;
  } catch (error) {
    await files.remove(beside).catch(() => undefined);
    const what = exists
      ? `after checkpoint ${path} was saved`
      : `checkpoint of step ${snapshot.step} was not saved in ${folder}`;
    throw writeError(
      error,
      what,
      'All that was saved before is whole; make room or the folder writable, then resume the run',
    );
  }
}

/**
 * The newest whole checkpoint of a run, or null. What killed processes left behind is removed, and the files in the run's own folder are
 * put right where they are not those of the best model.
 */
export async function findCheckpoint(
  run: string,
  { onDamaged = () => {}, before = Number.POSITIVE_INFINITY, files = diskFiles }: FindOptions = {},
): Promise<FoundCheckpoint | null> {
  // A folder that cannot be written can still be read; saving will say what is wrong with it.
  await removeLeftovers(run, files).catch(() => undefined);
  for (const { path, manifest } of await listCheckpoints(run, onDamaged)) {
    if (manifest.step >= before) continue;
    const found = await openCheckpoint(path, manifest);
    if (typeof found === 'string') {
      onDamaged(path, found);
      continue;
    }
    await repairShown(run, path, manifest, files).catch(() => undefined);
    return found;
  }
  return null;
}

/** Checkpoints whose manifest is whole, newest first. */
async function listCheckpoints(run: string, onDamaged: FindOptions['onDamaged'] = () => {}): Promise<Listed[]> {
  const folder = checkpointFolder(run);
  const listed: Listed[] = [];
  for (const name of namesIn(folder).filter((entry) => /^step-\d{8,}$/.test(entry))) {
    const path = join(folder, name);
    const manifest = await readManifest(path);
    if (typeof manifest === 'string') onDamaged(path, manifest);
    else listed.push({ name, path, manifest });
  }
  return listed.sort((a, b) => b.manifest.saved - a.manifest.saved);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error))) return [];
    throw error;
  }
}

// ---- Writing

function checkSameModel<B>(step: TrainingStep<B>, config: Readonly<Record<string, unknown>>): void {
  const facts = (decoder: DecoderConfig) => JSON.stringify([parameterSpecs(decoder), decoder.ropes, decoder.norm]);
  const said = readConfig(config);
  if (said.model_type === step.config.model_type && facts(said) === facts(step.config)) return;
  throw new SettingError('config', said.model_type, 'describes another model than the one that is trained');
}

async function writeFiles<B>(
  folder: string,
  step: TrainingStep<B>,
  snapshot: Snapshot,
  files: CheckpointFiles,
): Promise<Record<string, FileFacts>> {
  const facts: Record<string, FileFacts> = {};
  const json: [string, unknown][] = [
    ['config.json', snapshot.config],
    ['generation_config.json', snapshot.generation ?? (snapshot.config && endTokens(snapshot.config))],
    ['tokenizer_config.json', snapshot.tokenizerConfig ?? null],
    ['tokenizer.json', snapshot.tokenizer],
    [TRAINER, snapshot.trainer],
  ];
  for (const [name, content] of json) {
    if (content === null) continue;
    const text = utf8(`${JSON.stringify(content, null, 2)}\n`);
    facts[name] = await writeHashed(files, join(folder, name), (sink) => sink.write(text));
  }
  const write = async (name: string, tensors: readonly AsyncTensorToWrite[]) => {
    facts[name] = await writeHashed(files, join(folder, name), (sink) => writeSafetensorsAsync(sink, tensors));
  };
  if (snapshot.config)
    await write(MODEL, [...modelTensors(step.config, (name) => step.read(name)), ...(snapshot.tensors ?? [])]);
  for (const { name, content } of snapshot.beside ?? []) {
    if (typeof content !== 'string') await write(name, content);
    else facts[name] = await writeHashed(files, join(folder, name), (sink) => sink.write(utf8(content)));
  }
  const raw = ([name, shape]: NamedShape): AsyncTensorToWrite => ({
    name,
    type: 'f32',
    shape,
    async *data() {
      const values = await step.read(name);
      yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    },
  });
  const learned = besideDecoder(step, snapshot.config !== null);
  if (learned.length > 0) await write(LEARNED, learned.map(raw));
  await write(OPTIMIZER, optimizerState(step).map(raw));
  return facts;
}

type NamedShape = readonly [name: string, shape: readonly number[]];

/** Buffers of the optimiser: all state but the parameters. */
function optimizerState<B>(step: TrainingStep<B>): NamedShape[] {
  const parameters = new Set(step.specs.map(({ name }) => name));
  return [...step.state].filter(([name]) => !parameters.has(name)).map(([name, { shape }]) => [name, shape]);
}

/** What learns and is not in the decoder's own file: all of it, where there is no such file. */
function besideDecoder<B>(step: TrainingStep<B>, hasDecoder: boolean): NamedShape[] {
  const inDecoder = new Set(hasDecoder ? parameterSpecs(step.config).map(({ name }) => name) : []);
  return step.specs.filter(({ name }) => !inDecoder.has(name)).map(({ name, shape }) => [name, shape]);
}

/** The weights that a user looks for, by which checkpoints are told apart. */
function weightsOf(manifest: Manifest): FileFacts & { readonly name: string } {
  const weights = shownFiles(manifest).filter((name) => name.endsWith('.safetensors'));
  const name = weights.includes(MODEL) ? MODEL : (weights[0] ?? LEARNED);
  return { name, ...manifest.files[name] };
}

/** Files of the run's own folder, the weights last: once they are there, all of them are. */
function shownFiles({ files }: Manifest): string[] {
  const rank = (name: string) => (name === MODEL ? 2 : name.endsWith('.safetensors') ? 1 : 0);
  return Object.keys(files)
    .filter((name) => !HIDDEN.includes(name))
    .sort((a, b) => rank(a) - rank(b));
}

function endTokens(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const ids = ['bos_token_id', 'eos_token_id'].map((key) => [key, config[key]] as const);
  return Object.fromEntries(ids.filter(([, id]) => id !== undefined && id !== null));
}

/** A folder cannot be renamed over another: one of the same step steps aside first, and comes back should this be the end. */
async function putInPlace(folder: string, name: string, files: CheckpointFiles): Promise<void> {
  const [path, aside] = [join(folder, name), join(folder, REPLACED + name)];
  const occupied = existsSync(path);
  if (occupied) await files.rename(path, aside);
  try {
    await files.rename(join(folder, WRITING + name), path);
  } catch (error) {
    if (occupied) await files.rename(aside, path).catch(() => undefined);
    throw error;
  }
  await files.syncFolder(folder);
  if (occupied) await files.remove(aside);
}

/** Take up what a killed process left: half-written files go, a checkpoint that had stepped aside comes back. */
async function removeLeftovers(run: string, files: CheckpointFiles): Promise<void> {
  const folder = checkpointFolder(run);
  for (const name of namesIn(folder)) {
    if (name.startsWith(REPLACED) && !existsSync(join(folder, name.slice(REPLACED.length)))) {
      await files.rename(join(folder, name), join(folder, name.slice(REPLACED.length)));
    } else if ([WRITING, REMOVED, REPLACED].some((mark) => name.startsWith(mark))) {
      await files.remove(join(folder, name));
    }
  }
  for (const name of namesIn(run)) if (name.startsWith(WRITING)) await files.remove(join(run, name));
}

/** Remove all but the newest `keep` checkpoints and the best. Those without a whole manifest are of no use to anyone. */
async function prune(run: string, keep: number, files: CheckpointFiles): Promise<void> {
  const folder = checkpointFolder(run);
  const best = await readBest(folder);
  const listed = await listCheckpoints(run);
  const kept = new Set(
    listed
      .filter((entry, i) => i < Math.max(1, keep) || (best !== null && (best === 'damaged' || isBest(entry, best))))
      .map(({ name }) => name),
  );
  for (const name of namesIn(folder).filter((entry) => entry.startsWith('step-') && !kept.has(entry))) {
    // Renamed first: a folder that is half removed must not look like a checkpoint.
    await files.rename(join(folder, name), join(folder, REMOVED + name));
    await files.remove(join(folder, REMOVED + name));
  }
}

// ---- The run's own folder

/** Null where nothing was ever said to be the best. */
async function readBest(folder: string): Promise<Best | 'damaged' | null> {
  const path = join(folder, BEST);
  if (!existsSync(path)) return null;
  const body = unseal(await readFile(path, 'utf8').catch(() => ''));
  const sound = body && typeof body.checkpoint === 'string' && typeof body.model_sha256 === 'string';
  return sound ? (body as unknown as Best) : 'damaged';
}

async function writeBest(folder: string, best: Best, files: CheckpointFiles): Promise<void> {
  await replaceFile(files, join(folder, BEST), join(folder, WRITING + BEST), utf8(seal({ ...best } as JsonObject)));
  await files.syncFolder(folder);
}

function isBest({ name, manifest }: Listed, best: Best): boolean {
  return name === best.checkpoint && weightsOf(manifest).sha256 === best.model_sha256;
}

/** Make the run's own folder a Hugging Face directory of this checkpoint's model, file by file. */
async function show(run: string, path: string, manifest: Manifest, files: CheckpointFiles): Promise<void> {
  for (const name of shownFiles(manifest)) {
    const [from, to, beside] = [join(path, name), join(run, name), join(run, WRITING + name)];
    if (!name.endsWith('.safetensors')) {
      const content = await readFile(from);
      const now = await readFile(to).catch(() => null);
      if (!now?.equals(content)) await replaceFile(files, to, beside, content);
    } else if (!(await isSameFile(from, to))) {
      try {
        await files.link(from, beside);
      } catch (error) {
        if (codeOf(error) === 'ENOSPC') throw error;
        await files.copy(from, beside); // Not every disk has second names.
      }
      await files.rename(beside, to);
    }
  }
  await files.syncFolder(run);
}

async function isSameFile(a: string, b: string): Promise<boolean> {
  if (!existsSync(b)) return false;
  const [first, second] = await Promise.all([a, b].map((path) => stat(path, { bigint: true })));
  return first.ino !== 0n && first.ino === second.ino && first.dev === second.dev;
}

/** After damage or a kill: show the best model where it is whole, else the one that was found. */
async function repairShown(run: string, path: string, manifest: Manifest, files: CheckpointFiles): Promise<void> {
  const folder = checkpointFolder(run);
  const shownName = weightsOf(manifest).name;
  const isShown = async (sha256: string, size: number) => !(await checkFile(run, shownName, { sha256, size }));
  const best = await readBest(folder);
  if (best !== null) {
    for (const entry of await listCheckpoints(run)) {
      const { size, sha256 } = weightsOf(entry.manifest);
      // Where best.json is damaged the shown weights tell which one it named.
      const isIt = best === 'damaged' ? await isShown(sha256, size) : isBest(entry, best);
      if (!isIt || (await checkFiles(entry.path, entry.manifest))) continue;
      if (best === 'damaged') {
        await writeBest(folder, { checkpoint: entry.name, step: entry.manifest.step, model_sha256: sha256 }, files);
      }
      return show(run, entry.path, entry.manifest, files);
    }
    // The best one may have left the checkpoints (the run went back and came by again), and its weights are shown all the same.
    const shown = join(run, shownName);
    if (best !== 'damaged' && existsSync(shown) && (await isShown(best.model_sha256, (await stat(shown)).size))) return;
    await files.remove(join(folder, BEST));
  }
  await show(run, path, manifest, files);
}

// ---- Reading

async function openCheckpoint(path: string, manifest: Manifest): Promise<FoundCheckpoint | string> {
  const problem = await checkFiles(path, manifest);
  if (problem) return problem;
  const json = async (name: string) => JSON.parse(await readFile(join(path, name), 'utf8')) as Record<string, unknown>;
  const config = Object.hasOwn(manifest.files, MODEL) ? await json('config.json') : null;
  const trainer = await json(TRAINER);
  return { path, step: manifest.step, config, trainer, restore: (step) => restore(path, manifest, config, step) };
}

async function restore<B>(
  path: string,
  manifest: Manifest,
  config: Readonly<Record<string, unknown>> | null,
  step: TrainingStep<B>,
): Promise<void> {
  const opened = new Map<string, FileSource>();
  const open = (name: string) => {
    const source = new FileSource(join(path, name));
    opened.set(name, source);
    return readSafetensors(source);
  };
  try {
    const optimizer = open(OPTIMIZER);
    const learned = Object.hasOwn(manifest.files, LEARNED) ? open(LEARNED) : null;
    const values = config && parameterValues(open(MODEL), config, join(path, 'config.json'));
    const theirs = new Map(values?.specs.map(({ name, shape }) => [name, String(shape)]));
    for (const [name, { shape }] of learned?.tensors ?? []) theirs.set(name, String(shape));
    const differs = step.specs.find(({ name, shape }) => theirs.get(name) !== String(shape));
    if (differs || theirs.size !== step.specs.length) {
      const { name, shape } = differs ?? step.specs[0];
      const problem = `${name} is (${theirs.get(name) ?? 'absent'}) there and (${shape}) in the model to be trained`;
      throw new FileFormatError(
        join(path, config ? 'config.json' : LEARNED),
        '',
        problem,
        'Resume a run with the settings it was begun with',
      );
    }
    const state = optimizerState(step);
    for (const [name, shape] of state) {
      const entry = optimizer.tensors.get(name);
      if (entry?.type === 'f32' && String(entry.shape) === String(shape)) continue;
      throw otherOptimizer(
        path,
        `"${name}"`,
        entry ? `is ${entry.type} (${entry.shape}) instead of f32 (${shape})` : 'is missing',
      );
    }
    if (optimizer.tensors.size !== state.length) {
      throw otherOptimizer(path, '', `it holds ${optimizer.tensors.size} tensors where ${state.length} are wanted`);
    }
    for (const spec of values?.specs ?? []) step.write(spec.name, values!.read(spec));
    const raw = ({ tensors }: typeof optimizer, name: string, shape: readonly number[]) => {
      const size = shape.reduce((a, b) => a * b, 1);
      step.write(name, toFloat32('f32', tensorBytes(tensors.get(name)!), size));
    };
    for (const [name, shape] of besideDecoder(step, config !== null)) raw(learned!, name, shape);
    for (const [name, shape] of state) raw(optimizer, name, shape);
  } finally {
    for (const source of opened.values()) source.close();
  }
}

function otherOptimizer(path: string, where: string, problem: string): FileFormatError {
  return new FileFormatError(
    join(path, OPTIMIZER),
    where,
    problem,
    'The run was begun with another optimizer: resume it with that one',
  );
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
