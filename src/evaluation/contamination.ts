/**
 * Contamination: documents whose text stands in training data. As in GPT-3's paper (Brown et al. 2020, appendix C) texts are lower-cased words
 * without punctuation, and a document is contaminated when one of its n-grams (13 words, or all of a shorter one) is found.
 */
import { hash32 } from './random.ts';

export const CONTAMINATION_WORDS = 13;

/** Words of a text: runs of letters and digits, lower case. A run of Chinese or Japanese is a word for each character. */
export function contaminationWords(text: string): string[] {
  return (
    text
      .toLowerCase()
      .match(
        /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[\p{L}\p{N}]+?(?=[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[^\p{L}\p{N}]|$)/gu,
      ) ?? []
  );
}

interface Watched {
  readonly words: readonly string[];
  readonly owners: number[];
}

/** Looks for the n-grams of documents in a stream of text. */
export class ContaminationSearch {
  /** By the hash of their first words. */
  private readonly grams = new Map<number, Watched[]>();
  private readonly found = new Set<number>();
  private readonly lengths: readonly number[];
  private window: string[] = [];
  private rest = '';
  /** Documents without a word cannot be found. */
  readonly searchable: number;

  /** @param texts of the documents: what a model would have to have seen. */
  constructor(
    texts: readonly string[],
    readonly n = CONTAMINATION_WORDS,
  ) {
    const lengths = new Set<number>();
    let searchable = 0;
    texts.forEach((text, owner) => {
      const words = contaminationWords(text);
      if (words.length === 0) return;
      searchable++;
      const length = Math.min(n, words.length);
      lengths.add(length);
      for (let at = 0; at + length <= words.length; at++) this.watch(words.slice(at, at + length), owner);
    });
    this.lengths = [...lengths].sort((a, b) => b - a);
    this.searchable = searchable;
  }

  private watch(words: readonly string[], owner: number): void {
    const key = hash32(words.join(' '));
    const list = this.grams.get(key) ?? [];
    const same = list.find((one) => one.words.join(' ') === words.join(' '));
    if (same) same.owners.push(owner);
    else list.push({ words, owners: [owner] });
    this.grams.set(key, list);
  }

  /** The next piece of training text. */
  read(chunk: string): void {
    const text = this.rest + chunk;
    // The last word may go on in the next piece.
    const [end] = /[\p{L}\p{N}]*$/u.exec(text) ?? [''];
    const isHeld = end.length < text.length || text.length < 1 << 16;
    this.rest = isHeld ? end : '';
    this.take(contaminationWords(isHeld ? text.slice(0, text.length - end.length) : text));
  }

  /** The end of a training document: n-grams do not go over it. */
  end(): void {
    this.take(contaminationWords(this.rest));
    this.rest = '';
    this.window = [];
  }

  private take(words: readonly string[]): void {
    const all = [...this.window, ...words];
    const fresh = this.window.length;
    for (let end = fresh + 1; end <= all.length; end++) {
      for (const length of this.lengths) {
        if (length > end) continue;
        const key = hash32(all.slice(end - length, end).join(' '));
        for (const one of this.grams.get(key) ?? []) {
          if (one.words.length !== length || one.words.some((word, i) => word !== all[end - length + i])) continue;
          for (const owner of one.owners) this.found.add(owner);
        }
      }
    }
    this.window = all.slice(Math.max(0, all.length - (this.n - 1)));
  }

  /** Places of the documents that were found. */
  get contaminated(): ReadonlySet<number> {
    return this.found;
  }
}
