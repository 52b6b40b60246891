/**
 * Normalisers: what happens to text before it is cut into pieces. Each one is a function from text to text that keeps
 * the alignment with the original where it is tracked. The rules, and which original range a changed character stands
 * for, are those of Hugging Face `tokenizers` (tokenizers/src/normalizers, tokenizer/normalizer.rs).
 */
import { type AlignedText, Rewriter } from './aligned.ts';
import { BYTE_TO_UNIT, codePointAt, utf8 } from './bytes.ts';
import { WHITE_SPACE } from './char-set.ts';
import type { Pattern } from './pattern.ts';

export type Normalizer = (text: AlignedText) => AlignedText;

export type UnicodeForm = 'NFC' | 'NFD' | 'NFKC' | 'NFKD';

export function sequence(steps: readonly Normalizer[]): Normalizer {
  return (text) => steps.reduce((current, step) => step(current), text);
}

/** One character of a new text and how many source characters it uses: 1 none (it is added), 0 one, -n one and n more. */
export interface Change {
  readonly char: string;
  readonly change: number;
}

/** Rewrites source units [from, …) by a list of changes; returns the source place after them. */
export function applyChanges(
  source: AlignedText,
  rewriter: Rewriter,
  from: number,
  changes: readonly Change[],
): number {
  let at = from;
  for (const { char, change } of changes) {
    if (change > 0) rewriter.add(char, at - 1);
    else {
      rewriter.add(char, Math.min(at, source.text.length - 1));
      for (let taken = 0; taken <= -change; taken++) at += codePointAt(source.text, at) > 0xffff ? 2 : 1;
    }
  }
  return at;
}

/** Characters that may change together with what stands before them: marks, conjoining jamo, halfwidth sound marks. */
const CLUSTERS = /[\s\S][\p{M}\u1160-\u11ff\u3131-\u318e\ua8fa\ud7b0-\ud7ff\uff9e-\uffdc]*/gu;

/** Unicode normalisation forms. */
export function unicodeForm(form: UnicodeForm): Normalizer {
  const decomposed = form === 'NFC' || form === 'NFD' ? 'NFD' : 'NFKD';
  return (source) => {
    const whole = source.text.normalize(form);
    if (whole === source.text) return source;
    if (source.alignment === undefined) return source.become(whole);
    const rewriter = new Rewriter(source);
    for (const { 0: cluster, index } of source.text.matchAll(CLUSTERS)) {
      const target = cluster.normalize(form);
      if (target === cluster) rewriter.keep(index, index + cluster.length);
      else applyChanges(source, rewriter, index, formChanges(cluster, target, decomposed));
    }
    return rewriter.done();
  };
}

/**
 * Which source characters each character of a normalised cluster uses. The cluster is decomposed (the first part of
 * each character uses it, the others are added); a composed character uses what its parts use and one place less for
 * each part after the first.
 */
function formChanges(cluster: string, target: string, decomposed: 'NFD' | 'NFKD'): Change[] {
  const waiting = new Map<string, number[]>();
  for (const char of cluster) {
    let change = 0;
    for (const part of char.normalize(decomposed)) {
      const queue = waiting.get(part);
      if (queue === undefined) waiting.set(part, [change]);
      else queue.push(change);
      change = 1;
    }
  }
  const taken = new Map<string, number>();
  const changes: Change[] = [];
  for (const char of target) {
    let change = 1;
    for (const part of char.normalize(decomposed)) {
      const next = taken.get(part) ?? 0;
      taken.set(part, next + 1);
      change += (waiting.get(part)?.[next] ?? 1) - 1;
    }
    changes.push({ char, change });
  }
  return changes;
}

