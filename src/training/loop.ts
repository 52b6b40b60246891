/**
 * The loop: steps, evaluations, samples and checkpoints in their order, as a stream of events. It knows no files and no clock of its
 * own; what it must remember is one small JSON state, so that a resumed run does what the uninterrupted one does, to the bit.
 */
import type { Batch, TextCounts } from './data/index.ts';
import type { EndEvent, EvaluationEvent, TrainingEvent } from './events.ts';
import type { TrainingDefaults } from './presets.ts';
import { scheduleFactor } from './schedules.ts';
import type { StepResult, TrainingStep } from './step.ts';

export interface LoopSettings extends TrainingDefaults {
  /** Evaluate, sample and save every so many steps; 0 for never but at the end. */
  readonly eval_every: number;
  readonly sample_every: number;
  readonly save_every: number;
  /** Stop after so many evaluations without a better one; 0 for never. */
  readonly patience: number;
  /** Stop after so many seconds of training since this start of the run; 0 for never. */
  readonly max_time: number;
  /** A step whose gradient norm is so many times the usual one is not made; 0 for never. */
  readonly explosion_factor: number;
}

/** Batches of an evaluation where nobody says how many windows it has. */
export const EVALUATION_BATCHES = 50;
/** A gradient so many times as long as usual is an explosion. */
const EXPLOSION = 50;

/** Training with the loop's own settings: those given, else what suits the length of the run. Samples come with evaluations. */
export function loopSettings(
  training: TrainingDefaults,
  given: Partial<Omit<LoopSettings, keyof TrainingDefaults>>,
): LoopSettings {
  const every = Math.max(1, Math.min(250, Math.round(training.max_steps / 10)));
  return {
    ...training,
    eval_every: given.eval_every ?? every,
    sample_every: given.sample_every ?? given.eval_every ?? every,
    save_every: given.save_every ?? every,
    patience: given.patience ?? 0,
    max_time: given.max_time ?? 0,
    explosion_factor: given.explosion_factor ?? EXPLOSION,
  };
}

/** What the loop remembers between steps, as JSON. */
export interface LoopState {
  /** Steps done. */
  readonly step: number;
  readonly tokens: number;
  readonly seconds: number;
  readonly loss: number | null;
  readonly best: { readonly step: number; readonly loss: number } | null;
  /** Evaluations since the best. */
  readonly stale: number;
  /** Running mean of the gradient norm, and over how many steps. */
  readonly norm: { readonly mean: number; readonly count: number };
  readonly rate_factor: number;
  /** Steps skipped one after another, and returns to a checkpoint so far. */
  readonly skipped: number;
  readonly rollbacks: number;
  /** Why the run is over, once it is. */
  readonly ended: EndEvent['reason'] | null;
}

export const firstState: LoopState = {
  step: 0,
  tokens: 0,
  seconds: 0,
  loss: null,
  best: null,
  stale: 0,
  norm: { mean: 0, count: 0 },
  rate_factor: 1,
  skipped: 0,
  rollbacks: 0,
  ended: null,
};

export interface LoopHost {
  /** Seconds on a clock that does not jump. */
  now(): number;
  resident?(): number;
  /** Save everything; the answer names where. */
  save?(state: LoopState, best: boolean): Promise<string>;
  /** Bring parameters and optimiser back to the last checkpoint; null where there is none. */
  rollBack?(): Promise<LoopState | null>;
  sample?(step: number): Promise<{ readonly prompt: string; readonly text: string }>;
}

/** What steps are fed: batches as a function of (step, micro-step). */
export interface StepBatches<B> {
  /** Tokens that a step is trained on. */
  readonly tokensPerStep: number;
  /** Whether batches are made by the model as it is now: then none is asked for before its step's turn. */
  readonly isLive?: boolean;
  batch(step: number, micro: number): B | Promise<B>;
}

/** What evaluations are made of: the same batches each time. */
export interface EvaluationSet<B> {
  readonly count: number;
  batch(index: number): B;
}

export interface LoopOptions<B = Batch> {
  readonly step: TrainingStep<B>;
  readonly batches: StepBatches<B>;
  readonly settings: LoopSettings;
  readonly evaluation: EvaluationSet<B> | null;
  /** Of the validation data: what bits per byte and per character are made of; null where it is not text alone. */
  readonly counts: TextCounts | null;
  readonly flops_per_token: number;
  readonly peak_flops: number | null;
  readonly host: LoopHost;
  readonly state?: LoopState;
  /** Aborting ends the run after the step in flight, with a checkpoint. */
  readonly signal?: AbortSignal;
}

