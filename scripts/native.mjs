/**
 * Builds the native kernels, build/native/inkstone.node, with whatever C compiler there is. Every kernel file is compiled once for
 * each instruction set; which of them runs is decided when the program starts (kernels/dispatch.c).
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hashFiles } from './hash.mjs';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const kernels = join(root, 'kernels');

/** Kernels that gain nothing from vectors wider than eight floats; the wider tables take the avx2 ones. */
const COMMON = [
  'elementwise',
  'shape_ops',
  'reduce',
  'softmax',
  'normalize',
  'lookup',
  'loss',
  'rope',
  'attention',
  'attention_long',
  'paged_attention',
  'kv',
  'random',
  'optimizer',
];
/** Kernels with a variant for every instruction set. */
const WIDE = [
  'matmul',
  'matmul_int8',
  'matmul_expert',
  'gemm',
  'gemm_few',
  'quantize8',
  'quant_widen',
  'gather',
  'cast',
];
const RUNTIME = ['program', 'check', 'barrier', 'sync', 'memory', 'threads', 'dispatch', 'addon'];

const AVX2 = ['-mavx2', '-mfma', '-mf16c', '-mbmi2'];
const AVX512 = [...AVX2, '-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq'];
const AVX512_BF16 = [...AVX512, '-mavx512bf16', '-mavx512vnni'];
const VARIANTS = {
  x64: [
    { isa: 'baseline', flags: [], common: 'baseline' },
    { isa: 'avx2', flags: AVX2, common: 'avx2' },
    { isa: 'avx512', flags: AVX512, common: 'avx2' },
    { isa: 'avx512_bf16', flags: AVX512_BF16, common: 'avx2' },
    // only Linux is asked for the tiles (kernels/dispatch.c)
    { isa: 'amx', flags: [...AVX512_BF16, '-mamx-tile', '-mamx-int8'], common: 'avx2', platform: 'linux' },
  ],
  arm64: [{ isa: 'neon', flags: [], common: 'neon' }],
};

/** The processor's features where the system tells them cheaply, else null. */
function processorFlags() {
  if (process.platform !== 'linux' || process.arch !== 'x64' || !existsSync('/proc/cpuinfo')) return null;
  const line = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'));
  return line ? new Set(line[1].trim().split(' ')) : null;
}

/** The variants of an architecture that the compiler knows: older ones lack the newest instructions. */
function variantsOf({ platform, arch, compiler }) {
  const variants = VARIANTS[arch] ?? [{ isa: 'baseline', flags: [], common: 'baseline' }];
  const known = ({ flags }) =>
    flags.length === 0 || compilerAccepts(compiler, ['-Werror', ...flags, '-E', '-x', 'c', '-']);
  return variants.filter((variant) => (variant.platform ?? platform) === platform && known(variant));
}

function compilerAccepts({ command }, args) {
  return spawnSync(command[0], [...command.slice(1), ...args], { input: '', stdio: 'pipe' }).status === 0;
}

/** The variants this processor could run: a build for one's own machine leaves out the others and takes a third of the time. */
function usefulVariants(variants) {
  const features = processorFlags();
  if (!features) return variants;
  const needs = { avx2: 'avx2', avx512: 'avx512bw', avx512_bf16: 'avx512_bf16', amx: 'amx_int8' };
  return variants.filter(({ isa }) => !needs[isa] || features.has(needs[isa]));
}

/** What is compiled, and with which flags. */
function plan(variants) {
  const have = variants.map(({ isa }) => `-DINK_HAVE_${isa.toUpperCase()}`);
  const units = RUNTIME.map((name) => ({ name, object: name, flags: have }));
  for (const { isa, flags, common } of variants) {
    const all = [...flags, `-DINK_ISA=${isa}`];
    for (const name of common === isa ? [...COMMON, ...WIDE] : WIDE)
      units.push({ name, object: `${name}-${isa}`, flags: all });
    units.push({ name: 'table', object: `table-${isa}`, flags: [...all, `-DINK_COMMON_ISA=${common}`] });
  }
  return units;
}

export const FLAGS = [
  '-std=c11',
  '-O3',
  '-fPIC',
  '-fvisibility=hidden',
  '-ffp-contract=off',
  '-fno-math-errno',
  '-Wall',
  '-Wextra',
  '-Wno-psabi',
];

function linkFlags(platform) {
  if (platform === 'darwin') return ['-dynamiclib', '-undefined', 'dynamic_lookup'];
  if (platform === 'win32') return ['-shared', '-lapi-ms-win-core-synch-l1-2-0'];
  // never unloaded: Node would do so at the end of a worker, and what is registered for the process's exit has to be there then
  if (platform === 'linux') return ['-shared', '-lpthread', '-lm', '-Wl,-z,nodelete'];
  return ['-shared', '-lpthread', '-lm'];
}

