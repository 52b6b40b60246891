/** The result of a sweep on a terminal: a row for each cell, its measures in as many tables as the width asks for. */
import { columns, cut } from '../display.ts';
import type { SweepAnswer, SweepCell } from '../experiments/cell.ts';
import { type MeasureSpec, measureTable } from '../experiments/measures.ts';
import type { SweepReport } from '../experiments/sweep.ts';
import { type Column, table } from './run_table.ts';

/** Lines of at most `width` columns. */
export function sweepTable(report: SweepReport, width: number): string[] {
  const settings = report.varied.map((name): Column<SweepCell> => {
    return { title: name, value: ({ settings: own }) => settingText(own[name]), isNumber: true, least: 4 };
  });
  // Where nothing differs, or what differs is too long to tell cells apart, they have numbers.
  const number: Column<SweepCell> = { title: '#', value: ({ index }) => String(index + 1), isNumber: true };
  const halved: Column<SweepCell> = {
    title: 'seeds',
    value: ({ answers }) => String(new Set(answers.map(({ seed }) => seed)).size),
    isNumber: true,
  };
  const first = [number, ...settings, ...(report.search === 'halving' ? [halved] : [])];
  const measures = measureTable.filter(({ name }) => report.cells.some((cell) => cell.measures[name]));
  const parts = measures.map((spec): Column<SweepCell> => {
    return { title: spec.title, value: (cell) => estimateText(cell, spec), isNumber: true };
  });
  const lines: string[] = [];
  for (let from = 0; from < parts.length; ) {
    const lead = from === 0 ? first : [number];
    let count = 1;
    while (from + count < parts.length && fits(report.cells, [...lead, ...parts.slice(from, from + count + 1)], width))
      count++;
    if (lines.length > 0) lines.push('');
    lines.push(...table(report.cells, [...lead, ...parts.slice(from, from + count)], width));
    from += count;
  }
  return lines;
}

function fits(cells: readonly SweepCell[], list: readonly Column<SweepCell>[], width: number): boolean {
  const total = list.reduce((sum, { title, value }) => {
    return sum + 2 + Math.max(columns(title), ...cells.map((cell) => columns(value(cell))));
  }, -2);
  return total <= width;
}

/** "0.812 ±0.03": the half width of the interval, where there is one. */
function estimateText({ measures }: SweepCell, { name, digits }: MeasureSpec): string {
  const estimate = measures[name];
  if (!estimate) return '–';
  const { value, low, high, count } = estimate;
  const half = (high - low) / 2;
  return `${value.toFixed(digits)}${count > 1 ? ` ±${half.toFixed(digits)}` : ''}`;
}

function settingText(value: unknown): string {
  return value === undefined ? '–' : typeof value === 'string' ? value : JSON.stringify(value);
}

/** One answer of each cell to the first prompt, a line or two each. */
export function sweepSamples(report: SweepReport, most: number, width: number): string[] {
  return report.cells.slice(0, most).flatMap((cell) => {
    const answer: SweepAnswer | undefined = cell.answers[0];
    if (!answer) return [];
    const label = `#${cell.index + 1}`;
    const text = answer.text.replace(/\s+/g, ' ').trim();
    return [`${label} ${cut(text, Math.max(1, width - columns(label) - 1))}`];
  });
}
