/**
 * Logits processors in the order and with the meaning of Hugging Face's `generate` (transformers 5.23): each is a pure function that changes
 * the scores of one sequence in place. A token is removed by setting its score to -Infinity.
 */
import type { GenerationSettings, LogitsProcessor, Scores } from './types.ts';

const REMOVED = Number.NEGATIVE_INFINITY;

/** The processors that the settings ask for, in the documented order. */
export function buildProcessors(settings: GenerationSettings): LogitsProcessor[] {
  const s = settings;
  const list: (LogitsProcessor | false)[] = [
    s.repetition_penalty !== 1 && repetitionPenalty(s.repetition_penalty),
    s.no_repeat_ngram_size > 0 && noRepeatNgram(s.no_repeat_ngram_size),
    s.bad_words_ids.length > 0 && badWords(s.bad_words_ids, s.eos_token_id),
    s.min_length > 0 && minLength(s.min_length, s.eos_token_id),
    s.min_new_tokens > 0 && minNewTokens(s.min_new_tokens, s.eos_token_id),
    s.remove_invalid_values && removeInvalid,
    s.suppress_tokens.length > 0 && suppress(s.suppress_tokens),
    s.begin_suppress_tokens.length > 0 && beginSuppress(s.begin_suppress_tokens),
  ];
  // Sampling keeps at least one token, whatever the settings.
  if (s.do_sample) {
    list.push(
      s.temperature !== 1 && temperature(s.temperature),
      s.top_k > 0 && topK(s.top_k),
      s.top_p < 1 && topP(s.top_p),
      s.min_p !== null && minP(s.min_p),
      s.typical_p < 1 && typical(s.typical_p),
      s.epsilon_cutoff > 0 && epsilonCutoff(s.epsilon_cutoff),
      s.eta_cutoff > 0 && etaCutoff(s.eta_cutoff),
    );
  }
  list.push(s.renormalize_logits && renormalize);
  return list.filter((processor) => processor !== false);
}

/**
 * Scores of tokens that occur already: divided by the penalty when positive, multiplied when negative (Keskar et al. 2019).
 * @param ignored tokens at the start that do not count.
 */
export function repetitionPenalty(penalty: number, ignored = 0): LogitsProcessor {
  return (scores, { tokens }) => {
    for (const token of new Set(ignored > 0 ? tokens.slice(ignored) : tokens))
      scores[token] = scores[token] < 0 ? scores[token] * penalty : scores[token] / penalty;
  };
}

/** No sequence of `size` tokens occurs twice. */
export function noRepeatNgram(size: number): LogitsProcessor {
  return (scores, { tokens }) => {
    if (tokens.length + 1 < size) return;
    const start = tokens.length - size + 1;
    for (let i = 0; i + size <= tokens.length; i++) {
      let same = true;
      for (let j = 0; j < size - 1 && same; j++) same = tokens[i + j] === tokens[start + j];
      if (same) scores[tokens[i + size - 1]] = REMOVED;
    }
  };
}

/** Sequences of tokens that must not be written. Those that are an end token alone are not enforced. */
export function badWords(words: readonly (readonly number[])[], eos: readonly number[]): LogitsProcessor {
  const enforced = words.filter((word) => !(word.length === 1 && eos.includes(word[0])));
  return (scores, { tokens }) => {
    for (const word of enforced) {
      const before = word.length - 1;
      if (before > tokens.length) continue;
      const matches = word.slice(0, before).every((token, i) => tokens[tokens.length - before + i] === token);
      if (matches) scores[word[before]] = REMOVED;
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

/** NaN becomes 0, infinities the ends of the range. */
export const removeInvalid: LogitsProcessor = (scores) => {
  for (let i = 0; i < scores.length; i++) {
    if (Number.isNaN(scores[i])) scores[i] = 0;
    else if (scores[i] === Number.POSITIVE_INFINITY) scores[i] = 3.4028234663852886e38;
    else if (scores[i] === Number.NEGATIVE_INFINITY) scores[i] = -3.4028234663852886e38;
  }
};

export function suppress(tokens: readonly number[]): LogitsProcessor {
  return (scores) => {
    for (const token of tokens) scores[token] = REMOVED;
  };
}

/** As `suppress`, for the first new token alone. */
export function beginSuppress(suppressed: readonly number[]): LogitsProcessor {
  return (scores, { tokens, promptLength }) => {
    if (tokens.length === promptLength) for (const token of suppressed) scores[token] = REMOVED;
  };
}

export function temperature(value: number): LogitsProcessor {
  return (scores) => {
    for (let i = 0; i < scores.length; i++) scores[i] /= value;
  };
}

/** The k greatest scores, and all that equal the least of them (Fan et al. 2018). */
export function topK(k: number): LogitsProcessor {
  let heap = new Float32Array(0);
  return (scores) => {
    const count = Math.min(k, scores.length);
    if (heap.length !== count) heap = new Float32Array(count);
    const least = kthGreatest(scores, heap);
    for (let i = 0; i < scores.length; i++) if (scores[i] < least) scores[i] = REMOVED;
  };
}

/** The heap.length-th greatest score, found with a heap whose root is the least of the greatest so far. */
function kthGreatest(scores: Scores, heap: Float32Array): number {
  const size = heap.length;
  heap.fill(REMOVED);
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i];
    if (!(score > heap[0])) continue;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && heap[child + 1] < heap[child]) child++;
      if (heap[child] >= score) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = score;
  }
  return heap[0];
}

