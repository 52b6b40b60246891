/** `inkstone classify`: the classes of texts, and with labelled files how often they are right. */
import { bootstrapMean } from '../experiments/statistics.ts';
import { type Classification, openClassifier } from '../node/classifier.ts';
import { readRecords } from '../node/examples.ts';
import type { Precision } from '../tensor/index.ts';
import type { DataRecord } from '../training/examples/index.ts';
import { progress, write, writeJson } from './terminal.ts';
import { UsageError } from './usage.ts';

export interface ClassifyFlags {
  readonly model?: string;
  readonly file?: readonly string[];
  readonly json?: boolean;
  readonly backend?: string;
  readonly threads?: number;
  readonly precision?: Precision;
  readonly offline?: boolean;
}

export async function classifyCommand(texts: readonly string[], flags: ClassifyFlags): Promise<void> {
  const { model, file = [], json, ...rest } = flags;
  if (model === undefined) throw new UsageError('name the classifier: --model FOLDER, as inkstone tune makes it');
  if (texts.length === 0 && file.length === 0) throw new UsageError('name texts to classify, or --file FILE…');
  const classifier = await openClassifier(model, rest);
  try {
    const records: DataRecord[] = [];
    for await (const record of readRecords(file)) records.push(record);
    const bar = progress();
    const inputs = [...texts, ...records];
    const found = await classifier.classify(inputs, (done, total) => {
      if (total > 64) bar({ label: 'classified', done, total, unit: 'records', finished: done === total });
    });
    const answers = inputs.map((input, i) => ({ text: shownText(input), ...found[i] }));
    const { labels } = classifier.record;
    const truth = records.map((record) => labelOf(record));
    const measured = truth.length > 0 && truth.every((label) => label !== null);
    const score = measured ? measure(labels, truth as string[], found.slice(texts.length)) : null;
    if (json) await writeJson({ answers, ...(score ?? {}) });
    else await write(`${[...(score ? scoreLines(labels, score) : answerLines(answers))].join('\n')}\n`);
  } finally {
    await classifier.close();
  }
}

interface Score {
  readonly count: number;
  readonly accuracy: number;
  /** 95 %, by the bootstrap. */
  readonly interval: readonly [low: number, high: number];
  readonly macro_f1: number;
  /** By true class, then by answer. */
  readonly confusion: readonly (readonly number[])[];
}

function measure(labels: readonly string[], truth: readonly string[], found: readonly Classification[]): Score {
  const place = new Map(labels.map((label, i) => [label, i]));
  const confusion = labels.map(() => labels.map(() => 0));
  const right = truth.map((label, i) => {
    const [t, a] = [place.get(label), place.get(found[i].label)!];
    if (t === undefined) throw new UsageError(`"${label}" is no class of this classifier: it has ${labels.join(', ')}`);
    confusion[t][a]++;
    return t === a ? 1 : 0;
  });
  const f1 = labels.map((_, c) => {
    const hit = confusion[c][c];
    const said = confusion.reduce((sum, row) => sum + row[c], 0);
    const there = confusion[c].reduce((a, b) => a + b, 0);
    return said + there === 0 ? 0 : (2 * hit) / (said + there);
  });
  const { value, low, high } = bootstrapMean(right)!;
  return {
    count: right.length,
    accuracy: value,
    interval: [low, high],
    macro_f1: f1.reduce((a, b) => a + b, 0) / labels.length,
    confusion,
  };
}

function* scoreLines(labels: readonly string[], { count, accuracy, interval, macro_f1, confusion }: Score) {
  const percent = (x: number) => `${(100 * x).toFixed(2)} %`;
  yield `accuracy ${percent(accuracy)} of ${count} (95 %: ${percent(interval[0])} to ${percent(interval[1])}), macro F1 ${percent(macro_f1)}`;
  const width = Math.max(8, ...labels.map(({ length }) => Math.min(length, 16)));
  const cell = (text: string) => text.slice(0, 16).padStart(width);
  if (labels.length > 8) return;
  yield `${cell('')} ${labels.map((label) => cell(`→ ${label}`)).join(' ')}`;
  for (const [i, label] of labels.entries())
    yield `${cell(label)} ${confusion[i].map((n) => cell(String(n))).join(' ')}`;
}

function* answerLines(answers: readonly (Classification & { readonly text: string })[]) {
  for (const { text, label, score } of answers) yield `${label}\t${score.toFixed(4)}\t${text}`;
}

function shownText(input: string | DataRecord): string {
  const text =
    typeof input === 'string'
      ? input
      : Object.values(input.values)
          .filter((value) => typeof value === 'string')
          .join(' | ');
  return text.replaceAll(/\s+/g, ' ').slice(0, 200);
}

/** The class that a record says it has; null where it says none. */
function labelOf(record: DataRecord): string | null {
  const value = record.value('label') ?? record.value('answer');
  return typeof value === 'string' || typeof value === 'number' ? String(value) : null;
}
