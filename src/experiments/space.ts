/** Which settings a sweep tries: the grid of some lists, points drawn from lists and ranges, or those that win round after round. */
import { SettingError } from '../errors.ts';
import { uniform } from '../generation/random.ts';
import { settingSpec } from '../generation/settings.ts';

/** Values of one setting: a list of them, or all between two numbers. */
export type Axis = readonly unknown[] | { readonly min: number; readonly max: number };
export type Axes = Readonly<Record<string, Axis>>;
export type CellSettings = Readonly<Record<string, unknown>>;

export type Search = 'grid' | 'random' | 'halving';

/** More cells than anyone reads, and fewer than would fill the memory. */
const MOST_CELLS = 10_000;
const STREAM = 2 ** 42;

export function isRange(axis: Axis): axis is { readonly min: number; readonly max: number } {
  return !Array.isArray(axis);
}

/**
 * The cells of a search, each once.
 * @param samples cells that are drawn where there are ranges, or where the search is random.
 * @throws SettingError for an axis that is empty, a range that is none, a range in a grid, and too many cells.
 */
export function cellsOf(
  axes: Axes,
  fixed: CellSettings,
  search: Search,
  samples: number,
  seed: number,
): CellSettings[] {
  for (const [name, axis] of Object.entries(axes)) checkAxis(name, axis, search);
  if ('max_length' in axes && ('max_new_tokens' in axes || 'max_new_tokens' in fixed)) {
    throw new SettingError('max_length', axes.max_length, 'changes nothing beside max_new_tokens: give one of them');
  }
  const isDrawn = search === 'random' || Object.values(axes).some(isRange);
  const points = isDrawn ? draw(axes, samples, seed) : grid(axes);
  const cells = new Map<string, CellSettings>();
  for (const point of points) {
    const cell = withoutIdle({ ...fixed, ...point }, axes);
    cells.set(JSON.stringify(cell), cell);
  }
  return [...cells.values()];
}

function checkAxis(name: string, axis: Axis, search: Search): void {
  const spec = settingSpec(name);
  if (name === 'seed' || name === 'num_return_sequences') {
    throw new SettingError(name, axis, 'is not for a sweep: every cell gets the same seeds, as many as `seeds` says');
  }
  if (!isRange(axis)) {
    if (axis.length === 0) throw new SettingError(name, axis, 'has no value to try');
    return;
  }
  const { min, max } = axis;
  if (!Number.isFinite(min) || !Number.isFinite(max) || min > max) {
    throw new SettingError(name, `${min}..${max}`, 'has to be a range from a number to one that is not less');
  }
  if (spec && spec.kind !== 'number' && spec.kind !== 'integer') {
    throw new SettingError(name, `${min}..${max}`, 'is no number: give a list of values');
  }
  if (search === 'grid') {
    throw new SettingError(
      name,
      `${min}..${max}`,
      'is a range: a grid needs lists; search random or halving draws from it',
    );
  }
}

function grid(axes: Axes): CellSettings[] {
  let cells: CellSettings[] = [{}];
  for (const [name, axis] of Object.entries(axes)) {
    const values = axis as readonly unknown[];
    if (cells.length * values.length > MOST_CELLS) {
      throw new SettingError(name, values, `makes more than ${MOST_CELLS} cells: give fewer values, or search random`);
    }
    cells = cells.flatMap((cell) => values.map((value) => ({ ...cell, [name]: value })));
  }
  return cells;
}

function draw(axes: Axes, samples: number, seed: number): CellSettings[] {
  const names = Object.keys(axes);
  return Array.from({ length: samples }, (_, i) =>
    Object.fromEntries(
      names.map((name, d) => {
        const axis = axes[name];
        const u = uniform(seed, STREAM, i, d);
        if (!isRange(axis)) return [name, axis[Math.floor(u * axis.length)]];
        const { min, max } = axis;
        const isWhole = settingSpec(name)?.kind === 'integer';
        const value = isWhole
          ? Math.min(Math.floor(max), Math.ceil(min) + Math.floor(u * (Math.floor(max) - Math.ceil(min) + 1)))
          : Number((min + u * (max - min)).toPrecision(4));
        return [name, value];
      }),
    ),
  );
}

/** What a cell without sampling would ignore is not part of it: such cells are one. */
function withoutIdle(cell: CellSettings, axes: Axes): CellSettings {
  if (cell.do_sample !== false) return cell;
  return Object.fromEntries(Object.entries(cell).filter(([name]) => !(name in axes && settingSpec(name)?.sampling)));
}

/** One round of successive halving: so many of the best cells, each with so many seeds. */
export interface Round {
  readonly cells: number;
  readonly seeds: number;
}

/**
 * Rounds of successive halving (Jamieson & Talwalkar 2016): half of the cells go, those that stay get twice the seeds, until all seeds
 * are used. The first round has two seeds at least, so that answers can be compared with each other.
 */
export function halvingRounds(cells: number, seeds: number): Round[] {
  const most = Math.max(0, Math.floor(Math.log2(Math.max(1, cells))));
  const count = Math.min(most, Math.max(0, Math.floor(Math.log2(seeds / 2))));
  return Array.from({ length: count + 1 }, (_, r) => ({
    cells: Math.ceil(cells / 2 ** r),
    seeds: Math.ceil(seeds / 2 ** (count - r)),
  }));
}
