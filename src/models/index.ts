/** Models: the decoder, its configuration, the families of published files, and loading. */
export * from './adapters/index.ts';
export type * from './config.ts';
export { type DecoderInputs, type DecoderMaps, decoderHidden, decoderLogits, type ParameterLookup } from './decoder.ts';
export { families } from './families/index.ts';
export { HEAD_WEIGHT, type HeadKind, type HeadShape, headKinds, headLogits, headSpec, sequencesOf } from './heads.ts';
export { type LoadOptions, loadModel, type ParameterValues, parameterValues, readConfig } from './load.ts';
export { type Model, type ModelParameter, parameterBuffers, symbolicParameters } from './model.ts';
export { type ParameterSpec, parameterCount, parameterSpecs } from './parameters.ts';
