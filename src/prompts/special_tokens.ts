/** From a rendered conversation to what a tokenizer encodes. */
import type { ChatSegment } from './chat_template.ts';

/** A special token that the template wrote, or text in which nothing is special. */
export type EncodingPart =
  | { readonly kind: 'special'; readonly token: string }
  | { readonly kind: 'text'; readonly text: string };

/**
 * Cuts a conversation at its special tokens. A token counts only where every character of it came from the template:
 * what a user wrote is text, and so is a token that would straddle the border. Text between two tokens stays in one
 * piece whoever wrote it, because a tokenizer may merge across the border ("[INST] " and the first word).
 * At each place the longest token wins, as in the tokenizers library.
 */
export function splitSpecialTokens(segments: readonly ChatSegment[], specialTokens: Iterable<string>): EncodingPart[] {
  const text = segments.map((segment) => segment.text).join('');
  const tokens = [...specialTokens].filter((token) => token !== '').sort((a, b) => b.length - a.length);
  if (tokens.length === 0) return text === '' ? [] : [{ kind: 'text', text }];
  const pattern = new RegExp(tokens.map((token) => token.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|'), 'g');
  const parts: EncodingPart[] = [];
  let done = 0;
  for (const [start, end] of templateStretches(segments)) {
    for (const found of text.slice(start, end).matchAll(pattern)) {
      const at = start + found.index;
      if (at > done) parts.push({ kind: 'text', text: text.slice(done, at) });
      parts.push({ kind: 'special', token: found[0] });
      done = at + found[0].length;
    }
  }
  if (done < text.length) parts.push({ kind: 'text', text: text.slice(done) });
  return parts;
}

/** Where the text is the template's own: [start, end) in UTF-16 code units. */
function templateStretches(segments: readonly ChatSegment[]): [number, number][] {
  const stretches: [number, number][] = [];
  let at = 0;
  for (const segment of segments) {
    const end = at + segment.text.length;
    const last = stretches.at(-1);
    if (segment.from === 'template') {
      if (last && last[1] === at) last[1] = end;
      else stretches.push([at, end]);
    }
    at = end;
  }
  return stretches;
}
