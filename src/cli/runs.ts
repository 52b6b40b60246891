/** `inkstone runs`: the runs of a folder, one of them in full, several beside each other. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { columns } from '../display.ts';
import { FileFormatError, NotFoundError } from '../errors.ts';
import { nearestNames } from '../nearest.ts';
import { isRun, listRuns } from '../node/run_folder.ts';
import { hasColour, lineChart, type Series, type Unit, written } from './charts/index.ts';
import type { CurveX, CurveY } from './run_history.ts';
import { type LoadedRun, loadRun, type RunSummary } from './run_summary.ts';
import { type Column, table } from './run_table.ts';
import { say, sayAside, write, writeJson } from './terminal.ts';
import { grouped, upperEnd, wrapped } from './train_panel.ts';
import { UsageError } from './usage.ts';

export interface RunsFlags {
  readonly json?: boolean;
  readonly plot?: boolean;
  readonly x?: CurveX;
  readonly y?: CurveY;
  readonly log?: 'x' | 'y' | 'xy';
}

/** Words that are no folders: a folder of that name is `./show`. */
export async function runsCommand(words: readonly string[], flags: RunsFlags): Promise<void> {
  const [action, ...names] = words;
  if (action === 'show') {
    if (names.length !== 1) throw new UsageError('show takes one run: inkstone runs show NAME');
    await show(findRun(names[0]), flags);
  } else if (action === 'compare') {
    if (names.length < 1) throw new UsageError('compare takes runs: inkstone runs compare A B');
    await compare(names.map(findRun), flags);
  } else if (flags.plot) await compare(foldersOf(words).map(loadRun), flags);
  else await list(foldersOf(words), flags);
}

/** The folders of runs under some folders; each run once. */
function foldersOf(roots: readonly string[]): string[] {
  for (const root of roots)
    if (!existsSync(root) || !statSync(root).isDirectory()) throw new NotFoundError('folder', root);
  const places = roots.length > 0 ? roots : ['.', 'runs'].filter((place) => existsSync(place));
  return [...new Set(places.flatMap((place) => listRuns(place)))];
}

/** A run by its folder, or by its name where it is the only one of that name here. */
function findRun(name: string): LoadedRun {
  const place = [name, join('runs', name)].find(isRun);
  if (place) return loadRun(place);
  const here = foldersOf([]);
  const matches = here.filter((dir) => baseOf(dir) === name);
  if (matches.length === 1) return loadRun(matches[0]);
  if (matches.length > 1) throw new UsageError(`several runs are called ${name}: ${matches.join(', ')}`);
  throw new NotFoundError('run', name, [], nearestNames(name, here.map(baseOf)));
}

function baseOf(dir: string): string {
  return dir.split(/[\\/]/).at(-1)!;
}

async function list(dirs: readonly string[], flags: RunsFlags): Promise<void> {
  const runs: RunSummary[] = [];
  for (const dir of dirs) {
    try {
      runs.push(loadRun(dir).summary);
    } catch (error) {
      // One damaged folder does not hide the others.
      if (!(error instanceof FileFormatError)) throw error;
      say(`passed over: ${error.message}`);
    }
  }
  runs.sort((a, b) => (b.started ?? 0) - (a.started ?? 0));
  if (flags.json) {
    await writeJson(runs);
    return;
  }
  if (runs.length === 0) sayAside('no runs here: inkstone train makes one, inkstone runs FOLDER looks elsewhere');
  else for (const line of table(runs, LIST, terminalWidth())) await write(`${line}\n`);
}

const LIST: readonly Column<RunSummary>[] = [
  { title: 'run', value: ({ name }) => name, least: 10 },
  { title: 'model', value: ({ preset }) => preset ?? '–', least: 6, dispensable: 3 },
  { title: 'params', value: ({ parameters }) => count(parameters), isNumber: true, dispensable: 5 },
  {
    title: 'step',
    value: ({ step, max_steps }) => `${step}${max_steps === null ? '' : `/${max_steps}`}`,
    isNumber: true,
    dispensable: 1,
  },
  { title: 'loss', value: ({ loss }) => lossOf(loss), isNumber: true },
  { title: 'validation', value: ({ validation }) => lossOf(validation), isNumber: true },
  { title: 'tokens/s', value: (run) => count(run.tokens_per_second), isNumber: true, dispensable: 4 },
  { title: 'state', value: ({ state }) => state, dispensable: 2 },
  { title: 'started', value: ({ started }) => dateOf(started), dispensable: 6 },
];

