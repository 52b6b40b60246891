/** `inkstone eval contamination`: documents of tasks whose text stands in training data. */
import { statSync } from 'node:fs';
import { InterruptedError } from '../errors.ts';
import { CONTAMINATION_WORDS, ContaminationSearch } from '../evaluation/contamination.ts';
import { TaskScorer } from '../evaluation/scorer.ts';
import type { Task, TaskGroup } from '../evaluation/types.ts';
import { filesOf } from '../node/corpus_files.ts';
import { documentsOf } from '../node/corpus_readers.ts';
import { interruptSignal } from './interrupt.ts';
import { type Column, table } from './run_table.ts';
import { progress, sayAside, write, writeJson } from './terminal.ts';
import { UsageError } from './usage.ts';

interface Row {
  readonly task: string;
  readonly documents: number;
  /** Places of the documents that were found. */
  readonly found: readonly number[];
}

/** @param paths of the training data: files, folders or globs, as `train` takes them. */
export async function contaminationCommand(
  paths: readonly string[],
  tasks: readonly (Task | TaskGroup)[],
  flags: { readonly limit?: number; readonly json?: boolean },
): Promise<void> {
  if (paths.length === 0) throw new UsageError('contamination takes the training data: eval contamination FILE…');
  const signal = interruptSignal();
  const texts: string[] = [];
  const spans: { task: string; from: number; to: number }[] = [];
  for (const { definition, documents } of tasks.flatMap((one) => ('tasks' in one ? one.tasks : [one])).map(bound)) {
    const scorer = new TaskScorer(definition);
    const from = texts.length;
    for (const one of (await documents(definition.dataset.split)).slice(0, flags.limit))
      texts.push(scorer.exemplar(one));
    spans.push({ task: definition.name, from, to: texts.length });
  }
  const search = new ContaminationSearch(texts);
  const files = (await Promise.all(paths.map((path) => filesOf({ path })))).flatMap((source) => source.files);
  const total = files.reduce((sum, { path }) => sum + statSync(path).size, 0);
  const show = progress();
  let done = 0;
  const onBytes = (count: number): void => {
    done += count;
    show({ label: 'training data', done, total, unit: 'bytes', finished: done >= total });
  };
  for (const file of files) {
    for await (const parts of documentsOf(file, { path: file.path }, { signal, onBytes })) {
      if (signal.aborted) throw new InterruptedError();
      for (const { text, end } of parts) {
        search.read(text);
        if (end) search.end();
      }
    }
    search.end();
  }
  show.stop();
  const rows = spans.map(({ task, from, to }): Row => {
    const found = [...search.contaminated].filter((place) => place >= from && place < to).map((place) => place - from);
    return { task, documents: to - from, found: found.sort((a, b) => a - b) };
  });
  if (flags.json) return writeJson({ words: CONTAMINATION_WORDS, tasks: rows });
  const columns: Column<Row>[] = [
    { title: 'task', value: ({ task }) => task, least: 12 },
    { title: 'documents', value: ({ documents }) => String(documents), isNumber: true },
    { title: 'found', value: ({ found }) => String(found.length), isNumber: true },
    {
      title: 'share',
      value: ({ found, documents }) => `${((100 * found.length) / documents).toFixed(1)} %`,
      isNumber: true,
    },
  ];
  const width = process.stdout.columns ? Math.min(process.stdout.columns, 120) : 80;
  for (const line of table(rows, columns, width)) await write(`${line}\n`);
  sayAside(
    `found: ${CONTAMINATION_WORDS} words in a row of question and target (or all of a shorter one) stand in the data`,
  );
}

function bound(task: Task): Task {
  return { definition: task.definition, documents: (split) => task.documents(split) };
}
