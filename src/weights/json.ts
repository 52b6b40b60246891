/** JSON from files nobody vouches for: strict UTF-8, no member twice, no surprise in shape. */

import { FileFormatError } from '../errors.ts';

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A JSON object. */
export type JsonObject = { readonly [key: string]: unknown };

/** True for an object that is neither null nor an array. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The value that `bytes` spell.
 * @throws FileFormatError when they are not UTF-8 or not JSON, or when an object names a member twice (readers would
 *   differ in which of them they believe).
 */
export function parseJson(bytes: Uint8Array, file: string, where: string): unknown {
  let text: string;
  try {
    text = strictUtf8.decode(bytes);
  } catch {
    throw new FileFormatError(file, where, 'the text is not UTF-8');
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new FileFormatError(file, where, `not JSON (${(error as Error).message})`);
  }
  if (countMembers(value) !== countColons(text)) throw new FileFormatError(file, where, 'an object has a member twice');
  return value;
}

/** Members of all objects in `value`, counted without recursion: nesting may be as deep as the file is long. */
function countMembers(value: unknown): number {
  let members = 0;
  const open: unknown[] = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== 'object' || next === null) continue;
    const children = Array.isArray(next) ? next : Object.values(next);
    if (!Array.isArray(next)) members += children.length;
    for (const child of children) if (typeof child === 'object' && child !== null) open.push(child);
  }
  return members;
}

/** Colons outside strings, in text that is known to be JSON: one for every member that was written. */
function countColons(text: string): number {
  let colons = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x3a) colons++;
    else if (code === 0x22) {
      for (i++; text.charCodeAt(i) !== 0x22; i++) if (text.charCodeAt(i) === 0x5c) i++;
    }
  }
  return colons;
}
