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
import { presetDefaults, settleSamplers } from './setting_samplers.ts';
import { type SettingSpec, settingSpec, settingTable } from './setting_table.ts';
import { asList, findSetting, isNeutral, problemWith } from './setting_values.ts';
import type { GenerationSettings } from './types.ts';
import { completeWatermark } from './watermark/config.ts';

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
  const preset = presetDefaults(given.preset);
  const filePreset = presetDefaults(isGiven(given, 'preset') ? null : defaults.preset);
  const sampling = [given, preset, defaults, filePreset].find((values) => isGiven(values, 'do_sample'));
  const isSampling = sampling?.do_sample === true;
  const file = readFile(given, defaults, model.vocab_size, isSampling, ignored);
  const resolve = (name: string): unknown =>
    isGiven(given, name) ? given[name] : (preset[name] ?? file[name] ?? filePreset[name] ?? settingSpec(name)!.default);
  if (!isSampling) refuseSampling(given, resolve);

  const settings = {
    ...Object.fromEntries(
      settingTable
        .filter((spec) => spec.supported !== false && spec.name !== 'max_length')
        .map((spec) => [spec.name, waits(spec, isSampling, resolve) ? spec.default : resolve(spec.name)]),
    ),
    max_new_tokens: countNewTokens(given, file, model.n_positions, promptLength, fallbackNewTokens, ignored),
    eos_token_id: asList(resolve('eos_token_id') ?? model.eos_token_id ?? []),
    suppress_tokens: asList(resolve('suppress_tokens')),
    begin_suppress_tokens: asList(resolve('begin_suppress_tokens')),
    forced_eos_token_id: asList(resolve('forced_eos_token_id')),
    stop_strings: asList(resolve('stop_strings')),
    negative_prompt_ids: asList(resolve('negative_prompt_ids')),
    // Neutral values are one value inside.
    penalty_alpha: resolve('penalty_alpha') || null,
    guidance_scale: resolve('guidance_scale') === 1 ? null : resolve('guidance_scale'),
    prompt_lookup_num_tokens: resolve('prompt_lookup_num_tokens') || null,
    dola_layers: asList(resolve('dola_layers')).length === 0 ? null : resolve('dola_layers'),
    top_n_sigma: isSampling && (resolve('top_n_sigma') as number) > 0 ? resolve('top_n_sigma') : null,
    dry_sequence_breakers: asList(resolve('dry_sequence_breakers')),
    watermarking_config: resolve('watermarking_config')
      ? completeWatermark(resolve('watermarking_config') as Values)
      : null,
    seed: resolve('seed') ?? drawSeed(),
    // The table makes each of these what its kind says.
  } as unknown as GenerationSettings;
  refuseContradictions(settings, promptLength, (name) => !isGiven(given, name) && name in file);
  return { settings: settleSamplers(settings, given), ignored };
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

/** Whether a setting of sampling has nothing to do. Contrastive search takes its candidates from top_k without sampling. */
function waits({ name, sampling }: SettingSpec, isSampling: boolean, resolve: (name: string) => unknown): boolean {
  return sampling === true && !isSampling && !(name === 'top_k' && Boolean(resolve('penalty_alpha')));
}

function refuseSampling(given: Values, resolve: (name: string) => unknown): void {
  for (const spec of settingTable) {
    const { name } = spec;
    if (!waits(spec, false, resolve) || isNeutral(spec, given[name])) continue;
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
  refuseTogether(settings, refuse, isFromFile);
  const beams = settings.num_beams;
  if (beams > 1 && num_return_sequences > beams) refuse('num_return_sequences', `is more than num_beams, ${beams}`);
  if (num_return_sequences > 1 && beams === 1 && !do_sample) {
    refuse('num_return_sequences', 'needs do_sample true or num_beams: otherwise all answers would be the same');
  }
}

type Refuse = (name: keyof GenerationSettings, problem: string) => never;

/** Settings that only mean something with another, or exclude each other. */
function refuseTogether(s: GenerationSettings, refuse: Refuse, isFromFile: (name: string) => boolean): void {
  const isOn = (name: keyof GenerationSettings): boolean => {
    const value = s[name];
    return !isNeutral(settingSpec(name)!, value) && value !== null;
  };
  const needs = (name: keyof GenerationSettings, other: string, isThere: boolean): void => {
    // What a file says for beams waits for beams.
    if (isOn(name) && !isThere && !isFromFile(name)) refuse(name, `acts only together with ${other}`);
  };
  const excludes = (
    name: keyof GenerationSettings,
    others: readonly (keyof GenerationSettings)[],
    why: string,
  ): void => {
    for (const other of others) {
      const origin = isFromFile(other) ? ` of ${FILE}` : '';
      if (isOn(name) && isOn(other)) refuse(name, `cannot go with ${other}${origin}: ${why}`);
    }
  };
  const hasBeams = s.num_beams > 1;
  for (const name of ['num_beam_groups', 'early_stopping', 'force_words_ids', 'constraints'] as const) {
    needs(name, 'num_beams above 1', hasBeams);
  }
  needs('length_penalty', 'num_beams above 1', hasBeams);
  needs('diversity_penalty', 'num_beam_groups above 1', s.num_beam_groups > 1);
  needs('negative_prompt_ids', 'guidance_scale', s.guidance_scale !== null);
  if (s.num_beams % s.num_beam_groups !== 0) {
    refuse('num_beam_groups', `has to divide num_beams, ${s.num_beams}`);
  }
  excludes('num_beam_groups', ['do_sample'], 'groups are told apart by what is most probable, not by chance');
  for (const name of ['force_words_ids', 'constraints'] as const) {
    excludes(name, ['do_sample'], 'required words are found by search, not by chance');
    excludes(name, ['num_beam_groups'], 'both share the beams out');
    excludes(name, ['structured_output'], 'a rule of the whole text may forbid the word');
  }
  if (s.penalty_alpha !== null) {
    excludes('penalty_alpha', ['num_beams', 'do_sample', 'dola_layers'], 'contrastive search is a strategy of its own');
    if (s.top_k < 2) refuse('top_k', 'has to be 2 or more with penalty_alpha: contrastive search chooses among them');
  }
  const drafts = ['prompt_lookup_num_tokens', 'assistant_early_exit'] as const;
  for (const name of drafts) {
    excludes(name, ['num_beams', 'penalty_alpha'], 'drafts follow one text, and this compares several');
  }
  excludes('prompt_lookup_num_tokens', ['assistant_early_exit'], 'only one can draft');
  excludes('token_healing', ['structured_output', 'guidance_scale'], 'the answer begins inside a word of the prompt');
}
