/** From the scores of a branch to its next token, and what is told of the choice. */
import type { Alternative } from '../events.ts';
import { buildProcessors } from '../processors.ts';
import { uniform } from '../random.ts';
import { logSoftmax } from '../rows.ts';
import { argmax, buildChooser, type Choice, sampleToken } from '../sampling.ts';
import type { Scores } from '../types.ts';
import type { TokenDetails } from './answer.ts';
import type { Branch } from './branch.ts';
import type { Job } from './job.ts';

export interface Chosen extends Choice {
  readonly details: TokenDetails;
}

/**
 * Chooses the tokens of one answer, step by step: the number drawn depends on seed, answer and step alone.
 * @param tokens prompt and answer so far, where the branch has more than is settled.
 */
export type Choose = (scores: Scores, branch: Branch, step: number, tokens?: readonly number[]) => Chosen;

/** @param index which answer of the prompt. */
export function answerChooser(job: Job, index: number): Choose {
  const { settings, options, processing, ids } = job;
  const random = (step: number) => () => uniform(settings.seed, index, step);
  const isTold =
    settings.logprobs > 0 || settings.output_scores || settings.output_logits || options.onStep !== undefined;
  if (!isTold) {
    const choose = buildChooser(settings, processing);
    return (scores, branch, step, tokens = branch.tokens) => {
      branch.constrain(scores);
      const context = { tokens, promptLength: ids.length, stream: index };
      return { ...choose(scores, context, random(step)), details: {} };
    };
  }
  const processors = buildProcessors(settings, processing);
  return (scores, branch, step, tokens = branch.tokens) => {
    const raw = scores.slice();
    branch.constrain(scores);
    const constrained = options.onStep && branch.constraint ? scores.slice() : undefined;
    const context = { tokens, promptLength: ids.length, stream: index };
    for (const process of processors) process(scores, context);
    const choice = settings.do_sample ? sampleToken(scores, random(step)()) : argmax(scores);
    options.onStep?.({
      prompt: job.prompt,
      index,
      step,
      settings,
      logits: raw,
      constrained,
      processed: scores,
      context: { tokens: [...tokens], promptLength: ids.length },
      token: choice.token,
    });
    return {
      ...choice,
      details: {
        ...(settings.output_logits && { logits: raw }),
        ...(settings.output_scores && { scores }),
        ...(settings.logprobs > 0 && { top: mostProbable(scores, settings.logprobs) }),
      },
    };
  };
}

/** The `count` most probable tokens under processed scores; the smaller ids among equals. */
export function mostProbable(scores: Scores, count: number): Alternative[] {
  const logprobs = logSoftmax(scores);
  const best: number[] = [];
  for (let id = 0; id < scores.length; id++) {
    if (scores[id] === Number.NEGATIVE_INFINITY) continue;
    if (best.length === count && !(logprobs[id] > logprobs[best[count - 1]])) continue;
    let at = best.length;
    while (at > 0 && logprobs[best[at - 1]] < logprobs[id]) at--;
    best.splice(at, 0, id);
    if (best.length > count) best.pop();
  }
  return best.map((id) => ({ id, logprob: logprobs[id] }));
}
