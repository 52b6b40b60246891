/** Learning rates over the steps of a run, as a share of the greatest rate. */
import { SettingError } from '../errors.ts';
import type { TrainingDefaults } from './presets.ts';

export type ScheduleSettings = Pick<
  TrainingDefaults,
  'schedule' | 'learning_rate' | 'min_learning_rate' | 'warmup_steps' | 'decay_end' | 'decay_fraction' | 'max_steps'
>;

/**
 * The rate of step 0, 1 … as a factor on `learning_rate`. During warm-up step s has (s + 1) / (warmup_steps + 1), as in nanoGPT; then
 * `cosine` and `linear` fall to the least rate at `decay_end` (the last step unless given) and stay there, `wsd` is flat until the last
 * `decay_fraction` of the steps and falls linearly (Hu et al. 2024), `constant` stays.
 */
export function scheduleFactor(settings: ScheduleSettings, step: number): number {
  const { schedule, learning_rate, min_learning_rate, warmup_steps, decay_end, decay_fraction, max_steps } = settings;
  if (step < warmup_steps) return (step + 1) / (warmup_steps + 1);
  const least = learning_rate > 0 ? min_learning_rate / learning_rate : 0;
  const end = decay_end ?? max_steps;
  switch (schedule) {
    case 'constant':
      return 1;
    case 'cosine': {
      const done = progress(step, warmup_steps, end);
      return least + (1 - least) * 0.5 * (1 + Math.cos(Math.PI * done));
    }
    case 'linear':
      return 1 - (1 - least) * progress(step, warmup_steps, end);
    case 'wsd':
      return 1 - (1 - least) * progress(step, Math.max(warmup_steps, max_steps * (1 - decay_fraction)), max_steps);
    default:
      throw new SettingError('schedule', schedule, 'must be constant, cosine, linear or wsd');
  }
}

function progress(step: number, from: number, to: number): number {
  return to > from ? Math.min(1, Math.max(0, (step - from) / (to - from))) : 1;
}
