/**
 * One step of generation, explained as data: the distribution of the model, what each setting did to it in turn, and what was left to
 * choose from. Nothing here runs unless somebody asks: the work is done on a copy of the step's scores.
 */
import { SettingError } from '../errors.ts';
import { buildChain, type ChainStep, type ProcessorOptions } from './processors.ts';
import { exponential } from './rows.ts';
import type { GenerationSettings, ProcessorContext, Scores } from './types.ts';

/** A step as the strategies show it to whoever watches. Valid during the call: what is to be kept has to be copied. */
export interface ObservedStep {
  /** Which prompt, which of its answers, and which new token of it, from 0. */
  readonly prompt: number;
  readonly index: number;
  readonly step: number;
  readonly settings: GenerationSettings;
  /** The model's scores (V), before any processor. */
  readonly logits: Scores;
  /** The same after a constraint took away what it forbids, where there is one. */
  readonly constrained?: Scores;
  /** The scores from which `token` was chosen. */
  readonly processed: Scores;
  readonly context: ProcessorContext;
  readonly token: number;
}

/** Called once for every token that is chosen. */
export type StepObserver = (step: ObservedStep) => void;

/** A token of a distribution. */
export interface ExplainedToken {
  readonly id: number;
  /** 1 for the most probable; the smaller id first among equals; null when it was removed. */
  readonly rank: number | null;
  readonly probability: number;
  /** Natural logarithm; null when it was removed. */
  readonly logprob: number | null;
}

export interface ExplainedDistribution {
  /** -Σ p ln p, in nats. */
  readonly entropy: number;
  /** Tokens that are not removed. */
  readonly count: number;
  /** The most probable, in order. */
  readonly top: readonly ExplainedToken[];
}

/** A token whose score a processor changed, with its probability before and after. */
export interface ChangedToken {
  readonly id: number;
  readonly before: number;
  readonly after: number;
}

/** What one processor did. */
export interface ProcessorEffect {
  /** The name of the setting; `allowed` and `processors` are the caller's functions, `constraint` a grammar's mask, `other` what none of these explains. */
  readonly name: string;
  readonly removed: {
    readonly count: number;
    /** Probability that they had together before this processor. */
    readonly mass: number;
    /** The most probable of them, with their rank and probability before this processor. */
    readonly top: readonly ExplainedToken[];
  };
  readonly changed: {
    /** Tokens that stay, with another score. */
    readonly count: number;
    /** Those whose probability changed most. */
    readonly top: readonly ChangedToken[];
  };
  readonly entropy_before: number;
  readonly entropy_after: number;
  /** Tokens that are left. */
  readonly left: number;
}

export interface ExplainedStep {
  readonly prompt: number;
  readonly index: number;
  readonly step: number;
  readonly raw: ExplainedDistribution;
  /** In the order in which they acted. Those that are on but did nothing at this step are here too, with counts of 0. */
  readonly effects: readonly ProcessorEffect[];
  readonly processed: ExplainedDistribution;
  readonly chosen: { readonly id: number; readonly before: ExplainedToken; readonly after: ExplainedToken };
  /** Tokens asked for by `tokens`, in that order, before and after. */
  readonly named: readonly { readonly id: number; readonly before: ExplainedToken; readonly after: ExplainedToken }[];
}

export interface ExplainOptions {
  /** Tokens of each list; 8 unless given, at most 1000. */
  readonly top?: number;
  /** Ids whose probabilities are wanted whatever their rank. */
  readonly tokens?: readonly number[];
  /** What the generation was given besides settings. */
  readonly processors?: ProcessorOptions;
  /** The chain to explain, instead of one made for this step: samplers that remember need the same one at every step of an answer. */
  readonly chain?: readonly ChainStep[];
}

/** Explains the steps of one generation, with a chain for each answer. Its steps have to come in order. */
export function explainer(options: Omit<ExplainOptions, 'chain'> = {}): (observed: ObservedStep) => ExplainedStep {
  const chains = new Map<string, readonly ChainStep[]>();
  return (observed) => {
    const key = `${observed.prompt}:${observed.index}`;
    const chain = chains.get(key) ?? chainFor(observed, options);
    chains.set(key, chain);
    return explainStep(observed, { ...options, chain });
  };
}

