/**
 * How numbers are spelt. Integers (and all multiples) are plain digits, without fraction or exponent: `1.0` and `1e2` are never written for 1 and 100. Other
 * numbers are plain decimals, or have one digit before the point and an exponent where the bounds allow what such a text may become. Every double within the
 * bounds has a spelling; the shortest one, JSON.stringify's, is among them unless a bound lies among the numbers that it writes with an exponent.
 */
import type { Automaton, Expression } from '../grammar.ts';
import { minimalTable } from '../regular/minimal.ts';
import { compare, type Decimal, doubleOf, negative, ONE, positional, ZERO } from './decimal.ts';
import { type NumberShape, onlyNumber } from './numbers.ts';
import { choice, NOTHING_WRITTEN, oneOfTexts, repeat, sequence, text } from './spelling.ts';

/** Texts of more digits may be beyond the largest double. */
const MOST_DIGITS = 308;
const MOST_FRACTION = 40;
/** Plain decimals go down to this; what is smaller is written with an exponent. */
const SMALLEST: Decimal = { digits: 1n, exponent: -25 };
/** Digits that any double keeps: beyond them a reader cannot tell a multiple from what is beside it. */
const EXACT_DIGITS = 15;
const MOST_STATES = 20_000;

const digit: Expression = { kind: 'characters', ranges: [[48, 57]] };
const leading: Expression = { kind: 'characters', ranges: [[49, 57]] };
const minus: Expression = repeat(text('-'), 0, 1);
const fraction: Expression = repeat(sequence(text('.'), repeat(digit, 1, MOST_FRACTION)), 0, 1);
const e: Expression = {
  kind: 'characters',
  ranges: [
    [69, 69],
    [101, 101],
  ],
};

/** Why a shape cannot be spelt, instead of an expression. */
export type Unspellable = string;

export function numbersExpression(shapes: readonly NumberShape[]): Expression | Unspellable | null {
  const single: string[] = [];
  const parts: Expression[] = [];
  for (const shape of shapes) {
    const value = onlyNumber(shape);
    if (value !== undefined) {
      single.push(plain(value));
      if (plain(value) !== JSON.stringify(value) && shape.multiple === null) single.push(JSON.stringify(value));
      continue;
    }
    const part = shapeExpression(shape);
    if (typeof part === 'string') return part;
    if (part !== null) parts.push(part);
  }
  if (single.length > 0) parts.push(oneOfTexts(single));
  return parts.length === 0 ? null : choice(parts);
}

/** Integers without an exponent. */
function plain(value: number): string {
  return Number.isInteger(value) ? BigInt(value).toString() : JSON.stringify(value);
}

function shapeExpression(shape: NumberShape): Expression | Unspellable | null {
  const { low, high, multiple, not } = shape;
  if (low === null && high === null && not.length === 0) {
    if (multiple === null) return anyNumber();
    if (compare(multiple, ONE) === 0) {
      return sequence(minus, choice([text('0'), sequence(leading, repeat(digit, 0, MOST_DIGITS - 1)), largest()]));
    }
  }
  // A magnitude is spelt alike on both sides of zero.
  const parts: (Expression | Unspellable | null)[] = [];
  const zero = low === null || compare(low, ZERO) <= 0 ? high === null || compare(high, ZERO) >= 0 : false;
  const apart = zero && multiple !== null && multiple.exponent >= 0 && not.length === 0;
  if (apart) parts.push(text('0'));
  if (high === null || compare(high, ZERO) > 0) {
    const from = low === null || compare(low, ZERO) <= 0 ? null : low;
    parts.push(magnitudes(from, high, zero && !apart, multiple, not));
  } else if (zero && !apart && not.length === 0) parts.push(text('0'));
  if (low === null || compare(low, ZERO) < 0) {
    const from = high === null || compare(high, ZERO) >= 0 ? null : negative(high);
    const part = magnitudes(from, low === null ? null : negative(low), false, multiple, not);
    parts.push(part === null || typeof part === 'string' ? part : sequence(text('-'), part));
  }
  const spelt: Expression[] = [];
  for (const part of parts) {
    if (typeof part === 'string') return part;
    if (part !== null) spelt.push(part);
  }
  return spelt.length === 0 ? null : choice(spelt);
}

