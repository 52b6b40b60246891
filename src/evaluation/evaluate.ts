/** A run: tasks, each with some numbers of exemplars, asked of a model and scored. What an earlier run of the same kind found is kept. */
import { InterruptedError } from '../errors.ts';
import { type Documents, FewshotSampler, hashesOf } from './fewshot.ts';
import { type Estimate, estimate, meanEstimate, metricInfo } from './metrics.ts';
import { type Item, type ItemResult, TaskScorer } from './scorer.ts';
import type {
  EvaluationResult,
  Generation,
  GroupResult,
  LanguageModel,
  Likelihood,
  MetricResult,
  SampleRecord,
  Task,
  TaskGroup,
  TaskResult,
} from './types.ts';

/** Exemplars and resamples are drawn by this seed unless another is given, as in lm-evaluation-harness. */
export const DEFAULT_SEED = 1234;

export type EvaluationEvent =
  | { readonly type: 'task'; readonly task: string; readonly shots: number; readonly wanted: number }
  | {
      readonly type: 'sample';
      readonly task: string;
      readonly shots: number;
      readonly done: number;
      readonly wanted: number;
    }
  | { readonly type: 'result'; readonly result: TaskResult };

export interface EvaluateOptions {
  readonly model: LanguageModel;
  readonly tasks: readonly (Task | TaskGroup)[];
  /** Numbers of exemplars, each a run of its own; those of the tasks unless given. */
  readonly shots?: readonly number[];
  /** Documents of each task at most, the first of its split. */
  readonly limit?: number;
  readonly seed?: number;
  /** Resamples of the bootstrap; 1000 unless given. */
  readonly resamples?: number;
  /** Level of the intervals; 0.95 unless given. */
  readonly level?: number;
  /** Keep prompts and answers beside the numbers. */
  readonly keepSamples?: boolean;
  /** A run of the same model, seed and tasks: its samples are not computed again. */
  readonly previous?: EvaluationResult;
  readonly versions?: Readonly<Record<string, string>>;
  readonly date?: string;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: EvaluationEvent) => void;
  /** Called with what there is after each task, to be written down. */
  readonly onPart?: (part: EvaluationResult) => void;
}

interface Finished {
  readonly result: TaskResult;
  readonly estimates: Readonly<Record<string, Estimate>>;
}

interface Job {
  readonly task: Task;
  readonly shots: number;
  readonly group: string | null;
}

/** An interrupted run answers with what is complete; `is_complete` is false then. */
export async function evaluate(options: EvaluateOptions): Promise<EvaluationResult> {
  const { model, tasks, seed = DEFAULT_SEED, resamples = 1000, level = 0.95 } = options;
  const jobs = tasks.flatMap((one): Job[] =>
    'tasks' in one
      ? one.tasks.flatMap((task) => jobsOf(task, one.name, options.shots))
      : jobsOf(one, null, options.shots),
  );
  const finished: Finished[] = [];
  const date = options.date ?? new Date().toISOString();
  const report = (isComplete: boolean): EvaluationResult => ({
    format: 'inkstone-evaluation',
    format_version: 1,
    model: model.description,
    seed,
    limit: options.limit ?? null,
    ...{ level, resamples, versions: options.versions ?? {}, date, is_complete: isComplete },
    tasks: finished.map(({ result }) => result),
    groups: groupsOf(finished, level),
  });
  for (const job of jobs) {
    const runner = new TaskRun(job, { ...options, seed, resamples, level });
    const one = await runner.run();
    finished.push(one);
    options.onEvent?.({ type: 'result', result: one.result });
    if (!one.result.is_complete) return report(false);
    if (finished.length < jobs.length) options.onPart?.(report(false));
  }
  return report(true);
}

function jobsOf(task: Task, group: string | null, shots: readonly number[] | undefined): Job[] {
  // Rolling likelihoods have no prompt that exemplars could stand in.
  const isRolling = task.definition.output_type === 'loglikelihood_rolling';
  const counts = isRolling ? [0] : (shots ?? [task.definition.fewshot.count]);
  return [...new Set(counts)].map((count) => ({ task, shots: count, group }));
}

type RunOptions = EvaluateOptions & { readonly seed: number; readonly resamples: number; readonly level: number };

/** A task with a number of exemplars. */
class TaskRun {
  constructor(
    private readonly job: Job,
    private readonly options: RunOptions,
  ) {}

