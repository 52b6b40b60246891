/** The processors of some settings one by one, each under the name of the setting that asks for it. */
import { warp } from './candidates.ts';
import { buildRules, buildWarpers } from './processors.ts';
import { settingSpec } from './setting_table.ts';
import type { GenerationSettings, LogitsProcessor, ProcessorContext, Scores } from './types.ts';

export interface ChainStep {
  readonly name: string;
  apply(scores: Scores, context: ProcessorContext): void;
}

/** Settings that ask for a processor before the user's own, and for a warper after them, in their order. */
const RULES = [
  'sequence_bias',
  'encoder_repetition_penalty',
  'repetition_penalty',
  'no_repeat_ngram_size',
  'encoder_no_repeat_ngram_size',
  'bad_words_ids',
  'min_length',
  'min_new_tokens',
  'forced_bos_token_id',
  'forced_eos_token_id',
  'remove_invalid_values',
  'exponential_decay_length_penalty',
  'suppress_tokens',
  'begin_suppress_tokens',
] as const satisfies readonly (keyof GenerationSettings)[];

const WARPERS = [
  'temperature',
  'top_h',
  'top_k',
  'top_p',
  'min_p',
  'typical_p',
  'epsilon_cutoff',
  'eta_cutoff',
  'renormalize_logits',
] as const satisfies readonly (keyof GenerationSettings)[];

/** The chain of the settings. Processors keep scratch space: one chain for one sequence at a time. */
export function chainOf(settings: GenerationSettings, own: readonly LogitsProcessor[] = []): ChainStep[] {
  const off = Object.fromEntries([...RULES, ...WARPERS].map((name) => [name, offValue(name)]));
  const alone = (name: string): GenerationSettings => {
    return { ...settings, ...off, [name]: settings[name as keyof GenerationSettings] } as GenerationSettings;
  };
  const rules = RULES.flatMap((name): ChainStep[] => {
    // Whether the first token is forced decides which one is the first that is not.
    const forced = name === 'begin_suppress_tokens' && { forced_bos_token_id: settings.forced_bos_token_id };
    const isOn = buildRules(alone(name)).length > 0;
    const apply = buildRules({ ...alone(name), ...forced }).at(-1);
    return isOn && apply ? [{ name, apply }] : [];
  });
  const warpers = WARPERS.flatMap((name): ChainStep[] => {
    const list = buildWarpers(alone(name));
    return list.length > 0 ? [{ name, apply: warp(list) }] : [];
  });
  return [...rules, ...own.map((apply, i) => ({ name: `own ${i + 1}`, apply })), ...warpers];
}

/** The value at which a setting asks for nothing. */
function offValue(name: string): unknown {
  const spec = settingSpec(name)!;
  return spec.neutral?.[0] ?? spec.default;
}