/** The first C compiler that answers, as a command with its first arguments. */
export function findCompiler() {
  const given = process.env.CC ? [process.env.CC.split(' ').filter(Boolean)] : [];
  for (const command of [...given, ['cc'], ['gcc'], ['clang'], ['zig', 'cc']]) {
    const { status, stdout } = spawnSync(command[0], [...command.slice(1), '--version'], { encoding: 'utf8' });
    if (status === 0) return { command, version: stdout.split('\n')[0] };
  }
  return null;
}

export function kernelsHash() {
  const files = readdirSync(kernels)
    .filter((name) => /\.[ch]$/.test(name))
    .sort();
  return hashFiles(
    root,
    files.map((name) => join(kernels, name)),
  );
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0], [...command.slice(1), ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (data) => {
      errors += data;
    });
    child.on('error', reject);
    child.on('close', (code, signal) =>
      code === 0
        ? resolve(errors)
        : reject(new Error(errors.trim() || `${command[0]} failed (${signal ?? code}): ${args.at(-1)}`)),
    );
  });
}

/**
 * Compile and link the addon: the variants of this processor, or (`all`) those of its architecture; or those of another platform, whose
 * programs the compiler makes. `flags` are for both steps, `link` for the second. Rejects where that fails.
 */
export async function compileAddon(options) {
  const { compiler, target, all = false, flags = [], link = [], hash = '' } = options;
  const { platform = process.platform, arch = process.arch } = options;
  const include = createRequire(import.meta.url)('node-api-headers').include_dir;
  const objects = `${target}.objects`;
  mkdirSync(objects, { recursive: true });
  try {
    const known = variantsOf({ platform, arch, compiler });
    const units = plan(all ? known : usefulVariants(known));
    const common = FLAGS.filter((flag) => platform !== 'win32' || flag !== '-fPIC');
    const queue = [...units];
    const worker = async () => {
      for (let unit = queue.shift(); unit; unit = queue.shift()) {
        const out = join(objects, `${unit.object}.o`);
        const hashFlag = unit.name === 'addon' ? [`-DINK_SOURCE_HASH="${hash}"`] : [];
        const source = join(kernels, `${unit.name}.c`);
        const own = [...common, ...flags, ...unit.flags, ...hashFlag];
        await run(compiler.command, [...own, `-I${include}`, '-c', source, '-o', out]);
      }
    };
    await Promise.all(Array.from({ length: availableParallelism() }, worker));
    const parts = units.map(({ object }) => join(objects, `${object}.o`));
    await run(compiler.command, [...parts, '-o', target, ...flags, ...linkFlags(platform), ...link]);
  } finally {
    rmSync(objects, { recursive: true, force: true });
  }
}

const folder = join(root, 'build', 'native');
const target = join(folder, 'inkstone.node');
const stampFile = join(folder, 'stamp.json');
const host = `${process.platform}-${process.arch}`;

function readStamp() {
  return existsSync(stampFile) ? JSON.parse(readFileSync(stampFile, 'utf8')) : {};
}

/** Whether these kernels were built on this machine, or could not be. */
export function nativeIsCurrent(hash = kernelsHash()) {
  const stamp = readStamp();
  return stamp.hash === hash && stamp.host === host && (stamp.failed !== undefined || existsSync(target));
}

/**
 * Build what is stale. Answers what happened: {state: 'current' | 'built' | 'none', reason?}. Never throws for a machine that cannot
 * build: the caller goes on with WebAssembly.
 */
export async function buildNative({ say = () => {}, strict = false } = {}) {
  const hash = kernelsHash();
  if (nativeIsCurrent(hash) && !strict) {
    const { failed } = readStamp();
    return failed === undefined ? { state: 'current' } : { state: 'none', reason: failed };
  }
  const compiler = findCompiler();
  mkdirSync(folder, { recursive: true });
  const fail = (reason) => {
    writeFileSync(stampFile, JSON.stringify({ hash, host, failed: reason }));
    return { state: 'none', reason };
  };
  if (process.platform === 'win32') return fail('on Windows the native kernels come prebuilt');
  if (!compiler) return { state: 'none', reason: 'no C compiler was found (cc, gcc, clang)' };
  say(`building the native kernels with ${compiler.version}`);
  try {
    const beside = `${target}.${process.pid}`;
    await compileAddon({ compiler, target: beside, all: strict, flags: strict ? ['-Werror'] : [], hash });
    renameSync(beside, target);
    writeFileSync(stampFile, JSON.stringify({ hash, host, compiler: compiler.version }));
    return { state: 'built' };
  } catch (error) {
    if (strict) throw error;
    return fail(String(error.message).split('\n').slice(0, 3).join(' '));
  }
}
