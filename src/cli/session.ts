/** What the verbs that open a model share: its flags, interruption, and the settings among the flags. */
import { parseSetting, settingTable } from '../generation/settings.ts';
import { openAdapter } from '../node/adapters.ts';
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
  /** The folder or file of an adapter that answers. */
  readonly adapter?: string;
  readonly [flag: string]: unknown;
}

/** Open the model that the flags name; when they name none the usual one, and say which. */
export async function openFromFlags(
  flags: ModelFlags,
  signal?: AbortSignal,
  usual: string = DEFAULT_MODEL,
): Promise<OpenModel> {
  const { model, backend, threads, precision, context, offline, adapter } = flags;
  if (backend !== undefined && !(backendNames as readonly string[]).includes(backend))
    throw new UsageError(`--backend ${backend}: there are ${backendNames.join(', ')}`);
  if (model === undefined) say(`model: ${usual}`);
  const options = { backend, threads, precision, context, offline, signal, progress: progress() };
  const opened = await openModel(model ?? usual, options);
  if (adapter === undefined) return opened;
  try {
    await opened.engine.addAdapter(adapter, openAdapter(adapter, opened.config));
    return { ...opened, adapter };
  } catch (error) {
    await opened.close();
    throw error;
  }
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
