/**
 * Strategies are coroutines: each says which rows it wants computed, waits, and gets them. Whoever runs them gathers the wishes of all that
 * are active into one step of each engine, so any mix of strategies advances as one batch.
 */
import type { Engine, StepRequest, StepResult } from '../engine.ts';
import type { GenerationEvent } from '../events.ts';

/** Rows that a strategy wants: of its own model or of one that drafts for it. */
export interface Ask extends StepRequest {
  readonly engine: Engine;
}

/** Asks, events on the way, and in the end nothing: what was written went out as events. */
export type Strategy = Generator<Wish, void, readonly StepResult[]>;

/** What a strategy gives out at once: rows to compute, or events to pass on (then it is called again without results). */
export type Wish = { readonly asks: readonly Ask[] } | { readonly events: readonly GenerationEvent[] };

/** One strategy at work, with what it may still need. */
export interface Task {
  readonly strategy: Strategy;
  /** Cache tokens that it may still take, at most. */
  tokensToCome(): number;
  /** End what is being written: its last events. Called when the user interrupts. */
  abort(): readonly GenerationEvent[];
  /** Give back every sequence, whatever state the strategy is in. */
  free(): void;
}

/** Ask for rows and wait for them. */
export function* compute(asks: readonly Ask[]): Generator<Wish, readonly StepResult[], readonly StepResult[]> {
  return asks.length === 0 ? [] : yield { asks };
}
