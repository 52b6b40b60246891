/** Ctrl-C. Whoever is at work says what it means; while nobody does, it ends the program. */
import { EXIT } from './usage.ts';

const quit = (): void => process.exit(EXIT.interrupted);
let handler = quit;

/** From here on Ctrl-C is ours. */
export function watchInterrupts(): void {
  process.on('SIGINT', () => handler());
}

/** What Ctrl-C does from now on. */
export function onInterrupt(act: () => void): void {
  handler = act;
}

/** A signal that Ctrl-C raises; the second Ctrl-C ends the program at once. `also` is another signal that means the same. */
export function interruptSignal(also?: NodeJS.Signals): AbortSignal {
  const controller = new AbortController();
  if (also) process.once(also, () => controller.abort());
  onInterrupt(() => {
    handler = quit;
    controller.abort();
  });
  return controller.signal;
}