function chainFor({ settings }: ObservedStep, { processors }: ExplainOptions): readonly ChainStep[] {
  return buildChain(settings, processors);
}

/** @throws SettingError for an id that the vocabulary does not have. */
export function explainStep(observed: ObservedStep, options: ExplainOptions = {}): ExplainedStep {
  const { prompt, index, step, logits, constrained, processed, token } = observed;
  const { top = 8, tokens = [], chain = chainFor(observed, options) } = options;
  if (!Number.isInteger(top) || top < 0 || top > 1000) {
    throw new SettingError('top', top, 'has to be a whole number, 0 or more and at most 1000');
  }
  for (const id of tokens) {
    if (!Number.isInteger(id) || id < 0 || id >= logits.length) {
      throw new SettingError('tokens', id, `has to be token ids from 0 to ${logits.length - 1}`);
    }
  }
  // Samplers that draw numbers of their own draw those of the answer.
  const context = { ...observed.context, stream: index };
  const raw = new Row(logits);
  const effects: ProcessorEffect[] = [];
  let row = raw;
  const went = (name: string, after: Scores): void => {
    const next = new Row(after);
    effects.push(effectOf(name, row, next, top));
    row = next;
  };
  if (constrained) went('constraint', constrained);
  for (const { name, apply } of chain) {
    const scores = row.scores.slice();
    apply(scores, context);
    went(name, scores);
  }
  const last = new Row(processed);
  if (!isSame(row, last)) went('other', processed);
  const both = (id: number) => ({ id, before: raw.token(id), after: last.token(id) });
  return {
    prompt,
    index,
    step,
    raw: raw.distribution(top),
    effects,
    processed: last.distribution(top),
    chosen: both(token),
    named: tokens.map(both),
  };
}

/** Scores with what makes probabilities of them. */
class Row {
  readonly greatest: number;
  readonly logTotal: number;
  readonly entropy: number;
  readonly count: number;

  constructor(readonly scores: Scores) {
    let greatest = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < scores.length; i++) if (scores[i] > greatest) greatest = scores[i];
    let [total, sum, count] = [0, 0, 0];
    for (let i = 0; i < scores.length; i++) {
      if (!(scores[i] > Number.NEGATIVE_INFINITY)) continue;
      count++;
      if (scores[i] === greatest) total++;
      else {
        const weight = exponential(scores[i] - greatest);
        total += weight;
        sum += weight * (scores[i] - greatest);
      }
    }
    this.greatest = greatest;
    this.count = count;
    this.logTotal = count === 0 ? 0 : Math.log(total);
    // An entropy is never below 0; rounding may be.
    this.entropy = count === 0 ? 0 : Math.max(0, this.logTotal - sum / total);
  }

  has(id: number): boolean {
    return this.scores[id] > Number.NEGATIVE_INFINITY;
  }

  logprob(id: number): number {
    const { scores, greatest } = this;
    return (scores[id] === greatest ? 0 : scores[id] - greatest) - this.logTotal;
  }

  probability(id: number): number {
    return this.has(id) ? Math.exp(this.logprob(id)) : 0;
  }

  token(id: number): ExplainedToken {
    if (!this.has(id)) return { id, rank: null, probability: 0, logprob: null };
    const { scores } = this;
    const score = scores[id];
    let rank = 1;
    for (let i = 0; i < scores.length; i++) if (scores[i] > score || (scores[i] === score && i < id)) rank++;
    const logprob = this.logprob(id);
    return { id, rank, probability: Math.exp(logprob), logprob };
  }

  distribution(top: number): ExplainedDistribution {
    const ids = greatestOf(this.scores.length, top, (i) => this.scores[i]);
    return {
      entropy: this.entropy,
      count: this.count,
      top: ids.map((id, i) => {
        const logprob = this.logprob(id);
        return { id, rank: i + 1, probability: Math.exp(logprob), logprob };
      }),
    };
  }
}

