/** Brings a checkout to where it can run: the right Node, the dependencies of the lockfile, everything built. Only Node's own modules. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, inTurn, isBuilt } from './build.mjs';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const say = (text) => process.stderr.write(`inkstone: ${text}\n`);

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  say(`Node ${process.versions.node} is too old: 20.19 or newer is needed`);
  process.exit(1);
}

const stamp = join(root, 'node_modules', '.inkstone-lock');

/** What the dependencies have to be, as one hash. */
function lockfileHash() {
  return createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
}

const isInstalled = () => existsSync(stamp) && readFileSync(stamp, 'utf8') === lockfileHash();

/** Install the dependencies of the lockfile. Answers whether that worked. */
async function install() {
  say('installing dependencies (npm ci)');
  const npm = process.env.npm_execpath;
  const [command, args] = npm ? [process.execPath, [npm, 'ci']] : ['npm', ['ci']];
  const shell = !npm && process.platform === 'win32';
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'ignore', 'pipe'], shell });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors += text;
  });
  const failure = await new Promise((resolve) => {
    child.on('error', (error) => resolve(`: ${error.message}`));
    child.on('close', (code) => resolve(code === 0 ? null : ''));
  });
  if (failure === null) {
    writeFileSync(stamp, lockfileHash());
    return true;
  }
  const told = errors.split('\n').filter((line) => line.startsWith('npm error'));
  process.stderr.write(`${told.slice(0, 4).join('\n')}\n`);
  say(`the dependencies could not be installed${failure}`);
  return false;
}

/** Two first starts at once wait for each other; where nothing is to do nothing is locked or written. */
export async function prepare() {
  checkNode();
  if (isInstalled() && isBuilt()) return;
  const ready = await inTurn(async () => (isInstalled() || (await install())) && build());
  if (!ready) process.exit(1);
}
