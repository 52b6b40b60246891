/**
 * Presets: a model and its training by one name, every field open to change. The model is a Hugging Face config.json; the decoder is
 * what the reader of such files makes of it, so that a trained model and a loaded one are the same thing.
 */
import { NotFoundError, SettingError } from '../errors.ts';
import type { DecoderConfig } from '../models/config.ts';
import { readConfig } from '../models/load.ts';
import { nearestNames } from '../nearest.ts';
import { deriveFields, type HuggingFaceConfig, type ModelFields, toHuggingFace } from './preset_config.ts';
import { checkField, presetField, presetFields } from './preset_fields.ts';
import { type Preset, presetTable, type TrainingDefaults } from './preset_table.ts';

export { type HuggingFaceConfig, impliedBiases, type ModelFields } from './preset_config.ts';
export { type Architecture, type FieldSpec, parseField, presetField, presetFields } from './preset_fields.ts';
export { type Preset, presetTable, type TrainingDefaults } from './preset_table.ts';

/** Fields of a preset by their names (`presetFields`). null and undefined mean "not given". */
export type PresetOverrides = Readonly<Record<string, unknown>>;

export interface ResolvedPreset {
  readonly preset: Preset;
  /** Every field of the model, derived ones too. */
  readonly fields: ModelFields;
  /** The content of config.json. */
  readonly config: HuggingFaceConfig;
  /** What the reader of config.json makes of it. */
  readonly decoder: DecoderConfig;
  readonly training: TrainingDefaults;
}

export const presetNames: readonly string[] = presetTable.map(({ name }) => name);

/** @throws NotFoundError with the nearest names, or all. */
export function findPreset(name: string): Preset {
  const preset = presetTable.find((entry) => entry.name === name);
  if (preset) return preset;
  // "gpt2-xl" means one of its family, however its sizes are spelt.
  const family = presetNames.filter((other) => other.startsWith(`${name.split('-')[0]}-`));
  const nearest = [...new Set([...nearestNames(name, family.length > 0 ? family : presetNames), ...family])];
  throw new NotFoundError('preset', name, nearest.length > 0 ? [] : [`presets: ${presetNames.join(', ')}`], nearest);
}

/**
 * A preset with fields of its own exchanged.
 * @throws NotFoundError for an unknown preset; SettingError that names field, value and constraint for a field that is unknown, out of
 *   range, not of this architecture, or at odds with another.
 */
export function resolvePreset(name: string, overrides: PresetOverrides = {}): ResolvedPreset {
  const preset = findPreset(name);
  const { architecture } = preset;
  const given = Object.fromEntries(Object.entries(overrides).filter(([, v]) => v !== null && v !== undefined));
  for (const [field, value] of Object.entries(given)) {
    checkField(field, value);
    const { of } = presetField(field)!;
    if (of && !of.includes(architecture)) {
      const others = presetTable.filter((entry) => of.includes(entry.architecture)).map((entry) => entry.name);
      const shown = others.length > 4 ? `${others.slice(0, 3).join(', ')} …` : others.join(', ');
      throw new SettingError(field, value, `is not a field of ${name}; presets that have it: ${shown}`);
    }
  }
  const isModel = ([field]: [string, unknown]) => presetField(field)!.group === 'model';
  const fields = deriveFields(architecture, {
    ...preset.shape,
    ...Object.fromEntries(Object.entries(given).filter(isModel)),
  });
  const training = resolveTraining(preset, fields, given);
  const config = toHuggingFace(architecture, fields, training.dropout);
  return { preset, fields, config, decoder: readConfig(config, `config.json of ${name}`), training };
}

/**
 * The preset's training with what was given. What follows from another field follows the one that was given: the least rate keeps its
 * share of the rate, a batch that is given alone is the whole batch, and a warm-up is at most a tenth of fewer steps.
 */
