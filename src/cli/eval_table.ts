/** The result of an evaluation on a terminal. */
import { metricInfo } from '../evaluation/metrics.ts';
import { shotCurves } from '../evaluation/report_chart.ts';
import type { EvaluationResult, MetricResult } from '../evaluation/types.ts';
import { lineChart, type Series } from './charts/index.ts';
import { type Column, table } from './run_table.ts';

interface Row {
  readonly task: string;
  readonly shots: number;
  readonly metric: string;
  readonly result: MetricResult;
}

/** Lines of at most `width` columns: groups before the tasks. */
export function evalTable({ tasks, groups, level }: EvaluationResult, width: number): string[] {
  const rows = [
    ...groups.map(({ group, shots, metrics }) => ({ task: group, shots, metrics })),
    ...tasks.map(({ task, shots, metrics }) => ({ task, shots, metrics })),
  ].flatMap(({ task, shots, metrics }) =>
    Object.entries(metrics).map(([metric, result]): Row => ({ task, shots, metric, result })),
  );
  const columns: Column<Row>[] = [
    { title: 'task', value: ({ task }) => task, least: 16 },
    { title: 'shots', value: ({ shots }) => String(shots), isNumber: true },
    { title: 'metric', value: ({ metric }) => metric, least: 12 },
    { title: 'value', value: ({ result }) => shown(result.value), isNumber: true },
    {
      title: `${Math.round(level * 100)} %`,
      value: ({ result: { low, high, count } }) => (count > 1 ? `${shown(low)} … ${shown(high)}` : ''),
      isNumber: true,
    },
    { title: 'documents', value: ({ result }) => String(result.count), isNumber: true, dispensable: 1 },
  ];
  return table(rows, columns, width);
}

export function shown(value: number): string {
  return Math.abs(value) >= 1000 ? value.toPrecision(5) : value.toFixed(4);
}

/** A chart for each metric that was measured with several numbers of exemplars; ends of intervals are dots of their own. */
export function shotCharts(result: EvaluationResult, width: number, isColoured: boolean): string[] {
  const curves = shotCurves(result);
  const metrics = [...new Set(curves.map(({ metric }) => metric))];
  return metrics.flatMap((metric) => {
    const list = curves.filter((one) => one.metric === metric).slice(0, 6);
    const series = list.flatMap(({ name, points }): Series[] => [
      { name, points: points.map(({ shots, result: { value } }) => [shots, value] as const), mark: '●', isLine: true },
      ...(['low', 'high'] as const).map((end): Series => {
        return { name: `${end} end`, points: points.map((one) => [one.shots, one.result[end]] as const), mark: '·' };
      }),
    ]);
    const y = metricInfo(metric)?.isShare ? ({ unit: 'number' } as const) : {};
    const chart = lineChart(series, {
      ...{ width, height: 14, isColoured, y, hasLegend: false },
      x: { unit: 'count', label: 'exemplars' },
      title: `${metric}: ${list.map(({ name }) => name).join(', ')}`,
    });
    return ['', ...chart];
  });
}
