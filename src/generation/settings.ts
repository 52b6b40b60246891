/**
 * How a request becomes a complete, checked set of settings: defaults < generation_config.json < request. Every name of the field is
 * known: what this version cannot do is refused by name unless it is given at a value that means "off". Nothing that the user
 * asked for is ignored.
 *
 * Where Hugging Face's `generate` only warns, this refuses: a setting of sampling in a request without sampling is an error, unless
 * it stands at its default. The settings of sampling in a file simply wait for do_sample.
 */
import { CapacityError, SettingError } from '../errors.ts';
import { drawSeed } from './random.ts';
import { type SettingSpec, settingSpec, settingTable } from './setting_table.ts';
import { asList, findSetting, isNeutral, problemWith } from './setting_values.ts';
import type { GenerationSettings } from './types.ts';

export { type SettingGroup, type SettingKind, type SettingSpec, settingSpec, settingTable } from './setting_table.ts';
export { parseSetting } from './setting_values.ts';

/** What settings depend on in a model. */
export interface SettingsModel {
  /** Tokens that fit its context. */
  readonly n_positions: number;
  readonly vocab_size: number;
  /** The end of a text by the model's other files, where neither generation_config.json nor the request names one. */
  readonly eos_token_id?: number | readonly number[] | null;
}

export interface ResolvedSettings {
  readonly settings: GenerationSettings;
  /** What generation_config.json says that was left aside, and why: one line each, for whoever wants to know. */
  readonly ignored: readonly string[];
}

type Values = Readonly<Record<string, unknown>>;

/**
 * @param given the request. null and undefined mean "not given".
 * @param defaults the content of generation_config.json. Its keys that are no settings of generation, settings that change no token,
 *   token ids that the vocabulary does not have, and a max_length that the prompt has used up already are left aside, and
 *   said so in `ignored`; any other setting that cannot be done is refused, unless the request overrides it.
 * @param fallbackNewTokens new tokens when nobody says how many, as far as the context goes: 20 in the field's `generate`, 256 in its
 *   pipelines.
 * @throws SettingError for a setting that is unknown, of the wrong kind, out of range, contradictory, not supported, or beyond the context;
 *   CapacityError when the prompt alone fills the context.
 */
export function resolveSettings(
  given: Values,
  defaults: Values,
  model: SettingsModel,
  promptLength: number,
  fallbackNewTokens = 20,
): ResolvedSettings {
  for (const [name, value] of Object.entries(given)) {
    const spec = findSetting(name, value);
    const problem = isGiven(given, name) ? problemWith(spec, value, model.vocab_size) : null;
    if (problem) throw new SettingError(name, value, problem);
  }
  const ignored: string[] = [];
  const isSampling = (isGiven(given, 'do_sample') ? given : defaults).do_sample === true;
  const file = readFile(given, defaults, model.vocab_size, isSampling, ignored);
  const resolve = (name: string): unknown =>
    isGiven(given, name) ? given[name] : (file[name] ?? settingSpec(name)!.default);
  if (!isSampling) refuseSampling(given);

  const settings = {
    ...Object.fromEntries(
      settingTable
        .filter((spec) => spec.supported !== false && spec.name !== 'max_length')
        .map((spec) => [spec.name, spec.sampling && !isSampling ? spec.default : resolve(spec.name)]),
    ),
    max_new_tokens: countNewTokens(given, file, model.n_positions, promptLength, fallbackNewTokens, ignored),
    eos_token_id: asList(resolve('eos_token_id') ?? model.eos_token_id ?? []),
    suppress_tokens: asList(resolve('suppress_tokens')),
    begin_suppress_tokens: asList(resolve('begin_suppress_tokens')),
    forced_eos_token_id: asList(resolve('forced_eos_token_id')),
    stop_strings: asList(resolve('stop_strings')),
    seed: resolve('seed') ?? drawSeed(),
    // The table makes each of these what its kind says.
  } as unknown as GenerationSettings;
  refuseContradictions(settings, promptLength, (name) => !isGiven(given, name) && name in file);
  return { settings, ignored };
}

function isGiven(values: Values, name: string): boolean {
  return Object.hasOwn(values, name) && values[name] !== null && values[name] !== undefined;
}

const FILE = 'generation_config.json';

