/** How a verb ends before its work, or after it, otherwise than by an error of the work itself. */

export const EXIT = { ok: 0, error: 1, usage: 2, interrupted: 130 } as const;

/** A command line that cannot be understood. Prints its message and where help is; exit code 2. */
export class UsageError extends Error {}

/** The end of a verb that has said all there is to say. */
export class Exit extends Error {
  constructor(readonly code: number) {
    super(`exit ${code}`);
  }
}
