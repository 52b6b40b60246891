/** From scores to a token. */
import { EnvironmentError, SettingError } from '../errors.ts';
import { Candidates } from './candidates.ts';
import { buildLinks, type ProcessorOptions } from './processors.ts';
import { greatestToken, logTotal } from './rows.ts';
import type { GenerationSettings, ProcessorContext, Scores } from './types.ts';

export interface Choice {
  readonly token: number;
  /** Natural logarithm of its probability under the processed scores. */
  readonly logprob: number;
}

/**
 * The token of the greatest score; the smallest id among equals.
 * @throws as `sampleToken`.
 */
export function argmax(scores: Scores): Choice {
  const token = greatestToken(scores);
  if (token < 0) throw nothingLeft(scores);
  return { token, logprob: -logTotal(scores, scores[token]) };
}

/**
 * The token at `random` of the cumulative distribution over e^score, in the order of token ids.
 * @param random in [0, 1).
 * @throws SettingError when every token was removed, EnvironmentError when the scores are not numbers.
 */
export function sampleToken(scores: Scores, random: number): Choice {
  scratch.begin(scores);
  return choose(scratch, random, scores);
}

/** Of `sampleToken`, which finishes with it before it returns. */
const scratch = new Candidates();

/** Chooses the next token from the scores of a step, which it may change; `random` is asked for a number in [0, 1) only when sampling. */
export type Chooser = (scores: Scores, context: ProcessorContext, random: () => number) => Choice;

/**
 * The processors of the settings and the choice after them as one function: the same tokens as running `buildProcessors` and then
 * `argmax` or `sampleToken`, without writing and reading again the whole row in between. It keeps scratch space: for one
 * sequence at a time. The scores are left half processed.
 */
export function buildChooser(settings: GenerationSettings, options: ProcessorOptions = {}): Chooser {
  const links = buildLinks(settings, options);
  const candidates = new Candidates();
  return (scores, context, random) => {
    let isBegun = false;
    for (const { name, process, warp } of links) {
      // Normalisation, which ends the chain, changes no choice and no probability.
      if (name === 'renormalize_logits') break;
      if (warp) {
        if (!isBegun) candidates.begin(scores);
        isBegun = true;
        warp(candidates, context);
      } else {
        if (isBegun) candidates.end();
        isBegun = false;
        process(scores, context);
      }
    }
    if (!settings.do_sample) {
      if (isBegun) candidates.end();
      return argmax(scores);
    }
    if (!isBegun) candidates.begin(scores);
    return choose(candidates, random(), scores);
  };
}

function choose(candidates: Candidates, random: number, scores: Scores): Choice {
  candidates.softmax();
  const { ids, weights, values, count, total, greatest } = candidates;
  if (count === 0) throw nothingLeft(scores);
  const target = random * total;
  let sum = 0;
  let chosen = 0;
  for (let i = 0; i < count; i++) {
    if (weights[i] === 0) continue;
    chosen = i;
    sum += weights[i];
    if (sum > target) break;
  }
  const above = values[chosen] === greatest ? 0 : values[chosen] - greatest;
  return { token: ids[chosen], logprob: above - Math.log(total) };
}

function nothingLeft(scores: Scores): Error {
  const isRemoved = (score: number): boolean => score === Number.NEGATIVE_INFINITY;
  if (scores.length > 0 && scores.every((score) => isRemoved(score))) {
    return new SettingError('settings', 'as given', 'remove every token: none is left to choose');
  }
  return new EnvironmentError(
    'the model gave scores that are not numbers (NaN): its weights are damaged, or too large for the precision in use',
  );
}