/** Weight of the newest step in the running mean of gradient norms, and steps before it is believed. */
const NORM_MEMORY = 0.98;
const NORM_STEPS = 20;
/** Skipped steps in a row before the run goes back, by how much the rate falls then, and returns before it gives up. */
const SKIPS = 5;
const RATE_FALL = 0.5;
const ROLLBACKS = 3;

/** Train, from the state on, to the end of the run. The last event is of type `end`. */
export async function* trainingLoop<B = Batch>(options: LoopOptions<B>): AsyncGenerator<TrainingEvent, void, void> {
  const { step, batches, settings, host, signal } = options;
  let state = options.state ?? firstState;
  const secondsBefore = state.seconds;
  let [started, speed] = [host.now(), 0];
  const micros = Array.from({ length: settings.gradient_accumulation_steps }, (_, i) => i);
  const dataOf = (s: number) => micros.map((micro) => batches.batch(s, micro));
  const isTime = (every: number) => every > 0 && state.step % every === 0;
  let saved = options.state ? state.step : -1;
  /** When the step before ended, and what its kernels had taken by then; null where more than its event came after it. */
  let before: { readonly time: number; readonly kernels: number } | null = null;
  let evaluated: EvaluationEvent | null = null;

  let next: readonly (B | Promise<B>)[] | null = null;
  while (state.ended === null) {
    if (state.step >= settings.max_steps) state = { ...state, ended: 'finished' };
    else if (settings.max_time > 0 && state.seconds - secondsBefore >= settings.max_time)
      state = { ...state, ended: 'max_time' };
    else if (settings.patience > 0 && state.stale >= settings.patience) state = { ...state, ended: 'early_stopping' };
    else if (signal?.aborted) break;
    if (state.ended !== null) break;

    const s = state.step;
    const factor = scheduleFactor(settings, s) * state.rate_factor;
    const norm_limit = normLimit(state, settings);
    const data = await Promise.all(next ?? dataOf(s));
    const pending = step.run(s, data, {
      learning_rate: settings.learning_rate * factor,
      matrix_learning_rate: settings.matrix_learning_rate === null ? null : settings.matrix_learning_rate * factor,
      norm_limit,
    });
    next = s + 1 < settings.max_steps && !batches.isLive ? dataOf(s + 1) : null; // while the backend works
    const result = await pending;
    const now = host.now();
    const elapsed = Math.max(1e-9, now - started);
    started = now;
    const kernels = step.kernelSeconds ?? null;
    const outside =
      before && kernels !== null ? 1 - (kernels - before.kernels) / Math.max(1e-9, now - before.time) : null;
    before = kernels === null ? null : { time: now, kernels };
    const tokens = batches.tokensPerStep;
    speed = speed === 0 ? tokens / elapsed : 0.9 * speed + 0.1 * (tokens / elapsed);
    state = afterStep(state, result, tokens, elapsed);
    if (!result.applied) {
      yield {
        type: 'skipped',
        step: state.step,
        loss: result.loss,
        grad_norm: result.grad_norm,
        reason: whySkipped(result, norm_limit),
      };
      if (state.skipped >= SKIPS) {
        const why = `${state.skipped} steps in a row had gradients that were ${Number.isFinite(result.grad_norm) ? 'exploding' : 'not finite'}`;
        const back = state.rollbacks < ROLLBACKS ? ((await host.rollBack?.()) ?? null) : null;
        if (!back) {
          yield end({ ...state, ended: 'diverged' }, `${why}; a lower learning_rate or a longer warm-up may help`);
          return;
        }
        const rate_factor = state.rate_factor * RATE_FALL;
        yield { type: 'rollback', step: state.step, to: back.step, rate_factor, reason: why };
        state = { ...back, rate_factor, skipped: 0, rollbacks: state.rollbacks + 1, seconds: state.seconds };
        // So that a run that is killed now remembers the lower rate.
        await host.save?.(state, false);
        saved = back.step;
        next = null;
        started = host.now();
        before = null;
      }
      continue;
    }
    yield {
      type: 'step',
      step: state.step,
      loss: result.loss,
      grad_norm: result.grad_norm,
      learning_rate: settings.learning_rate * factor,
      tokens: state.tokens,
      tokens_per_second: speed,
      mfu: options.peak_flops ? (speed * options.flops_per_token) / options.peak_flops : null,
      seconds: state.seconds,
      resident: host.resident?.() ?? null,
      ...(outside === null ? {} : { outside_kernels: outside }),
      ...(Object.keys(result.metrics).length > 0 ? { metrics: result.metrics } : {}),
    };
    const isLast = state.step >= settings.max_steps;
    evaluated = null;
    if (isTime(settings.eval_every) || isTime(settings.sample_every) || isTime(settings.save_every)) before = null;
    if (isLast || isTime(settings.eval_every)) {
      evaluated = await evaluate(options, state);
      if (evaluated) {
        state = afterEvaluation(state, evaluated);
        yield evaluated;
      }
    }
    if ((isLast || isTime(settings.sample_every)) && settings.sample_every > 0 && host.sample)
      yield { type: 'sample', step: state.step, ...(await host.sample(state.step)) };
    if (host.save && !isLast && (isTime(settings.save_every) || evaluated?.best)) {
      saved = state.step;
      yield {
        type: 'checkpoint',
        step: saved,
        path: await host.save(state, evaluated?.best ?? false),
        best: evaluated?.best ?? false,
      };
    }
    started = host.now();
  }

  if (state.step > 0 && state.ended !== null && !evaluated && state.step !== state.best?.step) {
    evaluated = await evaluate(options, state);
    if (evaluated) {
      state = { ...afterEvaluation(state, evaluated), ended: state.ended };
      yield evaluated;
    }
  }
  if (host.save && state.step > 0 && (saved !== state.step || state.ended !== null)) {
    const best = evaluated?.best ?? false;
    yield { type: 'checkpoint', step: state.step, path: await host.save(state, best), best };
  }
  yield end(state);
}

