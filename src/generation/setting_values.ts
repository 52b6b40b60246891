/** Single values of settings: whether one is possible, and how a text becomes one. */
import { SettingError } from '../errors.ts';
import { nearestNames } from '../nearest.ts';
import { type SettingSpec, settingSpec, settingTable } from './setting_table.ts';

/** The row of a setting. @throws SettingError with the nearest names when there is none. */
export function findSetting(name: string, value: unknown): SettingSpec {
  const spec = settingSpec(name);
  if (spec) return spec;
  const nearest = nearestNames(
    name,
    settingTable.map((row) => row.name),
  );
  const hint = nearest.length > 0 ? `. Did you mean ${nearest.join(' or ')}?` : '';
  throw new SettingError(name, value, `is not a setting of generation${hint}`);
}

/** Whether a value means that the setting is as if it were not there. */
export function isNeutral(spec: SettingSpec, value: unknown): boolean {
  return [null, undefined, spec.default, ...(spec.neutral ?? [])].some((neutral) =>
    Array.isArray(neutral) ? Array.isArray(value) && value.length === 0 && neutral.length === 0 : neutral === value,
  );
}

/** What is wrong with a value, as the end of a sentence that begins with the setting; null when it is possible. */
export function problemWith(spec: SettingSpec, value: unknown, vocabulary: number): string | null {
  const isId = (x: unknown): boolean => isWhole(x) && x >= 0 && x < vocabulary;
  const isWord = (x: unknown): boolean => Array.isArray(x) && x.length > 0 && x.every(isId);
  const range = `from 0 to ${vocabulary - 1}`;
  switch (spec.kind) {
    case 'boolean':
      return typeof value === 'boolean' ? null : 'has to be true or false';
    case 'number':
    case 'integer':
      return problemWithNumber(spec, value);
    case 'id':
      return isId(value) ? null : `has to be a token id ${range}`;
    case 'ids':
      return asList(value).every(isId) ? null : `has to be token ids ${range}`;
    case 'idLists':
      return Array.isArray(value) && value.every(isWord) ? null : `has to be a list of lists of token ids ${range}`;
    case 'strings':
      return asList(value).every((text) => typeof text === 'string' && text !== '')
        ? null
        : 'has to be texts that are not empty';
    case 'biases': {
      const isBias = (x: unknown): boolean => typeof x === 'number' && Math.abs(x) <= 1e30;
      const isPair = (x: unknown): boolean => Array.isArray(x) && x.length === 2 && isWord(x[0]) && isBias(x[1]);
      return Array.isArray(value) && value.every(isPair)
        ? null
        : `has to be a list of [[token ids ${range}], number of at most 1e30]`;
    }
    case 'decay': {
      const [start, factor] = Array.isArray(value) && value.length === 2 ? value : [];
      const isFactor = typeof factor === 'number' && factor > 0 && factor <= 1e6;
      return isWhole(start) && start >= 0 && isFactor
        ? null
        : 'has to be [whole number of new tokens, factor above 0 and at most 1000000]';
    }
    default:
      return isNeutral(spec, value) ? null : 'is not supported in this version';
  }
}

function problemWithNumber(spec: SettingSpec, value: unknown): string | null {
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY, above, below, kind, name } = spec;
  const isInside =
    typeof value === 'number' &&
    Number.isFinite(value) &&
    (kind !== 'integer' || Number.isInteger(value)) &&
    (above ? value > min : value >= min) &&
    (below ? value < max : value <= max);
  if (isInside) return null;
  const hint = name === 'temperature' && value === 0 ? '. For the most probable token always, use do_sample false' : '';
  const lower = above ? `above ${min}` : `${min} or more`;
  const upper = max === Number.POSITIVE_INFINITY ? '' : below ? ` and below ${max}` : ` and at most ${max}`;
  return `has to be ${kind === 'integer' ? 'a whole number' : 'a number'}, ${lower}${upper}${hint}`;
}

export function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [value];
}

function isWhole(x: unknown): x is number {
  return typeof x === 'number' && Number.isInteger(x);
}

/**
 * A setting as it stands on a command line. `none` and `null` mean "not given". Lists are JSON; token ids may also stand as `1,2,3`; a
 * stop string stands as it is, several as a JSON list.
 * @throws SettingError for a name that is unknown and a text that is not of the setting's kind.
 */
export function parseSetting(name: string, text: string): unknown {
  const spec = findSetting(name, text);
  const plain = text.trim();
  if (plain === 'none' || plain === 'null') return null;
  switch (spec.kind) {
    case 'boolean':
      if (/^(true|1)$/i.test(plain)) return true;
      if (/^(false|0)$/i.test(plain)) return false;
      throw new SettingError(name, text, 'has to be true or false');
    case 'number':
    case 'integer':
    case 'id':
      if (/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(plain)) return Number(plain);
      throw new SettingError(name, text, `has to be a ${spec.kind === 'number' ? 'number' : 'whole number'}`);
    case 'ids':
      if (/^\d+(\s*,\s*\d+)*$/.test(plain)) return plain.split(',').map(Number);
      return parseJson(name, plain, 'token ids, 1,2,3');
    case 'idLists':
    case 'biases':
    case 'decay':
      return parseJson(name, plain, 'a list in JSON');
    case 'strings':
      // "[INST]" is a stop string, not a list.
      return plain.startsWith('[') ? (tryJson(plain) ?? text) : text;
    default:
      return tryJson(plain) ?? text;
  }
}

function parseJson(name: string, text: string, wanted: string): unknown {
  const value = tryJson(text);
  if (value === undefined) throw new SettingError(name, text, `has to be ${wanted}`);
  return value;
}

/** The value of a JSON text, or undefined when it is none. */
function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