/** Keeps the characters of which `keep` is true. */
export function filter(keep: (code: number) => boolean): Normalizer {
  return (source) => {
    const { text } = source;
    let rewriter: Rewriter | undefined;
    let kept = 0;
    for (let i = 0; i < text.length; ) {
      const code = codePointAt(text, i);
      const end = i + (code > 0xffff ? 2 : 1);
      if (!keep(code)) {
        rewriter ??= new Rewriter(source);
        rewriter.keep(kept, i);
        kept = end;
      }
      i = end;
    }
    if (rewriter === undefined) return source;
    rewriter.keep(kept, text.length);
    return rewriter.done();
  };
}

/** Puts another text in the place of single characters; `undefined` leaves a character as it is. */
export function replaceCharacters(change: (code: number) => string | undefined): Normalizer {
  return (source) => {
    const { text } = source;
    let rewriter: Rewriter | undefined;
    let kept = 0;
    for (let i = 0; i < text.length; ) {
      const code = codePointAt(text, i);
      const end = i + (code > 0xffff ? 2 : 1);
      const target = change(code);
      if (target !== undefined) {
        rewriter ??= new Rewriter(source);
        rewriter.keep(kept, i);
        rewriter.add(target, i);
        kept = end;
      }
      i = end;
    }
    if (rewriter === undefined) return source;
    rewriter.keep(kept, text.length);
    return rewriter.done();
  };
}

/** Lower case, one character at a time: a final sigma is like any other. */
export const lowercase: Normalizer = (source) => {
  if (source.alignment === undefined && !source.text.includes('\u03a3')) {
    return source.become(source.text.toLowerCase());
  }
  return lowercaseTracked(source);
};

const lowercaseTracked = replaceCharacters((code) => {
  const char = String.fromCodePoint(code);
  const lower = char.toLowerCase();
  return lower === char ? undefined : lower;
});

/** Removes white space at the chosen ends. */
export function strip(left: boolean, right: boolean): Normalizer {
  return (source) => {
    const { text } = source;
    let start = 0;
    let end = text.length;
    if (left) while (start < end && WHITE_SPACE.has(text.charCodeAt(start))) start++;
    if (right) while (end > start && WHITE_SPACE.has(text.charCodeAt(end - 1))) end--;
    const cut = source.slice(start, end);
    return cut === source ? source : source.become(cut.text, cut.alignment);
  };
}

/** Removes all marks. */
export const stripAccents: Normalizer = filter((code) => code < 0x300 || !/\p{M}/u.test(String.fromCodePoint(code)));

/** Puts a text in front of text that is not empty. */
export function prepend(prefix: string): Normalizer {
  return (source) => {
    if (source.text.length === 0 || prefix.length === 0) return source;
    if (source.alignment === undefined) return source.become(prefix + source.text);
    const rewriter = new Rewriter(source);
    rewriter.add(prefix, 0);
    rewriter.keep(0, source.text.length);
    return rewriter.done();
  };
}

/** Puts `content` in the place of every match; it stands for what the match's last character stood for. */
export function replacePattern(pattern: Pattern, content: string): Normalizer {
  return (source) => {
    let rewriter: Rewriter | undefined;
    let kept = 0;
    pattern.matches(source.text, (start, end) => {
      rewriter ??= new Rewriter(source);
      rewriter.keep(kept, start);
      rewriter.add(content, end - 1);
      kept = end;
    });
    if (rewriter === undefined) return source;
    rewriter.keep(kept, source.text.length);
    return rewriter.done();
  };
}

/** The same for a fixed text. */
export function replaceText(wanted: string, content: string): Normalizer {
  return (source) => {
    const { text } = source;
    let found = wanted.length === 0 ? -1 : text.indexOf(wanted);
    if (found < 0) return source;
    if (source.alignment === undefined) {
      if (content.length > wanted.length) {
        let count = 0;
        for (let at = found; at >= 0; at = text.indexOf(wanted, at + wanted.length)) count++;
        source.checkGrowth(text.length + count * (content.length - wanted.length));
      }
      // Cutting and joining is several times faster than replacing, and linear where there are a million matches.
      return source.become(text.split(wanted).join(content));
    }
    const rewriter = new Rewriter(source);
    let kept = 0;
    while (found >= 0) {
      rewriter.keep(kept, found);
      rewriter.add(content, found + wanted.length - 1);
      kept = found + wanted.length;
      found = text.indexOf(wanted, kept);
    }
    rewriter.keep(kept, text.length);
    return rewriter.done();
  };
}

