/** Tokenizers learned from text. */
export { type BpeTrainerOptions, trainBpe } from './bpe.ts';
export { type CharacterTrainerOptions, trainCharacters } from './characters.ts';
export type { TrainedTokenizer, TrainerOptions, TrainingProgress, TrainingTexts } from './training.ts';
export { trainUnigram, type UnigramTrainerOptions } from './unigram.ts';
