/**
 * Beam search with the meaning of Hugging Face's `generate` (transformers 5.23): beam sampling, groups of diverse beams (Vijayakumar et
 * al. 2018, "Diverse Beam Search") and required words are variations of it. Sums of log-probabilities after processing rank what
 * continues; what ends is ranked by its sum over length^length_penalty.
 */
import type { GenerationEvent } from '../events.ts';
import { buildProcessors } from '../processors.ts';
import { logSoftmax } from '../rows.ts';
import type { FinishReason, LogitsProcessor, Scores } from '../types.ts';
import { Answer } from './answer.ts';
import { BeamEnds } from './beam_ends.ts';
import { drawWithoutReplacement, type Extension, topExtensions } from './beam_extensions.ts';
import type { Branch } from './branch.ts';
import { ForcedWords, type Progress } from './forced_words.ts';
import type { Job } from './job.ts';
import { compute, type Strategy, type Task } from './strategy.ts';

/** A text that still grows. */
interface Beam {
  readonly branch: Branch;
  readonly ids: readonly number[];
  readonly logprobs: readonly number[];
  readonly origins: readonly number[];
  /** Sum of its logprobs. */
  readonly sum: number;
  readonly progress: Progress;
}

/** A text that has ended. */
interface Hypothesis {
  readonly ids: readonly number[];
  readonly logprobs: readonly number[];
  readonly origins: readonly number[];
  readonly score: number;
  readonly reason: FinishReason;
}

/** One step of a search, for whoever draws its tree: each candidate that was kept, and whether it ended. */
export interface BeamStep {
  readonly prompt: number;
  readonly group: number;
  readonly step: number;
  readonly kept: readonly {
    /** Which beam of the step before it continues. */
    readonly from: number;
    readonly token: number;
    readonly logprob: number;
    readonly sum: number;
    readonly ended: boolean;
  }[];
}

export function beamTask(job: Job): Task {
  const { num_beams, num_return_sequences } = job.settings;
  const answers = Array.from({ length: num_return_sequences }, (_, index) => new Answer(job, index));
  let left = num_beams * (job.settings.max_new_tokens + job.engine.pageSize);
  const strategy = search(job, answers, () => {
    left -= num_beams;
  });
  return {
    strategy,
    tokensToCome: () => Math.max(left, 0),
    abort: () => answers.flatMap((answer) => answer.finish('aborted')),
    free: () => void strategy.return(),
  };
}

function* search(job: Job, answers: readonly Answer[], onStep: () => void): Strategy {
  const { settings } = job;
  const rules = new ForcedWords(settings);
  const size = settings.num_beams / settings.num_beam_groups;
  const groups = Array.from({ length: settings.num_beam_groups }, (_, i) => new Group(job, rules, size, i));
  try {
    for (let step = 0; groups.some(({ isOpen }) => isOpen); step++) {
      const open = groups.filter(({ isOpen }) => isOpen);
      const results = yield* compute(open.flatMap(({ beams }) => beams.flatMap(({ branch }) => branch.asks())));
      let at = 0;
      const taken = new Map<number, number>();
      for (const group of open) {
        const scores = group.beams.map(({ branch }) => {
          const own = branch.scores(results, at);
          at += branch.width;
          return own;
        });
        group.advance(scores, step, taken);
      }
      onStep();
      const agreed = agreedTokens(groups, settings.num_return_sequences);
      const events = answers.flatMap((answer) => tell(answer, agreed.ids, agreed.logprobs));
      if (events.length > 0) yield { events };
    }
    yield { events: finish(groups, answers) };
  } finally {
    for (const group of groups) group.release();
  }
}

/** Beams that compete with each other; groups only see which tokens the others took. */
class Group {
  beams: Beam[];
  readonly ended: Hypothesis[] = [];
  isOpen = true;
  private readonly keep: number;
  private readonly processors: readonly LogitsProcessor[];
  private readonly ends: BeamEnds;
  /** False once no open beam can become better than what has ended. */
  private canImprove = true;

  constructor(
    private readonly job: Job,
    private readonly rules: ForcedWords,
    private readonly size: number,
    private readonly index: number,
  ) {
    const { settings, processing } = job;
    const ends = settings.eos_token_id.length;
    this.keep = Math.max(2, 1 + ends) * size;
    this.processors = buildProcessors(settings, { ...processing, minTokensToKeep: ends + 1 });
    this.ends = new BeamEnds(job);
    const branch = job.begin();
    this.beams = [{ branch, ids: [], logprobs: [], origins: [], sum: 0, progress: rules.start }];
  }

  /**
   * @param scores of each beam's next token. @param taken how many beams of the groups before this one took which token in this step;
   *   this group adds its own.
   */
  advance(scores: readonly Scores[], step: number, taken: Map<number, number>): void {
    const { settings, options } = this.job;
    const logprobs = scores.map((raw, i) => this.process(raw, this.beams[i], taken));
    const sums = this.beams.map(({ sum }) => sum);
    const found = settings.do_sample
      ? drawWithoutReplacement(logprobs, sums, this.keep, settings.seed, this.index, step)
      : topExtensions(logprobs, sums, this.keep);
    const extensions = this.rules.isEmpty ? found : this.requireWords(found, logprobs, step);
    const isFull = settings.early_stopping === true && this.ended.length === this.size;
    const isClosed = isFull || !this.canImprove;
    const next: { extension: Extension; progress: Progress }[] = [];
    let ended = 0;
    const kept = extensions.map((extension, rank) => {
      const beam = this.beams[extension.beam];
      const progress = this.rules.advance(beam.progress, extension.token);
      const ids = [...beam.ids, extension.token];
      const reason = this.ends.reasonFor(ids, beam.branch, extension.token);
      if (reason) {
        ended++;
        // Those beyond the first `size` are only there so that enough go on.
        const counts = rank < this.size || !this.rules.isEmpty;
        if (counts && !isClosed && this.rules.isMet(progress)) this.end(beam, extension, ids, reason);
      } else if (next.length < this.size) next.push({ extension, progress });
      return {
        from: extension.beam,
        token: extension.token,
        logprob: extension.logprob,
        sum: extension.sum,
        ended: reason !== null,
      };
    });
    options.onBeams?.({ prompt: this.job.prompt, group: this.index, step, kept });
    for (const { extension } of next) taken.set(extension.token, (taken.get(extension.token) ?? 0) + 1);
    this.replace(next);
    this.isOpen = this.beams.length > 0 && ended < extensions.length && this.mayImprove(step + 1);
    if (!this.isOpen) this.release();
  }

