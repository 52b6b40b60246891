/** Builds what is stale: TypeScript to dist/, C to build/native/. Prints one line for each thing it does, on stderr. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundleCommandLine } from './bundle.mjs';
import { filesUnder, hashFiles } from './hash.mjs';
import { withLock } from './lock.mjs';
import { buildNative, kernelsHash, nativeIsCurrent, root } from './native.mjs';

const say = (text) => process.stderr.write(`inkstone: ${text}\n`);
const dist = join(root, 'dist');
const pair = join(dist, '.kernels');
const isPaired = () => existsSync(pair) && readFileSync(pair, 'utf8') === kernelsHash();

/** What dist/ is made from, as one hash. */
function sourceHash() {
  const files = filesUnder(join(root, 'src'), (file) => /\.(ts|json)$/.test(file));
  const makers = ['tsconfig.json', 'package.json', 'scripts/build.mjs', 'scripts/bundle.mjs'];
  return hashFiles(root, [...files, ...makers.map((name) => join(root, name))]);
}

function isCurrent(hash) {
  const stamp = join(dist, '.stamp');
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === hash;
}

/**
 * Compile src/ to dist/. The new tree is made beside it and takes its place when it is whole: a program that starts meanwhile finds one or the
 * other, and files whose source is gone go with the old one. Answers whether it compiled.
 */
async function buildTypeScript(hash) {
  say('compiling TypeScript');
  // Whoever is here holds the lock: other trees are left from builds that were ended halfway.
  for (const name of readdirSync(join(root, 'build')))
    if (name.startsWith('dist.')) rmSync(join(root, 'build', name), { recursive: true, force: true });
  const next = join(root, 'build', `dist.${process.pid}`);
  const before = `${next}.before`;
  try {
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const { code, output } = await run([tsc, '-p', join(root, 'tsconfig.json'), '--outDir', next]);
    if (code !== 0) {
      process.stderr.write(output);
      say('TypeScript did not compile');
      return false;
    }
    try {
      await bundleCommandLine(next);
    } catch (error) {
      say(`the command line is not bundled, so it starts more slowly: ${String(error.message).split('\n')[0]}`);
    }
    writeFileSync(join(next, '.stamp'), hash);
    if (existsSync(dist)) renameSync(dist, before);
    renameSync(next, dist);
    return true;
  } finally {
    for (const folder of [next, before]) rmSync(folder, { recursive: true, force: true });
  }
}

/** Run a script of Node's; not in this thread, so that the lock can be kept alive. */
function run(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
  });
}

/** Whether a build would find nothing to do. */
export function isBuilt() {
  return isCurrent(sourceHash()) && nativeIsCurrent() && isPaired();
}

/** Do something that changes node_modules, dist or build, after whoever is at it in this checkout. */
export async function inTurn(work) {
  mkdirSync(join(root, 'build'), { recursive: true });
  return withLock(join(root, 'build', 'lock'), work, () => say('waiting for another start or build to end'));
}

/** Build what is stale; to be called in turn. Answers whether the TypeScript compiled. */
export async function build({ strict = false } = {}) {
  const hash = sourceHash();
  if (!isCurrent(hash) && !(await buildTypeScript(hash))) return false;
  const native = await buildNative({ say, strict });
  // What a native library has to be built from to be used: an older one that could not be replaced is not.
  if (!isPaired()) writeFileSync(pair, kernelsHash());
  if (native.state === 'none' && process.env.INKSTONE_QUIET !== '1') say(`using WebAssembly: ${native.reason}`);
  return true;
}

if (process.argv[1] && import.meta.url.endsWith(process.argv[1].replaceAll('\\', '/').split('/').at(-1))) {
  const compiled = await inTurn(() => build({ strict: process.argv.includes('--strict') }));
  if (!compiled) process.exitCode = 1;
}
