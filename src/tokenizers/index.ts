/** Tokenizers: text to ids and back. */
export type { AddedToken } from './added-tokens.ts';
export { type GgufVocabulary, tokenizerFromGguf } from './gguf.ts';
export {
  charactersOf,
  type TiktokenEncoding,
  type TiktokenRules,
  tiktokenEncodings,
  tokenizerFromCharacters,
  tokenizerFromGpt1Files,
  tokenizerFromGpt2Files,
  tokenizerFromLlama2c,
  tokenizerFromTiktoken,
} from './sources.ts';
export {
  codePointOffsets,
  type DecodeOptions,
  type DecodeStream,
  type EncodeInput,
  type EncodeOptions,
  type Encoding,
  type Segment,
  type SpecialIds,
  Tokenizer,
} from './tokenizer.ts';
export {
  exerciseTokenizerJson,
  type TokenizerJsonOptions,
  tokenizerFromJson,
  tokenizerFromJsonText,
} from './tokenizer-json.ts';
export {
  type BpeTrainerOptions,
  type CharacterTrainerOptions,
  type TrainedTokenizer,
  type TrainerOptions,
  type TrainingProgress,
  type TrainingTexts,
  trainBpe,
  trainCharacters,
  trainUnigram,
  type UnigramTrainerOptions,
} from './trainers/index.ts';
