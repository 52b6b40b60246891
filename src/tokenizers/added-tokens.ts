/**
 * Added tokens: texts that are one token wherever they stand, found before anything else happens (leftmost first,
 * longest first). Special ones are found only when the caller says that the text may contain them.
 */
import { codePointAt } from './bytes.ts';
import { WHITE_SPACE, WORD } from './char-set.ts';
import { PrefixTree } from './prefix-tree.ts';

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Left out by `skip_special_tokens`, never found in text from a user. */
  readonly special: boolean;
  /** Only where no word character touches it. */
  readonly singleWord: boolean;
  /** White space before it belongs to it. */
  readonly lstrip: boolean;
  /** White space after it belongs to it. */
  readonly rstrip: boolean;
  /** Looked for in the normalised text instead of the text as given. */
  readonly normalized: boolean;
}

export class AddedTokenFinder {
  private readonly tree = new PrefixTree();

  /** @param keys for each token the text to look for (normalised, where the token asks for it). */
  constructor(
    private readonly tokens: readonly AddedToken[],
    keys: readonly string[],
  ) {
    tokens.forEach((_token, i) => {
      if (keys[i].length > 0) this.tree.add(keys[i].length, (at) => keys[i].charCodeAt(at), i);
    });
  }

  /** Calls back with each part of the text in order: its range, and the token it is or undefined. */
  split(
    text: string,
    special: boolean,
    each: (start: number, end: number, token: AddedToken | undefined) => void,
  ): void {
    let from = 0;
    const { tree, tokens } = this;
    if (tokens.length > 0) {
      for (let at = 0; at < text.length; ) {
        let node = tree.child(tree.root, text.charCodeAt(at));
        let found = -1;
        let foundEnd = at;
        for (let end = at + 1; node >= 0; end++) {
          const value = tree.valueAt(node);
          if (value >= 0) {
            found = value;
            foundEnd = end;
          }
          if (end >= text.length) break;
          node = tree.child(node, text.charCodeAt(end));
        }
        if (found < 0) {
          at++;
          continue;
        }
        const token = tokens[found];
        const isWord = !token.singleWord || (!endsWithWord(text, at) && !startsWithWord(text, foundEnd));
        if (!isWord || (token.special && !special)) {
          // What is refused is still passed over, as in the library.
          at = foundEnd;
          continue;
        }
        let start = at;
        let end = foundEnd;
        if (token.lstrip) while (start > from && WHITE_SPACE.has(text.charCodeAt(start - 1))) start--;
        if (token.rstrip) while (end < text.length && WHITE_SPACE.has(text.charCodeAt(end))) end++;
        if (start < from) start = from;
        if (start > from) each(from, start, undefined);
        each(start, end, token);
        from = end;
        at = Math.max(foundEnd, end);
      }
    }
    if (from < text.length) each(from, text.length, undefined);
  }
}

function endsWithWord(text: string, at: number): boolean {
  if (at === 0) return false;
  const unit = text.charCodeAt(at - 1);
  const low = unit >= 0xdc00 && unit < 0xe000 && at > 1;
  return WORD.has(low ? codePointAt(text, at - 2) : unit);
}

function startsWithWord(text: string, at: number): boolean {
  return at < text.length && WORD.has(codePointAt(text, at));
}
