/** Text on a terminal: how many columns it takes, how it is cut, and what must not reach a terminal as it is. */

/** Text from a file or a model must not steer a terminal: control and format characters are shown by their numbers. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (char) => {
    const code = char.codePointAt(0)!;
    return code === 10 ? '\\n' : `\\u{${code.toString(16)}}`;
  });
}

/** Columns that a terminal gives a text: East Asian wide characters and emoji take two. */
export function columns(text: string): number {
  let count = 0;
  for (const char of text)
    count += /[ᄀ-ᅟ⺀-ꓐꥠ-ꥼ가-힣豈-﫿︐-︙︰-﹯＀-｠￠-￦]|\p{Extended_Pictographic}/u.test(char)
      ? 2
      : /\p{Mn}/u.test(char)
        ? 0
        : 1;
  return count;
}

/** At most `most` columns of `text`, with an ellipsis where it was cut. */
export function cut(text: string, most: number): string {
  const safe = printable(text);
  if (columns(safe) <= most) return safe;
  let kept = '';
  let used = 0;
  for (const char of safe) {
    used += columns(char);
    if (used > most - 1) break;
    kept += char;
  }
  return `${kept}…`;
}

/** `text` cut and filled up with spaces to exactly `width` columns. */
export function cell(text: string, width: number): string {
  const kept = cut(text, width);
  return kept + ' '.repeat(width - columns(kept));
}
