/**
 * Shows progress on a terminal's error stream: one line with a bar, the rate and the time left, rewritten in place.
 * Where there is no terminal, a plain line at the start, at most every ten seconds, and at the end.
 */
import type { ProgressEvent, ProgressListener } from '../hub/progress.ts';

export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** A listener that shows what it hears. */
export type ProgressReporter = ProgressListener & {
  /** Ends the line that is being rewritten, so that other text may follow. Call it before an error message. */
  readonly stop: () => void;
};

interface Task {
  /** When and where this run began: what an earlier run fetched does not count towards the rate. */
  readonly startTime: number;
  readonly startDone: number;
  lastShown: number;
}

const REDRAW_MS = 100;
const PLAIN_LINE_MS = 10_000;

/** @param env NO_COLOR turns colour off, TERM=dumb the rewriting. @param now milliseconds, for tests. */
export function progressReporter(
  stream: ProgressStream = process.stderr,
  env: Readonly<Record<string, string | undefined>> = process.env,
  now: () => number = () => performance.now(),
): ProgressReporter {
  const isLive = stream.isTTY === true && env.TERM !== 'dumb';
  const hasColour = isLive && !env.NO_COLOR;
  const tasks = new Map<string, Task>();
  let isLineOpen = false;

  const stop = (): void => {
    if (isLineOpen) stream.write('\n');
    isLineOpen = false;
  };

  const report = (event: ProgressEvent): void => {
    const time = now();
    let task = tasks.get(event.label);
    const isFirst = task === undefined;
    if (!task) {
      task = { startTime: time, startDone: event.done, lastShown: Number.NEGATIVE_INFINITY };
      tasks.set(event.label, task);
    }
    const due = time - task.lastShown >= (isLive ? REDRAW_MS : PLAIN_LINE_MS);
    if (event.finished) tasks.delete(event.label);
    else if (!isFirst && !due) return;
    task.lastShown = time;
    const seconds = (time - task.startTime) / 1000;
    if (!isLive) {
      stream.write(`${plainLine(event, task, seconds)}\n`);
      return;
    }
    stream.write(`\r\x1b[2K${liveLine(event, task, seconds, stream.columns ?? 80, hasColour)}`);
    isLineOpen = true;
    if (event.finished) stop();
  };

  return Object.assign(report, { stop });
}

function plainLine(event: ProgressEvent, task: Task, seconds: number): string {
  if (event.finished)
    return `${event.label}: done (${amount(event.done, event.unit)}${seconds >= 1 ? ` in ${duration(seconds)}` : ''})`;
  return [`${event.label}:`, ...details(event, task, seconds)].join(' ').replace(/:$/, ' …');
}

function details(event: ProgressEvent, task: Task, seconds: number): string[] {
  const parts: string[] = [];
  if (event.total) parts.push(`${Math.floor((event.done / event.total) * 100)}% of ${amount(event.total, event.unit)}`);
  else if (event.done > 0) parts.push(amount(event.done, event.unit));
  const made = event.done - task.startDone;
  if (seconds >= 1 && made > 0) {
    const rate = made / seconds;
    parts.push(`${amount(rate, event.unit)}/s`);
    if (event.total && !event.finished) parts.push(`${duration((event.total - event.done) / rate)} left`);
  }
  return parts;
}

function liveLine(event: ProgressEvent, task: Task, seconds: number, columns: number, hasColour: boolean): string {
  const tail = event.finished
    ? `${amount(event.done, event.unit)} in ${duration(seconds)}`
    : details(event, task, seconds).join('  ');
  const room = Math.max(10, columns - 1);
  const label = fit(event.label, Math.max(8, room - tail.length - 4));
  const width = Math.min(30, room - label.length - tail.length - 6);
  if (!event.total || width < 6) return fit(`${label}  ${tail}`, room);
  const filled = Math.round(Math.min(1, event.done / event.total) * width);
  const [done, rest] = ['█'.repeat(filled), '░'.repeat(width - filled)];
  return `${label}  ${hasColour ? `\x1b[36m${done}\x1b[2m${rest}\x1b[0m` : done + rest}  ${tail}`;
}

/** Keeps the end of what does not fit: file names differ there. */
const fit = (text: string, width: number): string =>
  text.length <= width ? text : `…${text.slice(text.length - width + 1)}`;

/** "1.2 GB", "350 kB", "12 wheels". */
export function amount(value: number, unit = 'bytes'): string {
  if (unit !== 'bytes') return `${Number.isInteger(value) ? value : value.toFixed(1)} ${unit}`;
  let size = value;
  for (const name of ['B', 'kB', 'MB', 'GB']) {
    if (size < 1000) return `${size >= 100 || name === 'B' ? Math.round(size) : size.toFixed(1)} ${name}`;
    size /= 1000;
  }
  return `${size.toFixed(2)} TB`;
}

/** "45s", "3m 05s", "2h 10m". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
}
