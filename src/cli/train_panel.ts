/** What the live view of a training run shows: a progress bar, the curves of the loss, numbers, warnings, the latest text. */
import { columns, cut, printable } from '../display.ts';
import type { EvaluationEvent } from '../training/events.ts';
import { type Colour, lineChart, paint, sparkline, written } from './charts/index.ts';
import type { RunHistory } from './run_history.ts';

export interface PanelOptions {
  /** The most columns and lines that it may take. */
  readonly width: number;
  readonly height: number;
  readonly isColoured?: boolean;
  readonly name?: string;
  /** Seconds of training so far, and those that it will still take if it is known. */
  readonly elapsed: number;
  readonly left: number | null;
}

/** A chart higher than this says no more. */
const CHART_MOST = 20;
const CHART_LEAST = 6;
const SAMPLE_MOST = 6;

/** Lines of at most `width` columns, at most `height` of them. What matters less goes first where there is little room. */
export function panel(history: RunHistory, options: PanelOptions): string[] {
  const { width, height } = options;
  const head = [progressLine(history, options)];
  const warnings = warningLines(history, options).slice(0, Math.max(0, height - 2));
  const numbers = numberLines(history, options).slice(
    0,
    Math.max(0, Math.min(6, height - head.length - warnings.length)),
  );
  let room = height - head.length - warnings.length - numbers.length;
  const sampleRoom = Math.min(SAMPLE_MOST, room - CHART_LEAST >= 2 ? Math.max(2, Math.floor(room / 3)) : 0);
  const sample = sampleLines(history, options, sampleRoom);
  room -= sample.length;
  const chart =
    history.step && room >= CHART_LEAST && width >= 20 ? chartLines(history, options, Math.min(room, CHART_MOST)) : [];
  return [...head, ...chart, ...numbers, ...warnings, ...sample];
}

function progressLine(history: RunHistory, options: PanelOptions): string {
  const { width, isColoured = false, name = '', elapsed, left } = options;
  const { start, done, end } = history;
  const most = start?.max_steps ?? 0;
  const counted = `step ${grouped(done)}${most > 0 ? `/${grouped(most)}` : ''}`;
  const times = end
    ? `${END_WORDS[end.reason]} in ${written(Math.round(elapsed), 'seconds')}`
    : timeWords(elapsed, left);
  const share = most > 0 ? Math.min(1, done / most) : 0;
  const tail = `${counted}  ${Math.floor(share * 100)}%  ${times}`;
  const label = cut(name, Math.max(0, Math.min(columns(name), width - tail.length - 14)));
  const before = label.length > 1 ? `${label}  ` : '';
  const barWidth = Math.min(40, width - columns(before) - tail.length - 2);
  if (barWidth < 6) return cut(`${before}${tail}`, width);
  const filled = Math.round(share * barWidth);
  const colour: Colour = end?.reason === 'diverged' ? 'red' : end ? 'green' : 'cyan';
  const bar = paint('█'.repeat(filled), colour, isColoured) + paint('░'.repeat(barWidth - filled), 'dim', isColoured);
  return `${paint(before, 'bold', isColoured)}${bar}  ${tail}`;
}

const END_WORDS = {
  finished: 'finished',
  early_stopping: 'stopped early',
  max_time: 'out of time',
  interrupted: 'interrupted',
  diverged: 'diverged',
} as const;

function timeWords(elapsed: number, left: number | null): string {
  const passed = written(Math.round(elapsed), 'seconds');
  return left === null ? passed : `${passed}, ${written(Math.round(left), 'seconds')} left`;
}

function chartLines(history: RunHistory, { width, isColoured }: PanelOptions, height: number): string[] {
  const training = history.curve('loss');
  const validation = history.curve('validation');
  return lineChart(
    [
      { name: 'training loss', points: training, colour: 'cyan' },
      ...(validation.length > 0
        ? [{ name: 'validation', points: validation, colour: 'yellow', mark: '◆' } as const]
        : []),
    ],
    {
      width,
      height,
      isColoured,
      hasLegend: true,
      x: { unit: 'count', label: 'step', min: Math.min(0, training[0]?.[0] ?? 0) },
      y: { max: upperEnd([...training, ...validation]) },
    },
  );
}

/** The first losses and a rare peak would press all that follows flat: what is above leaves the chart. */
export function upperEnd(points: readonly (readonly [number, number])[]): number | undefined {
  if (points.length < 40) return undefined;
  const last = Math.max(...points.map(([x]) => x));
  const values = points.filter(([x]) => x >= last * 0.03).map(([, y]) => y);
  values.sort((a, b) => a - b);
  const [low, high] = [values[0], values[Math.floor((values.length - 1) * 0.98)]];
  return Math.min(values.at(-1)!, high + (high - low) * 0.5);
}

interface Item {
  readonly label: string;
  readonly value: string;
  readonly curve?: readonly number[];
  readonly colour?: Colour;
}