  async run(): Promise<Finished> {
    const { task, shots } = this.job;
    const { seed, limit, onEvent } = this.options;
    const { definition } = task;
    const start = performance.now();
    const { split } = definition.dataset;
    const documents = await task.documents(split);
    const hashes = hashesOf(documents);
    const wanted = Math.min(documents.length, limit ?? documents.length);
    onEvent?.({ type: 'task', task: definition.name, shots, wanted });
    const scorer = new TaskScorer(definition);
    const from = definition.fewshot.split ?? split;
    const pool = shots === 0 || from === split ? { documents, hashes } : await this.pool(from);
    const sampler =
      shots === 0
        ? null
        : new FewshotSampler(definition.fewshot, pool, shots, seed, definition.name, (one) => scorer.exemplar(one));
    const known = this.known();
    const records = new Array<SampleRecord | undefined>(wanted);
    const places: number[] = [];
    for (let i = 0; i < wanted; i++) {
      const before = known.get(`${i} ${hashes[i]}`);
      if (before) records[i] = before;
      else places.push(i);
    }
    const items = places.map((i) => {
      const exemplars = sampler?.for(hashes[i], shots).map(({ text }) => text) ?? [];
      return scorer.item(documents[i], exemplars);
    });
    let done = wanted - places.length;
    const finish = (at: number, result: ItemResult): void => {
      const index = places[at];
      const scored = scorer.score(items[at], result, this.options.keepSamples ?? false);
      records[index] = { index, hash: hashes[index], ...scored };
      onEvent?.({ type: 'sample', task: definition.name, shots, done: ++done, wanted });
    };
    try {
      await ask(this.options.model, items, finish, this.options.signal);
    } catch (error) {
      if (!(error instanceof InterruptedError) && (error as Error)?.name !== 'AbortError') throw error;
    }
    const samples = records.filter((one) => one !== undefined);
    const seconds = (performance.now() - start) / 1000;
    return this.finished(samples, documents.length, wanted, seconds);
  }

  private async pool(split: string): Promise<Documents> {
    const documents = await this.job.task.documents(split);
    return { documents, hashes: hashesOf(documents) };
  }

  /** Samples of the earlier run, by place and content. */
  private known(): Map<string, SampleRecord> {
    const { name, version } = this.job.task.definition;
    const before = this.options.previous?.tasks.find((one) => {
      return one.task === name && one.shots === this.job.shots && one.version === version;
    });
    return new Map(before?.samples.map((sample) => [`${sample.index} ${sample.hash}`, sample]));
  }

  private finished(samples: readonly SampleRecord[], documents: number, wanted: number, seconds: number): Finished {
    const { task, shots, group } = this.job;
    const { name, version, output_type } = task.definition;
    const estimates: Record<string, Estimate> = {};
    const metrics: Record<string, MetricResult> = {};
    for (const metric of Object.keys(samples[0]?.metrics ?? {})) {
      const measures = samples.map((sample) => sample.metrics[metric]);
      estimates[metric] = estimate(measures, metricInfo(metric)!, { ...this.options, name });
      metrics[metric] = estimates[metric].result;
    }
    const result: TaskResult = {
      ...{ task: name, version, output_type, shots, group, metrics, documents, wanted },
      is_complete: samples.length === wanted,
      truncated: samples.filter((one) => (one.truncated ?? 0) > 0).length,
      files: task.files?.() ?? [],
      seconds,
      samples,
    };
    return { result, estimates };
  }
}

/** Put the questions of all items to the model, and tell each item's results as soon as they are known. */
async function ask(
  model: LanguageModel,
  items: readonly Item[],
  finish: (at: number, result: ItemResult) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const first = items[0]?.query.type;
  if (first === undefined) return;
  if (first === 'generation') {
    const requests = items.flatMap(({ query }) => (query.type === 'generation' ? [query.request] : []));
    await model.generateUntil(requests, { signal, onResult: (i, result: Generation) => finish(i, result) });
  } else if (first === 'rolling') {
    const texts = items.flatMap(({ query }) => (query.type === 'rolling' ? [query.text] : []));
    await model.loglikelihoodRolling(texts, { signal, onResult: (i, result) => finish(i, [result]) });
  } else {
    const lists = items.map(({ query }) => (query.type === 'likelihood' ? query.requests : []));
    const owners = lists.flatMap((list, item) => list.map((_, place) => ({ item, place })));
    const results = lists.map((list) => new Array<Likelihood>(list.length));
    const missing = lists.map(({ length }) => length);
    await model.loglikelihood(lists.flat(), {
      signal,
      onResult: (i, result) => {
        const { item, place } = owners[i];
        results[item][place] = result;
        if (--missing[item] === 0) finish(item, results[item]);
      },
    });
  }
}

function groupsOf(finished: readonly Finished[], level: number): GroupResult[] {
  const groups = new Map<string, Finished[]>();
  for (const one of finished) {
    const { group, shots } = one.result;
    if (group === null) continue;
    const key = JSON.stringify([group, shots]);
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups].map(([key, list]): GroupResult => {
    const [group, shots] = JSON.parse(key) as [string, number];
    const names = Object.keys(list[0].estimates).filter((name) => list.every(({ estimates }) => estimates[name]));
    const metrics = Object.fromEntries(
      names.map((name) => [
        name,
        meanEstimate(
          list.map(({ estimates }) => estimates[name]),
          level,
        ),
      ]),
    );
    return { group, shots, tasks: list.length, metrics, is_complete: list.every(({ result }) => result.is_complete) };
  });
}