function resolveTraining(preset: Preset, fields: ModelFields, given: PresetOverrides): TrainingDefaults {
  const base = scaled(preset, fields);
  const own = Object.fromEntries(Object.entries(given).filter(([field]) => presetField(field)!.group === 'training'));
  const training = { ...base, ...own } as { -readonly [K in keyof TrainingDefaults]: TrainingDefaults[K] };
  const isGiven = (field: keyof TrainingDefaults) => own[field] !== undefined;
  if (isGiven('batch_size') && !isGiven('gradient_accumulation_steps')) training.gradient_accumulation_steps = 1;
  if (isGiven('learning_rate') && !isGiven('min_learning_rate')) {
    training.min_learning_rate = rounded(base.min_learning_rate * (training.learning_rate / base.learning_rate));
  }
  if (isGiven('max_steps')) {
    if (!isGiven('warmup_steps'))
      training.warmup_steps = Math.min(base.warmup_steps, Math.ceil(training.max_steps / 10));
    if (!isGiven('decay_end') && (base.decay_end ?? 0) > training.max_steps) training.decay_end = null;
  }
  if (training.optimizer !== base.optimizer && !isGiven('learning_rate')) {
    training.learning_rate = usualRate(training.optimizer, fields, base);
    if (!isGiven('min_learning_rate')) training.min_learning_rate = rounded(training.learning_rate / 10);
  }
  if (training.optimizer === 'muon') training.matrix_learning_rate ??= 0.02;
  else if (isGiven('matrix_learning_rate')) {
    throw new SettingError('matrix_learning_rate', training.matrix_learning_rate, 'is of the optimizer muon alone');
  } else training.matrix_learning_rate = null;
  if (training.min_learning_rate > training.learning_rate) {
    throw new SettingError(
      'min_learning_rate',
      training.min_learning_rate,
      `is more than learning_rate = ${training.learning_rate}`,
    );
  }
  return training;
}

/** The rate where an optimiser is not the preset's: GPT-3's by width for AdamW, nanochat's beside Muon the preset's own. */
function usualRate(optimizer: TrainingDefaults['optimizer'], { n_embd }: ModelFields, base: TrainingDefaults): number {
  if (optimizer === 'adamw') return rounded(6e-4 * Math.sqrt(768 / n_embd));
  return optimizer === 'sgd' ? 0.05 : base.learning_rate;
}

/** Parameters of layers' matrices and head of the model that the modern rates were found on: depth 12. */
const REFERENCE_DEPTH = 12;
const REFERENCE_BATCH = 2 ** 19;

/** Training whose length, batch and rates follow from the size of the model (nanochat; the power of the batch is of Bergsma et al. 2025). */
function scaled({ training, tokensPerParameter, shape }: Preset, fields: ModelFields): TrainingDefaults {
  if (tokensPerParameter === undefined) return training;
  const reference = deriveFields('modern', { ...shape, depth: REFERENCE_DEPTH });
  const size = matrixParameters(fields);
  const exact = REFERENCE_BATCH * (size / matrixParameters(reference)) ** 0.383;
  // A power of two of tokens, and at least one sequence.
  const sequences = Math.max(1, Math.round(2 ** Math.round(Math.log2(exact)) / fields.block_size));
  const batch_size = Math.min(training.batch_size, sequences);
  const gradient_accumulation_steps = Math.max(1, Math.round(sequences / batch_size));
  const tokens = batch_size * gradient_accumulation_steps * fields.block_size;
  const byBatch = Math.sqrt(tokens / REFERENCE_BATCH);
  const learning_rate = training.learning_rate * byBatch * Math.sqrt(reference.n_embd / fields.n_embd);
  return {
    ...training,
    batch_size,
    gradient_accumulation_steps,
    max_steps: Math.max(1, Math.round((tokensPerParameter * size) / tokens)),
    learning_rate: rounded(learning_rate),
    matrix_learning_rate: rounded((training.matrix_learning_rate ?? 0) * byBatch),
    min_learning_rate: rounded(learning_rate * (training.min_learning_rate / training.learning_rate)),
  };
}

/** Rates for people: three digits. */
function rounded(rate: number): number {
  return Number(rate.toPrecision(3));
}

/** Parameters that a token is multiplied with in layers and head. */
function matrixParameters(fields: ModelFields): number {
  const { n_layer, n_embd, n_head, n_kv_head, head_dim, n_inner, experts_per_token, vocab_size } = fields;
  const attention = 2 * n_embd * (n_head + n_kv_head) * head_dim;
  return n_layer * (attention + 3 * n_embd * n_inner * Math.max(1, experts_per_token)) + vocab_size * n_embd;
}

/** Names of all fields that can be exchanged. */
export const presetFieldNames: readonly string[] = presetFields.map(({ name }) => name);
