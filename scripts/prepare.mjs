/** Brings a checkout to where it can run: the right Node, the dependencies of the lockfile, everything built. Only Node's own modules. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const say = (text) => process.stderr.write(`inkstone: ${text}\n`);

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  say(`Node ${process.versions.node} is too old: 20.19 or newer is needed`);
  process.exit(1);
}

function install() {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  const stamp = join(root, 'node_modules', '.inkstone-lock');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  say('installing dependencies (npm ci)');
  const npm = process.env.npm_execpath;
  const [command, args] = npm ? [process.execPath, [npm, 'ci']] : ['npm', ['ci']];
  const options = {
    cwd: root,
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    shell: !npm && process.platform === 'win32',
  };
  const { status, stderr, error } = spawnSync(command, args, options);
  if (status !== 0) {
    process.stderr.write(
      `${(stderr ?? '')
        .split('\n')
        .filter((line) => line.startsWith('npm error'))
        .slice(0, 4)
        .join('\n')}\n`,
    );
    say(`the dependencies could not be installed${error ? `: ${error.message}` : ''}`);
    process.exit(1);
  }
  writeFileSync(stamp, lock);
}

export async function prepare() {
  checkNode();
  install();
  const { build } = await import('./build.mjs');
  await build();
}
