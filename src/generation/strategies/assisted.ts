/**
 * Assisted decoding (Leviathan et al. 2023; Chen et al. 2023): something cheap drafts tokens, the model looks at all of them in one step and
 * keeps those that it would have written itself. Each place is decided exactly as without a draft, by the model's own scores and by
 * the random number of that step: the text is the same, token for token, also when sampling. A draft model draws with the same
 * numbers, so the two agree wherever their distributions nearly do.
 */
import { Answer } from './answer.ts';
import { answerChooser } from './choosing.ts';
import type { Drafter } from './drafts.ts';
import type { Job } from './job.ts';
import { compute, type Strategy, type Task } from './strategy.ts';

export function assistedTask(job: Job, index: number, drafter: Drafter): Task {
  const answer = new Answer(job, index);
  const strategy = assisted(job, answer, drafter);
  return {
    strategy,
    tokensToCome: () => answer.tokensToCome + job.engine.pageSize,
    abort: () => answer.finish('aborted'),
    free: () => void strategy.return(),
  };
}

function* assisted(job: Job, answer: Answer, drafter: Drafter): Strategy {
  const branch = job.begin();
  const choose = answerChooser(job, answer.index);
  let drafted = 0;
  let accepted = 0;
  answer.details = () => ({ drafted, accepted });
  try {
    while (!answer.isFinished) {
      const known = branch.main.length;
      // While the prompt is computed there is nothing to look at yet.
      const room = branch.main.pending > 1 ? 0 : Math.min(answer.tokensToCome - 1, job.engine.context - known);
      const draft = room > 0 ? (yield* drafter.draft(branch, answer.ids.length, room)).slice(0, room) : [];
      branch.extend(draft);
      const results = yield* compute(branch.asks(draft.length > 0 ? 'all' : 'last'));
      drafted += draft.length;
      let matched = 0;
      for (let i = 0; ; i++) {
        const tokens = branch.tokens.slice(0, known + i);
        const { token, logprob, details } = choose(branch.scores(results, 0, i), branch, answer.ids.length, tokens);
        const isRight = i < draft.length && token === draft[i];
        if (isRight) accepted++;
        yield { events: answer.push(token, logprob, details) };
        if (answer.isFinished) return;
        branch.constraint?.accept(token);
        if (branch.mustEnd) {
          yield { events: answer.finish('eos') };
          return;
        }
        if (isRight) matched++;
        else {
          branch.drop(branch.main.length - known - i);
          branch.extend([token]);
          break;
        }
      }
      drafter.learn(matched, draft.length);
    }
  } finally {
    branch.release();
    drafter.release();
  }
}
