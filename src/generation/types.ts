/** What the parts of generation say to each other. */

/** One step's scores for one sequence: unnormalised log-probabilities of every token, changed in place by processors. */
export type Scores = Float32Array;

/** What a processor may know of the sequence it works on. */
export interface ProcessorContext {
  /** Prompt and generated tokens so far. */
  readonly tokens: readonly number[];
  /** How many of them are the prompt. */
  readonly promptLength: number;
  /** Which of the answers of a prompt it is, for processors that draw random numbers; 0 unless given. */
  readonly stream?: number;
}

/** A pure function over scores: changes `scores` in place. Reasons to remove a token set it to -Infinity. */
export type LogitsProcessor = (scores: Scores, context: ProcessorContext) => void;

/** Why a generation ended. */
export type FinishReason = 'eos' | 'length' | 'stop_string' | 'time' | 'aborted';

/** Settings of one generation, complete and checked: see settings.ts. Names and defaults are those of Hugging Face's `generate`. */
export interface GenerationSettings {
  readonly do_sample: boolean;
  /** Most new tokens; resolved from max_new_tokens, max_length and the defaults. */
  readonly max_new_tokens: number;
  readonly min_length: number;
  readonly min_new_tokens: number;
  readonly temperature: number;
  readonly top_k: number;
  readonly top_p: number;
  readonly min_p: number | null;
  readonly typical_p: number;
  readonly epsilon_cutoff: number;
  readonly eta_cutoff: number;
  readonly repetition_penalty: number;
  readonly no_repeat_ngram_size: number;
  readonly bad_words_ids: readonly (readonly number[])[];
  readonly suppress_tokens: readonly number[];
  readonly begin_suppress_tokens: readonly number[];
  readonly renormalize_logits: boolean;
  readonly remove_invalid_values: boolean;
  /** Share of the entropy that the kept tokens may carry; null for off. */
  readonly top_h: number | null;
  /** Added to the score of a sequence's last token where the rest of it was just written. */
  readonly sequence_bias: readonly (readonly [sequence: readonly number[], bias: number])[];
  readonly encoder_repetition_penalty: number;
  readonly encoder_no_repeat_ngram_size: number;
  readonly forced_bos_token_id: number | null;
  readonly forced_eos_token_id: readonly number[];
  /** New tokens after which end tokens gain, and by what factor each. */
  readonly exponential_decay_length_penalty: readonly [start: number, factor: number] | null;
  readonly num_return_sequences: number;
  readonly eos_token_id: readonly number[];
  readonly pad_token_id: number | null;
  readonly bos_token_id: number | null;
  readonly stop_strings: readonly string[];
  /** Seconds; null for no limit. */
  readonly max_time: number | null;
  readonly seed: number;

  /** Beam search; 1 for none. */
  readonly num_beams: number;
  /** Groups of diverse beams (Vijayakumar et al. 2018); 1 for none. */
  readonly num_beam_groups: number;
  readonly diversity_penalty: number;
  /** Exponent of the length that divides a beam's score. */
  readonly length_penalty: number;
  readonly early_stopping: boolean | 'never';
  /** Sequences that beams must write: each is one list, or a list of lists of which one is enough. */
  readonly force_words_ids: readonly (readonly number[] | readonly (readonly number[])[])[];
  /** The same as data: a phrase, or any of several. */
  readonly constraints: readonly (
    | { readonly phrase: readonly number[] }
    | { readonly any: readonly (readonly number[])[] }
  )[];
  /** Contrastive search: weight of the degeneration penalty; null for off. */
  readonly penalty_alpha: number | null;
  readonly dola_layers: 'low' | 'high' | readonly number[] | null;
  readonly guidance_scale: number | null;
  readonly negative_prompt_ids: readonly number[];
  readonly token_healing: boolean;
  readonly prompt_lookup_num_tokens: number | null;
  readonly max_matching_ngram_size: number;
  readonly num_assistant_tokens: number;
  readonly num_assistant_tokens_schedule: 'constant' | 'heuristic' | 'heuristic_transient';
  readonly assistant_confidence_threshold: number;
  /** Layers of the model that draft for it; null for none. */
  readonly assistant_early_exit: number | null;
  readonly output_scores: boolean;
  readonly output_logits: boolean;
  readonly output_attentions: boolean;
  readonly output_hidden_states: boolean;
  /** Alternatives reported with each token. */
  readonly logprobs: number;
}
