/** The scripts that bring a checkout to where it runs: what they build, what they clear away, and two of them at once. */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));

/** A checkout of two modules and no kernels. */
function checkout(): string {
  const folder = mkdtempSync(join(tmpdir(), 'inkstone-'));
  cpSync(join(root, 'scripts'), join(folder, 'scripts'), { recursive: true });
  for (const name of ['package.json', 'package-lock.json', 'tsconfig.json'])
    cpSync(join(root, name), join(folder, name));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const name of ['kernels', 'src/cli']) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(
    join(folder, 'src', 'word.ts'),
    "export const where: string = import.meta.url;\nexport const word: string = 'ink';\n",
  );
  writeFileSync(
    join(folder, 'src', 'cli', 'main.ts'),
    "import { where, word } from '../word.ts';\nprocess.stdout.write([word, where].join(' '));\n",
  );
  return folder;
}

function run(...args: string[]): Promise<{ readonly code: number | null; readonly out: string; readonly err: string }> {
  const child = spawn(process.execPath, args);
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })));
}

describe('the build', () => {
  const library = join(root, 'build', 'native', 'inkstone.node');
  const isHere = existsSync(library) && existsSync(join(root, 'dist', 'cli', 'run.js'));
  it.skipIf(!isHere)('refuses a native library of other kernels (needs dist/ and a C compiler)', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'inkstone-'));
    for (const name of ['dist', 'package.json']) cpSync(join(root, name), join(folder, name), { recursive: true });
    const copy = join(folder, 'build', 'native', 'inkstone.node');
    mkdirSync(join(folder, 'build', 'native'), { recursive: true });
    cpSync(library, copy);
    const doctor = async () => JSON.parse((await run(join(folder, 'dist', 'cli', 'run.js'), 'doctor', '--json')).out);
    rmSync(join(folder, 'dist', '.kernels'), { force: true });
    expect((await doctor()).native_library).toBe(copy);
    writeFileSync(join(folder, 'dist', '.kernels'), 'others');
    const { native_library, native_tried } = await doctor();
    expect(native_library).toBe(null);
    expect(native_tried[0]).toBe(`${copy}: built from other kernels than this version's; npm run build builds it anew`);
  });

  it('bundles the command line, clears away what has no source, and is done once when two ask', async () => {
    const folder = checkout();
    const build = () => run(join(folder, 'scripts', 'build.mjs'));
    const both = await Promise.all([build(), build()]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(both.filter(({ err }) => err.includes('compiling TypeScript')).length).toBe(1);
    const main = join(folder, 'dist', 'cli', 'main.js');
    expect(readFileSync(main, 'utf8')).not.toMatch(/from\s*['"].*word/);
    expect((await run(main)).out).toBe(`ink ${pathToFileURL(join(folder, 'dist', 'word.js')).href}`);

    expect(existsSync(join(folder, 'dist', 'word.js'))).toBe(true);
    rmSync(join(folder, 'src', 'word.ts'));
    writeFileSync(join(folder, 'src', 'cli', 'main.ts'), "process.stdout.write('alone');\n");
    expect((await build()).code).toBe(0);
    expect((await run(main)).out).toBe('alone');
    expect(existsSync(join(folder, 'dist', 'word.js'))).toBe(false);

    writeFileSync(join(folder, 'src', 'cli', 'main.ts'), 'const x: number = "";\n');
    const broken = await build();
    expect(broken).toMatchObject({ code: 1 });
    expect(broken.err).toMatch(/main\.ts.*TS2322[\s\S]*did not compile/);
    expect((await run(main)).out).toBe('alone');
  }, 120_000);

  it('takes over the lock of a build that died, and waits for one that lives', async () => {
    const { withLock } = (await import(pathToFileURL(join(root, 'scripts', 'lock.mjs')).href)) as {
      withLock<T>(path: string, work: () => Promise<T>, waiting?: () => void): Promise<T>;
    };
    const lock = join(mkdtempSync(join(tmpdir(), 'inkstone-')), 'lock');
    const dead = spawn(process.execPath, ['-e', '']);
    await new Promise((resolve) => dead.on('close', resolve));
    writeFileSync(lock, JSON.stringify({ pid: dead.pid, host: hostname() }));
    expect(await withLock(lock, async () => existsSync(lock))).toBe(true);
    expect(existsSync(lock)).toBe(false);

    const order: string[] = [];
    let slow: Promise<void> | undefined;
    await new Promise<void>((held) => {
      slow = withLock(lock, async () => {
        held();
        await new Promise((resolve) => setTimeout(resolve, 100));
        order.push('first');
      });
    });
    const next = withLock(
      lock,
      async () => void order.push('second'),
      () => order.push('waits'),
    );
    await Promise.all([slow, next]);
    expect(order).toEqual(['waits', 'first', 'second']);
  });
});
