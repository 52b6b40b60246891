/** Where models are kept and fetched from, as the environment says: the names are those of Python's huggingface_hub. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { SettingError } from '../errors.ts';
import type { Fetch } from '../hub/client.ts';
import { DEFAULT_RETRY, type RetryPolicy } from '../hub/retry.ts';

export interface HubSettings {
  /** HF_ENDPOINT; default https://huggingface.co. */
  readonly endpoint: string;
  /** HF_TOKEN, else the file HF_TOKEN_PATH or HF_HOME/token. */
  readonly token?: string;
  /** HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE. */
  readonly isOffline: boolean;
  /** HF_HUB_CACHE; default HF_HOME/hub. */
  readonly cache: string;
  /** INKSTONE_CACHE: files that came in Python wheels; default ~/.cache/inkstone. */
  readonly own: string;
  readonly fetch: Fetch;
  readonly retry: RetryPolicy;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** @throws SettingError when HF_ENDPOINT is not an address. */
export function hubSettings(env: Environment = process.env): HubSettings {
  const userCache = env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const hfHome = expandHome(env.HF_HOME || join(userCache, 'huggingface'));
  const endpoint = env.HF_ENDPOINT || 'https://huggingface.co';
  if (!/^https?:\/\/[^\s/]+/.test(endpoint) || !URL.canParse(endpoint)) {
    throw new SettingError('HF_ENDPOINT', endpoint, 'must be an address such as https://huggingface.co');
  }
  return {
    endpoint,
    token:
      env.HF_TOKEN ||
      env.HUGGING_FACE_HUB_TOKEN ||
      tokenFile(expandHome(env.HF_TOKEN_PATH || join(hfHome, 'token')), env),
    isOffline: isOn(env.HF_HUB_OFFLINE) || isOn(env.TRANSFORMERS_OFFLINE),
    cache: expandHome(env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(hfHome, 'hub')),
    own: expandHome(env.INKSTONE_CACHE || join(userCache, 'inkstone')),
    fetch: (url, init) => fetch(url, init),
    retry: DEFAULT_RETRY,
  };
}

const isOn = (value: string | undefined): boolean => /^(1|on|yes|true)$/i.test(value ?? '');

export const expandHome = (path: string): string => (/^~(?=$|[/\\])/.test(path) ? homedir() + path.slice(1) : path);

function tokenFile(path: string, env: Environment): string | undefined {
  if (isOn(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return undefined;
  try {
    return readFileSync(path, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}
