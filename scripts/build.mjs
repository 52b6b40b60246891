/** Builds what is stale: TypeScript to dist/, C to build/native/. Prints one line for each thing it does, on stderr. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { filesUnder, hashFiles } from './hash.mjs';
import { buildNative, root } from './native.mjs';

const say = (text) => process.stderr.write(`inkstone: ${text}\n`);

/** Compile src/ to dist/ unless dist/ was made from the same sources. */
function buildTypeScript() {
  const files = filesUnder(join(root, 'src'), (file) => /\.(ts|json)$/.test(file));
  const hash = hashFiles(root, [...files, join(root, 'tsconfig.json'), join(root, 'package.json')]);
  const stamp = join(root, 'dist', '.stamp');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  say('compiling TypeScript');
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.json')], {
    encoding: 'utf8',
  });
  if (status !== 0) {
    process.stderr.write(stdout);
    say('TypeScript did not compile');
    process.exit(1);
  }
  mkdirSync(join(root, 'dist'), { recursive: true });
  writeFileSync(stamp, hash);
}

export async function build() {
  buildTypeScript();
  const native = await buildNative({ say });
  if (native.state === 'none' && process.env.INKSTONE_QUIET !== '1') say(`using WebAssembly: ${native.reason}`);
}

if (process.argv[1] && import.meta.url.endsWith(process.argv[1].replaceAll('\\', '/').split('/').at(-1))) {
  if (process.argv.includes('--strict')) await buildNative({ say, strict: true });
  await build();
}
