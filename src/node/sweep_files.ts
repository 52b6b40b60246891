/** The files of a sweep: a reference text read, its data and its report written. */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { CapacityError, FileFormatError, NotFoundError } from '../errors.ts';
import { type ReportHead, renderReport } from '../experiments/report.ts';
import type { SweepReport } from '../experiments/sweep.ts';

/** Larger texts say nothing more: a thousand pieces of one are looked at. */
const MOST_BYTES = 64 * 1024 * 1024;

/** @throws NotFoundError, CapacityError, and FileFormatError for a file that is no text in UTF-8. */
export function readReference(path: string): string {
  if (!existsSync(path) || !statSync(path).isFile()) throw new NotFoundError('file', path);
  const { size } = statSync(path);
  if (size > MOST_BYTES) throw new CapacityError('reference', size, MOST_BYTES, 'bytes', 'Give a part of the text');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch {
    throw new FileFormatError(path, '', 'is no text in UTF-8');
  }
}

/** The first name of its kind that is free: sweeps/tang, sweeps/tang-2 … */
export function freeFolder(name: string): string {
  const base = join('sweeps', name.replace(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^\.+/, '') || 'sweep');
  for (let i = 1; ; i++) {
    const folder = i === 1 ? base : `${base}-${i}`;
    if (!existsSync(folder)) return folder;
  }
}

export interface SweepFiles {
  readonly json: string;
  readonly html: string;
}

/** Where a sweep's files go. */
export function sweepFiles(folder: string): SweepFiles {
  return { json: join(folder, 'sweep.json'), html: join(folder, 'report.html') };
}

/** Write sweep.json and report.html; the folder is made where there is none. */
export function writeSweep(folder: string, head: ReportHead, report: SweepReport): SweepFiles {
  const files = sweepFiles(folder);
  mkdirSync(folder, { recursive: true });
  writeFileSync(files.json, `${JSON.stringify({ ...head, ...report }, null, 1)}\n`);
  const charts = dirname(createRequire(import.meta.url).resolve('uplot'));
  const text = (name: string): string => readFileSync(join(charts, name), 'utf8');
  const library = { script: text('uPlot.iife.min.js'), style: text('uPlot.min.css') };
  writeFileSync(files.html, renderReport(head, report, library));
  return files;
}