/** Tokens that are still there, with their probabilities. */
interface Survivors {
  readonly ids: number[];
  readonly probabilities: Float64Array;
}

function survivors(scores: Scores): Survivors {
  let greatest = REMOVED;
  for (let i = 0; i < scores.length; i++) if (scores[i] > greatest) greatest = scores[i];
  const ids: number[] = [];
  for (let i = 0; i < scores.length; i++) if (scores[i] !== REMOVED) ids.push(i);
  const probabilities = new Float64Array(ids.length);
  let total = 0;
  for (let i = 0; i < ids.length; i++) {
    probabilities[i] = Math.exp(scores[ids[i]] - greatest);
    total += probabilities[i];
  }
  for (let i = 0; i < ids.length; i++) probabilities[i] /= total;
  return { ids, probabilities };
}

/** The fewest most probable tokens whose probabilities reach p together (Holtzman et al. 2020). Among equals the larger ids go first. */
export function topP(p: number): LogitsProcessor {
  return (scores) => {
    const { ids, probabilities } = survivors(scores);
    const order = Array.from(ids.keys()).sort((a, b) => probabilities[a] - probabilities[b] || b - a);
    let sum = 0;
    // From the least probable up: those whose sum stays within 1 - p go, but the last stays in any case.
    for (let i = 0; i < order.length - 1; i++) {
      sum += probabilities[order[i]];
      if (sum > 1 - p) return;
      scores[ids[order[i]]] = REMOVED;
    }
  };
}

/** Tokens at least `p` times as probable as the most probable one (Nguyen et al. 2024). */
export function minP(p: number): LogitsProcessor {
  return (scores) => {
    let greatest = REMOVED;
    for (let i = 0; i < scores.length; i++) if (scores[i] > greatest) greatest = scores[i];
    for (let i = 0; i < scores.length; i++) if (Math.exp(scores[i] - greatest) < p) scores[i] = REMOVED;
  };
}

/** The tokens whose surprise is nearest to the entropy, until their probabilities reach `mass` (Meister et al. 2022). */
export function typical(mass: number): LogitsProcessor {
  return (scores) => {
    const { ids, probabilities } = survivors(scores);
    let entropy = 0;
    for (const p of probabilities) if (p > 0) entropy -= p * Math.log(p);
    const distance = probabilities.map((p) => Math.abs(-Math.log(p) - entropy));
    const order = Array.from(ids.keys()).sort((a, b) => distance[a] - distance[b] || a - b);
    let sum = 0;
    let last = 0;
    while (last < order.length) {
      sum += probabilities[order[last++]];
      if (sum >= mass) break;
    }
    const limit = distance[order[last - 1]];
    for (let i = last; i < order.length; i++) if (distance[order[i]] > limit) scores[ids[order[i]]] = REMOVED;
  };
}

/** Tokens of a probability of at least `epsilon`; the most probable always (Hewitt et al. 2022). */
export function epsilonCutoff(epsilon: number): LogitsProcessor {
  return (scores) => cutBelow(scores, () => epsilon);
}

/** As `epsilonCutoff` with the threshold min(eta, sqrt(eta) * exp(-entropy)) (Hewitt et al. 2022). */
export function etaCutoff(eta: number): LogitsProcessor {
  return (scores) =>
    cutBelow(scores, (probabilities) => {
      let entropy = 0;
      for (const p of probabilities) if (p > 0) entropy -= p * Math.log(p);
      return Math.min(eta, Math.sqrt(eta) * Math.exp(-entropy));
    });
}

function cutBelow(scores: Scores, threshold: (probabilities: Float64Array) => number): void {
  const { ids, probabilities } = survivors(scores);
  const least = threshold(probabilities);
  const greatest = ids.reduce((best, id) => Math.max(best, scores[id]), REMOVED);
  for (let i = 0; i < ids.length; i++) {
    if (probabilities[i] < least && scores[ids[i]] < greatest) scores[ids[i]] = REMOVED;
  }
}

/** Scores become log-probabilities. */
export const renormalize: LogitsProcessor = (scores) => {
  let greatest = REMOVED;
  for (let i = 0; i < scores.length; i++) if (scores[i] > greatest) greatest = scores[i];
  let total = 0;
  for (let i = 0; i < scores.length; i++) total += Math.exp(scores[i] - greatest);
  const shift = greatest + Math.log(total);
  for (let i = 0; i < scores.length; i++) scores[i] -= shift;
};
