/** Evaluation: models scored on tasks. */
export { builtinNames, builtinSummary, builtinTask } from './builtin.ts';
export { type Comparison, compareRuns, type Verdict } from './compare.ts';
export { ContaminationSearch } from './contamination.ts';
export { type EngineModelOptions, engineModel } from './engine_model.ts';
export { DEFAULT_SEED, type EvaluateOptions, type EvaluationEvent, evaluate } from './evaluate.ts';
export { type MetricInfo, metricInfo, metricTable } from './metrics.ts';
export { makeDocuments } from './rules.ts';
export { type ServerModelOptions, serverModel } from './server_model.ts';
export { parseTask } from './task_file.ts';
export type * from './types.ts';
