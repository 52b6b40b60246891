/** GRPO's answers by our own engine, all of a step in one stream. */
import { Engine, type GenerateOptions, type GenerationModel, generateAll } from '../generation/index.ts';
import type { Model } from '../models/index.ts';
import type { Tokenizer } from '../tokenizers/index.ts';
import type { Sampler } from '../training/grpo/index.ts';

export interface SamplerSettings {
  /** Answers to each prompt. */
  readonly num_generations: number;
  readonly max_completion_length: number;
  /** Of the logits; 0 for the most probable token each time (then there can be one answer alone). 1 unless given. */
  readonly temperature?: number;
  readonly seed: number;
  /** Ids that end an answer. */
  readonly eos_token_id: readonly number[];
}

/**
 * An engine over weights that change: nothing that was computed of a beginning is kept. It computes as training does, so that answers are
 * drawn from the very probabilities that are learned.
 * @param sequences answers of a step; as many run at once as `maxSequences` allows.
 */
export function liveEngine(model: Model, sequences: number, context: number): Engine {
  const maxSequences = Math.max(1, Math.min(sequences, 64));
  return new Engine(model, {
    precision: 'exact',
    prefixCache: false,
    context: Math.min(context, model.config.n_positions),
    maxSequences,
    // Whole pages for each answer, and for each prompt that answers share.
    cacheTokens: 2 * maxSequences * (context + 64),
  });
}

/**
 * Answers by a model whose engine sees the weights as they are. Answer j to prompt i of a round is a function of (weights, prompt, seed,
 * round, i, j).
 * @param options of each request: an adapter.
 */
export function engineSampler(
  engine: Engine,
  tokenizer: Tokenizer,
  settings: SamplerSettings,
  options: GenerateOptions = {},
): Sampler {
  const { num_generations, max_completion_length, temperature = 1, seed, eos_token_id } = settings;
  const model: GenerationModel = { engine, tokenizer, chatTemplate: null, generationConfig: {} };
  return async (prompts, round) => {
    const choice = temperature === 0 ? { do_sample: false } : { do_sample: true, temperature, top_k: 0, top_p: 1 };
    const each = prompts.map((_, i) => ({
      ...choice,
      num_return_sequences: num_generations,
      max_new_tokens: max_completion_length,
      eos_token_id,
      seed: (seed + round * prompts.length + i) % 2 ** 53,
    }));
    const results = await generateAll(
      model,
      prompts.map(({ ids }) => Array.from(ids)),
      each,
      options,
    );
    const groups = prompts.map(() => new Array(num_generations));
    for (const { prompt, index, ids, text, finish_reason } of results)
      groups[prompt][index] = { ids: Int32Array.from(ids), text, finished: finish_reason === 'eos' };
    return groups;
  };
}
