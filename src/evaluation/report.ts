/** The result of an evaluation as one HTML page that needs nothing else and runs nothing: tables and curves are drawn here. */
import { curves } from './report_chart.ts';
import { escaped, page, table } from './report_page.ts';
import type { EvaluationResult, MetricResult } from './types.ts';

/** The page. Texts of models and files stand in it as text: none can become markup. */
export function renderEvaluation(result: EvaluationResult): string {
  const { model, tasks, groups, level, seed, limit, date, is_complete } = result;
  const percent = `${Math.round(level * 100)} %`;
  const facts = Object.entries({ ...model, seed, limit, date }).filter(([, value]) => value !== null && value !== '');
  const head = facts.map(([key, value]) => `${escaped(key)} <b>${escaped(textOf(value))}</b>`).join(' · ');
  const rows = [
    ...groups.map((one) => ({ name: one.group, shots: one.shots, metrics: one.metrics, isGroup: true })),
    ...tasks.map((one) => ({ name: one.task, shots: one.shots, metrics: one.metrics, isGroup: false })),
  ].flatMap(({ name, shots, metrics, isGroup }) =>
    Object.entries(metrics).map(([metric, value]) => {
      const label = isGroup ? `<b>${escaped(name)}</b>` : escaped(name);
      return [label, String(shots), escaped(metric), ...cells(value)];
    }),
  );
  const titles = ['task', 'shots', 'metric', 'value', percent, 'documents'];
  return page(`${model.name} · evaluation`, [
    `<p>${head}</p>`,
    is_complete ? '' : '<p class="warning">Interrupted: what was finished is here.</p>',
    ...curves(result),
    '<h2>Results</h2>',
    table(titles, rows),
    ...sampleSections(result),
  ]);
}

function cells({ value, low, high, count }: MetricResult): string[] {
  return [number(value), `${number(low)} … ${number(high)}`, String(count)];
}

export function number(value: number): string {
  return Math.abs(value) >= 1000 ? value.toPrecision(6) : value.toFixed(4);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Samples shown of each task. */
const SHOWN = 20;

function sampleSections({ tasks }: EvaluationResult): string[] {
  return tasks.flatMap(({ task, shots, samples }) => {
    const kept = samples.filter(({ prompt }) => prompt !== undefined).slice(0, SHOWN);
    if (kept.length === 0) return [];
    const cards = kept.map((sample) => {
      const scores = Object.entries(sample.metrics).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
      const answers = (sample.answers ?? []).map((answer) => `<pre>${escaped(answer)}</pre>`).join('');
      const choices = (sample.choices ?? []).map((choice, i) => {
        return `${escaped(choice)} <span class="soft">${sample.logprobs?.[i]?.toFixed(3) ?? ''}</span>`;
      });
      const foot = escaped([`#${sample.index}`, `target: ${sample.target ?? ''}`, ...scores].join(' · '));
      const tail = (sample.prompt ?? '').slice(-600);
      return `<article class="card"><pre class="prompt">${escaped(tail)}</pre>${answers}${choices.join(' · ')}<footer>${foot}</footer></article>`;
    });
    return [
      `<details><summary>${escaped(task)}, ${shots} shots: the first ${kept.length}</summary>${cards.join('')}</details>`,
    ];
  });
}
