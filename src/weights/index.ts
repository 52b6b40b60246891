/** Weight files: readers, writers, quantised blocks, inspection and conversion. */

export * from './convert.ts';
export * from './dtype.ts';
export { looksLikeGguf, readGguf } from './gguf.ts';
export { configToGguf, type GgufSettings, ggufToConfig, llama3Factors } from './gguf_config.ts';
export * from './gguf_names.ts';
export { ggufToTokenizer, type TokenizerExtras, tokenizerToGguf } from './gguf_tokenizer.ts';
export { type GgufMetadata, writeGguf } from './gguf_writer.ts';
export * from './inspect.ts';
export { isJsonObject, type JsonObject, parseJson } from './json.ts';
export { type NumberList, TextList } from './lists.ts';
export {
  type Llama2cTokenizer,
  llama2cToConfig,
  looksLikeLlama2c,
  readLlama2c,
  readLlama2cTokenizer,
} from './llama2c.ts';
export * from './model_file.ts';
export { openWeights } from './open.ts';
export * from './quants/index.ts';
export { looksLikeSafetensors, readSafetensors, readSharded } from './safetensors.ts';
export {
  type AsyncByteSink,
  type AsyncTensorToWrite,
  type TensorToWrite,
  tensorToWrite,
  writeSafetensors,
  writeSafetensorsAsync,
} from './safetensors_writer.ts';
export * from './source.ts';
export { looksLikeTorch, readTorch } from './torch.ts';