/** Integers of one digit more that are doubles still: up to 1.6999… x 10^308. */
function largest(): Expression {
  const second: Expression = { kind: 'characters', ranges: [[48, 54]] };
  return sequence(text('1'), second, repeat(digit, MOST_DIGITS - 1, MOST_DIGITS - 1));
}

function anyNumber(): Expression {
  const few = repeat(digit, 0, 16);
  const exponent = sequence(
    e,
    repeat(
      {
        kind: 'characters',
        ranges: [
          [43, 43],
          [45, 45],
        ],
      },
      0,
      1,
    ),
    repeat(digit, 1, 2),
  );
  return sequence(
    minus,
    choice([
      sequence(text('0'), fraction),
      sequence(leading, repeat(digit, 0, MOST_DIGITS - 1), fraction),
      largest(),
      sequence(choice([text('0'), sequence(leading, few)]), fraction, exponent),
      scientific(text('+'), 100),
      scientific(text('-'), 100),
    ]),
  );
}

/** One digit, a fraction and an exponent of at least `least` (at most 307, and 308 up to 1.6999…). */
function scientific(sign: Expression, least: number): Expression {
  const exponents: string[] = [];
  for (let value = least; value <= 307; value++) exponents.push(String(value));
  const most = sequence(
    text('1'),
    repeat(sequence(text('.'), { kind: 'characters', ranges: [[48, 54]] }, repeat(digit, 0, 17)), 0, 1),
    e,
    sign,
    text('308'),
  );
  return choice([sequence(leading, fraction, e, sign, oneOfTexts(exponents)), most]);
}

/** Positive numbers from `low` to `high` (null: open), zero only when asked for. */
function magnitudes(
  low: Decimal | null,
  high: Decimal | null,
  zero: boolean,
  multiple: Decimal | null,
  not: readonly Decimal[],
): Expression | Unspellable | null {
  let least = low;
  let most = high;
  const steps = multiple !== null && compare(multiple, ONE) !== 0;
  const exponents: Expression[] = [];
  if (multiple === null && not.length === 0) {
    const atLeast = least === null || compare(least, ONE) <= 0 ? 0 : positional(least).whole.length;
    if (most === null && atLeast < 300) exponents.push(scientific(repeat(text('+'), 0, 1), atLeast));
    const tiny = least === null || compare(least, { digits: 1n, exponent: -307 }) <= 0;
    if (tiny && (most === null || compare(most, ONE) >= 0)) exponents.push(scientific(text('-'), 1));
    if (least !== null && tiny && compare(least, ZERO) > 0) least = SMALLEST;
  }
  const longest = Math.max(least === null ? 1 : positional(least).whole.length, 17);
  if (not.length > 0 && !steps) return withPlain([], bounded(least, most, zero, multiple, not, EXACT_DIGITS));
  if (steps) {
    // Halves, quarters and so on are doubles themselves; other fractions use up digits.
    const places = Number.isInteger(Math.log2(doubleOf(multiple))) ? 0 : Math.max(0, -multiple.exponent);
    const digits = Math.max(1, EXACT_DIGITS - places);
    if (most === null || positional(most).whole.length > digits)
      return withPlain([], bounded(least, null, zero, multiple, not, digits));
  }
  const parts: Expression[] = exponents;
  if (most === null && not.length === 0) {
    // Beyond the digits of the lower bound, any number of digits.
    const tail = multiple === null ? fraction : NOTHING_WRITTEN;
    if (longest < MOST_DIGITS) parts.push(sequence(leading, repeat(digit, longest, MOST_DIGITS - 1), tail));
    most =
      multiple === null
        ? { digits: 10n ** BigInt(longest + 40) - 1n, exponent: -40 }
        : { digits: 10n ** BigInt(longest) - 1n, exponent: 0 };
    if (multiple === null) return withPlain(parts, bounded(least, null, zero, null, [], longest));
  }
  return withPlain(parts, bounded(least, most, zero, multiple, not, most === null ? longest : MOST_DIGITS));
}

