/** What the verbs that open a model share: its flags, interruption, and the settings among the flags. */
import { parseSetting, settingTable } from '../generation/settings.ts';
import { backendNames } from '../node/backends.ts';
import { DEFAULT_MODEL, type OpenModel, openModel } from '../node/open_model.ts';
import type { Precision } from '../tensor/index.ts';
import { progress, say } from './terminal.ts';
import { UsageError } from './usage.ts';

export interface ModelFlags {
  readonly model?: string;
  readonly backend?: string;
  readonly threads?: number;
  readonly precision?: Precision;
  readonly context?: number;
  readonly offline?: boolean;
  readonly [flag: string]: unknown;
}

/** Open the model that the flags name; when they name none the usual one, and say which. */
export async function openFromFlags(
  flags: ModelFlags,
  signal?: AbortSignal,
  usual: string = DEFAULT_MODEL,
): Promise<OpenModel> {
  const { model, backend, threads, precision, context, offline } = flags;
  if (backend !== undefined && !(backendNames as readonly string[]).includes(backend))
    throw new UsageError(`--backend ${backend}: there are ${backendNames.join(', ')}`);
  if (model === undefined) say(`model: ${usual}`);
  return openModel(model ?? usual, { backend, threads, precision, context, offline, signal, progress: progress() });
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
