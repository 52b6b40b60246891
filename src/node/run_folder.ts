/**
 * Run folders: `<run>/run.json` says everything that it takes to repeat a run, `<run>/events.jsonl` what happened, an event a line.
 * One process writes at a time; a resumed run takes back the events that its checkpoint does not know of.
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { basename, join, resolve } from 'node:path';
import type { BackendInfo } from '../backends/backend.ts';
import { EnvironmentError, FileFormatError, NotFoundError, SettingError } from '../errors.ts';
import type { TrainingEvent } from '../training/events.ts';
import { machineMemory } from './memory.ts';
import { nativeStatus } from './native_addon.ts';
import { eventLines } from './run_events.ts';
import { isBeingWritten, lockRun } from './run_lock.ts';

const INFO = 'run.json';
const EVENTS = 'events.jsonl';

export interface MachineInfo {
  /** "linux x64". */
  readonly system: string;
  readonly processor: string;
  readonly cores: number;
  /** Bytes. */
  readonly memory: number;
  readonly node: string;
  readonly backend: string;
  /** The backend's instruction set. */
  readonly variant: string;
  readonly threads: number;
}

export interface RunData {
  readonly name: string;
  /** Of the content, with the name of the function: "sha256:…". */
  readonly hash: string;
  readonly tokens?: number;
  readonly bytes?: number;
}

/** What a start of a run is begun with. */
export interface StartInfo {
  /** Steps done before it. */
  readonly step: number;
  readonly command: readonly string[];
  readonly version: string;
  readonly machine: MachineInfo;
}

export interface RunStart extends StartInfo {
  /** Seconds since 1970. */
  readonly time: number;
}

export interface RunDescription {
  readonly command: readonly string[];
  /** What the settings stand over: a preset, or the model that was trained on. */
  readonly preset: string | null;
  /** Every field of the configuration under its own name. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** What was asked for: what the settings follow from, and what a resumed run starts from. */
  readonly request: Readonly<Record<string, unknown>>;
  readonly data: readonly RunData[];
  readonly seed: number;
  readonly version: string;
  readonly machine: MachineInfo;
}

export interface RunInfo extends RunDescription {
  /** Seconds since 1970. */
  readonly created: number;
  readonly starts: readonly RunStart[];
}

export interface Run {
  /** The folder's name. */
  readonly name: string;
  readonly dir: string;
  readonly info: RunInfo;
  readonly events: readonly TrainingEvent[];
  /** Lines that were no events. */
  readonly damaged: number;
  /** Whether a process writes to it now. */
  readonly isRunning: boolean;
}

/** This machine, computing with a backend. */
export function machineInfo({ name, variant, threads }: BackendInfo): MachineInfo {
  return {
    system: `${process.platform} ${process.arch}`,
    processor: nativeStatus().addon?.processor() || cpus()[0]?.model.trim() || 'unknown',
    cores: availableParallelism(),
    memory: machineMemory(),
    node: process.version,
    backend: name,
    variant,
    threads,
  };
}

/** Whether a folder holds a run. */
export function isRun(dir: string): boolean {
  return existsSync(join(dir, INFO));
}

/**
 * Begin a run in a folder, which is made where it is not there; files of others in it stay.
 * @throws SettingError where it holds a run already.
 */
export function createRun(dir: string, description: RunDescription): RunInfo {
  if (isRun(dir))
    throw new SettingError('out', dir, 'holds a run already: go on with it by --resume, or name another folder');
  mkdirSync(dir, { recursive: true });
  const info: RunInfo = { ...description, created: Date.now() / 1000, starts: [] };
  writeInfo(dir, info);
  return info;
}

/** Appends events, each in one write: a reader sees whole lines but for the last. */
export interface EventWriter {
  /** Events of checkpoints and ends are on the disk when it returns. @throws EnvironmentError if the disk refuses; nothing is torn. */
  append(event: TrainingEvent): void;
  close(): void;
}

/**
 * Begin a start of a run: enters it into run.json, takes back the events after its step, and opens the rest for more. A run that went
 * back (a `rollback`) has steps twice; what is kept ends at the last event of a step that is not later.
 * @param taken gives back the run, where the caller has taken it already (`lockRun`); closing the writer calls it.
 * @throws EnvironmentError while another process writes to the run.
 */
export function appendEvents(dir: string, start: StartInfo, taken?: () => void): EventWriter {
  const info = readRunInfo(dir);
  const unlock = taken ?? lockRun(dir);
  try {
    const path = join(dir, EVENTS);
    let length = 0;
    for (const { event, end } of eventLines(path)) if (event && event.step <= start.step) length = end;
    const file = openSync(path, 'a');
    try {
      ftruncateSync(file, length);
      writeInfo(dir, { ...info, starts: [...info.starts, { ...start, time: Date.now() / 1000 }] });
      return new FileWriter(path, file, length, unlock);
    } catch (error) {
      closeSync(file);
      throw error;
    }
  } catch (error) {
    unlock();
    throw error;
  }
}

