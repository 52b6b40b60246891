/** Axes: which values there are, where they lie, and at which of them a reader wants a tick. */

/** What numbers of an axis mean, and so how ticks are chosen and written. */
export type Unit = 'number' | 'count' | 'seconds' | 'bytes' | 'share';

export interface AxisOptions {
  /** `log` shows values above 0 alone. */
  readonly scale?: 'linear' | 'log';
  readonly unit?: Unit;
  /** Ends of the axis; by default those of the values. */
  readonly min?: number;
  readonly max?: number;
  readonly label?: string;
}

export interface Axis {
  readonly min: number;
  readonly max: number;
  readonly isLog: boolean;
  readonly unit: Unit;
  /** Where a value lies, 0 at `min` and 1 at `max`; NaN for what cannot be shown. */
  place(value: number): number;
}

/** The axis of some values. One value alone lies in its middle. */
export function makeAxis(values: Iterable<number>, options: AxisOptions = {}): Axis {
  const { unit = 'number' } = options;
  const isLog = options.scale === 'log';
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (!Number.isFinite(value) || (isLog && value <= 0)) continue;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  if (min > max) [min, max] = isLog ? [1, 10] : [0, 1];
  min = usable(options.min, isLog) ?? Math.min(min, usable(options.max, isLog) ?? min);
  max = Math.max(min, usable(options.max, isLog) ?? max);
  // Values far from 0 and close together may have the same logarithm.
  if (min === max || (isLog && Math.log(min) === Math.log(max))) {
    const around = Math.abs(min) * 0.1 || 1;
    [min, max] = isLog ? [min / 1.5, max * 1.5] : [min - around, max + around];
    // The greatest numbers have no room above them.
    [min, max] = [Math.max(min, -Number.MAX_VALUE), Math.min(max, Number.MAX_VALUE)];
  }
  const [low, high] = isLog ? [Math.log(min), Math.log(max)] : [min, max];
  const place = (value: number): number => {
    if (isLog) return value > 0 ? (Math.log(value) - low) / (high - low) : Number.NaN;
    return (value - low) / (high - low);
  };
  return { min, max, isLog, unit, place };
}

function usable(value: number | undefined, isLog: boolean): number | undefined {
  return value !== undefined && Number.isFinite(value) && (!isLog || value > 0) ? value : undefined;
}

/** At most `most` round values on an axis, from low to high; at least one where a round value lies on it. */
export function ticks(axis: Axis, most: number): number[] {
  if (most < 1) return [];
  if (axis.isLog) {
    const choices = [[1, 2, 5], [1, 3], [1]].map((digits) => logTicks(axis, digits));
    if (axis.unit === 'seconds') choices.unshift(inside(axis, TIMES), inside(axis, ROUND_TIMES));
    const found = choices.find(({ length }) => length >= 2 && length <= most);
    if (found) return found;
    const decades = choices.at(-1)!;
    if (decades.length > most) {
      const every = Math.ceil(decades.length / most);
      return decades.filter((_, i) => i % every === 0);
    }
    // Less than a decade: steps of equal size say more.
  }
  const { min, max, unit } = axis;
  const step = roundStep(
    (max - min) / most,
    unit,
    (size) => Math.floor(max / size) - Math.ceil(min / size) + 1 <= most,
  );
  if (step === undefined) return [];
  const found: number[] = [];
  const first = Math.ceil(min / step);
  // Of numbers far from 0 and close together, several may be the same in binary.
  for (let i = 0; i < most; i++) {
    // 3 * 0.1 is not 0.3 in binary.
    const value = Number(((first + i) * step).toPrecision(12));
    if (value >= min && value <= max && value !== found.at(-1)) found.push(value === 0 ? 0 : value);
  }
  return found;
}

function inside({ min, max }: Axis, values: readonly number[]): number[] {
  return values.filter((value) => value >= min && value <= max);
}

function logTicks(axis: Axis, digits: readonly number[]): number[] {
  const { min, max } = axis;
  const found: number[] = [];
  for (let power = Math.floor(Math.log10(min)); power <= Math.ceil(Math.log10(max)); power++) {
    for (const digit of digits) {
      found.push(Number(`${digit}e${power}`));
    }
  }
  return inside(axis, found);
}

