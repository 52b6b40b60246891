/**
 * The nouns of evaluation: a model that is scored, a task and its documents, what became of each of them, and the result of a run.
 * Keys of files and results are written as the field writes them (snake_case); the definitions are those of lm-evaluation-harness.
 */
import type { Interval } from '../experiments/statistics.ts';

// ---- a model under evaluation

/** How probable a continuation is after a context. */
export interface LikelihoodRequest {
  /** May be empty: then the model's prefix token (beginning or end of a text) stands for it. */
  readonly context: string;
  readonly continuation: string;
}

export interface Likelihood {
  /** Sum of the natural logarithms of the tokens' probabilities. */
  readonly logprob: number;
  /** Whether each token of the continuation is the most probable one after what stands before it. */
  readonly is_greedy: boolean;
  /** Tokens that were scored. */
  readonly tokens: number;
  /** Tokens of the context that were left out because the model's context is shorter. */
  readonly truncated: number;
}

/** An answer, until one of some strings, an end token or a number of tokens. */
export interface GenerationRequest {
  readonly prompt: string;
  /** The first of these ends the answer and is no part of it. */
  readonly until: readonly string[];
  readonly max_new_tokens: number;
  /** Answers to this prompt. */
  readonly count: number;
  /** Temperature, top_p and so on: settings of generation by their names. Greedy unless they say otherwise. */
  readonly settings: Readonly<Record<string, unknown>>;
}

export interface Generation {
  /** One text for each answer. */
  readonly texts: readonly string[];
  /** New tokens of all answers. */
  readonly tokens: number;
  /** Tokens of the prompt's beginning that were left out because the model's context is shorter. */
  readonly truncated: number;
}

/** How a batch of requests is worked at. */
export interface WorkOptions<T> {
  /** Ends the work with an InterruptedError; what was done was told to `onResult`. */
  readonly signal?: AbortSignal;
  /** Called with each result as soon as it is known, in any order. */
  readonly onResult?: (index: number, result: T) => void;
}

/** What is known of a model, for the head of a result. */
export interface ModelDescription {
  readonly name: string;
  /** `engine` for a model of ours in this process, `server` for one behind an OpenAI-compatible address. */
  readonly kind: 'engine' | 'server';
  /** Backend, precision, address and the like: whatever tells two runs apart. */
  readonly [detail: string]: unknown;
}

/** A model under evaluation. Results are in the order of the requests. */
export interface LanguageModel {
  readonly description: ModelDescription;
  /** @throws SettingError for what the model cannot do at all, InterruptedError. */
  loglikelihood(
    requests: readonly LikelihoodRequest[],
    options?: WorkOptions<Likelihood>,
  ): Promise<readonly Likelihood[]>;
  /** Of whole texts, each token scored once; the first token follows the prefix token. */
  loglikelihoodRolling(texts: readonly string[], options?: WorkOptions<Likelihood>): Promise<readonly Likelihood[]>;
  generateUntil(
    requests: readonly GenerationRequest[],
    options?: WorkOptions<Generation>,
  ): Promise<readonly Generation[]>;
}

// ---- a task

export type OutputType = 'loglikelihood' | 'multiple_choice' | 'loglikelihood_rolling' | 'generate_until';

/** A document of a data set, as its file spells it. */
export type Document = Readonly<Record<string, unknown>>;

export type DatasetFormat = 'jsonl' | 'json' | 'csv' | 'tsv' | 'text';

/** Where documents come from. */
export interface DatasetSpec {
  /** Documents that are made by a rule and a seed instead of read: its name and its options; see rules.ts. */
  readonly rule?: Readonly<Record<string, unknown>> & { readonly name: string };
  /** Files or globs of each split, beside the task's file or in the data folder; empty with a rule. */
  readonly splits: Readonly<Record<string, readonly string[]>>;
  /** The split that is scored. */
  readonly split: string;
  /** By the files' names unless given. */
  readonly format?: DatasetFormat;
  /** Names of the columns of a table without a heading. */
  readonly columns?: readonly string[];
  /** Where the data can be had, for the message when it is not there. */
  readonly source?: string;
}

export interface FewshotSpec {
  /** The split that exemplars are drawn from; the scored one unless given. */
  readonly split?: string;
  /** Exemplars unless the caller says how many. */
  readonly count: number;
  /** Between exemplars. */
  readonly delimiter: string;
  readonly sampler: 'random' | 'first';
}

/** A step from an answer to what is compared; see filters.ts. */
export interface FilterStep {
  readonly function: 'regex' | 'take_first' | 'majority_vote' | 'strip' | 'lowercase';
  readonly [argument: string]: unknown;
}

/** A chain of steps. Metrics of several chains are told apart by its name: `exact_match,strict-match`. */
export interface FilterSpec {
  readonly name: string;
  readonly steps: readonly FilterStep[];
}

