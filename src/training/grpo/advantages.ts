/** Advantages: how much better an answer is than the others to the same prompt (Shao et al. 2024, section 4.1.2). */
import { SettingError } from '../../errors.ts';

/** What differences from the group's mean are divided by: the group's deviation, that of all answers of the step, or nothing (Liu et al. 2025). */
export const rewardScales = ['group', 'batch', 'none'] as const;
export type RewardScale = (typeof rewardScales)[number];

export interface Advantages {
  /** One for each answer. */
  readonly advantages: Float32Array;
  /** Of each group: the mean and the deviation (with n - 1) of its rewards. */
  readonly means: Float64Array;
  readonly deviations: Float64Array;
}

/** Added to deviations, as trl does. */
const EPSILON = 1e-4;

/** @param rewards group after group of `size` answers. */
export function groupAdvantages(rewards: ArrayLike<number>, size: number, scale: RewardScale = 'group'): Advantages {
  if (!Number.isSafeInteger(size) || size < 2 || rewards.length % size !== 0)
    throw new SettingError(
      'num_generations',
      size,
      `must be a whole number from 2 that divides ${rewards.length} answers`,
    );
  if (!rewardScales.includes(scale))
    throw new SettingError('scale_rewards', scale, `must be one of ${rewardScales.join(', ')}`);
  const groups = rewards.length / size;
  const means = new Float64Array(groups);
  const deviations = new Float64Array(groups);
  for (let g = 0; g < groups; g++) [means[g], deviations[g]] = momentsOf(rewards, g * size, size);
  const whole = momentsOf(rewards, 0, rewards.length)[1];
  const advantages = Float32Array.from({ length: rewards.length }, (_, i) => {
    const g = Math.floor(i / size);
    const difference = rewards[i] - means[g];
    return scale === 'none' ? difference : difference / ((scale === 'group' ? deviations[g] : whole) + EPSILON);
  });
  return { advantages, means, deviations };
}

/** Mean and deviation; both exact where all are the same. */
function momentsOf(values: ArrayLike<number>, start: number, count: number): [number, number] {
  let [sum, isSame] = [0, true];
  for (let i = start; i < start + count; i++) {
    sum += values[i];
    isSame &&= values[i] === values[start];
  }
  if (isSame) return [values[start], 0];
  const mean = sum / count;
  let squares = 0;
  for (let i = start; i < start + count; i++) squares += (values[i] - mean) ** 2;
  return [mean, Math.sqrt(squares / (count - 1))];
}
