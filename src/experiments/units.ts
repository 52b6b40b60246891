/** What texts are counted in: words, the characters of scripts that part no words, and punctuation. */

const UNIT =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]\p{M}*|(?:(?![\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}])[\p{L}\p{N}])[\p{M}]*(?:['’](?=\p{L})|(?![\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}])[\p{L}\p{N}\p{M}])*|[^\s\p{L}\p{N}]/gu;

/**
 * The units of a text, in order: runs of letters and digits (an apostrophe between letters belongs to its word), each Han, Kana or Thai
 * character by itself, every other sign that is no space by itself. The same for every model, so texts of different tokenizers compare.
 */
export function unitsOf(text: string): string[] {
  return text.match(UNIT) ?? [];
}

/** How often each run of `n` units occurs. */
export function countRuns(units: readonly (string | number)[], n: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i + n <= units.length; i++) {
    const run = units.slice(i, i + n).join('\u0000');
    counts.set(run, (counts.get(run) ?? 0) + 1);
  }
  return counts;
}
