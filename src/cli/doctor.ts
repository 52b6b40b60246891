/** `inkstone doctor`: what this machine can do, which backend is in use and why, and how to get faster. */
import { existsSync, readFileSync } from 'node:fs';
import { arch, cpus, platform, totalmem } from 'node:os';
import { join } from 'node:path';
import { openBackend } from '../node/backends.ts';
import { cachePlaces } from '../node/cache.ts';
import { defaultThreads, nativeStatus, packageRoot } from '../node/native_addon.ts';
import { amount } from '../node/progress.ts';
import { write } from './session.ts';

export async function doctorCommand({ json }: { readonly json?: boolean }): Promise<void> {
  const { addon, path, tried } = nativeStatus();
  const backend = openBackend();
  const { info } = backend;
  await backend.close();
  const stampFile = join(packageRoot, 'build', 'native', 'stamp.json');
  const stamp = existsSync(stampFile) ? (JSON.parse(readFileSync(stampFile, 'utf8')) as Record<string, string>) : {};
  const facts = {
    node: process.version,
    system: `${platform()} ${arch()}`,
    processor: addon?.processor() || (cpus()[0]?.model ?? 'unknown'),
    instruction_sets: addon?.variants() ?? [],
    threads: defaultThreads(),
    memory: totalmem(),
    backend: info.name,
    variant: info.variant,
    native_library: path,
    native_tried: tried,
    compiler: stamp.compiler ?? null,
    build_failure: stamp.failed ?? null,
    hub_cache: cachePlaces().hub,
    own_cache: cachePlaces().own,
    endpoint: process.env.HF_ENDPOINT ?? 'https://huggingface.co',
    offline: process.env.HF_HUB_OFFLINE === '1',
  };
  if (json) {
    await write(`${JSON.stringify(facts)}\n`);
    return;
  }
  const lines: [string, string][] = [
    ['Node', `${facts.node} on ${facts.system}`],
    ['processor', `${facts.processor}, ${facts.threads} threads, ${amount(facts.memory, 'bytes')} of memory`],
    ['backend', `${facts.backend} (${facts.variant})`],
    ['native library', path ?? 'none'],
    ['built with', facts.compiler ?? facts.build_failure ?? 'not built here'],
    ['hub cache', facts.hub_cache],
    ['own cache', facts.own_cache],
    ['hub', `${facts.endpoint}${facts.offline ? ' (offline)' : ''}`],
  ];
  for (const [name, value] of lines) await write(`${name.padEnd(16)}${value}\n`);
  if (!addon) {
    await write('\nThe native library is missing, so models run many times slower:\n');
    for (const line of tried) await write(`  - ${line}\n`);
    await write('Install a C compiler (Debian: apt install gcc; macOS: xcode-select --install), then start again.\n');
  }
}
