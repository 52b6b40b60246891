/** Fine-tuning data: from records to examples, from examples to batches. */
export { type AnswerFitOptions, chooseBlockSize, type FittedAnswers, fitAnswers } from './answers.ts';
export {
  type CodecOptions,
  type Continuation,
  ExampleCodec,
  type ExampleModel,
  type Learnable,
  learnables,
} from './codec.ts';
export {
  type Example,
  inputLength,
  type LabelledExample,
  learnedTokens,
  type Origin,
  type PreferenceExample,
  type PromptExample,
  requireLearned,
  type TaskExample,
} from './example.ts';
export { knownFields } from './formats.ts';
export { jsonRecords } from './json_records.ts';
export { EvaluationExamples, PackedExamples, type PackedOptions, type PackedStatistics } from './packed_examples.ts';
export {
  type LabelledFormat,
  LabelledReader,
  type PreferenceFormat,
  PreferenceReader,
  type PromptFormat,
  PromptReader,
} from './preferences.ts';
export { DataRecord, type FieldNames } from './record.ts';
export { type AnyExample, countShared, learnedCounts, type SplitResult, splitExamples } from './split.ts';
export { type RecordOptions, type SupervisedFormat, SupervisedReader } from './supervised.ts';
export {
  type TaskExamples,
  type TaskFormat,
  type TaskKind,
  type TaskOptions,
  type TaskTokens,
  taskExamples,
} from './task_inputs.ts';
export { type FitOptions, type FittedExamples, fitExamples, type Truncation, truncations } from './truncation.ts';
