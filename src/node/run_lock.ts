/** One process writes to a run folder at a time, and others can tell whether one does. */
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { EnvironmentError } from '../errors.ts';

const LOCK = 'events.lock';

/** A process, so that another one under its number is not taken for it. */
interface Owner {
  readonly pid: number;
  readonly host: string;
  /** When it was started, in the system's own terms; null where the system does not say. */
  readonly born: string | null;
}

/** A writer on another machine that has written nothing for so long is taken for dead. */
const SILENT_MS = 600_000;

/** A lock that says nothing is just being written, unless it has done so for that long. */
const WRITING_MS = 250;

/** Take a run for this process; the answer gives it back. @throws EnvironmentError while another process has it. */
export function lockRun(dir: string): () => void {
  const path = join(dir, LOCK);
  const owner: Owner = { pid: process.pid, host: hostname(), born: bornOf(process.pid) };
  for (let tries = 0; ; tries++) {
    try {
      writeFileSync(path, JSON.stringify(owner), { flag: 'wx' });
      let isOurs = true;
      return () => {
        // Given back once: by then it may be another's.
        if (isOurs) rmSync(path, { force: true });
        isOurs = false;
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const away = `${path}.${process.pid}.stale`;
    if (tries > 3 || isHeld(path, dir)) throw busy(dir, path);
    try {
      renameSync(path, away);
    } catch {
      continue; // Somebody else found it stale, too.
    }
    if (isHeld(away, dir)) {
      // Between the look and the move it was taken anew.
      renameSync(away, path);
      throw busy(dir, path);
    }
    rmSync(away, { force: true });
  }
}

function busy(dir: string, path: string): EnvironmentError {
  const owner = readOwner(path);
  const who = owner ? `process ${owner.pid} on ${owner.host}` : 'another process';
  return new EnvironmentError(
    `${dir} is being trained by ${who}: wait for it or end it. If there is none, delete ${path}`,
  );
}

function isHeld(path: string, dir: string): boolean {
  for (let waited = 0; waited < WRITING_MS; waited += 50) {
    const owner = readOwner(path);
    if (owner) return isAlive(owner, dir);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  }
  return false;
}

/** Whether a process writes to a run now. */
export function isBeingWritten(dir: string): boolean {
  const owner = readOwner(join(dir, LOCK));
  return owner !== null && isAlive(owner, dir);
}

function readOwner(path: string): Owner | null {
  try {
    const raw: unknown = JSON.parse(readFileSync(path, 'utf8').slice(0, 4096));
    if (!isObject(raw) || !Number.isSafeInteger(raw.pid) || (raw.pid as number) < 1 || typeof raw.host !== 'string')
      return null;
    return { pid: raw.pid as number, host: raw.host, born: typeof raw.born === 'string' ? raw.born : null };
  } catch {
    return null;
  }
}

function isAlive({ pid, host, born }: Owner, dir: string): boolean {
  if (host !== hostname()) {
    const last = Math.max(...['events.jsonl', LOCK].map((name) => changeOf(join(dir, name))));
    return last > Date.now() - SILENT_MS;
  }
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return born === null || born === bornOf(pid);
}

function changeOf(path: string): number {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return 0;
  }
}

/** On Linux: which start of the system, and how long after it. Numbers of processes return, in containers above all. */
function bornOf(pid: number): string | null {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    // The name, in brackets, may hold spaces; the start is field 22 of proc(5).
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\)/s, '').trim().split(' ');
    // A process that has ended, and that its parent has not asked about, is still listed.
    return fields[0] === 'Z' ? null : `${boot} ${fields[19]}`;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
