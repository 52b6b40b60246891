/**
 * Matches the expressions of pattern-syntax.ts with a backtracking machine whose stack is an array, never the call
 * stack, so that a run of a million spaces is a run like any other.
 *
 * Linear in practice: a repeated character class is one instruction that keeps one stack entry; alternatives that
 * cannot begin with the character at hand are not tried; and where an alternative begins with a repeated class and
 * failed, it is not tried again inside that run, because every way to go on from there has already failed.
 * Expressions that still explode (`(a+)+$`) end in a {@link CapacityError} when their budget of steps is spent.
 */
import { CapacityError } from '../errors.ts';
import { codePointAt } from './bytes.ts';
import type { CharSet } from './char-set.ts';
import {
  type Assertion,
  type Dialect,
  type Node,
  PatternProblem,
  parsePattern,
  UNBOUNDED,
  wordSet,
} from './pattern-syntax.ts';

const MATCH = 0;
const SET = 1;
const SPLIT = 2;
const JUMP = 3;
const LOOP = 4;
const LOOK = 5;
const ATOMIC = 6;
const ASSERT = 7;

const GREEDY = 0;
const POSSESSIVE = 1;

const ASSERTIONS: readonly Assertion[] = [
  'text-start',
  'text-end',
  'line-start',
  'line-end',
  'last-line-end',
  'boundary',
  'inside',
];

const LARGEST_PROGRAM = 20_000;
const LARGEST_STACK = 3_000_000;
const STEPS_AT_LEAST = 4000;
const STEPS_A_UNIT = 400;

interface Alternative {
  readonly entry: number;
  /** Sets of which the first character must be in one; undefined when the alternative can match nothing. */
  readonly first: readonly CharSet[] | undefined;
  /** True when the alternative begins with an unbounded repeated class. */
  readonly startsWithLoop: boolean;
  /** Starts below or at this place are known to fail (in the text at hand). */
  failedUntil: number;
}

export class Pattern {
  private readonly code: number[] = [];
  private readonly sets: CharSet[] = [];
  private readonly alternatives: Alternative[] = [];
  /** For each ASCII character the alternatives that can begin with it. */
  private readonly byFirst: (readonly Alternative[])[] = [];
  private stack = new Int32Array(96);
  private top = 0;
  private steps = 0;
  private budget = 0;
  private readonly word: CharSet;
  private firstLoopEnd = 0;
  private compiled = 0;

  /** @throws PatternProblem when the expression cannot be taken. */
  constructor(
    readonly source: string,
    dialect: Dialect = 'oniguruma',
  ) {
    this.word = wordSet(dialect);
    const node = parsePattern(source, dialect);
    for (const part of node.kind === 'alternatives' ? node.parts : [node]) {
      const entry = this.code.length;
      this.compile(part);
      this.emit(MATCH);
      const first = firstSets(part);
      this.alternatives.push({
        entry,
        first: first.empty ? undefined : first.sets,
        startsWithLoop: this.code[entry] === LOOP && this.code[entry + 3] === UNBOUNDED && this.code[entry + 2] <= 1,
        failedUntil: -1,
      });
    }
    for (let code = 0; code < 128; code++) {
      this.byFirst.push(this.alternatives.filter((one) => one.first?.some((set) => set.has(code)) ?? true));
    }
  }

  /** Calls back with every match in order, empty ones too: start and end in UTF-16 units. */
  matches(text: string, each: (start: number, end: number) => void): void {
    for (const alternative of this.alternatives) alternative.failedUntil = -1;
    this.steps = 0;
    this.budget = STEPS_AT_LEAST + STEPS_A_UNIT * text.length;
    let lastEnd = -1;
    let at = 0;
    while (at <= text.length) {
      const end = this.matchAt(text, at);
      if (end > at || (end === at && at !== lastEnd)) {
        each(at, end);
        lastEnd = end;
        at = end;
      } else {
        at += at < text.length && codePointAt(text, at) > 0xffff ? 2 : 1;
      }
    }
    if (this.stack.length > 65_536) this.stack = new Int32Array(96);
  }

  /** The end of the match that begins at a place, or -1. */
  private matchAt(text: string, at: number): number {
    const unit = at < text.length ? text.charCodeAt(at) : 0xffff;
    const candidates = unit < 128 ? this.byFirst[unit] : this.alternatives;
    for (let i = 0; i < candidates.length; i++) {
      const one = candidates[i];
      if (one.startsWithLoop) {
        if (at <= one.failedUntil) continue;
        this.firstLoopEnd = -1;
        const end = this.run(one.entry, text, at, true);
        if (end >= 0) return end;
        one.failedUntil = this.firstLoopEnd;
      } else {
        const end = this.run(one.entry, text, at, false);
        if (end >= 0) return end;
      }
    }
    return -1;
  }

