/** What makes the weights of a run a model that others open: vocabulary and end token where the field looks for them. */
import { SettingError } from '../errors.ts';
import type { Tokenizer } from '../tokenizers/index.ts';
import type { HuggingFaceConfig } from './presets.ts';

/** Stands between documents in what we train, as in GPT-2. */
export const END_OF_TEXT = '<|endoftext|>';

/**
 * The vocabulary of the model: the tokenizer's own, or a larger one that was asked for.
 * @throws SettingError for one that is smaller.
 */
export function fittingVocabulary(asked: unknown, tokenizer: Tokenizer): unknown {
  const least = tokenizer.vocabSize;
  if (asked === undefined || asked === null) return least;
  if (typeof asked === 'number' && asked < least) {
    throw new SettingError('vocab_size', asked, `is less than the ${least} tokens of the tokenizer`);
  }
  return asked;
}

/** The content of a model's JSON files, as Hugging Face directories have them. */
export interface SavedFiles {
  readonly config: HuggingFaceConfig;
  readonly tokenizer: unknown;
  readonly tokenizerConfig: Record<string, unknown>;
  readonly generation: Record<string, unknown>;
}

/** What lies beside the weights: config.json with the end token, tokenizer.json, and how to generate. */
export function modelFiles(config: HuggingFaceConfig, tokenizer: Tokenizer, json: unknown): SavedFiles {
  const end = tokenizer.special.eos;
  const text = end === undefined ? undefined : tokenizer.idToToken(end);
  const unknown = tokenizer.special.unk;
  const ids = end === undefined ? {} : { bos_token_id: end, eos_token_id: end };
  const { bos_token_id: _bos, eos_token_id: _eos, ...rest } = config as Record<string, unknown>;
  return {
    config: { ...rest, ...ids } as HuggingFaceConfig,
    tokenizer: json,
    tokenizerConfig: {
      tokenizer_class: 'PreTrainedTokenizerFast',
      ...(text === undefined ? {} : { bos_token: text, eos_token: text }),
    },
    // A model this small repeats itself when it always takes the likeliest token.
    generation: {
      ...ids,
      ...(unknown === undefined ? {} : { suppress_tokens: [unknown] }),
      do_sample: true,
      temperature: 0.8,
      top_k: 50,
      max_new_tokens: 200,
    },
  };
}
