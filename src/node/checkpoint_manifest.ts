/**
 * The manifest of a checkpoint: the size and hash of every file, sealed by a hash of its own, so that a changed bit anywhere is seen.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isJsonObject, type JsonObject } from '../weights/index.ts';
import type { FileFacts } from './checkpoint_files.ts';
import { hashFile } from './checksum.ts';

export interface Manifest {
  /** Steps that the model has learnt. */
  readonly step: number;
  /** Counts the checkpoints of the run, also over returns to earlier steps: the greatest is the newest. */
  readonly saved: number;
  readonly files: Readonly<Record<string, FileFacts>>;
}

export const MANIFEST = 'manifest.json';
const FORMAT = 1;
/** Without these nothing can be restored, nor without what was learnt: a decoder, or something beside one. */
const REQUIRED = ['optimizer.safetensors', 'trainer.json'];
const LEARNT = [['config.json', 'model.safetensors'], ['learned.safetensors']];
/** Much more than any manifest has. */
const LARGEST = 1 << 20;

/** JSON that carries its own hash. There is one text for one content: anything else is damage. */
export function seal(body: JsonObject): string {
  const sha256 = createHash('sha256').update(JSON.stringify(body)).digest('hex');
  return `${JSON.stringify({ ...body, sha256 }, null, 2)}\n`;
}

/** What was sealed, or null when a bit of it is not as it was. */
export function unseal(text: string): JsonObject | null {
  try {
    const parsed: unknown = JSON.parse(text);
    if (!isJsonObject(parsed)) return null;
    const { sha256: _, ...body } = parsed;
    return seal(body) === text ? body : null;
  } catch {
    return null;
  }
}

export function manifestText({ step, saved, files }: Manifest): string {
  return seal({ format: FORMAT, step, saved, files });
}

/** The manifest of a checkpoint's folder, or why there is none. */
export async function readManifest(folder: string): Promise<Manifest | string> {
  const path = join(folder, MANIFEST);
  let text: string;
  try {
    if ((await stat(path)).size > LARGEST) return `${MANIFEST} is larger than any manifest`;
    text = await readFile(path, 'utf8');
  } catch (error) {
    return `${MANIFEST} cannot be read: ${(error as Error).message}`;
  }
  const body = unseal(text);
  if (!body) return `${MANIFEST} is not as it was written`;
  if (body.format !== FORMAT) return `${MANIFEST} has format ${String(body.format)}, known is ${FORMAT}`;
  const { step, saved, files } = body;
  if (!isCount(step) || !isCount(saved) || !isJsonObject(files)) return `${MANIFEST} lacks step, saved or files`;
  for (const [name, facts] of Object.entries(files)) {
    const sound = /^[A-Za-z_]+\.(json|safetensors|jinja|md)$/.test(name) && isFacts(facts);
    if (!sound) return `${MANIFEST} has an entry that cannot be: ${JSON.stringify(name.slice(0, 80))}`;
  }
  const lacks = (name: string) => !Object.hasOwn(files, name);
  const missing = REQUIRED.find(lacks) ?? (LEARNT.every((names) => names.some(lacks)) ? 'model.safetensors' : null);
  if (missing) return `${MANIFEST} does not name ${missing}`;
  return { step, saved, files: files as Record<string, FileFacts> };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isFacts(value: unknown): value is FileFacts {
  return isJsonObject(value) && isCount(value.size) && typeof value.sha256 === 'string';
}

/** Null when the file is as the manifest says, else what is wrong. */
export async function checkFile(folder: string, name: string, facts: FileFacts): Promise<string | null> {
  const path = join(folder, name);
  try {
    const { size } = await stat(path);
    if (size !== facts.size) return `${name} has ${size} bytes instead of ${facts.size}`;
    const hash = await hashFile(createHash('sha256'), path);
    return hash.digest('hex') === facts.sha256 ? null : `${name} is not as it was written`;
  } catch (error) {
    return `${name} cannot be read: ${(error as Error).message}`;
  }
}

/** Null when every file is as the manifest says, else what is wrong. */
export async function checkFiles(folder: string, { files }: Manifest): Promise<string | null> {
  for (const [name, facts] of Object.entries(files)) {
    const problem = await checkFile(folder, name, facts);
    if (problem) return problem;
  }
  return null;
}
