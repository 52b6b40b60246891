/** What settings of llama.cpp mean for other settings: its preset, mirostat instead of cuts, and parts that act only with their whole. */
import { SettingError } from '../errors.ts';
import { settingSpec } from './setting_table.ts';
import { isNeutral } from './setting_values.ts';
import type { GenerationSettings } from './types.ts';

type Values = Readonly<Record<string, unknown>>;

const LLAMA_CPP: Values = { do_sample: true, temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05 };

/** Defaults that a preset puts in place of the table's. */
export function presetDefaults(preset: unknown): Values {
  return preset === 'llama.cpp' ? LLAMA_CPP : {};
}

/** What cuts candidates or heats them otherwise than mirostat does, with the value that turns it off. */
const CUTS = {
  top_n_sigma: null,
  top_h: null,
  top_k: 0,
  top_p: 1,
  min_p: null,
  typical_p: 1,
  epsilon_cutoff: 0,
  eta_cutoff: 0,
  xtc_probability: 0,
  dynatemp_range: 0,
} as const satisfies Partial<GenerationSettings>;

/** Parts, and the settings of which one has to be on for them to act. */
const PARTS: Readonly<Record<string, readonly (keyof GenerationSettings)[]>> = {
  repeat_last_n: ['repeat_penalty', 'presence_penalty', 'frequency_penalty'],
  dry_base: ['dry_multiplier'],
  dry_allowed_length: ['dry_multiplier'],
  dry_penalty_last_n: ['dry_multiplier'],
  dry_sequence_breakers: ['dry_multiplier'],
  xtc_threshold: ['xtc_probability'],
  dynatemp_exponent: ['dynatemp_range'],
  mirostat_tau: ['mirostat'],
  mirostat_eta: ['mirostat'],
};

/**
 * The settings without what mirostat replaces, where it is not the request that asks for both.
 * @param given the request alone.
 * @throws SettingError that names the two settings of the request that exclude each other, or the part without its whole.
 */
export function settleSamplers(settings: GenerationSettings, given: Values): GenerationSettings {
  const { mirostat, num_beams } = settings;
  for (const [part, wholes] of Object.entries(PARTS)) {
    const spec = settingSpec(part)!;
    const isAsked = given[part] !== undefined && given[part] !== null && !isDefault(given[part], spec.default);
    if (!isAsked || wholes.some((whole) => !isNeutral(settingSpec(whole)!, settings[whole]))) continue;
    throw new SettingError(part, given[part], `acts only together with ${wholes.join(' or ')}`);
  }
  if (mirostat !== 0 && num_beams > 1) {
    throw new SettingError('mirostat', mirostat, 'cannot go with num_beams: it steers one text by its own surprise');
  }
  return mirostat === 0 ? settings : without(settings, CUTS, given, 'mirostat, which cuts candidates itself');
}

function without(settings: GenerationSettings, off: Values, given: Values, why: string): GenerationSettings {
  for (const [name, value] of Object.entries(off)) {
    const asked = given[name];
    if (asked === undefined || asked === null || asked === value || settingSpec(name)?.neutral?.includes(asked))
      continue;
    if (settingSpec(name)!.default === asked && !(name in LLAMA_CPP)) continue;
    throw new SettingError(name, asked, `cannot go with ${why}`);
  }
  return { ...settings, ...off };
}

function isDefault(value: unknown, initial: unknown): boolean {
  return Array.isArray(initial) ? JSON.stringify(value) === JSON.stringify(initial) : value === initial;
}
