/** Stop strings in text that arrives in pieces. */

export interface StopResult {
  /** Text that may be given out: it is before any stop string and cannot become one. */
  readonly text: string;
  readonly stopped: boolean;
}

export class StopMatcher {
  private held = '';

  constructor(private readonly stops: readonly string[]) {}

  /** Take the next piece. What may still be the beginning of a stop string is held back; after a stop nothing more comes. */
  push(piece: string): StopResult {
    const text = this.held + piece;
    let at = -1;
    for (const stop of this.stops) {
      const found = text.indexOf(stop);
      if (found >= 0 && (at < 0 || found < at)) at = found;
    }
    if (at >= 0) {
      this.held = '';
      return { text: text.slice(0, at), stopped: true };
    }
    const hold = this.longestBeginning(text);
    this.held = text.slice(text.length - hold);
    return { text: text.slice(0, text.length - hold), stopped: false };
  }

  /** What was held back, when nothing more comes. */
  end(): string {
    const rest = this.held;
    this.held = '';
    return rest;
  }

  /** Length of the longest end of a text that is the beginning of a stop string. */
  private longestBeginning(text: string): number {
    let longest = 0;
    for (const stop of this.stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (text.endsWith(stop.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}
