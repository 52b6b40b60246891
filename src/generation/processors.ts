/**
 * Logits processors in the order and with the meaning of Hugging Face's `generate` (transformers 5.23): each is a pure function that changes
 * the scores of one sequence in place. A token is removed by setting its score to -Infinity. The warpers of sampling, which come last,
 * are in warpers.ts.
 */
import { Candidates, type Warper, warp } from './candidates.ts';
import { logTotal } from './rows.ts';
import { dry } from './samplers/dry.ts';
import { mirostat } from './samplers/mirostat.ts';
import { dynamicTemperature, exactTopK, topNSigma, xtc } from './samplers/narrowing.ts';
import { windowPenalties } from './samplers/window.ts';
import type { GenerationSettings, LogitsProcessor, Scores } from './types.ts';
import * as warpers from './warpers.ts';
import { isSynthId, type WatermarkingConfig } from './watermark/config.ts';
import { greenListWatermark } from './watermark/green.ts';
import { synthIdWatermark } from './watermark/synthid.ts';

const REMOVED = Number.NEGATIVE_INFINITY;
const LARGEST = 3.4028234663852886e38;

export interface ProcessorOptions {
  /** The user's own, after those of the settings and before the warpers. */
  readonly own?: readonly LogitsProcessor[];
  /** Which tokens may follow prompt and answer so far: no others will. */
  readonly allowed?: (tokens: readonly number[]) => Iterable<number>;
  /** The text of a token: DRY finds sequence breakers in it. */
  readonly textOf?: (token: number) => string;
  /** Fewest tokens that warpers keep: 1, and one more than there are end tokens where beams sample. */
  readonly minTokensToKeep?: number;
}

/** A named part of the chain: a processor of whole rows, or a warper of the candidates that are left. */
export type Link = { readonly name: string } & (
  | { readonly process: LogitsProcessor; readonly warp?: undefined }
  | { readonly warp: Warper; readonly process?: undefined }
);

export interface ChainStep {
  /** The setting that asks for it; `allowed` and `processors` for the caller's own functions. */
  readonly name: string;
  readonly apply: LogitsProcessor;
}

/** The chain step by step, each on the whole row: slower than `buildProcessors`, with the same outcome. For one sequence at a time. */
export function buildChain(settings: GenerationSettings, options: ProcessorOptions = {}): readonly ChainStep[] {
  const candidates = new Candidates();
  return buildLinks(settings, options).map(({ name, process, warp: warper }) => ({
    name,
    apply: process ?? warp([warper], candidates),
  }));
}

/** The processors that the settings ask for, in the documented order. They keep scratch space: for one sequence at a time. */
export function buildProcessors(settings: GenerationSettings, options: ProcessorOptions = {}): LogitsProcessor[] {
  const list: LogitsProcessor[] = [];
  let warpers: Warper[] = [];
  for (const { process, warp: warper } of buildLinks(settings, options)) {
    if (warper) {
      if (warpers.length === 0) list.push(warp(warpers));
      warpers.push(warper);
    } else {
      list.push(process);
      warpers = [];
    }
  }
  return list;
}

/** The chain as it is: neighbouring warpers can share one pass over the row. */
export function buildLinks(settings: GenerationSettings, options: ProcessorOptions = {}): Link[] {
  const { own = [], minTokensToKeep = 1 } = options;
  return [
    ...rules(settings, options),
    ...own.map((process) => ({ name: 'processors', process })),
    ...(settings.preset === 'llama.cpp' ? penalties(settings, options) : []),
    ...(settings.do_sample ? samplingWarpers(settings, minTokensToKeep) : []),
    ...watermark(settings.watermarking_config),
    ...(settings.renormalize_logits ? [{ name: 'renormalize_logits', warp: warpers.renormalize }] : []),
  ];
}

/** The processors before the warpers and the caller's own: what a text may say at all. */
export function buildRules(settings: GenerationSettings, options: ProcessorOptions = {}): LogitsProcessor[] {
  return rules(settings, options).map(({ process }) => process);
}

/** The warpers, when sampling, and the normalisation that ends the chain. */
export function buildWarpers(settings: GenerationSettings, keep = 1): Warper[] {
  return buildLinks(settings, { minTokensToKeep: keep }).flatMap((link) => link.warp ?? []);
}

type Rule = { readonly name: string; readonly process: LogitsProcessor };

