/**
 * Rotary frequencies and the ways of stretching them to longer contexts. Reads both forms of config.json: `rope_parameters`
 * (transformers 5) and `rope_theta` with `rope_scaling` (earlier).
 */
import type { RopeConfig } from './config.ts';
import type { ConfigReader } from './config_reader.ts';

/** The frequencies for `width` rotated elements of each head, as `rope` (the config's scaling object) asks. */
export function ropeConfig(rope: ConfigReader, width: number, theta: number, n_positions: number): RopeConfig {
  const kind = rope.optional('rope_type', 'string') ?? rope.optional('type', 'string') ?? 'default';
  const base = baseFrequencies(width, theta);
  switch (kind) {
    case 'default':
    case 'dynamic': // dynamic NTK differs only beyond the trained positions, which are refused
      return plain(base);
    case 'linear':
      return plain(base.map((frequency) => frequency / rope.number('factor')));
    case 'llama3':
      return plain(llama3(base, rope, n_positions));
    case 'yarn':
      return yarn(base, rope, width, theta, n_positions);
    case 'longrope':
    case 'su':
      return longrope(base, rope, n_positions);
    default:
      throw rope.refuse('rope_type', kind, 'known are default, linear, dynamic, llama3, yarn and longrope');
  }
}

function plain(frequencies: readonly number[], scale = 1): RopeConfig {
  return { frequencies, scale, interleaved: false };
}

function baseFrequencies(width: number, theta: number): number[] {
  return Array.from({ length: width / 2 }, (_, i) => Math.fround(1 / Math.fround(theta ** ((2 * i) / width))));
}

/** LLaMA 3.1: long waves are stretched by `factor`, short ones kept, those between blended. */
function llama3(base: readonly number[], rope: ConfigReader, n_positions: number): number[] {
  const factor = rope.number('factor');
  const low = rope.number('low_freq_factor');
  const high = rope.number('high_freq_factor');
  const original = rope.optional('original_max_position_embeddings', 'number') ?? n_positions;
  return base.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < original / high) return frequency;
    if (wavelength > original / low) return frequency / factor;
    const smooth = (original / wavelength - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

/** YaRN (Peng et al. 2023). */
function yarn(
  base: readonly number[],
  rope: ConfigReader,
  width: number,
  theta: number,
  n_positions: number,
): RopeConfig {
  const factor = rope.number('factor');
  const original = rope.optional('original_max_position_embeddings', 'number') ?? n_positions;
  const turns = (count: number) => (width * Math.log(original / (count * 2 * Math.PI))) / (2 * Math.log(theta));
  let low = turns(rope.optional('beta_fast', 'number') ?? 32);
  let high = turns(rope.optional('beta_slow', 'number') ?? 1);
  if (rope.optional('truncate', 'boolean') ?? true) {
    low = Math.floor(low);
    high = Math.ceil(high);
  }
  low = Math.max(low, 0);
  high = Math.min(high, width - 1);
  if (low === high) high += 0.001;
  const frequencies = base.map((frequency, i) => {
    const stretched = Math.min(Math.max((i - low) / (high - low), 0), 1);
    return (frequency / factor) * stretched + frequency * (1 - stretched);
  });
  const mscale = rope.optional('mscale', 'number');
  const mscaleAll = rope.optional('mscale_all_dim', 'number');
  const magnitude = (m: number) => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1);
  const inferred = mscale && mscaleAll ? magnitude(mscale) / magnitude(mscaleAll) : magnitude(1);
  return plain(frequencies, rope.optional('attention_factor', 'number') ?? inferred);
}

/**
 * LongRoPE (Ding et al. 2024) has one set of factors for contexts up to the original length and one beyond. A model is loaded for one
 * context, so the set is chosen by `n_positions`, which the loader keeps at the original length unless asked for more.
 */
function longrope(base: readonly number[], rope: ConfigReader, n_positions: number): RopeConfig {
  const original = rope.number('original_max_position_embeddings');
  const long = n_positions > original;
  const factors = rope.numbers(long ? 'long_factor' : 'short_factor', base.length);
  const extension = rope.optional('factor', 'number') ?? n_positions / original;
  const inferred = extension <= 1 ? 1 : Math.sqrt(1 + Math.log(extension) / Math.log(original));
  return plain(
    base.map((frequency, i) => frequency / factors[i]),
    rope.optional('attention_factor', 'number') ?? inferred,
  );
}
