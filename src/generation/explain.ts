/** What a step of generation did to its scores, as data. */
import type { GenerationSettings, ProcessorContext, Scores } from './types.ts';

/** One step of one answer, as `generate` tells it to whoever asked for it. The arrays are valid during the call alone: copy what stays. */
export interface ObservedStep {
  /** Which prompt, which of its answers, and which new token of it, from 0. */
  readonly prompt: number;
  readonly index: number;
  readonly step: number;
  readonly settings: GenerationSettings;
  /** What the model said, unchanged: [vocabulary]. */
  readonly logits: Scores;
  /** The same after every processor: what the token was chosen from. */
  readonly processed: Scores;
  readonly context: ProcessorContext;
  /** The token that was chosen. */
  readonly token: number;
}

export type StepObserver = (step: ObservedStep) => void;