/** Seconds that people count by. */
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200];

/** Times on a logarithmic axis, closer and wider. */
const TIMES = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 18000, 43200, 86400, 172800, 432000, 864000];
const ROUND_TIMES = [1, 10, 60, 600, 3600, 36000, 86400, 864000];

/** The least round step of at least `least` that `fits`. */
function roundStep(least: number, unit: Unit, fits: (step: number) => boolean): number | undefined {
  if (!(least > 0) || !Number.isFinite(least)) return undefined;
  if (unit === 'seconds' && least > 0.5) {
    const found = TIME_STEPS.find((step) => step >= least && fits(step));
    if (found) return found;
    const days = roundStep(least / 86400, 'number', (step) => fits(Math.max(1, step) * 86400)) ?? 1;
    return Math.max(1, days) * 86400;
  }
  const power = Math.floor(Math.log10(least));
  for (let exponent = power; exponent <= power + 2; exponent++) {
    for (const digit of [1, 2, 5]) {
      const step = Number(`${digit}e${exponent}`);
      if (step >= least * (1 - 1e-9) && fits(step) && (unit !== 'count' || step >= 1)) return step;
    }
  }
  return unit === 'count' && least < 1 ? 1 : undefined;
}

/** The labels of ticks, all with the same number of decimals. */
export function tickLabels(values: readonly number[], unit: Unit): string[] {
  if (unit !== 'number') return values.map((value) => written(value, unit));
  const most = Math.max(...values.map(Math.abs));
  const gaps = values.slice(1).map((value, i) => value - values[i]);
  const step = gaps.length > 0 ? Math.min(...gaps) : most;
  if (most >= 1e5 || most < 1e-2) return values.map((value) => written(value, unit));
  // Ticks of a logarithmic axis may span decades: each is as long as it has to be.
  if (gaps.some((gap) => gap > step * 1.5)) return values.map((value) => String(Number(value.toPrecision(6))));
  const decimals = Math.min(8, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  return values.map((value) => value.toFixed(decimals));
}

/** A number in the words of its unit, short: "1.5k", "3e-4", "2m 30s", "1.2 GB", "45%". */
export function written(value: number, unit: Unit = 'number'): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '-∞';
  switch (unit) {
    case 'seconds':
      return clock(value);
    case 'bytes':
      return value >= 1000 ? `${short(value, ['B', 'kB', 'MB', 'GB', 'TB', 'PB'])}` : `${Math.round(value)} B`;
    case 'share':
      return `${Number((value * 100).toPrecision(3))}%`;
    case 'count':
      return short(value, ['', 'k', 'M', 'B', 'T', 'Q']);
    default: {
      const size = Math.abs(value);
      if (size >= 1e5) return size < 1e15 ? short(value, ['', 'k', 'M', 'B', 'T']) : exponential(value);
      return size !== 0 && size < 1e-2 ? exponential(value) : String(Number(value.toPrecision(4)));
    }
  }
}

/** "3e-4", "9.77e-4". */
function exponential(value: number): string {
  const [digits, power] = value.toExponential(2).split('e');
  return `${Number(digits)}e${Number(power)}`;
}

function short(value: number, names: readonly string[]): string {
  let size = Math.abs(value);
  let at = 0;
  while (size >= 999.5 && at < names.length - 1) {
    size /= 1000;
    at++;
  }
  const digits = String(Number(size.toPrecision(size >= 999.5 ? 15 : 3)));
  return `${value < 0 ? '-' : ''}${digits}${names[at].length > 1 || (names[at] === 'B' && names[0] === 'B') ? ' ' : ''}${names[at]}`;
}

/** "45s", "2m 30s", "1h 30m", "2d 4h": at most two parts, none of them 0. */
function clock(seconds: number): string {
  if (seconds < 0) return `-${clock(-seconds)}`;
  if (seconds < 10 && !Number.isInteger(seconds)) return `${Number(seconds.toPrecision(2))}s`;
  const whole = Math.round(seconds);
  const parts: [number, string][] = [
    [Math.floor(whole / 86400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'm'],
    [whole % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return '0s';
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, name]) => `${count}${name}`)
    .join(' ');
}
