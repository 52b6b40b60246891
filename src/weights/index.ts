/** Weight files: readers, writers, quantised blocks, inspection and conversion. */

export * from './dtype.ts';
export { looksLikeGguf, readGguf } from './gguf.ts';
export { type GgufMetadata, writeGguf } from './gguf_writer.ts';
export * from './model_file.ts';
export * from './quants/index.ts';
export { looksLikeSafetensors, readSafetensors, readSharded } from './safetensors.ts';
export { type TensorToWrite, tensorToWrite, writeSafetensors } from './safetensors_writer.ts';
export * from './source.ts';
