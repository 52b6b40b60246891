/** What a constraint is to the rest of generation: which tokens may come next, given those that came. */

/** A compiled constraint for one vocabulary: immutable, shared by all answers that follow it. */
export interface Constraint {
  /** The state before anything was written. */
  start(): ConstraintState;
}

/** Where one answer stands in its constraint. */
export interface ConstraintState {
  /**
   * Bit t % 32 of word t / 32 says whether token t may come next; end tokens and other special ones are never in it. Valid until the next call
   * on any state of the same constraint; never written to by the reader.
   */
  mask(): Uint32Array;
  /** Whether what was written is complete: an end token may come. */
  readonly canEnd: boolean;
  /** Whether nothing but an end may come. */
  readonly mustEnd: boolean;
  /** Take a token. @returns false, and the state is as before, when it may not come here. */
  accept(token: number): boolean;
  /** Take bytes that no token has to stand for: the rest of a token that began before the constraint did. Else as {@link accept}. */
  acceptBytes(bytes: Uint8Array): boolean;
  /** Bytes that every continuation begins with, as far as that is known cheaply; may be empty. */
  forced(): Uint8Array;
  /** An independent copy: for beams and drafts. */
  fork(): ConstraintState;
}

/** The bytes of every token that text can be made of. Special tokens have none. */
export interface ConstraintVocabulary {
  readonly size: number;
  /** UTF-8 bytes of a token as it stands inside a text; null for special and unused ones. */
  bytesOf(token: number): Uint8Array | null;
}
