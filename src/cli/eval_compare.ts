/** `inkstone eval compare`: two results, document by document. */
import { FileFormatError } from '../errors.ts';
import { type Comparison, compareRuns } from '../evaluation/compare.ts';
import { renderComparison, signed, verdictText } from '../evaluation/compare_report.ts';
import { readEvaluation, replaceFile } from '../node/eval_files.ts';
import { shown } from './eval_table.ts';
import { type Column, table } from './run_table.ts';
import { sayAside, write, writeJson } from './terminal.ts';
import { UsageError } from './usage.ts';

export interface CompareFlags {
  readonly out?: string;
  readonly seed?: number;
  readonly json?: boolean;
}

export async function compareCommand(paths: readonly string[], flags: CompareFlags): Promise<void> {
  if (paths.length !== 2) throw new UsageError('compare takes two results: eval compare A.json B.json');
  const [first, second] = paths.map(readEvaluation);
  const rows = compareRuns(first, second, { seed: flags.seed });
  if (rows.length === 0) {
    const problem = `it has no task with the same exemplars and documents as ${paths[0]}`;
    throw new FileFormatError(paths[1], 'tasks', problem);
  }
  const names: [string, string] = ['A', 'B'];
  const full: [string, string] = [label(first.model.name, 'A'), label(second.model.name, 'B')];
  if (flags.out !== undefined) {
    const html = /\.html?$/i.test(flags.out) ? flags.out : `${flags.out}.html`;
    replaceFile(html, renderComparison(first, second, rows, full));
    sayAside(html);
  }
  if (flags.json) return writeJson({ first: first.model, second: second.model, comparisons: rows });
  sayAside(`${full[0]}; ${full[1]}`);
  const width = process.stdout.columns ? Math.min(process.stdout.columns, 120) : 80;
  const columns: Column<Comparison>[] = [
    { title: 'task', value: ({ task }) => task, least: 12 },
    { title: 'shots', value: ({ shots }) => String(shots), isNumber: true, dispensable: 2 },
    { title: 'metric', value: ({ metric }) => metric, least: 8 },
    { title: 'A', value: ({ first: value }) => shown(value), isNumber: true },
    { title: 'B', value: ({ second: value }) => shown(value), isNumber: true },
    { title: 'B − A', value: ({ difference }) => signed(difference), isNumber: true, dispensable: 3 },
    { title: 'p', value: ({ corrected }) => corrected.toPrecision(2), isNumber: true },
    { title: 'test', value: ({ test }) => test, dispensable: 4 },
    { title: 'verdict', value: (row) => verdictText(row, names) },
  ];
  for (const line of table(rows, columns, width)) await write(`${line}\n`);
}

function label(name: unknown, letter: string): string {
  return `${letter} ${String(name)}`;
}
