/** Generation: the engine, its sequences, settings, and the stream of answers. */
export { Engine, type EngineOptions, type StepRequest, type StepResult } from './engine.ts';
export type * from './events.ts';
export * from './explain.ts';
export {
  type GenerateOptions,
  type GenerationModel,
  generate,
  generateAll,
  type StoppingCriterion,
} from './generate.ts';
export { type Inspection, inspectText } from './inspect.ts';
export { generateObject } from './object.ts';
export { buildChain, buildProcessors, type ChainStep, type ProcessorOptions } from './processors.ts';
export { encodePrompt, type Prompt, type PromptModel } from './prompt.ts';
export { Sequence } from './sequence.ts';
export { parseSetting, resolveSettings, type SettingSpec, settingTable } from './settings.ts';
export type { BeamStep } from './strategies/beams.ts';
export { compileStructure } from './structure.ts';
export type * from './types.ts';
export type { GreenListConfig, SynthIdConfig, WatermarkingConfig } from './watermark/config.ts';
export { detectWatermark, type WatermarkDetection, type WatermarkDetectorOptions } from './watermark/detect.ts';
