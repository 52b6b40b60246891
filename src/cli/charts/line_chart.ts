/** Line charts of braille dots, with axes, ticks in the units of the field, and a legend. */
import { cell, columns, cut } from '../../display.ts';
import { type Axis, type AxisOptions, makeAxis, tickLabels, ticks } from './axis.ts';
import { BrailleCanvas } from './braille.ts';
import { type Colour, paint, palette } from './style.ts';

export interface Series {
  readonly name: string;
  /** Pairs of x and y. A pair that cannot be shown (NaN, infinite, below 0 on a logarithmic axis) parts the line. */
  readonly points: readonly (readonly [number, number])[];
  readonly colour?: Colour;
  /** A character of one column for each point, instead of dots; `isLine` draws the line too. */
  readonly mark?: string;
  readonly isLine?: boolean;
}

export interface LineChartOptions {
  /** Size of the whole in characters, axes and legend included. */
  readonly width: number;
  readonly height: number;
  readonly isColoured?: boolean;
  readonly x?: AxisOptions;
  readonly y?: AxisOptions;
  /** Shown at the left of the line above. */
  readonly title?: string;
  /** Whether series are named above; by default where there are several. */
  readonly hasLegend?: boolean;
}

/** Below these a chart is its dots alone. */
const LEAST_WIDTH = 24;
const LEAST_HEIGHT = 5;

/** A chart as exactly `height` lines of at most `width` columns. The least and greatest values lie on the edges. */
export function lineChart(series: readonly Series[], options: LineChartOptions): string[] {
  const width = Math.max(1, Math.floor(options.width));
  const height = Math.max(1, Math.floor(options.height));
  const x = makeAxis(valuesOf(series, 0), options.x);
  const y = makeAxis(valuesOf(series, 1), options.y);
  const coloured = series.map((one, i): Drawn => ({ ...one, colour: one.colour ?? palette[i % palette.length] }));
  const isColoured = options.isColoured ?? false;
  if (width < LEAST_WIDTH || height < LEAST_HEIGHT) return drawn(coloured, x, y, width, height, isColoured);
  const head = heading(coloured, options, width, isColoured);
  const rows = height - head.length - 2;
  const yTicks = ticks(y, Math.max(3, Math.floor(rows / 2)));
  const yLabels = tickLabels(yTicks, y.unit);
  const margin = Math.min(Math.max(1, ...yLabels.map((label) => label.length)), Math.floor(width / 3));
  const room = width - margin - 2;
  const labelOf = new Map<number, string>();
  yTicks.forEach((tick, i) => {
    const row = Math.round((1 - y.place(tick)) * (rows * 4 - 1)) >> 2;
    if (!labelOf.has(row) && !labelOf.has(row + 1)) labelOf.set(row, yLabels[i]);
  });
  const body = drawn(coloured, x, y, room, rows, isColoured).map((line, row) => {
    const label = labelOf.get(row);
    const edge = `${(label ?? '').slice(0, margin).padStart(margin)} ${label === undefined ? '│' : '┤'}`;
    return `${paint(edge, 'dim', isColoured)}${line}`;
  });
  const foot = bottom(x, room, options.x?.label ?? '').map((line, i) =>
    paint(`${' '.repeat(margin + 1)}${i === 0 ? '└' : ' '}${line}`, 'dim', isColoured),
  );
  return [...head, ...body, ...foot];
}

type Drawn = Series & { readonly colour: Colour };

function* valuesOf(series: readonly Series[], part: 0 | 1): Iterable<number> {
  for (const { points } of series)
    for (const point of points) if (Number.isFinite(point[0]) && Number.isFinite(point[1])) yield point[part];
}

