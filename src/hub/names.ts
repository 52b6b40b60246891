/** What a user may write to name a model. */
import { SettingError } from '../errors.ts';
import { type CatalogueEntry, catalogueEntry } from './catalogue.ts';

/** A model on the hub: all of it, or one file. */
export interface HubTarget {
  /** "org/name". */
  readonly id: string;
  /** One file of it, such as a GGUF. */
  readonly file?: string;
  /** Branch, tag or commit. */
  readonly revision?: string;
}

export interface ModelName {
  readonly hub?: HubTarget;
  readonly entry?: CatalogueEntry;
}

const ID = /^[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95}$/;
const PREFIX = /^(?:hf:\/\/|https?:\/\/(?:www\.)?(?:huggingface\.co|hf\.co)\/)/;

/**
 * Reads a short name of the catalogue, or `org/name`, `org/name@revision`, `org/name:file.gguf`,
 * `org/name@revision:file.gguf`, any of them after `hf://` or the hub's address. Neither: an empty result.
 * @throws SettingError for a hub id that cannot be one.
 */
export function parseModelName(name: string): ModelName {
  const entry = catalogueEntry(name);
  if (entry) return { entry, hub: { id: entry.hub } };
  const prefix = PREFIX.exec(name)?.[0] ?? '';
  const rest = name.slice(prefix.length).replace(/\/+$/, '');
  const found = /^([^@:]+)(?:@([^:]+))?(?::(.+))?$/.exec(rest);
  if (!found?.[1].includes('/')) return {};
  const [, id, revision, file] = found;
  if (!ID.test(id) || /--|\.\./.test(id)) {
    if (prefix === '') return {};
    throw new SettingError('model', name, 'is not an id of the hub; those read org/name');
  }
  if (file !== undefined && !isSafePath(file))
    throw new SettingError('model', name, 'the file must be a relative path');
  if (revision !== undefined && !isSafePath(revision)) {
    throw new SettingError('model', name, 'the revision must be a branch, a tag or a commit');
  }
  return { hub: { id, file, revision } };
}

/** A relative path with forward slashes that stays below where it starts, on every system. */
export function isSafePath(path: string): boolean {
  if (path === '' || path.length > 500 || /[\\:*?"<>|\p{Cc}]/u.test(path)) return false;
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..' && !/[. ]$/.test(part));
}