export interface MetricSpec {
  readonly metric: string;
  readonly [option: string]: unknown;
}

/** A task, checked and with its defaults filled in; see task_file.ts. Templates are Jinja over the fields of a document. */
export interface TaskDefinition {
  readonly name: string;
  readonly version: number;
  readonly output_type: OutputType;
  readonly dataset: DatasetSpec;
  /** Stands before the exemplars, as it is. */
  readonly description: string;
  readonly doc_to_text: string;
  /** A template. For multiple_choice: the place of the right choice, or its text. */
  readonly doc_to_target: string;
  /** multiple_choice alone: templates of the choices, or the name of a field that is a list. */
  readonly doc_to_choice: string | readonly string[] | null;
  /** Between question and target. */
  readonly target_delimiter: string;
  readonly fewshot: FewshotSpec;
  readonly generation: {
    readonly until: readonly string[];
    readonly max_new_tokens: number;
    readonly settings: Readonly<Record<string, unknown>>;
  };
  /** Answers to each prompt (generate_until). */
  readonly repeats: number;
  readonly filters: readonly FilterSpec[];
  readonly metrics: readonly MetricSpec[];
}

/** A file that documents came from. */
export interface DataFile {
  /** As the task names it, without the folder of this machine. */
  readonly name: string;
  readonly sha256: string;
}

/** A task with its documents: those of files, or made by rule. */
export interface Task {
  readonly definition: TaskDefinition;
  /** The documents of a split, the same in each call. @throws NotFoundError and FileFormatError for files. */
  documents(split: string): Promise<readonly Document[]>;
  /** The files that were read for these splits. */
  files?(): readonly DataFile[];
}

/** Several tasks under one name; its metrics are the means over them. */
export interface TaskGroup {
  readonly name: string;
  readonly tasks: readonly Task[];
}

// ---- a result

/**
 * What one document adds to a metric: a number, or a value and its weight. Over documents the metric is
 * `transform(sum of values / sum of weights)` with the transformation of `metricTable`; a number has weight 1.
 */
export type Measure = number | readonly [value: number, weight: number];

/** What became of one document. */
export interface SampleRecord {
  /** Its place in the split, from 0: the same document has the same one in every run. */
  readonly index: number;
  /** A hash of the document's content: documents of two runs are the same only when both agree. */
  readonly hash: string;
  readonly metrics: Readonly<Record<string, Measure>>;
  readonly truncated?: number;
  /** What follows is kept only when samples were asked for. */
  readonly document?: Document;
  readonly prompt?: string;
  readonly target?: string;
  readonly choices?: readonly string[];
  /** One for each choice, or one. */
  readonly logprobs?: readonly number[];
  readonly answers?: readonly string[];
  /** By filter: what was compared with the target. */
  readonly filtered?: Readonly<Record<string, string>>;
}

export interface MetricResult extends Interval {
  /** Standard deviation of the metric over the bootstrap. */
  readonly stderr: number;
}

/** A task with a number of exemplars, scored. */
export interface TaskResult {
  readonly task: string;
  readonly version: number;
  readonly output_type: OutputType;
  readonly shots: number;
  /** The group that asked for it. */
  readonly group: string | null;
  readonly metrics: Readonly<Record<string, MetricResult>>;
  /** Documents of the split, and how many of them were to be scored. */
  readonly documents: number;
  readonly wanted: number;
  /** False where the run was interrupted: then metrics are of the samples that there are. */
  readonly is_complete: boolean;
  /** Documents whose prompt did not fit into the model's context. */
  readonly truncated: number;
  readonly files: readonly DataFile[];
  readonly seconds: number;
  /** In the order of the documents. */
  readonly samples: readonly SampleRecord[];
}

/** The mean of a metric over the tasks of a group, all with the same number of exemplars. */
export interface GroupResult {
  readonly group: string;
  readonly shots: number;
  readonly tasks: number;
  readonly metrics: Readonly<Record<string, MetricResult>>;
  readonly is_complete: boolean;
}

/** A run: everything that another run or a report needs. */
export interface EvaluationResult {
  readonly format: 'inkstone-evaluation';
  readonly format_version: 1;
  readonly model: ModelDescription;
  /** Of exemplars and the bootstrap. */
  readonly seed: number;
  /** Documents of each task at most; null for all. */
  readonly limit: number | null;
  /** Level of the intervals and resamples of the bootstrap. */
  readonly level: number;
  readonly resamples: number;
  readonly versions: Readonly<Record<string, string>>;
  /** ISO 8601, when the run began. */
  readonly date: string;
  readonly is_complete: boolean;
  readonly tasks: readonly TaskResult[];
  readonly groups: readonly GroupResult[];
}
