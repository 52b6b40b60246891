/** What is wrong with a regular expression; whoever knows where it stood makes a SettingError from it. */
export class PatternProblem extends Error {
  constructor(
    message: string,
    /** Whether it is only too large for an automaton: a grammar with counters may still do. */
    readonly large = false,
  ) {
    super(message);
  }
}