function rules(s: GenerationSettings, options: ProcessorOptions): Rule[] {
  const { allowed } = options;
  const list: Rule[] = [];
  const add = (name: string, isOn: boolean, make: () => LogitsProcessor): void => {
    if (isOn) list.push({ name, process: make() });
  };
  const eos = s.eos_token_id;
  const decay = s.exponential_decay_length_penalty;
  const bos = s.forced_bos_token_id;
  add('sequence_bias', s.sequence_bias.length > 0, () => sequenceBias(s.sequence_bias));
  add('encoder_repetition_penalty', s.encoder_repetition_penalty !== 1, () =>
    encoderRepetitionPenalty(s.encoder_repetition_penalty),
  );
  add('repetition_penalty', s.repetition_penalty !== 1, () => repetitionPenalty(s.repetition_penalty));
  if (s.preset !== 'llama.cpp') list.push(...penalties(s, options));
  add('no_repeat_ngram_size', s.no_repeat_ngram_size > 0, () => noRepeatNgram(s.no_repeat_ngram_size));
  add('encoder_no_repeat_ngram_size', s.encoder_no_repeat_ngram_size > 0, () =>
    encoderNoRepeatNgram(s.encoder_no_repeat_ngram_size),
  );
  add('bad_words_ids', s.bad_words_ids.length > 0, () => badWords(s.bad_words_ids, eos));
  add('min_length', s.min_length > 0, () => minLength(s.min_length, eos));
  add('min_new_tokens', s.min_new_tokens > 0, () => minNewTokens(s.min_new_tokens, eos));
  if (allowed) add('allowed', true, () => prefixConstrained(allowed));
  if (bos !== null) add('forced_bos_token_id', true, () => forcedBos(bos));
  add('forced_eos_token_id', s.forced_eos_token_id.length > 0, () =>
    forcedEos(s.max_new_tokens, s.forced_eos_token_id),
  );
  add('remove_invalid_values', s.remove_invalid_values, () => removeInvalid);
  if (decay) add('exponential_decay_length_penalty', true, () => exponentialDecay(...decay, eos));
  add('suppress_tokens', s.suppress_tokens.length > 0, () => suppress(s.suppress_tokens));
  add('begin_suppress_tokens', s.begin_suppress_tokens.length > 0, () =>
    beginSuppress(s.begin_suppress_tokens, bos !== null),
  );
  return list;
}

/** llama.cpp's penalties: after repetition_penalty in the order of transformers, first of the samplers in llama.cpp's own. */
function penalties(s: GenerationSettings, { textOf }: ProcessorOptions): Rule[] {
  const list: Rule[] = [];
  const [repeat, presence, frequency] = [s.repeat_penalty, s.presence_penalty, s.frequency_penalty];
  const asking = repeat !== 1 ? 'repeat_penalty' : presence !== 0 ? 'presence_penalty' : 'frequency_penalty';
  if ((repeat !== 1 || presence !== 0 || frequency !== 0) && s.repeat_last_n !== 0) {
    list.push({ name: asking, process: windowPenalties({ lastN: s.repeat_last_n, repeat, presence, frequency }) });
  }
  if (s.dry_multiplier !== 0 && s.dry_penalty_last_n !== 0) {
    const settings = {
      multiplier: s.dry_multiplier,
      base: s.dry_base,
      allowedLength: s.dry_allowed_length,
      lastN: s.dry_penalty_last_n,
      breakers: s.dry_sequence_breakers,
    };
    list.push({ name: 'dry_multiplier', process: dry(settings, textOf) });
  }
  return list;
}

function watermark(config: WatermarkingConfig | null): Link[] {
  const name = 'watermarking_config';
  if (config === null) return [];
  if (isSynthId(config)) return [{ name, warp: synthIdWatermark(config) }];
  return [{ name, process: greenListWatermark(config) }];
}

type Narrowing = { readonly name: string; readonly warp: Warper };

/**
 * In the order of transformers: temperature, top_n_sigma, top_h, top_k, top_p, min_p, typical_p, epsilon_cutoff, eta_cutoff, XTC. In
 * llama.cpp's: top_n_sigma, top_k, typical_p, top_p, min_p, what it does not have, XTC, temperature. Mirostat follows temperature
 * and has no others beside it.
 */
