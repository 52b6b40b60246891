/** `inkstone doctor`: what this machine can do, which backend is in use and why, and how to get faster. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { arch, cpus, freemem, platform, totalmem } from 'node:os';
import { join } from 'node:path';
import { backendNames, openBackend } from '../node/backends.ts';
import { hubSettings } from '../node/hub_settings.ts';
import { defaultThreads, nativeStatus, packageRoot } from '../node/native_addon.ts';
import { amount } from '../node/progress.ts';
import { write, writeJson } from './terminal.ts';

/** What is said as a table, and as JSON with `--json`. */
interface Facts {
  readonly node: string;
  readonly system: string;
  readonly processor: string;
  readonly instruction_sets: readonly string[];
  readonly threads: number;
  /** Bytes. */
  readonly memory: number;
  readonly memory_free: number;
  readonly backend: string;
  readonly variant: string;
  readonly backends: readonly string[];
  readonly native_library: string | null;
  readonly native_tried: readonly string[];
  /** The C compiler that built the native library, or that there is to build it. */
  readonly compiler: string | null;
  readonly build_failure: string | null;
  readonly hub_cache: string;
  readonly own_cache: string;
  readonly endpoint: string;
  readonly offline: boolean;
  /** What would make models run faster here. */
  readonly advice: readonly string[];
}

export async function doctorCommand({ json }: { readonly json?: boolean }): Promise<void> {
  const facts = await examine();
  if (json) {
    await writeJson(facts);
    return;
  }
  const lines: [string, string][] = [
    ['Node', `${facts.node}, ${facts.system}`],
    ['processor', facts.processor],
    ['instructions', facts.instruction_sets.join(', ') || 'not asked: that takes the native library'],
    ['threads', String(facts.threads)],
    ['memory', `${amount(facts.memory, 'bytes')}, ${amount(facts.memory_free, 'bytes')} free`],
    ['backend', `${facts.backend} (${facts.variant})`],
    ['others', facts.backends.filter((name) => name !== facts.backend).join(', ')],
    ['native library', facts.native_library ?? 'none'],
    ['C compiler', facts.compiler ?? 'none found'],
    ['hub', `${facts.endpoint}${facts.offline ? ' (offline)' : ''}`],
    ['hub cache', facts.hub_cache],
    ['own cache', facts.own_cache],
  ];
  for (const [name, value] of lines) await write(`${name.padEnd(16)}${value}\n`);
  for (const line of facts.advice) await write(`\n${line}\n`);
}

async function examine(): Promise<Facts> {
  const { addon, path, tried } = nativeStatus();
  const backend = openBackend();
  const { info } = backend;
  await backend.close();
  const { cache, own, endpoint, isOffline } = hubSettings();
  const stamp = readStamp();
  const compiler = stamp.compiler ?? findCompiler();
  const build_failure = stamp.failed ?? null;
  return {
    node: process.version,
    system: `${platform()} ${arch()}`,
    processor: addon?.processor() || (cpus()[0]?.model.trim() ?? 'unknown'),
    instruction_sets: addon?.variants() ?? [],
    threads: defaultThreads(),
    memory: totalmem(),
    memory_free: freemem(),
    backend: info.name,
    variant: info.variant,
    backends: backendNames,
    native_library: path,
    native_tried: tried,
    compiler,
    build_failure,
    hub_cache: cache,
    own_cache: own,
    endpoint,
    offline: isOffline,
    advice: addon ? [] : adviceWithout(tried, compiler, build_failure),
  };
}

/** What to do where there is no native library. */
function adviceWithout(tried: readonly string[], compiler: string | null, failure: string | null): string[] {
  const why = `The native library is missing, so models run slower than they could:\n${tried.map((line) => `  - ${line}`).join('\n')}`;
  if (failure) return [why, `Building it failed: ${failure}`];
  if (compiler) return [why, 'There is a C compiler: npm run build builds the library in about a minute.'];
  return [
    why,
    'Install a C compiler, then run npm run build:\n  Debian, Ubuntu: apt install gcc    Fedora: dnf install gcc\n  macOS: xcode-select --install',
  ];
}

/** What scripts/native.mjs wrote about its last build. */
function readStamp(): { readonly compiler?: string; readonly failed?: string } {
  const file = join(packageRoot, 'build', 'native', 'stamp.json');
  if (!existsSync(file)) return {};
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
  } catch {
    return {};
  }
}

function findCompiler(): string | null {
  for (const command of [process.env.CC, 'cc', 'gcc', 'clang']) {
    if (!command) continue;
    const { status, stdout } = spawnSync(command, ['--version'], { encoding: 'utf8', timeout: 5000 });
    if (status === 0) return stdout.split('\n')[0];
  }
  return null;
}