function numberLines(history: RunHistory, { width, isColoured = false }: PanelOptions): string[] {
  const items = numberItems(history);
  const count = Math.max(1, Math.min(4, Math.floor((width + 2) / 22)));
  const room = Math.floor((width - 2 * (count - 1)) / count);
  const labelRoom = Math.min(14, Math.max(1, room - 9));
  const lines: string[] = [];
  for (let i = 0; i < items.length; i += count) {
    const parts = items.slice(i, i + count).map(({ label, value, curve, colour }) => {
      const text = cut(value, Math.max(1, room - labelRoom));
      const spark = sparkline(curve ?? [], Math.min(16, room - labelRoom - columns(text) - 1));
      const tail = spark.length < 6 ? '' : ` ${spark}`;
      const used = labelRoom + columns(text) + tail.length;
      const name = `${cut(label, labelRoom - 1)} `;
      const fill = ' '.repeat(Math.max(0, labelRoom - columns(name)));
      return `${paint(name, 'dim', isColoured)}${fill}${paint(text, colour, isColoured)}${paint(tail, 'dim', isColoured)}${' '.repeat(Math.max(0, room - used))}`;
    });
    lines.push(parts.join('  ').trimEnd());
  }
  return lines;
}

function numberItems(history: RunHistory): Item[] {
  const { start, step, evaluation, best } = history;
  const values = (y: 'tokens_per_second' | 'grad_norm' | 'learning_rate'): number[] =>
    history.curve(y).map(([, value]) => value);
  const items: (Item | null)[] = [
    { label: 'loss', value: step ? loss(history.smoothed) : '–', colour: 'cyan' },
    { label: 'validation', value: evaluation ? loss(evaluation.loss) : '–', colour: 'yellow' },
    best && { label: `best at ${written(best.step, 'count')}`, value: loss(best.loss) },
    ...evaluationItems(evaluation),
    ...metricItems(step?.metrics),
    step && { label: 'tokens/s', value: grouped(step.tokens_per_second), curve: values('tokens_per_second') },
    step && step.mfu !== null ? { label: 'MFU', value: `${(step.mfu * 100).toFixed(1)}%` } : null,
    step && { label: 'memory', value: written(step.resident ?? start?.memory ?? 0, 'bytes') },
    step && { label: 'grad norm', value: written(step.grad_norm), curve: values('grad_norm') },
    step && { label: 'learning rate', value: written(step.learning_rate), curve: values('learning_rate') },
    step && { label: 'tokens', value: written(step.tokens, 'count') },
  ];
  return items.filter((item) => item !== null);
}

/** What an evaluation says besides its loss. */
function evaluationItems(evaluation: EvaluationEvent | null): Item[] {
  const { perplexity, bits_per_byte, bits_per_character } = evaluation ?? {};
  return [
    perplexity === undefined ? null : { label: 'perplexity', value: written(perplexity) },
    bits_per_byte === undefined ? null : { label: 'bits/byte', value: bits_per_byte.toFixed(4) },
    bits_per_character === undefined ? null : { label: 'bits/char', value: bits_per_character.toFixed(4) },
    ...metricItems(evaluation?.metrics, 'held-out '),
  ].filter((item) => item !== null);
}

/** What a task tells by names of its own. */
function metricItems(metrics: Readonly<Record<string, number>> = {}, before = ''): Item[] {
  return Object.entries(metrics).map(([name, value]) => ({
    label: `${before}${name.replaceAll('_', ' ')}`,
    value: value.toFixed(4),
  }));
}

function warningLines(history: RunHistory, { width, isColoured = false }: PanelOptions): string[] {
  const { skipped, skips, rollback, rollbacks, end } = history;
  const lines: string[] = [];
  if (skipped) lines.push(`! step ${grouped(skipped.step)} was skipped: ${skipped.reason}${times(skips)}`);
  if (rollback) {
    const { step, to, rate_factor, reason } = rollback;
    const what = `! back from step ${grouped(step)} to ${grouped(to)}, rates times ${written(rate_factor)}`;
    lines.push(`${what}: ${reason}${times(rollbacks)}`);
  }
  if (end?.detail) lines.push(`! ${end.detail}`);
  return lines.map((line) => paint(cut(line, width), end?.reason === 'diverged' ? 'red' : 'yellow', isColoured));
}

function times(count: number): string {
  return count > 1 ? ` (${grouped(count)} times so far)` : '';
}

function sampleLines(history: RunHistory, { width, isColoured = false }: PanelOptions, most: number): string[] {
  if (!history.sample || most < 2) return [];
  const { step, prompt, text } = history.sample;
  const whole = text.startsWith(prompt) ? text : prompt + text;
  const title = cut(`text at step ${grouped(step)}`, width);
  return [paint(title, 'dim', isColoured), ...wrapped(whole, width, most - 1)];
}

/** A text in lines of at most `width` columns, at spaces where there are any; at most `most` lines. */
export function wrapped(text: string, width: number, most: number): string[] {
  const lines: string[] = [];
  // What is not shown need not be looked at.
  for (const paragraph of text
    .trim()
    .slice(0, width * most * 4)
    .split(/\r?\n/)) {
    let rest = printable(paragraph.replaceAll('\t', '  ')).trimEnd();
    if (rest === '') continue;
    while (rest !== '') {
      if (lines.length === most) return lines;
      const fit = fitting(rest, width);
      const space = fit < rest.length ? rest.lastIndexOf(' ', fit) : -1;
      const end = space > fit / 2 ? space : fit;
      lines.push(rest.slice(0, end));
      rest = rest.slice(end).trimStart();
    }
  }
  return lines;
}

/** How much of a text, in UTF-16 units, fits into `width` columns; at least one character. */
function fitting(text: string, width: number): number {
  let used = 0;
  let end = 0;
  for (const char of text) {
    used += columns(char);
    if (used > width && end > 0) break;
    end += char.length;
  }
  return end;
}

function loss(value: number): string {
  return Number.isFinite(value) ? value.toFixed(4) : Number.isNaN(value) ? 'NaN' : '∞';
}

/** "12,345". */
export function grouped(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
}