function withPlain(parts: Expression[], automaton: Automaton | Unspellable | null): Expression | Unspellable | null {
  if (typeof automaton === 'string') return automaton;
  if (automaton !== null) parts.push({ kind: 'automaton', automaton });
  return parts.length === 0 ? null : choice(parts);
}

/** Where a text stands against one bound. */
interface Bound {
  readonly whole: string;
  readonly fraction: string;
}

const LESS = -1;
const SAME = 0;
const MORE = 1;

/** A step of multiples: the number times 10^places must (or must not) be a multiple of `by`. */
interface Step {
  readonly by: number;
  readonly places: number;
}

function stepOf(value: Decimal): Step | Unspellable {
  const by = value.exponent > 0 ? value.digits * 10n ** BigInt(value.exponent) : value.digits;
  const places = Math.max(0, -value.exponent);
  if (by > 5000n || places > 30) return 'is a step that is too large or too fine to be enforced';
  return { by: Number(by), places };
}

const known = new Map<string, Automaton | Unspellable | null>();
const MOST_KNOWN = 200;

/** The automaton of plain decimals within bounds, at most `longest` digits before the point. Automata are kept: schemas repeat their bounds. */
function bounded(
  low: Decimal | null,
  high: Decimal | null,
  zero: boolean,
  multiple: Decimal | null,
  not: readonly Decimal[],
  longest: number,
): Automaton | Unspellable | null {
  const values = [low, high, multiple, ...not].map((one) => (one === null ? '' : `${one.digits}e${one.exponent}`));
  const key = `${values.join()} ${zero} ${longest}`;
  let automaton = known.get(key);
  if (automaton === undefined) {
    automaton = explored(low, high, zero, multiple, not, longest);
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(key, automaton);
  }
  return automaton;
}

