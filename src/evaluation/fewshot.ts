/** Exemplars before a question. */
import { SettingError } from '../errors.ts';
import { shuffled, stream, textHash } from './random.ts';
import type { Document, FewshotSpec } from './types.ts';

export interface Exemplar {
  readonly hash: string;
  /** Question, delimiter and target. */
  readonly text: string;
}

export interface Documents {
  readonly documents: readonly Document[];
  readonly hashes: readonly string[];
}

export function hashesOf(documents: readonly Document[]): string[] {
  return documents.map((document) => textHash(JSON.stringify(document)));
}

/**
 * The exemplars of a task: one order of the split for all documents, drawn by the seed, so that what all prompts begin with is computed once
 * and more shots add to fewer. A document that is an exemplar itself gets the next in the order instead. (lm-evaluation-harness draws anew for
 * each document; with one seed both are samples of the same kind.)
 */
export class FewshotSampler {
  private readonly order: readonly Exemplar[];

  /**
   * @param most exemplars of a prompt at most.
   * @throws SettingError when there are not so many besides the document itself.
   */
  constructor(
    spec: FewshotSpec,
    { documents, hashes }: Documents,
    most: number,
    seed: number,
    task: string,
    textOf: (document: Document) => string,
  ) {
    const places = documents.map((_, i) => i);
    const drawn = spec.sampler === 'first' ? places : shuffled(places, stream(seed, `fewshot ${task}`));
    const distinct = new Map<string, number>();
    for (const place of drawn) {
      if (distinct.size > most) break;
      if (!distinct.has(hashes[place])) distinct.set(hashes[place], place);
    }
    if (distinct.size < most) {
      throw new SettingError('shots', most, `${task} has ${distinct.size} different documents to draw exemplars from`);
    }
    this.order = [...distinct].map(([hash, place]) => ({ hash, text: textOf(documents[place]) }));
  }

  /** @throws SettingError. */
  for(hash: string, shots: number): readonly Exemplar[] {
    const others = this.order.slice(0, shots + 1).filter((one) => one.hash !== hash);
    if (others.length < shots) throw new SettingError('shots', shots, 'needs one more document than exemplars');
    return others.slice(0, shots);
  }
}
