import { InkstoneError } from '../../errors.ts';

/** What went wrong, named as Jinja and Python name it; `Limit` is our own bound on untrusted templates. */
export type TemplateErrorType =
  | 'TemplateSyntaxError'
  | 'TemplateError'
  | 'UndefinedError'
  | 'SecurityError'
  | 'TypeError'
  | 'ValueError'
  | 'KeyError'
  | 'IndexError'
  | 'ZeroDivisionError'
  | 'OverflowError'
  | 'Limit';

/** A chat template that cannot be read, or that refused or failed to render these messages. */
export class ChatTemplateError extends InkstoneError {
  constructor(
    readonly errorType: TemplateErrorType,
    /** The reason alone: the template's own words when it called `raise_exception`. */
    readonly reason: string,
    /** Line of the template, counted from 1; 0 when unknown. */
    readonly line = 0,
    /** The template as the user knows it. */
    readonly template = 'chat template',
  ) {
    super(`${template}${line > 0 ? `, line ${line}` : ''}: ${reason}`);
  }
}

/** Raised inside the interpreter, which knows the line; never leaves it. */
export class Failure extends Error {
  constructor(
    readonly errorType: TemplateErrorType,
    reason: string,
  ) {
    super(reason);
  }
}

export const typeError = (reason: string): Failure => new Failure('TypeError', reason);
export const valueError = (reason: string): Failure => new Failure('ValueError', reason);

/**
 * The bound on what an untrusted template may do. Every evaluated node, list item and (in part) every character that an
 * operation reads or makes costs something; a template that has spent everything is refused.
 */
export class Budget {
  private left: number;

  constructor(readonly steps: number) {
    this.left = steps;
  }

  spend(cost: number): void {
    this.left -= cost;
    if (!(this.left >= 0)) {
      throw new Failure('Limit', `the template needs more than the ${this.steps} steps it may take`);
    }
  }

  /** The cost of an operation that reads or makes this many characters; one string may hold 2^24. */
  text(length: number): void {
    if (length > 1 << 24) throw new Failure('Limit', `a string of ${length} characters is longer than ${1 << 24}`);
    this.spend(length / 8);
  }
}
