/** One process at a time, by a file that only one can create: src/node/lock.ts once more, for scripts that run before there is a build. */
import { open, readFile, rename, stat, unlink, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';

/** A lock whose holder has not touched it for so long is left over from a process that died. */
const STALE_MS = 20_000;
const TOUCH_MS = 4_000;
const POLL_MS = 200;

/**
 * Run `work` while holding the lock file `path` (its folder must exist), waiting for whoever holds it. After a wait things may have changed:
 * `work` has to look again.
 * @param waiting called once if somebody else holds it.
 */
export async function withLock(path, work, waiting = () => {}) {
  const owner = JSON.stringify({ pid: process.pid, host: hostname() });
  for (let tries = 0; !(await create(path, owner)); tries++) {
    if (await isStale(path)) await remove(path);
    else {
      if (tries === 0) waiting();
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
  const touching = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {});
  }, TOUCH_MS);
  touching.unref();
  try {
    return await work();
  } finally {
    clearInterval(touching);
    await unlink(path).catch(() => {});
  }
}

async function create(path, owner) {
  try {
    const file = await open(path, 'wx');
    await file.writeFile(owner).finally(() => file.close());
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

async function isStale(path) {
  try {
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs > STALE_MS) return true;
    const { pid, host } = JSON.parse(await readFile(path, 'utf8'));
    return host === hostname() && typeof pid === 'number' && pid !== process.pid && !isAlive(pid);
  } catch {
    return false; // Just released, or just being written: try again.
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Moved away first, so that of two processes that see it only one removes it. */
async function remove(path) {
  const away = `${path}.${process.pid}.stale`;
  await rename(path, away).catch(() => {});
  await unlink(away).catch(() => {});
}
