/** What a generation tells as it goes, and what it ends with. */
import type { FinishReason, Scores } from './types.ts';

/** Milliseconds and counts of one answer. */
export interface GenerationTimings {
  /** From the call to the first token of this answer. */
  readonly first_token_ms: number;
  readonly total_ms: number;
  readonly prompt_tokens: number;
  readonly new_tokens: number;
}

/** A token that might have come. */
export interface Alternative {
  readonly id: number;
  readonly logprob: number;
}

export interface GenerationResult {
  /** Which prompt, and which of its answers. */
  readonly prompt: number;
  readonly index: number;
  /** The new text, without special tokens and up to a stop string. */
  readonly text: string;
  readonly ids: readonly number[];
  readonly prompt_ids: readonly number[];
  readonly finish_reason: FinishReason;
  readonly seed: number;
  readonly timings: GenerationTimings;
  /** What the answer depends on, as one short text: equal fingerprints, seeds, prompts and settings give equal answers. */
  readonly fingerprint: string;
  /** Of beams: the sum of processed log-probabilities over length^length_penalty, and which beam each token continued. */
  readonly score?: number;
  readonly beam_indices?: readonly number[];
  /** Of assisted decoding: how many tokens were drafted and how many of them stayed. */
  readonly drafted?: number;
  readonly accepted?: number;
  /** Scores (V) of each new token after processing, when `output_scores` asks; before it, when `output_logits` does. */
  readonly scores?: readonly Scores[];
  readonly logits?: readonly Scores[];
  /** Of the whole text but its last token, when asked: for each layer (T, C), the embeddings first; for each layer (H, T, T). */
  readonly hidden_states?: readonly Float32Array[];
  readonly attentions?: readonly Float32Array[];
}

export interface TokenEvent {
  readonly type: 'token';
  readonly prompt: number;
  readonly index: number;
  readonly id: number;
  /** Text that is settled by this token; may be empty. All texts of an answer joined are its result's text. */
  readonly text: string;
  /** Natural logarithm of the token's probability after processing. */
  readonly logprob: number;
  /** The most probable tokens after processing, when `logprobs` asks for some. */
  readonly top?: readonly Alternative[];
}

export type GenerationEvent =
  | TokenEvent
  | { readonly type: 'text'; readonly prompt: number; readonly index: number; readonly text: string }
  | ({ readonly type: 'done' } & GenerationResult);