/** The rules of Google's NMT: control characters go, unusual spaces become plain ones. */
export const nmt: Normalizer = sequence([
  filter(
    (code) =>
      !(
        (code >= 0x01 && code <= 0x08) ||
        code === 0x0b ||
        (code >= 0x0e && code <= 0x1f) ||
        code === 0x7f ||
        code === 0x8f ||
        code === 0x9f
      ),
  ),
  replaceCharacters((code) =>
    code === 0x09 ||
    code === 0x0a ||
    code === 0x0c ||
    code === 0x0d ||
    code === 0x1680 ||
    (code >= 0x200b && code <= 0x200f) ||
    code === 0x2028 ||
    code === 0x2029 ||
    code === 0x2581 ||
    code === 0xfeff ||
    code === 0xfffd
      ? ' '
      : undefined,
  ),
]);

export interface BertOptions {
  readonly cleanText: boolean;
  readonly handleChineseChars: boolean;
  readonly stripAccents: boolean;
  readonly lowercase: boolean;
}

/** BERT's own cleaning (google-research/bert, tokenization.py). */
export function bert(options: BertOptions): Normalizer {
  const steps: Normalizer[] = [];
  if (options.cleanText) {
    steps.push(filter((code) => code !== 0 && code !== 0xfffd && !isControl(code)));
    steps.push(replaceCharacters((code) => (code !== 32 && isBertSpace(code) ? ' ' : undefined)));
  }
  if (options.handleChineseChars) {
    steps.push(replaceCharacters((code) => (isChinese(code) ? ` ${String.fromCodePoint(code)} ` : undefined)));
  }
  if (options.stripAccents) {
    steps.push(unicodeForm('NFD'));
    steps.push(filter((code) => code < 0x300 || !/\p{Mn}/u.test(String.fromCodePoint(code))));
  }
  if (options.lowercase) steps.push(lowercase);
  return sequence(steps);
}

function isBertSpace(code: number): boolean {
  return WHITE_SPACE.has(code);
}

function isControl(code: number): boolean {
  if (code === 9 || code === 10 || code === 13) return false;
  if (code >= 32 && code < 127) return false;
  return /[\p{Cc}\p{Cf}\p{Co}\p{Cs}]/u.test(String.fromCodePoint(code));
}

/** The blocks that BERT calls Chinese. The fifth range begins at U+2B920 in the library, and so it does here. */
function isChinese(code: number): boolean {
  return (
    (code >= 0x4e00 && code <= 0x9fff) ||
    (code >= 0x3400 && code <= 0x4dbf) ||
    (code >= 0x20000 && code <= 0x2a6df) ||
    (code >= 0x2a700 && code <= 0x2b73f) ||
    (code >= 0x2b740 && code <= 0x2b81f) ||
    (code >= 0x2b920 && code <= 0x2ceaf) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0x2f800 && code <= 0x2fa1f)
  );
}

/** Writes the UTF-8 bytes of the text in the byte alphabet of bytes.ts. */
export const byteAlphabet: Normalizer = (source) => {
  const { text } = source;
  const rewriter = new Rewriter(source);
  for (let i = 0; i < text.length; ) {
    const end = i + (codePointAt(text, i) > 0xffff ? 2 : 1);
    let written = '';
    for (const byte of utf8(text.slice(i, end))) written += String.fromCharCode(BYTE_TO_UNIT[byte]);
    rewriter.add(written, i);
    i = end;
  }
  return rewriter.done();
};
