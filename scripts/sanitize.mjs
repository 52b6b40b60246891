/**
 * The native library under the address and undefined-behaviour sanitizers: builds it so and runs the tests of the op list and of the
 * library on it. Needs gcc on Linux.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { compileAddon, findCompiler, root } from './native.mjs';

const compiler = findCompiler();
if (process.platform !== 'linux' || !compiler) {
  process.stderr.write('inkstone: the sanitizers need Linux and a C compiler\n');
  process.exit(1);
}
const folder = join(root, 'build', 'sanitize');
const target = join(folder, 'inkstone.node');
mkdirSync(folder, { recursive: true });
const flags = [
  '-O1',
  '-g',
  '-fno-omit-frame-pointer',
  '-fsanitize=address,undefined',
  process.env.SANITIZE_ALL ? '-fsanitize-recover=undefined' : '-fno-sanitize-recover=undefined',
];
await compileAddon({ compiler, target, flags });
const [command, ...first] = compiler.command;
const library = (name) =>
  spawnSync(command, [...first, `-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim();
const { status } = spawnSync(
  process.execPath,
  [
    join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    'test/ops_backends.test.ts',
    'test/native.test.ts',
    '-t',
    'native|programs|pools|memory',
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      INKSTONE_NATIVE: target,
      LD_PRELOAD: `${library('libasan.so')} ${library('libubsan.so')}`,
      // Node itself frees little at exit; workers share their parent's address space; a test asks for more memory than there is
      ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1:allocator_may_return_null=1',
      UBSAN_OPTIONS: 'print_stacktrace=1',
    },
  },
);
process.exit(status ?? 1);
