/** What verbs share: opening the model that the flags name, interruption, and the settings among the flags. */
import { SettingError } from '../errors.ts';
import { parseSetting, settingTable } from '../generation/settings.ts';
import { DEFAULT_MODEL, type OpenModel, openModel } from '../node/open_model.ts';
import { progressReporter } from '../node/progress.ts';
import type { Precision } from '../tensor/index.ts';

export interface ModelFlags {
  readonly model?: string;
  readonly backend?: string;
  readonly threads?: number;
  readonly precision?: Precision;
  readonly context?: number;
  readonly offline?: boolean;
  readonly [flag: string]: unknown;
}

/** A signal that Ctrl-C raises; the second Ctrl-C ends the process at once. */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  process.once('SIGINT', () => {
    controller.abort();
    process.once('SIGINT', () => process.exit(130));
  });
  return controller.signal;
}

export async function openFromFlags(flags: ModelFlags, signal?: AbortSignal): Promise<OpenModel> {
  const { model, backend, threads, precision, context, offline } = flags;
  const opened = await openModel(model, {
    backend,
    threads,
    precision,
    context,
    offline,
    signal,
    progress: progressReporter(),
  });
  if (model === undefined) process.stderr.write(`model: ${DEFAULT_MODEL}\n`);
  return opened;
}

/** The generation settings among the flags. */
export function settingsOf(flags: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  for (const { name } of settingTable) {
    const text = flags[name];
    if (typeof text === 'string') settings[name] = parseSetting(name, text);
  }
  return settings;
}

/** "1,2,3" as ids. */
export function parseIds(text: string): number[] {
  const ids = text
    .split(/[\s,]+/)
    .filter(Boolean)
    .map(Number);
  if (ids.length === 0 || ids.some((id) => !Number.isInteger(id) || id < 0)) {
    throw new SettingError('--ids', text, 'has to be token ids: 1,2,3');
  }
  return ids;
}

/** All of stdin as text. */
export async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

/** Write to stdout and wait until it is taken, so that large output does not pile up. */
export function write(text: string): Promise<void> {
  return new Promise((resolve) => {
    if (process.stdout.write(text)) resolve();
    else process.stdout.once('drain', () => resolve());
  });
}