function samplingWarpers(s: GenerationSettings, keep: number): Narrowing[] {
  const { top_h, min_p, top_n_sigma, mirostat: version, temperature, dynatemp_range: range } = s;
  const isLlama = s.preset === 'llama.cpp';
  const one = (name: string, isOn: boolean, make: () => Warper): Narrowing[] => (isOn ? [{ name, warp: make() }] : []);
  const heat =
    range > 0
      ? one('dynatemp_range', true, () => dynamicTemperature(temperature, range, s.dynatemp_exponent))
      : one('temperature', temperature !== 1, () => warpers.temperature(temperature));
  if (version !== 0) {
    const settings = { version, tau: s.mirostat_tau, eta: s.mirostat_eta };
    return [...heat, { name: 'mirostat', warp: mirostat(settings) }];
  }
  const topK = isLlama ? exactTopK : warpers.topK;
  const sigma = one('top_n_sigma', top_n_sigma !== null && top_n_sigma > 0, () => topNSigma(top_n_sigma!));
  const h = one('top_h', top_h !== null, () => warpers.topH(top_h!));
  const k = one('top_k', s.top_k > 0, () => topK(s.top_k, keep));
  const p = one('top_p', s.top_p < 1, () => warpers.topP(s.top_p, keep));
  const min = one('min_p', min_p !== null && min_p > 0, () => warpers.minP(min_p!, keep));
  const typical = one('typical_p', s.typical_p < 1, () => warpers.typical(s.typical_p, keep));
  const epsilon = one('epsilon_cutoff', s.epsilon_cutoff > 0, () => warpers.epsilonCutoff(s.epsilon_cutoff, keep));
  const eta = one('eta_cutoff', s.eta_cutoff > 0, () => warpers.etaCutoff(s.eta_cutoff, keep));
  const exclude = one('xtc_probability', s.xtc_probability > 0, () => xtc(s.xtc_probability, s.xtc_threshold, s.seed));
  const order = isLlama
    ? [sigma, k, typical, p, min, h, epsilon, eta, exclude, heat]
    : [heat, sigma, h, k, p, min, typical, epsilon, eta, exclude];
  return order.flat();
}

/** Calls back once for each different token of a list; keeps its scratch between steps. */
function distinct(): (tokens: readonly number[], from: number, to: number, size: number, each: Each) => void {
  let seenAt = new Uint32Array(0);
  let now = 0;
  return (tokens, from, to, size, each) => {
    if (seenAt.length < size || now === 0xffffffff) {
      seenAt = new Uint32Array(size);
      now = 0;
    }
    now++;
    for (let i = from; i < to; i++) {
      const token = tokens[i];
      if (seenAt[token] === now || token >= size) continue;
      seenAt[token] = now;
      each(token);
    }
  };
}
type Each = (token: number) => void;

function penalise(scores: Scores, token: number, penalty: number): void {
  scores[token] = scores[token] < 0 ? scores[token] * penalty : scores[token] / penalty;
}

/**
 * Scores of tokens that occur already: divided by the penalty when positive, multiplied when negative (Keskar et al. 2019).
 * @param ignored tokens at the start that do not count.
 */
export function repetitionPenalty(penalty: number, ignored = 0): LogitsProcessor {
  const each = distinct();
  return (scores, { tokens }) => {
    each(tokens, ignored, tokens.length, scores.length, (token) => penalise(scores, token, penalty));
  };
}

/** The contrary for the tokens of the prompt: above 1 they become more probable. */
export function encoderRepetitionPenalty(penalty: number): LogitsProcessor {
  const each = distinct();
  return (scores, { tokens, promptLength }) => {
    each(tokens, 0, promptLength, scores.length, (token) => penalise(scores, token, 1 / penalty));
  };
}

/** No sequence of `size` tokens occurs twice (Paulus et al. 2017). */
export function noRepeatNgram(size: number): LogitsProcessor {
  return (scores, { tokens }) => removeContinuations(scores, tokens, tokens.length, size);
}

/** No sequence of `size` tokens of the prompt is written. */
export function encoderNoRepeatNgram(size: number): LogitsProcessor {
  return (scores, { tokens, promptLength }) => removeContinuations(scores, tokens, promptLength, size);
}

/** Remove what followed the last `size - 1` tokens wherever they occur among the first `end`. */
function removeContinuations(scores: Scores, tokens: readonly number[], end: number, size: number): void {
  const last = tokens.length - size + 1;
  if (last < 0) return;
  for (let i = 0; i + size <= end; i++) {
    let same = true;
    for (let j = 0; j < size - 1 && same; j++) same = tokens[i + j] === tokens[last + j];
    if (same) scores[tokens[i + size - 1]] = REMOVED;
  }
}

/** Whether all of `word` but its last token ends `tokens`. */
function continues(tokens: readonly number[], word: readonly number[]): boolean {
  const start = tokens.length - word.length + 1;
  if (start < 0) return false;
  for (let i = 0; i < word.length - 1; i++) if (tokens[start + i] !== word[i]) return false;
  return true;
}

/**
 * Add to the score of each sequence's last token where the rest of it has just been written. A sequence longer than the text so far
 * does nothing yet, even where its beginning is the whole text: so does the reference.
 */
export function sequenceBias(biases: GenerationSettings['sequence_bias']): LogitsProcessor {
  // A sequence that is given twice counts as it is given last.
  const unique = [...new Map(biases.map(([word, bias]) => [word.join(), { word, bias }])).values()];
  const sums = new Map<number, number>();
  return (scores, { tokens }) => {
    sums.clear();
    for (const { word, bias } of unique) {
      if (word.length > 1 && (word.length > tokens.length || !continues(tokens, word))) continue;
      const token = word[word.length - 1];
      sums.set(token, Math.fround((sums.get(token) ?? 0) + bias));
    }
    for (const [token, bias] of sums) scores[token] += bias;
  };
}

