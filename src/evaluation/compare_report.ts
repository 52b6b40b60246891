/** The comparison of two runs as a page. */
import type { Comparison } from './compare.ts';
import { number } from './report.ts';
import { escaped, page, table } from './report_page.ts';
import type { EvaluationResult } from './types.ts';

/** Intervals of both runs beside each other, the differences and their verdicts. */
export function renderComparison(
  first: EvaluationResult,
  second: EvaluationResult,
  rows: readonly Comparison[],
  names: readonly [string, string],
): string {
  const describe = (result: EvaluationResult, name: string): string =>
    `<p><b>${escaped(name)}</b>: ${Object.entries({ ...result.model, date: result.date })
      .map(
        ([key, value]) =>
          `${escaped(key)} <b>${escaped(typeof value === 'string' ? value : JSON.stringify(value))}</b>`,
      )
      .join(' · ')}</p>`;
  const percent = `${Math.round(first.level * 100)} %`;
  const titles = [
    'task',
    'shots',
    'metric',
    ...names,
    'difference',
    percent,
    'p',
    'p (Holm)',
    'test',
    'documents',
    'verdict',
  ];
  const body = rows.map((row) => [
    escaped(row.task),
    String(row.shots),
    escaped(row.metric),
    number(row.first),
    number(row.second),
    signed(row.difference),
    `${signed(row.low)} … ${signed(row.high)}`,
    row.p.toPrecision(2),
    row.corrected.toPrecision(2),
    row.only ? `${row.test} ${row.only.join(' : ')}` : row.test,
    String(row.count),
    `<b>${escaped(verdictText(row, names))}</b>`,
  ]);
  return page(`${names[0]} and ${names[1]}`, [
    describe(first, names[0]),
    describe(second, names[1]),
    table(titles, body),
    `<p>Difference: ${escaped(names[1])} less ${escaped(names[0])}, over the documents that both scored. A difference counts when p, corrected by Holm for the number of rows, is below ${(1 - first.level).toFixed(2)}.</p>`,
    '<h2>Differences</h2>',
    differences(rows),
  ]);
}

export function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${number(Math.abs(value))}`;
}

export function verdictText({ verdict }: Comparison, names: readonly [string, string]): string {
  if (verdict === 'cannot be told apart') return verdict;
  return `${verdict === 'first is better' ? names[0] : names[1]} is better`;
}

/** Intervals around 0, a row each; metrics of 0 and 1 alone, which share a scale. */
function differences(all: readonly Comparison[]): string {
  const rows = all.filter(({ metric }) => /^(acc|exact_match)/.test(metric)).slice(0, 100);
  if (rows.length === 0) return '';
  const most = Math.max(0.01, ...rows.flatMap(({ low, high }) => [Math.abs(low), Math.abs(high)]));
  const x = (value: number): number => 430 + (value / most) * 200;
  const height = rows.length * 18 + 30;
  const lines = rows.map((row, i) => {
    const y = 24 + i * 18;
    const colour = row.verdict === 'cannot be told apart' ? '#888' : '#b3372b';
    const name = escaped(`${row.task} ${row.metric} (${row.shots})`.slice(0, 34));
    return `<text x="220" y="${y + 4}" text-anchor="end">${name}</text><line x1="${x(row.low)}" x2="${x(row.high)}" y1="${y}" y2="${y}" stroke="${colour}" stroke-width="2"/><circle cx="${x(row.difference)}" cy="${y}" r="4" fill="${colour}"/>`;
  });
  return `<svg viewBox="0 0 640 ${height}" width="640" role="img"><line class="axis" x1="${x(0)}" x2="${x(0)}" y1="8" y2="${height - 8}"/>${lines.join('')}</svg>`;
}
