/** What a run was asked for, as run.json keeps it: where a new run may go, and what a resumed one may be told. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SettingError } from '../errors.ts';

/** The keys of an object that have a value. */
export function given<T extends object, K extends keyof T>(
  from: T,
  keys: readonly K[],
): { [P in K]?: NonNullable<T[P]> } {
  return Object.fromEntries(
    keys.filter((key) => from[key] !== undefined && from[key] !== null).map((key) => [key, from[key]]),
  ) as {
    [P in K]?: NonNullable<T[P]>;
  };
}

/** @throws SettingError for a folder that is a file, or has something in it. */
export function checkEmpty(out: string): void {
  if (!existsSync(out)) return;
  if (!statSync(out).isDirectory()) throw new SettingError('out', out, 'is a file: name a folder');
  const [first] = readdirSync(out);
  if (first === undefined) return;
  const hint = existsSync(join(out, 'run.json')) ? `go on with it by --resume ${out}, or name another` : 'name another';
  throw new SettingError('out', out, `is a folder with something in it (${first}): ${hint}`);
}

/** Settings that may differ when a run is resumed: how long it goes, what it shows and keeps. Everything else has to be as it was. */
export const mayChange = [
  'max_steps',
  'eval_every',
  'save_every',
  'sample_every',
  'sample_prompt',
  'patience',
  'keep',
] as const;

/** @throws SettingError for a setting that is not as the run in `folder` has it, unless it may change. */
export function checkSameRequest(
  before: Readonly<Record<string, unknown>>,
  now: Readonly<Record<string, unknown>>,
  folder: string,
): void {
  for (const [name, value] of Object.entries(now)) {
    if (value === undefined || value === null) continue;
    if ((mayChange as readonly string[]).includes(name)) continue;
    if (JSON.stringify(before[name]) === JSON.stringify(value)) continue;
    const was = before[name] === undefined ? 'its default' : JSON.stringify(before[name]);
    throw new SettingError(
      name,
      value,
      `contradicts the run in ${folder}, where it is ${was}. Leave it out, or start a new run`,
    );
  }
}