async function show(run: LoadedRun, flags: RunsFlags): Promise<void> {
  const { summary, info, history } = run;
  if (flags.json) {
    const { evaluation, sample, checkpoint, end } = history;
    await writeJson({ ...summary, info, evaluation, sample, checkpoint, end });
    return;
  }
  const width = terminalWidth(100);
  const { machine } = info;
  const rows: [string, string][] = [
    ['run', summary.dir],
    ['state', `${summary.state}${history.end ? ` (${history.end.reason})` : ''}`],
    ...RESULTS.map(({ name, value }): [string, string] => [name, value(summary)]),
    ['checkpoint', history.checkpoint?.path ?? ''],
    ['skipped steps', summary.skipped > 0 ? grouped(summary.skipped) : ''],
    ['rollbacks', summary.rollbacks > 0 ? grouped(summary.rollbacks) : ''],
    ['', ''],
    ['started', `${dateOf(summary.started)}${info.starts.length > 1 ? `, ${info.starts.length} starts` : ''}`],
    ['command', info.command.join(' ')],
    ['version', info.version],
    ['seed', String(info.seed)],
    ...info.data.map(({ name, hash }): [string, string] => ['data', `${name} ${hash}`]),
    ['machine', machineWords(machine.processor, machine.cores, machine.memory)],
    [
      'backend',
      [machine.backend, machine.variant, machine.threads && `${machine.threads} threads`].filter(Boolean).join(', '),
    ],
    ['', ''],
    ['preset', info.preset ?? ''],
    ...Object.entries(info.settings)
      .filter(([, value]) => value !== null)
      .map(([name, value]): [string, string] => [name, textOf(value)]),
  ];
  const label = Math.min(30, Math.max(...rows.map(([name]) => columns(name))));
  for (const [name, value] of rows) {
    if (name === '') await write('\n');
    else if (value !== '') for (const line of pair(name, value, label, width)) await write(`${line}\n`);
  }
  for (const line of ['', ...chart([run], flags, width)]) await write(`${line}\n`);
  if (!history.sample) return;
  const { step, prompt, text } = history.sample;
  await write(`\ntext at step ${grouped(step)}\n`);
  for (const line of wrapped(text.startsWith(prompt) ? text : prompt + text, width, 20)) await write(`${line}\n`);
}

/** A name and its value in as many lines as it takes. */
function pair(name: string, value: string, label: number, width: number): string[] {
  return wrapped(value, Math.max(10, width - label - 2), 50).map(
    (line, i) => `${(i === 0 ? name : '').padEnd(label)}  ${line}`,
  );
}

function machineWords(processor?: string, cores?: number, memory?: number): string {
  return [processor, cores && `${cores} cores`, memory && written(memory, 'bytes')].filter(Boolean).join(', ');
}

/** What runs are judged by. */
const RESULTS: readonly { readonly name: string; readonly value: (run: RunSummary) => string }[] = [
  { name: 'parameters', value: ({ parameters }) => (parameters === null ? '' : grouped(parameters)) },
  {
    name: 'steps',
    value: ({ step, max_steps }) => `${grouped(step)}${max_steps === null ? '' : ` of ${grouped(max_steps)}`}`,
  },
  { name: 'tokens', value: ({ tokens }) => (tokens === null ? '' : count(tokens)) },
  { name: 'loss', value: ({ loss }) => (loss === null ? '' : lossOf(loss)) },
  { name: 'validation', value: ({ validation }) => (validation === null ? '' : lossOf(validation)) },
  { name: 'at step', value: ({ validation_step: at }) => (at === null ? '' : grouped(at)) },
  { name: 'perplexity', value: ({ perplexity }) => (perplexity === null ? '' : written(perplexity)) },
  { name: 'bits/byte', value: ({ bits_per_byte: bits }) => (bits === null ? '' : bits.toFixed(4)) },
  { name: 'bits/character', value: ({ bits_per_character: bits }) => (bits === null ? '' : bits.toFixed(4)) },
  { name: 'tokens/s', value: (run) => (run.tokens_per_second === null ? '' : grouped(run.tokens_per_second)) },
  { name: 'MFU', value: ({ mfu }) => (mfu === null ? '' : `${(mfu * 100).toFixed(1)}%`) },
  { name: 'time', value: ({ seconds }) => (seconds === null ? '' : written(Math.round(seconds), 'seconds')) },
  { name: 'memory', value: ({ resident }) => (resident === null ? '' : written(resident, 'bytes')) },
];

async function compare(runs: readonly LoadedRun[], flags: RunsFlags): Promise<void> {
  const names = labels(runs);
  const differences = differing(runs);
  if (flags.json) {
    const { x = 'step', y = 'loss' } = flags;
    const curves = flags.plot ? runs.map(({ history }) => history.curve(y, x)) : undefined;
    await writeJson({ runs: runs.map(({ summary }) => summary), differences, ...(curves ? { x, y, curves } : {}) });
    return;
  }
  const width = terminalWidth(Number.POSITIVE_INFINITY);
  const results = [{ name: 'state', value: ({ state }: RunSummary) => state }, ...RESULTS].map(({ name, value }) => ({
    name,
    values: runs.map(({ summary }) => value(summary)),
  }));
  const settings = Object.entries(differences).map(([name, values]) => ({ name, values: values.map(textOf) }));
  await beside('settings that differ', settings, names, width);
  await beside(
    'results',
    results.filter(({ values }) => values.some((value) => value !== '')),
    names,
    width,
  );
  if (flags.plot) for (const line of chart(runs, flags, terminalWidth(120))) await write(`${line}\n`);
}

