/** Where output goes: data to stdout, everything about the work to stderr. */
import { type ProgressReporter, progressReporter } from '../node/progress.ts';

let reporter: ProgressReporter | undefined;

/** The progress of this run, on stderr. */
export function progress(): ProgressReporter {
  reporter ??= progressReporter();
  return reporter;
}

/** Write data and wait until it is taken, so that large output does not pile up. */
export function write(text: string): Promise<void> {
  return new Promise((resolve) => {
    if (process.stdout.write(text)) resolve();
    else process.stdout.once('drain', () => resolve());
  });
}

export function writeJson(value: unknown): Promise<void> {
  return write(`${JSON.stringify(value)}\n`);
}

/** A line about the work, on stderr, below any line of progress. */
export function say(text: string): void {
  reporter?.stop();
  process.stderr.write(`${text}\n`);
}

/** A line that matters less than the text around it. */
export function sayAside(text: string): void {
  const hasColour = process.stderr.isTTY && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
  say(hasColour ? `\x1b[2m${text}\x1b[0m` : text);
}

/** What a model writes, made safe for a terminal: a control character could steer it. Other readers get the text as it is. */
export function shownText(text: string): string {
  if (!process.stdout.isTTY) return text;
  return text.replace(/\p{Cc}/gu, (char) => (char === '\n' || char === '\t' ? char : '\u{fffd}'));
}
