/** One process at a time, by a file that only one can create. */
import { open, readFile, rename, stat, unlink, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { sleep } from '../hub/retry.ts';

/** A lock whose holder has not touched it for so long is left over from a process that died. */
const STALE_MS = 20_000;
const TOUCH_MS = 4_000;
const POLL_MS = 200;

/**
 * Runs `work` while holding the lock file `path` (its folder must exist), waiting for whoever holds it.
 * @param waiting called once if somebody else holds it.
 */
export async function withLock<T>(
  path: string,
  work: () => Promise<T>,
  options: { signal?: AbortSignal; waiting?: () => void } = {},
): Promise<T> {
  const owner = JSON.stringify({ pid: process.pid, host: hostname() });
  for (let tries = 0; !(await create(path, owner)); tries++) {
    if (await isStale(path)) await remove(path);
    else {
      if (tries === 0) options.waiting?.();
      await sleep(POLL_MS, options.signal);
    }
  }
  const touching = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined);
  }, TOUCH_MS);
  touching.unref();
  try {
    return await work();
  } finally {
    clearInterval(touching);
    await unlink(path).catch(() => undefined);
  }
}

async function create(path: string, owner: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    await file.writeFile(owner).finally(() => file.close());
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

async function isStale(path: string): Promise<boolean> {
  try {
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs > STALE_MS) return true;
    const { pid, host } = JSON.parse(await readFile(path, 'utf8')) as { pid?: unknown; host?: unknown };
    return host === hostname() && typeof pid === 'number' && pid !== process.pid && !isAlive(pid);
  } catch {
    return false; // Just released, or just being written: try again.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Moves a stale lock away first, so that of two processes that see it only one removes it. */
async function remove(path: string): Promise<void> {
  const away = `${path}.${process.pid}.stale`;
  await rename(path, away).catch(() => undefined);
  await unlink(away).catch(() => undefined);
}
