/** When a beam has ended: for tokens alone it is seen at once, stop strings and the user's criteria read its text. */
import type { FinishReason } from '../types.ts';
import type { Branch } from './branch.ts';
import type { Job } from './job.ts';

export class BeamEnds {
  private readonly ends: ReadonlySet<number>;

  constructor(private readonly job: Job) {
    this.ends = new Set(job.settings.eos_token_id);
  }

  /** Why a text ends with its last token; null when it goes on. @param branch what it continues. */
  reasonFor(ids: readonly number[], branch: Branch, token: number): FinishReason | null {
    const { settings, options, started, ids: prompt } = this.job;
    if (this.ends.has(token)) return 'eos';
    if (settings.stop_strings.length > 0 && settings.stop_strings.some((stop) => this.text(ids).includes(stop))) {
      return 'stop_string';
    }
    if (ids.length >= settings.max_new_tokens) return 'length';
    if (settings.max_time !== null && performance.now() - started > settings.max_time * 1000) return 'time';
    if (options.stopping?.some((stops) => stops([...prompt, ...ids], this.text(ids)))) return 'criterion';
    if (branch.constraint) {
      const after = branch.constraint.fork();
      if (after.accept(token) && after.mustEnd) return 'eos';
    }
    return null;
  }

  private text(ids: readonly number[]): string {
    return this.job.model.tokenizer?.decode(ids, { skip_special_tokens: true }) ?? '';
  }
}
