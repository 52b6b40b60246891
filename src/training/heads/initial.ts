/** First values of what a head adds to a model: its weight, and the embeddings of new tokens. */
import { type HeadShape, headSpec } from '../../models/heads.ts';
import type { DecoderConfig } from '../../models/index.ts';
import { initialValues } from '../initialize.ts';

/** Sets these random numbers apart from those of a model's own parameters, which count from 0. */
const HEAD_STREAM = 0x40000000;

/** `score.weight`: normal with deviation `initializer_range`, 0.02 in GPT-1. */
export function initialHead(
  config: DecoderConfig,
  head: HeadShape,
  seed: number,
  initializer_range = 0.02,
): Float32Array {
  return initialValues(config, headSpec(config, head), HEAD_STREAM, { seed, initializer_range });
}

/** A table (V, C) with rows of new tokens below, normal with deviation `initializer_range`. */
export function withNewRows(
  config: DecoderConfig,
  table: Float32Array,
  rows: number,
  seed: number,
  initializer_range = 0.02,
): Float32Array {
  const spec = { name: 'rows.weight', shape: [rows, config.n_embd] };
  const grown = new Float32Array(table.length + rows * config.n_embd);
  grown.set(table);
  grown.set(initialValues(config, spec, HEAD_STREAM + 1, { seed, initializer_range }), table.length);
  return grown;
}
