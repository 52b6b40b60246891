/** Learning from preferences: pairs of answers, and answers with a label. */
export {
  type AnswerRows,
  type AnswerShape,
  answerLogProbs,
  answerRows,
  type PromptAnswer,
} from './answers.ts';
export {
  type AnswerSizes,
  answerSizes,
  type ExampleBatchOptions,
  type LabelledBatch,
  LabelledBatches,
  labelledAnswers,
  mismatchedAnswers,
  type PairBatch,
  PairBatches,
  pairAnswers,
} from './batches.ts';
export { type KtoSettings, ktoTask, type LabelledReference } from './kto_task.ts';
export { type DpoSettings, dpoLosses, dpoTask, type OrpoSettings, orpoTask, type PairReference } from './pair_tasks.ts';
export {
  AnswerScorer,
  emptyLabelledReference,
  emptyPairReference,
  fillLabelledReference,
  fillPairReference,
  learningModel,
  referenceModel,
  type ScoredModel,
  type ScoreOptions,
  scoreAnswers,
} from './reference.ts';
