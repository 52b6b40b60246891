/** The live view of a training run on a terminal of the test's own, and plain lines elsewhere. */
import { describe, expect, it } from 'vitest';
import { RunHistory } from '../src/cli/run_history.ts';
import { bare, Screen } from '../src/cli/screen.ts';
import { wrapped } from '../src/cli/train_panel.ts';
import { trainView } from '../src/cli/train_view.ts';
import { columns } from '../src/display.ts';
import type { TrainingEvent } from '../src/training/events.ts';

const STEPS = 600;

/** A run with everything in it, 50 ms a step. */
function* events(): Generator<TrainingEvent> {
  yield {
    type: 'start',
    step: 0,
    max_steps: STEPS,
    parameters: 804_096,
    tokens_per_step: 768,
    flops_per_token: 5e6,
    memory: 3.2e7,
    data: { train: 1_003_854, validation: 111_540 },
    backend: 'native avx2',
    threads: 2,
    peak_flops: 2e11,
    time: 1.8e9,
  };
  for (let step = 1; step <= STEPS; step++) {
    const loss = 1.5 + 2.7 * Math.exp(-step / 50);
    yield {
      type: 'step',
      step,
      loss,
      grad_norm: 0.5,
      learning_rate: 1e-3,
      tokens: step * 768,
      tokens_per_second: 15_360,
      mfu: 0.384,
      seconds: step * 0.05,
      resident: 4.12e8,
    };
    if (step === 55) {
      const reason = 'the loss is NaN\x1b[2J';
      yield { type: 'skipped', step, loss: Number.NaN, grad_norm: Number.POSITIVE_INFINITY, reason };
    }
    if (step % 100 !== 0) continue;
    const [perplexity, bits] = [Math.exp(loss), loss / Math.LN2];
    yield { type: 'evaluation', step, loss, perplexity, bits_per_byte: bits, bits_per_character: bits, best: true };
    yield {
      type: 'sample',
      step,
      prompt: '春眠',
      text: `不覺曉，處處聞啼鳥。\n\x1b[31m夜來風雨聲\u202e${'花落知多少'.repeat(60)}`,
    };
    yield { type: 'checkpoint', step, path: `runs/a/step-${step}`, best: true };
  }
  yield { type: 'end', step: STEPS, reason: 'finished', loss: 1.5, best: { step: STEPS, loss: 1.5 }, seconds: 30 };
}

/** A terminal that knows what views write: what it shows, and what was written. */
class Terminal {
  readonly isTTY = true;
  readonly lines: string[] = [];
  readonly frames: string[] = [];
  isCursorShown = true;
  row = 0;
  private listener: (() => void) | undefined;

  constructor(
    public columns: number,
    public rows: number,
  ) {}