/** Remove the last token of each word where the rest of it has just been written. An end token alone is no bad word. */
export function badWords(words: readonly (readonly number[])[], eos: readonly number[]): LogitsProcessor {
  const enforced = words.filter((word) => !(word.length === 1 && eos.includes(word[0])));
  return (scores, { tokens }) => {
    for (const word of enforced) {
      if (word.length > 1 && (word.length > tokens.length || !continues(tokens, word))) continue;
      scores[word[word.length - 1]] = REMOVED;
    }
  };
}

/** No end before prompt and answer together have `length` tokens. */
export function minLength(length: number, eos: readonly number[]): LogitsProcessor {
  return (scores, { tokens }) => {
    if (tokens.length < length) for (const token of eos) scores[token] = REMOVED;
  };
}

/** No end before `count` new tokens. */
export function minNewTokens(count: number, eos: readonly number[]): LogitsProcessor {
  return (scores, { tokens, promptLength }) => {
    if (tokens.length - promptLength < count) for (const token of eos) scores[token] = REMOVED;
  };
}

function force(scores: Scores, chosen: readonly number[]): void {
  scores.fill(REMOVED);
  for (const token of chosen) scores[token] = 0;
}

/** The second token of the text is this one: that is after a prompt of one token. */
export function forcedBos(token: number): LogitsProcessor {
  return (scores, { tokens }) => {
    if (tokens.length === 1) force(scores, [token]);
  };
}

/** The last token that may be written is one of these. */
export function forcedEos(maxNewTokens: number, eos: readonly number[]): LogitsProcessor {
  return (scores, { tokens, promptLength }) => {
    if (tokens.length - promptLength === maxNewTokens - 1) force(scores, eos);
  };
}

/** NaN becomes 0, infinities the ends of the range. */
export const removeInvalid: LogitsProcessor = (scores) => {
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i];
    if (Number.isNaN(score)) scores[i] = 0;
    else if (score > LARGEST) scores[i] = LARGEST;
    else if (score < -LARGEST) scores[i] = -LARGEST;
  }
};

/** End tokens gain |score| (factor^n - 1), n tokens after the first `start` new ones. One that is removed stays so. */
export function exponentialDecay(start: number, factor: number, eos: readonly number[]): LogitsProcessor {
  return (scores, { tokens, promptLength }) => {
    const excess = tokens.length - promptLength - start;
    if (excess <= 0) return;
    for (const token of eos) {
      if (scores[token] !== REMOVED) scores[token] += Math.abs(scores[token]) * Math.min(factor ** excess - 1, LARGEST);
    }
  };
}

export function suppress(tokens: readonly number[]): LogitsProcessor {
  return (scores) => {
    for (const token of tokens) scores[token] = REMOVED;
  };
}

/**
 * As `suppress`, for the first new token alone.
 * @param afterForced whether the first token is forced where the prompt is one token: then it is the second that counts.
 */
export function beginSuppress(suppressed: readonly number[], afterForced = false): LogitsProcessor {
  return (scores, { tokens, promptLength }) => {
    const begin = promptLength + (afterForced && promptLength <= 1 ? 1 : 0);
    if (tokens.length === begin) for (const token of suppressed) scores[token] = REMOVED;
  };
}

/** Only these may follow, by the user's own rule on the tokens so far (De Cao et al. 2020). */
export function prefixConstrained(allowed: NonNullable<ProcessorOptions['allowed']>): LogitsProcessor {
  return (scores, { tokens }) => {
    const kept = Array.from(allowed(tokens), (token) => [token, scores[token]] as const);
    scores.fill(REMOVED);
    for (const [token, score] of kept) scores[token] = score;
  };
}

/**
 * Classifier-free guidance (Ho & Salimans 2022; Sanchez et al. 2023): `scores` become u + scale (c - u) of the log-probabilities with the
 * prompt, c, and without it, u.
 * @param unconditional scores of the same step without the prompt, or after a negative one: left as they are.
 */
export function guide(scores: Scores, unconditional: Scores, scale: number): void {
  const [c, u] = [logShift(scores), logShift(unconditional)];
  for (let i = 0; i < scores.length; i++) {
    const free = Math.fround(unconditional[i] - u);
    scores[i] = Math.fround(scale * Math.fround(Math.fround(scores[i] - c) - free)) + free;
  }
}

/** What turns scores into log-probabilities when it is subtracted. */
function logShift(scores: Scores): number {
  let greatest = REMOVED;
  for (let i = 0; i < scores.length; i++) if (scores[i] > greatest) greatest = scores[i];
  return greatest + logTotal(scores, greatest);
}
