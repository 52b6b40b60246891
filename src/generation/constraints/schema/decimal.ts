/** Exact decimals: the numbers of JSON texts, before a reader rounds them to doubles. */

/** digits x 10^exponent, without trailing zeros in digits; zero is 0 x 10^0. */
export interface Decimal {
  readonly digits: bigint;
  readonly exponent: number;
}

export const ZERO: Decimal = { digits: 0n, exponent: 0 };
export const ONE: Decimal = { digits: 1n, exponent: 0 };

function reduced(digits: bigint, exponent: number): Decimal {
  if (digits === 0n) return ZERO;
  let d = digits;
  let e = exponent;
  while (d % 10n === 0n) {
    d /= 10n;
    e++;
  }
  return { digits: d, exponent: e };
}

/** The shortest decimal that reads as this double: what JSON.stringify writes. */
export function decimalOf(value: number): Decimal {
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value));
  if (match === null) throw new RangeError(`${value} is not a finite number`);
  const fraction = match[3] ?? '';
  const digits = BigInt(match[2] + fraction);
  return reduced(match[1] === '-' ? -digits : digits, Number(match[4] ?? 0) - fraction.length);
}

/** Both as integers over one power of ten. Exponents are those of doubles, so the integers have at most some 650 digits. */
function aligned(a: Decimal, b: Decimal): { a: bigint; b: bigint; exponent: number } {
  const exponent = Math.min(a.exponent, b.exponent);
  return {
    a: a.digits * 10n ** BigInt(a.exponent - exponent),
    b: b.digits * 10n ** BigInt(b.exponent - exponent),
    exponent,
  };
}

export function compare(a: Decimal, b: Decimal): number {
  const both = aligned(a, b);
  return both.a < both.b ? -1 : both.a > both.b ? 1 : 0;
}

export function negative(a: Decimal): Decimal {
  return a.digits === 0n ? a : { digits: -a.digits, exponent: a.exponent };
}

/** Whether a is an integer times b (b > 0). */
export function isMultiple(a: Decimal, b: Decimal): boolean {
  const both = aligned(a, b);
  return both.a % both.b === 0n;
}

/** The least decimal that is a multiple of both (both > 0). */
export function leastCommonMultiple(a: Decimal, b: Decimal): Decimal {
  const both = aligned(a, b);
  let x = both.a;
  let y = both.b;
  while (y !== 0n) [x, y] = [y, x % y];
  return reduced((both.a / x) * both.b, both.exponent);
}

/** The least multiple of b that is at least a. */
export function ceilingMultiple(a: Decimal, b: Decimal): Decimal {
  const both = aligned(a, b);
  let quotient = both.a / both.b;
  if (quotient * both.b < both.a) quotient++;
  return reduced(quotient * both.b, both.exponent);
}

/** The digits before and after the point, of an absolute value. */
export function positional(a: Decimal): { whole: string; fraction: string } {
  const digits = (a.digits < 0n ? -a.digits : a.digits).toString();
  if (a.exponent >= 0) return { whole: digits + '0'.repeat(a.digits === 0n ? 0 : a.exponent), fraction: '' };
  const places = -a.exponent;
  const padded = digits.padStart(places + 1, '0');
  return { whole: padded.slice(0, padded.length - places), fraction: padded.slice(padded.length - places) };
}

const view = new DataView(new ArrayBuffer(8));

/** The next double above. */
export function nextUp(value: number): number {
  if (value === 0) return Number.MIN_VALUE;
  if (!Number.isFinite(value)) return value;
  view.setFloat64(0, value);
  view.setBigInt64(0, view.getBigInt64(0) + (value > 0 ? 1n : -1n));
  return view.getFloat64(0);
}

/** The next double below. */
export function nextDown(value: number): number {
  return -nextUp(-value);
}

/** The double that a decimal reads as. */
export function doubleOf(a: Decimal): number {
  return Number(`${a.digits}e${a.exponent}`);
}
