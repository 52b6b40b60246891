/** The settings of a sweep as they stand on the command line: lists with commas, ranges with two dots, flags that repeat. */
import type { Axis } from '../experiments/space.ts';
import { parseSetting, type SettingSpec, settingTable } from '../generation/settings.ts';

export interface SweepAxes {
  /** Settings with several values, or a range. */
  readonly vary: Readonly<Record<string, Axis>>;
  /** Settings with one value. */
  readonly settings: Readonly<Record<string, unknown>>;
}

const RANGE = /^([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\.\.([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)$/i;

/**
 * @param flags of each setting what was given, as often as it was. Only numbers, truths and names are split at commas: of the others, whose
 *   values have commas of their own, a repeated flag gives several.
 * @throws SettingError for a text that is no value of its setting.
 */
export function readAxes(flags: Readonly<Record<string, unknown>>): SweepAxes {
  const vary: Record<string, Axis> = {};
  const settings: Record<string, unknown> = {};
  for (const spec of settingTable) {
    const given = flags[spec.name];
    if (!Array.isArray(given)) continue;
    const axis = readAxis(spec, given as readonly string[]);
    if (Array.isArray(axis) && axis.length === 1) settings[spec.name] = axis[0];
    else vary[spec.name] = axis;
  }
  return { vary, settings };
}

function readAxis({ name, kind }: SettingSpec, texts: readonly string[]): Axis {
  const isSplit = ['number', 'integer', 'boolean', 'id', 'oneOf'].includes(kind);
  const isNumber = kind === 'number' || kind === 'integer';
  const range = isNumber && texts.length === 1 ? RANGE.exec(texts[0].trim()) : null;
  if (range) return { min: Number(range[1]), max: Number(range[2]) };
  const parts = isSplit ? texts.flatMap((text) => text.split(',')) : texts;
  return parts.map((text) => parseSetting(name, text));
}
