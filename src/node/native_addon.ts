/** Where the native library is on this machine, and why not when it is not. */
import { existsSync } from 'node:fs';
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
  const places = [
    ...(process.env.INKSTONE_NATIVE ? [process.env.INKSTONE_NATIVE] : []),
    join(packageRoot, 'build', 'native', 'inkstone.node'),
    join(packageRoot, 'prebuilt', `${process.platform}-${process.arch}`, 'inkstone.node'),
  ];
  const require = createRequire(import.meta.url);
  for (const path of places) {
    if (!existsSync(path)) {
      tried.push(`${path}: not there`);
      continue;
    }
    try {
      return { addon: require(path) as NativeAddon, path, tried };
    } catch (error) {
      tried.push(`${path}: ${(error as Error).message.split('\n')[0]}`);
    }
  }
  return { addon: null, path: null, tried };
}

/** Threads to use when nobody says: the processors this process may run on. */
export function defaultThreads(): number {
  return Math.max(1, availableParallelism());
}