function normLimit({ norm }: LoopState, { explosion_factor }: LoopSettings): number {
  const known = explosion_factor > 0 && norm.count >= NORM_STEPS;
  return known ? explosion_factor * norm.mean : Number.POSITIVE_INFINITY;
}

function afterStep(
  state: LoopState,
  { loss, grad_norm, applied }: StepResult,
  tokens: number,
  seconds: number,
): LoopState {
  const { mean, count } = state.norm;
  const kept = Math.min(NORM_MEMORY, count / (count + 1)); // a plain mean at first
  return {
    ...state,
    step: state.step + 1,
    tokens: state.tokens + tokens,
    seconds: state.seconds + seconds,
    ...(applied
      ? { loss, skipped: 0, norm: { mean: kept * mean + (1 - kept) * grad_norm, count: count + 1 } }
      : { skipped: state.skipped + 1 }),
  };
}

function whySkipped({ loss, grad_norm }: StepResult, limit: number): string {
  if (!Number.isFinite(loss)) return `the loss is ${loss}`;
  if (!Number.isFinite(grad_norm)) return `the norm of the gradients is ${grad_norm}`;
  return `the norm of the gradients, ${grad_norm.toPrecision(3)}, is above ${limit.toPrecision(3)}`;
}

function afterEvaluation(state: LoopState, { loss, best, step }: EvaluationEvent): LoopState {
  return { ...state, best: best ? { step, loss } : state.best, stale: best ? 0 : state.stale + 1 };
}

/** The likelihood of the validation windows; null where there are none. */
async function evaluate<B>(
  { step, evaluation, counts, signal }: LoopOptions<B>,
  state: LoopState,
): Promise<EvaluationEvent | null> {
  if (!evaluation) return null;
  let [sum, all] = [0, 0];
  const sums: Record<string, number> = {};
  for (let i = 0; i < evaluation.count; i++) {
    const { loss, metrics, count } = await step.evaluate(evaluation.batch(i));
    sum += loss * count;
    all += count;
    for (const [name, value] of Object.entries(metrics)) sums[name] = (sums[name] ?? 0) + value * count;
    if (signal?.aborted && i + 1 < evaluation.count) return null; // half an evaluation says nothing
  }
  const loss = sum / all;
  const bits = counts && (loss / Math.LN2) * counts.tokens;
  const metrics = Object.fromEntries(Object.entries(sums).map(([name, value]) => [name, value / all]));
  return {
    type: 'evaluation',
    step: state.step,
    loss,
    ...(step.task.isLikelihood ? { perplexity: Math.exp(loss) } : {}),
    ...(counts && bits !== null
      ? { bits_per_byte: bits / counts.bytes, bits_per_character: bits / counts.characters }
      : {}),
    ...(Object.keys(metrics).length > 0 ? { metrics } : {}),
    best: loss < (state.best?.loss ?? Number.POSITIVE_INFINITY),
  };
}

function end(state: LoopState, detail?: string): EndEvent {
  const { step, loss, best, seconds, ended } = state;
  return { type: 'end', step, reason: ended ?? 'interrupted', loss, best, seconds, ...(detail ? { detail } : {}) };
}