  private run(entry: number, text: string, from: number, noteLoop: boolean): number {
    const { code, sets } = this;
    const base = this.top;
    let note = noteLoop;
    let pc = entry;
    let at = from;
    for (;;) {
      if (++this.steps > this.budget) this.giveUp(text);
      let ok = true;
      switch (code[pc]) {
        case MATCH:
          this.top = base;
          return at;
        case SET: {
          if (at >= text.length) {
            ok = false;
            break;
          }
          const unit = codePointAt(text, at);
          if (sets[code[pc + 1]].has(unit)) {
            at += unit > 0xffff ? 2 : 1;
            pc += 2;
          } else ok = false;
          break;
        }
        case SPLIT:
          this.push(code[pc + 2], at, at);
          pc = code[pc + 1];
          break;
        case JUMP:
          pc = code[pc + 1];
          break;
        case LOOP: {
          const set = sets[code[pc + 1]];
          const min = code[pc + 2];
          const max = code[pc + 3];
          const end = set.run(text, at, max);
          this.steps += (end - at) >> 2;
          if (note) {
            this.firstLoopEnd = end;
            note = false;
          }
          let least = at;
          if (min > 0) {
            least = min === 1 ? nextPlace(text, at, end) : set.run(text, at, min);
            if (min === 1 ? end === at : countPoints(text, at, least) < min) {
              ok = false;
              break;
            }
          }
          const greedy = code[pc + 4] === GREEDY;
          pc += 5;
          if (greedy && end > least) this.push(pc, end, least);
          at = end;
          break;
        }
        case LOOK: {
          const negative = (code[pc + 1] & 1) === 1;
          const behind = (code[pc + 1] & 2) === 2;
          let found = -1;
          if (!behind) found = this.run(pc + 3, text, at, false);
          else if (at > 0) found = this.run(pc + 3, text, previousPlace(text, at), false);
          if (found >= 0 !== negative) pc = code[pc + 2];
          else ok = false;
          break;
        }
        case ATOMIC: {
          const end = this.run(pc + 2, text, at, false);
          if (end >= 0) {
            at = end;
            pc = code[pc + 1];
          } else ok = false;
          break;
        }
        default:
          ok = this.holds(code[pc + 1], text, at);
          pc += 2;
      }
      if (ok) continue;
      if (this.top === base) return -1;
      // Go back: the newest entry gives one character back, or stands for one other way.
      const slot = this.top - 3;
      pc = this.stack[slot];
      const high = this.stack[slot + 1];
      const low = this.stack[slot + 2];
      if (high === low) {
        this.top = slot;
        at = high;
      } else {
        at = previousPlace(text, high);
        if (at <= low) this.top = slot;
        else this.stack[slot + 1] = at;
      }
    }
  }

  private push(pc: number, high: number, low: number): void {
    if (this.top + 3 > this.stack.length) {
      if (this.stack.length >= LARGEST_STACK) throw this.tooMuch('stack entries', LARGEST_STACK);
      const grown = new Int32Array(this.stack.length * 2);
      grown.set(this.stack);
      this.stack = grown;
    }
    this.stack[this.top++] = pc;
    this.stack[this.top++] = high;
    this.stack[this.top++] = low;
  }

  private giveUp(text: string): never {
    this.top = 0;
    throw this.tooMuch(`steps on ${text.length} characters`, this.budget);
  }

  private tooMuch(unit: string, limit: number): CapacityError {
    this.top = 0;
    const shown = this.source.length > 60 ? `${this.source.slice(0, 57)}…` : this.source;
    return new CapacityError(
      `the pattern /${shown}/`,
      limit + 1,
      limit,
      unit,
      'It backtracks without bound on this text',
    );
  }

  private isWord(text: string, at: number): boolean {
    return at < text.length && this.word.has(codePointAt(text, at));
  }

  private holds(assertion: number, text: string, at: number): boolean {
    switch (ASSERTIONS[assertion]) {
      case 'text-start':
        return at === 0;
      case 'text-end':
        return at === text.length;
      case 'line-start':
        return at === 0 || text.charCodeAt(at - 1) === 10;
      case 'line-end':
        return at === text.length || text.charCodeAt(at) === 10;
      case 'last-line-end':
        return at === text.length || (at === text.length - 1 && text.charCodeAt(at) === 10);
      case 'boundary':
      case 'inside': {
        const before = at > 0 && this.isWord(text, previousPlace(text, at));
        return (before !== this.isWord(text, at)) === (ASSERTIONS[assertion] === 'boundary');
      }
    }
  }

  // ---- compiling

  private emit(...words: number[]): number {
    const at = this.code.length;
    if (at + words.length > LARGEST_PROGRAM)
      throw new PatternProblem('is too large when its repetitions are written out');
    this.code.push(...words);
    return at;
  }

