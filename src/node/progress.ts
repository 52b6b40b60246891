/** Progress of long work on stderr: a bar with rate and time left on a terminal, a line now and then elsewhere. */
import type { ProgressEvent, ProgressListener } from '../hub/progress.ts';

const BAR = 24;
/** Milliseconds between two paintings on a terminal, and between two lines elsewhere. */
const PAINT = 100;
const LINE = 5000;

/** A listener that shows events on a stream; `stream.isTTY` decides how. */
export function progressReporter(stream: NodeJS.WriteStream = process.stderr): ProgressListener {
  const started = new Map<string, { at: number; from: number }>();
  let painted = 0;
  return (event) => {
    const now = Date.now();
    const start = started.get(event.label) ?? { at: now, from: event.done };
    started.set(event.label, start);
    if (!event.finished && now - painted < (stream.isTTY ? PAINT : LINE)) return;
    painted = now;
    const line = describe(event, (now - start.at) / 1000, event.done - start.from, Math.min(stream.columns ?? 80, 100));
    if (!stream.isTTY) stream.write(`${line}\n`);
    else stream.write(`\r\x1b[2K${line}${event.finished ? '\n' : ''}`);
    if (event.finished) started.delete(event.label);
  };
}

function describe(
  { label, done, total, unit = 'bytes' }: ProgressEvent,
  seconds: number,
  progressed: number,
  width: number,
): string {
  const rate = seconds > 0 ? progressed / seconds : 0;
  const parts = [total ? `${amount(done, unit)} of ${amount(total, unit)}` : amount(done, unit)];
  if (rate > 0) parts.push(`${amount(rate, unit)}/s`);
  if (total && rate > 0 && done < total) parts.push(`${duration((total - done) / rate)} left`);
  const filled = total ? Math.round((Math.min(done, total) / total) * BAR) : 0;
  const bar = total ? `[${'█'.repeat(filled)}${'·'.repeat(BAR - filled)}] ` : '';
  const text = ` ${bar}${parts.join(', ')}`;
  const room = Math.max(width - text.length - 1, 8);
  return (label.length > room ? `…${label.slice(1 - room)}` : label) + text;
}

/** "12.3 MB", "1,234 steps". */
export function amount(value: number, unit: string): string {
  if (unit !== 'bytes') return `${Math.round(value).toLocaleString('en')} ${unit}`;
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = value < 1000 ? 0 : Math.min(Math.floor(Math.log10(value) / 3), units.length - 1);
  return `${(value / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

function duration(seconds: number): string {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}
