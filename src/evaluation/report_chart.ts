/** Curves over the number of exemplars, as figures of a page. */
import { metricInfo } from './metrics.ts';
import { escaped } from './report_page.ts';
import type { EvaluationResult, MetricResult } from './types.ts';

export interface ShotCurve {
  readonly name: string;
  readonly metric: string;
  /** By ascending shots. */
  readonly points: readonly { readonly shots: number; readonly result: MetricResult }[];
}

/** The metrics of tasks and groups that were run with several numbers of exemplars; members of groups are left out. */
export function shotCurves({ tasks, groups }: EvaluationResult): ShotCurve[] {
  const found = new Map<string, { shots: number; result: MetricResult }[]>();
  const add = (name: string, shots: number, metrics: Readonly<Record<string, MetricResult>>): void => {
    for (const [metric, result] of Object.entries(metrics)) {
      const key = JSON.stringify([name, metric]);
      found.set(key, [...(found.get(key) ?? []), { shots, result }]);
    }
  };
  for (const { group, shots, metrics } of groups) add(group, shots, metrics);
  for (const { task, group, shots, metrics } of tasks) if (group === null) add(task, shots, metrics);
  return [...found].flatMap(([key, points]): ShotCurve[] => {
    const [name, metric] = JSON.parse(key) as [string, string];
    if (new Set(points.map(({ shots }) => shots)).size < 2) return [];
    return [{ name, metric, points: points.toSorted((a, b) => a.shots - b.shots) }];
  });
}

const COLOURS = ['#b3372b', '#2f6db5', '#3f8f4f', '#a06a00', '#7d4fa8', '#178a92'];
const [WIDTH, HEIGHT, LEFT, BOTTOM] = [640, 300, 52, 36];

/** A figure for each metric. */
export function curves(result: EvaluationResult): string[] {
  const all = shotCurves(result);
  const metrics = [...new Set(all.map(({ metric }) => metric))];
  return metrics.map((metric) =>
    figure(
      metric,
      all.filter((one) => one.metric === metric),
    ),
  );
}

function figure(metric: string, list: readonly ShotCurve[]): string {
  const shots = [...new Set(list.flatMap(({ points }) => points.map((point) => point.shots)))].sort((a, b) => a - b);
  const bounds = list.flatMap(({ points }) => points.flatMap(({ result }) => [result.low, result.high]));
  const isShare = metricInfo(metric)?.isShare ?? false;
  let [low, high] = [Math.min(...bounds), Math.max(...bounds)];
  const pad = (high - low) * 0.08 || 0.05;
  [low, high] = [isShare ? Math.max(0, low - pad) : low - pad, isShare ? Math.min(1, high + pad) : high + pad];
  // Numbers of exemplars stand side by side: they grow by factors.
  const x = (count: number): number => LEFT + 24 + (shots.indexOf(count) * (WIDTH - LEFT - 60)) / (shots.length - 1);
  const y = (value: number): number => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - BOTTOM - 16);
  const grid = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const value = low + part * (high - low);
    return `<line class="axis" x1="${LEFT}" x2="${WIDTH - 8}" y1="${y(value)}" y2="${y(value)}"/><text x="${LEFT - 6}" y="${y(value) + 4}" text-anchor="end">${value.toFixed(3)}</text>`;
  });
  const ticks = shots.map((count) => `<text x="${x(count)}" y="${HEIGHT - 16}" text-anchor="middle">${count}</text>`);
  const lines = list.map(({ name, points }, i) => {
    const colour = COLOURS[i % COLOURS.length];
    const path = points.map(({ shots: count, result }) => `${x(count)},${y(result.value)}`).join(' ');
    const marks = points.map(({ shots: count, result }) => {
      const at = x(count);
      return `<line x1="${at}" x2="${at}" y1="${y(result.low)}" y2="${y(result.high)}" stroke="${colour}"/><circle cx="${at}" cy="${y(result.value)}" r="3.5" fill="${colour}"/>`;
    });
    const label = `<text x="${LEFT + 12 + i * 130}" y="14" style="fill:${colour}">${escaped(name)}</text>`;
    return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>${marks.join('')}${label}`;
  });
  const title = `<h2>${escaped(metric)} over exemplars</h2>`;
  return `${title}<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" role="img">${grid.join('')}${ticks.join('')}<text x="${WIDTH / 2}" y="${HEIGHT - 2}" text-anchor="middle">exemplars</text>${lines.join('')}</svg>`;
}
