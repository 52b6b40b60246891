/**
 * A text under normalisation that remembers where each of its units came from.
 *
 * `starts[i]`, `ends[i]` give, for unit i of the text as it is now, the range of the original (in UTF-16 units of the
 * whole input) that it stands for. Both units of a surrogate pair carry the range of the whole character. When nobody
 * asks for offsets the arrays are absent and every step is a plain string operation.
 */
import { CapacityError } from '../errors.ts';

/** A text may become so many times its length, and so many units in any case. */
const GROWTH = 100;
const GROWTH_AT_LEAST = 1_000_000;

export interface Alignment {
  readonly starts: Int32Array;
  readonly ends: Int32Array;
}

export class AlignedText {
  constructor(
    readonly text: string,
    readonly alignment: Alignment | undefined,
    /** True for what begins at the very start of the input: Metaspace with the scheme "first" asks. */
    readonly atStart: boolean,
    /** Units that this text may have at most, however it is rewritten: files may hold rules that double a text again and again. */
    readonly limit: number = 0,
  ) {}

  /** The next form of this text. @throws CapacityError when rewriting has blown it up. */
  become(text: string, alignment?: Alignment): AlignedText {
    this.checkGrowth(text.length);
    return new AlignedText(text, alignment, this.atStart, this.limit);
  }

  /** @throws CapacityError when a text of so many units is more than the input can become. */
  checkGrowth(units: number): void {
    if (units <= this.limit) return;
    const hint = 'The rules of the tokenizer file multiply this text';
    throw new CapacityError('the normalised text', units, this.limit, 'UTF-16 units', hint);
  }

  /** The text as given, `base` units into the input. */
  static from(text: string, base: number, tracked: boolean): AlignedText {
    const limit = GROWTH_AT_LEAST + GROWTH * text.length;
    if (!tracked) return new AlignedText(text, undefined, base === 0, limit);
    const starts = new Int32Array(text.length);
    const ends = new Int32Array(text.length);
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      const low = i + 1 < text.length ? text.charCodeAt(i + 1) : 0;
      if (unit >= 0xd800 && unit < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
        starts[i] = starts[i + 1] = base + i;
        ends[i] = ends[i + 1] = base + i + 2;
        i++;
      } else {
        starts[i] = base + i;
        ends[i] = base + i + 1;
      }
    }
    return new AlignedText(text, { starts, ends }, base === 0, limit);
  }

  /** The same text, at the start only if its first character was the first of the input and not one after it. */
  settleStart(): AlignedText {
    const { alignment } = this;
    const atStart = alignment !== undefined && this.text.length > 0 ? alignment.starts[0] === 0 : this.atStart;
    return atStart === this.atStart ? this : new AlignedText(this.text, alignment, atStart, this.limit);
  }

  slice(start: number, end: number): AlignedText {
    if (start === 0 && end === this.text.length) return this;
    const alignment = this.alignment && {
      starts: this.alignment.starts.subarray(start, end),
      ends: this.alignment.ends.subarray(start, end),
    };
    return new AlignedText(this.text.slice(start, end), alignment, this.atStart && start === 0, this.limit);
  }
}

/** Builds the next form of an {@link AlignedText} piece by piece. */
export class Rewriter {
  private readonly parts: string[] = [];
  private readonly starts: number[] = [];
  private readonly ends: number[] = [];
  private length = 0;

  constructor(private readonly source: AlignedText) {}

  /** Keeps source units [start, end) as they are. */
  keep(start: number, end: number): void {
    if (end <= start) return;
    this.length += end - start;
    this.source.checkGrowth(this.length);
    this.parts.push(this.source.text.slice(start, end));
    const { alignment } = this.source;
    if (alignment === undefined) return;
    for (let i = start; i < end; i++) {
      this.starts.push(alignment.starts[i]);
      this.ends.push(alignment.ends[i]);
    }
  }

  /** Adds text that stands for what the source unit `unit` stands for. */
  add(text: string, unit: number): void {
    this.length += text.length;
    this.source.checkGrowth(this.length);
    this.parts.push(text);
    const { alignment } = this.source;
    if (alignment === undefined) return;
    const start = unit < 0 ? 0 : alignment.starts[unit];
    const end = unit < 0 ? 0 : alignment.ends[unit];
    for (let i = 0; i < text.length; i++) {
      this.starts.push(start);
      this.ends.push(end);
    }
  }

  done(): AlignedText {
    const alignment = this.source.alignment && {
      starts: Int32Array.from(this.starts),
      ends: Int32Array.from(this.ends),
    };
    return this.source.become(this.parts.join(''), alignment);
  }
}
