/**
 * Pre-tokenizers: how text is cut into the pieces that the model sees one by one. Rules as in Hugging Face
 * `tokenizers` (tokenizers/src/pre_tokenizers, tokenizer/pattern.rs).
 */
import type { AlignedText } from './aligned.ts';
import { codePointAt } from './bytes.ts';
import { type CharSet, NUMERIC, PUNCTUATION, WHITE_SPACE, WORD } from './char-set.ts';
import { IntList } from './int-list.ts';
import { byteAlphabet, prepend, replaceText } from './normalizers.ts';
import type { Pattern } from './pattern.ts';

export type Emit = (piece: AlignedText) => void;
/** Cuts a piece and hands on every part that is not empty, in order. */
export type PreTokenizer = (piece: AlignedText, emit: Emit) => void;

/** What becomes of the text that matched. */
export type SplitBehavior = 'Removed' | 'Isolated' | 'MergedWithPrevious' | 'MergedWithNext' | 'Contiguous';

/** Finds matches in order: start and end of each. */
export type Finder = (text: string, each: (start: number, end: number) => void) => void;

export function sequence(steps: readonly PreTokenizer[]): PreTokenizer {
  return steps.reduceRight<PreTokenizer>(
    (rest, step) => (piece, emit) => step(piece, (part) => rest(part, emit)),
    (piece, emit) => emit(piece),
  );
}

export function findPattern(pattern: Pattern): Finder {
  return (text, each) => pattern.matches(text, each);
}

export function findText(wanted: string): Finder {
  return (text, each) => {
    if (wanted.length === 0) return;
    for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
      each(at, at + wanted.length);
    }
  };
}

/** Every character of the set is a match of its own. */
export function findEach(set: CharSet): Finder {
  return (text, each) => {
    for (let i = 0; i < text.length; ) {
      const code = codePointAt(text, i);
      const end = i + (code > 0xffff ? 2 : 1);
      if (set.has(code)) each(i, end);
      i = end;
    }
  };
}

export function split(find: Finder, behavior: SplitBehavior, invert = false): PreTokenizer {
  if (behavior === 'Isolated') {
    // Matches and gaps are all pieces, whichever of the two is called a match.
    return (piece, emit) => {
      let last = 0;
      find(piece.text, (start, end) => {
        if (start > last) emit(piece.slice(last, start));
        if (end > start) emit(piece.slice(start, end));
        last = end;
      });
      if (last < piece.text.length) emit(piece.slice(last, piece.text.length));
    };
  }
  return (piece, emit) => {
    // Triples: start, end, 1 for a match.
    const parts = new IntList();
    let last = 0;
    const add = (start: number, end: number, match: boolean) => {
      parts.push(start);
      parts.push(end);
      parts.push(match !== invert ? 1 : 0);
    };
    find(piece.text, (start, end) => {
      if (start > last) add(last, start, false);
      add(start, end, true);
      last = end;
    });
    if (last < piece.text.length) add(last, piece.text.length, false);
    const ranges = behave(parts, behavior);
    for (let i = 0; i < ranges.length; i += 2) {
      if (ranges.data[i + 1] > ranges.data[i]) emit(piece.slice(ranges.data[i], ranges.data[i + 1]));
    }
  };
}

function behave(parts: IntList, behavior: SplitBehavior): IntList {
  const { data, length } = parts;
  const ranges = new IntList();
  const add = (i: number) => {
    ranges.push(data[i]);
    ranges.push(data[i + 1]);
  };
  const extend = (i: number) => {
    ranges.data[ranges.length - 1] = data[i + 1];
  };
  if (behavior === 'MergedWithNext') {
    // From the right: a match takes the part after it, unless that part is a match itself.
    const starts: number[] = [];
    const ends: number[] = [];
    let previous = 0;
    for (let i = length - 3; i >= 0; i -= 3) {
      if (data[i + 2] === 1 && previous === 0 && starts.length > 0) starts[starts.length - 1] = data[i];
      else {
        starts.push(data[i]);
        ends.push(data[i + 1]);
      }
      previous = data[i + 2];
    }
    for (let i = starts.length - 1; i >= 0; i--) {
      ranges.push(starts[i]);
      ranges.push(ends[i]);
    }
    return ranges;
  }
  let previous = 0;
  for (let i = 0; i < length; i += 3) {
    const match = data[i + 2];
    const follows =
      behavior === 'Contiguous'
        ? match === previous
        : behavior === 'MergedWithPrevious' && match === 1 && previous === 0;
    if (behavior === 'Removed') {
      if (match === 0) add(i);
    } else if (follows && ranges.length > 0) extend(i);
    else add(i);
    previous = match;
  }
  return ranges;
}

export const whitespaceSplit: PreTokenizer = split(findEach(WHITE_SPACE), 'Removed');

/** Runs of word characters, and runs of anything else that is no white space. */
export const whitespace: PreTokenizer = split(
  (text, each) => {
    for (let i = 0; i < text.length; ) {
      const code = codePointAt(text, i);
      if (WORD.has(code)) {
        const end = WORD.run(text, i, text.length);
        each(i, end);
        i = end;
      } else if (WHITE_SPACE.has(code)) i++;
      else {
        let end = i;
        while (end < text.length) {
          const next = codePointAt(text, end);
          if (WORD.has(next) || WHITE_SPACE.has(next)) break;
          end += next > 0xffff ? 2 : 1;
        }
        each(i, end);
        i = end;
      }
    }
  },
  'Removed',
  true,
);

export function digits(individual: boolean): PreTokenizer {
  return split(findEach(NUMERIC), individual ? 'Isolated' : 'Contiguous');
}

export function punctuation(behavior: SplitBehavior): PreTokenizer {
  return split(findEach(PUNCTUATION), behavior);
}

export const bertPreTokenizer: PreTokenizer = sequence([whitespaceSplit, punctuation('Isolated')]);

export type PrependScheme = 'always' | 'first' | 'never';

/** SentencePiece's way: spaces become a visible mark, words begin with one. */
export function metaspace(mark: string, scheme: PrependScheme, cut: boolean): PreTokenizer {
  const replace = replaceText(' ', mark);
  const before = prepend(mark);
  const cutter = split(findText(mark), 'MergedWithNext');
  return (piece, emit) => {
    let text = replace(piece);
    if ((scheme === 'always' || (scheme === 'first' && piece.atStart)) && !text.text.startsWith(mark)) {
      text = before(text);
    }
    if (cut) cutter(text, emit);
    else if (text.text.length > 0) emit(text);
  };
}

/** A space in front of every piece that has none. */
export const addPrefixSpace: PreTokenizer = (piece, emit) => {
  emit(piece.text.startsWith(' ') ? piece : prepend(' ')(piece));
};

/** The pieces written in the byte alphabet, for pre-tokenizers and models that follow and expect it. */
export const toByteAlphabet: PreTokenizer = (piece, emit) => emit(byteAlphabet(piece));

/** Pieces of a fixed number of characters. */
export function fixedLength(length: number): PreTokenizer {
  return (piece, emit) => {
    let start = 0;
    let count = 0;
    for (let i = 0; i < piece.text.length; ) {
      i += codePointAt(piece.text, i) > 0xffff ? 2 : 1;
      if (++count < length && i < piece.text.length) continue;
      emit(piece.slice(start, i));
      start = i;
      count = 0;
    }
  };
}