/** The dots, and over them the marks. */
function drawn(
  series: readonly Drawn[],
  x: Axis,
  y: Axis,
  width: number,
  height: number,
  isColoured: boolean,
): string[] {
  const canvas = new BrailleCanvas(width, height);
  const at = ([a, b]: readonly [number, number]): [number, number] => [
    x.place(a) * (canvas.width - 1),
    (1 - y.place(b)) * (canvas.height - 1),
  ];
  for (const { points, colour, mark, isLine } of series) {
    if (mark !== undefined && isLine !== true) continue;
    // Runs ten times a second in the live view, over thousands of points: nothing is allocated.
    let [beforeX, beforeY] = [Number.NaN, Number.NaN];
    for (const point of points) {
      const hereX = x.place(point[0]) * (canvas.width - 1);
      const hereY = (1 - y.place(point[1])) * (canvas.height - 1);
      if (Number.isFinite(hereX) && Number.isFinite(hereY)) {
        const isFirst = Number.isNaN(beforeX);
        canvas.line(isFirst ? hereX : beforeX, isFirst ? hereY : beforeY, hereX, hereY, colour);
        [beforeX, beforeY] = [hereX, hereY];
      } else beforeX = Number.NaN;
    }
  }
  for (const { points, colour, mark } of series) {
    if (mark === undefined) continue;
    for (const point of points) {
      const [column, row] = at(point).map(Math.round);
      canvas.mark(column, row, mark, colour);
    }
  }
  if (!isColoured) letters(series, canvas, at);
  return canvas.lines(isColoured);
}

/** Without colours several lines are told apart by the letters of the legend, each at three places of its line. */
function letters(
  series: readonly Drawn[],
  canvas: BrailleCanvas,
  at: (point: readonly [number, number]) => [number, number],
): void {
  const names = lineNames(series, false);
  series.forEach(({ points }, i) => {
    if (names[i].length !== 1 || series[i].mark !== undefined) return;
    for (const part of [0.2, 0.6, 1]) {
      const point = points[Math.round(part * (points.length - 1))];
      if (!point) continue;
      const [column, row] = at(point).map(Math.round);
      canvas.mark(column, row, names[i]);
    }
  });
}

/** What stands for each series in the legend. */
function lineNames(series: readonly Series[], isColoured: boolean): string[] {
  const isMany = series.filter(({ mark }) => mark === undefined).length > 1;
  return series.map(({ mark }, i) => mark ?? (isColoured || !isMany ? '──' : String.fromCharCode(65 + (i % 26))));
}

/** The title and the legend in one line, or none. */
function heading(series: readonly Drawn[], options: LineChartOptions, width: number, isColoured: boolean): string[] {
  const { title = '', hasLegend = series.length > 1 } = options;
  if (title === '' && !hasLegend) return [];
  const signs = lineNames(series, isColoured);
  let line = cut(title, width);
  let used = columns(line);
  if (hasLegend) {
    const left = Math.max(8, Math.floor((width - used) / Math.max(1, series.length)) - 4);
    series.forEach(({ name, colour }, i) => {
      const entry = `${signs[i]} ${cut(name, left)}`;
      const gap = used === 0 ? 0 : 2;
      if (used + gap + columns(entry) > width) return;
      line += `${' '.repeat(gap)}${paint(signs[i], colour, isColoured)} ${cut(name, left)}`;
      used += gap + columns(entry);
    });
  }
  return [line];
}

/** The lower edge with its ticks, and their labels below. */
function bottom(axis: Axis, room: number, label: string): [string, string] {
  const taken = label === '' ? 0 : columns(label) + 2;
  for (let most = Math.min(12, Math.floor(room / 5)); most > 0; most--) {
    const values = ticks(axis, most);
    const labels = tickLabels(values, axis.unit);
    const edge = new Array<string>(room).fill('─');
    let text = '';
    const fits = values.every((value, i) => {
      const column = Math.round(axis.place(value) * (room * 2 - 1)) >> 1;
      const start = Math.max(0, Math.min(column - (labels[i].length >> 1), room - taken - labels[i].length));
      if (start < text.length + (i === 0 ? 0 : 2) || start > column) return false;
      edge[column] = '┬';
      text = text.padEnd(start) + labels[i];
      return true;
    });
    if (fits) return [edge.join(''), taken > 0 ? cell(text, room - taken) + cell(`  ${label}`, taken) : text];
  }
  return ['─'.repeat(room), taken > 0 && taken <= room ? label.padStart(room) : ''];
}
