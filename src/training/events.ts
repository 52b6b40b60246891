/** What a training run tells as it goes: the events of `train`, and the lines of a run's events.jsonl. */

/** Losses are means of -log P over targets, in nats. */
export type TrainingEvent =
  | StartEvent
  | StepEvent
  | EvaluationEvent
  | SampleEvent
  | CheckpointEvent
  | SkippedEvent
  | RollbackEvent
  | EndEvent;

export interface StartEvent {
  readonly type: 'start';
  /** The first step of this start: 0, or where a resumed run goes on. */
  readonly step: number;
  readonly max_steps: number;
  readonly parameters: number;
  readonly tokens_per_step: number;
  /** Floating-point operations of a token, forward and backward, with attention. */
  readonly flops_per_token: number;
  /** Bytes of parameters, optimiser state, gradient sums and activations. */
  readonly memory: number;
  /** Tokens of the training and of the validation data. */
  readonly data: { readonly train: number; readonly validation: number };
  readonly backend: string;
  readonly threads: number;
  /** The machine's measured peak in floating-point operations per second, for `mfu`; null where it was not measured. */
  readonly peak_flops: number | null;
  /** Seconds since 1970. */
  readonly time: number;
}

export interface StepEvent {
  readonly type: 'step';
  /** Steps done, counted from 1. */
  readonly step: number;
  readonly loss: number;
  /** Of all gradients, before clipping. */
  readonly grad_norm: number;
  readonly learning_rate: number;
  /** Tokens trained on since the run began. */
  readonly tokens: number;
  readonly tokens_per_second: number;
  /** Share of the machine's peak; null where the peak is not known. */
  readonly mfu: number | null;
  /** Seconds of training since the run began, over all its starts. */
  readonly seconds: number;
  /** Resident memory of the process in bytes; null in browsers. */
  readonly resident: number | null;
  /** Share of the time since the step before that was not spent in kernels; absent where it was not measured, or something came between. */
  readonly outside_kernels?: number;
  /** What else the task tells of the step, by name. */
  readonly metrics?: Readonly<Record<string, number>>;
}

export interface EvaluationEvent {
  readonly type: 'evaluation';
  readonly step: number;
  readonly loss: number;
  /** Of a likelihood alone. */
  readonly perplexity?: number;
  /** Of text alone. */
  readonly bits_per_byte?: number;
  readonly bits_per_character?: number;
  /** What else the task measures, by name: accuracy, margin. */
  readonly metrics?: Readonly<Record<string, number>>;
  /** Whether it is the least so far. */
  readonly best: boolean;
}

export interface SampleEvent {
  readonly type: 'sample';
  readonly step: number;
  readonly prompt: string;
  readonly text: string;
}

export interface CheckpointEvent {
  readonly type: 'checkpoint';
  readonly step: number;
  readonly path: string;
  readonly best: boolean;
}

/** A step that was not made, as its gradients were not finite or exploded. */
export interface SkippedEvent {
  readonly type: 'skipped';
  readonly step: number;
  readonly loss: number;
  readonly grad_norm: number;
  readonly reason: string;
}

/** Back to an earlier checkpoint, with rates times `rate_factor` from there on. */
export interface RollbackEvent {
  readonly type: 'rollback';
  readonly step: number;
  readonly to: number;
  readonly rate_factor: number;
  readonly reason: string;
}

export interface EndEvent {
  readonly type: 'end';
  readonly step: number;
  readonly reason: 'finished' | 'early_stopping' | 'max_time' | 'interrupted' | 'diverged';
  /** The last training loss, and the least validation loss with its step; null where there was none. */
  readonly loss: number | null;
  readonly best: { readonly step: number; readonly loss: number } | null;
  readonly seconds: number;
  /** What to know besides: why it diverged. */
  readonly detail?: string;
}
