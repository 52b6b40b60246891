/**
 * `npm run release`: the packages of a release, under build/release. For each platform the native kernels as a package that npm installs
 * where it fits (inkstone-linux-x64 …), compiled here for all of them by Zig's C compiler, and inkstone itself, which names them as
 * optional dependencies. Zig comes from PyPI: `python3 -m venv V && V/bin/pip install ziglang==0.16.0`.
 * Options: --target linux-x64 (may be repeated; all of them unless given), --out FOLDER. $ZIG names the command if it is not `python3 -m ziglang`.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { compileAddon, kernelsHash, root } from './native.mjs';

const ZIG_VERSION = '0.16.0';

/** Platforms with a package, and the target as Zig calls it: the oldest system that Node 20 runs on. */
export const TARGETS = {
  'linux-x64': { zig: 'x86_64-linux-gnu.2.28', libc: ['glibc'] },
  'linux-arm64': { zig: 'aarch64-linux-gnu.2.28', libc: ['glibc'] },
  'darwin-x64': { zig: 'x86_64-macos.11.0' },
  'darwin-arm64': { zig: 'aarch64-macos.11.0' },
  'win32-x64': { zig: 'x86_64-windows-gnu' },
};

const say = (text) => process.stderr.write(`inkstone: ${text}\n`);

/** The package.json of one platform's kernels; `about` is Inkstone's own. */
export function platformPackage(target, about) {
  const [os, cpu] = target.split('-');
  const { libc } = TARGETS[target];
  return {
    name: `${about.name}-${target}`,
    version: about.version,
    description: `The native kernels of Inkstone for ${target}.`,
    license: about.license,
    os: [os],
    cpu: [cpu],
    ...(libc ? { libc } : {}),
    main: 'inkstone.node',
    files: ['inkstone.node'],
    engines: about.engines,
  };
}

/** Inkstone's own package.json as it is released: with the platforms' packages, without what only a checkout needs. */
export function mainPackage(about) {
  const { devDependencies, scripts, ...rest } = about;
  const platforms = Object.keys(TARGETS).map((target) => [`${about.name}-${target}`, about.version]);
  return { ...rest, optionalDependencies: { ...about.optionalDependencies, ...Object.fromEntries(platforms) } };
}

/** Zig as a command with its first arguments. */
function findZig() {
  const given = process.env.ZIG?.split(' ').filter(Boolean);
  const tried = given
    ? [given]
    : [
        ['python3', '-m', 'ziglang'],
        ['python', '-m', 'ziglang'],
      ];
  for (const command of tried) {
    const { status, stdout } = spawnSync(command[0], [...command.slice(1), 'version'], { encoding: 'utf8' });
    if (status !== 0) continue;
    if (stdout.trim() === ZIG_VERSION) return command;
    say(`${command.join(' ')} is Zig ${stdout.trim()}, and ${ZIG_VERSION} is wanted`);
  }
  say(`Zig was not found: pip install ziglang==${ZIG_VERSION}, or name it with ZIG`);
  process.exit(1);
}

/** What node.exe offers, as a library to link against: Windows wants to know where each function comes from. */
function windowsImports(zig, folder) {
  const { def_paths: paths } = createRequire(import.meta.url)('node-api-headers');
  const names = Object.values(paths).flatMap((path) =>
    readFileSync(path, 'utf8')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line && !/^(NAME|LIBRARY|EXPORTS)\b/.test(line)),
  );
  const definition = join(folder, 'node.def');
  const library = join(folder, 'node.lib');
  writeFileSync(definition, `NAME node.exe\nEXPORTS\n${names.join('\n')}\n`);
  const args = [...zig.slice(1), 'dlltool', '-m', 'i386:x86-64', '-d', definition, '-l', library];
  const { status, stderr } = spawnSync(zig[0], args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`dlltool: ${stderr.trim()}`);
  return library;
}

function writePackage(folder, about) {
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(about, null, 2)}\n`);
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
}

/** Compile one platform's kernels and put its package together in `folder`, whole or not at all. */
async function buildPlatform(target, { zig, folder, about, hash }) {
  const [platform, arch] = target.split('-');
  const beside = `${folder}.part`;
  const libraries = `${folder}.link`;
  for (const path of [beside, libraries]) {
    rmSync(path, { recursive: true, force: true });
    mkdirSync(path, { recursive: true });
  }
  try {
    await compileAddon({
      compiler: { command: [...zig, 'cc', '-target', TARGETS[target].zig] },
      target: join(beside, 'inkstone.node'),
      platform,
      arch,
      all: true,
      hash,
      link: ['-s', ...(platform === 'win32' ? [windowsImports(zig, libraries)] : [])],
    });
    for (const left of ['inkstone.lib', 'inkstone.pdb']) rmSync(join(beside, left), { force: true });
    writePackage(beside, platformPackage(target, about));
    rmSync(folder, { recursive: true, force: true });
    renameSync(beside, folder);
  } finally {
    for (const path of [beside, libraries]) rmSync(path, { recursive: true, force: true });
  }
  say(`${target}: ${(statSync(join(folder, 'inkstone.node')).size / 1e6).toFixed(1)} MB`);
}

async function main() {
  const { values } = parseArgs({ options: { target: { type: 'string', multiple: true }, out: { type: 'string' } } });
  const targets = values.target ?? Object.keys(TARGETS);
  const unknown = targets.find((target) => !Object.hasOwn(TARGETS, target));
  if (unknown) {
    say(`--target ${unknown} is none of ${Object.keys(TARGETS).join(', ')}`);
    process.exit(1);
  }
  const out = resolve(values.out ?? join(root, 'build', 'release'));
  const about = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const zig = findZig();
  const hash = kernelsHash();
  for (const target of targets) await buildPlatform(target, { zig, folder: join(out, target), about, hash });

  const { build } = await import('./build.mjs');
  await build();
  const folder = join(out, about.name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const name of about.files)
    cpSync(join(root, name), join(folder, name), { recursive: true, filter: (path) => !path.includes('node_modules') });
  writePackage(folder, mainPackage(about));
  for (const name of ['README.md', 'README.zh.md']) copyFileSync(join(root, name), join(folder, name));
  say(
    `${folder}: with ${targets.map((target) => `${about.name}-${target}`).join(', ')} beside it, ready for npm publish`,
  );
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
