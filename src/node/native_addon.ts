/** Where the native library is on this machine, and why not when it is not. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NativeAddon } from '../backends/native/addon.ts';

export interface NativeStatus {
  readonly addon: NativeAddon | null;
  /** The file in use, or null. */
  readonly path: string | null;
  /** Each place that was looked at, and what was found there. */
  readonly tried: readonly string[];
}

let status: NativeStatus | undefined;

/** The root of the package: the folder that holds dist/ (or src/), build/ and prebuilt/. */
export const packageRoot = fileURLToPath(new URL('../../', import.meta.url));

/** Load the native library once. Never throws: `addon` is null where there is none, and `tried` says why. */
export function nativeStatus(): NativeStatus {
  status ??= look();
  return status;
}

function look(): NativeStatus {
  const tried: string[] = [];
  if (process.env.INKSTONE_NATIVE === 'none') return { addon: null, path: null, tried: ['INKSTONE_NATIVE is "none"'] };
  const require = createRequire(import.meta.url);
  const places = [
    ...(process.env.INKSTONE_NATIVE ? [process.env.INKSTONE_NATIVE] : []),
    join(packageRoot, 'build', 'native', 'inkstone.node'),
    packaged(require),
  ];
  for (const path of places) {
    if (!existsSync(path)) {
      tried.push(`${path}: not there`);
      continue;
    }
    try {
      const addon = require(path) as NativeAddon;
      // A library that is named is meant, whatever it was built from.
      if (path === process.env.INKSTONE_NATIVE || isOfThisBuild(addon)) return { addon, path, tried };
      tried.push(`${path}: built from other kernels than this version's; npm run build builds it anew`);
    } catch (error) {
      tried.push(`${path}: ${(error as Error).message.split('\n')[0]}`);
    }
  }
  return { addon: null, path: null, tried };
}

/** The library that a release has for this platform, an optional dependency of its own (scripts/release.mjs): where it is, or would be. */
function packaged(require: NodeJS.Require): string {
  const name = `inkstone-${process.platform}-${process.arch}`;
  try {
    return require.resolve(`${name}/inkstone.node`);
  } catch {
    return join(packageRoot, 'node_modules', name, 'inkstone.node');
  }
}

/** Whether a library was built from the kernels that scripts/build.mjs found beside dist/: others may read plans differently. */
function isOfThisBuild({ sourceHash }: NativeAddon): boolean {
  const file = join(packageRoot, 'dist', '.kernels');
  return !existsSync(file) || readFileSync(file, 'utf8') === sourceHash;
}

/** Threads to use when nobody says: the processors this process may run on. */
export function defaultThreads(): number {
  return Math.max(1, availableParallelism());
}
