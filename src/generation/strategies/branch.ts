/**
 * A branch: one continuation of a prompt while it grows, with all that its next scores depend on — the sequence that computes it, the
 * second one of guidance, and where it stands in its constraint. Every strategy works on branches, so guidance, DoLa and constraints
 * go with all of them.
 */
import type { ConstraintState } from '../constraints/types.ts';
import type { Rows, StepResult } from '../engine.ts';
import { guide } from '../processors.ts';
import type { Sequence } from '../sequence.ts';
import type { Scores } from '../types.ts';
import { contrastLayers } from './dola.ts';
import type { Job } from './job.ts';
import type { Ask } from './strategy.ts';

const REMOVED = Number.NEGATIVE_INFINITY;

export class Branch {
  constructor(
    readonly job: Job,
    readonly main: Sequence,
    /** The same answer after the prompt of guidance. */
    readonly free: Sequence | null,
    readonly constraint: ConstraintState | null,
  ) {}

  get tokens(): readonly number[] {
    return this.main.tokens;
  }

  /** What the engine has to compute for `scores`: one ask, or two with guidance. */
  asks(logits: Rows = 'last', hidden?: Rows): Ask[] {
    const { engine, exits, settings } = this.job;
    if (!settings.use_cache) for (const sequence of [this.main, this.free]) if (sequence) computeAgain(sequence);
    const asks: Ask[] = [{ engine, sequence: this.main, logits, hidden, exits: logits === 'none' ? [] : exits }];
    if (this.free) asks.push({ engine, sequence: this.free, logits });
    return asks;
  }

  /** How many results belong to this branch. */
  get width(): number {
    return this.job.width;
  }

  /**
   * The scores of a row of what was asked for, with guidance and layers' contrast in it: the caller's to change.
   * @param at where this branch's results begin. @param row which of several rows.
   */
  scores(results: readonly StepResult[], at = 0, row = 0): Scores {
    const V = this.job.engine.model.config.vocab_size;
    const part = (rows: Float32Array) => rows.subarray(row * V, (row + 1) * V);
    let scores = part(results[at].logits);
    // What is plausible is judged among what may come.
    if (this.job.exits.length > 0) {
      this.constrain(scores);
      scores = contrastLayers(scores, results[at].exits.map(part));
    }
    if (this.free) guide(scores, part(results[at + 1].logits), this.job.settings.guidance_scale!);
    return scores;
  }

  /** Remove the tokens that the constraint forbids here, or where a draft is; an end stays where the text may end. */
  constrain(scores: Scores, constraint = this.constraint): void {
    if (!constraint) return;
    const mask = constraint.mask();
    const ends = constraint.canEnd ? this.job.settings.eos_token_id.map((id) => [id, scores[id]] as const) : [];
    for (let word = 0, from = 0; from < scores.length; word++, from += 32) {
      const bits = mask[word];
      if (bits === 0xffffffff) continue;
      const to = Math.min(from + 32, scores.length);
      if (bits === 0) scores.fill(REMOVED, from, to);
      else for (let i = from; i < to; i++) if (((bits >>> (i - from)) & 1) === 0) scores[i] = REMOVED;
    }
    for (const [id, score] of ends) scores[id] = score;
  }

  /** Whether nothing but an end may come. */
  get mustEnd(): boolean {
    return this.constraint?.mustEnd ?? false;
  }

  /** Go on with a token. */
  append(token: number): void {
    this.constraint?.accept(token);
    this.extend([token]);
  }

  /** Put tokens after it that may have to go again; the constraint does not move. */
  extend(tokens: readonly number[]): void {
    this.main.append(tokens);
    this.free?.append(tokens);
  }

  /** Drop the last `count` tokens. */
  drop(count: number): void {
    if (count === 0) return;
    this.main.truncate(this.main.length - count);
    this.free?.truncate(this.free.length - count);
  }

  fork(): Branch {
    return new Branch(this.job, this.main.fork(), this.free?.fork() ?? null, this.constraint?.fork() ?? null);
  }

  release(): void {
    this.main.free();
    this.free?.free();
  }
}

/** Forget what was computed of a sequence, except what the cache of shared beginnings has. */
function computeAgain(sequence: Sequence): void {
  const tokens = [...sequence.tokens];
  sequence.truncate(0);
  sequence.append(tokens);
}