/** The places of the greatest values that are not -Infinity, from the greatest down; the smaller place among equals. */
function greatestOf(length: number, most: number, value: (i: number) => number): number[] {
  const best: number[] = [];
  const values: number[] = [];
  for (let i = 0; i < length; i++) {
    const x = value(i);
    if (!(x > Number.NEGATIVE_INFINITY)) continue;
    if (best.length === most && !(x > values[most - 1])) continue;
    let at = best.length;
    while (at > 0 && values[at - 1] < x) at--;
    best.splice(at, 0, i);
    values.splice(at, 0, x);
    if (best.length > most) {
      best.pop();
      values.pop();
    }
  }
  return best;
}

function effectOf(name: string, before: Row, after: Row, top: number): ProcessorEffect {
  const { length } = before.scores;
  const isRemoved = (i: number): boolean => before.has(i) && !after.has(i);
  const isChanged = (i: number): boolean => after.has(i) && !Object.is(before.scores[i], after.scores[i]);
  let [removed, mass, changed] = [0, 0, 0];
  for (let i = 0; i < length; i++) {
    if (isRemoved(i)) {
      removed++;
      mass += before.probability(i);
    } else if (isChanged(i)) changed++;
  }
  const gone = removed === 0 ? [] : greatestOf(length, top, (i) => (isRemoved(i) ? before.scores[i] : -Infinity));
  const shift = (i: number) => Math.abs(after.probability(i) - before.probability(i));
  const moved = changed === 0 ? [] : greatestOf(length, top, (i) => (isChanged(i) ? shift(i) : -Infinity));
  return {
    name,
    removed: { count: removed, mass: Math.min(1, mass), top: gone.map((id) => before.token(id)) },
    changed: {
      count: changed,
      top: moved.map((id) => ({ id, before: before.probability(id), after: after.probability(id) })),
    },
    entropy_before: before.entropy,
    entropy_after: after.entropy,
    left: after.count,
  };
}

/** Whether two rows are one distribution: the same tokens, and the same scores but for rounding. */
function isSame(a: Row, b: Row): boolean {
  if (a.count !== b.count) return false;
  for (let i = 0; i < a.scores.length; i++) {
    if (a.has(i) !== b.has(i)) return false;
    if (a.has(i) && Math.abs(a.logprob(i) - b.logprob(i)) > 1e-4 * Math.max(1, Math.abs(a.logprob(i)))) return false;
  }
  return true;
}

/** What a whole answer's steps say together. */
export interface ExplainedSummary {
  readonly steps: number;
  /** Means over steps, in nats. */
  readonly mean_entropy_raw: number;
  readonly mean_entropy_processed: number;
  /** e^-(mean log-probability of the chosen tokens) under the model itself; Infinity is written as null. */
  readonly perplexity: number | null;
  /** How often the chosen token was the model's most probable one. */
  readonly share_of_first_rank: number;
  /** Of each processor: tokens removed and probability taken away at a step, on average, and at how many steps it did anything. */
  readonly settings: readonly {
    readonly name: string;
    readonly mean_removed: number;
    readonly mean_mass: number;
    readonly active_steps: number;
  }[];
}

export function summarizeSteps(steps: readonly ExplainedStep[]): ExplainedSummary {
  const mean = (value: (step: ExplainedStep) => number): number =>
    steps.length === 0 ? 0 : steps.reduce((sum, step) => sum + value(step), 0) / steps.length;
  const names = [...new Set(steps.flatMap(({ effects }) => effects.map(({ name }) => name)))];
  const loss = mean(({ chosen }) => -(chosen.before.logprob ?? Number.NEGATIVE_INFINITY));
  return {
    steps: steps.length,
    mean_entropy_raw: mean(({ raw }) => raw.entropy),
    mean_entropy_processed: mean(({ processed }) => processed.entropy),
    perplexity: Number.isFinite(loss) ? Math.exp(loss) : null,
    share_of_first_rank: mean(({ chosen }) => Number(chosen.before.rank === 1)),
    settings: names.map((name) => {
      const of = ({ effects }: ExplainedStep) => effects.find((effect) => effect.name === name);
      return {
        name,
        mean_removed: mean((step) => of(step)?.removed.count ?? 0),
        mean_mass: mean((step) => of(step)?.removed.mass ?? 0),
        active_steps: steps.filter((step) => {
          const effect = of(step);
          return effect !== undefined && effect.removed.count + effect.changed.count > 0;
        }).length,
      };
    }),
  };
}
