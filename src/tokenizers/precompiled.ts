/**
 * SentencePiece's precompiled character map: a double-array trie (darts-clone) from UTF-8 sequences to places in a list
 * of zero-ended replacements (google/sentencepiece, normalizer.cc).
 */
import { Rewriter } from './aligned.ts';
import { codePointAt, fromUtf8, utf8 } from './bytes.ts';
import { applyChanges, type Change, type Normalizer } from './normalizers.ts';

export class CharacterMap {
  private readonly trie: Uint32Array;
  private readonly replacements: Uint8Array;

  /** @param blob the map as files carry it; throws a RangeError with the reason when its sizes do not fit. */
  constructor(blob: Uint8Array) {
    if (blob.length < 8) throw new RangeError(`is ${blob.length} bytes, too short for its header`);
    const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
    const size = view.getUint32(0, true);
    if (size % 4 !== 0 || size === 0 || size > blob.length - 4) {
      throw new RangeError(`says that its trie has ${size} bytes, but ${blob.length - 4} follow`);
    }
    this.trie = new Uint32Array(size / 4);
    for (let i = 0; i < this.trie.length; i++) this.trie[i] = view.getUint32(4 + i * 4, true);
    this.replacements = blob.slice(4 + size);
  }

  /** Follows the bytes; calls back with the length and the place of the replacement of each key that is a prefix. */
  private prefixes(bytes: Uint8Array, start: number, each: (length: number, place: number) => boolean): void {
    const { trie } = this;
    let node = offsetOf(trie[0]);
    for (let i = start; i < bytes.length; i++) {
      const byte = bytes[i];
      if (byte === 0) return;
      node ^= byte;
      if (node >= trie.length) return;
      const unit = trie[node];
      if ((unit & 0x800000ff) >>> 0 !== byte) return;
      node ^= offsetOf(unit);
      if (node >= trie.length) return;
      if ((unit >>> 8) & 1 && !each(i + 1 - start, trie[node] & 0x7fffffff)) return;
    }
  }

  /** What the shortest key that begins the text becomes; undefined when no key does. */
  shortest(text: string): string | undefined {
    let found = -1;
    this.prefixes(utf8(text), 0, (_length, place) => {
      found = place;
      return false;
    });
    return found < 0 ? undefined : this.replacementAt(found);
  }

  /** The longest key at a place of the bytes: its length (0 when there is none) and its replacement. */
  longest(bytes: Uint8Array, start: number): { length: number; text: string } {
    let length = 0;
    let found = -1;
    this.prefixes(bytes, start, (keyLength, place) => {
      length = keyLength;
      found = place;
      return true;
    });
    return { length, text: found < 0 ? '' : this.replacementAt(found) };
  }

  private replacementAt(place: number): string {
    if (place >= this.replacements.length) return '';
    let end = this.replacements.indexOf(0, place);
    if (end < 0) end = this.replacements.length;
    return fromUtf8(this.replacements.subarray(place, end));
  }
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}

/** Texts in which every character is a grapheme of its own. */
const SIMPLE = /^[\n\x20-\x7e\u00a0-\u02ff\u3001-\u3029\u3041-\u3096\u30a1-\u30fc\u4e00-\u9fff\uff01-\uff9d]*$/;

/**
 * The map as Hugging Face's `Precompiled` applies it: to each grapheme of less than six bytes as a whole (by its
 * shortest key), else to each of its characters.
 */
export function precompiledByGrapheme(map: CharacterMap): Normalizer {
  const memory = new Map<string, string | null>();
  const lookup = (part: string): string | undefined => {
    let known = memory.get(part);
    if (known === undefined) {
      known = map.shortest(part) ?? null;
      if (memory.size > 20_000) memory.clear();
      memory.set(part, known);
    }
    return known ?? undefined;
  };
  return (source) => {
    const rewriter = new Rewriter(source);
    let kept = 0;
    let changed = false;
    const visit = (part: string, start: number): boolean => {
      const target = lookup(part);
      if (target === undefined) return false;
      rewriter.keep(kept, start);
      if (target !== part || target.length === 0) changed = true;
      applyChanges(source, rewriter, start, replaceChanges(part, target));
      kept = start + part.length;
      return true;
    };
    const each = (grapheme: string, start: number): void => {
      if (utf8Length(grapheme) < 6 && visit(grapheme, start)) return;
      for (let i = 0; i < grapheme.length; ) {
        const end = i + (codePointAt(grapheme, i) > 0xffff ? 2 : 1);
        visit(grapheme.slice(i, end), start + i);
        i = end;
      }
    };
    const { text } = source;
    if (SIMPLE.test(text)) for (let i = 0; i < text.length; i++) each(text[i], i);
    else for (const { segment, index } of new Intl.Segmenter('en').segment(text)) each(segment, index);
    if (!changed) return source;
    rewriter.keep(kept, text.length);
    return rewriter.done();
  };
}

function replaceChanges(part: string, target: string): Change[] {
  const from = Array.from(part).length;
  const to = Array.from(target);
  const extra = to.length - from;
  return to.map((char, i) => {
    if (extra > 0) return { char, change: i >= to.length - extra ? 1 : 0 };
    return { char, change: i === to.length - 1 ? extra : 0 };
  });
}

function utf8Length(text: string): number {
  let length = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    length += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 2 : 3;
  }
  return length;
}

/** The map as SentencePiece itself applies it: always the longest key. */
export function precompiledByLongest(map: CharacterMap): Normalizer {
  return (source) => {
    const rewriter = new Rewriter(source);
    const { text } = source;
    const bytes = utf8(text);
    let changed = false;
    let kept = 0;
    let at = 0;
    for (let i = 0; i < text.length; ) {
      const found = map.longest(bytes, at);
      if (found.length === 0) {
        const width = codePointAt(text, i) > 0xffff ? 2 : 1;
        at += utf8Length(text.slice(i, i + width));
        i += width;
        continue;
      }
      changed = true;
      rewriter.keep(kept, i);
      rewriter.add(found.text, i);
      for (const end = at + found.length; at < end; ) {
        const width = codePointAt(text, i) > 0xffff ? 2 : 1;
        at += utf8Length(text.slice(i, i + width));
        i += width;
      }
      kept = i;
    }
    if (!changed) return source;
    rewriter.keep(kept, text.length);
    return rewriter.done();
  };
}
