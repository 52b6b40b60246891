/** One answer while it is being written: its tokens become text, and the text finds its end. */
import type { DecodeStream } from '../../tokenizers/index.ts';
import type { Alternative, GenerationEvent, GenerationResult } from '../events.ts';
import { StopMatcher } from '../stopping.ts';
import type { FinishReason, Scores } from '../types.ts';
import type { Job } from './job.ts';

export interface TokenDetails {
  readonly top?: readonly Alternative[];
  readonly scores?: Scores;
  readonly logits?: Scores;
}

/** What a result says besides text and ids. */
export type ResultDetails = Pick<GenerationResult, 'score' | 'beam_indices' | 'drafted' | 'accepted'>;

export class Answer {
  readonly ids: number[] = [];
  isFinished = false;
  /** What else its result says. */
  details: () => ResultDetails = () => ({});
  private readonly stream: DecodeStream | null;
  private readonly stop: StopMatcher | null;
  private text = '';
  private firstToken = 0;
  private readonly scores: Scores[] = [];
  private readonly logits: Scores[] = [];
  /** How much of what comes first is still the prompt's. */
  private healing: number;

  constructor(
    readonly job: Job,
    readonly index: number,
  ) {
    const { settings, model } = job;
    this.stream = model.tokenizer?.stream({ skip_special_tokens: true }) ?? null;
    this.stop = settings.stop_strings.length > 0 ? new StopMatcher(settings.stop_strings) : null;
    this.healing = job.healed.length;
    // The text of an answer continues the prompt's: a leading space that a decoder would strip at the start of a text stays.
    for (const id of job.ids) this.stream?.push(id);
  }

  get tokensToCome(): number {
    return this.job.settings.max_new_tokens - this.ids.length;
  }

  /** Take the next token. @returns what to tell of it; the end as well when it is one, and then `isFinished`. */
  push(token: number, logprob: number, details: TokenDetails = {}): GenerationEvent[] {
    const { settings, started, options, ids: promptIds } = this.job;
    const { event, stopped } = this.take(token, logprob, details);
    const reason = settings.eos_token_id.includes(token)
      ? 'eos'
      : stopped
        ? 'stop_string'
        : this.ids.length >= settings.max_new_tokens
          ? 'length'
          : settings.max_time !== null && performance.now() - started > settings.max_time * 1000
            ? 'time'
            : options.stopping?.some((stops) => stops([...promptIds, ...this.ids], this.text))
              ? 'criterion'
              : null;
    return reason ? [event, ...this.finish(reason)] : [event];
  }

  /** Take a token of a text whose end others decide. */
  pushOnly(token: number, logprob: number): GenerationEvent[] {
    return [this.take(token, logprob, {}).event];
  }

  private take(
    token: number,
    logprob: number,
    details: TokenDetails,
  ): { readonly event: GenerationEvent; readonly stopped: boolean } {
    const { settings, started, prompt } = this.job;
    if (this.ids.length === 0) this.firstToken = performance.now() - started;
    this.ids.push(token);
    if (details.scores) this.scores.push(details.scores);
    if (details.logits) this.logits.push(details.logits);
    const isEnd = settings.eos_token_id.includes(token);
    const decoded = isEnd ? '' : this.withoutHealed(this.stream?.push(token) ?? '');
    const { text, stopped } = this.stop ? this.stop.push(decoded) : { text: decoded, stopped: false };
    this.text += text;
    const { top } = details;
    const { index } = this;
    const event: GenerationEvent = { type: 'token', prompt, index, id: token, text, logprob, ...(top && { top }) };
    return { event, stopped };
  }

  /** End it. @returns the last events. */
  finish(reason: FinishReason): GenerationEvent[] {
    if (this.isFinished) return [];
    const { prompt, ids: prompt_ids, settings, started, fingerprint } = this.job;
    this.isFinished = true;
    let rest = reason === 'stop_string' ? '' : this.withoutHealed(this.stream?.end() ?? '');
    if (this.stop && reason !== 'stop_string') {
      const { text, stopped } = this.stop.push(rest);
      rest = stopped ? text : text + this.stop.end();
    }
    this.text += rest;
    const { index } = this;
    const done: GenerationEvent = {
      type: 'done',
      prompt,
      index,
      text: this.text,
      ids: this.ids,
      prompt_ids,
      finish_reason: reason,
      seed: settings.seed,
      timings: {
        first_token_ms: this.firstToken,
        total_ms: performance.now() - started,
        prompt_tokens: prompt_ids.length,
        new_tokens: this.ids.length,
      },
      fingerprint,
      ...this.details(),
      ...(settings.output_scores && { scores: this.scores }),
      ...(settings.output_logits && { logits: this.logits }),
    };
    return rest === '' ? [done] : [{ type: 'text', prompt, index, text: rest }, done];
  }

  private withoutHealed(text: string): string {
    const cut = Math.min(this.healing, text.length);
    this.healing -= cut;
    return text.slice(cut);
  }
}
