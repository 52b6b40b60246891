/**
 * Contrastive search (Su et al. 2022): of the k most probable tokens the one that is probable and whose hidden state is unlike all states so
 * far: (1 - alpha) p - alpha max cos. Each candidate's step is kept: the chosen one is not computed again.
 */
import type { StepResult } from '../engine.ts';
import { buildProcessors } from '../processors.ts';
import type { Scores } from '../types.ts';
import { Answer } from './answer.ts';
import type { Branch } from './branch.ts';
import { mostProbable } from './choosing.ts';
import type { Job } from './job.ts';
import { compute, type Strategy, type Task } from './strategy.ts';

export function contrastiveTask(job: Job): Task {
  const answer = new Answer(job, 0);
  const strategy = contrastive(job, answer);
  return {
    strategy,
    tokensToCome: () => answer.tokensToCome + job.settings.top_k * job.engine.pageSize,
    abort: () => answer.finish('aborted'),
    free: () => void strategy.return(),
  };
}

function* contrastive(job: Job, answer: Answer): Strategy {
  const { settings, ids, processing, options } = job;
  const alpha = settings.penalty_alpha!;
  // The warpers would only change what the method weighs itself: it reads the distribution before them.
  const processors = buildProcessors(settings, processing);
  let branch = job.begin();
  let candidates: Branch[] = [];
  const width = job.engine.model.config.n_embd;
  const states = new States(width);
  try {
    let [first, ...others] = yield* compute(branch.asks('last', 'all'));
    states.addAll(first.hidden);
    for (let step = 0; ; step++) {
      const raw: Scores = branch.scores([first, ...others]);
      const logits = settings.output_logits || options.onStep ? raw.slice() : raw;
      const scores = raw;
      branch.constrain(scores);
      const context = { tokens: branch.tokens, promptLength: ids.length };
      for (const process of processors) process(scores, context);
      const likely = mostProbable(scores, settings.top_k);
      candidates = likely.map(({ id }) => {
        const fork = branch.fork();
        fork.append(id);
        return fork;
      });
      const results = yield* compute(candidates.flatMap((fork) => fork.asks('last', 'last')));
      const resultsOf = (i: number): readonly StepResult[] => results.slice(i * branch.width, (i + 1) * branch.width);
      const rank = likely.map(({ logprob }, i) => {
        return (1 - alpha) * Math.exp(logprob) - alpha * states.nearest(resultsOf(i)[0].hidden);
      });
      const best = rank.reduce((top, value, i) => (value > rank[top] ? i : top), 0);
      const { id, logprob } = likely[best];
      options.onStep?.({
        prompt: job.prompt,
        index: 0,
        step,
        settings,
        logits,
        processed: scores,
        context: { tokens: [...branch.tokens], promptLength: ids.length },
        token: id,
      });
      yield {
        events: answer.push(id, logprob, {
          ...(settings.output_logits && { logits }),
          ...(settings.output_scores && { scores }),
          ...(settings.logprobs > 0 && { top: mostProbable(scores, settings.logprobs) }),
        }),
      };
      if (answer.isFinished) return;
      branch.release();
      branch = candidates[best];
      for (const [i, fork] of candidates.entries()) if (i !== best) fork.release();
      candidates = [];
      [first, ...others] = resultsOf(best);
      states.addAll(first.hidden);
      if (branch.mustEnd) {
        yield { events: answer.finish('eos') };
        return;
      }
    }
  } finally {
    branch.release();
    for (const fork of candidates) if (fork !== branch) fork.release();
  }
}

/** The directions of all hidden states so far. */
class States {
  private values = new Float32Array(0);
  private count = 0;

  constructor(private readonly width: number) {}

  /** @param rows (T, C) in one array. */
  addAll(rows: Float32Array): void {
    const { width } = this;
    const count = rows.length / width;
    if ((this.count + count) * width > this.values.length) {
      const grown = new Float32Array(2 * (this.count + count) * width);
      grown.set(this.values);
      this.values = grown;
    }
    for (let t = 0; t < count; t++) {
      const row = rows.subarray(t * width, (t + 1) * width);
      const size = length(row);
      const to = this.count++ * width;
      for (let i = 0; i < width; i++) this.values[to + i] = row[i] / size;
    }
  }

  /** The greatest cosine between a state and those so far. */
  nearest(row: Float32Array): number {
    const { width, values } = this;
    const size = length(row);
    let greatest = -1;
    for (let t = 0; t < this.count; t++) {
      let dot = 0;
      for (let i = 0; i < width; i++) dot += values[t * width + i] * row[i];
      greatest = Math.max(greatest, dot / size);
    }
    return greatest;
  }
}

function length(row: Float32Array): number {
  let sum = 0;
  for (const x of row) sum += x * x;
  return Math.sqrt(sum) || 1;
}
