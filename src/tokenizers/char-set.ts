/**
 * Sets of code points, asked millions of times: each set remembers its answers in pages of 256 code points that are
 * filled when first touched.
 */
export class CharSet {
  private readonly pages: (Uint8Array | undefined)[] = new Array(256).fill(undefined);
  private readonly far = new Map<number, Uint8Array>();

  constructor(
    /** The definition; asked once a code point. */
    readonly test: (code: number) => boolean,
  ) {}

  has(code: number): boolean {
    const page = this.pages[code >> 8] ?? this.fill(code >> 8);
    return page[code & 255] === 1;
  }

  private fill(index: number): Uint8Array {
    let page = index < 256 ? this.pages[index] : this.far.get(index);
    if (page === undefined) {
      page = new Uint8Array(256);
      for (let i = 0; i < 256; i++) if (this.test(index * 256 + i)) page[i] = 1;
      if (index < 256) this.pages[index] = page;
      else this.far.set(index, page);
    }
    return page;
  }

  /** The place after the longest run of members from `at`, at most `limit` of them. */
  run(text: string, at: number, limit: number): number {
    let left = limit;
    let i = at;
    const length = text.length;
    while (i < length && left > 0) {
      const unit = text.charCodeAt(i);
      if (unit >= 0xd800 && unit < 0xdc00 && i + 1 < length) {
        const low = text.charCodeAt(i + 1);
        if (low >= 0xdc00 && low < 0xe000) {
          if (!this.has((unit - 0xd800) * 0x400 + (low - 0xdc00) + 0x10000)) break;
          i += 2;
          left--;
          continue;
        }
      }
      const page = this.pages[unit >> 8] ?? this.fill(unit >> 8);
      if (page[unit & 255] === 0) break;
      i++;
      left--;
    }
    return i;
  }
}

/** A set given by a Unicode property, as JavaScript spells it. */
export function propertySet(property: string): CharSet {
  return shared(`\\p{${property}}`, () => {
    const pattern = new RegExp(`\\p{${property}}`, 'u');
    return (code) => pattern.test(String.fromCodePoint(code));
  });
}

const sharedSets = new Map<string, CharSet>();

/** One set for all who name it alike, so that its pages are filled once a process. Names are few and from this code. */
function shared(name: string, definition: () => (code: number) => boolean): CharSet {
  let set = sharedSets.get(name);
  if (set === undefined) {
    set = new CharSet(definition());
    sharedSets.set(name, set);
  }
  return set;
}

/** White space as Rust and Oniguruma see it: U+0085 belongs, U+FEFF does not (JavaScript's `\s` has it the other way). */
export const WHITE_SPACE: CharSet = propertySet('White_Space');
/** Letters, marks, digits, connectors and joiners: `\w` of Rust's regular expressions. */
export const WORD: CharSet = new CharSet((code) =>
  /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u.test(String.fromCodePoint(code)),
);
/** `\w` of Oniguruma: no joiners, but the superscript digits and fractions of Latin-1. */
export const ONIGURUMA_WORD: CharSet = new CharSet(
  (code) =>
    [0xb2, 0xb3, 0xb9, 0xbc, 0xbd, 0xbe].includes(code) ||
    /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]/u.test(String.fromCodePoint(code)),
);
/** General category N: Rust's `char::is_numeric`. */
export const NUMERIC: CharSet = propertySet('N');
/** ASCII punctuation and general category P: what the Punctuation and BERT pre-tokenizers cut out. */
export const PUNCTUATION: CharSet = new CharSet(
  (code) =>
    (code >= 33 && code <= 47) ||
    (code >= 58 && code <= 64) ||
    (code >= 91 && code <= 96) ||
    (code >= 123 && code <= 126) ||
    /\p{P}/u.test(String.fromCodePoint(code)),
);
