/**
 * Words that beams must write (Hokamp & Liu 2017), by dynamic beam allocation (Post & Vilar 2018): beams that have written equally much of
 * them form a bank, and each bank keeps its share of the beams, so that a beam which pays for a word is not crowded out by those that
 * have not yet. Within the last tokens only what can still finish every word stays.
 */
import type { GenerationSettings, Scores } from '../types.ts';
import type { Extension } from './beam_extensions.ts';

/** How far a beam is. */
export interface Progress {
  /** Which words are written. */
  readonly done: readonly boolean[];
  /** The word that is being written, and the tokens of it so far; -1 for none. */
  readonly word: number;
  readonly written: readonly number[];
}

interface BeamView {
  readonly sum: number;
  readonly progress: Progress;
  readonly logprobs: Scores;
}

export class ForcedWords {
  /** For each word the spellings of which one is enough. */
  private readonly words: readonly (readonly (readonly number[])[])[];
  readonly start: Progress;

  constructor({ force_words_ids, constraints }: Pick<GenerationSettings, 'force_words_ids' | 'constraints'>) {
    const isDisjunction = (
      word: readonly number[] | readonly (readonly number[])[],
    ): word is readonly (readonly number[])[] => Array.isArray(word[0]);
    this.words = [
      ...force_words_ids.map((word) => (isDisjunction(word) ? word : [word])),
      ...constraints.map((constraint) => ('any' in constraint ? constraint.any : [constraint.phrase])),
    ];
    this.start = { done: this.words.map(() => false), word: -1, written: [] };
  }

  get isEmpty(): boolean {
    return this.words.length === 0;
  }

  isMet({ done }: Progress): boolean {
    return done.every(Boolean);
  }

  /** Tokens that a text needs at least for all words. */
  get needed(): number {
    return this.missing(this.start);
  }

  /** Where a beam is after a token: it goes on with its word, or begins another. */
  advance(progress: Progress, token: number): Progress {
    if (this.isEmpty) return progress;
    const { done, word, written } = progress;
    const tries: [number, readonly number[]][] = word >= 0 ? [[word, [...written, token]]] : [];
    this.words.forEach((_, i) => {
      if (!done[i]) tries.push([i, [token]]);
    });
    for (const [i, tokens] of tries) {
      const fitting = this.words[i].filter((spelling) => tokens.every((id, at) => spelling[at] === id));
      if (fitting.length === 0) continue;
      if (fitting.some((spelling) => spelling.length === tokens.length)) {
        return { done: done.map((is, at) => is || at === i), word: -1, written: [] };
      }
      return { done, word: i, written: tokens };
    }
    return { done, word: -1, written: [] };
  }

  /** Tokens that go on with a word. */
  private wanted({ done, word, written }: Progress): number[] {
    const next = (i: number, from: readonly number[]) =>
      this.words[i]
        .filter((spelling) => spelling.length > from.length && from.every((id, at) => spelling[at] === id))
        .map((spelling) => spelling[from.length]);
    const begun = word >= 0 ? next(word, written) : [];
    return [...new Set([...begun, ...this.words.flatMap((_, i) => (done[i] ? [] : next(i, [])))])];
  }

  /** Tokens that are still to be written, at least. */
  private missing({ done, word, written }: Progress): number {
    const shortest = (i: number) => {
      const from = i === word ? written : [];
      const fitting = this.words[i].filter((spelling) => from.every((id, at) => spelling[at] === id));
      return Math.min(...fitting.map((spelling) => spelling.length - from.length));
    };
    return this.words.reduce((sum, _, i) => sum + (done[i] ? 0 : shortest(i)), 0);
  }

  /** Tokens of words that are written: which bank a beam belongs to. */
  private bank(progress: Progress): number {
    const lengths = this.words.map((spellings) => Math.min(...spellings.map(({ length }) => length)));
    return lengths.reduce((sum, length, i) => sum + (progress.done[i] ? length : 0), progress.written.length);
  }

  /**
   * The extensions that a step keeps: the best of all, the best of each beam and every beginning or continuation of a word, shared out
   * among the banks, the fullest first.
   * @param left tokens that may follow this one. @param ends tokens that end a text: none before all words are there.
   */
  extend(
    found: readonly Extension[],
    beams: readonly BeamView[],
    { keep, left, ends }: { readonly keep: number; readonly left: number; readonly ends: readonly number[] },
  ): Extension[] {
    const all = new Map<string, Extension>();
    const add = (beam: number, token: number) => {
      const { sum, logprobs } = beams[beam];
      const logprob = logprobs[token];
      if (logprob === Number.NEGATIVE_INFINITY || Number.isNaN(logprob)) return;
      all.set(`${beam}:${token}`, { beam, token, logprob, sum: sum + logprob });
    };
    for (const { beam, token } of found) add(beam, token);
    beams.forEach(({ progress }, beam) => {
      for (const token of this.wanted(progress)) add(beam, token);
      const best = found.find((extension) => extension.beam === beam);
      if (best) add(beam, best.token);
    });
    const banks = new Map<number, Extension[]>();
    for (const extension of all.values()) {
      const progress = this.advance(beams[extension.beam].progress, extension.token);
      if (this.missing(progress) > left) continue;
      if (ends.includes(extension.token) && !this.isMet(progress)) continue;
      const bank = this.bank(progress);
      banks.set(bank, [...(banks.get(bank) ?? []), extension]);
    }
    const order = [...banks.keys()].sort((a, b) => b - a);
    for (const bank of order) banks.get(bank)!.sort((a, b) => b.sum - a.sum || a.beam - b.beam || a.token - b.token);
    const chosen: Extension[] = [];
    for (let round = 0; chosen.length < keep; round++) {
      const before = chosen.length;
      for (const bank of order) {
        const extension = banks.get(bank)![round];
        if (extension && chosen.length < keep) chosen.push(extension);
      }
      if (chosen.length === before) break;
    }
    return chosen;
  }
}