function explored(
  low: Decimal | null,
  high: Decimal | null,
  zero: boolean,
  multiple: Decimal | null,
  not: readonly Decimal[],
  longest: number,
): Automaton | Unspellable | null {
  const lower: Bound | null = low === null ? null : positional(low);
  const upper: Bound | null = high === null ? null : positional(high);
  const steps: Step[] = [];
  for (const value of multiple === null ? not : [multiple, ...not]) {
    const step = stepOf(value);
    if (typeof step === 'string') return step;
    steps.push(step);
  }
  const places = multiple === null ? Infinity : steps[0].places;
  const counted = steps.length > 0 ? Math.max(...steps.map((step) => step.places)) : 0;
  const finest = Math.max(MOST_FRACTION, (lower?.fraction.length ?? 0) + 17, (upper?.fraction.length ?? 0) + 17);
  const most = upper === null ? longest : Math.min(longest, upper.whole.length);
  const count = Math.max(lower?.whole.length ?? 0, most);

  // A state: phase (0 nothing, 1 a lone zero, 2 digits, 3 the point, 4 fraction), digits before the point (all digits where some steps are not to be
  // multiples of: a reader keeps only so many), standing against both bounds,
  // fraction digits that agreed with each, whether a digit was not zero, fraction digits counted for steps, remainder for each step (or -1: beyond its places).
  type State = readonly number[];
  const step = (state: State, digitValue: number): State | null => {
    const [phase, length, lowSide, lowAt, highSide, highAt, some, counting] = state;
    const nonzero = some === 1 || digitValue > 0 ? 1 : 0;
    const remainders = state.slice(8);
    if (phase === 0 || phase === 2) {
      if (length >= count) return null;
      const against = (bound: Bound | null, side: number): number => {
        if (bound === null || side !== SAME || length >= bound.whole.length) return side;
        return Math.sign(digitValue - Number(bound.whole[length]));
      };
      const rest = remainders.map((value, i) => (value * 10 + digitValue) % steps[i].by);
      const nextPhase = phase === 0 && digitValue === 0 ? 1 : 2;
      return [
        nextPhase,
        length + 1,
        against(lower, lowSide),
        lowAt,
        against(upper, highSide),
        highAt,
        nonzero,
        counting,
        ...rest,
      ];
    }
    if (phase === 1) return null;
    const after = (bound: Bound | null, side: number, at: number): [number, number] => {
      if (bound === null || side !== SAME) return [side, 0];
      const wanted = at < bound.fraction.length ? Number(bound.fraction[at]) : 0;
      if (digitValue === wanted) return [SAME, Math.min(at + 1, bound.fraction.length)];
      return [Math.sign(digitValue - wanted), 0];
    };
    if (counting >= places || (steps.length === 0 && counting >= finest)) return null;
    if (not.length > 0 && length >= EXACT_DIGITS) return null;
    const rest = remainders.map((value, i) => {
      if (counting >= steps[i].places) return digitValue > 0 || value < 0 ? -1 : value;
      return (value * 10 + digitValue) % steps[i].by;
    });
    const [ls, la] = after(lower, lowSide, lowAt);
    const [hs, ha] = after(upper, highSide, highAt);
    return [
      4,
      not.length > 0 ? length + 1 : 0,
      ls,
      la,
      hs,
      ha,
      nonzero,
      steps.length === 0 ? counting + 1 : Math.min(counting + 1, Math.max(counted, 1)),
      ...rest,
    ];
  };
  /** At the end of the digits before the point, the count of digits decides. */
  const settled = (state: State): State => {
    const [phase, length, lowSide, , highSide, , some, counting, ...rest] = state;
    if (phase > 2) return state;
    const side = (bound: Bound | null, now: number): number =>
      bound === null ? SAME : length < bound.whole.length ? LESS : length > bound.whole.length ? MORE : now;
    return [3, not.length > 0 ? length : 0, side(lower, lowSide), 0, side(upper, highSide), 0, some, counting, ...rest];
  };
  const isFinal = (state: State): boolean => {
    if (state[0] === 0 || state[0] === 3) return false;
    const [, , lowSide, lowAt, highSide, , some, counting, ...rest] = settled(state);
    if (some === 0 && !zero) return false;
    if (lower !== null && (lowSide === LESS || (lowSide === SAME && lowAt < lower.fraction.length))) return false;
    if (upper !== null && highSide === MORE) return false;
    return steps.every(({ by, places: all }, i) => {
      let value = rest[i];
      for (let at = Math.min(counting, all); at < all && value > 0; at++) value = (value * 10) % by;
      return (value === 0) === (multiple !== null && i === 0);
    });
  };

  const first: State = [0, 0, SAME, 0, SAME, 0, 0, 0, ...steps.map(() => 0)];
  const ids = new Map<string, number>([[first.join(), 0]]);
  const states: State[] = [first];
  const rows: number[] = [];
  const finals: number[] = [];
  const enter = (state: State | null): number => {
    if (state === null) return -1;
    const key = state.join();
    let id = ids.get(key);
    if (id === undefined) {
      id = states.length;
      ids.set(key, id);
      states.push(state);
    }
    return id;
  };
  for (let s = 0; s < states.length; s++) {
    if (states.length > MOST_STATES) return 'needs an automaton of too many states to be enforced';
    for (let value = 0; value < 10; value++) rows.push(enter(step(states[s], value)));
    const phase = states[s][0];
    rows.push((phase === 1 || phase === 2) && places > 0 ? enter(settled(states[s])) : -1);
    finals.push(isFinal(states[s]) ? 1 : 0);
  }
  if (!finals.includes(1)) return null;
  // Columns are the ten digits and the point.
  const fewest = minimalTable(Int32Array.from(rows), 11, Uint8Array.from(finals));
  const next = new Int32Array(fewest.final.length * 256).fill(-1);
  for (let s = 0; s < fewest.final.length; s++) {
    for (let value = 0; value < 10; value++) next[s * 256 + 48 + value] = fewest.next[s * 11 + value];
    next[s * 256 + 46] = fewest.next[s * 11 + 10];
  }
  return { next, final: fewest.final };
}
