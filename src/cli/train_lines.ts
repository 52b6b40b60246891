/** A training run as plain lines, for logs: the kind of event, its step, and name=value pairs under the names of the events. */
import type { TrainingEvent } from '../training/events.ts';
import { written } from './charts/index.ts';

/** One line. Texts are JSON strings, so that a line stays a line; rates, losses and sizes are plain numbers. */
export function eventLine(event: TrainingEvent, most: number, left: number | null = null): string {
  const words = [event.type, event.type === 'step' && most > 0 ? `${event.step}/${most}` : String(event.step)];
  for (const [name, value] of Object.entries(event)) {
    if (['type', 'step', 'time'].includes(name) || value === null || value === undefined) continue;
    if (typeof value !== 'object') words.push(`${name}=${said(value)}`);
    else for (const [part, inner] of Object.entries(value)) words.push(`${name}.${part}=${said(inner)}`);
  }
  if (left !== null) words.push(`left=${written(Math.round(left), 'seconds').replace(' ', '')}`);
  return words.join(' ');
}

function said(value: unknown): string {
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
  if (typeof value === 'boolean') return String(value);
  // What JSON leaves as it is could still steer a terminal.
  return JSON.stringify(String(value)).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u${char.codePointAt(0)!.toString(16).padStart(4, '0')}`,
  );
}
