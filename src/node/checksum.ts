import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';

/**
 * The hash that an etag of the hub stands for: 64 hexadecimal digits are a SHA-256, 40 are git's SHA-1 of a blob (of
 * "blob <size>\0" and the content). `null` for an etag that is no checksum, as some mirrors send.
 */
export function hashFor(etag: string, size: number): Hash | null {
  if (/^[0-9a-f]{64}$/.test(etag)) return createHash('sha256');
  if (/^[0-9a-f]{40}$/.test(etag)) return createHash('sha1').update(`blob ${size}\0`);
  return null;
}

/** Feeds a file, or its first `end` bytes, to a hash. */
export async function hashFile(
  hash: Hash,
  path: string,
  signal?: AbortSignal,
  onBytes?: (count: number) => void,
): Promise<Hash> {
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, signal })) {
    hash.update(chunk as Buffer);
    onBytes?.((chunk as Buffer).length);
  }
  return hash;
}