  private process(raw: Scores, beam: Beam, taken: ReadonlyMap<number, number>): Scores {
    const { settings, ids } = this.job;
    const logprobs = logSoftmax(raw);
    beam.branch.constrain(logprobs);
    for (const [token, count] of taken) logprobs[token] -= settings.diversity_penalty * count;
    const context = { tokens: beam.branch.tokens, promptLength: ids.length };
    for (const process of this.processors) process(logprobs, context);
    return logprobs;
  }

  private requireWords(found: readonly Extension[], logprobs: readonly Scores[], step: number): Extension[] {
    const beams = this.beams.map(({ sum, progress }, i) => ({ sum, progress, logprobs: logprobs[i] }));
    const { max_new_tokens, eos_token_id } = this.job.settings;
    return this.rules.extend(found, beams, { keep: this.keep, left: max_new_tokens - step - 1, ends: eos_token_id });
  }

  private end(beam: Beam, { beam: from, logprob, sum }: Extension, ids: readonly number[], reason: FinishReason): void {
    const { length_penalty } = this.job.settings;
    const score = sum / ids.length ** length_penalty;
    const hypothesis = { ids, logprobs: [...beam.logprobs, logprob], origins: [...beam.origins, from], score, reason };
    let at = this.ended.length;
    while (at > 0 && this.ended[at - 1].score < score) at--;
    this.ended.splice(at, 0, hypothesis);
    if (this.ended.length > this.size) this.ended.pop();
  }

  /** Make the beams of the next step; a branch that goes on once is taken over, others fork. */
  private replace(next: readonly { extension: Extension; progress: Progress }[]): void {
    const uses = this.beams.map((_, i) => next.filter(({ extension }) => extension.beam === i).length);
    const before = this.beams;
    this.beams = next.map(({ extension: { beam: from, token, logprob, sum }, progress }) => {
      const beam = before[from];
      const branch = --uses[from] > 0 ? beam.branch.fork() : beam.branch;
      return {
        branch,
        ids: [...beam.ids, token],
        logprobs: [...beam.logprobs, logprob],
        origins: [...beam.origins, from],
        sum,
        progress,
      };
    });
    for (const { branch } of before) if (!this.beams.some((beam) => beam.branch === branch)) branch.release();
    for (const { branch, ids } of this.beams) branch.append(ids[ids.length - 1]);
  }

  private mayImprove(length: number): boolean {
    const { early_stopping, length_penalty, max_new_tokens } = this.job.settings;
    if (this.ended.length < this.size) return true;
    if (early_stopping === true) return false;
    const longest = early_stopping === 'never' && length_penalty > 0 ? max_new_tokens : length;
    this.canImprove &&= this.beams[0].sum / longest ** length_penalty > this.ended[this.ended.length - 1].score;
    return this.canImprove;
  }

  release(): void {
    for (const { branch } of this.beams) branch.release();
  }
}

/** The tokens with which every text begins that can still be an answer. */
function agreedTokens(
  groups: readonly Group[],
  answers: number,
): { ids: readonly number[]; logprobs: readonly number[] } {
  const ended = groups.flatMap((group) => group.ended).sort((a, b) => b.score - a.score);
  const running = groups.flatMap(({ isOpen, beams }) => (isOpen ? beams : []));
  const all = [...running, ...ended.slice(0, answers)];
  if (running.length === 0) return { ids: [], logprobs: [] };
  const [{ ids, logprobs }] = all;
  let length = 0;
  while (length < ids.length && all.every((other) => other.ids[length] === ids[length])) length++;
  // The last token of a text may be its end: only what has a token after it is told early.
  const settled = Math.min(length, ...all.map((other) => other.ids.length - 1));
  return { ids: ids.slice(0, settled), logprobs };
}

/** Tell an answer's tokens that it does not have yet. */
function tell(answer: Answer, ids: readonly number[], logprobs: readonly number[]): GenerationEvent[] {
  const events: GenerationEvent[] = [];
  while (answer.ids.length < ids.length && !answer.isFinished) {
    const at = answer.ids.length;
    events.push(...answer.pushOnly(ids[at], logprobs[at]));
  }
  return events;
}

function finish(groups: readonly Group[], answers: readonly Answer[]): GenerationEvent[] {
  const ended = groups.flatMap((group) => group.ended).sort((a, b) => b.score - a.score);
  return answers.flatMap((answer, i) => {
    const best = ended[i];
    if (!best) return [];
    answer.details = () => ({ score: best.score, beam_indices: best.origins });
    return [...tell(answer, best.ids, best.logprobs), ...answer.finish(best.reason)];
  });
}