  write(text: string): void {
    this.frames.push(text);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
    const parts = /\x1b\[(\d+)A|\x1b\[K|\x1b\[J|\x1b\[\?25([lh])|\r|\n|(?:\x1b\[[0-9;]*m|[^\x1b\r\n])+|\x1b/g;
    for (const [part, up, cursor] of text.matchAll(parts)) {
      if (up) this.row -= Number(up);
      else if (cursor) this.isCursorShown = cursor === 'h';
      else if (part === '\n') this.row++;
      else if (part === '\x1b[J') this.lines.length = Math.min(this.lines.length, this.row);
      else if (part === '\x1b') throw new Error(`an escape sequence that is not known in ${JSON.stringify(text)}`);
      else if (part !== '\r' && part !== '\x1b[K') this.lines[this.row] = part;
      if (this.row < 0) throw new Error('above the top');
    }
  }

  on(_event: 'resize', listener: () => void): void {
    this.listener = listener;
  }

  off(): void {
    this.listener = undefined;
  }

  resize(width: number, height: number): void {
    [this.columns, this.rows] = [width, height];
    this.listener?.();
  }

  get isWatched(): boolean {
    return this.listener !== undefined;
  }
}

describe('on a terminal', () => {
  it.each([
    [80, 24],
    [120, 40],
    [44, 24],
    [200, 60],
    [30, 12],
    [12, 5],
    [3, 2],
  ])('fits %i columns and %i rows, coloured or not', (width, height) => {
    for (const env of [{}, { NO_COLOR: '1' }]) {
      const terminal = new Terminal(width, height);
      let time = 0;
      const view = trainView(terminal, { name: '唐诗/a-run', env, now: () => time });
      for (const event of events()) {
        if (event.type === 'step') time += 50;
        view.event(event);
        if (event.type === 'step' && event.step % 20 !== 3) continue;
        expect(terminal.lines.length).toBeLessThan(height);
        for (const line of terminal.lines) expect(columns(bare(line)), line).toBeLessThan(width);
      }
      expect(terminal.isCursorShown).toBe(true);
      expect(terminal.isWatched).toBe(false);
      const written = terminal.frames.join('');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one
      if (env.NO_COLOR) expect(written).not.toMatch(/\x1b\[[0-9;]*m/);
      expect(written).not.toContain('\x1b[2J');
      expect(written).not.toContain('\u202e');
    }
  });

  it('says all that matters at 80 columns', () => {
    const terminal = new Terminal(80, 24);
    let time = 0;
    const view = trainView(terminal, { name: 'a-run', env: { NO_COLOR: '1' }, now: () => time });
    const all = [...events()];
    for (const event of all.slice(
      0,
      all.findIndex((event) => event.type === 'step' && event.step === 310),
    )) {
      if (event.type === 'step') time += 50;
      view.event(event);
    }
    expect(terminal.isCursorShown).toBe(false);
    time += 1000;
    view.close();
    const text = terminal.lines.join('\n');
    expect(terminal.lines[0]).toMatch(/^a-run {2}█+░+ {2}step 309\/600 {2}51% {2}16s, 15s left$/);
    expect(text).toContain('── training loss  ◆ validation');
    expect(text.match(/[⠁-⣿]/g)!.length).toBeGreaterThan(30);
    expect(text).toMatch(/loss +1\.50\d\d +validation +1\.5067 +best at 300 +1\.5067/);
    expect(text).toMatch(/perplexity +4\.512 +bits\/byte +2\.1737 +bits\/char +2\.1737/);
    expect(text).toMatch(/tokens\/s +15,360 +MFU +38\.4% +memory +412 MB/);
    expect(text).toMatch(/grad norm +0\.5 ▄+ +learning rate 1e-3/);
    expect(text).toContain('! step 55 was skipped: the loss is NaN\\u{1b}[2J');
    expect(text).toContain('text at step 300\n春眠不覺曉，處處聞啼鳥。\n\\u{1b}[31m夜來風雨聲\\u{202e}花落知多少');
  });

  it('redraws at most ten times a second, in place, and only what changed', () => {
    const terminal = new Terminal(80, 24);
    let time = 0;
    const view = trainView(terminal, { env: {}, now: () => time });
    for (const event of events()) {
      if (event.type === 'step') time += 10;
      view.event(event);
    }
    expect(terminal.frames.length).toBeLessThanOrEqual(STEPS / 10 + 4);
    expect(terminal.row).toBe(terminal.lines.length);
    expect(terminal.frames.join('').length).toBeLessThan(terminal.frames.length * 3000);
  });

  it('puts notes above, and follows the size of the window', () => {
    const terminal = new Terminal(100, 30);
    const screen = new Screen(terminal);
    screen.draw(['one', 'two', 'three']);
    screen.note('a note\x1b[2J');
    expect(terminal.lines).toEqual(['a note\\u{1b}[2J', 'one', 'two', 'three']);
    screen.draw(['one', '2']);
    expect(terminal.lines).toEqual(['a note\\u{1b}[2J', 'one', '2']);
    terminal.resize(50, 20);
    screen.draw(['eins', 'zwei', 'drei']);
    expect(terminal.lines).toEqual(['a note\\u{1b}[2J', 'eins', 'zwei', 'drei']);
    screen.close();
    expect([terminal.isCursorShown, terminal.isWatched, terminal.row]).toEqual([true, false, 4]);
  });
});

describe('elsewhere', () => {
  const plain = (stream: { isTTY?: boolean }, env: Record<string, string>, isLive?: boolean) => {
    let [text, time] = ['', 0];
    const write = (more: string): void => {
      text += more;
    };
    const view = trainView({ ...stream, columns: 80, rows: 24, write }, { env, isLive, now: () => time });
    for (const event of events()) {
      if (event.type === 'step') time += 50;
      view.event(event);
    }
    view.close();
    return text;
  };

  it('writes a line for every ten seconds of steps, and for everything else', () => {
    const text = plain({}, {});
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is the question
    expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f\u202e]/);
    const lines = text.trimEnd().split('\n');
    const kinds = lines.map((line) => line.split(' ')[0]);
    const count = (kind: string) => kinds.filter((other) => other === kind).length;
    expect(['start', 'evaluation', 'sample', 'checkpoint', 'skipped', 'end'].map(count)).toEqual([1, 6, 6, 6, 1, 1]);
    expect(lines.filter((line) => line.startsWith('step ')).map((line) => line.split(' ')[1])).toEqual([
      '1/600',
      '201/600',
      '401/600',
      '600/600',
    ]);
    expect(lines.find((line) => line.startsWith('step 201/'))).toBe(
      'step 201/600 loss=1.54847 grad_norm=0.5 learning_rate=0.001 tokens=154368 tokens_per_second=15360 mfu=0.384 seconds=10.05 resident=412000000 left=20s',
    );
    expect(lines.find((line) => line.startsWith('skipped'))).toBe(
      'skipped 55 loss=NaN grad_norm=Infinity reason="the loss is NaN\\u001b[2J"',
    );
    expect(lines.at(-1)).toBe('end 600 reason="finished" loss=1.5 best.step=600 best.loss=1.5 seconds=30');
    const sample = lines.find((line) => line.startsWith('sample'))!;
    expect(JSON.parse(/text=(".*")$/.exec(sample)![1])).toContain('\n\x1b[31m夜來風雨聲\u202e花落');
  });

  it('does so on terminals that cannot move, or on demand', () => {
    const text = plain({}, {});
    expect(plain({ isTTY: true }, { TERM: 'dumb' })).toBe(text);
    expect(plain({ isTTY: true }, {}, false)).toBe(text);
  });
});

describe('what events add up to', () => {
  const step = (at: number, loss: number): TrainingEvent => ({
    type: 'step',
    step: at,
    loss,
    grad_norm: 1,
    learning_rate: 1,
    tokens: at * 10,
    tokens_per_second: 1,
    mfu: null,
    seconds: at / 2,
    resident: null,
  });
  const evaluation = (at: number, loss: number): TrainingEvent => ({
    type: 'evaluation',
    step: at,
    loss,
    perplexity: 1,
    bits_per_byte: 1,
    bits_per_character: 1,
    best: false,
  });

  it('smooths without a pull towards 0, and keeps constants', () => {
    const history = new RunHistory(10);
    for (let i = 1; i <= 100; i++) history.push(step(i, 3));
    expect(history.smoothed).toBeCloseTo(3, 12);
    const two = new RunHistory(2);
    // Weights 1/2 and 1: (0.5 * 1 + 4) / 1.5.
    for (const event of [step(1, 1), step(2, 4)]) two.push(event);
    expect(two.smoothed).toBeCloseTo(3, 12);
  });

  it('keeps curves of long runs in bounded memory, over steps, tokens and seconds', () => {
    const history = new RunHistory(1);
    for (let i = 1; i <= 100_000; i++) history.push(step(i, i));
    const curve = history.curve('loss');
    expect(curve.length).toBeLessThanOrEqual(4096);
    expect(curve.length).toBeGreaterThan(2000);
    for (const [x, y] of curve) expect(y).toBeCloseTo(x, 6);
    expect(curve.at(-1)![0]).toBeGreaterThan(99_900);
    const [first] = curve;
    expect(history.curve('loss', 'tokens')[0][0]).toBeCloseTo(first[0] * 10, 6);
    expect(history.curve('loss', 'seconds')[0][0]).toBeCloseTo(first[0] / 2, 6);
  });

  it('forgets what was undone by a return to a checkpoint or a resumed start', () => {
    const history = new RunHistory(1);
    for (const event of [step(1, 5), step(2, 4), evaluation(2, 4), step(3, 3), evaluation(3, 1), step(4, 9)])
      history.push(event);
    expect(history.best!.step).toBe(3);
    history.push({ type: 'rollback', step: 4, to: 2, rate_factor: 0.5, reason: 'exploded' });
    expect(history.curve('loss')).toEqual([
      [1, 5],
      [2, 4],
    ]);
    expect([history.best!.step, history.done, history.smoothed]).toEqual([2, 2, 4]);
    history.push(step(3, 3.5));
    expect(history.curve('loss').at(-1)).toEqual([3, 3.5]);
    expect(history.state).toBe('running');
  });

  it('wraps text by columns, at spaces where there are any', () => {
    expect(wrapped('春眠不覺曉處處', 5, 9)).toEqual(['春眠', '不覺', '曉處', '處']);
    expect(wrapped('to be or not to be', 8, 9)).toEqual(['to be or', 'not to', 'be']);
    expect(wrapped('abc', 1, 2)).toEqual(['a', 'b']);
    expect(wrapped('', 5, 2)).toEqual([]);
  });
});
