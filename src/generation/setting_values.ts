/** Single values of settings: whether one is possible, and how a text becomes one. */
import { SettingError } from '../errors.ts';
import { nearestNames } from '../nearest.ts';
import { type SettingSpec, settingSpec, settingTable } from './setting_table.ts';
import { problemWithWatermark } from './watermark/config.ts';

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
  const isWord = (x: unknown): boolean => Array.isArray(x) && x.length > 0 && all(x, isId);
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
      return all(asList(value), isId) ? null : `has to be token ids ${range}`;
    case 'idLists':
      return Array.isArray(value) && all(value, isWord) ? null : `has to be a list of lists of token ids ${range}`;
    case 'strings':
      return all(asList(value), (text) => typeof text === 'string' && text !== '')
        ? null
        : 'has to be texts that are not empty';
    case 'biases': {
      const isBias = (x: unknown): boolean => typeof x === 'number' && Math.abs(x) <= 1e30;
      const isPair = (x: unknown): boolean => Array.isArray(x) && x.length === 2 && isWord(x[0]) && isBias(x[1]);
      return Array.isArray(value) && all(value, isPair)
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
    case 'oneOf': {
      const values = spec.values ?? [];
      return values.includes(value) ? null : `has to be ${values.map((each) => JSON.stringify(each)).join(' or ')}`;
    }
    case 'words': {
      const isEither = (x: unknown): boolean => isWord(x) || (Array.isArray(x) && x.length > 0 && all(x, isWord));
      return Array.isArray(value) && all(value, isEither)
        ? null
        : `has to be a list of lists of token ids ${range}, or of lists of such lists`;
    }
    case 'constraints': {
      const keys = (x: object): string => Object.keys(x).join();
      const isOne = (x: unknown): boolean => {
        if (typeof x !== 'object' || x === null) return false;
        if (keys(x) === 'phrase') return isWord((x as { phrase: unknown }).phrase);
        const { any } = x as { any?: unknown };
        return keys(x) === 'any' && Array.isArray(any) && any.length > 0 && all(any, isWord);
      };
      return Array.isArray(value) && all(value, isOne)
        ? null
        : `has to be a list of {"phrase": [token ids ${range}]} or {"any": [[token ids], …]}`;
    }
    case 'layers':
      return value === 'low' || value === 'high' || (Array.isArray(value) && all(value, (x) => isWhole(x) && x >= 0))
        ? null
        : 'has to be "low", "high" or a list of numbers of layers, 0 for the embeddings';
    case 'structure':
      return problemWithStructure(value);
    case 'watermark':
      return value === false ? null : problemWithWatermark(value);
    default:
      return isNeutral(spec, value) ? null : (spec.refusal ?? 'is not supported in this version');
  }
}

const STRUCTURES = ['json', 'regex', 'grammar', 'choice'] as const;

/** The form of `structured_output`; what its parts say is judged where they are compiled. */
function problemWithStructure(value: unknown): string | null {
  const form = 'has to be an object with one of json, regex, grammar and choice';
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return form;
  const given = value as Record<string, unknown>;
  const known = [...STRUCTURES, 'after', 'whitespace'];
  const unknown = Object.keys(given).find((key) => !(known as string[]).includes(key));
  if (unknown !== undefined) return `${form}; ${JSON.stringify(unknown)} is none of them, nor after or whitespace`;
  if (STRUCTURES.filter((name) => given[name] !== undefined).length !== 1) return form;
  for (const name of ['regex', 'grammar', 'after'] as const) {
    if (given[name] !== undefined && (typeof given[name] !== 'string' || given[name] === '')) {
      return `needs a text that is not empty as ${name}`;
    }
  }
  const { choice, whitespace } = given;
  const isChoice = Array.isArray(choice) && choice.length > 0 && all(choice, (x) => typeof x === 'string' && x !== '');
  if (choice !== undefined && !isChoice) return 'needs a list of texts that are not empty as choice';
  if (whitespace !== undefined && whitespace !== 'none' && whitespace !== 'flexible') {
    return 'needs "none" or "flexible" as whitespace';
  }
  return null;
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

/** As `every`, to which holes are nothing: here they are values that fail, at once. */
function all(list: readonly unknown[], isRight: (item: unknown) => boolean): boolean {
  for (let i = 0; i < list.length; i++) if (!isRight(list[i])) return false;
  return true;
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
    case 'words':
    case 'constraints':
      return parseJson(name, plain, 'a list in JSON');
    case 'structure':
    case 'watermark':
      return parseJson(name, plain, 'an object in JSON');
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
