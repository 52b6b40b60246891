/** The face of a training run: a live view on a terminal, plain lines elsewhere. */
import type { TrainingEvent } from '../training/events.ts';
import { hasColour, isLive } from './charts/index.ts';
import { RunHistory } from './run_history.ts';
import { Screen, type TerminalStream } from './screen.ts';
import { eventLine } from './train_lines.ts';
import { panel } from './train_panel.ts';

export interface TrainViewOptions {
  /** What is trained, for the first line. */
  readonly name?: string;
  /** What happened before this start, so that a resumed run shows its whole curve. */
  readonly history?: Iterable<TrainingEvent>;
  /** Where the run will be ended, in seconds of this start, whatever its steps. */
  readonly maxTime?: number;
  /** Off a terminal: seconds between lines about steps, 10 by default. */
  readonly interval?: number;
  /** False for plain lines on a terminal too. */
  readonly isLive?: boolean;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Milliseconds, for tests. */
  readonly now?: () => number;
}

export interface TrainView {
  /** Show what happened. */
  event(event: TrainingEvent): void;
  /** A line of text that stays, above a live view. */
  note(text: string): void;
  /** Draw the last state and leave it. An `end` event does so by itself; call it also when an error ends the run. */
  close(): void;
}

const REDRAW_MS = 100;
/** Drawing may take this share of the time of the training at most. */
const MOST_SHARE = 0.01;
/** Points of a curve: more than the widest terminal has dots would cost time of the training. */
const LIVE_POINTS = 1024;
/** The clock goes on where steps take long. */
const TICK_MS = 1000;

/** A view of one start of a run, on a stream such as `process.stderr`. */
export function trainView(stream: TerminalStream, options: TrainViewOptions = {}): TrainView {
  const { env = process.env, now = () => performance.now() } = options;
  const history = new RunHistory(undefined, LIVE_POINTS);
  for (const event of options.history ?? []) history.push(event);
  const clock = new RunClock(now, history, options.maxTime);
  const live = options.isLive ?? true;
  return live && isLive(stream, env)
    ? liveView(stream, history, clock, options.name, hasColour(stream, env), now)
    : plainView(stream, history, clock, (options.interval ?? 10) * 1000, now);
}

function liveView(
  stream: TerminalStream,
  history: RunHistory,
  clock: RunClock,
  name: string | undefined,
  isColoured: boolean,
  now: () => number,
): TrainView {
  let last = Number.NEGATIVE_INFINITY;
  let pause = REDRAW_MS;
  let timer: NodeJS.Timeout | undefined;
  let ticker: NodeJS.Timeout | undefined;
  let isClosed = false;
  const draw = (): void => {
    clearTimeout(timer);
    timer = undefined;
    last = now();
    const began = performance.now();
    const { width, height } = screen;
    screen.draw(panel(history, { width, height, isColoured, name, elapsed: clock.elapsed(), left: clock.left() }));
    pause = Math.min(TICK_MS, Math.max(REDRAW_MS, (performance.now() - began) / MOST_SHARE));
  };
  const soon = (): void => {
    if (isClosed) return;
    if (!ticker) {
      ticker = setInterval(soon, TICK_MS);
      ticker.unref();
    }
    const wait = last + pause - now();
    if (wait <= 0) draw();
    else if (!timer) {
      timer = setTimeout(draw, wait);
      timer.unref();
    }
  };
  const screen = new Screen(stream, soon);
  const close = (): void => {
    if (isClosed) return;
    if (history.start) draw();
    isClosed = true;
    clearTimeout(timer);
    clearInterval(ticker);
    screen.close();
  };
  return {
    event(event) {
      clock.see(event);
      history.push(event);
      if (event.type === 'end') close();
      else soon();
    },
    note: (text) => (isClosed ? void stream.write(`${text}\n`) : screen.note(text)),
    close,
  };
}

function plainView(
  stream: TerminalStream,
  history: RunHistory,
  clock: RunClock,
  interval: number,
  now: () => number,
): TrainView {
  let last = Number.NEGATIVE_INFINITY;
  /** The latest step that has no line yet. */
  let waiting: TrainingEvent | null = null;
  const say = (event: TrainingEvent): void => {
    const left = event.type === 'step' ? clock.left() : null;
    stream.write(`${eventLine(event, history.start?.max_steps ?? 0, left)}\n`);
  };
  const flush = (): void => {
    if (waiting) say(waiting);
    waiting = null;
  };
  return {
    event(event) {
      clock.see(event);
      history.push(event);
      if (event.type !== 'step') {
        if (event.type === 'end') flush();
        say(event);
        return;
      }
      waiting = event;
      if (now() - last < interval) return;
      last = now();
      flush();
    },
    note: (text) => void stream.write(`${text}\n`),
    close: flush,
  };
}

/** How long a run has taken over all its starts, and how long it will. */
class RunClock {
  private readonly begin: number;
  /** Seconds of earlier starts. */
  private before: number;
  /** When and at which step the steps of this start began to be counted: after the first, which may have had more to do. */
  private first: { readonly time: number; readonly step: number } | null = null;
  private isFirst = true;
  private stopped: number | null = null;

  constructor(
    private readonly now: () => number,
    private readonly history: RunHistory,
    private readonly maxTime: number | undefined,
  ) {
    this.begin = now();
    this.before = history.step?.seconds ?? 0;
  }

  see(event: TrainingEvent): void {
    const time = this.now();
    if (event.type === 'end') this.stopped = time;
    if (event.type === 'rollback') this.first = null;
    if (event.type !== 'step') return;
    if (this.isFirst && this.history.step === null)
      this.before = Math.max(0, event.seconds - (time - this.begin) / 1000);
    this.isFirst = false;
    this.first ??= { time, step: event.step };
  }

  elapsed(): number {
    return this.before + ((this.stopped ?? this.now()) - this.begin) / 1000;
  }

  left(): number | null {
    const { start, step } = this.history;
    const untilEnd = this.maxTime === undefined ? null : this.maxTime - (this.now() - this.begin) / 1000;
    const made = step && this.first ? step.step - this.first.step : 0;
    if (!start || !step || made <= 0) return untilEnd === null ? null : Math.max(0, untilEnd);
    const each = (this.now() - this.first!.time) / 1000 / made;
    const bySteps = each * Math.max(0, start.max_steps - step.step);
    return Math.max(0, untilEnd === null ? bySteps : Math.min(bySteps, untilEnd));
  }
}
