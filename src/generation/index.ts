/** Generation: the engine, its sequences, settings, and the stream of answers. */
export { Engine, type EngineOptions, type StepRequest } from './engine.ts';
export {
  type GenerateOptions,
  type GenerationEvent,
  type GenerationModel,
  type GenerationResult,
  generate,
  generateAll,
} from './generate.ts';
export { buildProcessors } from './processors.ts';
export { encodePrompt, type Prompt, type PromptModel } from './prompt.ts';
export { Sequence } from './sequence.ts';
export { parseSetting, resolveSettings, type SettingSpec, settingTable } from './settings.ts';
export type * from './types.ts';
