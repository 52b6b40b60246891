/**
 * Builds prebuilt/kernels.wasm from the sources of the native kernels, with the Clang that comes as a package of the npm registry
 * (package.json beside this file; a big one, so it is no dependency of Inkstone's).
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { commands } from '@yowasp/clang';
import { root, wasmFile, wasmHash, wasmSources } from './sources.mjs';

const FLAGS = [
  '--target=wasm32-unknown-unknown',
  '-std=c11',
  '-O3',
  '-ffreestanding',
  '-fbuiltin',
  '-ffp-contract=off',
  '-fno-math-errno',
  '-msimd128',
  '-mbulk-memory',
  '-matomics',
  '-mmutable-globals',
  '-Wall',
  '-Wextra',
  '-Ikernels',
  '-Ikernels/wasm/include',
  '-DINK_ISA=wasm_simd',
];
const LINK = [
  '--no-entry',
  '--import-memory',
  '--shared-memory',
  '--max-memory=4294967296',
  '--stack-first',
  '-z',
  'stack-size=262144',
  '--export=__stack_pointer',
  '--export=__heap_base',
  '--strip-all',
  '--gc-sections',
  '-O2',
];

/** A tree of files as the compiler takes them, from paths. */
function tree(files) {
  const result = {};
  for (const [path, content] of files) {
    const parts = path.split('/');
    let folder = result;
    for (const part of parts.slice(0, -1)) folder = folder[part] ??= {};
    folder[parts.at(-1)] = content;
  }
  return result;
}

function leb(value) {
  const bytes = [];
  do {
    bytes.push((value & 127) | (value > 127 ? 128 : 0));
    value >>>= 7;
  } while (value);
  return bytes;
}

/** The custom section "inkstone.source" with the hash of the sources. */
function sourceSection(hash) {
  const name = Buffer.from('inkstone.source');
  const body = Buffer.from([...leb(name.length), ...name, ...Buffer.from(hash)]);
  return Buffer.from([0, ...leb(body.length), ...body]);
}

/** Run a command of the toolchain; its messages go to stderr, and a failure ends the build. */
async function run(name, args, files) {
  try {
    return await commands[name](args, tree(files));
  } catch (error) {
    if (typeof error.code !== 'number') throw error;
    process.stderr.write(`${name} failed: ${args.join(' ')}\n`);
    process.exit(1);
  }
}

const sources = wasmSources();
const files = sources.map((path) => [path, readFileSync(join(root, path), 'utf8')]);
const objects = [];
for (const path of sources.filter((file) => file.endsWith('.c'))) {
  const object = `${path.split('/').at(-1).slice(0, -2)}.o`;
  const made = await run('clang', [...FLAGS, '-c', path, '-o', object], files);
  objects.push([object, made[object]]);
  process.stderr.write(`  ${path}\n`);
}
const linked = await run('wasm-ld', [...objects.map(([name]) => name), ...LINK, '-o', 'kernels.wasm'], objects);
const module = Buffer.concat([linked['kernels.wasm'], sourceSection(wasmHash())]);
if (!WebAssembly.validate(module)) throw new Error('the linked module is not valid');
mkdirSync(dirname(wasmFile), { recursive: true });
writeFileSync(wasmFile, module);
process.stderr.write(`${wasmFile}: ${module.length} bytes\n`);
