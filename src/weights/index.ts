/** Weight files: readers, writers, quantised blocks, inspection and conversion. */

export * from './dtype.ts';
export * from './model_file.ts';
export * from './quants/index.ts';
export * from './source.ts';
