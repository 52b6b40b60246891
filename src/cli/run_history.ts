/** What the events of a training run add up to: its curves, its latest numbers, and how it ended. */
import type {
  CheckpointEvent,
  EndEvent,
  EvaluationEvent,
  RollbackEvent,
  SampleEvent,
  SkippedEvent,
  StartEvent,
  StepEvent,
  TrainingEvent,
} from '../training/events.ts';

/** What curves are drawn over. */
export type CurveX = 'step' | 'tokens' | 'seconds';
export type CurveY = 'loss' | 'validation' | 'grad_norm' | 'learning_rate' | 'tokens_per_second';

interface TracePoint {
  readonly step: number;
  readonly tokens: number;
  readonly seconds: number;
  readonly value: number;
}

/** A curve in bounded memory: when it is full, each pair of points becomes one. */
class Trace {
  private points: TracePoint[] = [];
  /** How many values make one point, and those that wait for it. */
  private share = 1;
  private waiting: TracePoint[] = [];

  constructor(private readonly capacity: number) {}

  add(point: TracePoint): void {
    this.waiting.push(point);
    if (this.waiting.length < this.share) return;
    this.points.push(mean(this.waiting));
    this.waiting = [];
    if (this.points.length < this.capacity) return;
    this.points = Array.from({ length: this.capacity >> 1 }, (_, i) => mean(this.points.slice(2 * i, 2 * i + 2)));
    this.share *= 2;
  }

  /** Forget what came after a step. */
  cutAfter(step: number): void {
    this.points = this.points.filter((point) => point.step <= step);
    this.waiting = this.waiting.filter((point) => point.step <= step);
  }

  all(): readonly TracePoint[] {
    return this.waiting.length > 0 ? [...this.points, mean(this.waiting)] : this.points;
  }
}

function mean(points: readonly TracePoint[]): TracePoint {
  if (points.length === 1) return points[0];
  const part = (key: keyof TracePoint): number => points.reduce((sum, point) => sum + point[key], 0) / points.length;
  return { step: part('step'), tokens: part('tokens'), seconds: part('seconds'), value: part('value') };
}

export type RunState = 'running' | 'finished' | 'interrupted' | 'diverged';

export class RunHistory {
  start: StartEvent | null = null;
  step: StepEvent | null = null;
  /** Steps done, skipped ones too. */
  done = 0;
  private evaluations: EvaluationEvent[] = [];
  sample: SampleEvent | null = null;
  checkpoint: CheckpointEvent | null = null;
  /** The latest of its kind, and how many there were. */
  skipped: SkippedEvent | null = null;
  skips = 0;
  rollback: RollbackEvent | null = null;
  rollbacks = 0;
  /** Null while the run goes on, or when it was killed. */
  end: EndEvent | null = null;
  /** The training loss without its noise: an exponential mean. NaN before the first step. */
  smoothed = Number.NaN;
  private weight = 0;
  private readonly traces: Record<CurveY, Trace>;

  /**
   * @param span how many steps the smoothed loss looks back; by default a hundredth of the run, from 5 to 50.
   * @param capacity points of a curve at most.
   */
  constructor(
    private readonly span?: number,
    capacity = 4096,
  ) {
    this.traces = {
      loss: new Trace(capacity),
      validation: new Trace(capacity),
      grad_norm: new Trace(capacity),
      learning_rate: new Trace(capacity),
      tokens_per_second: new Trace(capacity),
    };
  }

  push(event: TrainingEvent): void {
    if (event.type !== 'end') this.end = null;
    switch (event.type) {
      case 'start':
        this.start = event;
        // What an earlier start did after the checkpoint that this one begins at is done again.
        if (event.step < this.done) this.forgetAfter(event.step);
        this.done = event.step;
        break;
      case 'step':
        this.addStep(event);
        break;
      case 'evaluation':
        this.evaluations.push(event);
        this.add('validation', event.step, event.loss);
        break;
      case 'sample':
        this.sample = event;
        break;
      case 'checkpoint':
        this.checkpoint = event;
        break;
      case 'skipped':
        this.skipped = event;
        this.skips++;
        this.done = event.step;
        break;
      case 'rollback':
        this.rollback = event;
        this.rollbacks++;
        this.forgetAfter(event.to);
        this.done = event.to;
        break;
      case 'end':
        this.end = event;
        break;
      default:
        event satisfies never;
    }
  }

  /** The latest evaluation. */
  get evaluation(): EvaluationEvent | null {
    return this.evaluations.at(-1) ?? null;
  }

  /** The evaluation with the least loss. */
  get best(): EvaluationEvent | null {
    return this.evaluations.reduce<EvaluationEvent | null>(
      (best, one) => (!best || one.loss < best.loss ? one : best),
      null,
    );
  }

  /** The points of a curve, in order. The loss is smoothed. */
  curve(y: CurveY, x: CurveX = 'step'): [number, number][] {
    return this.traces[y].all().map((point) => [point[x], point.value]);
  }

  /** How it stands, as far as the events say: `running` is also what was killed. */
  get state(): RunState {
    switch (this.end?.reason) {
      case undefined:
        return 'running';
      case 'interrupted':
      case 'diverged':
        return this.end!.reason as RunState;
      default:
        return 'finished';
    }
  }

  private forgetAfter(step: number): void {
    for (const trace of Object.values(this.traces)) trace.cutAfter(step);
    this.evaluations = this.evaluations.filter((event) => event.step <= step);
    this.smoothed = this.traces.loss.all().at(-1)?.value ?? Number.NaN;
  }

  private addStep(event: StepEvent): void {
    this.step = event;
    this.done = event.step;
    this.smooth(event.loss);
    this.add('loss', event.step, this.smoothed);
    this.add('grad_norm', event.step, event.grad_norm);
    this.add('learning_rate', event.step, event.learning_rate);
    this.add('tokens_per_second', event.step, event.tokens_per_second);
  }

  private smooth(loss: number): void {
    if (!Number.isFinite(loss)) return;
    const span = this.span ?? Math.min(50, Math.max(5, (this.start?.max_steps ?? 1000) / 100));
    // The weight of all losses so far: the first ones are not dragged towards 0.
    if (Number.isNaN(this.smoothed)) this.weight = 0;
    const keep = 1 - 1 / Math.max(1, span);
    this.weight = this.weight * keep + 1;
    this.smoothed = this.weight === 1 ? loss : this.smoothed + (loss - this.smoothed) / this.weight;
  }

  private add(y: CurveY, step: number, value: number): void {
    if (!Number.isFinite(value)) return;
    const { tokens = step * (this.start?.tokens_per_step ?? 0), seconds = 0 } = this.step ?? {};
    this.traces[y].add({ step, tokens, seconds, value });
  }
}
