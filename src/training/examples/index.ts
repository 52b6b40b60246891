/** Fine-tuning data: from records to examples, from examples to batches. */
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
export { EvaluationExamples, PackedExamples, type PackedOptions, type PackedStatistics } from './packed_examples.ts';
export { type FitOptions, type FittedExamples, fitExamples, type Truncation, truncations } from './truncation.ts';
