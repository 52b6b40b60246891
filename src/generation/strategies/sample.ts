/** Greedy search and sampling: one branch, one token a step. */
import { Answer } from './answer.ts';
import { answerChooser } from './choosing.ts';
import type { Job } from './job.ts';
import { compute, type Strategy, type Task } from './strategy.ts';

export function sampleTask(job: Job, index: number): Task {
  const answer = new Answer(job, index);
  const strategy = sample(job, answer);
  return {
    strategy,
    tokensToCome: () => answer.tokensToCome,
    abort: () => answer.finish('aborted'),
    free: () => void strategy.return(),
  };
}

function* sample(job: Job, answer: Answer): Strategy {
  const branch = job.begin();
  const choose = answerChooser(job, answer.index);
  try {
    for (let step = 0; ; step++) {
      const results = yield* compute(branch.asks());
      const { token, logprob, details } = choose(branch.scores(results), branch, step);
      yield { events: answer.push(token, logprob, details) };
      if (answer.isFinished) return;
      branch.append(token);
      if (branch.mustEnd) {
        yield { events: answer.finish('eos') };
        return;
      }
    }
  } finally {
    branch.release();
  }
}
