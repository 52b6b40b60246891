/**
 * Grammars over bytes, as the compilers of schemas, expressions and grammar files write them and the engine reads them. Plain data: one
 * expression may stand at many places, and rules may call themselves.
 */

/** A deterministic automaton over bytes, of a regular language. State 0 is the start. */
export interface Automaton {
  /** next[256 * state + byte] is the state after the byte; -1 where it may not come. */
  readonly next: Int32Array;
  /** 1 where the text so far is complete. */
  readonly final: Uint8Array;
}

/** A member of an object that has a name of its own. */
export interface NamedMember {
  /** The whole of what is written before the value: the key with its quotation marks, and the colon. */
  readonly key: Expression;
  readonly value: Expression;
  readonly required: boolean;
}

export type Expression =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** One character, in UTF-8: inclusive ranges of code points, ascending. */
  | { readonly kind: 'characters'; readonly ranges: readonly (readonly [number, number])[] }
  | { readonly kind: 'sequence'; readonly items: readonly Expression[] }
  | { readonly kind: 'choice'; readonly items: readonly Expression[] }
  /** From `min` to `max` (may be Infinity) items, with `separator` between them. Counted, never expanded. */
  | {
      readonly kind: 'repeat';
      readonly item: Expression;
      readonly min: number;
      readonly max: number;
      readonly separator?: Expression;
    }
  /**
   * Members of an object in any order, each named one at most once and the required ones at least once; `others` any number of times,
   * `min` to `max` members in all, with `separator` between them.
   */
  | {
      readonly kind: 'members';
      readonly named: readonly NamedMember[];
      readonly others: readonly { readonly key: Expression; readonly value: Expression }[];
      readonly separator: Expression;
      readonly min: number;
      readonly max: number;
    }
  | { readonly kind: 'automaton'; readonly automaton: Automaton }
  | { readonly kind: 'rule'; readonly name: string };

export interface Grammar {
  readonly rules: ReadonlyMap<string, Expression>;
  /** The rule that the whole text follows. */
  readonly start: string;
}
