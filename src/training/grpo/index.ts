/** GRPO: learning from rewards of the model's own answers. */
export { groupAdvantages, type RewardScale, rewardScales } from './advantages.ts';
export {
  type Completion,
  GrpoBatches,
  type GrpoLoss,
  type GrpoRound,
  type GrpoSettings,
  type GrpoSources,
  grpoLosses,
  measureRewards,
  type Sampler,
  toldNames,
} from './batches.ts';
export {
  checkRewards,
  type ExactMatchOptions,
  exactMatchReward,
  formatReward,
  type LengthOptions,
  lengthReward,
  type Reward,
  type RewardContext,
  type RewardFunction,
  type RewardSpec,
  rewardOf,
} from './rewards.ts';
export { type GrpoTaskSettings, grpoTask, type PolicyBatch } from './task.ts';