class FileWriter implements EventWriter {
  private isOpen = true;

  constructor(
    private readonly path: string,
    private readonly file: number,
    private length: number,
    private readonly unlock: () => void,
  ) {}

  append(event: TrainingEvent): void {
    if (!this.isOpen) return;
    const line = Buffer.from(`${JSON.stringify(event)}\n`);
    try {
      for (let done = 0; done < line.length; ) done += writeSync(this.file, line, done);
      if (event.type === 'checkpoint' || event.type === 'end') fdatasyncSync(this.file);
      this.length += line.length;
    } catch (error) {
      // Half a line would spoil the next one.
      ftruncateSync(this.file, this.length);
      throw new EnvironmentError(`${this.path}: an event could not be written: ${(error as Error).message}`);
    }
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    closeSync(this.file);
    this.unlock();
  }
}

/** run.json as far as it can be understood. @throws NotFoundError, FileFormatError. */
export function readRunInfo(dir: string): RunInfo {
  const path = join(dir, INFO);
  if (!existsSync(path)) throw new NotFoundError('run', dir, [`${path}: no such file`]);
  if (statSync(path).size > 1 << 24)
    throw new FileFormatError(path, '', 'larger than 16 MiB, so no description of a run');
  let raw: unknown;
  try {
    raw = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new FileFormatError(path, '', `no JSON: ${(error as Error).message.split('\n')[0]}`);
  }
  if (!isObject(raw)) throw new FileFormatError(path, '', 'no JSON object');
  const starts = (Array.isArray(raw.starts) ? raw.starts : []).filter(
    (start): start is RunStart => isObject(start) && typeof start.time === 'number' && typeof start.step === 'number',
  );
  return {
    command: texts(raw.command),
    preset: typeof raw.preset === 'string' ? raw.preset : null,
    settings: isObject(raw.settings) ? raw.settings : {},
    request: isObject(raw.request) ? raw.request : {},
    data: (Array.isArray(raw.data) ? raw.data : []).filter(
      (one): one is RunData => isObject(one) && typeof one.name === 'string' && typeof one.hash === 'string',
    ),
    seed: typeof raw.seed === 'number' ? raw.seed : Number.NaN,
    version: typeof raw.version === 'string' ? raw.version : '',
    machine: (isObject(raw.machine) ? raw.machine : {}) as unknown as MachineInfo,
    created: typeof raw.created === 'number' ? raw.created : Number.NaN,
    starts,
  };
}

/** A run with all its events. A torn last line, which a killed process leaves, is no damage. @throws NotFoundError, FileFormatError. */
export function readRun(dir: string): Run {
  const info = readRunInfo(dir);
  const events: TrainingEvent[] = [];
  let damaged = 0;
  for (const { event } of eventLines(join(dir, EVENTS))) {
    if (event) events.push(event);
    else damaged++;
  }
  return { name: basename(resolve(dir)), dir, info, events, damaged, isRunning: isBeingWritten(dir) };
}

/** The events of a run one by one, for those who need not keep them. */
export function* runEvents(dir: string): Generator<TrainingEvent, void, void> {
  for (const { event } of eventLines(join(dir, EVENTS))) if (event) yield event;
}

/** Folders that no search enters, and how many it looks at. */
const PASSED_OVER = new Set(['node_modules', 'checkpoints']);
const MOST_FOLDERS = 20_000;

/** The folders of runs in `root`, itself and `depth` levels of folders below it; in the order of their paths. */
export function listRuns(root: string, depth = 2): string[] {
  const found: string[] = [];
  let seen = 0;
  const visit = (dir: string, left: number): void => {
    if (isRun(dir)) {
      found.push(dir);
      return; // A run's folders are its own.
    }
    if (left === 0 || ++seen > MOST_FOLDERS) return;
    let names: string[];
    try {
      names = readdirSync(dir, { withFileTypes: true })
        .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
        .map(({ name }) => name)
        .filter((name) => !name.startsWith('.') && !PASSED_OVER.has(name));
    } catch {
      return; // Not a folder, or not ours to read.
    }
    for (const name of names.sort()) visit(join(dir, name), left - 1);
  };
  visit(root, depth);
  return found;
}

function writeInfo(dir: string, info: RunInfo): void {
  const path = join(dir, INFO);
  const next = `${path}.${process.pid}.new`;
  try {
    const file = openSync(next, 'w');
    try {
      writeFileSync(file, `${JSON.stringify(info, null, 2)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(next, path);
  } catch (error) {
    rmSync(next, { force: true });
    throw error;
  }
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
