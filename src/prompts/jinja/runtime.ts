import type { Budget } from './errors.ts';
import { characters, type Str } from './marked.ts';
import type { Call, Value } from './values.ts';

/** The parts of the language that filters and methods reach back into. */
export interface Language {
  readonly filters: ReadonlyMap<string, Call>;
  readonly tests: ReadonlyMap<string, Call>;
  attribute(object: Value, name: string): Value;
  item(object: Value, index: Value, runtime: Runtime): Value;
}

/** What filters, tests and methods may use while a template renders. */
export class Runtime {
  constructor(
    readonly budget: Budget,
    /** The moment that `strftime_now` sees. */
    readonly now: Date,
    readonly language: Language,
  ) {}

  characters(s: Str): Str[] {
    this.budget.spend(s.text.length);
    return characters(s);
  }

  /** Pays for looking `needle` up in `text`, at its worst. */
  search(text: string, needle: string): void {
    this.budget.spend((text.length * Math.max(1, Math.min(needle.length, text.length))) / 64);
  }

  /** Pays for a string that was just made, and returns it. */
  made(s: Str): Str {
    this.budget.text(s.text.length);
    this.budget.spend(s.marks.length);
    return s;
  }
}

/** A call without keywords. */
export const NO_KEYWORDS: ReadonlyMap<string, Value> = new Map();
