/** What the parts of generation say to each other. */
import type { WatermarkingConfig } from './watermark/config.ts';

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
export type FinishReason = 'eos' | 'length' | 'stop_string' | 'time' | 'criterion' | 'aborted';

/** What an answer has to look like: one of json, regex, grammar and choice. */
export interface StructuredOutput {
  /** A JSON Schema, or true for any JSON. */
  readonly json?: unknown;
  /** An ECMA-262 expression for the whole answer. */
  readonly regex?: string;
  /** GBNF, as llama.cpp's, or EBNF. */
  readonly grammar?: string;
  readonly choice?: readonly string[];
  /** Free text comes first; the rule holds after this marker has been written. */
  readonly after?: string;
  /** Of JSON: none, or what pretty printing writes (flexible, unless given). */
  readonly whitespace?: 'none' | 'flexible';
}

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
  readonly use_cache: boolean;
  readonly prefill_chunk_size: number | null;
  readonly output_scores: boolean;
  readonly output_logits: boolean;
  readonly output_attentions: boolean;
  readonly output_hidden_states: boolean;
  /** What an answer has to look like. */
  readonly structured_output: StructuredOutput | null;
  /** Alternatives reported with each token. */
  readonly logprobs: number;

  readonly watermarking_config: WatermarkingConfig | null;
  /** Whose order of warpers: see processors.ts. */
  readonly preset: 'transformers' | 'llama.cpp';
  /** The last tokens that the three penalties after it read; -1 for all. */
  readonly repeat_last_n: number;
  readonly repeat_penalty: number;
  readonly presence_penalty: number;
  readonly frequency_penalty: number;
  readonly dry_multiplier: number;
  readonly dry_base: number;
  readonly dry_allowed_length: number;
  readonly dry_penalty_last_n: number;
  readonly dry_sequence_breakers: readonly string[];
  readonly top_n_sigma: number | null;
  readonly xtc_probability: number;
  readonly xtc_threshold: number;
  readonly dynatemp_range: number;
  readonly dynatemp_exponent: number;
  readonly mirostat: 0 | 1 | 2;
  readonly mirostat_tau: number;
  readonly mirostat_eta: number;
}
