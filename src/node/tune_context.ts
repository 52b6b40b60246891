/** What every method of fine-tuning has at hand and what it answers, and the records that all of them read. */
import { SettingError } from '../errors.ts';
import type { Model } from '../models/index.ts';
import type { Tokenizer } from '../tokenizers/index.ts';
import {
  type AnyExample,
  countShared,
  type DataRecord,
  ExampleCodec,
  type Learnable,
  splitExamples,
} from '../training/examples/index.ts';
import type { Learner } from '../training/learner.ts';
import type { EvaluationSet, LoopHost, LoopOptions, StepBatches } from '../training/loop.ts';
import type { TrainingStep } from '../training/step.ts';
import type { TrainingTask } from '../training/task.ts';
import type { ResolvedTuning } from '../training/tuning_fields.ts';
import type { Snapshot } from './checkpoints.ts';
import { type RecordFileFacts, readRecords, recordFileFacts } from './examples.ts';
import type { ModelFiles } from './open_model.ts';
import type { TuneOptions, TuneRequest } from './tune.ts';
import type { LearningAdapter } from './tune_adapter.ts';

export interface MethodContext extends Pick<TuneOptions, 'signal' | 'onNotice' | 'onProgress'> {
  readonly request: TuneRequest;
  readonly resolved: ResolvedTuning;
  readonly files: ModelFiles;
  readonly tokenizer: Tokenizer;
  /** The base. */
  readonly model: Model;
  readonly learner: Learner;
  readonly seed: number;
  /** The run's folder. */
  readonly out: string;
}

export interface Prepared<B> {
  readonly task: TrainingTask<B>;
  readonly batches: StepBatches<B>;
  readonly evaluation: EvaluationSet<B> | null;
  /** Steps that go through the data so many times. */
  steps(epochs: number): number;
  readonly block_size: number;
  readonly counts: LoopOptions<B>['counts'];
  /** Tokens of both parts of the data. */
  readonly tokens: { readonly train: number; readonly validation: number };
  readonly files: readonly RecordFileFacts[];
  /** What to tell of the data. */
  readonly lines: readonly string[];
  /** First values of what is the method's own. */
  initialize?(step: TrainingStep<B>): void | Promise<void>;
  /** What has to be computed before the first step of each start. */
  begin?(step: TrainingStep<B>, adapter: LearningAdapter | null): void | Promise<void>;
  /** What a checkpoint holds, where it is not the model or the adapter alone. */
  snapshot?(step: TrainingStep<B>, adapter: LearningAdapter | null): Pick<Snapshot, 'config' | 'tensors' | 'beside'>;
  sample?(step: TrainingStep<B>, adapter: LearningAdapter | null): LoopHost['sample'];
}

/** The records of both sides of the data. */
export async function readSides<E extends AnyExample>(
  { request, seed, signal, onProgress }: MethodContext,
  read: (record: DataRecord) => E,
): Promise<{ train: readonly E[]; validation: readonly E[]; files: RecordFileFacts[]; lines: string[] }> {
  const { data, validation = [], separator, validation_fraction = 0.1 } = request;
  const readAll = async (paths: readonly string[]) => {
    const examples: E[] = [];
    for await (const record of readRecords(paths, { separator, signal })) {
      examples.push(read(record));
      if (examples.length % 256 === 0) onProgress?.({ label: 'records', done: examples.length });
    }
    return examples;
  };
  const all = await readAll(data);
  const own = validation.length > 0 ? await readAll(validation) : null;
  if (all.length === 0) throw new SettingError('data', data.join(', '), 'holds no records');
  const split = own
    ? { train: all, validation: own, duplicates: 0 }
    : splitExamples(all, { fraction: validation_fraction, seed });
  const files: RecordFileFacts[] = [];
  for (const path of [...data, ...validation]) files.push(await recordFileFacts(path));
  const shared = own ? countShared(all, own) : 0;
  const lines = [
    `${split.train.length} records to learn from, ${split.validation.length} set apart`,
    ...(split.duplicates > 0 ? [`${split.duplicates} records are there more than once, on one side`] : []),
    ...(shared > 0 ? [`${shared} validation records are in the training data too`] : []),
  ];
  return { ...split, files, lines };
}

export function codecOf({ files, resolved: { own } }: MethodContext): ExampleCodec {
  return new ExampleCodec(files, { learn: own.learn as Learnable | undefined });
}

/** What the codec left out of records. */
export function notesOf(codec: ExampleCodec): string[] {
  return [...codec.notes].map(([what, count]) => `${count} records: ${what}`);
}

/** What to tell of examples that did not fit. */
export function fittedLines(
  { cut, left_out, longest }: { cut: number; left_out: number; longest: number },
  size: number,
) {
  if (cut + left_out === 0) return [];
  return [`the longest has ${longest} tokens: ${cut} were cut to ${size}, ${left_out} left out`];
}
