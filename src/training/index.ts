/** Training: presets, objectives, the step, the loop and its data. `train` of the package itself adds files and folders. */
export * from './data/index.ts';
export { countParameters, estimateFlops, estimateMemory } from './estimate.ts';
export { assertFits } from './estimate_fit.ts';
export type * from './events.ts';
export { modelTensors } from './export.ts';
export * from './heads/index.ts';
export { initialize } from './initialize.ts';
export { adapterLearner, type Learner, type Pass, trainingStates, wholeModel } from './learner.ts';
export {
  EVALUATION_BATCHES,
  type EvaluationSet,
  firstState,
  type LoopHost,
  type LoopOptions,
  type LoopSettings,
  type LoopState,
  loopSettings,
  type StepBatches,
  trainingLoop,
} from './loop.ts';
export { batchInputs, nextTokenObjective, type Objective, type ObjectiveOptions } from './objective.ts';
export { measurePeak } from './peak.ts';
export { findPreset, type PresetOverrides, presetNames, type ResolvedPreset, resolvePreset } from './presets.ts';
export { scheduleFactor } from './schedules.ts';
export { type Measured, type StepResult, type StepSettings, TrainingStep, trainingPlans } from './step.ts';
export { type NextTokenSettings, nextTokenTask, type TaskInputs, type TrainingTask } from './task.ts';
export { updateGraph } from './update.ts';
