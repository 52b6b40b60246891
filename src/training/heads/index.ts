/** Task heads: classification, entailment, similarity and multiple choice (Radford et al. 2018). */
export {
  type FittedTaskExamples,
  fillHeadBatch,
  fitTaskExamples,
  type HeadBatch,
  type HeadBatchSettings,
  headSlots,
} from './batch.ts';
export { HeadBatches, HeadEvaluation } from './batches.ts';
export { initialHead, withNewRows } from './initial.ts';
export { HeadScorer, type HeadScorerOptions, probabilities } from './scorer.ts';
export { frozenLearner, type HeadTaskSettings, headTask } from './task.ts';
