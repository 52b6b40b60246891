/** The files of an evaluation: its result as JSON, and the pages. */
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CapacityError, FileFormatError, NotFoundError } from '../errors.ts';
import { renderEvaluation } from '../evaluation/report.ts';
import type { EvaluationResult } from '../evaluation/types.ts';

const MOST_BYTES = 512 * 1024 * 1024;

export interface EvaluationFiles {
  readonly json: string;
  readonly html: string;
}

/** @param out a file with the ending .json, or a folder. */
export function evaluationFiles(out: string): EvaluationFiles {
  if (/\.json$/i.test(out)) return { json: out, html: out.replace(/\.json$/i, '.html') };
  return { json: join(out, 'evaluation.json'), html: join(out, 'report.html') };
}

/** Write a file so that whoever reads it meets the old one or the new one. */
export function replaceFile(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.part`, text);
  renameSync(`${path}.part`, path);
}

/** The result alone, for a run that goes on. */
export function saveResult(out: string, result: EvaluationResult): void {
  replaceFile(evaluationFiles(out).json, `${JSON.stringify(result)}\n`);
}

/** The result and its page. */
export function writeEvaluation(out: string, result: EvaluationResult): EvaluationFiles {
  const files = evaluationFiles(out);
  saveResult(out, result);
  replaceFile(files.html, renderEvaluation(result));
  return files;
}

/** @param path a result, or the folder of one. @throws NotFoundError, CapacityError, FileFormatError. */
export function readEvaluation(path: string): EvaluationResult {
  const isFolder = existsSync(path) && statSync(path).isDirectory();
  const file = isFolder ? evaluationFiles(path).json : path;
  if (!existsSync(file)) throw new NotFoundError('evaluation', file);
  const { size } = statSync(file);
  if (size > MOST_BYTES) throw new CapacityError(file, size, MOST_BYTES, 'bytes');
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new FileFormatError(file, '', `is no JSON: ${(error as Error).message}`);
  }
  if (isEvaluation(value)) return value;
  throw new FileFormatError(file, 'format', 'it is no result of inkstone eval, or one of another version');
}

function isEvaluation(value: unknown): value is EvaluationResult {
  if (typeof value !== 'object' || value === null) return false;
  const { format, format_version, tasks, groups, model } = value as Record<string, unknown>;
  const isHead =
    format === 'inkstone-evaluation' && format_version === 1 && typeof model === 'object' && model !== null;
  if (!isHead || !Array.isArray(tasks) || !Array.isArray(groups)) return false;
  return tasks.every((task: Record<string, unknown> | null) => {
    if (typeof task !== 'object' || task === null) return false;
    const { metrics, samples, shots } = task;
    if (typeof task.task !== 'string' || typeof metrics !== 'object' || metrics === null) return false;
    return typeof shots === 'number' && Array.isArray(samples) && samples.every(isSample);
  });
}

function isSample(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { index, hash, metrics } = value as Record<string, unknown>;
  const isPlaced = typeof index === 'number' && typeof hash === 'string';
  return isPlaced && typeof metrics === 'object' && metrics !== null;
}
