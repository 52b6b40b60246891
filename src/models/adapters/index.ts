/** Adapters: low-rank changes of a model's linear maps, kept apart from it. */
export { type Adapter, adapterOf, adapterParameters, layoutOfAdapter, type ModuleTensors } from './adapter.ts';
export { type AdapterConfig, completeAdapterConfig, readAdapterConfig, writeAdapterConfig } from './config.ts';
export { readGgufAdapter, writeGgufAdapter } from './gguf.ts';
export { type AdaptedMapsOptions, adaptedMaps, siteWeight, squaresSpecs, weightSquares } from './graph.ts';
export {
  type AdapterLayout,
  type AdapterModule,
  type AdapterSite,
  adapterLayout,
  adapterParameterSpecs,
  defaultTargets,
} from './layout.ts';
export { type MergedWeights, mergeAdapter, mergeIntoWeights } from './merge.ts';
export { peftTensors, readPeftTensors } from './peft.ts';
