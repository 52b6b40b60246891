/** Training data: documents to tokens, tokens to batches. */
export { type Batch, IGNORED } from './batch.ts';
export { type BatchOptions, BatchStream, type WeightedTokens, type WindowOrder } from './batch_stream.ts';
export {
  type Corpus,
  corpusFromTexts,
  type SplitOptions,
  type TextCorpusOptions,
  type TextCounts,
} from './corpus.ts';
export { EvaluationBatches, type EvaluationOptions } from './evaluation_batches.ts';
export {
  ConcatTokens,
  documentAt,
  MemoryTokens,
  SliceTokens,
  type TokenSource,
} from './token_source.ts';
export type { TextTokenizer, TokeniseOptions } from './tokenise.ts';
