/** Bars: sparklines, bar charts and histograms. */
import { cell, columns } from '../../display.ts';
import { written } from './axis.ts';
import { type Colour, paint } from './style.ts';

const STEPS = '▁▂▃▄▅▆▇█';
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A curve of one line: values from the lowest to the highest bar, in `width` columns, each the mean of its share. */
export function sparkline(values: readonly number[], width = values.length): string {
  const count = Math.min(values.length, Math.max(0, Math.floor(width)));
  const means = Array.from({ length: count }, (_, i) => {
    const share = values
      .slice(Math.floor((i * values.length) / count), Math.floor(((i + 1) * values.length) / count))
      .filter(Number.isFinite);
    return share.reduce((sum, value) => sum + value, 0) / share.length; // NaN for none
  });
  const known = means.filter(Number.isFinite);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  return means
    .map((mean) => {
      if (Number.isNaN(mean)) return ' ';
      return STEPS[high > low ? Math.round(((mean - low) / (high - low)) * 7) : 3];
    })
    .join('');
}

export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly colour?: Colour;
}

export interface BarChartOptions {
  /** Columns of the whole. */
  readonly width: number;
  readonly isColoured?: boolean;
  /** What is written behind a bar. */
  readonly format?: (value: number) => string;
  /** What a bar over the whole width stands for; by default the greatest value. */
  readonly max?: number;
}

/** Lying bars from a common 0, a line each: label, bar, value. Bars below 0 go to the left. */
export function barChart(bars: readonly Bar[], options: BarChartOptions): string[] {
  const { width, isColoured = false, format = written } = options;
  const values = bars.map(({ value }) => format(value));
  const valueWidth = Math.max(0, ...values.map(columns));
  const widest = Math.max(0, ...bars.map(({ label }) => columns(label)));
  const labelWidth = Math.max(1, Math.min(widest, Math.floor(width * 0.4), width - valueWidth - 4));
  const room = Math.max(0, width - labelWidth - valueWidth - 2);
  const known = bars.map(({ value }) => value).filter(Number.isFinite);
  const high = Math.max(0, options.max ?? 0, ...(options.max === undefined ? known : []));
  const low = Math.min(0, ...known);
  const scale = high > low ? room / (high - low) : 0;
  const left = low < 0 ? Math.min(room, Math.ceil(-low * scale)) : 0;
  return bars.map(({ label, value, colour = 'cyan' }, i) => {
    const bar = Number.isFinite(value) ? oneBar(value * scale, left, room - left) : ' '.repeat(room);
    const line = `${cell(label, labelWidth)} ${paint(bar, colour, isColoured)} ${values[i].padStart(valueWidth)}`;
    return columns(cell(label, labelWidth)) + room + valueWidth + 2 > width
      ? cell(`${label} ${values[i]}`, Math.max(1, width))
      : line;
  });
}

/** A bar of a length in columns, with room for it left and right of 0. */
function oneBar(length: number, left: number, right: number): string {
  if (length < 0) {
    const halves = Math.min(left * 2, Math.round(-length * 2));
    return `${halves % 2 ? '▐' : ''}${'█'.repeat(halves >> 1)}`.padStart(left) + ' '.repeat(right);
  }
  const eighths = Math.min(right * 8, Math.round(length * 8));
  return ' '.repeat(left) + `${'█'.repeat(eighths >> 3)}${EIGHTHS[eighths & 7]}`.padEnd(right);
}

/** Counts of values in `bins` ranges of equal width; the last range holds its upper end too. Values that are not finite are left out. */
export function histogram(values: readonly number[], bins: number): { from: number; to: number; count: number }[] {
  const known = values.filter(Number.isFinite);
  if (known.length === 0 || bins < 1) return [];
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of known) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  // The range of the largest numbers is none; that of their halves is.
  const half = Number.isFinite(high - low) ? 1 : 0.5;
  const range = high * half - low * half || 1;
  const counts = new Array<number>(Math.floor(bins)).fill(0);
  const last = counts.length - 1;
  for (const value of known) {
    counts[Math.min(last, Math.floor(((value * half - low * half) / range) * counts.length))]++;
  }
  const size = range / half / counts.length;
  return counts.map((count, i) => ({ from: low + i * size, to: low + (i + 1) * size, count }));
}