/** Runs by their names, or by their folders where names repeat. */
function labels(runs: readonly LoadedRun[]): string[] {
  const names = runs.map(({ summary }) => summary.name);
  return runs.map(({ summary }, i) =>
    names.indexOf(names[i]) === names.lastIndexOf(names[i]) ? names[i] : summary.dir,
  );
}

interface Row {
  readonly name: string;
  readonly values: readonly string[];
}

/** A table with a column for each run, in parts where there are too many for the width. */
async function beside(title: string, rows: readonly Row[], names: readonly string[], width: number): Promise<void> {
  if (rows.length === 0) {
    await write(`${title}: none\n\n`);
    return;
  }
  const first = Math.max(columns(title), ...rows.map(({ name }) => columns(name)));
  const each = Math.max(
    10,
    Math.min(24, ...[Math.max(...names.map(columns), ...rows.flatMap((row) => row.values.map(columns)))]),
  );
  const most = Math.max(1, Math.floor((width - first) / (each + 2)));
  for (let from = 0; from < names.length; from += most) {
    const part = names.slice(from, from + most).map((name, i): Column<Row> => {
      return { title: name, value: ({ values }) => values[from + i], isNumber: true, least: 10 };
    });
    for (const line of table(rows, [{ title, value: ({ name }) => name }, ...part], width)) await write(`${line}\n`);
    await write('\n');
  }
}

/** Settings, and what else decides about a run, where not all runs have the same: their values run by run. */
function differing(runs: readonly LoadedRun[]): Record<string, unknown[]> {
  const all = runs.map(({ info }): Record<string, unknown> => {
    const { processor, backend, variant, threads } = info.machine;
    const data = info.data.map(({ hash }) => hash.replace(/^(\w+:)?(.{12}).*$/, '$2')).join(' ');
    return {
      preset: info.preset,
      ...info.settings,
      seed: info.seed,
      data,
      version: info.version,
      processor,
      backend,
      variant,
      threads,
    };
  });
  const names = new Set(all.flatMap(Object.keys));
  const found: Record<string, unknown[]> = {};
  for (const name of names) {
    const values = all.map((settings) => (Object.hasOwn(settings, name) ? (settings[name] ?? null) : null));
    if (new Set(values.map((value) => JSON.stringify(value))).size > 1) found[name] = values;
  }
  return found;
}

const UNITS: Readonly<Record<CurveX, Unit>> = { step: 'count', tokens: 'count', seconds: 'seconds' };

/** The curves of runs in one chart; of a single run its validation too. */
function chart(runs: readonly LoadedRun[], flags: RunsFlags, width: number): string[] {
  const { x = 'step', y = 'loss', log = '' } = flags;
  const names = labels(runs);
  const series = runs.map(({ history }, i): Series => ({ name: names[i], points: history.curve(y, x) }));
  if (runs.length === 1 && y === 'loss') {
    series[0] = { ...series[0], name: 'training loss' };
    const points = runs[0].history.curve('validation', x);
    if (points.length > 0) series.push({ name: 'validation', points, mark: '◆' });
  }
  if (series.every(({ points }) => points.length === 0)) return [];
  const isLoss = y === 'loss' || y === 'validation';
  return lineChart(series, {
    width,
    height: Math.min(24, Math.max(8, (process.stdout.rows ?? 26) - 4)),
    isColoured: hasColour(process.stdout, process.env),
    title: runs.length === 1 && y !== 'loss' ? y : runs.length > 1 ? `${y}:` : '',
    hasLegend: series.length > 1,
    x: { unit: UNITS[x], label: x, ...(log.includes('x') ? { scale: 'log' } : { min: 0 }) },
    y: {
      unit: y === 'tokens_per_second' ? 'count' : 'number',
      scale: log.includes('y') ? 'log' : 'linear',
      ...(isLoss && !log.includes('y') ? { max: greatest(series.map(({ points }) => upperEnd(points))) } : {}),
    },
  });
}

/** The greatest of all, or nothing where one is not known. */
function greatest(values: readonly (number | undefined)[]): number | undefined {
  return values.includes(undefined) ? undefined : Math.max(...values.map(Number));
}

/** The width of the terminal, `most` at most; elsewhere 80 for charts, and as wide as it takes for tables. */
function terminalWidth(most = Number.POSITIVE_INFINITY): number {
  const width = process.stdout.columns;
  if (width) return Math.min(width, most);
  return Number.isFinite(most) ? 80 : 400;
}

function count(value: number | null): string {
  return value === null ? '–' : written(value, 'count');
}

function lossOf(value: number | null): string {
  return value === null ? '–' : value.toFixed(4);
}

/** "2026-11-24 13:04", where the reader is. */
function dateOf(time: number | null): string {
  if (time === null) return '–';
  const date = new Date(time * 1000);
  if (Number.isNaN(date.getTime())) return '–';
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : value === null || value === undefined ? '–' : JSON.stringify(value);
}