  private setIndex(set: CharSet): number {
    const known = this.sets.indexOf(set);
    if (known >= 0) return known;
    this.sets.push(set);
    return this.sets.length - 1;
  }

  private compile(node: Node): void {
    if (++this.compiled > LARGEST_PROGRAM)
      throw new PatternProblem('is too large when its repetitions are written out');
    switch (node.kind) {
      case 'set':
        this.emit(SET, this.setIndex(node.set));
        return;
      case 'sequence':
        for (const part of node.parts) this.compile(part);
        return;
      case 'alternatives': {
        const ends: number[] = [];
        node.parts.forEach((part, i) => {
          if (i + 1 === node.parts.length) {
            this.compile(part);
            return;
          }
          const split = this.emit(SPLIT, 0, 0);
          this.code[split + 1] = this.code.length;
          this.compile(part);
          ends.push(this.emit(JUMP, 0));
          this.code[split + 2] = this.code.length;
        });
        for (const jump of ends) this.code[jump + 1] = this.code.length;
        return;
      }
      case 'repeat':
        this.compileRepeat(node);
        return;
      case 'look': {
        const at = this.emit(LOOK, (node.negative ? 1 : 0) + (node.behind ? 2 : 0), 0);
        this.compile(node.body);
        this.emit(MATCH);
        this.code[at + 2] = this.code.length;
        return;
      }
      case 'atomic': {
        const at = this.emit(ATOMIC, 0);
        this.compile(node.body);
        this.emit(MATCH);
        this.code[at + 1] = this.code.length;
        return;
      }
      default:
        this.emit(ASSERT, ASSERTIONS.indexOf(node.at));
    }
  }

  private compileRepeat(node: Extract<Node, { kind: 'repeat' }>): void {
    const { body, min, max, mode } = node;
    if (max === 0) return;
    if (body.kind === 'set' && mode !== 'lazy') {
      this.emit(LOOP, this.setIndex(body.set), min, max, mode === 'greedy' ? GREEDY : POSSESSIVE);
      return;
    }
    if (mode === 'possessive') {
      const at = this.emit(ATOMIC, 0);
      this.compileRepeat({ ...node, mode: 'greedy' });
      this.emit(MATCH);
      this.code[at + 1] = this.code.length;
      return;
    }
    for (let i = 0; i < min; i++) this.compile(body);
    const way = (split: number, into: number, past: number) => {
      this.code[split + 1] = mode === 'greedy' ? into : past;
      this.code[split + 2] = mode === 'greedy' ? past : into;
    };
    if (max === UNBOUNDED) {
      if (firstSets(body).empty) throw new PatternProblem('repeats without bound something that can be empty');
      const split = this.emit(SPLIT, 0, 0);
      this.compile(body);
      this.emit(JUMP, split);
      way(split, split + 3, this.code.length);
      return;
    }
    const splits: number[] = [];
    for (let i = min; i < max; i++) {
      splits.push(this.emit(SPLIT, 0, 0));
      this.compile(body);
    }
    for (const split of splits) way(split, split + 3, this.code.length);
  }
}

/** The sets that the first character of a match is in, and whether a match can be empty. */
function firstSets(node: Node): { sets: CharSet[]; empty: boolean } {
  switch (node.kind) {
    case 'set':
      return { sets: [node.set], empty: false };
    case 'sequence': {
      const sets: CharSet[] = [];
      for (const part of node.parts) {
        const first = firstSets(part);
        sets.push(...first.sets);
        if (!first.empty) return { sets, empty: false };
      }
      return { sets, empty: true };
    }
    case 'alternatives': {
      const all = node.parts.map(firstSets);
      return { sets: all.flatMap((one) => one.sets), empty: all.some((one) => one.empty) };
    }
    case 'repeat': {
      const first = firstSets(node.body);
      return { sets: first.sets, empty: first.empty || node.min === 0 };
    }
    case 'atomic':
      return firstSets(node.body);
    default:
      return { sets: [], empty: true };
  }
}

function nextPlace(text: string, at: number, limit: number): number {
  return at >= limit ? at : at + (codePointAt(text, at) > 0xffff ? 2 : 1);
}

function previousPlace(text: string, at: number): number {
  const unit = text.charCodeAt(at - 1);
  if (unit >= 0xdc00 && unit <= 0xdfff && at > 1) {
    const high = text.charCodeAt(at - 2);
    if (high >= 0xd800 && high <= 0xdbff) return at - 2;
  }
  return at - 1;
}

function countPoints(text: string, from: number, to: number): number {
  let count = 0;
  for (let i = from; i < to; count++) i = nextPlace(text, i, to);
  return count;
}