/** The settings in generation_config.json that the request leaves to it, checked. */
function readFile(given: Values, defaults: Values, vocabulary: number, isSampling: boolean, ignored: string[]): Values {
  const file: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(defaults)) {
    const spec = settingSpec(name);
    if (!spec) ignored.push(`${name}: is not a setting of generation`);
    if (!spec || !isGiven(defaults, name) || isGiven(given, name)) continue;
    if (spec.sampling && !isSampling) continue;
    if (spec.harmless) {
      if (!isNeutral(spec, value)) ignored.push(`${name}: changes no token`);
      continue;
    }
    const known = withoutUnknownIds(spec, value, vocabulary);
    if (known !== value) ignored.push(`${name}: has token ids outside the vocabulary of ${vocabulary}`);
    if (known === undefined) continue;
    const problem = problemWith(spec, known, vocabulary);
    if (problem) throw new SettingError(name, value, `${problem}. It stands in ${FILE}${wayOut(spec)}`);
    if (spec.supported !== false) file[name] = known;
  }
  return file;
}

/** How a request goes without what a file asks for. */
function wayOut({ name, supported, default: initial, neutral = [] }: SettingSpec): string {
  if (supported !== false) return `; a request may give another ${name}`;
  const off = [initial, ...neutral].find((value) => value !== null);
  return off === undefined ? '' : `; give ${name} ${JSON.stringify(off)} to go without`;
}

/** Ids beyond the vocabulary, which files made for a larger one have, can neither be written nor end anything: nothing is lost with them. */
function withoutUnknownIds({ name, kind }: SettingSpec, value: unknown, vocabulary: number): unknown {
  const isOutside = (id: unknown): boolean =>
    Number.isInteger(id) && ((id as number) < 0 || (id as number) >= vocabulary);
  if (name.startsWith('forced_') || !['id', 'ids', 'idLists'].includes(kind)) return value;
  if (!Array.isArray(value)) return isOutside(value) ? undefined : value;
  const known = value.filter((item) => !asList(item).some(isOutside));
  if (known.length === value.length) return value;
  return known.length > 0 ? known : undefined;
}

function refuseSampling(given: Values): void {
  for (const spec of settingTable) {
    const { name, sampling } = spec;
    if (!sampling || isNeutral(spec, given[name])) continue;
    const problem = isGiven(given, 'do_sample')
      ? `acts only when sampling: give do_sample true instead of false, or leave ${name} out`
      : 'acts only when sampling: give do_sample true as well';
    throw new SettingError(name, given[name], problem);
  }
}

/**
 * How many tokens may be written: by the request's max_new_tokens, else its max_length, else the file's of the same order, else the
 * fallback. What the request asks for has to fit; the rest is cut to what fits.
 */
function countNewTokens(
  given: Values,
  file: Values,
  positions: number,
  promptLength: number,
  fallback: number,
  ignored: string[],
): number {
  const room = positions - promptLength;
  if (room < 1) {
    const hint = `The prompt has ${promptLength} tokens and leaves no room for an answer: shorten it`;
    throw new CapacityError('context', promptLength + 1, positions, 'tokens', hint);
  }
  const refuse = (name: string, count: number, most: number): never => {
    const sum = `${promptLength} tokens of prompt and ${count} new ones, ${positions} in all`;
    throw new SettingError(name, given[name], `exceeds the context: ${sum}. At most ${most} is possible`);
  };
  if (isGiven(given, 'max_new_tokens')) {
    const wanted = given.max_new_tokens as number;
    return wanted <= room ? wanted : refuse('max_new_tokens', wanted, room);
  }
  if (isGiven(given, 'max_length')) {
    const wanted = given.max_length as number;
    if (wanted <= promptLength) {
      throw new SettingError('max_length', wanted, `has to be more than the ${promptLength} tokens of the prompt`);
    }
    return wanted <= positions ? wanted - promptLength : refuse('max_length', wanted - promptLength, positions);
  }
  if (typeof file.max_new_tokens === 'number') return Math.min(file.max_new_tokens, room);
  if (typeof file.max_length === 'number') {
    if (file.max_length > promptLength) return Math.min(file.max_length - promptLength, room);
    ignored.push(`max_length: ${file.max_length} is not more than the ${promptLength} tokens of the prompt`);
  }
  return Math.min(fallback, room);
}

function refuseContradictions(
  settings: GenerationSettings,
  promptLength: number,
  isFromFile: (name: string) => boolean,
): void {
  const refuse = (name: keyof GenerationSettings, problem: string): never => {
    throw new SettingError(name, settings[name], `${problem}${isFromFile(name) ? `. It stands in ${FILE}` : ''}`);
  };
  const { max_new_tokens, min_new_tokens, min_length, num_return_sequences, do_sample } = settings;
  if (min_new_tokens > max_new_tokens) refuse('min_new_tokens', `is more than max_new_tokens, ${max_new_tokens}`);
  if (min_length > promptLength + max_new_tokens) {
    refuse('min_length', `is more than prompt and max_new_tokens together, ${promptLength} + ${max_new_tokens}`);
  }
  if (num_return_sequences > 1 && !do_sample) {
    refuse('num_return_sequences', 'needs do_sample true: with do_sample false all answers would be the same');
  }
}
