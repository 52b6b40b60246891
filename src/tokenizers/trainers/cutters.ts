/**
 * How training text is cut into words: the two patterns of the field as hand-written scanners (several times the speed of
 * the pattern machine, and tested against it), every other pattern through that machine.
 */
import { SettingError } from '../../errors.ts';
import { NUMERIC, propertySet, WHITE_SPACE } from '../char-set.ts';
import { Pattern } from '../pattern.ts';
import { PatternProblem } from '../pattern-syntax.ts';
import { GPT2_PATTERN } from '../tokenizer-json.ts';
import type { WordTable } from './word-table.ts';

/** The end of the word that begins at a place; every unit of a text belongs to a word. */
export type Cutter = (units: Uint16Array, at: number, length: number) => number;

/** The pattern of cl100k as tokenizer.json files write it (Llama 3 and many others). */
export const LLAMA3_PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const LETTER = 1;
const NUMBER = 2;
const SPACE = 3;
const OTHER = 4;
const HIGH = 5;

const letters = propertySet('L');
/** The class of each UTF-16 unit, 0 until it is asked for. */
const classes = new Uint8Array(65_536);

function classOfPoint(code: number): number {
  if (letters.has(code)) return LETTER;
  if (NUMERIC.has(code)) return NUMBER;
  return WHITE_SPACE.has(code) ? SPACE : OTHER;
}

function classOf(units: Uint16Array, at: number, length: number): number {
  const unit = units[at];
  const known = classes[unit];
  if (known !== 0 && known !== HIGH) return known;
  return classOfRare(units, at, length);
}

function classOfRare(units: Uint16Array, at: number, length: number): number {
  const unit = units[at];
  if (unit >= 0xd800 && unit < 0xdc00) {
    classes[unit] = HIGH;
    const low = at + 1 < length ? units[at + 1] : 0;
    if (low >= 0xdc00 && low < 0xe000) return classOfPoint((unit - 0xd800) * 0x400 + (low - 0xdc00) + 0x10000);
    return OTHER;
  }
  const found = classOfPoint(unit);
  classes[unit] = found;
  return found;
}

/** The place after the run of characters of a class, at most `most` of them. */
function runOf(kind: number, units: Uint16Array, from: number, length: number, most = length): number {
  let at = from;
  for (let left = most; at < length && left > 0; left--) {
    const known = classes[units[at]];
    if (known === kind) at++;
    else if ((known === 0 || known === HIGH) && classOfRare(units, at, length) === kind) at += widthAt(units, at);
    else break;
  }
  return at;
}

function widthAt(units: Uint16Array, at: number): number {
  return units[at] >= 0xd800 && units[at] < 0xdc00 ? 2 : 1;
}

/** The end of a contraction whose apostrophe is at a place, or the place itself. */
function contraction(units: Uint16Array, at: number, length: number, anyCase: boolean): number {
  const letter = (i: number) => {
    if (i >= length) return 0;
    const unit = units[i];
    if (!anyCase) return unit;
    // The long s folds to s.
    return unit === 0x17f ? 115 : unit >= 65 && unit <= 90 ? unit + 32 : unit;
  };
  switch (letter(at + 1)) {
    case 115: // s
    case 116: // t
    case 109: // m
    case 100: // d
      return at + 2;
    case 114: // re
    case 118: // ve
      return letter(at + 2) === 101 ? at + 3 : at;
    case 108: // ll
      return letter(at + 2) === 108 ? at + 3 : at;
    default:
      return at;
  }
}

/** White space up to a place: all of it at the end of the text, else all but its last character. */
function whiteSpace(at: number, end: number, length: number): number {
  return end === length || end - 1 === at ? end : end - 1;
}

export const cutGpt2: Cutter = (units, at, length) => {
  const unit = units[at];
  if (unit === 39) {
    const end = contraction(units, at, length, false);
    if (end > at) return end;
  }
  const first = unit === 32 && at + 1 < length ? at + 1 : at;
  const kind = classOf(units, first, length);
  if (kind !== SPACE) return runOf(kind, units, first, length);
  return whiteSpace(at, runOf(SPACE, units, at, length), length);
};

export const cutLlama3: Cutter = (units, at, length) => {
  const unit = units[at];
  if (unit === 39) {
    const end = contraction(units, at, length, true);
    if (end > at) return end;
  }
  const kind = classOf(units, at, length);
  if (kind === LETTER) return runOf(LETTER, units, at, length);
  if (kind === NUMBER) return runOf(NUMBER, units, at, length, 3);
  const next = at + widthAt(units, at);
  if (unit !== 13 && unit !== 10 && next < length && classOf(units, next, length) === LETTER) {
    return runOf(LETTER, units, next, length);
  }
  const mark = unit === 32 && next < length && classOf(units, next, length) === OTHER ? next : at;
  if (mark > at || kind === OTHER) {
    let end = runOf(OTHER, units, mark, length);
    while (end < length && (units[end] === 13 || units[end] === 10)) end++;
    return end;
  }
  const end = runOf(SPACE, units, at, length);
  for (let i = end - 1; i >= at; i--) if (units[i] === 13 || units[i] === 10) return i + 1;
  return whiteSpace(at, end, length);
};

/** Counts the words of a text, whose units are given too. */
export type TextCutter = (text: string, units: Uint16Array, words: WordTable) => void;

export function cutBy(cutter: Cutter): TextCutter {
  return ({ length }, units, words) => {
    for (let at = 0; at < length; ) {
      const end = cutter(units, at, length);
      words.add(units, at, end);
      at = end;
    }
  };
}

/** Matches and what lies between them are words (the behaviour "Isolated" of Split). */
export function cutWith(pattern: Pattern): TextCutter {
  return (text, units, words) => {
    let last = 0;
    pattern.matches(text, (start, end) => {
      words.add(units, last, start);
      words.add(units, start, end);
      last = end;
    });
    words.add(units, last, text.length);
  };
}

/**
 * A pattern by its name or as an expression, and how text is cut with it.
 * @throws SettingError when the expression cannot be taken.
 */
export function cuttingOf(name: string): { readonly pattern: string; readonly cut: TextCutter } {
  const pattern = name === 'gpt2' ? GPT2_PATTERN : name === 'llama3' ? LLAMA3_PATTERN : name;
  if (pattern === GPT2_PATTERN) return { pattern, cut: cutBy(cutGpt2) };
  if (pattern === LLAMA3_PATTERN) return { pattern, cut: cutBy(cutLlama3) };
  try {
    return { pattern, cut: cutWith(new Pattern(pattern)) };
  } catch (error) {
    if (!(error instanceof PatternProblem)) throw error;
    throw new SettingError('pattern', name, `must be gpt2, llama3 or an expression: this one ${error.message}`);
  }
}
